"""What both sides of HTTP/1 need that mitmproxy's does not check, or gets wrong. Pure."""

import json
import re
from typing import Any

import h11
from h11._readers import ContentLengthReader
from mitmproxy.net.http import status_codes
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server

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
    return (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Content-Type: application/json\r\n"
        "Connection: close\r\n"
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


def drop_trailers(connection: Http1Server | Http1Client) -> None:
    """Have the body that is being read end without its trailers."""
    reader: Any = connection.body_reader
    if not isinstance(reader, (_WithoutTrailers, ContentLengthReader)):
        reader = _WithoutTrailers(reader)
        connection.body_reader = reader
