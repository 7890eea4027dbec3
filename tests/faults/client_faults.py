"""What a client can do wrong, or in an unusual way, and the moments at which it may leave."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import brotli
import zstandard

from faults.places import Place
from faults.rig import WHERE, Rig, Where
from faults.server_faults import DIRECT, EVENT, LONG, OK, STREAM, Does, begins, chunk, sends, swallows
from support.servers import Reply
from support.wire import Request

_OPENING = b'event: message_start\ndata: {"type":"message_start","message":{"content":[]}}\n\n'
_FAILED = b"HTTP/1.1 429 Too Many\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"


# -- leaving ---------------------------------------------------------------------


async def pours(_: Request, reply: Reply, begun: asyncio.Event) -> None:
    """Send more than all buffers on the way hold."""
    assert not begun.is_set()
    await reply.raw(OK + b"Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await reply.raw(chunk(b"x" * 50_000))


@dataclass(frozen=True, slots=True)
class Moment:
    """When a client leaves.

    Attributes:
        does: what the server has done until then.
        at: the same, in place of the server.
        sees: what the client has got of the body by then.
    """

    when: str
    does: Does | None = None
    at: Callable[[Rig, Place], AbstractAsyncContextManager[None]] | None = None
    sees: bytes = b""
    where: tuple[Where, ...] = WHERE


MOMENTS = [
    Moment("while we connect", at=swallows),
    Moment("before the head", sends(b"", Reply.stall)),
    Moment("in the head", sends(OK, Reply.stall)),
    Moment("while a failed answer is held", sends(_FAILED, Reply.stall), where=("upstream",)),
    Moment("while an opening is held", sends(STREAM + chunk(_OPENING), Reply.stall)),
    Moment("in the stream", begins(STREAM, chunk(EVENT), end=Reply.stall), sees=EVENT),
    # No replay is answered by what is neither JSON nor a stream of events.
    Moment("in a long body", begins(LONG, b"%ID%", end=Reply.stall), sees=b"%ID%", where=DIRECT),
    Moment("without having read", pours, where=DIRECT),
]
HOW = ("closes", "resets")
LEAVING = [(moment, where, how) for moment in MOMENTS for where in moment.where for how in HOW]

# -- what is sent ------------------------------------------------------------------

_HOST = b"Host: 127.0.0.1\r\n"
_POST = b"POST /v1/chat/completions HTTP/1.1\r\n" + _HOST + b"X-Request-ID: %ID%\r\n"
BODY = b'{"model":"gpt-5"}'
_LENGTH = b"Content-Length: %d\r\n" % len(BODY)
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n"
_GOOD = _POST + _LENGTH + b"\r\n" + BODY


@dataclass(frozen=True, slots=True)
class Sent:
    """What a client sends on a connection of its own.

    Attributes:
        answers: the statuses that come back, one for each request; a refusal is JSON and is the last.
        served: how many requests reach a server.
        slowly: byte by byte.
        leaves: it closes the connection behind it, and gets nothing.
    """

    what: str
    data: bytes
    answers: tuple[int, ...] = (400,)
    served: int = 0
    slowly: bool = False
    leaves: bool = False


def _body(data: bytes, coding: bytes = b"") -> bytes:
    field = b"Content-Encoding: %b\r\n" % coding if coding else b""
    return _POST + field + b"Content-Length: %d\r\n\r\n" % len(data) + data


_ZEROS = bytes(200_000_000)

REFUSED = [
    Sent("no HTTP", b"hello there\r\n\r\n"),
    Sent("TLS's beginning, cut short", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", leaves=True),
    Sent("HTTP/0.9", b"GET /\r\n\r\n"),
    Sent("HTTP/3", _GOOD.replace(b"HTTP/1.1", b"HTTP/3.0")),
    Sent("two lengths", _POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
    Sent("two lengths in one", _POST + b"Content-Length: 1, 2\r\n\r\nxx"),
    Sent("the same length twice", _POST + _LENGTH + _LENGTH + b"\r\n" + BODY),
    Sent("a length that is none", _POST + b"Content-Length: x\r\n\r\n"),
    Sent("a length below zero", _POST + b"Content-Length: -1\r\n\r\n"),
    Sent("a length with a sign", _POST + b"Content-Length: +17\r\n\r\n" + BODY),
    Sent("a length in hex", _POST + b"Content-Length: 0x11\r\n\r\n" + BODY),
    Sent("a length and chunks", _CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n"),
    Sent("chunks and a length", _POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Sent("an unknown framing", _POST + b"Transfer-Encoding: cats\r\n\r\n"),
    Sent("chunked twice", _POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    Sent("chunked, then not", _POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    Sent("framing behind a vertical tab", _POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    Sent("a space before the colon", _POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    Sent("a folded line", _POST + b"X-Y: a\r\n Transfer-Encoding: chunked\r\n\r\n"),
    Sent("a folded framing", _POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    Sent("a space in a name", _POST + b"bad name: x\r\n\r\n"),
    Sent("no name", _POST + b": x\r\n\r\n"),
    Sent("no colon", _POST + b"nothing\r\n\r\n"),
    Sent("a zero byte", _POST + b"X-Y: a\x00b\r\nContent-Length: 0\r\n\r\n"),
    Sent("a bare CR", _POST + b"X-Y: a\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
    Sent("a chunk size that is none", _CHUNKED + b"\r\nxyz\r\n"),
    Sent("a chunk size below zero", _CHUNKED + b"\r\n-5\r\nhello\r\n"),
    Sent("a chunk size in hex's own way", _CHUNKED + b"\r\n0x5\r\nhello\r\n0\r\n\r\n"),
    Sent("a chunk size beyond 64 bits", _CHUNKED + b"\r\n" + b"f" * 40 + b"\r\nhello"),
    Sent("a chunk without its end", _CHUNKED + b"\r\n5\r\nhelloXX"),
    Sent("a head without end", _POST + b"X-Y: " + b"x" * 300_000, (431,)),
    Sent("a head too long", _POST + b"X-Y: x\r\n" * 20_000 + _LENGTH + b"\r\n" + BODY, (431,)),
    Sent("a target too long", b"GET /" + b"x" * 300_000 + b" HTTP/1.1\r\n" + _HOST + b"\r\n", (431,)),
    Sent("a request behind a refused one", _CHUNKED + b"Content-Length: 3\r\n\r\n0\r\n\r\n" + _GOOD),
    Sent("gone in the head", _POST[:-9], leaves=True),
    Sent("gone in the body", _POST + _LENGTH + b"\r\n" + BODY[:5], leaves=True),
    Sent("gone in a chunk", _CHUNKED + b"\r\n11\r\n" + BODY[:5], leaves=True),
    Sent("gone before the last chunk", _CHUNKED + b"\r\n11\r\n" + BODY + b"\r\n", leaves=True),
]

SERVED = [
    Sent("byte by byte", _GOOD, (200,), 1, slowly=True),
    Sent("chunks, byte by byte", _CHUNKED + b"\r\n11\r\n" + BODY + b"\r\n0\r\n\r\n", (200,), 1, slowly=True),
    Sent("trailers", _CHUNKED + b"\r\n11\r\n" + BODY + b"\r\n0\r\nX-Sum: 1\r\n\r\n", (200,), 1),
    Sent("a blank line before it", b"\r\n" + _GOOD, (200,), 1),
    Sent("line feeds alone", _GOOD.replace(b"\r\n", b"\n"), (200,), 1),
    Sent("two at once", _GOOD + _GOOD, (200, 200), 2),
    Sent("three at once, one refused", _GOOD + _GOOD + b"hello\r\n\r\n", (200, 200, 400), 2),
    Sent("HTTP/1.0", _GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"), (200,), 1),
    Sent(
        "Expect: 100-continue", _POST + b"Expect: 100-continue\r\n" + _LENGTH + b"\r\n" + BODY, (100, 200), 1
    ),
    Sent("a body that is no JSON", _body(b"\x00\xff{"), (200,), 1),
    Sent("JSON, 200 000 deep", _body(b"[" * 200_000), (200,), 1),
    Sent("objects, 100 000 deep", _body(b'{"model":' * 100_000), (200,), 1),
    Sent("a bomb in brotli", _body(brotli.compress(_ZEROS, quality=1), b"br"), (413,)),
    Sent("a bomb in zstd", _body(zstandard.compress(_ZEROS), b"zstd"), (413,)),
    Sent("a bomb in a bomb", _body(zstandard.compress(zstandard.compress(_ZEROS)), b"zstd, zstd"), (200,), 1),
    Sent("gzip that is none", _body(BODY, b"gzip"), (200,), 1),
    Sent("zstd cut short", _body(zstandard.compress(BODY)[:-3], b"zstd"), (200,), 1),
    Sent("an unknown coding", _body(BODY, b"cats"), (200,), 1),
]

CLIENTS = [*REFUSED, *SERVED]
