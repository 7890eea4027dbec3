"""What the end-to-end tests of fallback share: upstream's failures, and servers that take turns."""

import asyncio
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, override

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest

from e2e.harness import PATIENCE, Answer, Client, Proxy, gone
from e2e.tls import server_context
from litellm_hybrid.fallback import bypass, policy, replay
from litellm_hybrid.flow import exchange
from litellm_hybrid.proxy import interfaces
from support.servers import Handler, Reply
from support.wire import ClientGoneError, Request

ON = {"enabled": True}
"""The least that turns fallback on."""

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}

DROPS = {"drop_params": True}
"""What a replay's body has more."""

FELL_BACK = "litellm; reason=fallback; upstream-status=429"


def failed(why: str) -> str:
    """The route header where LiteLLM could not help."""
    return f"upstream; reason=fallback-failed; fallback-failed={why}"


def error(message: str, kind: str = "insufficient_quota") -> bytes:
    """An error in OpenAI's shape."""
    return json.dumps({"error": {"message": message, "type": kind, "code": kind}}).encode()


QUOTA = error("You exceeded your current quota, please check your plan and billing details.")
COOLDOWN = json.dumps(
    {"error": {"code": "model_cooldown", "message": "All credentials are cooling down", "reset_seconds": 90}}
).encode()
NO_CREDENTIAL = error("no auth available", "auth_unavailable")

OPENING = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","content":[]}}\n\n'
    b": comment\n\n"
    b'event: ping\ndata: {"type":"ping"}\n\n'
)
OVERLOADED = (
    b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
)
CONTENT = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
)


# -- handlers ---------------------------------------------------------------


def says(
    status: int, body: bytes, headers: dict[str, str] | None = None, *, chunks: Iterable[bytes] | None = None
) -> Handler:
    """Answer everything so, whole; with `chunks`, chunked and in these pieces."""

    async def handler(_: Request, reply: Reply) -> None:
        fields = JSON if headers is None else headers
        if chunks is None:
            await reply.send(status, body, fields)
            return
        await reply.head(status, fields)
        for chunk in chunks:
            await reply.chunk(chunk)
        await reply.end()

    return handler


OUT_OF_QUOTA = says(429, QUOTA)


async def stalls(_: Request, reply: Reply) -> None:
    """Answer nothing."""
    await reply.stall()


class Turns:
    """A handler that sends its first piece, and each further one only once the test says `go()`.

    Args:
        pieces: each becomes a chunk.
        then: what follows the last piece: nothing more, the body's end, or the connection's.
    """

    def __init__(
        self,
        *pieces: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        then: Callable[[Reply], Awaitable[None]] = Reply.end,
    ) -> None:
        self._pieces = pieces
        self._status = status
        self._headers = SSE if headers is None else headers
        self._then = then
        self._turn = asyncio.Semaphore(1)
        self.begun = asyncio.Event()

    def go(self) -> None:
        """The next piece, please."""
        self._turn.release()

    async def __call__(self, _: Request, reply: Reply) -> None:
        await reply.head(self._status, self._headers)
        for piece in self._pieces:
            async with asyncio.timeout(PATIENCE):
                await self._turn.acquire()
            await reply.chunk(piece)
            self.begun.set()
        await self._then(reply)


async def quota_where_asked(request: Request, reply: Reply) -> None:
    """Out of quota for a request that says `exhausted`."""
    if b"exhausted" in request.body:
        await OUT_OF_QUOTA(request, reply)
    else:
        await reply.json(200, {})


# -- asking -----------------------------------------------------------------


async def ask(
    proxy: Proxy,
    body: dict[str, Any] | None = None,
    path: str = CHAT,
    headers: Iterable[tuple[str, str]] = (),
) -> Answer:
    """Ask upstream's model on a connection of its own."""
    return await proxy.ask("POST", path, {"model": "o3"} | (body or {}), headers)


async def begin(
    proxy: Proxy, path: str = CHAT, headers: Iterable[tuple[str, str]] = (), **body: object
) -> Client:
    """Send the same request and do not wait for its answer."""
    client = await proxy.client()
    await client.request("POST", path, {"model": "o3"} | body, headers)
    return client


def plain(answer: Answer) -> list[tuple[str, str]]:
    """An answer's headers without those that we add."""
    ours = ("x-hybrid-route", "x-request-id")
    fields = [(name.decode(), value.decode()) for name, value in answer.headers]
    return [field for field in fields if field[0].lower() not in ours]


# -- time --------------------------------------------------------------------


class Time:
    """The clock of the proxy and of what fallbacks remember: the real one, and what a test adds."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.added = 0.0
        for module in (interfaces, exchange, policy, replay, bypass):
            patch.setattr(module, "monotonic", self)

    def __call__(self) -> float:
        return monotonic() + self.added


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """That clock."""
    return Time(monkeypatch)


# -- nothing may go wrong unseen ---------------------------------------------


class _Wrongs(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.wrongs: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        signs = ("crashed", "Addon error", "Traceback", "Unhandled")
        if "on purpose" in message:  # a test's own
            return
        if record.exc_info or any(sign in message for sign in signs):
            self.wrongs.append(self.format(record))


@pytest.fixture(autouse=True)
def healthy() -> Iterator[None]:
    """The test fails if anything crashed in mitmproxy or the addon meanwhile."""
    handler = _Wrongs()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
    assert handler.wrongs == []


# -- an HTTP/2 server ---------------------------------------------------------


class Stream:
    """One request of an HTTP/2 connection, and the means to answer it."""

    def __init__(self, server: "H2Server", link: "_Link", number: int) -> None:
        self._server = server
        self._link = link
        self._number = number
        self.body = bytearray()
        self.path = ""
        self.gone = asyncio.Event()

    async def head(self, status: int, headers: dict[str, str]) -> None:
        """Send the head."""
        fields = [(":status", str(status)), *headers.items()]
        self._link.h2.send_headers(self._number, fields)
        await self._link.flush()

    async def data(self, data: bytes, *, end: bool = False) -> None:
        """Send a piece of the body."""
        self._link.h2.send_data(self._number, data, end_stream=end)
        await self._link.flush()

    async def raw(self, data: bytes) -> None:
        """Send a DATA frame although the stream has been reset, as one that was on its way would come."""
        frame = len(data).to_bytes(3, "big") + b"\x00\x00" + self._number.to_bytes(4, "big")
        self._link.writer.write(frame + data)
        await self._link.writer.drain()


class _Link:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.streams: dict[int, Stream] = {}

    async def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())
        await self.writer.drain()


class H2Server(AbstractAsyncContextManager["H2Server"]):
    """A server that speaks HTTP/2 over TLS alone; `handler` answers each request in a task of its own."""

    def __init__(self, confdir: Path, handler: Callable[[Stream], Awaitable[None]]) -> None:
        self._tls = server_context(confdir)
        self._tls.set_alpn_protocols(["h2"])
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Stream] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        """`https://127.0.0.1:port`."""
        return f"https://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None:
            wrong = [e for e in results if isinstance(e, Exception) and not isinstance(e, OSError)]
            assert wrong == []

    def _start(self, work: Awaitable[None]) -> None:
        self._tasks.add(asyncio.ensure_future(work))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        link = _Link(writer)
        link.h2.initiate_connection()
        try:
            await link.flush()
            while data := await reader.read(65536):
                for event in link.h2.receive_data(data):
                    self._take(link, event)
                await link.flush()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for stream in link.streams.values():
                stream.gone.set()
            writer.close()

    def _take(self, link: _Link, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            assert event.stream_id
            assert event.headers
            stream = link.streams[event.stream_id] = Stream(self, link, event.stream_id)
            stream.path = dict(event.headers)[b":path"].decode()
        elif isinstance(event, h2.events.DataReceived):
            assert event.stream_id
            assert event.data is not None
            link.streams[event.stream_id].body += event.data
            link.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            assert event.stream_id
            stream = link.streams[event.stream_id]
            self.requests.append(stream)
            self._start(self._handler(stream))
        elif isinstance(event, h2.events.StreamReset):
            assert event.stream_id
            link.streams[event.stream_id].gone.set()


# -- an HTTP/2 client ---------------------------------------------------------


class Asked:
    """A request of an `H2Client`, and what has come of its answer."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.ended = False
        self.was_reset = False

    @property
    def route(self) -> str:
        """What the header says about where the request went, without LiteLLM's name for the model."""
        return self.headers.get("x-hybrid-route", "").partition("; model=")[0]


class H2Client(AbstractAsyncContextManager["H2Client"]):
    """One HTTP/2 connection to the proxy, over TLS; unlike httpx it resets a stream that is given up."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._asked: dict[int, Asked] = {}

    async def __aenter__(self) -> Self:
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
        self._h2.initiate_connection()
        self._flush()
        self._reading = asyncio.create_task(self._read(reader))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            for event in self._h2.receive_data(data):
                self._take(event)
            self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._asked[_id(event)].headers = {str(k): str(v) for k, v in event.headers or ()}
        elif isinstance(event, h2.events.DataReceived):
            self._asked[_id(event)].body += event.data or b""
            self._h2.acknowledge_received_data(event.flow_controlled_length or 0, _id(event))
        elif isinstance(event, h2.events.StreamEnded):
            self._asked[_id(event)].ended = True
        elif isinstance(event, h2.events.StreamReset):
            self._asked[_id(event)].was_reset = True

    def post(self, path: str, **body: object) -> Asked:
        """Ask upstream's model."""
        number = self._h2.get_next_available_stream_id()
        authority = f"127.0.0.1:{self._port}"
        fields = {":method": "POST", ":path": path, ":scheme": "https", ":authority": authority}
        self._h2.send_headers(number, list(fields.items()))
        self._h2.send_data(number, json.dumps({"model": "o3"} | body).encode(), end_stream=True)
        asked = self._asked[number] = Asked()
        self._flush()
        return asked

    def give_up(self, asked: Asked) -> None:
        """Reset its stream."""
        (number,) = (number for number, one in self._asked.items() if one is asked)
        self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        self._flush()


def _id(event: Any) -> int:
    number: int = event.stream_id
    return number


__all__ = ["ClientGoneError", "gone", "healthy", "time"]
