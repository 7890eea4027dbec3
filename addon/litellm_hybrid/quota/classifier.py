"""Does this response mean that the account behind upstream cannot serve the request?

Pure functions of the response and the clock: error_shapes.py reads an error, content.py what an answer
carries, the table in rules.py decides, retry_after.py reads the wait. Headers have names in lower case,
`now` is epoch seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from litellm_hybrid.message import sse
from litellm_hybrid.message.json import decode
from litellm_hybrid.quota import content, error_shapes
from litellm_hybrid.quota.content import Carries
from litellm_hybrid.quota.error_shapes import ErrorPayload, Shape
from litellm_hybrid.quota.retry_after import retry_after
from litellm_hybrid.quota.rules import RULES, UNKNOWN_PROVIDER, Rule

MESSAGE_LONGEST = 200

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a response means.

    Attributes:
        kind: one of `settings.FALLBACK_KINDS` except `unreachable`; "none" is no reason to fall back.
        reason: names the rule that decided, as in `quota code model_cooldown`.
        retry_after: the wait that the response states, in whole seconds; None if it states none.
        per_request: only this request is refused, the account serves others: no cooldown.
        message: the provider's words for the log, on one line, at most 200 characters.
    """

    kind: str
    reason: str
    retry_after: float | None = None
    per_request: bool = False
    message: str = ""

    @property
    def is_unknown_provider(self) -> bool:
        """Whether CLIProxyAPI says that it has no account for the model, or has never had one."""
        return self.reason == UNKNOWN_PROVIDER

    def for_known_model(self) -> "Verdict":
        """The verdict where upstream has served or listed the model before.

        CLIProxyAPI forgets a model with its last account, and then says that no provider is known
        for it: the account is gone, and not the model.
        """
        return replace(self, kind="no-credential") if self.is_unknown_provider else self


ANSWER = Verdict("none", "answer")
"""Content, or an end that says why there is none: an answer, whatever words it holds."""

NO_ANSWER = Verdict("no-answer", "ended with nothing in it")
"""The end of a response that has nothing in it and nothing counted."""


class StreamJudge:
    """Judges a stream event by event: what decides is the first event past its opening."""

    __slots__ = ("_headers", "_status", "_unknown")

    def __init__(self, *, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        self._status = status
        self._headers = headers
        self._unknown = False

    def event(self, event: sse.Event, *, now: float) -> Verdict | None:
        """Judge the next event; None for one of the opening: hold on.

        Otherwise nothing after it matters: of kind "none" (content, or the request's own fault) it releases
        the stream.
        """
        if event.data.strip() == "[DONE]":
            return NO_ANSWER
        payload = decode(event.data)
        if payload is None:
            return ANSWER if event.data.strip() not in ("", "null") else None
        error = error_shapes.read(payload, self._status, in_stream=True)
        if error is not None:
            return _decide(error, self._headers, now)
        if content.failed(payload):
            return NO_ANSWER
        carried = content.read(payload, event.name)
        if carried in (Carries.CONTENT, Carries.END):
            return ANSWER
        self._unknown |= carried is Carries.OTHER
        return NO_ANSWER if carried is Carries.EMPTY else None

    def end(self) -> Verdict:
        """Judge the end of a stream that has been nothing but opening."""
        return ANSWER if self._unknown else NO_ANSWER

    def whole(self, body: bytes, *, now: float) -> Verdict:
        """Judge a whole stream at once."""
        verdicts = (self.event(event, now=now) for event in sse.events(body))
        return next((verdict for verdict in verdicts if verdict is not None), None) or self.end()


def classify(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> Verdict:
    """Classify a complete response; `body` is without content coding."""
    if status != 101 and not (200 <= status < 300 or status >= 400):
        return ANSWER
    text = body.removeprefix(_BOM).lstrip()
    if not text.startswith((b"{", b"[")) and (_is_stream(headers) or sse.is_stream(text)):
        return _classify_stream(status, headers, body, now)
    return classify_decoded(status, headers, text, decode(text), now=now)


def classify_decoded(
    status: int, headers: Mapping[str, str], text: bytes, payload: object, *, now: float
) -> Verdict:
    """Classify a complete response that is no stream; `payload`: what JSON says in its `text`, or None."""
    error = error_shapes.read(payload, status)
    if error is not None:
        return _decide(error, headers, now)
    if status >= 400:
        return _decide(_shapeless(status, text, is_json=isinstance(payload, dict)), headers, now)
    return _classify_answer(status, headers, text, payload)


def classify_unread(status: int, headers: Mapping[str, str], *, now: float) -> Verdict:
    """Classify a response whose body cannot be read: too long, cut off, or in a broken coding."""
    if status < 400:
        return ANSWER
    return _decide(_shapeless(status, b"(a body that cannot be read)"), headers, now)


def _classify_answer(status: int, headers: Mapping[str, str], text: bytes, payload: object) -> Verdict:
    if status != 200:
        return ANSWER
    if not text:
        return NO_ANSWER if "json" in headers.get("content-type", "").partition(";")[0].lower() else ANSWER
    empty = content.failed(payload) or content.read(payload, whole=True) is Carries.EMPTY
    return NO_ANSWER if empty else ANSWER


def _is_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").strip().lower().startswith("text/event-stream")


def _classify_stream(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Verdict:
    judge = StreamJudge(status=status, headers=headers)
    if status == 200:
        return judge.whole(body, now=now)
    verdicts = (judge.event(event, now=now) for event in sse.events(body))
    error = next((verdict for verdict in verdicts if verdict not in (None, ANSWER, NO_ANSWER)), None)
    return error or (ANSWER if status < 400 else _decide(_shapeless(status, body), headers, now))


def _shapeless(status: int, body: bytes, *, is_json: bool = False) -> ErrorPayload:
    """An error status whose body is no shape that is known; its words are read all the same."""
    shape: Shape = "other" if is_json else ""
    text = body[: 4 * MESSAGE_LONGEST].decode(errors="replace").strip()
    return ErrorPayload(
        http=status,
        status=status,
        shape=shape,
        message=text,
        phrase=error_shapes.phrase_of(text),
        messages=(text,),
    )


def _decide(error: ErrorPayload, headers: Mapping[str, str], now: float) -> Verdict:
    rule, reason = _first(error)
    kind = "none" if rule is None else rule.kind
    wait = None
    # Upstream can say when, on a websocket too, where nothing can be replayed.
    if kind != "none" or error.http == 101:
        wait = retry_after(headers, error.sources, error.messages, now=now)
    return Verdict(
        kind=kind,
        reason=reason,
        retry_after=wait,
        per_request=rule is not None and rule.per_request,
        message=_one_line(error.messages[0] if error.messages else ""),
    )


def _first(error: ErrorPayload) -> tuple[Rule | None, str]:
    if error.http == 101:
        return None, "websocket"
    for rule in RULES:
        if reason := rule.reason(error):
            return rule, reason
    return None, "no rule"


def _one_line(text: str) -> str:
    line = " ".join(text[: 4 * MESSAGE_LONGEST].split())
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return printable if len(printable) <= MESSAGE_LONGEST else printable[: MESSAGE_LONGEST - 1] + "…"
