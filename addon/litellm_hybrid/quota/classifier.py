"""Does this answer mean that the account behind upstream cannot serve the request?

A pure function of the answer and the clock. quota_shapes.py reads the answer,
the table in quota_rules.py decides, retry_after.py reads the wait.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from litellm_hybrid.message import sse
from litellm_hybrid.message.json import decode
from litellm_hybrid.quota import error_shapes as quota_shapes
from litellm_hybrid.quota.error_shapes import Failure
from litellm_hybrid.quota.retry_after import retry_after
from litellm_hybrid.quota.rule import Rule
from litellm_hybrid.quota.rule_table import RULES

MESSAGE_LONGEST = 200

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means.

    Attributes:
        kind: one of `settings.FALLBACK_KINDS` except `unreachable`; "none" is no reason to fall back.
        reason: names the rule that decided, as in `quota code model_cooldown`.
        retry_after: the wait that the answer states, in whole seconds; None if it states none.
        per_request: only this request is refused, the account serves others: no cooldown.
        message: the provider's words for the log, on one line, at most 200 characters.
    """

    kind: str
    reason: str
    retry_after: float | None = None
    per_request: bool = False
    message: str = ""


ANSWER = Verdict("none", "answer")
"""Content: an answer, whatever words it holds."""


def classify(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> Verdict:
    """Classify a complete answer.

    Args:
        status: the HTTP status.
        headers: names in lower case.
        body: without content coding. With `text/event-stream` the stream's text,
            from its first byte; the first event past the handshake decides.
        now: epoch seconds.
    """
    if status != 101 and not (200 <= status < 300 or status >= 400):
        return ANSWER
    text = body.removeprefix(_BOM).lstrip()
    if _is_stream(headers) and not text.startswith((b"{", b"[")):
        return _classify_stream(status, headers, body, now)
    if status < 300 and b"error" not in text:
        # Every shape has the word: a healthy answer costs no second reading.
        return ANSWER
    failure = quota_shapes.read(decode(text), status)
    if failure is None and status < 400:
        return ANSWER
    return _decide(failure or _shapeless(status, text), headers, now)


def classify_event(
    event: sse.Event, *, now: float, status: int = 200, headers: Mapping[str, str] = _NO_HEADERS
) -> Verdict | None:
    """Classify one event of a stream that is being held.

    Returns:
        None for an event of the handshake: hold on. Otherwise the verdict, and
        nothing after it matters: of kind "none" (content, or an error that is the
        request's own fault) it releases the stream.
    """
    failure = quota_shapes.read(decode(event.data), status)
    if failure is not None:
        return _decide(failure, headers, now)
    return None if sse.handshake(event) else ANSWER


def _is_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").strip().lower().startswith("text/event-stream")


def _classify_stream(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Verdict:
    reader = sse.EventReader()
    events = reader.feed(body)
    if last := reader.close():
        events.append(last)
    for event in events:
        if verdict := classify_event(event, now=now, status=status, headers=headers):
            return verdict
    if status < 400:
        return Verdict("server-error", "stream ended before its first content")
    return _decide(_shapeless(status, body), headers, now)


def _shapeless(status: int, body: bytes) -> Failure:
    """An error status whose body says nothing that counts; it is logged all the same."""
    return Failure(
        http=status, status=status, messages=(body[: 4 * MESSAGE_LONGEST].decode(errors="replace"),)
    )


def _decide(failure: Failure, headers: Mapping[str, str], now: float) -> Verdict:
    rule, reason = _first(failure)
    kind = "none" if rule is None else rule.kind
    wait = None
    # Upstream can say when, on a websocket too, where nothing can be replayed.
    if kind != "none" or failure.http == 101:
        wait = retry_after(headers, failure.sources, failure.messages, now=now)
    return Verdict(
        kind=kind,
        reason=reason,
        retry_after=wait,
        per_request=rule is not None and rule.per_request,
        message=_one_line(failure.messages[0] if failure.messages else ""),
    )


def _first(failure: Failure) -> tuple[Rule | None, str]:
    if failure.http == 101:
        return None, "websocket"
    for rule in RULES:
        if reason := rule.reason(failure):
            return rule, reason
    return None, "no rule"


def _one_line(text: str) -> str:
    line = " ".join(text[: 4 * MESSAGE_LONGEST].split())
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return printable if len(printable) <= MESSAGE_LONGEST else printable[: MESSAGE_LONGEST - 1] + "…"
