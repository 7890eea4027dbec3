"""For which models upstream is not asked for a while: a circuit breaker for each model and client key.

Times are seconds on a clock that the caller passes in.
"""

import hashlib
from dataclasses import dataclass
from enum import Enum

from litellm_hybrid.fallback.expiring import ExpiringDict

_COOLDOWNS_MAX = 1000

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
        self._running: ExpiringDict[CooldownKey, _Cooldown] = ExpiringDict(_COOLDOWNS_MAX)

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
