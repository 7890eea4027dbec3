"""A signal to the supervisor reaches every worker, whenever it comes; the workers are tiny programs."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from litellm_hybrid.server import supervisor
from litellm_hybrid.server.supervisor import Supervisor

SLEEP = "import time; time.sleep(20)"
"""Ended by a signal, or with 0 much later."""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """What handled the signals before is what handles them after."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def _run(monkeypatch: pytest.MonkeyPatch, workers: int, *, first: str, signal_in: int) -> list[int | None]:
    """Have SIGTERM come within the start number `signal_in`; the exit codes of those started."""
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **more: Any) -> None:
            program = first if not started else SLEEP
            super().__init__([sys.executable, "-c", program, *command], **more)
            started.append(self)
            if len(started) == signal_in:
                signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    monkeypatch.setattr(supervisor, "_PAUSE", 0.0)
    assert Supervisor([], workers).run() == 0
    return [worker.returncode for worker in started]


def test_a_signal_while_the_first_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends, and no other is started."""
    assert _run(monkeypatch, 3, first=SLEEP, signal_in=1) == [-signal.SIGTERM]


def test_a_signal_while_the_last_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, 2, first=SLEEP, signal_in=2) == [-signal.SIGTERM] * 2


def test_a_signal_while_another_takes_a_dead_ones_place(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = _run(monkeypatch, 1, first="raise SystemExit(3)", signal_in=2)
    assert ended == [3, -signal.SIGTERM]
