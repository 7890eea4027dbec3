"""The shapes in which CLIProxyAPI and the providers write an error, read into one `ErrorPayload`.

Only what stands at the top level counts; everything else is an answer, whatever words it holds:

    {"error": {…}}, {"choices": [{"error": {…}}]}         "object"
    {"error": {"message": …, "type": "permission_error"}} "plugin", as CLIProxyAPI's plugins refuse
    {"type": "error", "error": {…}}                       "claude"
    {"error": "text", "code": …}                          "coded"
    {"error": "text"}                                     "bare", as CLIProxyAPI's own refusals
    {"type": "error", "code": …, "message": …}            "flat"
    {"type": "response.failed", "response": {"error": …}} "object"
    {"detail": "text"}                                    "detail", as FastAPI and Codex write
    {"detail": {"code": …}}                               "coded detail", as Codex writes of accounts
    {"code": …, "message": …}, {"base_resp": {…}}         "message", as DashScope, Bedrock and MiniMax write
    {"error_type": …, "error_message": …}                 "message", as vLLM writes into streams
    {"fault": {"faultstring": …}}                         "message", as Apigee writes
    [{"error": {…}}]                                      as its first element

A `message` that is itself such an error is unwrapped once: CLIProxyAPI's writers put a provider's
whole body there. What CLIProxyAPI derives from the HTTP status (a type and a code) says no more
than the status: it is taken for that, and not for the provider's word.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from litellm_hybrid.message.json import decode, objects
from litellm_hybrid.quota import content
from litellm_hybrid.quota.wording import code_words, names_request

Fields = Mapping[str, object]
Shape = Literal[
    "", "object", "plugin", "claude", "coded", "bare", "flat", "detail", "coded detail", "message", "other"
]

_EXECUTOR = re.compile(r"[a-z]{1,32} executor: upstream returned error event: ", re.IGNORECASE)
_PHRASE_LONGEST = 500

# CLIProxyAPI's writers, v6.10.9 to v7.2.140: (type, code) of an error whose body was no JSON, by status.
_DERIVED: Mapping[tuple[str, str], int] = {
    ("authentication_error", "invalid_api_key"): 401,
    ("permission_error", "insufficient_quota"): 403,
    ("invalid_request_error", "model_not_found"): 404,
    ("rate_limit_error", "rate_limit_exceeded"): 429,
    ("server_error", "internal_server_error"): 500,
}

# The status that a type stands for: Anthropic's and OpenAI's documents, Google's rpc/code.proto, whose
# descriptions xAI writes as codes. What stands before a dot counts for the whole.
_IMPLIED: Mapping[str, int] = {
    code: status
    for status, codes in {
        400: "invalid_request_error bad_request_error invalid_argument bad_request "
        "client_specified_an_invalid_argument",
        401: "authentication_error invalid_api_key unauthenticated unauthorized",
        402: "billing_error payment_required",
        403: "permission_error permission_denied forbidden request_forbidden access_denied "
        "the_caller_does_not_have_permission_to_execute_the_specified_operation",
        404: "not_found_error not_found some_requested_entity_was_not_found",
        408: "request_timeout",
        413: "request_too_large",
        422: "validation_error",
        429: "rate_limit_error rate_limit_exceeded resource_exhausted too_many_requests throttling "
        "rate_limited some_resource_has_been_exhausted",
        500: "api_error server_error internal_server_error internal internal_error",
        503: "unavailable service_unavailable_error service_unavailable the_service_is_currently_unavailable",
        504: "timeout_error",
        529: "overloaded_error",
    }.items()
    for code in codes.split()
}

# The same for codes that nobody has listed yet.
_PARTS = {
    401: r"authentication|unauthori[sz]ed|api_key|(?:invalid|expired|bad)\w*_(?:token|credentials)"
    r"|token_(?:expired|invalid|revoked)",
    403: r"forbidden|permission|access_denied|suspended|deactivated|terminated|disabled|missing_scope|banned"
    r"|(?:region|country|user|account)_blocked|no_subscription",
    429: r"too_many_requests|rate_limit|throttl|queue_exceeded",
    503: r"overload|unavailable|capacity",
    400: r"invalid_(?:parameter|argument|request|input|value)|validation|bad_request",
}

# RFC 9110's reason phrases, which CLIProxyAPI writes where it drops a body that it cannot read.
_REASON_PHRASES = {
    HTTPStatus(status).phrase.lower(): status for status in (400, 401, 402, 403, 404, 429, 500, 502, 503, 504)
}

# What a web server or Cloudflare writes in the place of an error.
_PAGE = re.compile(
    r"(?:.{0,400}?<title>(?:error )?|error code:|http)?[\s:]*([45]\d\d)(?![\d.])", re.IGNORECASE | re.DOTALL
)

# A relay's words for what it was told: "upstream status 429", "status_code=529", "HTTP 402".
_RELAYED = re.compile(r"\b(?:status(?:[ _]?code)?|http|error code)[\s:=]{1,3}([45]\d\d)\b", re.IGNORECASE)

_WORDS = ("message", "msg", "Message", "error_message", "errorMessage", "error_msg", "errmsg", "title")
"""Where those that do not call it an error put their words."""
_CODES = ("code", "error_code", "errorCode", "errcode", "error_type", "__type", "reason")
_NUMBERED = ("status", "status_code", "statusCode", "http_code", "http_status")
_NAMING = ("type", *_CODES, *_NUMBERED)

_REFUSES = re.compile(r"error|exceed|denied|invalid|unauthor|forbidden|limit|quota|unavailable|overload")

_STATUSES = frozenset(int(status) for status in HTTPStatus) | {498, 499, *range(520, 531)}
"""Statuses that say something; others (iFlow's 434 and 449) leave it to the words."""

_ERROR_STATUS = re.compile(r"[45]\d\d", re.ASCII)

_TELLING = frozenset({402, 429, 529})
"""Numbers inside an error that tell more than the 4xx around it."""


@dataclass(frozen=True, slots=True)
class ErrorPayload:
    """One refusal, as the rules see it.

    Attributes:
        http: the response's HTTP status.
        status: what the error means in HTTP's terms: the HTTP status, or, where that is 200 or
            5xx, the number or the type that the error states; 0 if it states none.
        shape: how it was written; "other" for JSON that is no error shape, "" for what is no JSON.
        names: its types, codes and statuses in lower case; a code `a:b` counts as `b`, too. Not
            those that CLIProxyAPI derived from the status.
        wrapper_names: the same for the error whose `message` this one was.
        codes: those, as they came, that do not just stand for a status.
        message: the provider's words as they came.
        phrase: their beginning, in lower case with single spaces and straight apostrophes.
        sources: the JSON objects that may state a wait, the innermost first.
        messages: the texts that may, the innermost first.
    """

    http: int
    status: int
    shape: Shape = ""
    names: frozenset[str] = frozenset()
    wrapper_names: frozenset[str] = frozenset()
    codes: tuple[str, ...] = ()
    message: str = ""
    phrase: str = ""
    sources: tuple[Fields, ...] = ()
    messages: tuple[str, ...] = ()


@dataclass(slots=True)
class _Layer:
    """One error object, before unwrapping.

    Attributes:
        derived: the status that CLIProxyAPI derived both type and code from; 0 if they are the provider's.
        words: its types and codes as they are written, without what is only the status again.
        names: those, and parts of them, in lower case.
    """

    shape: Shape
    fields: Fields
    top: Fields
    message: str
    stated: tuple[object, ...]
    derived: int = field(default=0, init=False)
    words: tuple[str, ...] = field(default=(), init=False)
    names: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        written = [code.lower() for code in self.stated if isinstance(code, str) and code]
        if self.shape == "flat" and len(written) == 1:
            self.derived = next((status for pair, status in _DERIVED.items() if pair[1] == written[0]), 0)
        elif len(written) == 2:
            self.derived = _DERIVED.get((written[0], written[1]), 0)
        if self.derived:
            return
        self.words = tuple(
            [str(code).strip() for code in self.stated if isinstance(code, (str, int)) and code]
        )
        words = [word.lower() for word in self.words]
        parts = {part for word in words for part in (word, word.rpartition(":")[2], word.partition(".")[0])}
        self.names = frozenset(parts - {""})

    @property
    def number(self) -> int:
        """The HTTP status that the error names: Google's `code`, MiniMax's `http_code`."""
        for value in (*self.stated, *[self.top.get(key) for key in _NUMBERED]):
            if value is not None and (number := _status(value)):
                return number
        return 0

    @property
    def implied(self) -> int:
        """The HTTP status that its type stands for, or its words where they are only a reason phrase."""
        written = [code for code in self.stated if isinstance(code, str)]
        found = [_stands_for(part) for code in written for part in (code, code.partition(".")[0])]
        # A code that says more than that the request is at fault.
        by_type = next(filter(lambda status: status not in (0, 400), found), 400 if 400 in found else 0)
        by_type = self.derived or by_type
        if by_type == 400 and self.message.strip(" .!").lower() == "payment required":
            # CLIProxyAPI's type for a 402.
            return 402
        return self.reason_phrase if by_type in (0, 500) and self.reason_phrase else by_type

    @property
    def reason_phrase(self) -> int:
        """The HTTP status whose reason phrase is all that it says, or that its page shows; else 0."""
        by_words = _REASON_PHRASES.get(self.message.strip(" .!").lower(), 0)
        if by_words:
            return by_words
        page = _PAGE.match(self.message[:_PHRASE_LONGEST])
        if not page and names_request(phrase_of(self.message)):
            return 0
        found = page or _RELAYED.search(self.message[:_PHRASE_LONGEST])
        return int(found[1]) if found else 0


def read(payload: object, http: int, *, in_stream: bool = False) -> ErrorPayload | None:
    """The error that decoded JSON (one event's, or a whole body) states; None: an answer, or unknown."""
    top = _first(payload)
    outer = _layer(top, http)
    if outer is None:
        return None
    if http < 400 and not content.failed(top) and content.read(top, whole=True) is content.Carries.CONTENT:
        return None
    inner = _layer(_first(decode(outer.message)), 400) if outer.message.startswith(("{", "[")) else None
    layers = (outer,) if inner is None else (inner, outer)
    # In an error that blames the request, JSON may be the user's own, quoted: it names nothing, unless it is
    # the provider's whole body, which repeats the status.
    own = inner is not None and inner.number == http
    quoted = "invalid_request_error" in outer.names and not own
    naming = (outer,) if quoted else layers
    named = naming[0] if naming[0].names else outer
    return ErrorPayload(
        http=http,
        status=_meant(naming, http, in_stream=in_stream),
        shape=outer.shape,
        names=named.names,
        wrapper_names=outer.names,
        codes=tuple([word for word in named.words if _snake(word) not in _IMPLIED]),
        message=layers[0].message,
        phrase=phrase_of(layers[0].message),
        sources=tuple([fields for layer in layers for fields in (layer.fields, layer.top)]),
        messages=tuple([layer.message for layer in layers]),
    )


def phrase_of(message: str) -> str:
    """The beginning of a message, in lower case with single spaces and straight apostrophes."""
    return " ".join(message[:_PHRASE_LONGEST].lower().replace("\u2019", "'").split())


def _meant(layers: tuple[_Layer, ...], http: int, *, in_stream: bool) -> int:
    number = next(filter(_STATUSES.__contains__, [layer.number for layer in layers]), 0)
    if 400 <= http < 500:
        return number if number in _TELLING else http
    if in_stream and http < 400 and number == 400 and layers[0].names == {"invalid_argument", "400"}:
        # CLIProxyAPI's writer for Gemini's streams makes this of every error: it says nothing.
        return layers[0].reason_phrase
    stated = number or next((layer.implied for layer in layers if layer.implied), 0)
    # A server's error is believed to be one unless its body says somebody else's, or how busy it is.
    return http if http >= 500 and (stated in (0, 500, 502, 504) or http in (503, 529)) else stated


def _stands_for(code: str) -> int:
    """The status that a code stands for, whoever's it is; 0 if none."""
    snake = _snake(code)
    return _IMPLIED.get(snake) or next(
        (status for status, part in _PARTS.items() if re.search(part, snake)), 0
    )


def _snake(code: str) -> str:
    """A code as most write theirs: `TooManyRequests` and `Too many requests` are `too_many_requests`."""
    return code_words(code).replace(" ", "_")


def _first(payload: object) -> object:
    return payload[0] if isinstance(payload, list) and payload else payload


def _layer(payload: object, http: int) -> _Layer | None:
    if not isinstance(payload, dict):
        return None
    kind = payload.get("type")
    error: object = payload.get("error")
    if kind == "response.failed" and isinstance(response := payload.get("response"), dict):
        error = response.get("error") or error
    if isinstance(error, list):
        error = next((each for each in error if isinstance(each, dict)), error)
    error = error or _error_inside(payload)
    if isinstance(error, dict) and error:
        plugin = http == 403 and list(error) == ["message", "type"] and error["type"] == "permission_error"
        shape: Shape = "claude" if kind == "error" else "plugin" if plugin else "object"
        return _Layer(shape, error, payload, _message(error.get("message")), _stated(error))
    code = payload.get("code")
    if isinstance(error, str) and error.strip():
        coded = bool(code) and isinstance(code, (str, int))
        return _Layer("coded" if coded else "bare", payload, payload, _message(error), (code,))
    if kind == "error" and error is None:
        text = _message(payload.get("message"))
        codes = (payload.get("error_type"), code)
        return _Layer("flat", payload, payload, text, codes) if text or any(codes) else None
    return None if error else _without_error(payload, http)


def _without_error(payload: Fields, http: int) -> _Layer | None:
    """The shapes of those that do not call it an error."""
    base = payload.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        stated = (f"base_resp {base['status_code']}",)
        return _Layer("message", payload, payload, _message(base.get("status_msg")), stated)
    if not content.ANSWER_KEYS.isdisjoint(payload) and not payload.get("error_message"):
        return None
    if detail := payload.get("detail"):
        return _detail(payload, detail)
    if isinstance(fault := payload.get("fault"), dict):
        detail = fault.get("detail")
        codes = (detail.get("errorcode"),) if isinstance(detail, dict) else ()
        return _Layer("message", fault, payload, _message(fault.get("faultstring")), codes)
    text = next(filter(None, (_message(payload.get(key)) for key in _WORDS)), "")
    if text and (http >= 400 or _refuses(payload) or _only_says(payload)):
        return _Layer("message", payload, payload, text, _stated(payload))
    return None


def _refuses(payload: Fields) -> bool:
    """Whether a body that does not call it an error says so by a code, or by how it went."""
    code, went = payload.get("code"), str(payload.get("status")).lower()
    named = bool(code) and (isinstance(code, str) or bool(_status(code)))
    named = named or any(payload.get(key) for key in payload if str(key).lower().startswith("err"))
    failed = went in ("error", "fail", "failed", "failure") or bool(_status(went))
    return named or failed or payload.get("success") is False


def _only_says(payload: Fields) -> bool:
    """Whether a body is nothing but words, and not an event that has some."""
    kind = payload.get("type")
    refuses = kind is None or bool(_REFUSES.search(str(kind).lower()))
    return refuses and not any(isinstance(value, dict | list) for value in payload.values())


def _detail(payload: Fields, detail: object) -> _Layer | None:
    if isinstance(detail, dict):
        shape: Shape = "coded detail" if detail.get("code") else "detail"
        text = _message(detail.get("message") or detail.get("error"))
        return _Layer(shape, detail, payload, text, _stated(detail))
    if isinstance(detail, list):
        return _Layer("detail", payload, payload, "", ("validation_error",))
    text = _message(detail)
    return _Layer("detail", payload, payload, text, (payload.get("code"),)) if text else None


def _error_inside(payload: Fields) -> object:
    """The first error of a choice (OpenRouter), or else of a list (Cloudflare)."""
    for choice in objects(payload.get("choices")):
        if error := choice.get("error"):
            return error
    if (errors := payload.get("errors")) is None:
        return None
    return next(iter(objects(errors if isinstance(errors, list) else [errors])), None)


def _stated(error: Fields) -> tuple[object, ...]:
    """Everything by which an error names itself, Google's reasons among them."""
    reasons = [detail.get("reason") for detail in objects(error.get("details"))] if "details" in error else []
    found = [error[key] for key in _NAMING if key in error]
    return (*found, *reasons)


def _message(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text[found.end() :] if (found := _EXECUTOR.match(text)) else text


def _status(value: object) -> int:
    if isinstance(value, str):
        value = int(value) if _ERROR_STATUS.fullmatch(value) else 0
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599 else 0


# LiteLLM of a model that is not in its model_list (1.106, ProxyModelNotFoundError), or not served now.
_UNKNOWN_MODEL = re.compile(rb"Invalid model name passed in model=|model_not_found|No deployments? available")


def says_unknown_model(body: bytes) -> bool:
    """Whether LiteLLM says that it does not know the model."""
    return _UNKNOWN_MODEL.search(body) is not None
