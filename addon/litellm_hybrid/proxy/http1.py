"""HTTP/1 on both sides: mitmproxy's, with what it does not check, or gets wrong (docs/upstreaming.md)."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, cast, override

import h11
from h11._readers import ChunkedReader, ContentLengthReader
from mitmproxy import http
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.net.http import http1, status_codes
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestHeaders,
    RequestTrailers,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server

from litellm_hybrid.errors import CORS
from litellm_hybrid.proxy import half_close
from litellm_hybrid.proxy.deadlines import HEAD_LIMIT, CheckSchedule, LimitReached
from litellm_hybrid.proxy.failures import ClosedBeforeResponse
from litellm_hybrid.proxy.interfaces import HybridProxy
from litellm_hybrid.proxy.whole import (
    MOST,
    WholeRequest,
    WholeResponse,
    another_may_follow,
    read_request,
    read_response,
)

MOST_HEAD = 64 * 1024
"""The longest head of a request or response, first line and headers together, in bytes."""

HEAD_END = re.compile(rb"\n\r?\n")

# RFC 9112, 2.2 and 5.2, and RFC 9110, 5.5: what some readers take for a line end, or for nothing, and
# others do not.
BAD_IN_RESPONSE = re.compile(rb"\x00|\r(?!\n)|\n[ \t]")
BAD_IN_REQUEST = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|\n[ \t]")
REQUEST_LINE = re.compile(rb"[^\n]* HTTP/1\.[01]\r?\n")
BLANK_LINES = re.compile(rb"(?:\r?\n)*")
INTERIM = re.compile(rb"HTTP/1\.\d 1(?!01)\d\d[ \r\n]")

_ERRORS = {408: "request_timeout", 413: "request_too_large", 431: "request_head_too_large"}


def is_too_long(head: bytes) -> bool:
    """Whether a head has not ended within `MOST_HEAD`."""
    return len(head) > MOST_HEAD and not HEAD_END.search(head, 0, MOST_HEAD)


def is_bad(head: bytes, bad: re.Pattern[bytes]) -> bool:
    """Whether a complete head has a control character that it must not have, or a folded line."""
    end = HEAD_END.search(head)
    return end is not None and bad.search(head, 0, end.end()) is not None


def error_response(status: int, message: str) -> bytes:
    """Return a whole response for a request that never became a flow; mitmproxy's is HTML."""
    error = _ERRORS.get(status, "bad_gateway" if status >= 500 else "bad_request")
    content = json.dumps({"error": error, "message": message}).encode()
    reason = status_codes.RESPONSES.get(status, "Error")
    cors = "".join(f"{name}: {value}\r\n" for name, value in CORS.items())
    return (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Content-Type: application/json\r\n"
        "Connection: close\r\n"
        f"{cors}"
        "x-hybrid-route: none; reason=error\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode() + content


class _WithoutTrailers:
    """A body reader that drops trailers: mitmproxy crashes on them in HTTP/1 (`read_body`), as of 12.3."""

    def __init__(self, reader: Any) -> None:  # noqa: ANN401 (one of h11's three readers)
        self._reader = reader

    def __call__(self, buffer: object) -> object:
        event = self._reader(buffer)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event

    def read_eof(self) -> object:
        """The peer has closed the connection."""
        return self._reader.read_eof()


def body_reader(connection: Http1Server | Http1Client) -> object:
    """The one of h11's three readers that reads the body."""
    reader: Any = connection.body_reader
    return reader._reader if isinstance(reader, _WithoutTrailers) else reader  # noqa: SLF001


def drop_trailers(connection: Http1Server | Http1Client) -> None:
    """Have the body that is being read end without its trailers."""
    reader: Any = connection.body_reader
    if not isinstance(reader, (_WithoutTrailers, ContentLengthReader)):
        reader = _WithoutTrailers(reader)
        connection.body_reader = reader


def _at_end(body: bytes) -> ContentLengthReader:
    """What has read a body: an addon that fails on it leaves it for what comes next."""
    reader = ContentLengthReader(len(body))
    reader._remaining = 0  # noqa: SLF001
    return reader


def _goes_on(side: Http1Server | Http1Client) -> bool:
    """Make a side that is done with a response ready for another request, if it is plain that one may follow.

    Without mitmproxy's thirteen look-ups of headers; where it is not plain, `mark_done` finds out.
    """
    request, response = side.request if side.request_done and not side.buf else None, side.response
    if request is None or response is None or not another_may_follow(request, response):
        return False
    side.request_done = side.response_done = False
    side.request = side.response = None
    side.state = side.read_headers
    return True


def _send(connection: Connection, head: bytes, body: bytes) -> Iterator[commands.SendData]:
    if len(body) <= MOST:
        yield commands.SendData(connection, head + body)
    else:
        yield commands.SendData(connection, head)
        yield commands.SendData(connection, body)


# -- where we are the client --------------------------------------------------------

_MOST_INTERIM = 100
"""More interim responses (1xx) than this before the final one, and the server is broken."""


class HybridHttp1Client(Http1Client):
    """mitmproxy's, which takes an interim response, such as 103, for the final one."""

    interim: int
    heard: bool
    """Whether a byte of the response to the current request has come."""
    takes_whole: bool
    """Whether a response may come in one event, see whole.py."""

    @classmethod
    def put_in_place_of(cls, stack: layer.Layer, *, takes_whole: bool) -> None:
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
                ours.interim, ours.heard, ours.takes_whole = 0, False, takes_whole
                ours.state = ours.read_headers
            inner = getattr(inner, "child_layer", None)

    @override
    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, RequestTrailers):
            return  # of an HTTP/2 client
        if isinstance(event, WholeRequest):
            yield from self.send_whole(event)
            return
        if isinstance(event, RequestHeaders):
            self.heard = False
            if event.request.data.http_version == b"HTTP/1.0":
                # RFC 9112, 2.3: our own version; the client's is not the server's concern.
                request = event.request.copy()
                request.http_version = "HTTP/1.1"
                event = RequestHeaders(event.stream_id, request, event.end_stream)
        yield from super().send(event)

    def send_whole(self, event: WholeRequest) -> layer.CommandGenerator[None]:
        """Send a request with its body and its end."""
        request = event.request
        if request.data.http_version != b"HTTP/1.1" or "transfer-encoding" in request.headers:
            yield from self.send(RequestHeaders(event.stream_id, request, event.end_stream))
            for part in event.rest():
                yield from super().send(part)
            return
        assert self.stream_id is None
        self.heard = False
        self.stream_id, self.request = event.stream_id, request
        yield from _send(self.conn, http1.assemble_request_head(request), event.body)
        yield from self.mark_done(request=True)

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        request, stream_id = self.request, self.stream_id
        if (
            isinstance(event, events.DataReceived)
            and request is not None
            and stream_id is not None
            and self.takes_whole
            and not self.buf
            and not self.interim
            and self.state == self.read_headers
            and (read := read_response(event.data, stream_id, request)) is not None
        ):
            head, rest = read
            self.heard, self.response, self.state = True, head.response, self.read_body
            self.body_reader = _at_end(head.body) if isinstance(head, WholeResponse) else ChunkedReader()
            self.buf += rest
            yield ReceiveHttp(head)
            yield from (
                self.mark_done(response=True) if isinstance(head, WholeResponse) else self.read_body(event)
            )
        else:
            yield from super()._handle_event(event)

    @override
    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        self.heard = self.heard or bool(self.buf)
        while self.request and self.interim <= _MOST_INTERIM and INTERIM.match(bytes(self.buf)):
            if self.buf.maybe_extract_lines() is None:
                break
            self.interim += 1
        head = bytes(self.buf)
        if self.interim > _MOST_INTERIM:
            yield from self._break_off(f"more than {_MOST_INTERIM} interim responses")
        elif is_too_long(head):
            yield from self._break_off(f"a head longer than {MOST_HEAD} bytes")
        elif is_bad(head, BAD_IN_RESPONSE):
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
    def mark_done(self, *, request: bool = False, response: bool = False) -> layer.CommandGenerator[None]:
        if response and _goes_on(self):
            self.stream_id = None
        else:
            yield from super().mark_done(request=request, response=response)

    @override
    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        self.interim = 0
        drop_trailers(self)
        return super().read_body(event)


# -- where we are the server --------------------------------------------------------

_NOT_HTTP = "The request's head is not valid HTTP/1.1."


class HybridHttp1Server(Http1Server):
    """mitmproxy's, with JSON where that answers for itself in HTML, and strict about heads.

    Attributes:
        is_half_closed: the client sends no more, but reads on.
        head_due: when, on the proxy's clock, a head that has begun must have ended.
        reads_on: the next request is read within the end of one, with which it came.
    """

    def __init__(self, context: Context, proxy: HybridProxy[Any], checks: CheckSchedule) -> None:
        super().__init__(context)
        self._proxy = proxy
        self._checks = checks
        self._request_ended = 0.0
        self.is_half_closed = self.reads_on = False
        self.head_due = math.inf

    @override
    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        if isinstance(event, ResponseTrailers):
            return  # of an HTTP/2 server; mitmproxy cannot write them in HTTP/1
        if isinstance(event, WholeResponse):
            yield from self.send_whole(event)
            return
        if isinstance(event, ResponseProtocolError) and not self.response:
            status = event.code.http_status_code()
            if isinstance(event.message, LimitReached):
                status = 408
            if status is not None and self.conn.state & ConnectionState.CAN_WRITE:
                yield commands.SendData(self.conn, error_response(status, event.message))
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

    def send_whole(self, event: WholeResponse) -> layer.CommandGenerator[None]:
        """Send a response with its body and its end."""
        response = event.response
        if response.data.http_version != b"HTTP/1.1" or "transfer-encoding" in response.headers:
            yield from self.send(ResponseHeaders(event.stream_id, response, event.end_stream))
            for part in event.rest():
                yield from self.send(part)
            return
        assert event.stream_id == self.stream_id
        self.response = response
        yield from _send(self.conn, http1.assemble_response_head(response), event.body)
        yield from self.mark_done(response=True)
        if self.is_half_closed:
            yield commands.CloseConnection(self.conn)

    @property
    def _is_http10(self) -> bool:
        return self.request is not None and self.request.data.http_version == b"HTTP/1.0"

    @override
    def mark_done(self, *, request: bool = False, response: bool = False) -> layer.CommandGenerator[None]:
        if request:
            self._request_ended = self._proxy.clock()
        if response and _goes_on(self):
            self.stream_id += 2
            return
        self.reads_on = bool(self.buf)
        yield from super().mark_done(request=request, response=response)
        self.reads_on = False

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
        blank = BLANK_LINES.match(bytes(self.buf))
        if blank and blank.end():
            # RFC 9112, 2.2; mitmproxy would wait for more behind them, although the request is there.
            self.buf.maybe_extract_at_most(blank.end())
        head = bytes(self.buf)
        if is_too_long(head):
            yield from self._refuse(f"The request's head is longer than {MOST_HEAD} bytes.", 431)
            yield from self._end()
        elif is_bad(head, BAD_IN_REQUEST) or (b"\n" in head and not REQUEST_LINE.match(head)):
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
            begun = bool(head) and self.state == self.read_headers
            self.head_due = self._checks.head_due(self.head_due, begun=begun)

    def refuse_slow_head(self) -> layer.CommandGenerator[None]:
        """End a connection on which `head_due` has passed."""
        self.head_due = math.inf
        yield from self._refuse(f"The request's head has not come to its end within {HEAD_LIMIT:g} s.", 408)
        yield from self._end()

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if (
            isinstance(event, events.DataReceived)
            and self._proxy.relays
            and not self.buf
            and self.state == self.read_headers
            and (whole := read_request(event.data, self.stream_id)) is not None
        ):
            self.request, self.state, self.body_reader = whole.request, self.read_body, _at_end(whole.body)
            yield ReceiveHttp(whole)
            yield from self.mark_done(request=True)
            return
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
        drop_trailers(self)
        for command in super().read_body(event):
            broken = isinstance(command, commands.CloseConnection) and not self.request_done
            if broken and isinstance(event, events.DataReceived) and not self.response:
                yield from self._refuse("The request's body is not valid HTTP/1.1.")
            yield command

    def _refuse(self, why: str, status: int = 400) -> layer.CommandGenerator[None]:
        peer = self.conn.peername
        self._proxy.observer.malformed(peer[0] if peer else "", why)
        yield commands.SendData(self.conn, error_response(status, why))

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
