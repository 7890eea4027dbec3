"""What comes over the wire to a test's server: connections, and the requests on them."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any


class ClientGoneError(ConnectionError):
    """The other side has closed the connection; ends a handler quietly."""


@dataclass(slots=True)
class Request:
    """A request as it came over the wire.

    Attributes:
        headers: every header in order, names in their own case.
        body: without transfer framing; a content coding is left on.
        at: `time.monotonic()` when its last byte had arrived.
    """

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    connection: "Connection"
    at: float

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def values(self, name: str) -> list[str]:
        """Every value of a header, in order; the name in any case."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next(iter(self.values(name)), None)

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(slots=True, eq=False)
class Connection:
    """A connection that a client opened, and what became of it.

    Attributes:
        requests: those that came over it.
        gone: set once the client has closed it, or broken it, or we have.
        closed_at: `time.monotonic()` of that moment.
    """

    writer: asyncio.StreamWriter
    opened_at: float = field(default_factory=time.monotonic)
    closed_at: float | None = None
    requests: list[Request] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    _received: bytearray = field(default_factory=bytearray)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def open(self) -> bool:
        """Whether neither side has closed it."""
        return not self.gone.is_set()

    async def pump(self, reader: asyncio.StreamReader) -> None:
        """Read all the time, so that a client that leaves is noticed while a handler runs."""
        try:
            while data := await reader.read(65536):
                self._received += data
                self._news.set()
        except OSError:
            pass
        finally:
            self.mark_gone()

    def mark_gone(self) -> None:
        """Note the end of the connection, once."""
        if self.open:
            self.closed_at = time.monotonic()
            self.gone.set()
            self._news.set()

    async def until(self, mark: bytes) -> bytes:
        """Take bytes up to and including `mark`.

        Raises:
            ClientGoneError: the client closed the connection first.
        """
        while (end := self._received.find(mark)) < 0:
            await self._more()
        return self.take(end + len(mark))

    async def exactly(self, count: int) -> bytes:
        """Take `count` bytes; raises as `until` does."""
        while len(self._received) < count:
            await self._more()
        return self.take(count)

    def take(self, count: int | None = None) -> bytes:
        """Take the first `count` bytes that have arrived, or all of them, without waiting."""
        data = bytes(self._received[:count])
        del self._received[: len(data)]
        return data

    async def _more(self) -> None:
        if not self.open:
            raise ClientGoneError("the client closed the connection")
        self._news.clear()
        await self._news.wait()


async def read_request(connection: Connection) -> Request:
    """Read the next request of a connection; `ClientGoneError` when there is none."""
    lines = (await connection.until(b"\r\n\r\n")).split(b"\r\n")
    method, target, _version = lines[0].decode("latin-1").split(" ")
    headers = []
    for line in filter(None, lines[1:]):
        name, _, value = line.partition(b":")
        headers.append((name, value.strip(b" \t")))
    fields = {name.lower(): value for name, value in headers}
    if fields.get(b"expect", b"").lower() == b"100-continue":
        connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        body = await _read_chunks(connection)
    else:
        body = await connection.exactly(int(fields.get(b"content-length", b"0")))
    return Request(method, target, headers, body, connection, time.monotonic())


async def _read_chunks(connection: Connection) -> bytes:
    body = bytearray()
    while size := int((await connection.until(b"\r\n")).partition(b";")[0], 16):
        body += await connection.exactly(size)
        await connection.exactly(2)
    while await connection.until(b"\r\n") != b"\r\n":
        pass  # trailers
    return bytes(body)
