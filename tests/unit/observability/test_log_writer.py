"""The log is written without anybody waiting for it."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from litellm_hybrid.observability.log import MOST_WAITING, LogWriter

LINE = "x" * 99 + "\n"


class Told:
    def __init__(self) -> None:
        self.lost: list[int] = []
        self.event = threading.Event()

    def __call__(self, lines: int) -> None:
        self.lost.append(lines)
        self.event.set()


def drain(fd: int, until: Callable[[bytes], bool]) -> bytes:
    found = b""
    while not until(found):
        found += os.read(fd, 1 << 16)
    return found


def test_lines_come_at_once_and_in_order(tmp_path: Path) -> None:
    told = Told()
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    writer = LogWriter(fd, told)
    writer.write("one\n")
    print("two \udce9 \u2192", file=writer)
    assert (tmp_path / "log").read_bytes() == "one\ntwo \\udce9 \u2192\n".encode()
    assert (writer.lost, told.lost) == (0, [])
    writer.close()
    os.close(fd)


def test_a_pipe_that_nobody_reads_is_not_waited_for() -> None:
    told = Told()
    source, sink = os.pipe()
    writer = LogWriter(sink, told)
    written = 2 * MOST_WAITING // len(LINE)
    for _ in range(written):
        writer.write(LINE)
    lost = writer.lost
    assert 0 < lost < written

    kept = (written - lost) * len(LINE)
    assert drain(source, lambda found: len(found) >= kept) == LINE.encode() * (written - lost)
    writer.write("again\n")
    assert told.event.wait(60)
    assert told.lost == [lost]
    assert drain(source, lambda found: found.endswith(b"\n")) == b"again\n"
    writer.close()
    os.close(sink)
    os.close(source)


def test_the_end_does_not_wait_for_a_stuck_pipe() -> None:
    source, sink = os.pipe()
    writer = LogWriter(sink, Told())
    for _ in range(MOST_WAITING // len(LINE) // 2):
        writer.write(LINE)
    writer.close()
    writer.write(LINE)
    assert writer.lost == 1, "after the end only what can be written at once is"
    threading.Thread(
        target=lambda: drain(source, lambda found: len(found) >= MOST_WAITING // 2 // 100 * 100)
    ).start()


def test_what_waits_is_written_before_the_end() -> None:
    source, sink = os.pipe()
    writer = LogWriter(sink, Told())
    reader = threading.Thread(target=drain, args=(source, lambda found: len(found) >= len(LINE) * 5000))
    for _ in range(5000):
        writer.write(LINE)
    reader.start()
    writer.close()
    reader.join(60)
    assert not reader.is_alive()
    assert writer.lost == 0


def test_a_full_disk_loses_lines_and_says_so(tmp_path: Path) -> None:
    told = Told()
    full, there = os.open("/dev/full", os.O_WRONLY), os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    fd = os.dup(full)
    writer = LogWriter(fd, told)
    writer.write("a\nb\n")
    assert (writer.lost, told.lost) == (2, [])
    os.dup2(there, fd)
    writer.write("c\n")
    assert (writer.lost, told.lost) == (2, [2])
    writer.close()


def test_a_closed_pipe_is_no_error() -> None:
    source, sink = os.pipe()
    writer = LogWriter(sink, Told())
    os.close(source)
    writer.write(LINE)
    assert writer.lost == 1
    writer.close()


@pytest.mark.parametrize("written", [LINE, LINE * 1000])
def test_long_and_short_lines_keep_their_order(written: str) -> None:
    source, sink = os.pipe()
    writer = LogWriter(sink, Told())
    found: list[bytes] = []
    whole = (LINE * 1000 + written + "end\n").encode()
    reader = threading.Thread(
        target=lambda: found.append(drain(source, lambda data: len(data) >= len(whole)))
    )
    reader.start()
    for text in (LINE * 1000, written, "end\n"):
        writer.write(text)
    reader.join(60)
    assert found == [whole]
    writer.close()
