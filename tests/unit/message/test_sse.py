from itertools import pairwise
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hybrid.message.sse import MOST_EVENTS, Event, EventReader, events, is_stream

Read = list[tuple[str, str]]


def read(*chunks: bytes) -> tuple[list[Event], EventReader]:
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)], reader


def fields(events: list[Event]) -> Read:
    return [(event.name, event.data) for event in events]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"", []),
        (b"data: a\n\n", [("", "a")]),
        (b"data:a\n\n", [("", "a")]),
        (b"data:  a\n\n", [("", " a")]),
        (b"event: e\ndata: a\n\n", [("e", "a")]),
        (b"data: a\nevent: e\n\n", [("e", "a")]),
        (b"data: a\r\n\r\n", [("", "a")]),
        (b"data: a\r\rdata: b\r\r", [("", "a"), ("", "b")]),
        (b"data: a\r\n\ndata: b\n\r\n", [("", "a"), ("", "b")]),
        (b"\r\n\r\ndata: a\r\n\r\n", [("", "a")]),
        (b"data: a\rdata: b\n\n", [("", "a\nb")]),
        (b"data: a\ndata: b\ndata:\ndata: c\n\n", [("", "a\nb\n\nc")]),
        (b"data\n\n", [("", "")]),
        (b"data:\n\n", [("", "")]),
        (b"data\ndata\n\n", [("", "\n")]),
        (b": comment\n\ndata: a\n\n", [("", "a")]),
        (b":\ndata: a\n:\n\n", [("", "a")]),
        (b"event: e\n\ndata: a\n\n", [("", "a")]),
        (b"event: e\ndata: a\n\ndata: b\n\n", [("e", "a"), ("", "b")]),
        (b"event: e\nevent: f\ndata: a\n\n", [("f", "a")]),
        (b"event\ndata: a\n\n", [("", "a")]),
        (b"id: 1\nretry: 5\nother: x\ndata: a\n\n", [("", "a")]),
        (b" data: a\n\n", []),
        (b"Data: a\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
        (b"\n\xef\xbb\xbfdata: a\n\n", []),
        (b"data: \xef\xbb\xbf\n\n", [("", "\ufeff")]),
        (b"data: a: b\n\n", [("", "a: b")]),
        (b"data: \xff\xc3\xa9\n\n", [("", "\ufffd\u00e9")]),
        (b"data: a\x0bb\x00\xe2\x80\xa8\n\n", [("", "a\x0bb\x00\u2028")]),
        (b"data: a\n", []),
        (b"data: a", []),
    ],
)
def test_streams_are_read_as_the_standard_says(stream: bytes, events: Read) -> None:
    found, _ = read(stream)
    assert fields(found) == events
    for cut in range(len(stream) + 1):
        again, _ = read(stream[:cut], stream[cut:])
        assert again == found


PIECES = st.lists(
    st.sampled_from(
        [
            *(b"data: x", b"data", b"event: ping", b"event:", b": c", b"id: 1", b" ", b":"),
            *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xc3", b"\xa9"),
        ]
    ),
    max_size=30,
).map(b"".join)


@given(stream=PIECES, data=st.data())
def test_any_chunking_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    bounds = [0, *cuts, len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(bounds)]
    expected, whole = read(stream)
    found, reader = read(*chunks)
    assert found == expected
    assert reader.close() == whole.close()


def test_byte_by_byte_is_the_same_as_whole() -> None:
    stream = b"\xef\xbb\xbf: hi\r\n\r\nevent: a\r\ndata: 1\r\n\r\ndata: 2\r\rdata: \xc3\xa9\n\ndata: rest"
    assert read(*(bytes([byte]) for byte in stream))[0] == read(stream)[0]


def test_an_event_is_out_with_its_last_byte() -> None:
    reader = EventReader()
    assert list(reader.feed(b"data: a\r\n")) == []
    assert fields(list(reader.feed(b"\r"))) == [("", "a")]
    assert list(reader.feed(b"\n")) == []


@pytest.mark.parametrize(
    ("rest", "event"),
    [
        (b"event: error\ndata: a", ("error", "a")),
        (b"event: error\ndata: a\n", ("error", "a")),
        (b"event: error\ndata: a\r\n", ("error", "a")),
        (b"data: a\n\n", None),
        (b": comment", None),
        (b"event: error", None),
        (b"", None),
    ],
)
def test_closing_gives_the_event_that_lacks_its_blank_line(
    rest: bytes, event: tuple[str, str] | None
) -> None:
    reader = EventReader()
    list(reader.feed(rest))
    last = reader.close()
    assert (last and (last.name, last.data)) == event


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        (b"data: {}", True),
        (b"event: error\n", True),
        (b": keep-alive\n\n", True),
        (b"\xef\xbb\xbfdata:x", True),
        (b"\n\ndata: x", True),
        (b"id: 7\n", True),
        (b"retry: 7\n", True),
        (b'{"data": 1}', False),
        (b"[", False),
        (b"database", False),
        (b"<html>", False),
        (b"", None),
        (b"da", None),
        (b"\xef\xbb", None),
        (b"data", None),
    ],
)
def test_a_stream_is_known_by_its_first_bytes(beginning: bytes, expected: bool | None) -> None:
    assert is_stream(beginning) is expected


@pytest.mark.parametrize("piece", [b"data\n\n", b"\n", b":\n", b"data\n", b"event\n", b"data\r\r\n", b"x"])
def test_tiny_events_take_no_quadratic_time(piece: bytes) -> None:
    """Four times as many may take twelve times as long on a busy machine, and not sixteen."""

    def took(size: int) -> float:
        times = []
        for _turn in range(5):
            reader, start = EventReader(), thread_time()
            for _ in range(0, size, 64):
                list(reader.feed(piece * (64 // len(piece))))
            times.append(thread_time() - start)
        return min(times)

    assert took(400_000) < 12 * took(100_000) + 0.01


def test_only_the_events_of_a_whole_stream_are_looked_at() -> None:
    assert len(list(events(b"data\n\n" * 5000))) == MOST_EVENTS
    assert fields(list(events(b"data: a\n\ndata: b"))) == [("", "a"), ("", "b")]
