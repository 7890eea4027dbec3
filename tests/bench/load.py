"""The load generator, a process of its own: clients that send one request after the other and watch the clock.

It reads a `Load` as JSON on stdin and prints a `Result` as JSON. A client waits
for the whole answer before it asks again. Of streams it reads the stamps that
stub.py puts into each event.
"""

import asyncio
import json
import re
import resource
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import override

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_STAMP = re.compile(rb"@(\d+) ")
_LONGEST_STAMP = 32

APART = 0.002
"""Seconds from one client's begin to the next one's: more than 100 at once overflow asyncio's backlog."""


@dataclass(slots=True)
class Load:
    """What to send, and how.

    Attributes:
        port: of 127.0.0.1.
        file: the request, head and body, as it goes over the wire.
        clients: how many at once; they begin `APART` after each other.
        count: requests in all; 0: as many as `seconds` allow.
        seconds: no client begins another request after this time.
        keep_alive: one connection for each client, not for each request.
        status: that a good answer has.
        expect: text that the head of a good answer has.
    """

    port: int
    file: str
    clients: int = 1
    count: int = 0
    seconds: float = 60.0
    keep_alive: bool = True
    status: int = 200
    expect: str = ""


@dataclass(slots=True)
class Result:
    """What came back; times are milliseconds.

    Attributes:
        took: seconds from the first request to the last answer.
        times: of each good answer, from the request's first byte to the answer's last.
        firsts: of each stream, from the request's first byte to the first stamped event.
        delays: of each stamped event, from its stamp to its arrival.
        error: the head of one answer that was not as expected.
    """

    took: float = 0.0
    errors: int = 0
    times: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    error: str = ""


class _Run:
    """What the clients share."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.request = Path(load.file).read_bytes()
        self._status = b" %d " % load.status
        self._expect = load.expect.encode()
        self.result = Result()
        self.begun = 0
        self.started = time.monotonic()
        self.done = asyncio.get_running_loop().create_future()
        self.clients = load.clients

    def is_good(self, head: bytes) -> bool:
        """Whether an answer with this head is the one that was asked for."""
        return self._status in head[:16] and self._expect in head

    def more(self) -> bool:
        """Whether another request is to be sent; counts it."""
        if self.load.count and self.begun >= self.load.count:
            return False
        if time.monotonic() - self.started > self.load.seconds:
            return False
        self.begun += 1
        return True

    def left(self) -> None:
        """A client has nothing more to do."""
        self.clients -= 1
        if not self.clients:
            self.result.took = time.monotonic() - self.started
            self.done.set_result(None)

    def failed(self, why: str) -> None:
        """A request was not answered as expected."""
        self.result.errors += 1
        self.result.error = self.result.error or why


class _Client(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._running = False
        self._transport: asyncio.Transport | None = None

    def start(self) -> None:
        """Connect and send, if there is more to do."""
        if not self._run.more():
            if self._transport is not None:
                self._transport.close()
            self._run.left()
            return
        self._begin()
        if self._transport is not None:
            self._transport.write(self._run.request)
            return
        task = asyncio.get_running_loop().create_task(self._connect())
        task.add_done_callback(self._connected)

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._run.load.port)

    def _connected(self, task: asyncio.Task[None]) -> None:
        if task.exception() is not None:
            self._end(f"no connection: {task.exception()}")

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._run.request)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._running:
            self._end(
                "" if self._head and not self._chunked and not self._left else f"connection lost: {exc}"
            )

    def _begin(self) -> None:
        self._running = True
        self._sent = time.monotonic_ns()
        self._head = self._tail = b""
        self._left = 0
        self._chunked = False
        self._first = True

    @override
    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self._head:
            head, mark, rest = (self._tail + data).partition(b"\r\n\r\n")
            if not mark:
                self._tail = head
                return
            self._head, self._tail, data = head, b"", rest
            length = _LENGTH.search(head)
            self._chunked = length is None
            self._left = int(length[1]) if length else 0
        self._left -= len(data)
        text = self._tail + data
        if self._chunked:
            text = self._stamps(text, now)
        self._tail = text[-_LONGEST_STAMP:]
        if self._tail.endswith(b"0\r\n\r\n") if self._chunked else self._left <= 0:
            self._end("" if self._run.is_good(self._head) else self._head.decode("latin-1"), now)

    def _stamps(self, text: bytes, now: int) -> bytes:
        """Note the stamps in a piece of a stream; returns what may be the beginning of another."""
        result, last = self._run.result, 0
        for stamp in _STAMP.finditer(text):
            if self._first:
                self._first = False
                result.firsts.append((now - self._sent) / 1e6)
            result.delays.append((now - int(stamp[1])) / 1e6)
            last = stamp.end()
        return text[last:]

    def _end(self, error: str, now: int = 0) -> None:
        self._running = False
        if error:
            self._run.failed(error)
        else:
            self._run.result.times.append(((now or time.monotonic_ns()) - self._sent) / 1e6)
        if self._transport is not None and (error or not self._run.load.keep_alive):
            self._transport.close()
            self._transport = None
        # Not from within: a refused connection would recurse.
        asyncio.get_running_loop().call_soon(self._again)

    def _again(self) -> None:
        client = self if self._run.load.keep_alive else _Client(self._run)
        client.start()


async def run(load: Load) -> Result:
    """Send it."""
    shared = _Run(load)
    for number in range(load.clients):
        asyncio.get_running_loop().call_later(number * APART, _Client(shared).start)
    await shared.done
    return shared.result


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(asdict(asyncio.run(run(Load(**json.load(sys.stdin)))))))  # noqa: T201
