"""What a server can do wrong, moment by moment, and what has to come of it.

Each fault is tried at upstream, at LiteLLM, and at LiteLLM while it replaces an
answer of upstream's that failed. `b"%ID%"` in what a server sends becomes the
id of the request that it answers.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from faults.places import Answers, Place
from faults.rig import WHERE, Rig, Where
from support.servers import Reply
from support.wire import Connection, Request

# -- what becomes of the request -----------------------------------------------


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No byte of the answer has gone to the client: a 502 in JSON, or upstream's answer given back."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The answer has begun: the client gets what came, and sees that the rest is missing."""

    after: bytes


@dataclass(frozen=True, slots=True)
class Whole:
    """It is no fault to us: the client gets the answer as it is; its end may be that of the connection."""

    status: int
    body: bytes
    closes: bool = False


type Outcome = Unanswered | Broken | Whole
type ErrorClass = Literal["network_error", "network_timeout", "timeout", "proxy_error"]

# -- what a server does ----------------------------------------------------------

type Then = Callable[[Reply], Awaitable[None]]
type Does = Callable[[Request, Reply, asyncio.Event], Awaitable[None]]
"""The event is set once the client has got the beginning of the answer."""

type At = Callable[[Rig, Place], AbstractAsyncContextManager[None]]
"""Takes a whole server away, or puts another in its place."""

EVENT = b'data: {"choices":[{"delta":{"content":"%ID%"}}]}\n\n'
JSON = b'{"served": "%ID%", "choices": [{"message": {"content": "Hi"}}]}'
GZIP = gzip.compress(b'{"served": "' + bytes(range(256)) * 8 + b'"}', mtime=0)

OK = b"HTTP/1.1 200 OK\r\n"
STREAM = OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_PLAIN = OK + b"Content-Type: text/plain\r\n"
LONG = OK + b"Content-Type: application/octet-stream\r\nContent-Length: 9999999\r\n\r\n"


def head(body: bytes, more: bytes = b"", status: bytes = b"200 OK", kind: bytes = b"") -> bytes:
    kind = kind or (b"application/json" if body.startswith(b"{") else b"text/plain")
    fields = b"Content-Type: %b\r\nContent-Length: %d\r\n" % (kind, _length(body))
    return b"HTTP/1.1 %b\r\n%b%b\r\n%b" % (status, fields, more, body)


def _length(body: bytes) -> int:
    return len(_named(body, b"id-" + bytes(32)))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (_length(data), data)


def _named(data: bytes, request: bytes) -> bytes:
    return data.replace(b"%ID%", request)


def _id(request: Request) -> bytes:
    return (request.header("x-request-id") or "").encode()


def sends(data: bytes, then: Then = Reply.close) -> Does:
    """Send this, and then end the connection, or do nothing more."""

    async def does(request: Request, reply: Reply, begun: asyncio.Event) -> None:
        assert not begun.is_set()
        await reply.raw(_named(data, _id(request)))
        await then(reply)

    return does


def begins(head: bytes, first: bytes, then: bytes = b"", end: Then = Reply.close) -> Does:
    """Send the beginning, and once the client has it, something else."""

    async def does(request: Request, reply: Reply, begun: asyncio.Event) -> None:
        await reply.raw(_named(head + first, _id(request)))
        await begun.wait()
        if then:
            await reply.raw(then)
        await end(reply)

    return does


def drips(data: bytes) -> Does:
    """Send it one byte at a time, and be ready for the next request."""

    async def does(request: Request, reply: Reply, begun: asyncio.Event) -> None:
        assert not begun.is_set()
        for byte in _named(data, _id(request)):
            await reply.raw(bytes([byte]))
            await asyncio.sleep(0.0005)
        reply.finished = True

    return does


async def drips_for_ever(_: Request, reply: Reply, begun: asyncio.Event) -> None:
    """Send a head that never ends."""
    assert not begun.is_set()
    await reply.raw(OK + b"X-Slow: ")
    while True:
        await reply.raw(b"x")
        await reply.pause(0.05)


async def floods(_: Request, reply: Reply, begun: asyncio.Event) -> None:
    """Send interim answers and no other."""
    assert not begun.is_set()
    while True:
        await reply.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 50)


async def floods_the_head(_: Request, reply: Reply, begun: asyncio.Event) -> None:
    """Send header after header."""
    assert not begun.is_set()
    await reply.raw(OK)
    while True:
        await reply.raw(b"X-More: %b\r\n" % (b"x" * 1000) * 60)


def keeps(reply: Reply) -> Awaitable[None]:
    """The answer is complete, and the connection stays open."""
    reply.finished = True
    return asyncio.sleep(0)


# -- in place of a whole server ----------------------------------------------------


@asynccontextmanager
async def refuses(_: Rig, place: Place) -> AsyncIterator[None]:
    """Nobody listens."""
    async with place.away():
        yield


@asynccontextmanager
async def swallows(_: Rig, place: Place) -> AsyncIterator[None]:
    """What is sent there is lost."""
    async with place.black_hole():
        yield


@asynccontextmanager
async def is_not_found(rig: Rig, place: Place) -> AsyncIterator[None]:
    """The name cannot be resolved: the process or the listener is another."""
    assert rig
    assert place
    yield


def certified(kind: str) -> At:
    """A server with a bad certificate."""

    @asynccontextmanager
    async def at(rig: Rig, place: Place) -> AsyncIterator[None]:
        async with place.instead(rig.certificate(kind)):
            yield

    return at


def instead(answers: Answers) -> At:
    """A server that does this with each connection."""

    @asynccontextmanager
    async def at(_: Rig, place: Place) -> AsyncIterator[None]:
        async with place.instead(answers):
            yield

    return at


async def closes(connection: Connection) -> None:
    """Close what has just been opened."""
    connection.writer.close()


async def resets(connection: Connection) -> None:
    """Break what has just been opened."""
    await Reply(connection).reset()


async def speaks_no_tls(connection: Connection) -> None:
    """Answer TLS with HTTP."""
    connection.writer.write(head(b"this is not TLS"))
    await connection.gone.wait()


async def is_silent(connection: Connection) -> None:
    """Read, and say nothing."""
    await connection.gone.wait()


async def reads_nothing(connection: Connection) -> None:
    """Let the request pile up."""
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await connection.gone.wait()


async def resets_during_the_upload(connection: Connection) -> None:
    """Take the head, then break the connection with the body on its way."""
    await connection.until(b"\r\n\r\n")
    await Reply(connection).reset()


async def answers_during_the_upload(connection: Connection) -> None:
    """Refuse a body before it has come, as a server with a limit does, and take the rest."""
    await connection.until(b"\r\n\r\n")
    connection.writer.write(head(b'{"error":"too large"}', status=b"413 Too Large", kind=b"application/json"))
    await connection.gone.wait()


# -- the table ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong.

    Attributes:
        what: the fault, and before it the moment.
        does: what the server does with a request; or `at`, in place of the server.
        gets: what the client gets.
        logs: the class of the error.
        process: as in rig.py.
        listener: the process's, where it is at upstream.
        at_litellm: the process where it is at LiteLLM, if it is another.
        where: at which servers it is tried.
        upload: how large a body the client sends, in bytes.
        method: the client's.
    """

    what: str
    gets: Outcome
    logs: ErrorClass | None
    does: Does | None = None
    at: At | None = None
    process: str = "steady"
    listener: int = 0
    at_litellm: str = ""
    where: tuple[Where, ...] = WHERE
    upload: int = 0
    method: str = "POST"


UNANSWERED = Unanswered()
DIRECT: tuple[Where, ...] = ("upstream", "litellm")
UPLOAD = 12_000_000

CONNECT = [
    Fault("connect: refused", UNANSWERED, "network_error", at=refuses),
    Fault("connect: a black hole", UNANSWERED, "network_timeout", at=swallows, process="hasty"),
    Fault(
        "connect: unresolvable", UNANSWERED, "network_error", at=is_not_found, listener=1, at_litellm="lost"
    ),
    Fault("connect: closed at once", UNANSWERED, "network_error", at=instead(closes)),
    Fault("connect: reset at once", UNANSWERED, "network_error", at=instead(resets)),
    *(
        Fault(f"TLS: {kind}", UNANSWERED, "network_error", at=certified(kind), process="tls")
        for kind in ("unknown authority", "another name", "expired")
    ),
    Fault("TLS: HTTP instead", UNANSWERED, "network_error", at=instead(speaks_no_tls), process="tls"),
    Fault("TLS: closed in the handshake", UNANSWERED, "network_error", at=instead(closes), process="tls"),
    Fault("TLS: reset in the handshake", UNANSWERED, "network_error", at=instead(resets), process="tls"),
    Fault(
        "TLS: silence in the handshake",
        UNANSWERED,
        "network_timeout",
        at=instead(is_silent),
        process="hasty",
        listener=1,
        where=("upstream",),
    ),
]

UPLOADS = [
    Fault("upload: reset", UNANSWERED, "network_error", at=instead(resets_during_the_upload), upload=UPLOAD),
    Fault(
        "upload: nothing is read",
        UNANSWERED,
        "timeout",
        at=instead(reads_nothing),
        process="hasty",
        upload=UPLOAD,
    ),
    Fault(
        "upload: refused in the middle",
        Whole(413, b'{"error":"too large"}'),
        None,
        at=instead(answers_during_the_upload),
        where=DIRECT,
        upload=UPLOAD,
    ),
]


def _bad_head(what: str, data: bytes, then: Then = Reply.close, logs: ErrorClass = "proxy_error") -> Fault:
    return Fault(f"head: {what}", UNANSWERED, logs, sends(data, then))


HEADS = [
    _bad_head("closed before it", b"", logs="network_error"),
    _bad_head("reset before it", b"", Reply.reset, "network_error"),
    Fault("head: silence before it", UNANSWERED, "timeout", sends(b"", Reply.stall), process="hasty"),
    _bad_head("closed in the status line", b"HTTP/1.1 20", logs="network_error"),
    _bad_head("closed in the headers", OK + b"Content-Ty", logs="network_error"),
    _bad_head("reset in the headers", OK + b"Content-Ty", Reply.reset, "network_error"),
    Fault("head: silence in it", UNANSWERED, "timeout", sends(OK, Reply.stall), process="hasty"),
    Fault("head: a byte now and then", UNANSWERED, "timeout", drips_for_ever, process="hasty"),
    _bad_head("garbage", b"\x00\x01garbage\xff\r\n\r\n", Reply.stall),
    _bad_head("another protocol", b"SSH-2.0-OpenSSH_9\r\n\r\n", Reply.stall),
    _bad_head("HTTP/2", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\r\n\r\n", Reply.stall),
    _bad_head("HTTP/0.9", b"<html>hello</html>\r\n\r\n", Reply.stall),
    _bad_head("a status of five digits", b"HTTP/1.1 20000 OK\r\n\r\n", Reply.stall),
    _bad_head("a status that is none", b"HTTP/1.1 abc OK\r\n\r\n", Reply.stall),
    _bad_head("a status below 100", b"HTTP/1.1 42 OK\r\n\r\n", Reply.stall),
    _bad_head("101, which nobody asked for", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", Reply.stall),
    _bad_head("a space in a name", OK + b"bad header: x\r\n\r\n", Reply.stall),
    _bad_head("a space before a colon", _PLAIN + b"Content-Length : 2\r\n\r\nok", Reply.stall),
    _bad_head("no colon", OK + b"nothing\r\n\r\n", Reply.stall),
    _bad_head("a zero byte", _PLAIN + b"X-Y: a\x00b\r\nContent-Length: 0\r\n\r\n", Reply.stall),
    _bad_head("a bare CR", _PLAIN + b"X-Y: a\rb: c\r\nContent-Length: 0\r\n\r\n", Reply.stall),
    _bad_head("a folded line", _PLAIN + b"X-Y: a\r\n Content-Length: 2\r\n\r\nok", Reply.stall),
    _bad_head("a length that is none", _PLAIN + b"Content-Length: x\r\n\r\n", Reply.stall),
    _bad_head("a length below zero", _PLAIN + b"Content-Length: -1\r\n\r\n", Reply.stall),
    _bad_head("a length with a sign", _PLAIN + b"Content-Length: +2\r\n\r\nok", Reply.stall),
    _bad_head("two lengths", _PLAIN + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk", Reply.stall),
    _bad_head(
        "a length and chunks",
        _PLAIN + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Reply.stall,
    ),
    _bad_head("an unknown framing", _PLAIN + b"Transfer-Encoding: cats\r\n\r\nok", Reply.stall),
    Fault("head: a flood of interim answers", UNANSWERED, "proxy_error", floods),
    Fault("head: a flood of headers", UNANSWERED, "proxy_error", floods_the_head),
    _bad_head("an interim answer and the end", b"HTTP/1.1 103 E\r\n\r\n", logs="network_error"),
    Fault(
        "head: a hundred interim answers",
        Whole(200, JSON),
        None,
        sends(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100 + head(JSON), keeps),
    ),
    Fault(
        "head: 100-continue refused",
        Whole(417, b"no"),
        None,
        sends(head(b"no", status=b"417 Expectation Failed"), keeps),
        where=DIRECT,
    ),
    Fault("head: byte by byte", Whole(200, JSON), None, drips(head(JSON))),
]


def _broken(
    what: str, then: bytes = b"", end: Then = Reply.close, logs: ErrorClass = "network_error"
) -> Fault:
    return Fault(f"stream: {what}", Broken(EVENT), logs, begins(STREAM, chunk(EVENT), then, end))


STREAMS = [
    _broken("closed between chunks"),
    _broken("closed in a chunk", b"5\r\nhe"),
    _broken("closed before the last line", b"0\r\n"),
    _broken("reset", end=Reply.reset),
    _broken("reset in a chunk", b"5\r\nhe", Reply.reset),
    Fault(
        "stream: silence",
        Broken(EVENT),
        "timeout",
        begins(STREAM, chunk(EVENT), end=Reply.stall),
        process="hasty",
    ),
    Fault(
        "stream: silence in a chunk",
        Broken(EVENT),
        "timeout",
        begins(STREAM, chunk(EVENT), b"ff\r\nhe", Reply.stall),
        process="hasty",
    ),
    _broken("a chunk size that is none", b"xyz\r\n", Reply.stall, "proxy_error"),
    _broken("a chunk size below zero", b"-5\r\nhello\r\n", Reply.stall, "proxy_error"),
    _broken("a chunk size beyond 64 bits", b"f" * 40 + b"\r\nhello\r\n", Reply.stall, "proxy_error"),
    _broken("a chunk without its end", b"5\r\nhelloXX", Reply.stall, "proxy_error"),
    _broken("no chunks any more", b"HTTP/1.1 200 OK\r\n\r\n", Reply.stall, "proxy_error"),
    Fault(
        "stream: byte by byte",
        Whole(200, EVENT + EVENT),
        None,
        drips(STREAM + chunk(EVENT) + chunk(EVENT) + b"0\r\n\r\n"),
    ),
    Fault(
        "stream: trailers",
        Whole(200, EVENT),
        None,
        sends(STREAM + chunk(EVENT) + b"0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n", keeps),
    ),
    Fault(
        "stream: chunk extensions",
        Whole(200, EVENT),
        None,
        sends(STREAM + chunk(EVENT).replace(b"\r\n", b";name=value\r\n", 1) + b"0;last\r\n\r\n", keeps),
    ),
    Fault(
        "stream: another answer behind it",
        Whole(200, EVENT),
        None,
        sends(STREAM + chunk(EVENT) + b"0\r\n\r\n" + head(b"id-" + b"0" * 32), keeps),
    ),
]

BODIES = [
    Fault(
        "body: closed in a short one",
        UNANSWERED,
        "network_error",
        sends(_PLAIN + b"Content-Length: 9\r\n\r\nhello"),
    ),
    Fault(
        "body: closed in JSON",
        UNANSWERED,
        "network_error",
        sends(OK + b'Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"choices":'),
    ),
    Fault(
        "body: closed in a long one", Broken(b"%ID%"), "network_error", begins(LONG, b"%ID%"), where=DIRECT
    ),
    Fault(
        "body: reset in a long one",
        Broken(b"%ID%"),
        "network_error",
        begins(LONG, b"%ID%", end=Reply.reset),
        where=DIRECT,
    ),
    Fault(
        "body: silence in a short one",
        UNANSWERED,
        "timeout",
        sends(OK + b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\nhello", Reply.stall),
        process="hasty",
    ),
    Fault(
        "body: silence in a long one",
        Broken(b"%ID%"),
        "timeout",
        begins(LONG, b"%ID%", end=Reply.stall),
        process="hasty",
        where=DIRECT,
    ),
    Fault(
        "body: longer than it says",
        Whole(200, JSON),
        None,
        sends(head(JSON) + b"id-" + b"0" * 32, keeps),
    ),
    Fault(
        "body: another answer behind it",
        Whole(200, JSON),
        None,
        sends(head(JSON) + head(b"id-" + b"0" * 32), keeps),
    ),
    Fault("body: byte by byte", Whole(200, JSON), None, drips(head(JSON))),
    Fault(
        "body: until the end of the connection",
        Whole(200, JSON, closes=True),
        None,
        sends(OK + b"Content-Type: application/json\r\n\r\n" + JSON),
    ),
    Fault(
        "body: where there may be none",
        Whole(204, b""),
        None,
        sends(b"HTTP/1.1 204 No Content\r\nContent-Length: 35\r\n\r\nid-" + b"0" * 32, keeps),
        where=DIRECT,
    ),
    Fault(
        "body: truncated gzip",
        Whole(200, GZIP[:-9]),
        None,
        sends(head(GZIP[:-9], b"Content-Encoding: gzip\r\n", kind=b"application/json"), keeps),
    ),
    Fault(
        "body: gzip that is none",
        Whole(200, b"hello"),
        None,
        sends(head(b"hello", b"Content-Encoding: gzip\r\n", kind=b"application/json"), keeps),
    ),
    Fault(
        "body: an unknown coding",
        Whole(200, b"hello"),
        None,
        sends(head(b"hello", b"Content-Encoding: cats\r\n", kind=b"application/json"), keeps),
    ),
    Fault(
        "body: a failed answer in truncated gzip",
        Whole(429, GZIP[:-9]),
        None,
        sends(
            head(GZIP[:-9], b"Content-Encoding: gzip\r\n", b"429 Too Many Requests", b"application/json"),
            keeps,
        ),
        where=("litellm",),
    ),
    Fault(
        "body: closed in a failed answer",
        UNANSWERED,
        "network_error",
        sends(b"HTTP/1.1 500 Oh\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"),
        where=DIRECT,
    ),
]

FAULTS = [*CONNECT, *UPLOADS, *HEADS, *STREAMS, *BODIES]
ROWS = [(fault, where) for fault in FAULTS for where in fault.where]
