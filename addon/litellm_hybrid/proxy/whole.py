"""Messages that one read brings whole: one event for a small request or response, in place of three.

mitmproxy makes an event of a message's head, one of each piece of its body, and one of its end, and takes
each through its reader, five generators and a method of the stream. What is here changes how they get there
and nothing else: a stream takes the parts of a whole message in the same order, and stops where it would be
sent no more.

    what comes                                         which way
    -------------------------------------------------  ----------------------------------------------------
    a read that begins in the middle of something      mitmproxy's
    a head that is not wholly plain (`_REQUEST`,       mitmproxy's, and what is wrong is refused there
    `_RESPONSE`), or that mitmproxy cannot read
    CONNECT; a body in chunks, or up to the end        mitmproxy's
    less than a message, or more                       mitmproxy's
    a message, and nothing else                        `WholeRequest`, `WholeResponse`

To a peer the head, the body and the end go in one event if it speaks HTTP/1 (`HybridHttp1Client.send`,
`HybridHttp1Server.send`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
)

MOST = 64 * 1024
"""The longest message, in bytes, that is taken whole."""

# Nothing that readers differ about: every line ends in CRLF, begins with a visible character, and has no
# control character but tabs. What else is allowed goes the other way.
_FIELDS = rb"(?:[!-~\x80-\xff][\t -~\x80-\xff]*+\r\n)*+\r\n"
_REQUEST = re.compile(rb"(?!CONNECT )[!-~]++ [!-~\x80-\xff]++ HTTP/1\.1\r\n" + _FIELDS)
_RESPONSE = re.compile(rb"HTTP/1\.1 [2-9][0-9][0-9](?: [\t -~\x80-\xff]*+)?\r\n" + _FIELDS)


@dataclass
class WholeRequest(RequestHeaders):
    """A request's head, with its body and its end."""

    body: bytes = b""

    def rest(self) -> Iterator[HttpEvent]:
        """The events that follow the head's."""
        if self.body:
            yield RequestData(self.stream_id, self.body)
        yield RequestEndOfMessage(self.stream_id)


@dataclass
class WholeResponse(ResponseHeaders):
    """A response's head, with its body and its end."""

    body: bytes = b""

    def rest(self) -> Iterator[HttpEvent]:
        """The events that follow the head's."""
        if self.body:
            yield ResponseData(self.stream_id, self.body)
        yield ResponseEndOfMessage(self.stream_id)


def read_request(data: bytes, stream_id: int) -> WholeRequest | None:
    """Read a request; None: `data` is not one that can be taken whole."""
    lines, end = _lines(_REQUEST, data)
    if lines:
        try:
            request = http1.read_request_head(lines)
            length = http1.expected_http_body_size(request)
        except ValueError:
            return None
        if length == len(data) - end and request.data.method.upper() != b"CONNECT":
            return WholeRequest(stream_id, request, not length, None, data[end:])
    return None


def read_response(data: bytes, stream_id: int, request: http.Request) -> WholeResponse | None:
    """Read the response to a request; None: `data` is not one that can be taken whole."""
    lines, end = _lines(_RESPONSE, data)
    if lines and request.data.method.upper() != b"CONNECT":
        try:
            response = http1.read_response_head(lines)
            length = http1.expected_http_body_size(request, response)
        except ValueError:
            return None
        if length == len(data) - end:
            return WholeResponse(stream_id, response, not length, data[end:])
    return None


def _lines(pattern: re.Pattern[bytes], data: bytes) -> tuple[list[bytes], int]:
    """Return the lines of a plain head, none if it is not one, and where it ends."""
    head = pattern.match(data) if len(data) <= MOST else None
    return ([], 0) if head is None else (head[0].split(b"\r\n")[:-2], head.end())
