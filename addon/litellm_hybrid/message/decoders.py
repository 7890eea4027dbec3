"""Undo a request body's Content-Encoding without letting a bomb go off.

mitmproxy's own decoding has no bound: a few kilobytes of zstd become
gigabytes. Here the output is produced piece by piece and given up on once it
is past the cap.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import brotli
import zstandard

MAX_DECODED = 64 * 1024 * 1024
"""The longest decoded body that is read, in bytes."""

_PIECE = 64 * 1024
"""Bytes of output asked for at a time."""

_FEED = 4 * 1024
"""Bytes of input given at a time; what a decoder hands back of them is copied, so this bounds the copies."""


_NONE = frozenset({"", "identity"})
_MOST_FRAMES = 10_000
"""Of gzip's members or zstd's frames in a row; millions of empty ones would take a quarter of a minute."""


class UndecodableError(ValueError):
    """The body is corrupt, its coding is unknown, or it is longer than the cap."""


class TooLongError(UndecodableError):
    """The body, decoded, is longer than the cap."""


def decode(body: bytes, content_encoding: str, *, limit: int = MAX_DECODED) -> bytes:
    """A body as it was before its content codings (the header's value) were applied.

    Raises:
        UndecodableError: see the class.
    """
    if not body:
        return body
    if not content_encoding and len(body) <= limit:
        return body
    codings = _codings(content_encoding)
    if len(codings) > 1:  # 63 bytes of `zstd, zstd, zstd` were a quarter of a minute's work
        raise UndecodableError("more than one content coding")
    for coding in codings:
        decoder = _DECODERS.get(coding)
        if decoder is None:
            raise UndecodableError(f"unknown content coding {coding!r}")
        try:
            body = _collect(decoder(body), limit)
        except (zlib.error, brotli.error, zstandard.ZstdError, EOFError) as e:
            raise UndecodableError(f"corrupt {coding} body: {e}") from e
    if len(body) > limit:
        raise TooLongError(f"the body is longer than {limit} bytes")
    return body


def has_several(content_encoding: str) -> bool:
    """Whether a body is in more than one content coding; then it is not decoded."""
    return "," in content_encoding and len(_codings(content_encoding)) > 1


def _codings(content_encoding: str) -> list[str]:
    return [coding for one in content_encoding.split(",") if (coding := one.strip().lower()) not in _NONE]


def decode_beginning(body: bytes, content_encoding: str, *, limit: int = MAX_DECODED) -> bytes:
    """What can be read of a body that was cut short; `body` itself where its coding is unknown."""
    decoder = _DECODERS.get(content_encoding.strip().lower())
    if decoder is None:
        return body
    decoded = bytearray()
    with suppress(zlib.error, brotli.error, zstandard.ZstdError, EOFError, UndecodableError):
        for piece in decoder(body):
            decoded += piece
            if len(decoded) > limit:
                break
    return bytes(decoded[:limit])


class StreamDecoder:
    """Undoes the content coding of a server's response, piece by piece.

    What is behind a broken place is left out: it ends there, as a response does that is cut short.
    """

    @classmethod
    def of(cls, content_encoding: str) -> "StreamDecoder | None":
        """Make one for the header's value; None: there is no coding, an unknown one, or more than one."""
        coding = content_encoding.strip().lower()
        return cls(coding) if coding in _DECODERS else None

    def __init__(self, coding: str) -> None:
        self.coding = coding
        self._decoder: Any = None
        self._broken = False

    def feed(self, piece: bytes) -> bytes:
        """What this piece is without the coding; perhaps nothing yet."""
        decoded = bytearray()
        with suppress(zlib.error, brotli.error, zstandard.ZstdError):
            while piece and not self._broken:
                self._decoder = self._decoder or self._make(piece)
                self._broken = True
                if self.coding == "br":
                    decoded += self._decoder.process(piece)
                    while more := self._decoder.process(b""):  # it gives 32 KiB at a time
                        decoded += more
                else:
                    decoded += self._decoder.decompress(piece)
                self._broken = False
                ended = getattr(self._decoder, "eof", False)  # gzip's members and zstd's frames may follow
                piece = self._decoder.unused_data if ended else b""
                if ended:
                    self._decoder = None
        return bytes(decoded)

    def _make(self, piece: bytes) -> Any:  # noqa: ANN401 (one of three libraries')
        match self.coding:
            case "br":
                return brotli.Decompressor()
            case "zstd":
                return zstandard.ZstdDecompressor(max_window_size=MAX_DECODED).decompressobj()
            case "deflate":
                return zlib.decompressobj(_ZLIB if piece[0] & 0x0F == 8 else _RAW)
        return zlib.decompressobj(_GZIP)


class StreamEncoder:
    """Applies a content coding piece by piece, so that each can be read as soon as it has come."""

    def __init__(self, coding: str) -> None:
        """Make one for a coding that `StreamDecoder` undoes."""
        self._coding = coding
        self._encoder: Any = None

    def feed(self, piece: bytes) -> bytes:
        """A piece in the coding; `b""` is the end, of which nothing comes where nothing came before."""
        if not piece:
            last, self._encoder = self._encoder, None
            return b"" if last is None else last.finish() if self._coding == "br" else last.flush()
        encoder = self._encoder = self._encoder or self._make()
        match self._coding:
            case "br":
                return bytes(encoder.process(piece) + encoder.flush())
            case "zstd":
                return bytes(encoder.compress(piece) + encoder.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        return bytes(encoder.compress(piece) + encoder.flush(zlib.Z_SYNC_FLUSH))

    def _make(self) -> Any:  # noqa: ANN401 (one of three libraries')
        match self._coding:
            case "br":
                return brotli.Compressor(quality=4)
            case "zstd":
                return zstandard.ZstdCompressor().compressobj()
        return zlib.compressobj(wbits=_ZLIB if self._coding == "deflate" else _GZIP)


def _collect(pieces: Iterator[bytes], limit: int) -> bytes:
    decoded, length = [], 0
    for piece in pieces:
        decoded.append(piece)
        length += len(piece)
        if length > limit:
            raise TooLongError(f"the decoded body is longer than {limit} bytes")
    return b"".join(decoded)


def _one_less(left: int) -> int:
    if left == 0:
        raise TooLongError(f"the body has more than {_MOST_FRAMES} compressed parts")
    return left - 1


def _inflate(body: bytes, wbits: int) -> Iterator[bytes]:
    view, at, left = memoryview(body), 0, _MOST_FRAMES
    while at < len(view):  # gzip allows several members in a row
        left = _one_less(left)
        decoder = zlib.decompressobj(wbits)
        while not decoder.eof:
            fed = view[at : at + _FEED]
            piece = decoder.decompress(fed, _PIECE)
            if not piece and not fed and not decoder.eof:
                raise EOFError("it ends too early")
            yield piece
            at += len(fed) - len(decoder.unconsumed_tail) - len(decoder.unused_data)
        if wbits != _GZIP:
            return


_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


def _gzip(body: bytes) -> Iterator[bytes]:
    return _inflate(body, _GZIP)


def _deflate(body: bytes) -> Iterator[bytes]:
    # RFC 9110, 8.4.1.2: zlib format; some clients send the raw stream instead.
    wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _inflate(body, _ZLIB if wrapped else _RAW)


def _brotli(body: bytes) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    if not hasattr(decoder, "can_accept_more_data"):  # before 1.2: no bound on one call's output
        for start in range(0, len(body), 64):
            yield decoder.process(body[start : start + 64])
    else:
        yield decoder.process(body, output_buffer_limit=_PIECE)
        while not decoder.is_finished():
            piece = decoder.process(b"", output_buffer_limit=_PIECE)
            if not piece and decoder.can_accept_more_data():
                break
            yield piece
    if not decoder.is_finished():
        raise EOFError("it ends too early")


def _zstd(body: bytes) -> Iterator[bytes]:
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_DECODED)
    view, at, left = memoryview(body), 0, _MOST_FRAMES
    while at < len(view):  # frames may follow one another
        left = _one_less(left)
        frame = decoder.decompressobj(read_across_frames=False)
        while not frame.eof:
            fed = view[at : at + 256]  # there is no bound on one call's output
            if not fed:
                raise EOFError("it ends too early")
            yield frame.decompress(fed)
            at += len(fed) - len(frame.unused_data)


_DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
