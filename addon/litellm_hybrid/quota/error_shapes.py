"""The shapes in which CLIProxyAPI and the providers write an error, read into one `Failure`.

Only what stands at the top level counts; everything else is an answer, whatever
words it holds:

    {"error": {…}}                                        "object"
    {"type": "error", "error": {…}}                       "claude"
    {"error": "text", "code": …}                          "coded"
    {"error": "text"}                                     "bare", as CLIProxyAPI's own refusals
    {"type": "error", "code": …, "message": …}            "flat"
    {"type": "response.failed", "response": {"error": {…}}}  "object"
    [{"error": {…}}]                                      as its first element

A `message` that is itself such an error is unwrapped once: CLIProxyAPI's stream
writers put a provider's whole body there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from litellm_hybrid.message.json import decode

Fields = Mapping[str, object]
Shape = Literal["", "object", "claude", "coded", "bare", "flat"]

ANSWER_KEYS = frozenset({"choices", "content", "candidates", "output"})
"""What a 200 that answers has at its top level, in the four APIs."""

_EXECUTOR = re.compile(r"[a-z]{1,32} executor: upstream returned error event: ", re.IGNORECASE)
_PHRASE_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """One refusal, as the rules see it.

    Attributes:
        http: the answer's HTTP status.
        status: the same, or in a 200 the status that the error itself states; 0 if none.
        shape: how it was written; "" for a body that is no error shape.
        names: its types, codes and statuses in lower case; a code `a:b` counts as `b`, too.
        wrapper_names: the same for the error whose `message` this one was.
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
    message: str = ""
    phrase: str = ""
    sources: tuple[Fields, ...] = ()
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Layer:
    """One error object, before unwrapping."""

    shape: Shape
    fields: Fields
    top: Fields
    message: str
    codes: tuple[object, ...]

    @property
    def names(self) -> frozenset[str]:
        words = [code.strip().lower() for code in self.codes if isinstance(code, str)]
        return frozenset(word for word in words for word in (word, word.rpartition(":")[2]) if word)

    @property
    def stated(self) -> int:
        """The HTTP status that the error names: Google's `code`, a websocket frame's `status`."""
        numbers = (_status(value) for value in (*self.codes, self.top.get("status")))
        return next((number for number in numbers if number), 0)


def read(payload: object, http: int) -> Failure | None:
    """The failure that a decoded JSON answer, or one event's data, states.

    Args:
        payload: whatever JSON held.
        http: the answer's HTTP status.

    Returns:
        None if it is an answer, or nothing known.
    """
    top = _first(payload)
    if isinstance(top, dict) and http < 400 and not ANSWER_KEYS.isdisjoint(top):
        return None
    outer = _layer(top)
    if outer is None:
        return None
    inner = _layer(_first(decode(outer.message))) if outer.message.startswith(("{", "[")) else None
    layers = (outer,) if inner is None else (inner, outer)
    # In a 400 that blames the request, JSON may be the user's own, quoted: it names nothing.
    quoted = http == 400 and "invalid_request_error" in outer.names
    named = outer if quoted else next((layer for layer in layers if layer.names), outer)
    return Failure(
        http=http,
        status=http if http >= 400 else next((layer.stated for layer in layers if layer.stated), 0),
        shape=outer.shape,
        names=named.names,
        wrapper_names=outer.names,
        message=layers[0].message,
        phrase=_phrase(layers[0].message),
        sources=tuple(fields for layer in layers for fields in (layer.fields, layer.top)),
        messages=tuple(layer.message for layer in layers),
    )


def _first(payload: object) -> object:
    return payload[0] if isinstance(payload, list) and payload else payload


def _phrase(message: str) -> str:
    return " ".join(message[:_PHRASE_LONGEST].lower().replace("\u2019", "'").split())


def _layer(payload: object) -> _Layer | None:
    if not isinstance(payload, dict):
        return None
    kind, error = payload.get("type"), payload.get("error")
    if kind == "response.failed" and isinstance(response := payload.get("response"), dict):
        error = response.get("error") or error
    if isinstance(error, dict) and error:
        codes = tuple(error.get(key) for key in ("type", "code", "status", "status_code"))
        shape: Shape = "claude" if kind == "error" else "object"
        return _Layer(shape, error, payload, _message(error.get("message")), codes)
    code = payload.get("code")
    if isinstance(error, str) and error.strip():
        coded = bool(code) and isinstance(code, (str, int))
        return _Layer("coded" if coded else "bare", payload, payload, _message(error), (code,))
    if kind == "error" and error is None:
        message = _message(payload.get("message"))
        codes = (payload.get("error_type"), code)
        return _Layer("flat", payload, payload, message, codes) if message or any(codes) else None
    return None


def _message(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text[found.end() :] if (found := _EXECUTOR.match(text)) else text


def _status(value: object) -> int:
    if isinstance(value, str):
        value = int(value) if re.fullmatch(r"[45]\d\d", value, re.ASCII) else 0
    return value if isinstance(value, int) and 400 <= value <= 599 else 0
