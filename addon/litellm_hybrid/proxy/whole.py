"""Messages that one read brings whole: one event for a small request or response, in place of three.

mitmproxy makes an event of a message's head, one of each piece of its body, and one of its end, and takes
each through its reader, five generators and a method of the stream. Of a whole message a stream does in one
step what it does for these: `_begin_whole`, `_hold_whole` and `_send_in_one` call the same hooks in the same
order, and what may differ on the way is left to mitmproxy's states.

    what comes                                         which way
    -------------------------------------------------  ----------------------------------------------------
    a read that begins in the middle of something      mitmproxy's
    a head that is not wholly plain (`_REQUEST`,       mitmproxy's, and what is wrong is refused there
    `_RESPONSE`), or that mitmproxy cannot read
    CONNECT; `Expect`; a request's body in chunks;     mitmproxy's
    a response's up to the connection's end
    a response whose body comes in chunks              its head: `PlainResponse`, read here; its body
                                                       mitmproxy's
    less than a message, or more                       mitmproxy's
    a message, and nothing else                        `WholeRequest`, `WholeResponse`: one step
    - an option of mitmproxy's limits or streams       its states, one after the other
      bodies; an addon streams the request; a
      response that is not held, or is released
      before its end

To a peer the head, the body and the end go in one event if it speaks HTTP/1 (`HybridLayer.send_whole`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from time import time

from mitmproxy import http
from mitmproxy.proxy.layers.http._base import HttpEvent
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
)

from litellm_hybrid.proxy.fast_path import message_like

MOST = 64 * 1024
"""The longest message, in bytes, that is taken whole."""

# Nothing that readers differ about: every line ends in CRLF and is a token, a colon, and a value without
# control characters but tabs. What else is allowed goes the other way.
_FIELD = rb"[!#-'*+\-.^-z|~0-9A-Z]++:[\t -~\x80-\xff]*+\r\n"
_REQUEST = re.compile(rb"([!-~]++) (/[!-~\x80-\xff]*+|\*) HTTP/1\.1\r\n((?:%b)*+)\r\n" % _FIELD)
_REASON = rb"(?:[!-~\x80-\xff][\t -~\x80-\xff]*+)?"
_RESPONSE = re.compile(rb"HTTP/1\.1 ([2-9][0-9][0-9])(?: (%b))?\r\n((?:%b)*+)\r\n" % (_REASON, _FIELD))
_NAME_AND_VALUE = re.compile(rb"([^:]++):[\t ]*+([^\t\r ]*+(?:[\t ]++[^\t\r ]++)*+)[\t ]*+\r\n")
_LENGTH = re.compile(rb"0|[1-9][0-9]*+")
_BODILESS = (204, 304)
_A_REQUEST = http.Request("", 0, b"GET", b"", b"", b"/", b"HTTP/1.1", (), None, None, 0.0, None)
_A_RESPONSE = http.Response(b"HTTP/1.1", 200, b"", (), None, None, 0.0, None)
_IN_CHUNKS = -2


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
class PlainResponse(ResponseHeaders):
    """A response's head that is known to be valid."""


@dataclass
class WholeResponse(PlainResponse):
    """A response's head, with its body and its end; `has_ended`: that has been taken."""

    body: bytes = b""
    has_ended: bool = False

    def rest(self) -> Iterator[HttpEvent]:
        """The events that follow the head's."""
        if self.body:
            yield ResponseData(self.stream_id, self.body)
        if not self.has_ended:
            yield ResponseEndOfMessage(self.stream_id)


def read_request(data: bytes, stream_id: int) -> WholeRequest | None:
    """Read a request; None: `data` is not one that can be taken whole."""
    head = _REQUEST.match(data) if len(data) <= MOST else None
    if head is None:
        return None
    method, path, lines = head.groups()
    headers = _headers(lines)
    body = data[head.end() :]
    if _length(headers, 0) != len(body) or method.upper() == b"CONNECT":
        return None
    request = message_like(_A_REQUEST, method=method, path=path, headers=headers, timestamp_start=time())
    return WholeRequest(stream_id, request, not body, None, body)


def read_response(data: bytes, stream_id: int, request: http.Request) -> tuple[PlainResponse, bytes] | None:
    """Read the response to a request; None: `data` is none that can be taken whole.

    Returns:
        A `WholeResponse`; or the head alone of one whose body comes in chunks. And what is left of `data`.
    """
    head = _RESPONSE.match(data) if len(data) <= MOST else None
    if head is None:
        return None
    code, reason, lines = head.groups(b"")
    status, method, headers = int(code), request.data.method.upper(), _headers(lines)
    body = data[head.end() :]
    length = _length(headers, -1)
    if length is not None and (method == b"HEAD" or status in _BODILESS):
        length = None if length == _IN_CHUNKS else 0
    if length not in (len(body), _IN_CHUNKS) or method == b"CONNECT":
        return None
    response = message_like(
        _A_RESPONSE, status_code=status, reason=reason, headers=headers, timestamp_start=time()
    )
    if length == _IN_CHUNKS:
        return PlainResponse(stream_id, response, end_stream=False), body
    return WholeResponse(stream_id, response, not body, body), b""


def _headers(lines: bytes) -> http.Headers:
    headers = http.Headers.__new__(http.Headers)  # its constructor looks at the type of each field
    headers.fields = tuple(_NAME_AND_VALUE.findall(lines))
    return headers


def _length(headers: http.Headers, without: int) -> int | None:
    """Return how long a body has to be, in bytes, or `_IN_CHUNKS`; None: that is not for us to tell.

    `without`: where the head does not say.
    """
    length = without
    seen = False
    for name, value in headers.fields:
        match len(name), name.lower():
            case 14, b"content-length":
                if seen or not _LENGTH.fullmatch(value) or len(value) > 9:
                    return None
                length, seen = int(value), True
            case 17, b"transfer-encoding":
                if seen or value != b"chunked":
                    return None
                length, seen = _IN_CHUNKS, True
            case 6, b"expect":
                return None
    return length


def another_may_follow(request: http.Request, response: http.Response) -> bool:
    """Whether it is plain, by both heads alone, that another request may follow on the connection."""
    asked, answered = request.data, response.data
    if not asked.http_version == answered.http_version == b"HTTP/1.1":
        return False
    if answered.status_code == 101 or asked.method.upper() == b"CONNECT":
        return False  # it becomes a tunnel
    for name, value in asked.headers.fields:
        if len(name) == 10 and value != b"keep-alive" and name.lower() == b"connection":
            return False
    has_end = False
    for name, value in answered.headers.fields:
        match len(name), name.lower():
            case 10, b"connection" if value != b"keep-alive":
                return False
            case 14, b"content-length":
                has_end = True
            case 17, b"transfer-encoding":
                if value != b"chunked":
                    return False
                has_end = True
    return has_end
