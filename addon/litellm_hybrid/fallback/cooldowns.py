"""What fallbacks remember from one request to the next: little, bounded, and never a credential.

All of it is of this process alone. Times are seconds on a clock that the
caller passes in.
"""

import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import Enum

HOUR = 3600.0

UNKNOWN_FOR = 60.0
"""How long a model that LiteLLM does not know is not tried again."""

MOST_ENTRIES = 1000
"""Of the entries of a kind, the oldest are forgotten beyond this number."""


class Budget:
    """How many fallbacks there were in the last hour."""

    def __init__(self) -> None:
        self._spent: deque[float] = deque()
        self._told: float | None = None

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

    def is_news(self, now: float) -> bool:
        """Whether it is worth an ERROR that none are left: once an hour, not once a request."""
        if self._told is not None and now < self._told + HOUR:
            return False
        self._told = now
        return True


class UnknownModels:
    """Names that LiteLLM has said it does not know."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, name: str, now: float, seconds: float = UNKNOWN_FOR) -> None:
        """LiteLLM does not know this name."""
        self._until[name] = now + seconds
        _bound(self._until)

    def has(self, name: str, now: float) -> bool:
        """Whether it said so a short while ago."""
        return self._until.get(name, 0.0) > now

    def clear(self) -> None:
        """The configuration has changed."""
        self._until.clear()


class Advice(Enum):
    """What to do with a request whose model may be cooling down."""

    ASK_UPSTREAM = "ask upstream"
    PROBE = "probe"
    """The wait is over: this request, and only this one, finds out whether upstream serves again."""
    SKIP_UPSTREAM = "skip upstream"


@dataclass(slots=True)
class _Cooldown:
    until: float
    probing: bool = False


Key = tuple[str, str]
"""A model and a client key, as `cooldown_key` makes them."""


def cooldown_key(model: str, client_keys: tuple[str, ...]) -> Key:
    """Who is cooling down: upstream may serve other clients from other accounts."""
    digest = hashlib.sha256("\0".join(client_keys).encode("utf-8", "surrogateescape")).hexdigest()
    return model.lower(), digest[:16]


class Cooldowns:
    """Which models upstream has said it cannot serve for a while."""

    def __init__(self) -> None:
        self._running: OrderedDict[Key, _Cooldown] = OrderedDict()

    def start(self, key: Key, seconds: float, now: float) -> None:
        """Skip upstream for so long."""
        self._running[key] = _Cooldown(now + seconds)
        self._running.move_to_end(key)
        _bound(self._running)

    def ask(self, key: Key, now: float) -> Advice:
        """What to do with a request; whoever is told to probe has to call `clear`, `start` or `release`."""
        cooldown = self._running.get(key)
        if cooldown is None:
            return Advice.ASK_UPSTREAM
        if now < cooldown.until or cooldown.probing:
            return Advice.SKIP_UPSTREAM
        cooldown.probing = True
        return Advice.PROBE

    def clear(self, key: Key) -> None:
        """Upstream serves again."""
        self._running.pop(key, None)

    def release(self, key: Key) -> None:
        """A probe ended without telling anything: the next request probes."""
        if (cooldown := self._running.get(key)) is not None:
            cooldown.probing = False

    def clear_all(self) -> int:
        """Forget all; how many there were."""
        count = len(self._running)
        self._running.clear()
        return count

    def running(self, now: float) -> tuple[tuple[str, float], ...]:
        """Model and seconds left of each; 0 where a probe is due."""
        return tuple((key[0], max(0.0, c.until - now)) for key, c in self._running.items())


def _bound[K, V](entries: OrderedDict[K, V]) -> None:
    while len(entries) > MOST_ENTRIES:
        entries.popitem(last=False)
