"""What the end-to-end tests share: mitmproxy with the addon in the test's loop, a client that sees bytes.

A test hands out turns with events instead of sleeping: a server's handler sends its
second chunk only after the client has said that the first one is there.
"""

import asyncio
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, override

import pytest
from mitmproxy import http, options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tools.dump import DumpMaster

from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.proxy import deadlines
from litellm_hybrid.proxy.interfaces import HybridProxy
from litellm_hybrid.proxy.layer import HybridLayer
from support.processes import hybrid_config
from support.servers import Handler, Reply, Server
from support.wire import ClientGoneError, Connection, Request

PATIENCE = 60.0
"""Seconds after which a test that waits for something gives up; nothing is ever waited for in full."""

LITELLM_502 = b'{"error":"litellm_proxy_error","message":"Failed to reach LiteLLM proxy"}'
UPSTREAM_502 = b'{"error":"upstream_proxy_error","message":"Failed to reach upstream"}'

type Fields = Iterable[tuple[str, str]]


# -- servers ----------------------------------------------------------------


def said_hello(path: str) -> dict[str, Any]:
    """What `hello` answers to a request for a path: a short answer with content."""
    return {"hello": path, "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}


async def hello(request: Request, reply: Reply) -> None:
    """Answer anything with a short JSON."""
    await reply.json(200, said_hello(request.path))


class Stub(Server):
    """A server whose handler a test may exchange at any time.

    Attributes:
        deployments: what `GET /model/info` tells of LiteLLM's models; `None` refuses it.
        model_info_asked: how often it was asked for them.
    """

    def __init__(
        self,
        handler: Handler = hello,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(self._dispatch, port=port, tls=tls, host=host)
        self.does: Handler = handler
        self.deployments: Sequence[Mapping[str, Any]] | None = None
        self.model_info_asked = 0

    @override
    async def answer_aside(self, request: Request, reply: Reply) -> bool:
        if request.path != "/model/info":
            return False
        self.model_info_asked += 1
        if self.deployments is None:
            await reply.json(403, {"error": "not for this key"})
        else:
            await reply.json(200, {"data": self.deployments})
        return True

    async def _dispatch(self, request: Request, reply: Reply) -> None:
        await self.does(request, reply)

    @property
    def last(self) -> Request:
        """The request that came last."""
        return self.requests[-1]


@contextmanager
def black_hole() -> Iterator[tuple[int, socket.socket]]:
    """A port of 127.0.0.1 where connecting takes for ever, and its listening socket.

    Linux drops a SYN while the queue of connections that nobody has accepted is full.
    """
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        clients = [socket.socket() for _ in range(4)]
        try:
            for client in clients:
                client.setblocking(False)
                with suppress(BlockingIOError):
                    client.connect(listening.getsockname())
            yield listening.getsockname()[1], listening
        finally:
            for client in clients:
                client.close()


# -- the client -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came over the wire.

    Attributes:
        headers: in order, names in their own case.
        body: without transfer framing; a content coding is left on.
        whole: whether the body ended as its framing says it must.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    whole: bool = True

    def values(self, name: str) -> list[str]:
        """Every value of a header; the name in any case."""
        return [value.decode() for key, value in self.headers if key.lower() == name.lower().encode()]

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next(iter(self.values(name)), None)

    @property
    def route(self) -> str | None:
        """What the header says about where the request went, without LiteLLM's name for the model."""
        route = self.header("x-hybrid-route")
        return route and route.partition("; model=")[0]

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Client:
    """One connection to the proxy, HTTP/1.1 by hand."""

    def __init__(self, port: int, wire: Connection, pump: asyncio.Task[None]) -> None:
        self._port = port
        self._pump = pump
        self.wire = wire

    @classmethod
    async def connect(cls, port: int) -> "Client":
        """Open the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        wire = Connection(writer)
        return cls(port, wire, asyncio.create_task(wire.pump(reader)))

    async def close(self) -> None:
        """Leave."""
        self.wire.writer.close()
        with suppress(OSError):
            await self.wire.writer.wait_closed()
        self._pump.cancel()

    async def send(self, data: bytes) -> None:
        """Send bytes as they are. A proxy that has answered may have closed: what it said tells, not this."""
        self.wire.writer.write(data)
        with suppress(ConnectionError):
            await self.wire.writer.drain()

    async def request(
        self, method: str, target: str, body: bytes | object = b"", headers: Fields = (), *, host: str = ""
    ) -> None:
        """Send a request; a body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = [("Host", host or f"127.0.0.1:{self._port}"), *headers]
        if data or method == "POST":
            fields.append(("Content-Length", str(len(data))))
        await self.send(head(f"{method} {target} HTTP/1.1", fields) + data)

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Status and headers of the next answer."""
        async with asyncio.timeout(PATIENCE):
            lines = (await self.wire.until(b"\r\n\r\n")).split(b"\r\n")
        fields = [line.partition(b":") for line in lines[1:] if line]
        return int(lines[0].split(b" ")[1]), [(name, value.strip()) for name, _, value in fields]

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body; b"" is its end. ClientGoneError if it breaks off."""
        async with asyncio.timeout(PATIENCE):
            size = int(await self.wire.until(b"\r\n"), 16)
            data = await self.wire.exactly(size)
            await self.wire.exactly(2)
        return data

    async def rest(self) -> bytes:
        """Everything until the proxy closes the connection."""
        async with asyncio.timeout(PATIENCE):
            await self.wire.gone.wait()
        return self.wire.take()

    async def answer(self, *, bodiless: bool = False) -> Answer:
        """The next answer, whole or broken off; `bodiless` for one to HEAD."""
        status, headers = await self.head()
        answer = Answer(status, headers, b"")
        body = bytearray()
        try:
            if bodiless or status in (204, 304):
                pass
            elif answer.header("transfer-encoding") == "chunked":
                while piece := await self.chunk():
                    body += piece
            elif (length := answer.header("content-length")) is not None:
                body += await self._exactly(int(length))
            else:
                body += await self.rest()
        except ClientGoneError:
            return Answer(status, headers, bytes(body) + self.wire.take(), whole=False)
        return Answer(status, headers, bytes(body))

    async def _exactly(self, length: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.wire.exactly(length)

    async def ask(
        self, method: str, target: str, body: bytes | object = b"", headers: Fields = (), *, host: str = ""
    ) -> Answer:
        """Send a request and wait for its answer."""
        await self.request(method, target, body, headers, host=host)
        return await self.answer(bodiless=method == "HEAD")

    async def post(self, model: str, headers: Fields = ()) -> Answer:
        """Ask chat completions for a model."""
        return await self.ask("POST", "/v1/chat/completions", {"model": model}, headers)


def head(first: str, fields: Fields) -> bytes:
    """A request's head."""
    lines = [first, *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


# -- the proxy --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One of our log lines."""

    level: str
    message: str
    fields: Mapping[str, Any]


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(Line(record.levelname, record.getMessage(), getattr(record, "fields", {})))


class Started:
    """The last of the addons: when it is told that mitmproxy runs, all others know."""

    is_running = False

    def running(self) -> None:
        self.is_running = True


class Watchman:
    """An addon that notes what happens."""

    def __init__(self) -> None:
        self.connecting = asyncio.Event()
        self.request_begun = asyncio.Event()

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """An attempt to connect begins."""
        assert data.server
        self.connecting.set()

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """The head of a request is there."""
        assert flow
        self.request_begun.set()


@dataclass(slots=True)
class Proxy:
    """mitmproxy with the addon, running in this loop.

    Attributes:
        config: the configuration file.
        lines: our log lines so far.
    """

    master: DumpMaster
    addon: HybridAddon
    config: Path
    lines: list[Line]
    watchman: Watchman
    clients: list[Client] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._proxyserver.listen_addrs()[0][1]

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def _proxyserver(self) -> Proxyserver:
        proxyserver: Proxyserver = self.master.addons.get("proxyserver")
        return proxyserver

    async def client(self) -> Client:
        """A new connection to it."""
        client = await Client.connect(self.port)
        self.clients.append(client)
        return client

    async def ask(
        self, method: str, target: str, body: bytes | object = b"", headers: Fields = (), *, host: str = ""
    ) -> Answer:
        """One request on a connection of its own."""
        client = await self.client()
        answer = await client.ask(method, target, body, headers, host=host)
        await client.close()
        return answer

    async def post(self, model: str, headers: Fields = ()) -> Answer:
        """Ask chat completions for a model, on a connection of its own."""
        return await self.ask("POST", "/v1/chat/completions", {"model": model}, headers)

    def log(self, part: str) -> list[Line]:
        """The log lines that have `part` in their message."""
        return [line for line in self.lines if part in line.message]

    def failures(self) -> list[Line]:
        """The log lines about failed requests."""
        return [line for line in self.lines if "error_type" in line.fields]

    async def failure(self) -> Line:
        """The one failure of this test, once it is logged."""
        await until(self.failures)
        (line,) = self.failures()
        return line

    def write(self, config: Mapping[str, Any]) -> None:
        """Give the configuration file another content."""
        self.config.write_text(json.dumps(config), encoding="utf-8")

    async def stop(self) -> None:
        """Close every connection and end it."""
        for client in self.clients:
            await client.close()
        await self._proxyserver.servers.update([])
        await until(lambda: not self._proxyserver.connections)


async def until[T](check: Callable[[], T]) -> T:
    """Wait until `check()` is true, and return what it said."""
    async with asyncio.timeout(PATIENCE):
        while not (found := check()):  # noqa: ASYNC110  what is waited for knows of no event
            await asyncio.sleep(0.005)
    return found


async def gone(connection: Connection) -> None:
    """Wait until a connection has ended."""
    async with asyncio.timeout(PATIENCE):
        await connection.gone.wait()


class Clock:
    """The proxy's clock: the real one, and what a test has added to it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._added = 0.0
        self._looks = 0
        self._proxies: list[HybridProxy[Any]] = []
        make, enforce = HybridProxy.__init__, HybridLayer.enforce_limits

        def make_timed(proxy: HybridProxy[Any], **given: Any) -> None:
            make(proxy, **given, clock=self)
            self._proxies.append(proxy)

        def look(layer: HybridLayer) -> Iterator[Any]:
            yield from enforce(layer)
            self._looks += 1

        patch.setattr(HybridLayer, "enforce_limits", look)
        patch.setattr(HybridProxy, "__init__", make_timed)
        patch.setattr(deadlines, "CHECK_EVERY", 0.01)

    def __call__(self) -> float:
        """Seconds."""
        return monotonic() + self._added

    def jump(self, seconds: float) -> None:
        """Move it."""
        self._added += seconds

    async def advance(self, seconds: float) -> None:
        """Move it, and wait until a whole look at the limits has seen that, or no request is left to be seen."""
        self.jump(seconds)
        enough = self._looks + 2
        layers = [layer for proxy in self._proxies for layer in proxy.layers]
        await until(lambda: self._looks >= enough or not any(layer.is_busy for layer in layers))


@contextmanager
def our_lines() -> Iterator[list[Line]]:
    """What the addon logs meanwhile."""
    handler = _Lines()
    logger = logging.getLogger("litellm_hybrid")
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)


def make_master(config: Path | None, mode: str, confdir: Path, **more: Any) -> tuple[DumpMaster, HybridAddon]:
    """mitmproxy with the addon, not running yet."""
    master = DumpMaster(
        options.Options(mode=[mode], confdir=str(confdir), **more), with_termlog=False, with_dumper=False
    )
    addon = HybridAddon()
    # Before mitmproxy's own, where a script's addons are.
    master.addons.chain.insert(0, master.addons.register(addon))
    master.options.update(litellm_config="" if config is None else str(config))
    return master, addon


@asynccontextmanager
async def running(
    config: Mapping[str, Any], upstream: str, folder: Path, confdir: Path, **more: Any
) -> AsyncIterator[Proxy]:
    """Run mitmproxy with the addon in front of `upstream`, a URL; one at a time."""
    file = folder / "config.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    with our_lines() as lines:
        master, addon = make_master(file, f"reverse:{upstream}@127.0.0.1:0", confdir, **more)
        watchman = Watchman()
        master.addons.add(watchman, started := Started())
        task = asyncio.create_task(_run(master, lines))
        proxy = Proxy(master, addon, file, lines, watchman)
        try:
            await until(lambda: task.done() or started.is_running)
            yield proxy
            await proxy.stop()
        finally:
            master.shutdown()
            await task


async def _run(master: DumpMaster, lines: list[Line]) -> None:
    try:
        await master.run()
    except SystemExit as e:  # it would end pytest
        raise RuntimeError(f"mitmproxy has not started: {lines}") from e


def settings(litellm: str, **keys: Any) -> dict[str, Any]:
    """A configuration that lists `gpt-5` alone; `_` in a key stands for `-`, None leaves a key out."""
    named = {name.replace("_", "-"): value for name, value in keys.items()}
    config = hybrid_config(litellm, **({"models": ["gpt-5"]} | named))
    given = config["extensions"]["litellm"]
    config["extensions"]["litellm"] = {name: value for name, value in given.items() if value is not None}
    return config
