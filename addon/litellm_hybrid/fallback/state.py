"""What fallbacks remember from one request to the next: little, bounded, and never a credential.

All of it is of this process alone, but for what workers share. Times are seconds on a clock that the caller
passes in.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from litellm_hybrid.fallback import expiring
from litellm_hybrid.fallback.conversations import Conversations
from litellm_hybrid.fallback.expiring import ExpiringDict, ExpiringSet
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.llm.replay.foresight import Backend
from litellm_hybrid.llm.replay.remedies import Remedy
from litellm_hybrid.observability.history import FallbackHistory
from litellm_hybrid.quota.gauge import Gauge

HOUR = 3600.0

SUSPENDED_MAX = 12 * HOUR
"""How long, in seconds, CLIProxyAPI suspends an account for a failure at most, which it does after a 404."""

UNKNOWN_FOR = 60.0
"""How long, in seconds, a model that LiteLLM does not know is not tried again."""

_ENTRIES_MAX = 1000
_RESPONSES_MAX = 10_000


class Budget:
    """How many fallbacks there were in the last hour."""

    def __init__(self) -> None:
        self._spent: deque[float] = deque()
        self._logged: ExpiringSet[str] = ExpiringSet(_ENTRIES_MAX)

    def spend(self, most: int, now: float) -> bool:
        """Take one fallback from the budget; False if there are none left. `most` 0 means no limit."""
        if most == 0:
            return True
        while self._spent and self._spent[0] <= now - HOUR:
            self._spent.popleft()
        if len(self._spent) >= most:
            return False
        self._spent.append(now)
        return True

    def should_log_exhausted(self, why: str, now: float) -> bool:
        """True at most once an hour for each reason: log that the budget is exhausted."""
        if self._logged.has(why[: expiring.LONGEST], now):
            return False
        self._logged.add(why[: expiring.LONGEST], now + HOUR)
        return True


# -- a circuit breaker for each model and client key ---------------------------------------

FIRST = 60.0
"""How long, in seconds, the first cooldown of `cooldown-max: auto` is; each probe that fails doubles it."""

LONGEST = 600.0
"""How long, in seconds, it becomes at most."""

type CooldownKey = tuple[str, str]
"""A model and a hash of client keys, as `cooldown_key` makes them."""


class CooldownState(Enum):
    """What to do with a request whose model may be cooling down."""

    CLOSED = "closed"
    """Ask upstream."""
    HALF_OPEN = "half-open"
    """The wait is over: this request, and only this one, finds out whether upstream serves again."""
    OPEN = "open"
    """Ask LiteLLM at once."""


@dataclass(slots=True)
class _Cooldown:
    until: float
    seconds: float
    probing: bool = False


def client_hash(client_keys: tuple[str, ...]) -> str:
    """Return what stands for a client: of its keys nothing else is remembered."""
    return hashlib.sha256("\0".join(client_keys).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def cooldown_key(model: str, client_keys: tuple[str, ...]) -> CooldownKey:
    """Return who is cooling down: upstream may serve other clients from other accounts."""
    return model.lower(), client_hash(client_keys)


class Cooldowns:
    """Which models upstream has said it cannot serve for a while."""

    def __init__(self) -> None:
        self._running: ExpiringDict[CooldownKey, _Cooldown] = ExpiringDict(_ENTRIES_MAX)

    def start(self, key: CooldownKey, seconds: float, now: float) -> None:
        """Skip upstream for so long."""
        self._running.put(key, _Cooldown(now + seconds, seconds))

    def start_short(self, key: CooldownKey, wait: float | None, now: float) -> None:
        """Skip upstream for a minute, or for as long as it says itself, if that is shorter (`wait`).

        One that is running goes on: it was begun by a request that has asked at the same time.
        """
        if self._running.get(key) is None:
            self.start(key, min(FIRST, wait or FIRST), now)

    def lengthen(self, key: CooldownKey, now: float) -> None:
        """The probe was no success: skip upstream for twice as long as before, at most for `LONGEST`."""
        last = self._running.get(key)
        self.start(key, min(2 * (last.seconds if last is not None else FIRST / 2), LONGEST), now)

    def ask(self, key: CooldownKey, now: float) -> CooldownState:
        """Decide about a request; whoever gets HALF_OPEN has to call `clear`, `start` or `release`."""
        cooldown = self._running.get(key)
        if cooldown is None:
            return CooldownState.CLOSED
        if now < cooldown.until or cooldown.probing:
            return CooldownState.OPEN
        cooldown.probing = True
        return CooldownState.HALF_OPEN

    def clear(self, key: CooldownKey) -> None:
        """Upstream serves again."""
        self._running.pop(key)

    def release(self, key: CooldownKey) -> None:
        """A probe ended without telling anything: the next request probes."""
        if (cooldown := self._running.get(key)) is not None:
            cooldown.probing = False

    def clear_all(self) -> int:
        """Forget all; return how many there were."""
        count = len(self._running)
        self._running.clear()
        return count

    def running(self, now: float) -> tuple[tuple[str, float], ...]:
        """Return model and seconds left of each; 0 where a probe is due."""
        return tuple((key[0], max(0.0, c.until - now)) for key, c in self._running.items())


# -- all of it ---------------------------------------------------------------------------


class LitellmResponses:
    """Which stored responses LiteLLM made: client (see `client_hash`) and a hash of the id of each.

    With several workers a hash of both is in a file that they share, and in the one before that.
    """

    _RECORD = 16
    _MOST = _RESPONSES_MAX * _RECORD

    def __init__(self) -> None:
        self._own: ExpiringSet[tuple[str, str]] = ExpiringSet(_RESPONSES_MAX)
        self._file: Path | None = None

    def share(self, worker_dir: Path) -> None:
        """Share them with other workers; `worker_dir`: their folder, and this one's name."""
        self._file = worker_dir.parent / "responses"

    def add(self, key: tuple[str, str]) -> None:
        """Remember one."""
        self._own.add(key)
        if self._file is None:
            return
        with suppress(OSError):  # a full disk: then only this process knows it
            with self._file.open("ab") as file:
                file.write(self._record(key))
                is_full = file.tell() >= self._MOST
            if is_full:
                self._file.replace(self._file.with_suffix(".before"))

    def has(self, key: tuple[str, str], now: float) -> bool:
        """Whether it is remembered, by any worker."""
        if self._own.has(key, now) or self._file is None:
            return self._own.has(key, now)
        for file in (self._file, self._file.with_suffix(".before")):
            with suppress(OSError):
                if self._record(key) in file.read_bytes():
                    return True
        return False

    def _record(self, key: tuple[str, str]) -> bytes:
        return hashlib.sha256("\0".join(key).encode()).digest()[: self._RECORD]


@dataclass(slots=True)
class FallbackState:
    """Everything that outlives a request; made once for a process.

    Attributes:
        unknown_models: names that LiteLLM has said it does not know.
        litellm_cooldowns: LiteLLM's names of models that it has said it cannot serve for a moment.
        served_models: names in lower case, under which upstream has served a model.
        failures: model in lower case → upstream's last failure, status and words: what an account may be
            suspended for.
        losing: (LiteLLM's name of a model, API, what) of replays whose answer did not show that all of the
            request had arrived.
        reasons: LiteLLM's name of a model whose kind of server is not known → whether chat completions of it
            held reasoning, or it has taken a history that did.
        remedies: (LiteLLM's name of a model, API) → the changes that its backend has needed there.
        gauge: how much of a quota is used, by what upstream says.
        leads_to: whether a model of LiteLLM's leads to a port of this proxy's; None: that is not known.
        backends: what is known of the backends behind a model, by LiteLLM's name for it.
        cost_refusal: says of LiteLLM's name of a model why a replay may not be paid for; "": it may.
        told: clients (see `client_hash`) that have been told that stored responses cannot fall back.
        held: the responses that are held right now.
        history: the last fallbacks, for people to look at.
        counts: how often something else happened, by its name.
    """

    budget: Budget = field(default_factory=Budget)
    unknown_models: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    litellm_cooldowns: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    served_models: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    litellm_responses: LitellmResponses = field(default_factory=LitellmResponses)
    failures: ExpiringDict[str, str] = field(default_factory=lambda: ExpiringDict(_ENTRIES_MAX))
    cooldowns: Cooldowns = field(default_factory=Cooldowns)
    conversations: Conversations = field(default_factory=Conversations)
    losing: ExpiringSet[tuple[str, str, str]] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    reasons: ExpiringDict[str, bool] = field(default_factory=lambda: ExpiringDict(_ENTRIES_MAX))
    remedies: ExpiringDict[tuple[str, str], tuple[Remedy, ...]] = field(
        default_factory=lambda: ExpiringDict(_ENTRIES_MAX)
    )
    gauge: Gauge = field(default_factory=Gauge)
    leads_to: Callable[[int], bool | None] = lambda _: None
    backends: Callable[[str], tuple[Backend, ...]] = lambda _: ()
    cost_refusal: Callable[[str], str] = lambda _: ""
    told: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    history: FallbackHistory = field(default_factory=FallbackHistory)
    held: set[JudgedResponse] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def held_bytes(self) -> int:
        """How many bytes of responses are held."""
        return sum(len(held.body) for held in self.held)
