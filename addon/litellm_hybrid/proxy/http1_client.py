"""A server's side of HTTP/1, where we are the client."""

from typing import cast, override

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestHeaders,
    RequestTrailers,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client

from litellm_hybrid.proxy import http1_syntax as syntax
from litellm_hybrid.proxy.failures import ClosedBeforeResponse

_MOST_INTERIM = 100
"""More interim responses (1xx) than this before the final one, and the server is broken."""


class HybridHttp1Client(Http1Client):
    """mitmproxy's, which takes an interim response, such as 103, for the final one."""

    interim: int
    heard: bool
    """Whether a byte of the response to the current request has come."""

    @classmethod
    def put_in_place_of(cls, stack: layer.Layer) -> None:
        """Put ours in the place of mitmproxy's in a stack that has just been connected, if it is HTTP/1.

        By swapping the class of an object that has not been used yet. Why: mitmproxy's `HttpClient` makes it
        by name, and has handed on its bound methods already. It can go when `HttpClient` looks its class up
        in an attribute (docs/upstreaming.md, 3).
        """
        inner: layer.Layer | None = stack
        while inner is not None:
            if type(inner) is Http1Client:
                inner.__class__ = cls
                ours = cast("HybridHttp1Client", inner)
                ours.interim = 0
                ours.heard = False
                ours.state = ours.read_headers
            inner = getattr(inner, "child_layer", None)

    @override
    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, RequestTrailers):
            return  # of an HTTP/2 client
        if isinstance(event, RequestHeaders):
            self.heard = False
            if event.request.data.http_version == b"HTTP/1.0":
                # RFC 9112, 2.3: our own version; the client's is not the server's concern.
                request = event.request.copy()
                request.http_version = "HTTP/1.1"
                event = RequestHeaders(event.stream_id, request, event.end_stream)
        yield from super().send(event)

    @override
    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        self.heard = self.heard or bool(self.buf)
        while self.request and self.interim <= _MOST_INTERIM and syntax.INTERIM.match(bytes(self.buf)):
            if self.buf.maybe_extract_lines() is None:
                break
            self.interim += 1
        head = bytes(self.buf)
        if self.interim > _MOST_INTERIM:
            yield from self._break_off(f"more than {_MOST_INTERIM} interim responses")
        elif syntax.is_too_long(head):
            yield from self._break_off(f"a head longer than {syntax.MOST_HEAD} bytes")
        elif syntax.is_bad(head, syntax.BAD_IN_RESPONSE):
            yield from self._break_off("a control character or a folded line in its head")
        else:
            for command in super().read_headers(event):
                if isinstance(command, commands.Log):
                    continue  # it quotes what a server sends unasked
                if isinstance(command, ReceiveHttp) and isinstance(event, events.ConnectionClosed):
                    self._say_that_nothing_came(command.event)
                yield command

    def _say_that_nothing_came(self, error: HttpEvent) -> None:
        if isinstance(error, ResponseProtocolError) and not self.heard:
            error.message = ClosedBeforeResponse(error.message)

    def _break_off(self, what: str) -> layer.CommandGenerator[None]:
        yield commands.CloseConnection(self.conn)
        if self.stream_id is not None:
            code = ErrorCode.GENERIC_SERVER_ERROR
            yield ReceiveHttp(ResponseProtocolError(self.stream_id, f"the response has {what}", code))

    @override
    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        self.interim = 0
        syntax.drop_trailers(self)
        yield from super().read_body(event)
