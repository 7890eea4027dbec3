"""What is kept of a response that is passed on piece by piece."""

import gzip
import json

import pytest

from litellm_hybrid.flow.response import ResponseTap
from litellm_hybrid.llm.usage import Usage

BEGINS = (
    b'data: {"type": "message_start", "message": {"usage": {"input_tokens": 12, "output_tokens": 1}}}\n\n'
)
COUNTS = b'data: {"type": "message_delta", "usage": {"output_tokens": 77}}\n\n'
FILLING = b'data: {"type": "content_block_delta", "delta": {"text": "..."}}\n\n'


def _tap(*pieces: bytes, coding: str = "") -> ResponseTap:
    tap = ResponseTap(coding, is_event_stream=True)
    for piece in pieces:
        assert tap(piece) is piece
    return tap


@pytest.mark.parametrize("length", [0, 1, 10_000])
def test_the_usage_of_a_stream_of_any_length(length: int) -> None:
    assert _tap(BEGINS, *[FILLING] * length, COUNTS, b"").usage() == Usage(12, 77)


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
def test_pieces_may_be_of_any_size(size: int) -> None:
    stream = BEGINS + FILLING * 500 + COUNTS
    assert _tap(*(stream[at : at + size] for at in range(0, len(stream), size))).usage() == Usage(12, 77)


def test_little_is_kept_of_a_long_one() -> None:
    tap = _tap(*[b"x" * 1000] * 10_000)
    assert sum(map(len, tap._pieces)) <= 33 * 1024
    assert len(tap._beginning) <= 4 * 1024


@pytest.mark.parametrize("length", [1, 100_000])
def test_a_compressed_one_is_read_only_if_it_is_short(length: int) -> None:
    body = gzip.compress(json.dumps({"usage": {"input_tokens": 3, "output_tokens": 4}}).encode())
    noise = bytes(range(256)) * length if length > 1 else b""
    tap = _tap(body, *(noise[at : at + 1000] for at in range(0, len(noise), 1000)), coding="gzip")
    assert tap.usage() == (Usage(3, 4) if length == 1 else None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"error": {"message": "The usage limit has been reached", "type": "x"}}',
            "The usage limit has been reached",
        ),
        (b'{"error": "Invalid API key"}', "Invalid API key"),
        (b"<html>502 Bad Gateway</html>\n", "<html>502 Bad Gateway</html>"),
        (b"", ""),
        (b"x" * 1000, "x" * 300),
    ],
)
def test_a_servers_words(body: bytes, words: str) -> None:
    assert _tap(body).words(502) == words
    assert _tap(gzip.compress(body), coding="gzip").words(502) == words


DELTA = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n'
COMPLETED = b'event: response.completed\ndata: {"type":"response.completed","response":{"output":"%s"}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
FINISHED = b'data: {"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}],"usageMetadata":{}}\n\n'


@pytest.mark.parametrize(
    "pieces",
    [
        [DELTA, COMPLETED % b"x"],
        [DELTA + COMPLETED % b"x"],
        [DELTA, COMPLETED.replace(b"completed", b"incomplete") % b"x"],
        [DELTA, COMPLETED.replace(b"completed", b"failed") % b"x"],
        [DELTA, COMPLETED % (b"x" * 100_000)],
        [DELTA, (COMPLETED % (b"x" * 100_000))[:50_000], (COMPLETED % (b"x" * 100_000))[50_000:]],
        [DELTA, (COMPLETED % (b"x" * 100_000)).partition(b"\n")[2]],
        [STOP],
        [STOP.replace(b"\n", b"\r\n")],
        [STOP, b"event: ping\ndata: {}\n\n"],
        [b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n"],
        [b"data: [DONE]"],
        [FINISHED],
        [b"d", FINISHED[1:-1]],
        [STOP[:20], STOP[20:]],
    ],
)
def test_a_stream_that_has_come_to_its_end(pieces: list[bytes]) -> None:
    assert _tap(*pieces).is_complete


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b""],
        [DELTA],
        [COMPLETED % b"x", *[DELTA] * 3],
        [(COMPLETED % b"x")[:-10]],
        [DELTA, (COMPLETED % (b"x" * 100_000))[:-2]],
        [COMPLETED % (b"x" * 100_000), DELTA],
        [b'data: {"type":"response.output_text.delta","delta":"data: [DONE]"}\n\n'],
        [b'data: {"delta":"\\n\\ndata: {\\"type\\":\\"message_stop\\"}\\n\\n"}\n\n'],
        [b'data: {"candidates":[{"content":{"parts":[{"text":"finishReason"}]}}]}\n\n'],
        [b'data: {"candidates":[{"finishReason":null}]}\n\n'],
        [b"data: [1]\n\n", b"data: {\n\n", b": message_stop\n\n"],
    ],
)
def test_a_stream_that_has_not(pieces: list[bytes]) -> None:
    assert not _tap(*pieces).is_complete


def test_the_end_of_a_compressed_stream_is_not_looked_at() -> None:
    assert not _tap(STOP, coding="gzip").is_complete


def test_what_is_no_event_stream_has_no_last_event() -> None:
    tap = ResponseTap()
    tap(STOP)
    assert not tap.is_complete


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (
            b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy"}}\n\n',
            "Busy",
        ),
        (b'data: {"error":{"message":"quota","code":429}}\n\ndata: [DONE]\n\n', "quota"),
        (
            b'data: {"type":"response.failed","response":{"status":"failed","error":{"code":"x","message":"no"}}}\n\n',
            "no",
        ),
        (b'data: {"choices":[{"delta":{"content":"\\"error\\": no"}}]}\n\ndata: [DONE]\n\n', None),
        (b'data: {"type":"response.completed","response":{"error":null}}\n\n', None),
        (b'data: {"error":{"message":"cut', None),
    ],
)
def test_a_stream_that_ends_with_an_error(end: bytes, words: str | None) -> None:
    tap = ResponseTap(is_event_stream=True)
    tap(b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n')
    tap(end)
    assert tap.late_error() == words


def test_only_a_stream_ends_with_an_error() -> None:
    tap = ResponseTap()
    tap(b'{"error":{"message":"no"}}')
    assert tap.late_error() is None


def _whole(body: bytes) -> ResponseTap:
    tap = ResponseTap("gzip")
    tap(gzip.compress(body, mtime=0))
    return tap


def test_a_compressed_response_is_read_at_both_ends_alone() -> None:
    middle = b"x" * 2_000_000
    ends = b'{"usage": {"input_tokens": 12}, "x": "' + middle + b'" "usage": {"output_tokens": 77}}'
    assert _whole(ends).usage() == Usage(12, 77)
    assert _whole(b"[" * 5 * 1024 * 1024 + b'"usage": {"output_tokens": 77}').usage() is None


def test_the_words_of_a_long_compressed_error_are_few() -> None:
    assert _whole(b"[[]," + b"[]," * 20_000_000).words(400)[:4] == "[[],"


@pytest.mark.parametrize("filler", [0, 100_000])
@pytest.mark.parametrize("first", [True, False])
def test_the_event_that_says_how_much_of_a_quota_is_used(filler: int, *, first: bool) -> None:
    """At the beginning or near the end; what a model says of one is in a string, and none."""
    limits = b'event: codex.rate_limits\ndata: {"type":"codex.rate_limits","n":1}\n\n'
    quoted = b'data: {"delta":"\\"type\\":\\"codex.rate_limits\\""}\n\n'
    pieces = [b"data: {}\n\n", quoted, b": " + b"x" * filler + b"\n\n", b"data: {}\n\n"]
    pieces.insert(0 if first else 3, limits)
    tap = ResponseTap(is_event_stream=True)
    for piece in pieces:
        tap(piece)
    assert tap.rate_limits() == '{"type":"codex.rate_limits","n":1}'


def test_what_a_model_says_of_a_quota_is_none() -> None:
    tap = ResponseTap(is_event_stream=True)
    tap(b'data: {"delta":"\\"type\\":\\"codex.rate_limits\\""}\n\n')
    assert tap.rate_limits() is None
