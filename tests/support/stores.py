"""Stores for `state`: a SQLite file, and a real Redis server that can be ended and started again, empty."""

import asyncio
import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from time import monotonic
from typing import Self

from litellm_hybrid.fallback.backends import FORMAT, Backend, RedisBackend, SqliteBackend
from litellm_hybrid.fallback.state import FallbackState
from support.ports import free_port

SECRET = b"of the configuration"
PATIENCE = 60.0

NO_REDIS = "redis-server is not installed: scripts/setup system"
ONLY_ROOT = "only root can mount a disk"
has_redis = shutil.which("redis-server") is not None


class RedisServer:
    """A Redis server that keeps everything in its memory."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What `state` says."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Start it, and wait until it listens."""
        program = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(
            [*program, "--appendonly", "no", "--dir", str(self._folder), *options],
            stdout=subprocess.DEVNULL,
        )
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError("redis-server does not listen")

    def kill(self) -> None:
        """End it at once: what it knew is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, *words: str) -> str:
        """Ask it something, for a test to look at."""
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, check=True
        )
        return done.stdout

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class SqliteStore:
    """A file that a test may take away."""

    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "private" / "state.db"

    def backend(self) -> Backend:
        return SqliteBackend(self.path)

    def lose(self) -> None:
        """Take it away."""
        self.path.unlink()
        self.path.mkdir()

    def give_back(self) -> None:
        """Have it again, empty."""
        self.path.rmdir()

    def content(self) -> bytes:
        """All its bytes."""
        return b"".join(file.read_bytes() for file in self.path.parent.iterdir())

    def close(self) -> None:
        """Nothing runs."""


class RedisStore:
    """A server that a test may end."""

    kind = "redis"

    def __init__(self, folder: Path) -> None:
        self.server = RedisServer(folder)
        self.server.start()

    def backend(self) -> Backend:
        return RedisBackend(self.server.url, "tests")

    def lose(self) -> None:
        self.server.kill()

    def give_back(self) -> None:
        self.server.start()

    def content(self) -> bytes:
        keys = self.server.ask("KEYS", "*").split()
        logs = [self.server.ask("XRANGE", key, "-", "+") for key in keys if key.endswith("log")]
        return "\n".join([*keys, *logs]).encode()

    def close(self) -> None:
        self.server.kill()


type Store = SqliteStore | RedisStore


@asynccontextmanager
async def process(
    store: Store | None, peers: Path | None = None, name: str = ""
) -> AsyncIterator[FallbackState]:
    """A process's memory, which shares it."""
    state = FallbackState()
    if store is not None:
        state.shared.start(store.kind, store.backend(), SECRET, peers, name)
        await until(lambda: state.shared.is_loaded)
    try:
        yield state
    finally:
        state.shared.stop()


async def until(check: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = monotonic() + PATIENCE
    while not check():
        assert monotonic() < end
        await asyncio.sleep(0.01)


async def spend(state: FallbackState, most: int, *, strict: bool = False) -> bool:
    """Take a place, as a request does."""
    if state.shared.is_alone:
        return state.budget.spend(most, monotonic())
    return bool((await state.budget.reserve(most, monotonic(), strict=strict)).granted)


def places(store: SqliteStore) -> int:
    """How many places the file says are taken."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{store.path}?mode=ro", uri=True)) as db:
        query = f"SELECT count(*) FROM records_{FORMAT} WHERE tbl = 'place.replay' AND until > unixepoch()"  # noqa: S608
        found: int = db.execute(query).fetchone()[0]
        return found
    return -1


def mount(folder: Path, *options: str) -> bool:
    """Mount a disk of memory there, if this process may."""
    program = ["mount", "-t", "tmpfs", "-o", ",".join(("mode=700", *options)), "none", str(folder)]
    return subprocess.run(program, check=False).returncode == 0


def unmount(folder: Path) -> bool:
    """Take it away; whether there was one."""
    return subprocess.run(["umount", folder], check=False, capture_output=True).returncode == 0
