"""A small HTTP/1.1 server for tests that does exactly what a test's handler says.

    async def handler(request: Request, reply: Reply) -> None:
        await reply.head(200, {"content-type": "text/event-stream"})
        await reply.chunk(b"data: 1\\n\\n")
        await asyncio.sleep(0.1)
        await reply.reset()

    async with Server(handler) as server:
        ...  # server.url, server.requests, server.connections

It keeps requests as they came over the wire: header names in their own case,
in order. `in_thread` runs one beside code that is not async.
"""

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Self

from support.ports import free_port
from support.wire import ClientGoneError, Connection, Request, read_request

type Headers = Mapping[str, str] | Iterable[tuple[str, str]]
type Handler = Callable[[Request, "Reply"], Awaitable[None]]


class Reply:
    """What a handler answers with: a whole answer, or one piece after the other.

    Attributes:
        sent: `time.monotonic()` of each piece of body, in order.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.sent: list[float] = []
        self.finished = False
        self._chunked = False

    async def send(self, status: int = 200, body: bytes | str = b"", headers: Headers = ()) -> None:
        """Answer completely, with a Content-Length."""
        data = body.encode() if isinstance(body, str) else body
        pairs = [*_pairs(headers), ("content-length", str(len(data)))]
        self.finished = True
        self.sent.append(time.monotonic())
        await self.raw(_head(status, pairs) + data)

    async def json(self, status: int, value: object, headers: Headers = ()) -> None:
        """Answer completely with a JSON body."""
        await self.send(status, json.dumps(value), [("content-type", "application/json"), *_pairs(headers)])

    async def head(self, status: int = 200, headers: Headers = (), *, length: int | None = None) -> None:
        """Send the status line and headers; a chunked body follows, or `length` bytes."""
        self._chunked = length is None
        framing = ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
        await self.raw(_head(status, [*_pairs(headers), framing]))

    async def chunk(self, data: bytes | str) -> None:
        """Send a piece of the body."""
        piece = data.encode() if isinstance(data, str) else data
        self.sent.append(time.monotonic())
        await self.raw(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)

    async def end(self) -> None:
        """Finish the body; the connection stays open."""
        self.finished = True
        if self._chunked:
            await self.raw(b"0\r\n\r\n")

    async def events(self, events: Iterable[bytes | str], *, delay: float = 0, headers: Headers = ()) -> None:
        """Answer completely with server-sent events, `delay` seconds apart, each a chunk of its own."""
        await self.head(200, [("content-type", "text/event-stream; charset=utf-8"), *_pairs(headers)])
        for number, event in enumerate(events):
            if number and delay:
                await self.pause(delay)
            await self.chunk(event)
        await self.end()

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are.

        Raises:
            ClientGoneError: the client has closed the connection.
        """
        if not self.connection.open:
            raise ClientGoneError("the client closed the connection")
        self.connection.writer.write(data)
        await self.connection.writer.drain()

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the client does; then raises `ClientGoneError`."""
        try:
            await asyncio.wait_for(self.connection.gone.wait(), seconds)
        except TimeoutError:
            return
        raise ClientGoneError("the client closed the connection")

    async def stall(self) -> None:
        """Send nothing more and keep the connection open until the client closes it."""
        await self.connection.gone.wait()

    async def close(self) -> None:
        """Close the connection, in the middle of an answer or not."""
        self.connection.writer.close()
        self.connection.mark_gone()

    async def reset(self) -> None:
        """Break the connection with a TCP reset."""
        sock = self.connection.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.close()


_ACCEPTED_WITHIN = 10
"""Passes of the event loop after which a connection that has been accepted is one of the server's tasks."""


class Server(AbstractAsyncContextManager["Server"]):
    """The server; every request and connection it has seen stays in its lists.

    Args:
        handler: called for each request. An exception in it, other than a client
            that left, closes the connection and is raised when the server stops.
        port: 0 takes a free one, which stays ours when the server has stopped; a fixed one starts another there.
        tls: for https.
        host: the address that it listens on, an IPv6 one without brackets.
    """

    def __init__(
        self, handler: Handler, *, port: int = 0, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.handler = handler
        self.host = host
        self.port = port
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self._arrived = asyncio.Event()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def open_connections(self) -> list[Connection]:
        """Those that neither side has closed."""
        return [connection for connection in self.connections if connection.open]

    async def __aenter__(self) -> Self:
        self.port = self.port or free_port(self.host)
        self._server = await asyncio.start_server(
            self._accept, self.host, self.port, ssl=self._tls, reuse_address=True
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if self._failures and error is None:
            raise ExceptionGroup("a handler of the test's server failed", self._failures)

    async def stop(self) -> None:
        """Stop listening and close every connection, at once."""
        if self._server is not None:
            loop = asyncio.get_running_loop()
            for listening in self._server.sockets:
                loop.remove_reader(listening.fileno())
            for _ in range(_ACCEPTED_WITHIN):
                await asyncio.sleep(0)
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def seen(self, count: int = 1, *, within: float = 60) -> list[Request]:
        """Wait until `count` requests have arrived; TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            while len(self.requests) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.requests

    async def answer_aside(self, request: Request, reply: Reply) -> bool:
        """Answer what a program asks for by itself, at a time that no test knows; say whether it was that.

        Such a request, and a connection that brought no other, stand in none of the lists: the connection no
        longer, once the request has come, which whoever counts connections waits for.
        """
        del request, reply
        return False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # start_server always makes one
            raise RuntimeError("not in a task")
        self._tasks.add(task)
        connection = Connection(writer)
        self.connections.append(connection)
        pump = asyncio.create_task(connection.pump(reader))
        try:
            await self._serve(connection)
        except OSError:
            pass  # the client has left: the test sees it in `connection.gone`
        except Exception as e:  # noqa: BLE001  # whatever a handler raises belongs to its test
            self._failures.append(e)
        except asyncio.CancelledError:
            pass  # the server stops
        finally:
            pump.cancel()
            writer.close()
            connection.mark_gone()
            self._tasks.discard(task)

    async def _serve(self, connection: Connection) -> None:
        while True:
            request = await read_request(connection)
            reply = Reply(connection)
            if await self.answer_aside(request, reply):
                if not connection.requests and connection in self.connections:
                    self.connections.remove(connection)
                continue
            self.requests.append(request)
            connection.requests.append(request)
            self._arrived.set()
            await self.handler(request, reply)
            if not reply.finished:  # half an answer, or bytes of the handler's own: nothing can follow it
                return


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items() if isinstance(headers, Mapping) else headers)


def _head(status: int, headers: list[tuple[str, str]]) -> bytes:
    reason = HTTPStatus(status).phrase if status in HTTPStatus else "Status"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@contextmanager
def in_thread[S: Server](server: S) -> Iterator[S]:
    """Run a server in a thread with a loop of its own, for code that is not async.

    Its lists may be read from the outside; everything else belongs to its thread.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=f"server {server.port}", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
