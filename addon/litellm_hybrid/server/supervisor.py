"""Several processes on one port: starts them, restarts one that dies, has them drain.

Each worker is a process of its own. The numbers for `/_hybrid/metrics`, what they remember together unless
`state` says otherwise, and requests that LiteLLM may send back (`fallback/conversations.py`), are in a folder
that all of them read. Workers are process groups of their
own: Ctrl-C in a terminal reaches the supervisor alone, which has them drain. One whose supervisor is gone
drains too (`standalone.py`).
"""

import errno
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from litellm_hybrid.config.settings import host_port
from litellm_hybrid.observability import log
from litellm_hybrid.proxy import trust

CANNOT_START = 78
"""The exit code of a worker whose configuration or address is wrong (EX_CONFIG): so would another be."""

_PAUSE = 1.0
"""Seconds before a worker that died is replaced."""

_CHECK_EVERY = 0.1

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def check_sharing() -> None:
    """Make sure that several processes can listen on one port.

    Raises:
        OSError: the system has no SO_REUSEPORT.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise OSError("this system cannot share a port among processes (no SO_REUSEPORT): use workers: 1")


def check_free(host: str, port: int) -> None:
    """Make sure that nobody listens there yet: processes that share a port would start in silence.

    Raises:
        OSError: says who does.
    """
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(address)
            except OSError as e:
                if e.errno == errno.EADDRINUSE:
                    raise OSError(f"{host_port(host, port)} is taken by {_holder(port)}") from e
                # What else is wrong with the address is told by whoever really listens.


def _holder(port: int) -> str:
    """Name the process that listens on a port, where the system lets us."""
    with suppress(OSError):
        tables = [Path("/proc/net", name).read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
        fields = [line.split() for table in tables for line in table]
        # sl, local, remote, state (0A listens) … inode
        sockets = {
            f"socket:[{one[9]}]" for one in fields if one[3] == "0A" and one[1].endswith(f":{port:04X}")
        }
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if any(str(file.readlink()) in sockets for file in (process / "fd").iterdir()):
                    return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return "another program"


class Supervisor:
    """Keeps a number of workers running until a signal comes."""

    def __init__(self, command: Sequence[str], workers: int) -> None:
        """Make one; a worker's command ends in `--shared folder/name`: their folder, and its name."""
        self._command = list(command)
        self._wanted = workers
        self._workers: dict[Path, subprocess.Popen[bytes]] = {}
        self._missing: list[tuple[float, Path]] = []
        self._draining = False

    def run(self) -> int:
        """Run until the last worker has ended; the exit code.

        A worker that cannot start, because of a wrong configuration for instance, ends all.

        Raises:
            OSError: the workers' folder cannot be made.
        """
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._on_signal)
        code = 0
        with TemporaryDirectory(prefix=trust.temporary_prefix()) as folder:
            try:
                for name in range(1, self._wanted + 1):
                    if self._draining:
                        break
                    self._start(Path(folder, str(name)))
                while self._workers or self._missing:
                    time.sleep(_CHECK_EVERY)
                    code = max(code, self._look())
                    self._replace()
            finally:
                self._end_all()
        return code

    def _start(self, worker_dir: Path) -> None:
        command = [*self._command, "--shared", str(worker_dir)]
        worker = subprocess.Popen(command, process_group=0)  # noqa: S603 (our own)
        self._workers[worker_dir] = worker
        if self._draining:
            # A signal that came meanwhile has reached the others alone.
            worker.send_signal(signal.SIGTERM)

    def _look(self) -> int:
        from litellm_hybrid.observability import metrics  # noqa: PLC0415 (a tenth of a second, which only this command takes)

        worst = 0
        for worker_dir, worker in list(self._workers.items()):
            if (code := worker.poll()) is None:
                continue
            del self._workers[worker_dir]
            metrics.mark_worker_dead(worker_dir)
            if self._draining:
                # One that had not come to handle signals yet was ended by ours.
                worst = max(worst, int(code > 0))
            elif code == CANNOT_START:
                self._on_signal(signal.SIGTERM, None)
                worst = 1
            else:
                message = f"litellm: worker {worker.pid} ended with {code}: starting another"
                log.emit(logging.ERROR, message, event="worker-ended")
                self._missing.append((time.monotonic() + _PAUSE, worker_dir))
        return worst

    def _replace(self) -> None:
        if self._draining:
            self._missing.clear()
        while self._missing and self._missing[0][0] <= time.monotonic():
            _, worker_dir = self._missing.pop(0)
            self._start(worker_dir)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Have the workers drain; a second Ctrl-C ends them at once."""
        force = self._draining and number == signal.SIGINT
        self._draining = True
        for worker in self._workers.values():
            worker.send_signal(signal.SIGINT if force else signal.SIGTERM)

    def _end_all(self) -> None:
        for worker in self._workers.values():
            worker.kill()
        for worker in self._workers.values():
            worker.wait()


def worker_command(arguments: Sequence[str]) -> list[str]:
    """The command line of a worker with these arguments of `litellm-hybrid`."""
    return [sys.executable, "-m", "litellm_hybrid", *arguments]
