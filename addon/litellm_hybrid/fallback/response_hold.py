"""Which responses are held back, and for how long: those that could still turn out to be a failure.

A response that is held has not reached the client yet, so it can be replaced. Held are error
statuses, a 200 in JSON until it is complete, and a 200 stream of events until its first content.
Pure: the bytes come in, a `HoldDecision` comes out, and the caller does what it says.
"""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import wraps
from typing import Concatenate

from litellm_hybrid.config.settings import DEFAULT_FALLBACK_KINDS, Fallback
from litellm_hybrid.message import sse
from litellm_hybrid.message.decoders import UndecodableError, decode
from litellm_hybrid.proxy.held_response import HoldDecision
from litellm_hybrid.quota import classifier, gauge
from litellm_hybrid.quota.classifier import Asked, ReplayJudge, StreamJudge, Verdict

MOST_AT_ONCE = 1024
"""How many responses are held at the same time; others are not held."""

MOST_IN_ALL = 64 * 1024 * 1024
"""How many bytes of responses are held at the same time before further ones are not."""

MOST = 64 * 1024
"""The most bytes of a response that are held, but for a stream's opening."""

OPENING_MOST = 1024 * 1024
"""The most bytes of a stream's opening: Codex's repeats a request's instructions and tools three times."""

MOST_BEFORE_ERROR = 200
"""How many bytes of a long JSON are looked at for an error: one stands first, or behind a type."""

OPENING_LIMIT = 20.0
"""Longest time, in seconds, that a stream's opening is held, unless the settings say otherwise."""

COLLECT_LIMIT = 0.3
"""Longest time, in seconds, that the rest of a failed response is waited for, to be given back whole."""


HISTORY = "history"
"""The kind of a verdict that is a refusal of the request's history; `Verdict.reason` says which."""

type Refuses = Callable[[int, bytes], str | None]
"""Which refusal of a foreign history a response (status and body) is, or None."""

_SNIFFED = 4096
"""How many bytes are looked at for a stream's beginning; CLIProxyAPI's blank lines come first."""

_NAMELESS = frozenset({"", "application/octet-stream", "text/plain"})
"""Labels under which CLIProxyAPI's versions have sent events."""


@dataclass(slots=True)
class ResponseHead:
    """The head of a response.

    Attributes:
        headers: names in lower case.
        content_type: the media type, in lower case and without parameters.
    """

    status: int
    headers: Mapping[str, str]
    content_type: str = field(init=False)

    def __post_init__(self) -> None:
        self.content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_stream(self) -> bool:
        """Whether it says that it is a stream of events."""
        return self.content_type == "text/event-stream"

    @property
    def is_json(self) -> bool:
        """Whether it says that it is JSON."""
        return self.content_type == "application/json" or self.content_type.endswith("+json")

    @property
    def is_plain(self) -> bool:
        """Whether its body has no content coding."""
        return self.headers.get("content-encoding", "").strip().lower() in ("", "identity")


# What a status alone says of the account, where the body is not waited for.
_BY_STATUS = {402: "quota", 429: "quota", 503: "overload", 529: "overload"}


def is_excepted(fallback: Fallback, model: str, status: int, kind: str = "") -> bool:
    """Whether a failure of upstream's that falls back by default does not, by the settings.

    Args:
        fallback: the settings.
        model: as the client spells it.
        status: of the response.
        kind: what it means, as in `fallback.on`; "": it was not held, and only its status is known.
    """
    by_status = _BY_STATUS.get(status)
    if not fallback.enabled or (by_status is None and kind not in DEFAULT_FALLBACK_KINDS):
        return False  # as of nearly all
    covered = fallback.covers(model)
    said = kind if kind and covered else by_status  # of others the client has got the beginning
    missing = DEFAULT_FALLBACK_KINDS - fallback.on if covered else DEFAULT_FALLBACK_KINDS
    return said in missing


def needs_inspection(head: ResponseHead) -> bool:
    """Whether a response could be a failure, by its head."""
    if head.status >= 400:
        return True
    if head.status != 200:
        return False
    # A compressed stream cannot be read event by event without being decoded on the way.
    return head.is_json or (head.is_plain and (head.is_stream or head.content_type in _NAMELESS))


def _fail_closed[**P](
    judge: Callable[Concatenate["JudgedResponse", P], HoldDecision],
) -> Callable[Concatenate["JudgedResponse", P], HoldDecision]:
    """Decide without a judgement where our own code fails: else the client would wait."""

    @wraps(judge)
    def guarded(self: "JudgedResponse", /, *args: P.args, **kwargs: P.kwargs) -> HoldDecision:
        try:
            return judge(self, *args, **kwargs)
        except Exception as e:  # noqa: BLE001 (whatever a server has sent)
            if self.on_fault is not None:
                self.on_fault(e)
            return HoldDecision.RELEASE if self.verdict is None else HoldDecision.REPLACE

    return guarded


@dataclass(slots=True, eq=False)
class JudgedResponse:
    """A `proxy.interfaces.HeldResponse`: what has come of it, and what that means so far.

    Attributes:
        since: when its head came, on a monotonic clock.
        hold_max: longest time, in seconds, that anything but a stream's opening is held.
        fails: which verdicts are failures; the others release.
        opening_max: as `hold_max`, for a stream's opening.
        refuses: tells a refusal of the request's history, where one would be acted on; it makes the
            verdict's kind `history`.
        asked: of LiteLLM's response to a replay, what the request wanted; None for upstream's.
        known_model: whether upstream has served or listed the request's model before.
        on_close: called once it is held no longer.
        on_rate_limits: gets the data of an event that says how much of a quota is used.
        body: the bytes held, in order, as they came.
        verdict: why it failed, once it has.
        words: what the verdict was read from: the body, decoded, or an event's data.
        complete: whether its end has come.
        due: when, on the clock of `since`, `expire` has to be called.
    """

    head: ResponseHead
    _: KW_ONLY
    since: float
    hold_max: float
    fails: Callable[[Verdict], bool]
    opening_max: float = OPENING_LIMIT
    refuses: Refuses | None = None
    asked: Asked | None = None
    known_model: Callable[[], bool] = lambda: False
    on_close: Callable[["JudgedResponse"], None] | None = None
    on_rate_limits: Callable[[str], None] | None = None
    on_fault: Callable[[Exception], None] | None = None
    body: bytearray = field(default_factory=bytearray, init=False)
    verdict: Verdict | None = field(default=None, init=False)
    words: bytes = field(default=b"", init=False)
    complete: bool = field(default=False, init=False)
    due: float = field(init=False)
    _events: sse.EventReader | None = field(default=None, init=False)
    _judge: StreamJudge | None = field(default=None, init=False)
    _sniffed: bool = field(init=False)
    _by_head: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.due = self.since + self.hold_max
        self._sniffed = self.head.status >= 400 or not self.head.is_plain
        if self.head.is_stream and not self._sniffed:
            self._read_events()

    @property
    def is_failure(self) -> bool:
        """Whether there is a verdict, and only the rest of the words is waited for."""
        return self.verdict is not None

    @_fail_closed
    def feed(self, data: bytes, *, now: float, clock: float) -> HoldDecision:
        """More of the body has come, coding and all; `now`: epoch seconds, `clock`: that of `since`."""
        self.body += data
        if self.verdict is None:
            if not self._sniffed and (text := bytes(self.body[:_SNIFFED]).lstrip()):
                data = bytes(self.body)
                is_stream = sse.is_stream(text)
                self._sniffed = is_stream is not None
                if is_stream:
                    self._read_events()
                elif self._sniffed and not (self.head.is_json or text.startswith((b"{", b"["))):
                    return HoldDecision.RELEASE
            for event in self._events.feed(data) if self._events is not None else ():
                if self.on_rate_limits is not None and gauge.EVENT in event.data[:_SNIFFED]:
                    self.on_rate_limits(event.data)
                verdict = self._verdict_of(event, now)
                if verdict is None:
                    continue
                if verdict.kind != HISTORY and not self.fails(verdict):
                    return HoldDecision.RELEASE
                self.verdict = verdict
                self.due = clock + COLLECT_LIMIT
                break
        most = OPENING_MOST if self._events is not None and self.verdict is None else MOST
        return HoldDecision.HOLD if len(self.body) <= most else self._overflow(now)

    @_fail_closed
    def end(self, *, now: float) -> HoldDecision:
        """Its end has come."""
        self.complete = True
        if self.verdict is None or self._by_head:
            self._judge_whole(now)
        return HoldDecision.RELEASE if self.verdict is None else HoldDecision.REPLACE

    @_fail_closed
    def expire(self, *, now: float) -> HoldDecision:
        """`due` has passed; `now`: epoch seconds."""
        if self.verdict is None and self.head.status < 400:
            return HoldDecision.TIMED_OUT
        return self._by_status(now=now)

    def close(self) -> None:
        """It is held no longer, whatever has become of it."""
        if self.on_close is not None:
            self.on_close(self)

    def fail(self, verdict: Verdict) -> None:
        """Make it a failure by its head alone; its words are waited for a moment."""
        self.verdict = verdict
        self.due = self.since + COLLECT_LIMIT
        self._by_head = True

    def _read_events(self) -> None:
        self._sniffed = True
        self.due = self.since + self.opening_max
        self._events = sse.EventReader()
        headers = self.head.headers
        self._judge = (
            StreamJudge(headers=headers) if self.asked is None else ReplayJudge(self.asked, headers=headers)
        )

    def _verdict_of(self, event: sse.Event, now: float) -> Verdict | None:
        assert self._judge is not None
        verdict = self._judge.event(event, now=now)
        if verdict is None or verdict is classifier.ANSWER:
            return verdict
        self.words = event.data.encode()
        return self._refusal(self.words) or self._known(verdict)

    def _overflow(self, now: float) -> HoldDecision:
        """There is too much of it to be held."""
        if self.verdict is not None:
            return HoldDecision.REPLACE
        if self.head.status >= 400:
            return self._by_status(now=now)
        # An error is short: JSON of this length that does not begin with one is an answer.
        clear = self._events is None and b'"error"' not in self.body[:MOST_BEFORE_ERROR]
        return HoldDecision.RELEASE if clear else HoldDecision.TIMED_OUT

    def _by_status(self, *, now: float) -> HoldDecision:
        """Its end does not come, or cannot be read: the status decides."""
        self._set(classifier.classify_unread(self.head.status, self.head.headers, now=now))
        return HoldDecision.RELEASE if self.verdict is None else HoldDecision.REPLACE

    def _judge_whole(self, now: float) -> None:
        head = self.head
        try:
            body = decode(bytes(self.body), head.headers.get("content-encoding", ""), limit=16 * MOST)
        except UndecodableError:
            self._by_status(now=now)
            return
        self.words = body
        if self.asked is None:
            verdict = self._known(classifier.classify(head.status, head.headers, body, now=now))
        else:
            verdict = classifier.classify_replay(self.asked, head.status, head.headers, body, now=now)
        if verdict is not classifier.ANSWER and (refusal := self._refusal(body)) is not None:
            self.verdict = refusal
        else:
            self._set(verdict)

    def _known(self, verdict: Verdict) -> Verdict:
        known = verdict.for_known_model()
        return known if known is not verdict and self.known_model() else verdict

    def _set(self, verdict: Verdict) -> None:
        if self.verdict is None and self.fails(verdict):
            self.verdict = verdict

    def _refusal(self, body: bytes) -> Verdict | None:
        reason = self.refuses(self.head.status, body) if self.refuses is not None else None
        return Verdict(HISTORY, reason) if reason is not None else None


def hold_replay(
    head: ResponseHead,
    asked: Asked,
    answered: Callable[[bytes], None],
    *,
    since: float,
    opening_max: float,
    lost: Verdict | None = None,
) -> JudgedResponse | None:
    """Begin to hold LiteLLM's response to a replay: whatever is no answer is a failure.

    `asked` is what the request wants; `answered` gets the answer, as far as it has come; `opening_max`, in
    seconds, is also for JSON that does not end; `lost` says that the one who answers has not got all of the
    request. None for a compressed stream, which cannot be read on the way.
    """
    if head.status == 200 and head.is_stream and not (head.is_plain or lost):
        return None

    def fails(verdict: Verdict) -> bool:
        if verdict is classifier.ANSWER:
            answered(held.words or bytes(held.body))
        return verdict is not classifier.ANSWER

    held = JudgedResponse(
        head, since=since, hold_max=opening_max, opening_max=opening_max, fails=fails, asked=asked
    )
    if (refused := classifier.refused_by_head(head.status, head.content_type) or lost) is not None:
        held.fail(refused)
    return held
