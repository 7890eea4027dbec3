"""What has happened: the last requests, fallbacks and reloads, and how the servers were when last asked."""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from litellm_hybrid.errors import Cause, ErrorType
from litellm_hybrid.observability.counters import RequestCounters, Spend

MOST = 50
"""How many requests, and how many fallbacks, are remembered."""

_MOST_MODELS = 1000

LATELY = 600.0
"""How long, in seconds, a model that nobody asks for counts as falling back: its quota may be there again."""

LONGEST = 200
"""Characters of a path, or of a model's name, that people are shown: a client chooses them."""

FAILED_FOR = 10.0
"""How long, in seconds, a failed connection speaks against a server that nothing was heard of since.

It ends by itself: a load balancer that sends no requests for it could never see one succeed.
"""

_UNCONNECTED = frozenset({Cause.CONNECT_FAILED, Cause.CONNECT_LIMIT})

# Of a replay that failed only the class is known; no response came in either.
_UNANSWERED = frozenset({ErrorType.NETWORK_ERROR.value, ErrorType.NETWORK_TIMEOUT.value})


def is_ordinary(method: str, reason: str, status: int | None) -> bool:
    """Whether an error status is as it should be.

    Claude Code looks with `HEAD /` whether somebody is there; Codex, whose websocket gets 426, comes by HTTP.
    """
    return (method, status) == ("HEAD", 404) or (reason, status) == ("websocket", 426)


@dataclass(slots=True)
class RequestRecord:
    """One request that has ended.

    Attributes:
        at: when it was complete, epoch seconds.
        litellm_model: what LiteLLM was asked for; "" if it was not asked.
        detail: behind the reason, as in the route header: `; upstream-status=429`.
        status: None: the client got no response, or not all of it.
        error: what went wrong between us and a server or the client, "" if nothing.
    """

    at: float
    request_id: str
    method: str
    path: str
    model: str
    litellm_model: str
    target: str
    reason: str
    detail: str
    status: int | None
    first_byte_ms: float | None
    duration_ms: float | None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    error: str = ""

    @property
    def tone(self) -> str:
        """How its status is shown: "bad" if it failed, "quiet" where an error is as it should be."""
        if is_ordinary(self.method, self.reason, self.status):
            return "quiet"
        return "bad" if self.status is None or self.status >= 400 else ""


class FallbackOutcome(StrEnum):
    """What became of a fallback."""

    RUNNING = "running"
    SERVED = "served"
    """The client got LiteLLM's response."""
    ABORTED = "aborted"
    """LiteLLM's response broke off, or the client left."""
    FAILED = "failed"
    """LiteLLM could not help: the client got upstream's response."""
    NOT_ATTEMPTED = "not-attempted"
    """Not tried: the client may not, the budget is spent, or LiteLLM does not know the model."""


@dataclass(slots=True)
class FallbackRecord:
    """One fallback.

    Attributes:
        at: when upstream's failure was seen, epoch seconds.
        kind: as in `fallback.on`.
        upstream_status: None: upstream did not respond at all.
        retry_after: the wait in seconds that upstream's response named.
        why: why LiteLLM did not help: a status or an error type, as in the route header.
    """

    at: float
    request_id: str
    model: str
    kind: str
    upstream_status: int | None
    retry_after: float | None
    outcome: FallbackOutcome = FallbackOutcome.RUNNING
    why: str = ""


class FallbackHistory:
    """Remembers the last fallbacks, the oldest first, and counts all by (kind, outcome)."""

    def __init__(self) -> None:
        self.last: deque[FallbackRecord] = deque(maxlen=MOST)
        self.counts: Counter[tuple[str, str]] = Counter()

    def started(self, record: FallbackRecord) -> None:
        """Record a fallback that is being replayed to LiteLLM."""
        self.last.append(record)

    def not_attempted(self, record: FallbackRecord, why: str) -> None:
        """Record a fallback that was required but not tried (budget, access, unknown model)."""
        self.last.append(record)
        self.ended(record, FallbackOutcome.NOT_ATTEMPTED, why)

    def ended(self, record: FallbackRecord, outcome: FallbackOutcome, why: str = "") -> None:
        """Record the outcome of a fallback, the first that is told."""
        if record.outcome is FallbackOutcome.RUNNING:
            record.outcome, record.why = outcome, why
            self.counts[record.kind, str(outcome)] += 1


@dataclass(slots=True)
class FallingBack:
    """A model that LiteLLM served last in upstream's place.

    Attributes:
        since, last: when it first and last did, since upstream has served the model; epoch seconds.
        why: a kind as in `fallback.on`, or a reason as in the route header.
        requests: how many it has served.
    """

    model: str
    since: float
    last: float
    why: str
    requests: int = 0


class FallingBackModels:
    """Which models fall back now: LiteLLM served their last request in upstream's place."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, FallingBack] = OrderedDict()

    def fell_back(self, model: str, why: str, now: float) -> bool:
        """LiteLLM has served a model in upstream's place; return whether that has begun with it."""
        found = self._models.get(model)
        if found is None:
            found = self._models[model] = FallingBack(model, now, now, why)
            if len(self._models) > _MOST_MODELS:
                self._models.popitem(last=False)
        found.last, found.why = now, why
        found.requests += 1
        self._models.move_to_end(model)
        return found.requests == 1

    def served(self, model: str) -> bool:
        """Upstream has served a model; return whether it was falling back."""
        return bool(self._models) and self._models.pop(model, None) is not None

    def now(self, now: float) -> tuple[FallingBack, ...]:
        """Return those that somebody has asked for lately, the last one first; `now`: epoch seconds."""
        return tuple(one for one in reversed(self._models.values()) if now - one.last < LATELY)


APPLIED = "applied"
REJECTED = "rejected"
"""The file has an error: the last good settings stay in force."""


@dataclass(frozen=True, slots=True)
class Reload:
    """One change of the configuration file: what an applied one changed, the problems of a rejected one."""

    at: float
    result: str
    lines: tuple[str, ...]


class ReloadHistory:
    """Remembers the last reload, counts all by result, and since when (epoch) the settings are in force."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.last: Reload | None = None
        self.counts: Counter[str] = Counter({APPLIED: 0, REJECTED: 0})

    def note(self, result: str, lines: Iterable[str], at: float) -> None:
        """Record a change: `APPLIED`, new settings are in force, or `REJECTED`."""
        self.last = Reload(at, result, tuple(lines))
        self.counts[result] += 1
        if result == APPLIED:
            self.since = at


class LastSeen:
    """How each server was when a request last went to it."""

    __slots__ = ("_answered", "_failed")

    def __init__(self) -> None:
        self._answered: set[str] = set()
        self._failed: dict[str, float] = {}

    def answered(self, target: str) -> None:
        """Record that a response of a server has begun, whatever its status."""
        self._answered.add(target)
        if self._failed:
            self._failed.pop(target, None)

    def failed(self, target: str, cause: Cause, now: float) -> None:
        """Record that a request to a server failed; `now` is seconds on a monotonic clock."""
        if cause in _UNCONNECTED:
            self._failed[target] = now

    def replay_failed(self, target: str, why: str, now: float) -> None:
        """Record that a replay failed; `why` is as in the route header, a status or an error type."""
        if why in _UNANSWERED:
            self._failed[target] = now

    def is_down(self, target: str, now: float) -> bool:
        """Whether this server could not be reached a moment ago."""
        failed = self._failed.get(target)
        return failed is not None and now - failed < FAILED_FOR

    def state(self, target: str, now: float) -> str:
        """Return `unreachable`, `reachable`, or `not asked yet`."""
        if self.is_down(target, now):
            return "unreachable"
        return "reachable" if target in self._answered else "not asked yet"

    def forget(self) -> None:
        """Forget both servers: with new settings they may be others."""
        self._answered.clear()
        self._failed.clear()


@dataclass(slots=True)
class Records:
    """What this process has seen, for its pages and metrics; made once.

    Attributes:
        requests: the last ones, the oldest first.
    """

    counters: RequestCounters = field(default_factory=RequestCounters)
    spend: Spend = field(default_factory=Spend)
    last_seen: LastSeen = field(default_factory=LastSeen)
    requests: deque[RequestRecord] = field(default_factory=lambda: deque(maxlen=MOST))
    falling_back: FallingBackModels = field(default_factory=FallingBackModels)
    reloads: ReloadHistory = field(default_factory=ReloadHistory)
