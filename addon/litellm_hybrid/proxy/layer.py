"""One client connection: its requests, and the server connections that are made for them."""

import math
from collections.abc import Iterator
from typing import Any, override

from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    GetHttpConnection,
    HttpClient,
    HttpLayer,
    HTTPMode,
    RegisterHttpConnection,
    SendHttp,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp

from litellm_hybrid.errors import Cause
from litellm_hybrid.proxy import half_close
from litellm_hybrid.proxy.deadlines import CheckSchedule, LimitReached
from litellm_hybrid.proxy.http1 import HybridHttp1Client, HybridHttp1Server
from litellm_hybrid.proxy.http2 import HybridHttp2Server
from litellm_hybrid.proxy.interfaces import HybridProxy
from litellm_hybrid.proxy.relay import Passage
from litellm_hybrid.proxy.stream import HybridStream
from litellm_hybrid.proxy.whole import WholeRequest, WholeResponse

_HTTP1 = (None, b"http/1.1", b"http/1.0")
"""What is negotiated with a server to which mitmproxy then speaks HTTP/1; None: nothing."""

_NONE: frozenset[Any] = frozenset()
"""Shared: an empty set of its own takes 216 bytes."""


class HybridLayer(HttpLayer):
    """mitmproxy's, with our streams, limits in time, and server connections that can be forgotten.

    Attributes:
        proxy: what all client connections share.
        checks: when the limits have to be checked.
        closed_by_peer: the connections whose other end has closed them.
    """

    def __init__(self, context: Context, proxy: HybridProxy[Any]) -> None:
        super().__init__(context, HTTPMode.transparent)
        self.proxy = proxy
        self.checks = CheckSchedule(proxy.clock)
        self.closed_by_peer: frozenset[Connection] = _NONE
        self._used: set[Server] = set()
        self._connecting: dict[Connection, float] = {}
        self._gave_up: dict[Connection, LimitReached] = {}
        self._filters: dict[layer.Layer, _DetachedStreams] = {}
        self._look_again = math.inf
        proxy.layers.add(self)

    @property
    def client(self) -> Client:
        """The client connection."""
        return self.context.client

    @property
    def is_busy(self) -> bool:
        """Whether a request of this client is running; an upgraded connection does not count."""
        return any(stream.child_layer is None for stream in self.streams.values())

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if self.checks.takes(event):
            yield from self.enforce_limits()
        elif isinstance(event, events.ConnectionEvent) and self._is_forgotten(event.connection):
            return
        else:
            if isinstance(event, events.ConnectionClosed):
                self.closed_by_peer |= {event.connection}
                if event.connection is self.context.client and self.is_busy:
                    self._look_again = self.proxy.clock() + half_close.RECHECK_FIRST
                    self.checks.schedule(self._look_again)
            if isinstance(event, events.Start) and self.client.alpn != b"h3":
                make = HybridHttp2Server if self.client.alpn == b"h2" else HybridHttp1Server
                side = self.connections[self.client] = make(self.context.fork(), self.proxy, self.checks)
                yield from self.event_to_child(side, event)
            else:
                yield from super()._handle_event(event)
        if (wakeup := self.checks.wakeup()) is not None:
            yield wakeup

    @override
    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        self.streams[stream_id] = HybridStream(self.context.fork(), stream_id, self)
        yield from ()

    # -- server connections -----------------------------------------------

    @override
    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> layer.CommandGenerator[None]:
        self._forget_closed()
        stream = self.command_sources.get(event)
        reuse = reuse and not (isinstance(stream, HybridStream) and stream.attempt.needs_new_connection)
        # The next request of a pipeline may be read while the last response's end is still on its way here.
        matching = [one for one in self.connections if event.connection_spec_matches(one)]
        reuse = reuse and not any(self._is_ending_a_response(one) for one in matching)
        yield from super().get_connection(event, reuse=reuse)
        for connection, child in self.connections.items():
            if connection is not self.client and child not in self._filters:
                self._filters[child] = _DetachedStreams(child)
        for connection in self.waiting_for_establishment:
            if connection not in self._connecting:
                self._connecting[connection] = self.proxy.clock() + self.proxy.policy.limits().connect
                self.checks.schedule(self._connecting[connection])

    def kept_connection(self, stream: HybridStream) -> Server | None:
        """The connection that `get_connection` would hand out at once; None: that is for it to find out."""
        data, server = stream.flow.request.data, stream.flow.server_conn
        if stream.attempt.needs_new_connection or self.context.client.alpn == b"h2":
            return None
        address, is_tls = (data.host, data.port), data.scheme == b"https"
        matching = [
            one
            for one in self.connections
            # As in `GetHttpConnection.connection_spec_matches`.
            if type(one) is Server
            and (one.address, one.tls, one.via) == (address, is_tls, server.via)
            and one.transport_protocol == server.transport_protocol
        ]
        if len(matching) != 1:
            return None
        connection = matching[0]
        is_free = connection.state is ConnectionState.OPEN and not connection.error
        is_free = is_free and connection not in self.waiting_for_establishment
        return connection if is_free and not self._is_ending_a_response(connection) else None

    @override
    def register_connection(self, command: RegisterHttpConnection) -> layer.CommandGenerator[None]:
        self._connecting.pop(command.connection, None)
        gave_up = self._gave_up.pop(command.connection, None)
        if command.err and gave_up is not None:
            command.err = gave_up
        if not command.err:
            HybridHttp1Client.put_in_place_of(
                self.connections[command.connection], takes_whole=self.proxy.relays
            )
        yield from super().register_connection(command)

    def takes_whole(self, connection: Connection) -> bool:
        """Whether a peer is sent a message in one event: it speaks HTTP/1, and its side is ours."""
        if not self.proxy.relays:
            return False
        if connection is self.context.client:
            return isinstance(self.connections.get(connection), HybridHttp1Server)
        return connection.alpn in _HTTP1

    def send_whole(
        self, event: WholeRequest | WholeResponse, connection: Connection
    ) -> layer.CommandGenerator[None]:
        """Send a message to a peer that takes it in one event; at once, if no other layer is on the way."""
        side = self.connections[connection]
        if isinstance(side, HttpClient):
            side = side.child_layer
        match event, side:
            case WholeRequest(), HybridHttp1Client():
                yield from side.send_whole(event)
            case WholeResponse(), HybridHttp1Server():
                yield from side.send_whole(event)
            case _:
                yield SendHttp(event, connection)

    def use(self, connection: Server) -> bool:
        """Note that a request goes out on a connection; whether an earlier one did."""
        used = connection in self._used
        self._used.add(connection)
        return used

    def _is_ending_a_response(self, connection: Connection) -> bool:
        """Whether a server's HTTP/1 side has not finished with a response that its client has whole."""
        inner: layer.Layer | None = self.connections[connection]
        while inner is not None and not isinstance(inner, HybridHttp1Client):
            inner = getattr(inner, "child_layer", None)  # below TLS it is the second
        if inner is None or inner.stream_id is None:
            return False
        return isinstance(self.connections.get(self.context.client), HybridHttp1Server)

    def passing_through(self, connection: Connection) -> Passage | None:
        """What only passes from a server to the client: over HTTP/1, and without TLS, on both sides."""
        child = self.connections.get(connection)
        source = child.child_layer if isinstance(child, HttpClient) else None
        client_side = self.connections.get(self.client)
        if (
            not self.proxy.relays
            or not isinstance(source, HybridHttp1Client)
            or not isinstance(client_side, HybridHttp1Server)
            or connection.tls
            or self.client.tls
            or source.state != source.read_body
        ):
            return None
        stream = self.streams.get(source.stream_id or 0)
        if not isinstance(stream, HybridStream) or stream.context.server is not connection:
            return None
        return stream.passing_through(source, client_side)

    def _forget_closed(self) -> None:
        # The base class keeps them for the life of the client connection, and answers every later request
        # with the error of a failed one.
        for connection in list(self.connections):
            dead = connection.error or connection.state is ConnectionState.CLOSED
            if dead and isinstance(connection, Server) and connection not in self.waiting_for_establishment:
                self._filters.pop(self.connections.pop(connection), None)
                self.closed_by_peer -= {connection}
                self._used.discard(connection)

    def detach(self, connection: Server, stream_id: int) -> None:
        """Let nothing more come from an abandoned server connection to the stream that abandoned it."""
        # What it has sent may still be on its way to us, in HTTP/1 too: one read can hold many chunks.
        self._filters[self.connections[connection]].detached |= {stream_id}
        if connection.alpn != b"h2":
            del self._filters[self.connections.pop(connection)]
            self._used.discard(connection)

    @override
    def event_to_child(self, child: layer.Layer, event: events.Event) -> layer.CommandGenerator[None]:
        return super().event_to_child(self._filters.get(child, child), event)

    def _is_forgotten(self, connection: Connection) -> bool:
        return connection not in self.connections and connection is not self.context.server

    # -- limits -----------------------------------------------------------

    def enforce_limits(self) -> layer.CommandGenerator[None]:
        """End what has lasted too long; called at every wakeup.

        A stream that is being connected is blocked and sees no event: its connection is closed instead, and
        the error then reads “closed by command”, so that it is remembered which limit that was.
        """
        now = self.proxy.clock()
        limits = self.proxy.policy.limits()
        for connection, due in list(self._connecting.items()):
            if due <= now and connection not in self._gave_up:
                self._gave_up[connection] = LimitReached(Cause.CONNECT_LIMIT, limits.connect)
                yield commands.CloseConnection(connection)
        for stream in list(self._hybrid_streams()):
            if stream.due <= now:
                yield from self.event_to_child(stream, stream.deadline_event())
        client_side = self.connections.get(self.client)
        head_due = math.inf  # HTTP/3 has no such limit here
        if isinstance(client_side, (HybridHttp1Server, HybridHttp2Server)):
            if client_side.head_due <= now:
                yield from client_side.refuse_slow_head()
            head_due = client_side.head_due
        yield from self._look_after_half_closed(now)
        waits = [stream.due for stream in self._hybrid_streams()]
        connects = [due for conn, due in self._connecting.items() if conn not in self._gave_up]
        self.checks.reschedule(min([*waits, *connects, self._look_again, head_due]))

    def _look_after_half_closed(self, now: float) -> layer.CommandGenerator[None]:
        """Find out whether a client that sends no more has left meanwhile: nothing tells."""
        if self._look_again <= now:
            self._look_again = math.inf
            client_side = self.connections.get(self.client)
            if isinstance(client_side, HybridHttp1Server) and client_side.is_half_closed and self.is_busy:
                self._look_again = now + half_close.RECHECK_EVERY
                yield from self.event_to_child(client_side, events.ConnectionClosed(self.client))

    def _hybrid_streams(self) -> Iterator[HybridStream]:
        return (stream for stream in self.streams.values() if isinstance(stream, HybridStream))


class _DetachedStreams(layer.Layer):
    """Wraps a server connection and drops its events for streams that have been replayed elsewhere."""

    def __init__(self, inner: layer.Layer) -> None:
        self._inner = inner
        self.detached: frozenset[int] = _NONE

    @override
    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        for command in self._inner.handle_event(event):
            if not (isinstance(command, ReceiveHttp) and command.event.stream_id in self.detached):
                yield command

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        raise NotImplementedError
