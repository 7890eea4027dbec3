"""What all processes remember together: each has a copy, and tells the others of what changes.

A copy is read at once, and never waits for anybody. What changes goes to the other workers of this machine
in a datagram, before the client that it is about can come back, and by a thread into a store
(`backends.py`), where every process writes and looks a few times a second. Of two changes of one thing the
later holds, by stamps that grow with all that a process has seen, however far the clocks are apart. Only a
place in a budget, and a probe, are asked for in the store itself. While that is gone a process goes on with
its copy, and tells what the store lacks once it is back. Keys are keyed hashes.
"""

import asyncio
import hashlib
import logging
import math
import random
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from secrets import token_bytes, token_hex
from time import monotonic, time, time_ns
from typing import Any, NamedTuple

from litellm_hybrid.config.settings import Settings, StateStore
from litellm_hybrid.fallback.backends import (
    PLACE,
    Backend,
    Record,
    RedisBackend,
    SqliteBackend,
    StoreError,
    breathe,
    pack,
    unpack,
)
from litellm_hybrid.fallback.expiring import EntryKey, SharedDict
from litellm_hybrid.observability import log

LOOK_EVERY = 0.25
"""Seconds between two looks into the store."""

_RETRY_AFTER = 0.5
"""Seconds after which a store that has failed is tried again; what is known is told after as long at most."""

RESERVED_WITHIN = 0.05
"""Seconds that the store has for an answer to who asks for a place."""

_LOADED_WITHIN = 1.0
"""Seconds that the store has at start to tell what it knows."""

_MOST_WAITING = 50_000
"""Changes that the store has not taken yet; beyond it the newest are not told."""

_LONGEST_DATAGRAM = 64 * 1024

_AT_ONCE = 100
"""Records that are written or looked through at a time, which others of this process wait for."""


class Place(NamedTuple):
    """A place that was asked for.

    Attributes:
        granted: None: the store has not said, and a process has to decide by what it knows.
    """

    table: str
    key: str
    granted: bool | None


@dataclass(slots=True, eq=False)
class _Asked:
    """A place that the thread asks for."""

    record: Record
    most: int
    answer: asyncio.Future[bool | None]


class SharedState:
    """A process's part in it; alone, until it is started.

    Attributes:
        tables: by name.
        failures: how often the store has failed.
        down_since: epoch seconds; None: it serves.
        is_loaded: what the store knew is known here.
        kind: `memory`, `sqlite` or `redis`.
    """

    def __init__(self) -> None:
        self.tables: dict[str, SharedDict[Any]] = {}
        self.failures = 0
        self.down_since: float | None = None
        self.kind = "memory"
        self._hash_key = token_bytes(32)
        self._last_stamp = 0
        self._backend: Backend | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._peers: _Peers | None = None
        self._thread: threading.Thread | None = None
        self._work = threading.Condition()
        self._untold: dict[tuple[str, str], Record] = {}
        self._asked: list[_Asked] = []
        self._is_ending = False
        self._tells_all = False
        self.is_loaded = False
        self._has_met = asyncio.Event()

    # -- in the loop ------------------------------------------------------------------

    @property
    def is_alone(self) -> bool:
        """Whether nobody else can know anything: then nothing has to be waited for."""
        return self._backend is None

    def start(
        self, kind: str, backend: Backend, secret: bytes, peers: Path | None = None, name: str = ""
    ) -> None:
        """Begin to share; needs a running loop.

        Args:
            kind: of the backend.
            backend: for a thread alone.
            secret: the key of all hashes, for all processes the same.
            peers: a folder where this machine's workers meet.
            name: this one's.
        """
        self.kind, self._backend, self._hash_key = kind, backend, secret
        self._loop = asyncio.get_running_loop()
        if peers is not None:
            with suppress(OSError):  # then the store tells, a moment later
                self._peers = _Peers(peers, name, self._loop, self._take)
        # The loop waits for the thread, where that has much to read, for a millisecond in place of five.
        sys.setswitchinterval(0.001)
        self._thread = threading.Thread(target=self._run, name="litellm-hybrid-state", daemon=True)
        self._thread.start()

    async def met(self) -> None:
        """Wait until the store has told what it knows, or cannot; a second at most.

        Who is asked before would spend a budget anew that is spent.
        """
        if not self.is_alone:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_met.wait(), _LOADED_WITHIN)

    def stop(self) -> None:
        """Write what is left, for a second at most."""
        with self._work:
            self._is_ending = True
            self._work.notify()
        if self._thread is not None:
            self._thread.join(1.0)
        if self._peers is not None:
            self._peers.close()

    def hashed(self, key: EntryKey) -> str:
        """Return what stands for a key."""
        joined = key if isinstance(key, str) else "\0".join(key)
        given = joined.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(given, key=self._hash_key, digest_size=16).hexdigest()

    def stamp(self) -> int:
        """Return a stamp that is higher than all that this process has seen."""
        self._last_stamp = max(self._last_stamp + 1, time_ns())
        return self._last_stamp

    def wall(self, until: float) -> float:
        """Return the epoch seconds of a time on the monotonic clock."""
        return until + time() - monotonic() if self._backend is not None else until

    def tell(self, record: Record) -> None:
        """Tell the others of a change."""
        if self._backend is None:
            return
        if self._peers is not None:
            self._peers.send(record)
        with self._work:  # which is not woken: it writes when it looks
            if len(self._untold) < _MOST_WAITING:
                self._untold[record.table, record.key] = record

    async def reserve(self, table: str, most: int, seconds: float) -> Place:
        """Ask the store for one of the `most` places of a table, for so long; wait a moment at most."""
        key = token_hex(8)
        if self.is_alone or self.down_since is not None or self._tells_all:
            return Place(table, key, None)
        record = Record(PLACE + table, key, None, time() + seconds, self.stamp())
        answer: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        with self._work:
            self._asked.append(_Asked(record, most, answer))
            self._work.notify()
        timer = asyncio.get_running_loop().call_later(RESERVED_WITHIN, self._too_late, answer)
        granted = await answer
        timer.cancel()
        if granted:
            self._take([record])
            if self._peers is not None:
                self._peers.send(record)
        return Place(table, key, granted)

    def _too_late(self, answer: "asyncio.Future[bool | None]") -> None:
        if not answer.done():
            answer.set_result(None)

    def keep(self, place: Place, seconds: float) -> None:
        """Count a place that the store has not given, and may give yet."""
        until = time() + seconds
        record = Record(PLACE + place.table, place.key, None, until, self.stamp())
        self._take([record])
        self.tell(record)

    def release(self, place: Place) -> None:
        """Give a place back."""
        record = Record(PLACE + place.table, place.key, None, 0.0, self.stamp())
        self._take([record])
        self.tell(record)

    def _take(self, records: Sequence[Record]) -> None:
        offset = time() - monotonic()
        for record in records:
            self._last_stamp = max(self._last_stamp, record.stamp)
            table = self.tables.get(record.table)
            if table is not None and math.isfinite(record.until):
                table.apply(record, record.until - offset)

    def _tell_all(self, known: dict[tuple[str, str], int]) -> None:
        """Tell what the store has not; `known`: the stamps of what it has."""
        self._tell_lacking(known, [(table, key) for table in self.tables.values() for key in table])
        self._tells_all, self.is_loaded = False, True
        self._has_met.set()

    def _tell_lacking(
        self, known: dict[tuple[str, str], int], keys: list[tuple[SharedDict[Any], str]]
    ) -> None:
        now = monotonic()
        with self._work:
            for table, key in keys[:_AT_ONCE]:
                record, is_alive = table.record(key, now)
                if record is not None and record.stamp > known.get(
                    (record.table, key), -1 if is_alive else math.inf
                ):
                    self._untold.setdefault((record.table, key), record)
        if rest := keys[_AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._tell_lacking, known, rest)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self._has_met.set()
        if self.down_since is None:
            self.down_since = time()
            message = f"litellm: the store of the state ({self.kind}) cannot be used, each process goes on "
            message += f"with what it knows: {error}"
            log.emit(logging.WARNING, message, event="state-lost")

    def _served(self) -> None:
        if self.down_since is not None:
            seconds = time() - self.down_since
            self.down_since = None
            message = f"litellm: the store of the state ({self.kind}) is back after {seconds:.1f} s"
            log.emit(logging.INFO, message, event="state-back")

    # -- in the thread ----------------------------------------------------------------

    def _run(self) -> None:
        backend, generation, due = self._backend, "", 0.0
        assert backend is not None
        is_lost = is_done = False
        while not is_done:
            serves = bool(generation) and not is_lost
            asked = self._next(due, serves=serves)
            is_done = self._is_ending
            try:
                if serves:
                    self._reserve(backend, asked)
                    if monotonic() < due and not is_done:
                        continue
                began = monotonic()
                records, is_all = self._to_tell() if serves else ([], True)
                is_done = is_done and is_all
                found = backend.sync(records)
                if backend.generation != generation or is_lost:
                    found += self._meet_again(backend, is_new=not generation and not is_lost)
                    generation = backend.generation
                    self._take_in_loop(found)
                    self._call(self._tell_all, {(one.table, one.key): one.stamp for one in found})
                    self._reserve(backend, asked)
                else:
                    self._take_in_loop(found)
            except Exception as e:  # noqa: BLE001 (whatever it is, requests do not depend on it)
                is_lost = self._tells_all = True
                self._call(self._failed, e)
                self._answer(asked, 0, else_=None)
                due, is_done = monotonic() + _RETRY_AFTER, self._is_ending
            else:
                is_lost, due = False, monotonic() + LOOK_EVERY
                if not is_all and not is_done:
                    breathe(began)
                    due = 0.0
                if self.down_since is not None:
                    self._call(self._served)
        backend.close()

    def _next(self, due: float, *, serves: bool) -> list[_Asked]:
        """Wait until it is time for a look, or, while the store serves, somebody asks for a place."""
        with self._work:
            self._work.wait_for(
                lambda: self._is_ending or (serves and self._asked), max(0.0, due - monotonic())
            )
            asked, self._asked = self._asked, []
            return asked

    def _to_tell(self) -> tuple[list[Record], bool]:
        """Return some of what is to be told, and whether that is all of it."""
        with self._work:
            names = list(islice(self._untold, _AT_ONCE))
            return [self._untold.pop(name) for name in names], not self._untold

    def _meet_again(self, backend: Backend, *, is_new: bool) -> list[Record]:
        """Give others the time to tell what all know; return what they have told."""
        if is_new:
            return []
        self._tells_all = True
        self._call(self._failed, StoreError("it has lost what it knew, or was out of reach"))
        threading.Event().wait(random.uniform(0, _RETRY_AFTER))  # noqa: S311 (no secret)
        return backend.sync(())

    def _reserve(self, backend: Backend, asked: list[_Asked]) -> None:
        while asked:
            first = asked[0]
            same = [one for one in asked if one.record.table == first.record.table and one.most == first.most]
            count = backend.reserve([one.record for one in same], first.most)
            self._answer(same, count, else_=False)
            asked[:] = [one for one in asked if one not in same]

    def _take_in_loop(self, found: Sequence[Record]) -> None:
        """Hand over what was read, in pieces: between them the loop does other things."""
        for begin in range(0, len(found), _AT_ONCE):
            self._call(self._take, found[begin : begin + _AT_ONCE])

    def _answer(self, asked: list[_Asked], count: int, *, else_: bool | None) -> None:
        answers = [(one, True if number < count else else_) for number, one in enumerate(asked)]
        if answers:
            self._call(_set_answers, answers)

    def _call(self, function: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(function, *args)


def _set_answers(answers: list[tuple[_Asked, bool | None]]) -> None:
    for asked, granted in answers:
        if not asked.answer.done():
            asked.answer.set_result(granted)


class _Peers:
    """The other workers of this machine."""

    def __init__(
        self,
        folder: Path,
        name: str,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[Sequence[Record]], None],
    ) -> None:
        """Meet them in a folder.

        Raises:
            OSError: that cannot be.
        """
        self._folder, self._own, self._loop, self._take = folder, folder / name, loop, take
        folder.mkdir(mode=0o700, exist_ok=True)
        self._own.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(str(self._own))
        except OSError:
            self._socket.close()
            raise
        loop.add_reader(self._socket, self._receive)

    def send(self, record: Record) -> None:
        """Tell them; one that has no time for it is told by the store."""
        packed = pack(record)
        with suppress(OSError):
            for peer in self._folder.iterdir():
                if peer != self._own:
                    with suppress(OSError):
                        self._socket.sendto(packed, str(peer))

    def _receive(self) -> None:
        with suppress(OSError):
            while True:
                self._take(unpack([self._socket.recv(_LONGEST_DATAGRAM)]))

    def close(self) -> None:
        """Leave them."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._own.unlink(missing_ok=True)


def share(shared: SharedState, settings: Settings, worker_dir: Path | None = None) -> None:
    """Begin to share where the settings say so; needs a running loop.

    `worker_dir`: the folder of a `serve` with several workers, and this one's name in it.
    """
    store = settings.state or StateStore("memory" if worker_dir is None else "sqlite")
    if store.kind == "memory":
        return
    of = settings.api_key.value if settings.api_key is not None else str(settings.base_url)
    secret = hashlib.sha256(f"litellm-hybrid state\0{of}".encode()).digest()
    folder, name = (None, "") if worker_dir is None else (worker_dir.parent, worker_dir.name)
    backend: Backend
    if store.url is not None:
        backend = RedisBackend(store.url.value, hashlib.sha256(secret).hexdigest()[:16], settings.tls_ca)
    else:
        path = store.path or (folder / "state.sqlite" if folder is not None else None)
        assert path is not None
        backend = SqliteBackend(path)
    shared.start(store.kind, backend, secret, folder / "peers" if folder is not None else None, name)
