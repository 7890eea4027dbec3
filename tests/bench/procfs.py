"""CPU time and memory of processes and of everything that they have started, from /proc."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program has used.

    Attributes:
        cpu_ms: user and system time since the start, children that have ended included.
        rss_mb: resident memory now, MiB, of all its processes together.
        peak_mb: the most that was resident since the last `reset_peak`, MiB, the same way.
    """

    cpu_ms: float
    rss_mb: float
    peak_mb: float


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def _members(pids: Iterable[int]) -> set[int]:
    return {member for pid in pids for member in tree(pid)}


def usage(pids: Iterable[int]) -> Usage:
    """What the programs with these process ids have used; one that has ended counts as nothing."""
    cpu = rss = peak = 0.0
    for pid in _members(pids):
        with suppress(OSError):
            # The process's own clock, to the nanosecond: `clock_getcpuclockid` of man 3, as glibc makes its id.
            cpu += time.clock_gettime(~pid << 3 | 2) * 1000
            # Its children's behind the command's closing parenthesis: man 5 proc, fields 16 and 17 of `stat`.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu += sum(int(ticks) for ticks in fields[13:15]) * _TICK_MS
            status = Path(f"/proc/{pid}/status").read_text()
            rss += _kib(status, "VmRSS:")
            peak += _kib(status, "VmHWM:")
    return Usage(cpu, rss / 1024, peak / 1024)


def listeners(port: int) -> int:
    """How many sockets of IPv4 listen on a port (man 5 proc, `/proc/net/tcp`; state 0A is LISTEN)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def reset_peak(pids: Iterable[int]) -> None:
    """Let `Usage.peak_mb` begin anew (man 5 proc, `clear_refs`)."""
    for pid in _members(pids):
        with suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")


def _kib(status: str, name: str) -> float:
    line = next((line for line in status.splitlines() if line.startswith(name)), "")
    return float(line.split()[1]) if line else 0.0
