"""The sockets of a client connection and what stands on it; where mitmproxy listens, and the end of that."""

import asyncio
import collections
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, override

from mitmproxy.connection import Client, Connection, ConnectionState
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer, mode_servers, mode_specs, server, tunnel
from mitmproxy.proxy.layers import ClientQuicLayer, ClientTLSLayer, ServerQuicLayer, ServerTLSLayer, modes
from mitmproxy.utils import asyncio_utils

from litellm_hybrid.config.settings import Address
from litellm_hybrid.proxy.fast_path import HookCalls
from litellm_hybrid.proxy.interfaces import HybridProxy
from litellm_hybrid.proxy.layer import HybridLayer
from litellm_hybrid.proxy.relay import Relay
from litellm_hybrid.proxy.stream_base import Flush

_SOCKETS_PER_SERVER = 100
"""How many requests of one HTTP/2 client run at once on one server; mitmproxy's own limit is 5."""

_LARGE_READ = 1024 * 1024

_JOINED_MAX = 64 * 1024
"""Bytes that are joined to be written at once: to copy more costs as much as another write."""


NextLayer = layer.NextLayer

_PASSED_THROUGH = (NextLayer, modes.DestinationKnown)
"""Layers that do nothing any more once it is known what speaks; an addon may have put others there."""


class _Reads:
    """What mitmproxy reads a connection with.

    It takes all that has come at once: every piece that mitmproxy reads goes through all of its layers. And
    while its task waits here and nothing else goes on, what comes is taken where it is read, without waking
    the task, which would take as long as a third of the layers. mitmproxy gets nothing but the end: its loop
    would keep what it has read last, up to 1 MiB of a request, for as long as it waits for more.
    """

    def __init__(
        self, reader: asyncio.StreamReader, connection: Connection, handler: "HybridConnectionHandler"
    ) -> None:
        self._reader = reader
        self._connection = connection
        self._handler = handler
        self._relay: Relay | None = None

    async def read(self, n: int) -> bytes:
        """Take what comes, at most 1 MiB or `n` at a time, up to the end; return that."""
        while True:
            # asyncio's protocol calls it with all that it reads; of the object, it goes before the class's.
            vars(self._reader)["feed_data"] = self._feed
            self._relay = self._handler.relay(self._connection, self._reader)
            try:
                data = await self._reader.read(max(n, _LARGE_READ))
            finally:
                if self._relay is not None:
                    self._relay.hand_back()
                del vars(self._reader)["feed_data"]
            if not data:
                return data
            await self._handler.server_event(events.DataReceived(self._connection, data))
            del data
            await self._handler.drain_writers()

    def _feed(self, data: bytes) -> None:
        reader, handler = self._reader, self._handler
        waiter = vars(reader)["_waiter"]
        if data and waiter is not None and not waiter.done() and handler.may_take():
            handler.take(events.DataReceived(self._connection, data))
            self._relay = handler.relay(self._connection, reader)
        else:
            asyncio.StreamReader.feed_data(reader, data)


class HybridConnectionHandler(mode_servers.ProxyConnectionHandler):
    """mitmproxy's, with every socket closed when it is done with, and larger reads.

    `serve` makes it itself. Where mitmproxy does (mitmdump, mitmweb), `configure_connection` swaps the class
    of its handler. Why: `ServerInstance.handle_stream` makes it by name, and the mode is parsed before a
    script is loaded. It can go when `ServerInstance` looks its class up in an attribute
    (docs/upstreaming.md, 3), or once what is overridden is mended there (1).

    Attributes:
        hooks: calls the handlers of hooks; None: mitmproxy does.
    """

    hooks: HookCalls | None = None

    @override
    async def handle_hook(self, hook: commands.StartHook) -> None:
        if self.hooks is None or not self.hooks.tell(hook):
            await super().handle_hook(hook)

    @override
    async def open_connection(self, command: commands.OpenConnection) -> None:
        connection = command.connection
        try:
            await super().open_connection(command)
        except Exception:
            if connection.peername is not None or connection.state is not ConnectionState.OPEN:
                raise
            # Reset before it could be asked for its address: mitmproxy asserts that there is one, or, where
            # assertions are off, takes it apart. Its task would die of that, and the request wait for ever.
            opened = self.transports.pop(connection, None)
            if opened is not None and opened.writer is not None:
                opened.writer.close()
            connection.state = ConnectionState.CLOSED
            connection.error = "Connection reset by peer"
            await self.server_event(events.OpenConnectionCompleted(command, connection.error))

    @override
    async def handle_connection(self, connection: Connection) -> None:
        io = self.transports[connection]
        try:
            if io.handler is None:
                # mitmproxy makes tasks that begin at once, and notes this one when it waits: not before its
                # end, where all that the client sends is there already.
                await asyncio.sleep(0)
            if isinstance(io.reader, asyncio.StreamReader):
                # asyncio pauses a socket at twice its limit, with two system calls for each pause; it takes
                # one only where a reader is made, and mitmproxy gives none.
                vars(io.reader)["_limit"] = _LARGE_READ
                reads: Any = _Reads(io.reader, connection, self)  # mitmproxy calls nothing but `read`
                io.reader = reads
            await super().handle_connection(connection)
        finally:
            # Cancelled above, as a client that has just come is when the proxy stops, or while it waits to
            # hand on what it has read, as it can be when a response is abandoned halfway or a client leaves
            # with one unread, mitmproxy forgets to close the socket and to say so: the server would be
            # blamed for a client that left.
            forgotten = self.transports.pop(connection, None)
            if forgotten is not None and forgotten.writer is not None:
                forgotten.writer.close()
            if forgotten is not None or connection.state is ConnectionState.CAN_WRITE:
                # Or it was half-closed, and a write has failed: mitmproxy says only once that it is closed.
                connection.state = ConnectionState.CLOSED
                await self.server_event(events.ConnectionClosed(connection))

    def _http_layer(self) -> HybridLayer | None:
        """The layer that speaks HTTP; None: it is not known yet what speaks here."""
        above: list[layer.Layer] = []
        top: layer.Layer | None = self.layer
        while top is not None and not isinstance(top, HybridLayer):
            above.append(top)
            top = getattr(top, "child_layer", None) or getattr(top, "layer", None)
        if top is not None and above and all(isinstance(one, _PASSED_THROUGH) for one in above):
            if any(isinstance(one, NextLayer) and one.events for one in above):
                return None  # the hook that has named the layer is not over: it has not begun yet
            self.layer = top  # the mode's layer and `NextLayer` have done what they are for
        return top

    @override
    async def drain_writers(self) -> None:
        """Wait until what was written is sent, if anything is left of it."""
        if not self._has_sent_all():
            await super().drain_writers()  # type: ignore[no-untyped-call]

    def _has_sent_all(self) -> bool:
        for io in self.transports.values():
            writer = io.writer
            if isinstance(writer, asyncio.StreamWriter):
                transport = writer.transport
                if transport.get_write_buffer_size() or transport.is_closing():
                    return False
            elif writer is not None:
                return False
        return True

    def may_take(self) -> bool:
        """Whether an event can be taken at once: nothing else goes on, and nothing is left to be sent."""
        http, lock = self._http_layer(), self._server_event_lock
        is_free = http is not None and http.proxy.relays and not lock.locked() and not lock._waiters  # noqa: SLF001
        return is_free and self._has_sent_all()

    def take(self, event: events.Event) -> None:
        """Take an event, without a task of its own."""
        work = self.server_event(event)
        try:
            work.send(None)  # it waits for nothing but its lock, which is free
        except StopIteration:
            if not self._has_sent_all():
                # A write that fails is seen only here, where the peer has said before that it sends no more.
                asyncio_utils.create_task(
                    self.drain_writers(), name="drain", keep_ref=True, client=self.client.peername
                )
            return
        raise RuntimeError("an event has to wait that cannot")

    def relay(self, connection: Connection, reader: asyncio.StreamReader) -> Relay | None:
        """Begin to relay what comes from a server, if that is all that is to be done with it now."""
        http = None if connection is self.client else self._http_layer()
        passage = None if http is None else http.passing_through(connection)
        io, server = self.transports.get(self.client), self.transports.get(connection)
        is_read = not vars(reader)["_buffer"] and not reader.at_eof() and reader.exception() is None
        if passage is None or io is None or io.handler is None or server is None or not is_read:
            return None
        if not isinstance(io.writer, asyncio.StreamWriter) or not isinstance(
            server.writer, asyncio.StreamWriter
        ):
            return None
        protocol = server.writer.transport.get_protocol()
        if not isinstance(protocol, asyncio.StreamReaderProtocol):
            return None
        return Relay(passage, protocol, io.writer.transport, io.handler)


class JoiningLayer(HybridLayer):
    """With what goes to one peer at a time, such as a head and its body, in one write.

    Each write is a system call, which takes longer than most of what is done for a small request.
    """

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        pending: commands.SendData | None = None
        try:
            for command in super()._handle_event(event):
                more = command if isinstance(command, commands.SendData) else None
                if pending is not None:
                    if (
                        more is not None
                        and more.connection is pending.connection
                        and len(pending.data) + len(more.data) <= _JOINED_MAX
                    ):
                        pending.data += more.data
                        continue
                    yield pending
                pending = more
                if more is None and not isinstance(command, Flush):
                    yield command
        except Exception:
            if pending is not None:
                yield pending
            raise
        if pending is not None:
            yield pending


class ProxyserverAddon(Protocol):
    """mitmproxy's addon that listens."""

    connections: Mapping[tuple[object, ...] | str, mode_servers.ProxyConnectionHandler]
    servers: Any


def _sockets() -> asyncio.Semaphore:
    return asyncio.Semaphore(_SOCKETS_PER_SERVER)


def configure_connection(proxyserver: ProxyserverAddon, client: Client, proxy: HybridProxy[Any]) -> None:
    """Make mitmproxy's own limits for a client connection fit ours, and have all its sockets closed.

    An HTTP/2 client may run more than five requests at once on one server, and mitmproxy's limit for
    silence does not end a request before ours do, as if the client had left.
    """
    handler = proxyserver.connections.get(client.id)
    if type(handler) is mode_servers.ProxyConnectionHandler:
        handler.__class__ = HybridConnectionHandler
    if isinstance(handler, HybridConnectionHandler):
        handler.hooks = proxy.hooks
    if isinstance(handler, server.ConnectionHandler):
        limits = proxy.policy.limits()
        handler.max_conns = collections.defaultdict(_sockets)
        longest = int(max(limits.first_byte, limits.idle, limits.connect, limits.upload)) + 60
        handler.timeout_watchdog.timeout = max(handler.timeout_watchdog.timeout, longest)


class Listeners:
    """The listening sockets, and the client connections that came in through them."""

    def __init__(self, proxyserver: ProxyserverAddon, proxy: HybridProxy[Any]) -> None:
        self._proxyserver = proxyserver
        self._proxy = proxy

    async def close(self) -> None:
        """Accept no more connections."""
        await self._proxyserver.servers.update([])

    def close_idle(self) -> int:
        """Close the client connections that have nothing running; return how many have."""
        busy = {one.client.id for one in self._proxy.layers if one.is_busy}
        running = 0
        for handler in list(self._proxyserver.connections.values()):
            transport = handler.transports.get(handler.client)
            writer = transport.writer if transport is not None else None
            unsent = isinstance(writer, asyncio.StreamWriter) and writer.transport.get_write_buffer_size() > 0
            if handler.client.id in busy or unsent:
                running += 1
            elif transport is not None and transport.handler is not None:
                handler.close_connection(handler.client)
        return running


def build_layer(next_layer: NextLayer, proxy: HybridProxy[Any]) -> None:
    """Build the layers of a client connection of which the first bytes have come.

    As mitmproxy's own addon does for `reverse:http` and `reverse:https`
    (`addons/next_layer.py:_setup_reverse_proxy`); that one is called later and leaves a chosen layer alone.
    """
    context = next_layer.context
    mode = context.client.proxy_mode
    if next_layer.layer is not None or not isinstance(mode, mode_specs.ReverseMode):
        return
    stack = tunnel.LayerStack()
    if context.client.transport_protocol == "udp":
        stack /= ServerQuicLayer(context)
        stack /= ClientQuicLayer(context)
    else:
        if mode.scheme == "https":
            stack /= ServerTLSLayer(context)
        if starts_like_tls_record(next_layer.data_client()):
            stack /= ClientTLSLayer(context)
    stack /= JoiningLayer(context, proxy)
    next_layer.layer = stack[0]


def listeners(
    modes: Sequence[str], listen_host: str | None, listen_port: int | None
) -> list[tuple[str, int, Address]]:
    """Where mitmproxy listens (host, port) and the upstream that stands behind.

    Args:
        modes: mitmproxy's option `mode`.
        listen_host: mitmproxy's option of that name.
        listen_port: mitmproxy's option of that name.

    Raises:
        ValueError: one of them is no reverse proxy for HTTP; its text says what to write instead.
    """
    found = []
    for spec in modes:
        mode = mode_specs.ProxyMode.parse(spec)
        if not isinstance(mode, mode_specs.ReverseMode) or mode.scheme not in ("http", "https"):
            raise ValueError(
                f"mode {spec!r}: litellm-hybrid only works as a reverse proxy for HTTP; start mitmproxy with "
                "--mode reverse:http://127.0.0.1:8317@127.0.0.1:8318 (CLIProxyAPI's address, then ours)"
            )
        host, port = mode.address
        here = mode.listen_host(listen_host), mode.listen_port(listen_port) or 0
        if here[0].startswith("["):
            raise ValueError(
                f"mode {spec!r}: mitmproxy takes an IPv6 address without brackets: @{here[0][1:-1]}:{here[1]}"
            )
        found.append((*here, Address(mode.scheme, host, port)))
    return found
