"""Where several processes keep what they remember together: a SQLite file, or a Redis or Valkey server.

Both keep a log of records, of which a process reads what is new, and count places (see `Backend.reserve`).
They are used by one thread, see `shared_state.py`, so that they may take their time. What two versions find
in one store: names carry the version of this format; fields and tables that a version does not know are
passed over.
"""

import os
import sqlite3
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import batched
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep, time
from typing import Any, Protocol

import msgspec

FORMAT = 1
"""The version of what is kept; another one would be kept beside it."""

PLACE = "place."
"""How the names of tables begin whose records are counted."""

LIVE = "live."
"""And of those whose records are written every few seconds, and are of no use to who comes later."""

_RECORDS_MAX = 100_000
_TRIM_EVERY = 60.0
_KEPT_FOR = 60.0
"""Seconds for which a record stays after its time, so that everybody reads that it is gone."""

_LONGEST_LIFE = 31 * 24 * 3600.0
"""Seconds for which Redis keeps what is not written again."""

_PATIENCE = 1.0
"""Seconds that one call of a store may take, and connecting to it."""


class Record(msgspec.Struct, array_like=True, frozen=True):
    """One thing that is remembered.

    Attributes:
        table: what kind of thing it is.
        key: which one: a keyed hash, or an id of ours.
        value: what JSON can say.
        until: when it is forgotten, epoch seconds; one in the past: it is.
        stamp: of two with the same key the one with the higher stamp holds.
    """

    table: str
    key: str
    value: Any
    until: float
    stamp: int


_decoder = msgspec.json.Decoder(Record)
pack = msgspec.json.Encoder().encode


def unpack(packed: Iterable[bytes | str]) -> list[Record]:
    """Read records; what is none, or another version's, is passed over."""
    records = []
    for one in packed:
        with suppress(msgspec.MsgspecError):
            records.append(_decoder.decode(one))
    return records


def breathe(since: float) -> None:
    """Let other threads go on for three times as long as this one has worked: Python runs one at a time."""
    sleep(3 * (monotonic() - since))


class StoreError(Exception):
    """A store cannot be used at the moment; its text says why, and holds no password."""


class Backend(Protocol):
    """One kind of store.

    Attributes:
        generation: which store it is; another one after it has lost everything.
    """

    generation: str

    def sync(self, records: Sequence[Record]) -> list[Record]:
        """Keep records; return what is new since the last call, after an error everything there is.

        Raises:
            StoreError: it is not known whether they are kept.
        """
        ...

    def reserve(self, places: Sequence[Record], most: int) -> int:
        """Add as many of these records, all of one table, as leave no more than `most` alive in it.

        Returns how many: the first so many. It is one atomic step.

        Raises:
            StoreError: it is not known how many.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


# -- SQLite --------------------------------------------------------------------------------

_SCHEMA = f"""
    CREATE TABLE IF NOT EXISTS records_{FORMAT} (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT NOT NULL, key TEXT NOT NULL,
        until REAL NOT NULL, stamp INTEGER NOT NULL, packed BLOB NOT NULL, UNIQUE (tbl, key));
    CREATE TABLE IF NOT EXISTS store_{FORMAT} (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL);
"""
_COLUMNS = f"INTO records_{FORMAT} (tbl, key, until, stamp, packed)"
_WRITE = f"""INSERT OR REPLACE {_COLUMNS} SELECT :tbl, :key, :until, :stamp, :packed WHERE NOT EXISTS
    (SELECT 1 FROM records_{FORMAT} WHERE tbl = :tbl AND key = :key AND stamp >= :stamp)"""  # noqa: S608
_RESERVE = f"""INSERT {_COLUMNS} SELECT :tbl, json_extract(value, '$[0]'), :until,
    json_extract(value, '$[1]'), json_extract(value, '$[2]')
    FROM json_each(:places) LIMIT max(0, :most -
    (SELECT count(*) FROM records_{FORMAT} WHERE tbl = :tbl AND until > :now))"""  # noqa: S608
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class SqliteBackend:
    """A file in a folder of ours alone, for the processes of one machine."""

    def __init__(self, path: Path) -> None:
        self.generation = ""
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._read = 0
        self._trimmed = 0.0

    def sync(self, records: Sequence[Record]) -> list[Record]:
        """Keep records, return what is new; see `Backend`."""
        try:
            db = self._opened()
            with db:
                if records:
                    db.execute("BEGIN IMMEDIATE")
                    db.executemany(_WRITE, map(_row, records))
                if self._trimmed < time() - _TRIM_EVERY:
                    self._trim(db)
            new = db.execute(
                f"SELECT seq, packed FROM records_{FORMAT} WHERE seq > ? ORDER BY seq",  # noqa: S608
                (self._read,),
            ).fetchall()
        except (sqlite3.Error, OSError) as e:
            raise self._failed(e) from e
        if new:
            self._read = new[-1][0]
        return unpack(packed for _, packed in new)

    def reserve(self, places: Sequence[Record], most: int) -> int:
        """Add as many as there is room for; see `Backend`."""
        given = {
            "tbl": places[0].table,
            "until": places[0].until,
            "most": most,
            "now": time(),
            "places": pack([(one.key, one.stamp, pack(one).decode()) for one in places]).decode(),
        }
        generation = self.generation
        try:
            db = self._opened()
            if self.generation != generation:
                raise StoreError("it has lost everything")
            return max(0, db.execute(_RESERVE, given).rowcount)
        except (sqlite3.Error, OSError) as e:
            raise self._failed(e) from e

    def close(self) -> None:
        """Close the file."""
        db, self._db, self._read = self._db, None, 0
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _opened(self) -> sqlite3.Connection:
        """Return the connection, a new one where another file, or none, is in the file's place."""
        if self._db is not None:
            with suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:
                    return self._db
            self.close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The files that SQLite puts beside it have its mode.
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
                os.fchmod(file.fileno(), 0o600)
        self._inode = status.st_ino
        self._db = db = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(_SCHEMA)
        db.execute(f"INSERT OR IGNORE INTO store_{FORMAT} VALUES (1, ?)", (token_hex(8),))  # noqa: S608
        self.generation = db.execute(f"SELECT id FROM store_{FORMAT}").fetchone()[0]  # noqa: S608
        return db

    def _trim(self, db: sqlite3.Connection) -> None:
        self._trimmed = time()
        db.execute(
            f"DELETE FROM records_{FORMAT} WHERE until < ? OR seq <= "  # noqa: S608
            f"(SELECT seq FROM records_{FORMAT} ORDER BY seq DESC LIMIT 1 OFFSET ?)",
            (self._trimmed - _KEPT_FOR, _RECORDS_MAX),
        )

    def _failed(self, error: Exception) -> StoreError:
        self.close()
        if getattr(error, "sqlite_errorcode", None) in _DAMAGED:
            with suppress(OSError):
                # Unless another process has put a new one in its place.
                if self._path.stat().st_ino == self._inode:
                    self._path.replace(self._path.with_name(f"{self._path.name}.damaged"))
                    for end in ("-wal", "-shm"):
                        self._path.with_name(self._path.name + end).unlink(missing_ok=True)
        return StoreError(str(error))


def _row(record: Record) -> dict[str, object]:
    return {
        "tbl": record.table,
        "key": record.key,
        "until": record.until,
        "stamp": record.stamp,
        "packed": pack(record),
    }


# -- Redis and Valkey ----------------------------------------------------------------------

_READ_AT_ONCE = 100
_GROUP = 10
"""Records that make one entry of the log: one by one they would cost their reader and writer far more."""

_GROUPS_MAX = 20_000

_RESERVE_SCRIPT = f"""
    if redis.call('GET', KEYS[3]) ~= ARGV[1] then return -1 end
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
    local left = ARGV[3] - redis.call('ZCARD', KEYS[1])
    local count = 0
    for i = 5, #ARGV, 2 do
        if count >= left then break end
        redis.call('ZADD', KEYS[1], ARGV[4], ARGV[i])
        redis.call('XADD', KEYS[2], 'MAXLEN', '~', {_GROUPS_MAX}, '*', '0', ARGV[i + 1])
        count = count + 1
    end
    redis.call('EXPIREAT', KEYS[1], math.ceil(ARGV[4]) + {int(_KEPT_FOR)})
    return count"""


class RedisBackend:
    """A server that many machines share. A stream is the log; a sorted set counts the places of a table."""

    def __init__(self, url: str, group: str, ca: Path | None = None) -> None:
        """Make one, without connecting.

        `url`: `redis://…`, or `rediss://…` for TLS, with certificates as in the file `ca`, too; `group`: only
        processes with the same share anything.

        Raises:
            ImportError: the extra `redis` is not installed.
        """
        import redis  # noqa: PLC0415 (an extra)

        self._error = redis.RedisError
        tls = {"ssl_ca_certs": str(ca)} if ca is not None and url.startswith("rediss") else {}
        self._client = redis.Redis.from_url(
            url,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            retry=None,
            **tls,
        )
        self.generation = ""
        # One hash slot, as a cluster wants it for what is changed in one step.
        self._prefix = f"{{litellm-hybrid:{FORMAT}:{group}}}:"
        self._log, self._id, self._live = (self._prefix + name for name in ("log", "id", "live"))
        self._read = "0"
        self._trimmed = 0.0

    def sync(self, records: Sequence[Record]) -> list[Record]:
        """Keep records, return what is new; see `Backend`."""
        try:
            pipe = self._client.pipeline(transaction=False)
            self._add(pipe, records)
            if self._trimmed < time() - _TRIM_EVERY:
                self._trimmed = time()
                pipe.xtrim(self._log, minid=int((time() - _LONGEST_LIFE) * 1000), approximate=True)
            # All that a look asks in one message.
            pipe.get(self._id)
            pipe.hvals(self._live)
            pipe.xrange(self._log, min=f"({self._read}", count=_READ_AT_ONCE)
            found: list[Any] = pipe.execute()
            *_, generation, live, log = found
            if generation is None or generation.decode() != self.generation:
                self._open()
                log = self._client.xrange(self._log, count=_READ_AT_ONCE)
            told = unpack(live)
            if gone := [one.key for one in told if one.until < time() - _KEPT_FOR]:
                self._client.hdel(self._live, *gone)
            return [*told, *unpack(self._follow(log))]
        except (self._error, OSError) as e:
            raise self._failed(e) from e

    def _open(self) -> None:
        self._client.set(self._id, token_hex(8), nx=True)
        found: Any = self._client.get(self._id)
        self.generation, self._read = (found or b"").decode(), "0"

    def _add(self, pipe: Any, records: Sequence[Record]) -> None:  # noqa: ANN401 (the extra's type)
        now, places = time(), defaultdict[str, dict[str, float]](dict)
        for record in records:
            if record.table.startswith(PLACE) and record.until > now:
                places[record.table][record.key] = record.until
            elif record.table.startswith(PLACE):
                pipe.zrem(self._prefix + record.table, record.key)
        for table, taken in places.items():
            left = int(max(taken.values()) - now + _KEPT_FOR)
            pipe.zadd(self._prefix + table, taken)
            pipe.expire(self._prefix + table, left, gt=True)
            pipe.expire(self._prefix + table, left, nx=True)
        logged = []
        for record in records:
            if record.table.startswith(LIVE):
                pipe.hset(self._live, record.key, pack(record))
            else:
                logged.append(pack(record))
        for group in batched(logged, _GROUP):  # after the places that they tell of
            pipe.xadd(self._log, dict(enumerate(group)), maxlen=_GROUPS_MAX, approximate=True)

    def _follow(self, log: Any) -> Iterator[bytes]:  # noqa: ANN401 (as in _add)
        """Yield what is in a piece of the log, and in all that follows it."""
        while True:
            began = monotonic()
            for number, fields in log:
                self._read = number.decode()
                yield from fields.values()
            if len(log) < _READ_AT_ONCE:
                return
            log = self._client.xrange(self._log, min=f"({self._read}", count=_READ_AT_ONCE)
            breathe(began)

    def reserve(self, places: Sequence[Record], most: int) -> int:
        """Add as many as there is room for; see `Backend`."""
        given: list[Any] = [self.generation, time(), most, places[0].until]
        for place in places:
            given += [place.key, pack(place)]
        keys = (self._prefix + places[0].table, self._log, self._id)
        try:
            count: Any = self._client.eval(_RESERVE_SCRIPT, len(keys), *keys, *given)
        except (self._error, OSError) as e:
            raise self._failed(e) from e
        if count < 0:
            raise StoreError("it has lost everything")
        return int(count)

    def close(self) -> None:
        """Close the connection."""
        with suppress(self._error, OSError):
            self._client.close()

    def _failed(self, error: Exception) -> StoreError:
        self.close()
        self._read = "0"
        return StoreError(str(error) or type(error).__name__)
