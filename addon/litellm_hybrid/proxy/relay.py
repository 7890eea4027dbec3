"""A shorter way for bodies that only pass through: what a server sends goes to its client's socket at once.

mitmproxy takes each piece of a stream through a task, five generators and two classes of events. Here its
framing is checked where it is read, and what mitmproxy would send is written in one step, all that one read
brings in one write. What is not simply more of the body is left to mitmproxy: for the end, errors, limits and
a client that leaves there is one implementation, and it is not here.

    state     event                                     action                                   next
    --------  ----------------------------------------  ---------------------------------------  --------
    ordinary  mitmproxy reads on, and the body may      take over where its reader of the body   relaying
              pass (`HybridLayer.passing_through`)      has got to
    relaying  more of the body, and not its end         tap, write                               relaying
    relaying  its end; framing that is not plain;       write what comes before; hand back,      ordinary
              the tap fails                             and leave the rest to be read
    relaying  somebody begins to look at bodies         hand back                                ordinary
    relaying  the client does not read what is written  hand back: mitmproxy waits for it        ordinary
    relaying  the client's socket fails                 hand back, and end the client, as        ordinary
                                                        mitmproxy does after a failed write
    relaying  an event for the stream; the connection   hand back                                ordinary
              or the task that reads it ends

To hand back is to leave mitmproxy's layers as if all had gone through them. On the client's side the framing
is mitmproxy's own, a piece a chunk, so that whoever writes next begins with a chunk; bytes go out as they
came only where that is the same.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from h11._readers import ChunkedReader, ContentLengthReader
from mitmproxy.optmanager import _Option

from litellm_hybrid.proxy.deadlines import Timer
from litellm_hybrid.proxy.http1 import HybridHttp1Client, body_reader

if TYPE_CHECKING:
    from litellm_hybrid.proxy.stream_base import BaseStream

_HEADER = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")

_HEADERS = {len(header) + size + 2: header for size in range(1, 4096) if (header := b"%x\r\n" % size)}
"""By the length of a chunk, framing and all: its header, as mitmproxy writes it."""

_MOST_HEADER = 64
"""Bytes of a chunk's header whose end is waited for here."""

type Tap = Callable[[bytes], Iterable[bytes] | bytes]
"""mitmproxy's `response.stream`: it gets each piece, and returns what is sent in its place."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A response whose body may go this way.

    Attributes:
        source: the server's side.
        tap: None: nobody looks at it.
        to_chunks: whether the client gets it in chunks.
        stores: mitmproxy's option to keep it, since somebody looks. It is off now.
    """

    stream: "BaseStream"
    source: HybridHttp1Client
    tap: Tap | None
    to_chunks: bool
    timer: Timer
    stores: _Option


def _pieces(sent: Iterable[bytes] | bytes) -> tuple[bytes, ...]:
    return (sent,) if isinstance(sent, bytes) else tuple(sent)


class Framing:
    """How far a body has come, and what mitmproxy would send of it.

    Attributes:
        is_between: a chunk is to come, and the client gets chunks too.
    """

    __slots__ = ("_footer", "_left", "_pending", "_reader", "_source", "_tap", "_to_chunks", "is_between")

    def __init__(self, source: HybridHttp1Client, tap: Tap | None, *, to_chunks: bool) -> None:
        """Take over where mitmproxy's reader has got to."""
        self._source, self._tap, self._to_chunks = source, tap, to_chunks
        self._pending = bytes(source.buf)
        self._footer = False  # the line end behind a chunk is to come
        self._reader = reader = body_reader(source)
        if isinstance(reader, ChunkedReader):
            self._left = reader._bytes_in_chunk  # noqa: SLF001
            self._footer = bool(reader._bytes_to_discard)  # noqa: SLF001
            source.buf.maybe_extract_at_most(len(self._pending))
        elif isinstance(reader, ContentLengthReader):
            self._left = reader._remaining  # noqa: SLF001
        else:
            self._left = sys.maxsize  # it ends with the connection
        self.is_between = False

    @property
    def is_chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return isinstance(self._reader, ChunkedReader)

    @staticmethod
    def can_take_over(source: HybridHttp1Client) -> bool:
        """Whether mitmproxy's reader is where it can be taken over."""
        reader = body_reader(source)
        if not isinstance(reader, ChunkedReader):
            return not source.buf
        return not reader._reading_trailer and reader._bytes_to_discard in (b"", b"\r\n")  # noqa: SLF001

    def leave(self) -> None:
        """Leave mitmproxy's reader as if it had read what has come here."""
        reader = self._reader
        if isinstance(reader, ChunkedReader):
            reader._bytes_in_chunk = self._left  # noqa: SLF001
            reader._bytes_to_discard = b"\r\n" if self._footer else b""  # noqa: SLF001
            self._source.buf += self._pending
        elif isinstance(reader, ContentLengthReader):
            reader._remaining = self._left  # noqa: SLF001

    def take(self, data: bytes) -> tuple[bytes | None, bytes]:
        """Take what has been read.

        Returns:
            What the client gets of it, None if there was nothing of the body; what mitmproxy has to read.
        """
        if len(data) >= self._left:
            return None, data
        pieces: list[bytes] = []
        if self._tapped(data, pieces) is None:
            return None, data
        self._left -= len(data)
        return self.framed(pieces), b""

    def take_chunks(self, data: bytes) -> tuple[bytes | None, bytes]:
        """The same of a body that comes in chunks."""
        if self._pending:
            data, self._pending = self._pending + data, b""
        at, end, left, footer = 0, len(data), self._left, self._footer
        same: bool | None = self._to_chunks and not left and not footer
        is_plain, has_come = True, False
        pieces: list[bytes] = []
        while at < end:
            if footer:
                if not data.startswith(b"\r\n", at):
                    is_plain = data[at:] == b"\r"
                    break
                at, footer = at + 2, False
                continue
            begin, size = at, left
            if not left:
                header = _HEADER.match(data, at)
                size = 0 if header is None else int(header[1], 16)
                if header is None or not size:
                    is_plain = header is None and end - at < _MOST_HEADER and data.find(b"\r\n", at) < 0
                    break
                begin = header.end()
                same = same and header[1] == b"%x" % size
            stop = min(begin + size, end)
            tapped = self._tapped(data[begin:stop], pieces)
            if tapped is None:
                is_plain = False
                break
            same, has_come = same and tapped, has_come or begin < stop
            at, left = stop, begin + size - stop
            footer = not left
        self._left, self._footer = left, footer
        rest = data[at:]
        if is_plain:
            self._pending, rest = rest, b""
        self.is_between = self._to_chunks and not (left or footer or self._pending)
        if not has_come:
            return None, rest
        return data[:at] if same and not left and not footer else self.framed(pieces), rest

    def _tapped(self, piece: bytes, pieces: list[bytes]) -> bool | None:
        """Add what is sent in the place of a piece; whether that is itself. None: mitmproxy has to ask."""
        if not piece:
            return True
        try:
            sent = piece if self._tap is None else self._tap(piece)
            if sent is not piece:
                pieces += _pieces(sent)
                return False
        except Exception:  # noqa: BLE001 (it meets it again, and says so)
            return None
        pieces.append(piece)
        return True

    def framed(self, pieces: Sequence[bytes]) -> bytes:
        """What the client gets of pieces of the body."""
        if self._to_chunks:
            return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Relay:
    """Stands in for the reader of a server's connection, while a body passes.

    Args:
        passage: the response.
        server: the protocol of the server's socket; all that it has been given has been read.
        client: what writes to the client.
        task: the task that reads from the client.
    """

    __slots__ = (
        *("_client", "_clock", "_framing", "_server", "_stores", "_stream"),
        *("_take", "_tap", "_task", "_timer", "_transport"),
    )

    def __init__(
        self,
        passage: Passage,
        server: asyncio.StreamReaderProtocol,
        client: asyncio.WriteTransport,
        task: asyncio.Task[Any],
    ) -> None:
        self._server, self._transport, self._task = server, client, task
        self._client: Any = client.get_protocol()
        self._stream, self._tap, self._stores = passage.stream, passage.tap, passage.stores
        self._timer, self._clock = passage.timer, passage.timer.clock
        self._framing = framing = Framing(passage.source, passage.tap, to_chunks=passage.to_chunks)
        self._take = framing.take_chunks if framing.is_chunked else framing.take
        # asyncio's transport calls it with all that it reads; set on the object, it goes before the class's.
        vars(server)["data_received"] = self._feed
        passage.stream.relay = self

    def hand_back(self) -> None:
        """Let mitmproxy go on; may be called again."""
        if self._stream.relay is self:
            self._stream.relay = None
            del vars(self._server)["data_received"]
            self._framing.leave()

    def _feed(self, data: bytes) -> None:
        # Servers send an event at a time, as a chunk of its own: all of that is done in this function. While
        # events come one by one, each call finds its code in no cache, and takes ten times as long.
        framing = self._framing
        header = _HEADERS.get(len(data)) if framing.is_between and self._stores.value is not True else None
        if header is None or not data.startswith(header) or not data.endswith(b"\r\n"):
            self._feed_any(data)
            return
        sent = data
        if self._tap is not None:
            piece = data[len(header) : -2]
            try:
                tapped = self._tap(piece)
                if tapped is not piece:
                    sent = framing.framed(_pieces(tapped))
            except Exception:  # noqa: BLE001 (mitmproxy meets it again, and says so)
                self._go_on_without(data)
                return
        self._timer.since = self._clock()
        if sent:
            self._transport.write(sent)
        if self._transport.is_closing() or self._client._paused:  # noqa: SLF001 (it is asked often)
            self._look_at_client()

    def _feed_any(self, data: bytes) -> None:
        sent, rest = (None, data) if self._stores.value is True else self._take(data)
        if sent is not None:
            self._timer.touch()
            if sent:
                self._transport.write(sent)
        if rest:
            self._go_on_without(rest)
        else:
            self._look_at_client()

    def _go_on_without(self, rest: bytes) -> None:
        self.hand_back()
        self._server.data_received(rest)

    def _look_at_client(self) -> None:
        if self._transport.is_closing():
            self.hand_back()
            self._task.cancel("Error sending data")
        elif self._client._paused:  # noqa: SLF001
            self.hand_back()
