#!/usr/bin/env python3
"""The soak: does anything get lost, doubled, mixed up or piled up, in a long run?

Two real `mitmdump -s addon/hybrid.py` stand between two servers and some clients. The traffic is plain,
streamed, routed, upstream's and replaced, with faults of the servers and clients that leave at every
stage. Their configuration changes all the time, and the disk that the second one logs to is full. Start it
with scripts/soak.
"""

import argparse
import asyncio
import itertools
import json
import random
import re
import resource
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from e2e.harness import Client, Stub
from faults.rig import WRONG
from faults.traffic import Tally, work
from support.processes import Process, hybrid_config, mitmdump
from support.servers import Server

GROWTH = 0.02
"""By how much memory and descriptors may grow from the second third to the last."""

WIDTH, HEIGHT = 60, 8


@dataclass(slots=True)
class Watch:
    """What a process holds, over time.

    Attributes:
        times: of the looks, on the monotonic clock.
        memory: resident, in MiB.
        files: open descriptors.
    """

    pid: int
    times: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)

    def look(self) -> None:
        """Take down one more."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        self.times.append(monotonic())
        self.memory.append(pages * 4096 / 2**20)
        self.files.append(float(self.open_files()))

    def open_files(self) -> int:
        """How many descriptors it has open now."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@dataclass(frozen=True, slots=True)
class Line:
    """A promise, and whether it was kept."""

    what: str
    found: str
    holds: bool


def growth(values: Sequence[float]) -> float:
    """By which part the mean of the last third is above that of the second."""
    third = len(values) // 3
    second, last = statistics.fmean(values[third : 2 * third]), statistics.fmean(values[-third:])
    return last / second - 1


def plot(title: str, times: Sequence[float], values: Sequence[float]) -> list[str]:
    """A plot of the means over time, from 0 up, in text."""
    begin, end = times[0], times[-1] + 1e-9
    columns: list[list[float]] = [[] for _ in range(WIDTH)]
    for time, value in zip(times, values, strict=True):
        columns[int((time - begin) / (end - begin) * WIDTH)].append(value)
    means: list[float] = []
    for column in columns:
        means.append(statistics.fmean(column) if column else (means or [0.0])[-1])
    top = max(means) or 1.0
    rows = []
    for row in range(HEIGHT, 0, -1):
        label = f"{top * row / HEIGHT:8.1f} " if row in (HEIGHT, HEIGHT // 2) else " " * 9
        rows.append(
            label + "│" + "".join("█" if mean >= top * (row - 0.5) / HEIGHT else " " for mean in means)
        )
    return [
        f"\n{title}",
        *rows,
        " " * 9 + "└" + "─" * WIDTH,
        f"{'0':>10}{f'{(end - begin) / 60:.1f} min':>{WIDTH}}",
    ]


async def run(arguments: argparse.Namespace, folder: Path) -> list[Line]:
    """Run it all, print what was seen, and judge."""
    tally = Tally()
    seconds = arguments.hours * 3600 or arguments.minutes * 60
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(Stub(tally.server("upstream")))
        litellm = await stack.enter_async_context(Stub(tally.server("litellm")))
        config = hybrid_config(litellm.url, models=["gpt-5"], fallback={"enabled": True})
        folders = [folder / "usual", folder / "full disk"]
        for made in folders:
            made.mkdir()
        proxies = [stack.enter_context(mitmdump(config, upstream.url, made)) for made in folders]
        await asyncio.to_thread(proxies[1].wait_for, "listening at")
        resource.prlimit(proxies[1].popen.pid, resource.RLIMIT_FSIZE, (0, 0))  # as if its disk were full
        watches = [Watch(proxy.popen.pid) for proxy in proxies]
        at_first = [watch.open_files() for watch in watches]
        start = monotonic()
        print(
            f"soak: {seconds / 60:g} minutes, {arguments.clients} clients, seed {arguments.seed}", flush=True
        )
        pause = arguments.clients / arguments.rate
        until = start + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(arguments.clients):
                port = proxies[number % len(proxies)].port
                group.create_task(work(port, tally, until, pause, arguments.seed + number))
            reloads = group.create_task(_change(config, folders))
            await _watch(watches, (upstream, litellm), tally, until, seconds)
            reloads.cancel()
        left = [await asyncio.to_thread(_left_open, *one) for one in zip(watches, at_first, strict=True)]
        lost = await _lines_lost(proxies[1].port)
        lines = judge(proxies[0], tally, watches, left, lost)
    report(tally, watches, start)
    return lines


async def _change(config: dict[str, Any], folders: Sequence[Path]) -> None:
    """Write other settings every few seconds, for good."""
    for count in itertools.count(1):
        await asyncio.sleep(5)
        settings = config["extensions"]["litellm"] | {"model-mappings": {"never-asked": f"m{count}"}}
        for folder in folders:
            (folder / "config.yaml").write_text(json.dumps({"extensions": {"litellm": settings}}))


async def _lines_lost(port: int) -> int:
    client = await Client.connect(port)
    page = (await client.ask("GET", "/_hybrid/metrics")).body.decode()
    await client.close()
    found = re.search(r"log_lines_lost_total (\d+)", page)
    return int(found[1]) if found else 0


async def _watch(
    watches: Sequence[Watch], servers: tuple[Server, ...], tally: Tally, until: float, seconds: float
) -> None:
    step = max(0.5, seconds / 1000)
    told = monotonic()
    while monotonic() < until:
        await asyncio.sleep(step)
        for watch in watches:
            watch.look()
        for server in servers:  # they keep what a test looks at
            server.requests.clear()
            server.connections[:] = server.open_connections
        if monotonic() - told > 60:
            told = monotonic()
            bad = len(tally.lost) + len(tally.doubled) + len(tally.mixed)
            print(
                f"soak: {tally.asked.total()} requests, {bad} wrong, "
                + ", ".join(f"{watch.memory[-1]:.0f} MiB, {watch.files[-1]:.0f} files" for watch in watches),
                flush=True,
            )


def _left_open(watch: Watch, at_first: int) -> int:
    """How many descriptors more than at first there still are, when all clients have left."""
    for _ in range(100):
        if watch.open_files() <= at_first:
            break
        sleep(0.1)
    return watch.open_files() - at_first


def judge(
    proxy: Process, tally: Tally, watches: Sequence[Watch], left: Sequence[int], lost: int
) -> list[Line]:
    """Whether each promise was kept."""
    wrong = [line for line in proxy.output().splitlines() if WRONG.search(line)]
    never = [
        f"{request} has not reached {' and '.join(servers)}" for request, servers in tally.pending.items()
    ]
    counted = {
        "lost": tally.lost + never,
        "doubled": tally.doubled,
        "mixed": tally.mixed,
        "unhandled exceptions in the log": wrong,
    }
    for found in counted.values():
        for one in found[:5]:
            print(f"soak: {one}", file=sys.stderr)
    reloads = proxy.output().count("never-asked")
    lines = [
        Line("requests", str(tally.asked.total()), holds=tally.asked.total() > 0),
        *(Line(what, str(len(found)), holds=not found) for what, found in counted.items()),
        Line(
            "sent once more, where a kept connection died", str(tally.sent_again), holds=tally.sent_again > 0
        ),
        Line("reloads", str(reloads), holds=reloads > 0),
        Line("lines lost to the full disk, by the metric", str(lost), holds=lost > 0),
    ]
    for name, watch, open_files in zip(("", ", full disk"), watches, left, strict=True):
        memory, files = growth(watch.memory), growth(watch.files)
        flat = files < _slack(watch.files)
        lines += [
            Line(f"memory, last third against second{name}", f"{memory:+.2%}", holds=memory < GROWTH),
            Line(f"descriptors, last third against second{name}", f"{files:+.2%}", holds=flat),
            Line(f"descriptors left open at the end{name}", str(open_files), holds=open_files <= 0),
        ]
    return lines


def _slack(files: Sequence[float]) -> float:
    # They follow the clients of the moment: what chance alone does to a mean of so few is no growth.
    return max(GROWTH, 2 / statistics.fmean(files))


def report(tally: Tally, watches: Sequence[Watch], start: float) -> None:
    """Print the numbers and the plots."""
    print()
    for name, count in sorted(tally.asked.items(), key=lambda item: -item[1]):
        print(f"  {name:26}{count:8}")
    took = sorted(seconds * 1000 for _, seconds in tally.latencies)
    if took:
        middle, high = took[len(took) // 2], took[len(took) * 99 // 100]
        print(f"\n  a plain answer took {middle:.1f} ms in the middle, {high:.1f} ms at p99")
        times = [at - start for at, _ in tally.latencies]
        pairs = sorted(zip(times, (seconds * 1000 for _, seconds in tally.latencies), strict=True))
        print("\n".join(plot("latency of plain answers, ms", *zip(*pairs, strict=True))))
    for watch in watches:
        print("\n".join(plot("resident memory of mitmdump, MiB", watch.times, watch.memory)))


def main() -> int:
    """Run the soak; 0 if everything holds."""
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description="A long run of mixed traffic with faults."
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--hours", type=float, default=0.0, help="how long, instead of --minutes")
    parser.add_argument("--clients", type=int, default=8, help="how many at once (default: 8)")
    parser.add_argument("--rate", type=float, default=40.0, help="requests per second, about (default: 40)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of what comes when")  # noqa: S311
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hybrid-soak-") as folder:
        lines = asyncio.run(run(arguments, Path(folder)))
    print()
    for line in lines:
        print(f"  {'ok  ' if line.holds else 'FAIL'}  {line.what:52}{line.found:>10}")
    return 0 if all(line.holds for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
