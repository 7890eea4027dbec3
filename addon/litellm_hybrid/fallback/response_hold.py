"""Which answers are held back, and for how long: those that could still turn out to be a failure.

An answer that is held has not reached the client yet, so it can be replaced.
Held are error statuses, a 200 in JSON until it is complete, and a 200 event
stream until its first event past the handshake. Pure: the bytes come in, an
`Outcome` comes out, and the caller does what it says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from litellm_hybrid.message import sse
from litellm_hybrid.message.decoders import UndecodableError, decode
from litellm_hybrid.proxy.held_response import HoldDecision
from litellm_hybrid.quota import classifier as quota
from litellm_hybrid.quota.classifier import Verdict

MOST_AT_ONCE = 1024
"""How many answers are held at the same time: 64 MiB of them at the most. Others are not held."""

MOST = 64 * 1024
"""The most bytes of an answer that are held."""

HANDSHAKE_LIMIT = 5.0
"""Longest time, in seconds, that a stream's opening events are held."""

REPLAY_LIMIT = 0.5
"""The same for the answer to a replay: its client has waited already."""

COLLECT_LIMIT = 0.3
"""Longest time, in seconds, that the rest of a failed answer is waited for, to be given back whole."""


HISTORY = "history"
"""The kind of a verdict that is a refusal of the request's history; `Verdict.reason` says which."""

type Refuses = Callable[[int, bytes], str | None]
"""Which refusal of a foreign history an answer (status and body) is, or None."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer.

    Attributes:
        headers: names in lower case.
    """

    status: int
    headers: Mapping[str, str]

    @property
    def is_stream(self) -> bool:
        """Whether it is a stream of events."""
        return self._content_type == "text/event-stream"

    @property
    def is_json(self) -> bool:
        """Whether it says that it is JSON."""
        return self._content_type == "application/json" or self._content_type.endswith("+json")

    @property
    def _content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_plain(self) -> bool:
        """Whether its body has no content coding."""
        return self.headers.get("content-encoding", "").strip().lower() in ("", "identity")


def is_suspect(answer: Answer) -> bool:
    """Whether an answer could be a failure, by its head."""
    if answer.status >= 400:
        return True
    if answer.status != 200:
        return False
    # A compressed stream cannot be read event by event without being decoded on the way.
    return answer.is_json or (answer.is_stream and answer.is_plain)


class JudgedResponse:
    """A `proxy.interfaces.HeldResponse`: what has come of it, and what that means so far.

    Attributes:
        body: the bytes held, in order, as they came.
        verdict: why it failed, once it has.
        complete: whether its end has come.
        on_close: called once it is held no longer.
    """

    __slots__ = (
        "_answer",
        "_by_head",
        "_events",
        "_fails",
        "_limit",
        "_refuses",
        "_since",
        "body",
        "complete",
        "on_close",
        "verdict",
    )

    def __init__(
        self,
        answer: Answer,
        *,
        since: float,
        hold_max: float,
        fails: Callable[[Verdict], bool],
        opening_max: float = HANDSHAKE_LIMIT,
        refuses: Refuses | None = None,
    ) -> None:
        """Begin to hold.

        Args:
            answer: the head.
            since: when it came, on a monotonic clock.
            hold_max: longest time, in seconds, that anything but a stream's opening is held.
            opening_max: the same for a stream's opening.
            fails: which verdicts are failures; the others release.
            refuses: tells a refusal of the request's history, where one would be acted on; it makes the
                verdict's kind `history`.
        """
        opening = answer.is_stream and answer.is_plain and answer.status < 400
        self._answer = answer
        self._events = sse.EventReader() if opening else None
        self._fails = fails
        self._refuses = refuses
        self._limit = opening_max if opening else hold_max
        self._since = since
        self.body = bytearray()
        self.verdict: Verdict | None = None
        self.complete = False
        self.on_close: Callable[[JudgedResponse], None] | None = None
        self._by_head = False

    @property
    def due(self) -> float:
        """When, on the clock of `since`, `expire` has to be called."""
        return self._since + self._limit

    @property
    def is_failure(self) -> bool:
        """Whether there is a verdict, and only the rest of the words is waited for."""
        return self.verdict is not None

    def feed(self, data: bytes, *, now: float, clock: float) -> HoldDecision:
        """More of the body has come.

        Args:
            data: as it came, content coding still on it.
            now: epoch seconds.
            clock: the clock of `since`.
        """
        self.body += data
        if self._events is not None and self.verdict is None:
            for event in self._events.feed(data):
                verdict = quota.classify_event(event, now=now, headers=self._answer.headers)
                if verdict is None:
                    continue
                verdict = self._refusal(event.data.encode()) or verdict
                if verdict.kind != HISTORY and not self._fails(verdict):
                    return HoldDecision.RELEASE
                self.verdict = verdict
                self._since, self._limit = clock, COLLECT_LIMIT
                break
        return HoldDecision.HOLD if len(self.body) <= MOST else self.expire()

    def end(self, *, now: float) -> HoldDecision:
        """Its end has come."""
        self.complete = True
        if self.verdict is None or self._by_head:
            self._judge(now)
        return HoldDecision.RELEASE if self.verdict is None else HoldDecision.REPLACE

    def expire(self) -> HoldDecision:
        """`due` has passed, or there is too much of it."""
        return HoldDecision.TIMED_OUT if self.verdict is None else HoldDecision.REPLACE

    def close(self) -> None:
        """It is held no longer, whatever has become of it."""
        if self.on_close is not None:
            self.on_close(self)

    def fail(self, verdict: Verdict) -> None:
        """Make it a failure by its head alone; its words are waited for a moment."""
        self.verdict = verdict
        self._limit = COLLECT_LIMIT
        self._by_head = True

    def _judge(self, now: float) -> None:
        try:
            body = decode(bytes(self.body), self._answer.headers.get("content-encoding", ""), limit=16 * MOST)
        except UndecodableError:
            return
        refusal = self._refusal(body)
        verdict = refusal or quota.classify(self._answer.status, self._answer.headers, body, now=now)
        if refusal is not None or (self.verdict is None and self._fails(verdict)):
            self.verdict = verdict

    def _refusal(self, body: bytes) -> Verdict | None:
        reason = self._refuses(self._answer.status, body) if self._refuses is not None else None
        return Verdict(HISTORY, reason) if reason is not None else None
