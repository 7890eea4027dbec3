"""The fallbacks of a while ago, for people who look, and how many there were of each kind."""

from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum

MOST = 50
"""How many fallbacks are remembered."""


class Outcome(StrEnum):
    """What became of a fallback."""

    RUNNING = "running"
    SERVED = "served"
    """The client got LiteLLM's answer."""
    ABORTED = "aborted"
    """LiteLLM's answer broke off, or the client left."""
    FAILED = "failed"
    """LiteLLM could not help: the client got upstream's answer."""
    NOT_ATTEMPTED = "not-attempted"
    """It was not tried: the client may not, the budget is spent, LiteLLM does not know the model."""


@dataclass(slots=True)
class Replayed:
    """One fallback.

    Attributes:
        at: when upstream's failure was seen, epoch seconds.
        model: as the client spells it.
        kind: as in `fallback.on`.
        upstream_status: None: upstream did not answer at all.
        retry_after: the wait in seconds that upstream's answer named.
        why: why LiteLLM did not help: a status or an error type, as in the route header.
    """

    at: float
    request_id: str
    model: str
    kind: str
    upstream_status: int | None
    retry_after: float | None
    outcome: Outcome = Outcome.RUNNING
    why: str = ""


class Recent:
    """Remembers the last fallbacks and counts all.

    Attributes:
        last: the oldest first.
        counts: (kind, outcome) → how many have ended so.
    """

    def __init__(self) -> None:
        self.last: deque[Replayed] = deque(maxlen=MOST)
        self.counts: Counter[tuple[str, str]] = Counter()
        self._running: dict[str, Replayed] = {}

    def begun(self, key: str, replayed: Replayed) -> None:
        """A request is sent again, to LiteLLM; `key` is its flow's id."""
        self._running[key] = replayed
        self.last.append(replayed)

    def refused(self, replayed: Replayed, why: str) -> None:
        """One was called for, but not tried."""
        self.last.append(replayed)
        self._settle(replayed, Outcome.NOT_ATTEMPTED, why)

    def failed(self, key: str, why: str) -> None:
        """LiteLLM did not help."""
        if (replayed := self._running.pop(key, None)) is not None:
            self._settle(replayed, Outcome.FAILED, why)

    def ended(self, key: str, *, whole: bool) -> None:
        """A request has ended; `whole`: with an answer to its end."""
        if self._running and (replayed := self._running.pop(key, None)) is not None:
            self._settle(replayed, Outcome.SERVED if whole else Outcome.ABORTED)

    def _settle(self, replayed: Replayed, outcome: Outcome, why: str = "") -> None:
        replayed.outcome, replayed.why = outcome, why
        self.counts[replayed.kind, outcome.value] += 1
