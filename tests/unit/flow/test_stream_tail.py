"""Whether a stream has come to its end, by its last bytes."""

import pytest

from litellm_hybrid.flow.stream_tail import StreamTail

DELTA = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n'
COMPLETED = b'event: response.completed\ndata: {"type":"response.completed","response":{"output":"%s"}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
FINISHED = b'data: {"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}],"usageMetadata":{}}\n\n'


def _tail(*pieces: bytes) -> StreamTail:
    tail = StreamTail()
    for piece in pieces:
        assert tail(piece) is piece
    return tail


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
    assert _tail(*pieces).is_complete


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
    assert not _tail(*pieces).is_complete


def test_little_is_kept_of_a_long_stream() -> None:
    tail = _tail(*[DELTA] * 1000, b"x" * 1_000_000)
    assert len(tail._tail) + len(tail._head) < 5000
