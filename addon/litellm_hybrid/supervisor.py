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

CANNOT_START = 78
"""The exit code of a worker whose configuration or address is wrong (EX_CONFIG): so would another be."""

_PAUSE = 1.0
"""Seconds before a worker that died is replaced."""

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
        self._workers: list[subprocess.Popen[bytes]] = []
        self._missing: list[float] = []
        self._leaving = False

    def run(self) -> int:
        """Run until the last worker has ended; the exit code.

        A worker that cannot start, because of a wrong configuration for instance, ends all.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)
        code = 0
        try:
            for _ in range(self._wanted):
                self._start()
            while self._workers or self._missing:
                time.sleep(_LOOK_EVERY)
                code = max(code, self._look())
                self._replace()
        finally:
            self._end_all()
        return code

    def _start(self) -> None:
        self._workers.append(subprocess.Popen(self._command))  # noqa: S603 (our own)

    def _look(self) -> int:
        worst = 0
        for worker in [worker for worker in self._workers if worker.poll() is not None]:
            self._workers.remove(worker)
            code = worker.returncode
            if self._leaving:
                # One that had not come to handle signals yet was ended by ours.
                worst = max(worst, int(code > 0))
            elif code == CANNOT_START:
                self._pass_on(signal.SIGTERM, None)
                worst = 1
            else:
                log.emit(logging.ERROR, f"litellm: worker {worker.pid} ended with {code}: starting another")
                self._missing.append(time.monotonic() + _PAUSE)
        return worst

    def _replace(self) -> None:
        if self._leaving:
            self._missing.clear()
        while self._missing and self._missing[0] <= time.monotonic():
            self._missing.pop(0)
            self._start()

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        self._leaving = True
        for worker in self._workers:
            worker.send_signal(number)

    def _end_all(self) -> None:
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.wait()


def worker_command(arguments: Sequence[str]) -> list[str]:
    """The command line of a worker with these arguments of `litellm-hybrid`."""
    return [sys.executable, "-m", "litellm_hybrid", *arguments]
