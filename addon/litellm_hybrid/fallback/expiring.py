"""What is remembered for a while, and never more of it than so many entries: of one process, or of several.

Times are seconds on a clock that the caller passes in. What several processes have, each has a copy of;
`shared_state.py` tells them of what changes.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from litellm_hybrid.fallback.backends import Record

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
        for part in parts:
            if isinstance(part, str) and len(part) > LONGEST:
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


if TYPE_CHECKING:
    from litellm_hybrid.fallback.shared_state import SharedState

_LONGEST_LIFE = 10 * 365 * 24 * 3600.0
"""Seconds; no time that is told is longer."""

_DEAD_FOR = 3600.0
"""Seconds for which it is known that something is forgotten, should an older word of it come."""

type EntryKey = str | tuple[str, ...]


@dataclass(slots=True)
class _Entry[V]:
    """`until` and `told` are of the monotonic clock; `told`: until when others take it to hold."""

    value: V
    until: float
    stamp: int
    told: float


class SharedDict[V]:
    """Entries until a time of their own, beyond `maxsize` the oldest go first; see `ExpiringDict`.

    All processes that share it have the same. Times are seconds on the monotonic clock, which the caller
    passes in.
    """

    slack = 0.0
    """The share of its time by which an entry may be remembered longer without being told anew."""

    def __init__(
        self, name: str, shared: "SharedState", maxsize: int, read: Callable[[Any], V] | None = None
    ) -> None:
        """Make one; `read` makes a value of what JSON said, or raises a ValueError or TypeError."""
        self._name = name
        self._shared = shared
        self._maxsize = maxsize
        self._read = read
        self._entries: OrderedDict[str, _Entry[V]] = OrderedDict()
        shared.tables[name] = self

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: EntryKey, value: V, until: float, now: float) -> None:
        """Remember a value, as the newest entry, unless a text of its key is longer than `LONGEST`."""
        if until <= now and not self._entries:
            return  # there is nothing to forget
        if max(map(len, (key,) if isinstance(key, str) else key), default=0) <= LONGEST:
            self.put_hashed(self._shared.hashed(key), value, until, now)

    def put_hashed(self, key: str, value: V, until: float, now: float) -> None:
        """Remember a value under a key that is hashed already."""
        until = min(until, now + _LONGEST_LIFE)
        before = self._entries.get(key)
        is_alive = before is not None and before.until > now
        if until <= now and not is_alive:
            return
        told = before.told if before is not None and is_alive and before.value == value else 0.0
        if until > now and told >= until - self.slack * (until - now):
            assert before is not None
            before.until = until
            self._entries.move_to_end(key)
            return
        stamp = self._shared.stamp()
        self._keep(key, _Entry(value, until, stamp, until))
        self._shared.tell(Record(self._name, key, value, self._shared.wall(until), stamp))

    def get(self, key: EntryKey, now: float) -> V | None:
        """Return an entry's value, None if there is none any more."""
        entry = self.entry(key, now)
        return None if entry is None else entry.value

    def entry(self, key: EntryKey, now: float) -> _Entry[V] | None:
        """Return a value with its time."""
        if not self._entries:
            return None
        entry = self._entries.get(self._shared.hashed(key))
        return entry if entry is not None and entry.until > now else None

    def pop(self, key: EntryKey, now: float) -> None:
        """Forget an entry, if it is there."""
        self.pop_hashed(self._shared.hashed(key), now)

    def pop_hashed(self, key: str, now: float) -> None:
        """Forget one by its hashed key."""
        if (entry := self._entries.get(key)) is not None:
            self.put_hashed(key, entry.value, 0.0, now)

    def alive(self, now: float) -> Iterator[tuple[str, _Entry[V]]]:
        """Yield hashed keys and entries, the oldest first."""
        while self._entries and next(iter(self._entries.values())).until < now - _DEAD_FOR:
            self._entries.popitem(last=False)
        return ((key, entry) for key, entry in self._entries.items() if entry.until > now)

    def apply(self, record: Record, until: float) -> None:
        """Take what another process has told; `until`: on the monotonic clock."""
        before = self._entries.get(record.key)
        if before is not None and before.stamp >= record.stamp:
            return
        with suppress(ValueError, TypeError):  # another version's
            value = self._read(record.value) if self._read is not None else record.value
            self._keep(record.key, _Entry(value, until, record.stamp, until))

    def _keep(self, key: str, entry: _Entry[V]) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._maxsize:
            self._entries.popitem(last=False)

    def __iter__(self) -> Iterator[str]:
        """Yield the hashed keys of all entries."""
        return iter(self._entries)

    def record(self, key: str, now: float) -> tuple[Record | None, bool]:
        """Return what there is to tell of a hashed key, and whether it is alive."""
        entry = self._entries.get(key)
        if entry is None:
            return None, False
        until = self._shared.wall(entry.until)
        return Record(self._name, key, entry.value, until, entry.stamp), entry.until > now


class SharedSet(SharedDict[bool]):
    """The same, of keys without values."""

    slack = 0.05  # a conversation is remembered anew at each turn

    def add(self, key: EntryKey, until: float, now: float) -> None:
        """Remember a key."""
        self.put(key, value=True, until=until, now=now)

    def has(self, key: EntryKey, now: float) -> bool:
        """Whether a key is remembered."""
        return self.get(key, now) is not None
