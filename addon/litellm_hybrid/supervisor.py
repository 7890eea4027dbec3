"""Several processes on one port: starts them, restarts one that dies, passes signals on.

Each worker is a process of its own that knows nothing of the others: cooldowns,
budgets and remembered conversations are a worker's own.
"""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from litellm_hybrid import log

_STEADY = 5.0
"""A worker that has run for so long, in seconds, had a good start."""

_LOOK_EVERY = 0.1


class Supervisor:
    """Keeps a number of workers running until a signal comes."""

    def __init__(self, command: Sequence[str], workers: int) -> None:
        """Make one.

        Args:
            command: what starts a worker.
            workers: how many of them.
        """
        self._command = list(command)
        self._wanted = workers
        self._workers: list[tuple[subprocess.Popen[bytes], float]] = []
        self._leaving = False

    def run(self) -> int:
        """Run until the last worker has ended; the exit code.

        A worker that ends by itself soon after its start, over a wrong configuration for instance, ends all.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)
        code = 0
        try:
            for _ in range(self._wanted):
                self._start()
            while self._workers:
                time.sleep(_LOOK_EVERY)
                code = max(code, self._look())
        finally:
            self._end_all()
        return code

    def _start(self) -> None:
        self._workers.append((subprocess.Popen(self._command), time.monotonic()))  # noqa: S603 (our own)

    def _look(self) -> int:
        worst = 0
        for worker, since in list(self._workers):
            code = worker.poll()
            if code is None:
                continue
            self._workers.remove((worker, since))
            if self._leaving:
                worst = max(worst, abs(code))
            elif time.monotonic() - since < _STEADY and code > 0:
                log.emit(logging.ERROR, f"litellm: a worker ended with {code} at its start: giving up")
                self._pass_on(signal.SIGTERM, None)
                worst = code
            else:
                log.emit(logging.ERROR, f"litellm: worker {worker.pid} ended with {code}: starting another")
                self._start()
        return worst

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        self._leaving = True
        for worker, _ in self._workers:
            worker.send_signal(number)

    def _end_all(self) -> None:
        for worker, _ in self._workers:
            worker.kill()
        for worker, _ in self._workers:
            worker.wait()


def worker_command(arguments: Sequence[str]) -> list[str]:
    """The command line of a worker with these arguments of `litellm-hybrid`."""
    return [sys.executable, "-m", "litellm_hybrid", *arguments]
