"""What fallbacks remember from one request to the next: little, bounded, and never a credential.

What stands in a `SharedDict` all processes know, the rest is this one's. Times are seconds on a clock that
the caller passes in.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from secrets import token_hex
from typing import Any, NamedTuple

from litellm_hybrid.fallback import expiring
from litellm_hybrid.fallback.backends import LIVE, PLACE
from litellm_hybrid.fallback.conversations import Conversations
from litellm_hybrid.fallback.expiring import ExpiringDict, ExpiringSet, SharedDict, SharedSet
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.fallback.shared_state import Place, SharedState
from litellm_hybrid.llm.replay.foresight import Backend
from litellm_hybrid.llm.replay.remedies import Remedy
from litellm_hybrid.observability.history import FallbackHistory
from litellm_hybrid.quota.gauge import Gauge

HOUR = 3600.0

SUSPENDED_MAX = 12 * HOUR
"""How long, in seconds, CLIProxyAPI suspends an account for a failure at most, which it does after a 404."""

FELL_BACK_FOR = 60.0
"""How long, in seconds, it is expected that a model falls back again."""

UNKNOWN_FOR = 60.0
"""How long, in seconds, a model that LiteLLM does not know is not tried again."""

_ENTRIES_MAX = 1000
RESPONSES_FOR = 30 * 24 * HOUR
"""How long, in seconds, it is remembered that LiteLLM has stored a response."""

_RESPONSES_MAX = 10_000
_DAY = 24 * HOUR
_YEAR = 365 * _DAY


class Budget:
    """How many fallbacks there were in the last hour."""

    _TABLE = "replay"

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._spent: SharedDict[None] = SharedDict(PLACE + self._TABLE, shared, 10 * _RESPONSES_MAX)
        self._logged: ExpiringSet[str] = ExpiringSet(_ENTRIES_MAX)

    def spend(self, most: int, now: float) -> bool:
        """Take one fallback by what is known here; False if there are none left. `most` 0: no limit."""
        if most == 0:
            return True
        if not self.has_room(most, now):
            return False
        self._spent.put_hashed(token_hex(8), None, now + HOUR, now)
        return True

    def spent(self, now: float) -> int:
        """Return how many there were."""
        return sum(1 for _ in self._spent.alive(now))

    def has_room(self, most: int, now: float) -> bool:
        """Whether there is one left, by what is known here."""
        return len(self._spent) < most or self.spent(now) < most

    async def reserve(self, most: int, now: float, *, strict: bool) -> Place:
        """Take one from the budget of all processes; `strict`: none while nobody knows how many are left."""
        place = await self._shared.reserve(self._TABLE, most, HOUR)
        if place.granted is not None:
            return place
        granted = not strict and self.has_room(most, now)
        if granted:
            self._shared.keep(place, HOUR)
        else:
            self._shared.release(place)  # the store may still give it
        return place._replace(granted=granted)

    def release(self, place: Place) -> None:
        """Give one back that was not used."""
        if place.granted:
            self._shared.release(place)

    def should_log_exhausted(self, why: str, now: float) -> bool:
        """True at most once an hour for each reason: log that the budget is exhausted."""
        if self._logged.has(why[: expiring.LONGEST], now):
            return False
        self._logged.add(why[: expiring.LONGEST], now + HOUR)
        return True


class DayCosts:
    """What the replays of a day (UTC) have cost, by process."""

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._costs: SharedDict[tuple[str, float]] = SharedDict("cost", shared, _ENTRIES_MAX, _read_cost)
        self._process = token_hex(8)
        self._own: tuple[str, float] = "", 0.0

    def add(self, day: date, cost_usd: float, now: float) -> None:
        """Add US dollars of this process's."""
        of, before = self._own
        name = day.isoformat()
        self._own = name, cost_usd + (before if of == name else 0.0)
        self._costs.put((name, self._process), self._own, now + _DAY, now)

    def of(self, day: date, now: float) -> float:
        """Return the US dollars of a day."""
        name = day.isoformat()
        return sum(entry.value[1] for _, entry in self._costs.alive(now) if entry.value[0] == name)


def _read_cost(value: Any) -> tuple[str, float]:  # noqa: ANN401 (JSON)
    day, cost = value
    return str(day), float(cost)


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


_PROBE = 600.0
"""How long, in seconds, nobody else probes, should the process end that does."""

_DENIED_FOR = 1.0
"""Seconds after which a process asks again whether another one still probes."""


class _Cooldown(NamedTuple):
    seconds: float
    model: str


def _read_cooldown(value: Any) -> _Cooldown:  # noqa: ANN401 (JSON)
    seconds, model = value
    return _Cooldown(float(seconds), str(model))


def client_hash(client_keys: tuple[str, ...]) -> str:
    """Return what stands for a client: of its keys nothing else is remembered."""
    return hashlib.sha256("\0".join(client_keys).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def cooldown_key(model: str, client_keys: tuple[str, ...]) -> CooldownKey:
    """Return who is cooling down: upstream may serve other clients from other accounts."""
    return model.lower(), client_hash(client_keys)


class Cooldowns:
    """Which models upstream has said it cannot serve for a while.

    An entry stays for a year after its end: until upstream has been asked, it is half-open.
    """

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared
        self._running: SharedDict[_Cooldown] = SharedDict("cooldown", shared, _ENTRIES_MAX, _read_cooldown)
        self._probing: dict[CooldownKey, Place | None] = {}
        self._denied: ExpiringSet[CooldownKey] = ExpiringSet(_ENTRIES_MAX)

    def __bool__(self) -> bool:
        return bool(self._running)

    def start(self, key: CooldownKey, seconds: float, now: float) -> None:
        """Skip upstream for so long."""
        self.release(key)
        self._running.put(key, _Cooldown(seconds, key[0]), now + seconds + _YEAR, now)

    def start_short(self, key: CooldownKey, wait: float | None, now: float) -> None:
        """Skip upstream for a minute, or for as long as it says itself, if that is shorter (`wait`).

        One that is running goes on: it was begun by a request that has asked at the same time.
        """
        if self._running.get(key, now) is None:
            self.start(key, min(FIRST, wait or FIRST), now)

    def lengthen(self, key: CooldownKey, now: float) -> None:
        """The probe was no success: skip upstream for twice as long as before, at most for `LONGEST`."""
        last = self._running.get(key, now)
        self.start(key, min(2 * (last.seconds if last is not None else FIRST / 2), LONGEST), now)

    def ask(self, key: CooldownKey, now: float) -> CooldownState:
        """Decide about a request; whoever gets HALF_OPEN has to call `clear`, `start` or `release`.

        Where other processes may probe `claim` comes before.
        """
        state = self.state(key, now)
        if state is CooldownState.HALF_OPEN:
            if not self._shared.is_alone:
                return CooldownState.OPEN
            self._probing[key] = None
        return state

    def state(self, key: CooldownKey, now: float) -> CooldownState:
        """Return what `ask` would, without a claim."""
        cooldown = self._running.entry(key, now)
        if cooldown is None:
            return CooldownState.CLOSED
        if now < cooldown.until - _YEAR or key in self._probing or self._denied.has(key, now):
            return CooldownState.OPEN
        return CooldownState.HALF_OPEN

    async def claim(self, key: CooldownKey, now: float) -> bool:
        """Return whether a request may probe, and nobody else may."""
        self._probing[key] = None
        place = await self._shared.reserve(f"probe.{self._shared.hashed(key)}", 1, _PROBE)
        if place.granted is False:
            del self._probing[key]
            self._denied.add(key, now + _DENIED_FOR)
            return False
        self._probing[key] = place
        return True

    def clear(self, key: CooldownKey, now: float) -> None:
        """Upstream serves again."""
        self.release(key)
        self._running.pop(key, now)

    def release(self, key: CooldownKey) -> None:
        """A probe ended without telling anything: the next request probes."""
        if (place := self._probing.pop(key, None)) is not None:
            self._shared.release(place)

    def clear_all(self, now: float) -> int:
        """Forget all; return how many there were."""
        running = [key for key, _ in self._running.alive(now)]
        for key in running:
            self._running.pop_hashed(key, now)
        for probing in tuple(self._probing):
            self.release(probing)
        return len(running)

    def running(self, now: float) -> tuple[tuple[str, float], ...]:
        """Return model and seconds left of each; 0 where a probe is due."""
        return tuple(
            (entry.value.model, max(0.0, entry.until - _YEAR - now)) for _, entry in self._running.alive(now)
        )


# -- all of it ---------------------------------------------------------------------------


@dataclass(slots=True)
class FallbackState:
    """Everything that outlives a request; made once for a process.

    Attributes:
        shared: tells other processes, and is told by them.
        unknown_models: names that LiteLLM has said it does not know.
        litellm_cooldowns: LiteLLM's names of models that it has said it cannot serve for a moment.
        litellm_responses: client (see `client_hash`) and a hash of the id of stored responses of LiteLLM's.
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
        processes: what each of those that share the state does, for people to look at.
        told: clients (see `client_hash`) that have been told that stored responses cannot fall back.
        fell_back: models, as clients spell them, that have fallen back a moment ago.
        held: the responses that are held right now.
        history: the last fallbacks, for people to look at.
        counts: how often something else happened, by its name.
    """

    shared: SharedState = field(default_factory=SharedState)
    unknown_models: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    litellm_cooldowns: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    served_models: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    failures: ExpiringDict[str, str] = field(default_factory=lambda: ExpiringDict(_ENTRIES_MAX))
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
    fell_back: ExpiringSet[str] = field(default_factory=lambda: ExpiringSet(_ENTRIES_MAX))
    held: set[JudgedResponse] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    budget: Budget = field(init=False)
    costs: DayCosts = field(init=False)
    cooldowns: Cooldowns = field(init=False)
    conversations: Conversations = field(init=False)
    litellm_responses: SharedSet = field(init=False)
    processes: SharedDict[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.budget, self.costs = Budget(self.shared), DayCosts(self.shared)
        self.cooldowns, self.conversations = Cooldowns(self.shared), Conversations(self.shared)
        self.litellm_responses = SharedSet("response", self.shared, _RESPONSES_MAX)
        self.processes = SharedDict(f"{LIVE}process", self.shared, _ENTRIES_MAX, dict)

    @property
    def held_bytes(self) -> int:
        """How many bytes of responses are held."""
        return sum([len(held.body) for held in self.held])
