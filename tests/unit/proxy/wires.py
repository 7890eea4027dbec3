"""A client connection's handler between two sockets that are none: what is sent in and out, byte for byte.

Unlike `playbook.py` this has mitmproxy's tasks and asyncio's readers in it, and so all that stands between a
socket and the layers. Nothing takes time: `settle` runs everything that can run.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast, override
from unittest.mock import patch

from mitmproxy import http, options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import commands, events, layer, layers, mode_specs

from litellm_hybrid.proxy.connection import HybridConnectionHandler, JoiningLayer
from litellm_hybrid.proxy.fast_path import OF_A_REQUEST
from litellm_hybrid.proxy.interfaces import HybridProxy
from litellm_hybrid.proxy.waits import HybridWaitHook
from unit.proxy.playbook import Clock, Rest

REQUEST = b"POST /v1/messages HTTP/1.%d\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}"


class Wire(asyncio.Transport):
    """One end of a connection that is kept in memory; `sent` is what the proxy has written to it.

    Attributes:
        is_stuck: what is written stays in the buffer.
        fails: writing finds out that nobody is there.
        pauses: how often reading was paused; `resumes`: how often it went on.
    """

    HIGH = 64 * 1024

    def __init__(self) -> None:
        super().__init__({"peername": ("10.0.0.1", 40000), "sockname": ("10.0.0.2", 8318)})
        self.sent = bytearray()
        self.unsent = 0
        self.is_stuck = self.fails = False
        self.pauses = self.resumes = self.writes = 0
        self._closing = self._ended = False
        loop = asyncio.get_running_loop()
        self.reader = asyncio.StreamReader(loop=loop)
        self.protocol = asyncio.StreamReaderProtocol(self.reader, loop=loop)
        self.protocol.connection_made(self)
        self.writer = asyncio.StreamWriter(self, self.protocol, self.reader, loop)

    # -- what its peer does

    def feed(self, data: bytes) -> None:
        """Data comes."""
        if data and not self._closing and not self._ended:
            self.protocol.data_received(data)

    def end(self) -> None:
        """The peer sends no more."""
        if not self._closing and not self._ended:
            self._ended = True
            self.protocol.eof_received()

    def reset(self) -> None:
        """The connection breaks."""
        if not self._closing:
            self._closing = True
            self.protocol.connection_lost(ConnectionResetError("reset"))

    def unstick(self) -> None:
        """The peer reads all that it has been sent."""
        paused = self.unsent > self.HIGH
        self.is_stuck, self.unsent = False, 0
        if paused and not self._closing:
            self.protocol.resume_writing()

    # -- what the proxy does

    @override
    def write(self, data: Any) -> None:
        if self._closing:
            return
        if self.fails:
            self._closing = True
            error = ConnectionResetError("reset")
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)
            return
        self.sent += data
        self.writes += 1
        if self.is_stuck:
            was, self.unsent = self.unsent, self.unsent + len(data)
            if was <= self.HIGH < self.unsent:
                self.protocol.pause_writing()

    @override
    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    @override
    def close(self) -> None:
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close

    @override
    def is_closing(self) -> bool:
        return self._closing

    @override
    def get_write_buffer_size(self) -> int:
        return self.unsent

    @override
    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self.HIGH // 4, self.HIGH

    @override
    def pause_reading(self) -> None:
        self.pauses += 1

    @override
    def resume_reading(self) -> None:
        self.resumes += 1

    @override
    def can_write_eof(self) -> bool:
        return True

    @override
    def write_eof(self) -> None:
        """Nobody looks at it."""


class _Handler(HybridConnectionHandler):
    """The real one; hooks are ours, and time passes only where a test says so."""

    wires: "Wires"

    @override
    async def handle_hook(self, hook: commands.StartHook) -> None:
        self.wires.hook(hook)
        for _ in range(self.wires.turns):
            await asyncio.sleep(0)
        (data,) = hook.args()
        if isinstance(hook, HybridWaitHook):
            await self.wires.proxy.waits.hybrid_wait(data)
        if isinstance(data, http.HTTPFlow):
            await data.wait_for_resume()

    @override
    async def wakeup(self, request: commands.RequestWakeup) -> None:
        self.wires.wakeups.append(request)

    @override
    def log(self, message: str, level: int = logging.INFO, exc_info: Any = None) -> None:
        if level >= logging.ERROR:
            self.wires.rest.lines.append(f"log {message}")

    @override
    async def server_event(self, event: events.Event) -> None:
        self.wires.events += isinstance(event, events.DataReceived)
        await super().server_event(event)


_options = options.Options()
Proxyserver().load(_options)


class _Direct:
    """Calls hooks at once, as `HookCalls` does where nothing hinders it."""

    def __init__(self, wires: "Wires") -> None:
        self._wires = wires

    def call(self, hook: type[commands.StartHook], flow: http.HTTPFlow) -> bool:
        if hook in OF_A_REQUEST:
            self._wires.hook(hook(flow))
            return True
        return False


class Wires:
    """One client connection and its servers.

    Attributes:
        tap: what a response that passes is given to.
        left: what is known of a client that half-closes.
        servers: the connections that were made, in order.
        events: how many reads have gone through mitmproxy's layers.
        hooks: what other addons do in a hook, by its name.
        turns: of the event loop that a hook takes.
        options: mitmproxy's.
    """

    handler: _Handler
    layer: JoiningLayer
    task: "asyncio.Task[None]"

    def __init__(self, clock: Clock, *, relays: bool) -> None:
        self.clock = clock
        self.rest = Rest([], clock)
        self.tap: Callable[[bytes], Any] | bool = True
        self.left: bool | None = None
        self.client = Wire()
        self.servers: list[Wire] = []
        self.events = 0
        self.wakeups: list[commands.RequestWakeup] = []
        self.flows: list[http.HTTPFlow] = []
        self.hooks: dict[str, Callable[[http.HTTPFlow], None]] = {}
        self.turns = 0
        self.options = _options
        _options.reset()
        _options.update(connection_strategy="lazy")
        self.proxy = HybridProxy(self.rest, self.rest, self.rest, clock=clock, has_left=lambda _: self.left)
        self.proxy.hooks = None
        self.proxy.relays = relays

    @property
    def server(self) -> Wire:
        """The latest."""
        return self.servers[-1]

    def hook(self, hook: commands.StartHook) -> None:
        """What the addon does."""
        if isinstance(hook, layer.NextLayerHook):
            self.layer = hook.data.layer = JoiningLayer(hook.data.context, self.proxy)
        if not hook.name.startswith(("request", "response", "error")):
            return
        (flow,) = hook.args()
        if hook.name == "requestheaders":
            self.flows.append(flow)
        elif hook.name == "responseheaders":
            flow.response.stream = self.tap
        self.hooks.get(hook.name, lambda _: None)(flow)  # type: ignore[no-untyped-call]
        said = flow.error.msg if flow.error else ""
        content = flow.response.raw_content if flow.response else None
        self.rest.lines.append(f"hook {hook.name} {said} {content!r}")

    async def settle(self) -> None:
        """Let everything run that can."""
        ready = vars(asyncio.get_running_loop())["_ready"]
        await asyncio.sleep(0)
        while ready:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def release(self, *, kill: bool = False) -> None:
        """Let go, or kill, what an addon has intercepted."""
        for flow in self.flows:
            if flow.intercepted and kill:
                flow.kill()
            elif flow.intercepted:
                flow.resume()
        await self.settle()

    def call_hooks_at_once(self) -> None:
        """No task is made for a hook."""
        self.proxy.hooks = cast("Any", _Direct(self))

    def store_bodies(self) -> None:
        """Somebody begins to look at bodies."""
        _options.update(store_streamed_bodies=True)

    async def wait(self, seconds: float) -> None:
        """Time passes, and the limits are looked at."""
        self.clock.now += seconds
        wakeups, self.wakeups = self.wakeups, []
        for wakeup in wakeups:
            await self.handler.server_event(events.Wakeup(wakeup))
        await self.settle()

    async def _connect(self, *_: object, **__: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        await asyncio.sleep(0)
        self.servers.append(Wire())
        return self.server.reader, self.server.writer


@asynccontextmanager
async def connected(
    clock: Clock, *, relays: bool, settled: bool = True, ends: bool = False
) -> AsyncIterator[Wires]:
    """A client connects; where it has settled, the proxy waits for what it sends.

    `ends`: nothing of it goes on behind its end.
    """
    wires = Wires(clock, relays=relays)
    with patch.object(asyncio, "open_connection", wires._connect):
        mode = mode_specs.ProxyMode.parse("reverse:http://10.0.0.1:8317")
        handler = wires.handler = _Handler(None, wires.client.reader, wires.client.writer, _options, mode)  # type: ignore[no-untyped-call]
        handler.wires = wires
        context = handler.layer.context
        top = layers.modes.ReverseProxy(context)
        context.server.address = ("10.0.0.1", 8317)
        handler.layer = top
        task = wires.task = asyncio.get_running_loop().create_task(handler.handle_client())
        if settled:
            await wires.settle()
        try:
            yield wires
        finally:
            wires.client.reset()
            await wires.settle()
            if not task.done():
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            # What was begun at the very end, for a client that is said to read on; nobody looks at it.
            if ends:
                wires.rest.lines = []
            while ends and (begun := asyncio.all_tasks() - {asyncio.current_task()}):
                for one in begun:
                    one.cancel()
                await asyncio.gather(*begun, return_exceptions=True)
            for wire in wires.servers if ends else ():
                wire.close()
