"""What is remembered for a while, and never more of it than so many entries.

Times are seconds on a clock that the caller passes in.
"""

from collections import OrderedDict
from collections.abc import Iterator
from math import inf

LONGEST = 200
"""Characters of a key: clients choose the names of models, and a thousand long ones would fill the memory."""


class ExpiringDict[K, V]:
    """Entries until a time of their own; beyond `maxsize` the oldest go first."""

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: K, value: V, until: float = inf) -> None:
        """Remember a value, as the newest entry, unless a text of its key is longer than `LONGEST`."""
        parts = key if isinstance(key, tuple) else (key,)
        if any(isinstance(part, str) and len(part) > LONGEST for part in parts):
            return
        self._entries[key] = value, until
        self._entries.move_to_end(key)
        if len(self._entries) > self._maxsize:
            self._entries.popitem(last=False)

    def get(self, key: K, now: float = 0.0) -> V | None:
        """Return an entry's value, None if there is none any more."""
        value, until = self._entries.get(key, (None, 0.0))
        return value if until > now else None

    def pop(self, key: K) -> None:
        """Forget an entry, if it is there."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()

    def items(self) -> Iterator[tuple[K, V]]:
        """Yield all entries, the oldest first, also those whose time is over."""
        return ((key, value) for key, (value, _) in self._entries.items())


class ExpiringSet[K](ExpiringDict[K, bool]):
    """The same, of keys without values."""

    def add(self, key: K, until: float = inf) -> None:
        """Remember a key."""
        self.put(key, value=True, until=until)

    def has(self, key: K, now: float = 0.0) -> bool:
        """Whether a key is remembered."""
        return self.get(key, now) is not None
