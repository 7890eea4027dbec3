"""The client's side of HTTP/1, where we are the server."""

from typing import Any, override

from h11._readers import ContentLengthReader
from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._http1 import Http1Server

from litellm_hybrid.proxy import half_close
from litellm_hybrid.proxy import http1_syntax as syntax
from litellm_hybrid.proxy.deadlines import LimitReached
from litellm_hybrid.proxy.shared import HybridProxy

_NOT_HTTP = "The request's head is not valid HTTP/1.1."


class HybridHttp1Server(Http1Server):
    """mitmproxy's, with JSON where that answers for itself in HTML, and strict about heads.

    Attributes:
        is_half_closed: the client sends no more, but reads on.
    """

    def __init__(self, context: Context, proxy: HybridProxy[Any]) -> None:
        super().__init__(context)
        self._proxy = proxy
        self._request_ended = 0.0
        self.is_half_closed = False

    @override
    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, ResponseTrailers):
            return  # of an HTTP/2 server; mitmproxy cannot write them in HTTP/1
        if isinstance(event, ResponseProtocolError) and not self.response:
            status = event.code.http_status_code()
            if isinstance(event.message, LimitReached):
                status = 408
            if status is not None and self.conn.state & ConnectionState.CAN_WRITE:
                yield commands.SendData(self.conn, syntax.error_response(status, event.message))
                yield commands.CloseConnection(self.conn)
                return
        if isinstance(event, ResponseHeaders) and self._is_http10:
            if event.response.status_code == 100:
                return  # RFC 9110, 15.2
            event = ResponseHeaders(event.stream_id, _without_chunks(event.response), event.end_stream)
        yield from super().send(event)
        if isinstance(event, ResponseHeaders) and event.response.status_code == 100:
            self.response = None  # it is not the response: a refusal may follow
        elif isinstance(event, ResponseEndOfMessage) and self.is_half_closed:
            yield commands.CloseConnection(self.conn)

    @property
    def _is_http10(self) -> bool:
        return self.request is not None and self.request.data.http_version == b"HTTP/1.0"

    @override
    def mark_done(self, *, request: bool = False, response: bool = False) -> layer.CommandGenerator[None]:
        if request:
            self._request_ended = self._proxy.clock()
        yield from super().mark_done(request=request, response=response)

    @override
    def wait(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.ConnectionClosed):
            self.is_half_closed = self._still_reads()
            if self.is_half_closed:
                return
        yield from super().wait(event)

    def _still_reads(self) -> bool:
        """Whether the client has only said that it sends no more; asked again while that may have changed."""
        if self.conn.state is not ConnectionState.CAN_WRITE or self.conn.tls:
            return False
        left = self._proxy.has_left(self.context.client)
        if left is None:
            at_once = self._proxy.clock() - self._request_ended <= half_close.AT_ONCE
            return self.is_half_closed or at_once
        return not left

    @override
    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        blank = syntax.BLANK_LINES.match(bytes(self.buf))
        if blank and blank.end():
            # RFC 9112, 2.2; mitmproxy would wait for more behind them, although the request is there.
            self.buf.maybe_extract_at_most(blank.end())
        head = bytes(self.buf)
        if syntax.is_too_long(head):
            yield from self._refuse(f"The request's head is longer than {syntax.MOST_HEAD} bytes.", 431)
            yield from self._end()
        elif syntax.is_bad(head, syntax.BAD_IN_REQUEST) or (
            b"\n" in head and not syntax.REQUEST_LINE.match(head)
        ):
            yield from self._refuse(_NOT_HTTP)
            yield from self._end()
        else:
            for command in super().read_headers(event):
                # The one thing it sends while reading a head is its refusal of a malformed one; what it
                # logs then quotes the head, credentials and all.
                if isinstance(command, commands.SendData):
                    yield from self._refuse(_NOT_HTTP)
                elif not isinstance(command, commands.Log):
                    yield command

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        # In mitmproxy's way every byte of a body is copied into a buffer, out of it, and once more.
        if isinstance(event, events.DataReceived) and not self.buf and self.state == self.read_body:
            reader: Any = self.body_reader
            if isinstance(reader, ContentLengthReader) and 0 < len(event.data) <= reader._remaining:  # noqa: SLF001
                assert self.stream_id is not None
                reader._remaining -= len(event.data)  # noqa: SLF001
                yield ReceiveHttp(RequestData(self.stream_id, event.data))
                event = events.DataReceived(event.connection, b"")
        yield from super()._handle_event(event)

    @override
    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        syntax.drop_trailers(self)
        for command in super().read_body(event):
            broken = isinstance(command, commands.CloseConnection) and not self.request_done
            if broken and isinstance(event, events.DataReceived) and not self.response:
                yield from self._refuse("The request's body is not valid HTTP/1.1.")
            yield command

    def _refuse(self, why: str, status: int = 400) -> layer.CommandGenerator[None]:
        peer = self.conn.peername
        self._proxy.observer.malformed(peer[0] if peer else "", why)
        yield commands.SendData(self.conn, syntax.error_response(status, why))

    def _end(self) -> layer.CommandGenerator[None]:
        yield commands.CloseConnection(self.conn)
        self.state = self.done


def _without_chunks(response: http.Response) -> http.Response:
    """Return a response for an HTTP/1.0 client, which knows no chunks: the connection's end is the body's."""
    if "transfer-encoding" not in response.headers:
        return response
    plain = response.copy()
    del plain.headers["transfer-encoding"]
    plain.headers["connection"] = "close"
    return plain
