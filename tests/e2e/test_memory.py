"""What a process keeps of bodies that are over: next to nothing, and long before Python's collector looks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import procfs
from e2e.harness import Stub, hello, settings
from e2e.test_serve import serve
from support import processes
from support.processes import Process

_BODY = 12 * 1024 * 1024
_COUNT = 8
_AT_MOST = 4


@pytest.fixture
async def upstream() -> AsyncIterator[Stub]:
    async with Stub() as server:
        server.does = hello
        yield server


@contextmanager
def _serve(folder: Path, upstream: str) -> Iterator[Process]:
    with serve(folder, upstream, "http://127.0.0.1:9") as process:
        yield process


@contextmanager
def _mitmdump(folder: Path, upstream: str) -> Iterator[Process]:
    with processes.mitmdump(settings("http://127.0.0.1:9"), upstream, folder, "-q") as process:
        yield process


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("program", [_serve, _mitmdump], ids=["serve", "mitmdump"])
async def test_bodies_do_not_pile_up(program: object, upstream: Stub, tmp_path: Path) -> None:
    assert callable(program)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {_BODY}\r\n\r\n".encode()
    body = b'{"model": "o3", "x": "' + b"x" * (_BODY - 24) + b'"}'
    with program(tmp_path, upstream.url) as process:
        pids = [process.popen.pid]
        idle = procfs.usage(pids).rss_mb
        procfs.reset_peak(pids)
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        for _ in range(_COUNT):
            writer.write(head + body)
            await writer.drain()
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            answer = b""
            while not answer.endswith(b"}"):
                answer += await reader.read(65536)
        writer.close()
        peak = procfs.usage(pids).peak_mb
    assert peak - idle < _AT_MOST * _BODY / 2**20
