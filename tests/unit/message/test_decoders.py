import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hybrid.message.decoders import (
    MAX_DECODED,
    StreamDecoder,
    StreamEncoder,
    TooLongError,
    UndecodableError,
    decode,
)

TEXT = b'{"model": "gpt-5", "input": "' + bytes(range(32, 127)) * 40 + b'"}'
MIB = 1024 * 1024


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def zstd_stream(body: bytes) -> bytes:
    """A frame that does not say how long its content is, as streaming clients send them."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(body) + compressor.flush()


def brotli_fast(body: bytes) -> bytes:
    return brotli.compress(body, quality=5)  # type: ignore[no-any-return]


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli_fast,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("coding", ENCODERS)
@pytest.mark.parametrize("body", [b"", b"x", TEXT, bytes(MIB)], ids=["empty", "tiny", "text", "large"])
def test_every_coding(coding: str, body: bytes) -> None:
    assert decode(ENCODERS[coding](body), coding) == body


@pytest.mark.parametrize(
    ("encoded", "header"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (TEXT, " , identity ,"),
        (gzip.compress(TEXT, mtime=0), "GZip"),
        (gzip.compress(TEXT, mtime=0), " gzip , identity"),
        (raw_deflate(TEXT), "deflate"),
        (zlib.compress(TEXT) + b"ignored", "deflate"),
        (zstd_stream(TEXT), "zstd"),
        (gzip.compress(TEXT[:9], mtime=0) + gzip.compress(TEXT[9:], mtime=0), "gzip"),
        (gzip.compress(TEXT, mtime=0) + gzip.compress(b"", mtime=0), "gzip"),
        (zstandard.compress(TEXT[:9]) + zstandard.compress(TEXT[9:]), "zstd"),
        (zstd_stream(TEXT[:9]) + zstandard.compress(b"") + zstd_stream(TEXT[9:]), "zstd"),
        (b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + zstandard.compress(TEXT), "zstd"),
    ],
)
def test_spellings_and_members(encoded: bytes, header: str) -> None:
    assert decode(encoded, header) == TEXT


@pytest.mark.parametrize("coding", ENCODERS)
def test_no_body_is_no_body_in_every_coding(coding: str) -> None:
    assert decode(b"", coding) == b""


@pytest.mark.parametrize("coding", ["compress", "aws-chunked", "*", "gzip;q=1"])
def test_an_unknown_coding_is_named(coding: str) -> None:
    with pytest.raises(UndecodableError, match="unknown content coding"):
        decode(TEXT, coding)


@pytest.mark.parametrize("coding", ENCODERS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[: len(body) // 2],
        lambda body: body[:-1],
        lambda body: body[:1],
        lambda body: TEXT + body,
        lambda body: b"\xff" * 20 + body[20:],
    ],
    ids=["half", "last byte gone", "one byte", "text first", "start overwritten"],
)
def test_a_corrupt_body(coding: str, damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(UndecodableError, match="corrupt"):
        decode(damage(ENCODERS[coding](TEXT)), coding)


def test_a_second_member_cut_short_is_corrupt() -> None:
    with pytest.raises(UndecodableError, match="too early"):
        decode(gzip.compress(TEXT, mtime=0) + gzip.compress(TEXT, mtime=0)[:-3], "gzip")
    with pytest.raises(UndecodableError, match="too early"):
        decode(zstandard.compress(TEXT) + zstandard.compress(TEXT)[:-3], "zstd")


@pytest.mark.parametrize("coding", ENCODERS)
def test_the_limit_counts_decoded_bytes(coding: str) -> None:
    encoded = ENCODERS[coding](bytes(300_000))
    assert len(encoded) < 1000
    assert len(decode(encoded, coding, limit=300_000)) == 300_000
    with pytest.raises(UndecodableError, match="longer than 299999 bytes"):
        decode(encoded, coding, limit=299_999)


@pytest.mark.parametrize("header", ["", "identity"])
def test_the_limit_holds_for_a_plain_body(header: str) -> None:
    assert decode(bytes(10), header, limit=10) == bytes(10)
    with pytest.raises(UndecodableError, match="longer than 10 bytes"):
        decode(bytes(11), header, limit=10)


def test_the_limit_is_64_mib() -> None:
    assert MAX_DECODED == 64 * MIB


@pytest.mark.parametrize("coding", ENCODERS)
def test_a_bomb_does_not_go_off(coding: str) -> None:
    bomb = ENCODERS[coding](bytes(128 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(UndecodableError, match="longer"):
            decode(bomb, coding, limit=MIB)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # zstd alone has no bound on one call's output: up to 8 MiB, copied once.
    assert peak < (24 if coding == "zstd" else 4) * MIB


@pytest.mark.parametrize("codings", ["gzip, gzip", "br,gzip", "zstd, zstd, zstd", "gzip, identity, x"])
def test_one_coding_is_undone_at_most(codings: str) -> None:
    """A bomb inside a bomb: 63 bytes were 15 s of work for everybody."""
    with pytest.raises(UndecodableError, match="more than one"):
        decode(gzip.compress(gzip.compress(TEXT)), codings)


def test_a_window_beyond_the_cap_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(UndecodableError, match="corrupt zstd"):
        decode(compressor.compress(TEXT) + compressor.flush(), "zstd")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("coding", "member"),
    [("gzip", gzip.compress(bytes(range(256)), mtime=0)), ("zstd", zstandard.compress(bytes(range(256))))],
    ids=["gzip", "zstd"],
)
def test_many_members_take_no_quadratic_time(coding: str, member: bytes) -> None:
    # Copying the rest of the body for each member would move 13 GB.
    assert decode(member * 10_000, coding) == bytes(range(256)) * 10_000


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=400), st.integers(0, 400), st.binary(max_size=9))
def test_whatever_the_body_only_the_documented_error(
    coding: str, body: bytes, position: int, junk: bytes
) -> None:
    encoded = ENCODERS[coding](body)
    assert decode(encoded, coding) == body
    for bad in (body, encoded[:position] + junk + encoded[position + len(junk) :], encoded + junk):
        try:
            decode(bad, coding, limit=MIB)
        except UndecodableError:
            continue


@pytest.mark.parametrize(
    ("coding", "empty"), [("gzip", gzip.compress(b"", mtime=0)), ("zstd", zstandard.compress(b""))]
)
def test_only_so_many_frames_in_a_row_are_read(coding: str, empty: bytes) -> None:
    """A few bytes decode to millions of empty frames, which decode to nothing in a quarter of a minute."""
    assert decode(empty * 10_000, coding) == b""
    with pytest.raises(TooLongError):
        decode(empty * 10_001, coding)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "zstd"])
def test_what_is_encoded_piece_by_piece_can_be_read_as_it_comes(coding: str) -> None:
    encoder, decoder = StreamEncoder(coding), StreamDecoder(coding)
    pieces = [b"data: a\n\n", b"b" * 100_000, b"data: c\n\n"]
    packed = [encoder.feed(piece) for piece in pieces]
    assert [decoder.feed(piece) for piece in packed] == pieces
    assert decode(b"".join(packed) + encoder.feed(b""), coding) == b"".join(pieces)
    assert StreamEncoder(coding).feed(b"") == b""  # no body at all, as for HEAD
