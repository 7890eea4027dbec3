"""A response on its way to the client: how it is passed on, and what is kept of it for log and bill."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TypedDict

from mitmproxy import http

from litellm_hybrid.llm import usage
from litellm_hybrid.llm.transcript import ends_stream
from litellm_hybrid.llm.usage import Usage
from litellm_hybrid.message.decoders import StreamDecoder, StreamEncoder, decode_beginning
from litellm_hybrid.message.json import decode
from litellm_hybrid.message.sse import Event, EventReader
from litellm_hybrid.quota import error_shapes, gauge

_BEGINNING = 4 * 1024
_END = 16 * 1024
"""Bytes. OpenAI's last event has the whole response again, with the usage near its end."""

_MOST_DECODED = 4 * 1024 * 1024
"""A compressed response that is longer, in bytes, is not decompressed to its end for its tokens."""

_MOST = 2 * _END

_EVENT = (b"event:", b"data:")

_LAST_EVENTS = 3
"""How many events are looked at: a ping, or a `[DONE]`, may come behind the one that ends a response."""

_LONG = tuple(
    form % name
    for name in (b"completed", b"incomplete", b"failed")
    for form in (b'"response.%s"', b" response.%s\n")
)
"""How the first bytes of an event name one that may be long."""

_RESPONSE_ID = re.compile(rb'"id"\s*:\s*"(resp_[\w=.+-]{1,2000})"')

# In a model's text the quotation marks have backslashes before them.
_RATE_LIMITS = re.compile(rb'"type"\s?:\s?"%s"' % re.escape(gauge.EVENT.encode()))

_FIRST_BYTES = 64
"""Of an event, that name its kind."""

_WORDS = 300
"""Characters of a server's words that are kept."""


class BodyMask:
    """Overwrites secrets in a body with as many `*`: its length stays.

    Of what is passed on piece by piece it keeps back an end that a secret may begin with.
    """

    __slots__ = ("_kept", "_pattern", "_secrets")

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._secrets = tuple(secrets)
        self._pattern = _any_of(self._secrets)
        self._kept = b""

    def whole(self, body: bytes) -> bytes:
        """The body without them."""
        return self._pattern.sub(lambda found: b"*" * len(found[0]), body)

    def is_in(self, text: bytes) -> bool:
        """Whether one of them stands there."""
        return self._pattern.search(text) is not None

    def field(self, value: bytes) -> bytes:
        """A header's value without them."""
        return self._pattern.sub(b"***", value)

    def response(self, response: http.Response) -> None:
        """Take them out of a response that is sent whole."""
        body, coding = response.data.content or b"", response.data.headers.get("content-encoding", "")
        decoder = StreamDecoder.of(coding) if coding else None
        plain = decoder.feed(body) if decoder is not None else body
        if self.is_in(plain):
            masked = self.whole(plain)
            if decoder is not None:
                encoder = StreamEncoder(decoder.coding)
                masked = encoder.feed(masked) + encoder.feed(b"")
                if "content-length" in response.headers:
                    response.headers["content-length"] = str(len(masked))
            response.data.content = masked

    def piece(self, piece: bytes) -> bytes:
        """As much of the body as can be passed on; `b""` is its end."""
        if not piece:
            rest, self._kept = self._kept, b""
            return rest
        data = self.whole(self._kept + piece)
        kept = max((_overlap(data, secret) for secret in self._secrets), default=0)
        self._kept = data[len(data) - kept :]
        return data[: len(data) - kept]


@lru_cache(maxsize=8)  # the configuration's
def _any_of(secrets: tuple[bytes, ...]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(map(re.escape, secrets)))


def _overlap(data: bytes, secret: bytes) -> int:
    """How many bytes at the end of `data` are a secret's first ones."""
    if data[-1] not in secret:
        return 0
    lengths = range(min(len(secret) - 1, len(data)), 0, -1)
    return next((length for length in lengths if data.endswith(secret[:length])), 0)


class ResponseTap:
    """Passes a response's pieces on, and keeps the first and the last of them.

    It is mitmproxy's `response.stream`, called for each piece: what is kept is only tidied up now and then.
    """

    __slots__ = (
        *("_beginning", "_coding", "_decoder", "_encoder", "_event", "_is_event_stream", "_is_whole"),
        *("_mask", "_pieces", "_size"),
    )

    def __init__(
        self,
        content_encoding: str = "",
        *,
        is_event_stream: bool = False,
        mask: BodyMask | None = None,
        decoder: StreamDecoder | None = None,
    ) -> None:
        """Make one; `decoder` takes the coding off, and it is put on again; `content_encoding` stays on."""
        self._mask = mask
        self._decoder = decoder
        self._encoder = StreamEncoder(decoder.coding) if decoder is not None else None
        self._coding = content_encoding
        self._is_event_stream = is_event_stream and content_encoding in ("", "identity")
        self._event = b""
        self._beginning = b""
        self._pieces: list[bytes] = []  # an empty deque takes 760 bytes
        self._size = 0
        self._is_whole = True

    def __call__(self, piece: bytes) -> bytes | tuple[bytes, ...]:
        """Return the piece as it is, but for a secret in it."""
        if self._decoder is not None and piece and not (piece := self._decoder.feed(piece)):
            return ()
        is_end = not piece
        if self._mask is not None and not (piece := self._mask.piece(piece)) and not is_end:
            return ()  # an empty one would be the end
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > _MOST:
            self._tidy()
        if self._encoder is None:
            return piece
        return (self._encoder.feed(piece) if piece else b"") + (self._encoder.feed(b"") if is_end else b"")

    def _tidy(self) -> None:
        pieces = self._pieces
        if self._is_whole:
            self._beginning = b"".join(pieces)[:_BEGINNING]
            self._is_whole = False
        gone = 0
        while self._size - len(pieces[gone]) >= _END:
            self._size -= len(pieces[gone])
            self._note_event(pieces[gone])
            gone += 1
        del pieces[:gone]
        self._note_event(pieces[0])
        first = pieces[0][-_END:]
        self._size -= len(pieces[0]) - len(first)
        pieces[0] = first

    def _note_event(self, piece: bytes) -> None:
        if piece.startswith(_EVENT):  # servers write event by event
            self._event = piece[:_FIRST_BYTES]

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been passed on: a response that is sent whole."""
        return not self._pieces

    @property
    def is_complete(self) -> bool:
        """Whether the event that ends a response has gone to the client.

        Clients like Codex hang up once they have seen it, without waiting for the connection's own end.
        """
        if not self._is_event_stream:
            return False
        tail = b"".join(self._pieces).replace(b"\r\n", b"\n")
        if any(map(ends_stream, _events(tail)[-_LAST_EVENTS:])):
            return True
        # An event longer than what is kept: the last one of the Responses API repeats the whole response.
        is_cut = tail.find(b"\n\n") == len(tail) - 2
        begun = next((piece for piece in reversed(self._pieces) if piece.startswith(_EVENT)), self._event)
        return is_cut and any(name in begun[:_FIRST_BYTES] for name in _LONG)

    def late_error(self) -> str | None:
        """Return the words of an error that the stream ends with; None: it ends as a response does."""
        if not self._is_event_stream:
            return None
        tail = b"".join(self._pieces)[-_END:]
        if b'"error' not in tail and b"response.failed" not in tail:
            return None
        for event in reversed(_events(tail)[-_LAST_EVENTS:]):
            failure = error_shapes.read(decode(event.data), 200, in_stream=True)
            if failure is not None:
                return failure.message.strip()[:_WORDS] or "an error event"
        return None

    def usage(self) -> Usage | None:
        """Return the tokens that the response says it took; None: it says nothing that can be read."""
        end = b"".join(self._pieces)
        if self._coding not in ("", "identity"):
            # The end of what is compressed cannot be read without all that comes before it.
            whole = decode_beginning(end, self._coding, limit=_MOST_DECODED) if self._is_whole else b""
            if len(whole) >= _MOST_DECODED:
                return None
            return usage.read(whole[:_BEGINNING], whole[-_END:])
        return usage.read(self._beginning or end[:_BEGINNING], end[-_END:])

    def rate_limits(self) -> str | None:
        """Return the data of an event that says how much of a quota is used; None: there is none."""
        if not self._is_event_stream:
            return None
        kept = b"".join((self._beginning, *self._pieces))
        events = _events(kept) if _RATE_LIMITS.search(kept) else []
        return next((event.data for event in events if _RATE_LIMITS.search(event.data.encode())), None)

    def response_ids(self) -> set[str]:
        """Return the ids of Responses API responses that stand in what is kept of it."""
        end = b"".join(self._pieces)
        if self._coding not in ("", "identity"):
            end = decode_beginning(end, self._coding, limit=_END) if self._is_whole else b""
        return {found.decode() for found in _RESPONSE_ID.findall(self._beginning + b"\n" + end)}

    def words(self, status: int) -> str:
        """Return what a server says of a failure: its message, else the beginning of its body."""
        begun = b"".join(self._pieces) if self._is_whole else self._beginning
        body = decode_beginning(begun, self._coding, limit=_END)[:_END]
        failure = error_shapes.read(decode(body), status)
        text = failure.message if failure is not None and failure.message else body.decode(errors="replace")
        return text.strip()[:_WORDS]


class Timing(TypedDict):
    """What a response's log line says of time and size; None where it is not known.

    Attributes:
        duration_ms: from the first byte of the request to the last of the response.
        first_byte_ms: from the last byte of the request to the first of the response that is passed on.
        bytes: the size of the response's body as it was sent, unless it was passed on piece by piece.
    """

    duration_ms: float | None
    first_byte_ms: float | None
    bytes: int | None


def timing(flow: http.HTTPFlow) -> Timing:
    """Return the timing of a flow that has its response, from the moments that mitmproxy notes anyway."""
    assert flow.response is not None
    request, response = flow.request.data, flow.response.data
    body = response.content
    return Timing(
        duration_ms=_milliseconds(request.timestamp_start, response.timestamp_end),
        first_byte_ms=_milliseconds(request.timestamp_end, response.timestamp_start),
        bytes=None if body is None or flow.response.stream else len(body),
    )


def _milliseconds(start: float | None, end: float | None) -> float | None:
    if start is None or end is None:
        return None
    # The clock may have been set back meanwhile.
    return max(0.0, round((end - start) * 1000, 1))


def _events(body: bytes) -> list[Event]:
    """All events, the last one also where it is cut short."""
    reader = EventReader()
    return [*reader.feed(body), *filter(None, [reader.close()])]
