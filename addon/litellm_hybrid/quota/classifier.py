"""Does a response mean that the account behind upstream cannot serve the request? Does LiteLLM's answer it?

Pure functions of the response and the clock: error_shapes.py reads an error, content.py what an answer
carries, the table in rules.py decides, retry_after.py reads the wait. Headers have names in lower case,
`now` is epoch seconds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType

from litellm_hybrid.message import sse
from litellm_hybrid.message.json import decode, members, objects
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
        matched: those that the rule holds by, in lower case; "" where a code or a status decides.
    """

    kind: str
    reason: str
    retry_after: float | None = None
    per_request: bool = False
    message: str = ""
    matched: str = field(default="", compare=False)

    @property
    def rule(self) -> str:
        """Name the rule, and upstream's words by which it holds: `words 'used up': quota is exhausted`."""
        return f"{self.reason}: {self.matched}" if self.matched else self.reason

    @property
    def is_suspension(self) -> bool:
        """Whether CLIProxyAPI only says that it has suspended an account for a failure before this one."""
        return self.kind == "no-credential" and "auth_unavailable" in f"{self.reason} {self.message}"

    def for_known_model(self) -> "Verdict":
        """The verdict where upstream has served or listed the model before.

        CLIProxyAPI forgets a model with its last account, and then says that no provider is known
        for it: the account is gone, and not the model.
        """
        return replace(self, kind="no-credential") if self.reason == UNKNOWN_PROVIDER else self


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
    if _is_stream(headers, text):
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


def _is_stream(headers: Mapping[str, str], text: bytes) -> bool:
    says_so = headers.get("content-type", "").strip().lower().startswith("text/event-stream")
    return not text.startswith((b"{", b"[")) and (says_so or bool(sse.is_stream(text)))


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


type _Said = tuple[int, Shape, frozenset[str], frozenset[str], tuple[str, ...], str, str]
"""What a rule asks of an `ErrorPayload`, in its order."""

type _Decision = tuple[Rule | None, str, str]
"""The rule that decides, its reason, and the words that it holds by."""

_REMEMBERED = 2000
"""Characters of an error: what is longer is looked up each time."""


def _decide(error: ErrorPayload, headers: Mapping[str, str], now: float) -> Verdict:
    rule, reason, matched = _first(error)
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
        matched=matched,
    )


def _first(error: ErrorPayload) -> _Decision:
    if error.http == 101:
        return None, "websocket", ""
    names, around = error.names, error.wrapper_names
    said = error.status, error.shape, names, around, error.codes, error.message, error.phrase
    length = len(error.message) + sum(map(len, names)) + sum(map(len, around))
    return _remembered(said) if length <= _REMEMBERED else _look_up(said)


def _look_up(said: _Said) -> _Decision:
    error = ErrorPayload(said[0], *said)
    named = error.names | error.wrapper_names
    for rule in RULES:
        # As most: it is about other codes, or another status.
        if (rule.names and rule.names.isdisjoint(named)) or (
            rule.statuses and error.status not in rule.statuses
        ):
            continue
        if reason := rule.reason(error):
            return rule, reason, "" if rule.kind == "none" else _one_line(rule.matched(error.phrase))
    return None, "no rule", ""


_remembered = lru_cache(maxsize=64)(_look_up)
"""An account that is used up has the same words for each request."""


def _one_line(text: str) -> str:
    line = " ".join(text[: 4 * MESSAGE_LONGEST].split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return line if len(line) <= MESSAGE_LONGEST else line[: MESSAGE_LONGEST - 1] + "…"


# -- LiteLLM's answer to a replay --------------------------------------------------
#
# A response that answers nothing must not take the place of upstream's own: it has to be a 200 in JSON or
# events, without an error, with content or an end that says why there is none. Another endpoint's
# (count_tokens, embeddings …) has to be JSON without an error. Where the request wants a compaction (Codex),
# an answer without one leaves the client with a history that it cannot go on from.

_COMPACTS = re.compile(r"/responses/compact/?$")

NO_COMPACTION = Verdict("no-answer", "no compaction in it")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request wants of its answer.

    Attributes:
        generates: it is for one of the four APIs' own endpoints.
        compaction: it wants the conversation compacted.
    """

    generates: bool = True
    compaction: bool = False

    @classmethod
    def of(cls, path: str, body: bytes, *, generates: bool) -> "Asked":
        """Read a request: `path` with or without the query, `body` without content coding."""
        triggers = False
        if b"compaction_trigger" in body:
            asked = objects(members(decode(body)).get("input"))
            triggers = any(item.get("type") == "compaction_trigger" for item in asked)
        return cls(generates, triggers or bool(_COMPACTS.search(path.partition("?")[0])))


def refused_by_head(status: int, content_type: str) -> Verdict | None:
    """Why a response can be no answer, by its head alone; None where its body decides."""
    if status != 200:
        return Verdict("litellm", f"status {status}")
    kind = content_type.partition(";")[0].strip().lower()
    if kind in {"text/event-stream", "application/json"} or kind.endswith("+json"):
        return None
    return Verdict("litellm", f"content type {kind or 'missing'}")


def classify_replay(
    wanted: Asked, status: int, headers: Mapping[str, str], body: bytes, *, now: float
) -> Verdict:
    """Classify LiteLLM's complete response to a replay: `ANSWER`, or a verdict that says why it is none."""
    refused = refused_by_head(status, headers.get("content-type", ""))
    if refused is not None:
        return refused
    text = body.removeprefix(_BOM).lstrip()
    if _is_stream(headers, text):
        return ReplayJudge(wanted, headers=headers).whole(body, now=now)
    return _classify_replay(wanted, status, headers, text, now)


def _classify_replay(
    wanted: Asked, status: int, headers: Mapping[str, str], text: bytes, now: float
) -> Verdict:
    payload = decode(text)
    if (error := error_shapes.read(payload, status)) is not None:
        return _decide(error, headers, now)
    carried = content.read(payload, whole=True)
    if not text or carried is Carries.EMPTY or content.failed(payload):
        return NO_ANSWER
    if wanted.compaction:
        return ANSWER if _has_compaction(payload) else NO_COMPACTION
    if wanted.generates:
        return ANSWER if carried in (Carries.CONTENT, Carries.END) else NO_ANSWER
    return ANSWER if isinstance(payload, (dict, list)) else NO_ANSWER


class ReplayJudge(StreamJudge):
    """A `StreamJudge` for LiteLLM's stream: nothing but an answer to what was asked decides for it."""

    __slots__ = ("_wanted",)

    def __init__(self, wanted: Asked, *, headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self._wanted = wanted

    def event(self, event: sse.Event, *, now: float) -> Verdict | None:
        """Judge the next event, as `StreamJudge.event`."""
        verdict = super().event(event, now=now)
        if verdict is not ANSWER or not self._wanted.compaction:
            return verdict
        if _has_compaction(decode(event.data)):
            return ANSWER
        return NO_COMPACTION if event.name.startswith(("response.completed", "response.incomplete")) else None

    def end(self) -> Verdict:
        """Judge the end of a stream that has been nothing but opening."""
        return NO_COMPACTION if self._wanted.compaction else NO_ANSWER


def _has_compaction(payload: object) -> bool:
    """Whether a response, or an event of one, has a compaction among its items."""
    told = members(payload)
    response = members(told.get("response")) or told
    items = [members(told.get("item")), *objects(response.get("output"))]
    return any(str(item.get("type")).startswith("compaction") for item in items)
