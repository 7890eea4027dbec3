"""One measurement, and rounds of them: every subject in turn, so that a busy moment of the machine hits all."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench import procfs
from bench.load import Load, Result
from bench.programs import Subject, python_environment

type Sample = dict[str, float]
"""Metric → value: `rps`, `p50`, `p99`, `first`, `delay` (ms), `cpu_ms` (a request), `rss_mb` and so on."""

type Measure = Callable[[Subject], Sample]

type Samples = dict[str, dict[str, list[float]]]
"""Subject → metric → one value for each round."""

_LUA = """
local file = io.open(os.getenv("BENCH_BODY"), "rb")
wrk.method = "POST"
wrk.path = os.getenv("BENCH_PATH")
wrk.body = file:read("*a")
for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^:\\n]+): ([^\\n]*)") do wrk.headers[name] = value end
done = function(summary, latency)
  local e = summary.errors
  print(string.format("RESULT %d %d %d %f %f", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


def percentile(values: Iterable[float], percent: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan


def run_load(load: Load) -> Result:
    """Run the load generator in its own process.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"],
        input=json.dumps(asdict(load)).encode(),
        capture_output=True,
        env=python_environment(),
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the load generator failed:\n{done.stderr.decode()}")
    return Result(**json.loads(done.stdout))


def sample(subject: Subject, load: Load) -> Sample:
    """Send this load, and see what it costs the subject."""
    before = procfs.usage(subject.pids)
    result = run_load(load)
    after = procfs.usage(subject.pids)
    count = len(result.times)
    if not count:
        print(f"  {subject.name}: no good answer: {result.error[:300]!r}", file=sys.stderr)  # noqa: T201
    found = {
        "rps": count / result.took if result.took else math.nan,
        "p50": percentile(result.times, 50),
        "p99": percentile(result.times, 99),
        "cpu_ms": (after.cpu_ms - before.cpu_ms) / count if count else math.nan,
        "rss_mb": after.rss_mb,
        "peak_mb": after.peak_mb,
        "grown_mb": after.peak_mb - before.rss_mb,
        "errors": float(result.errors),
    }
    if result.firsts:
        found["first"] = percentile(result.firsts, 50)
        found["first_p99"] = percentile(result.firsts, 99)
        found["delay"] = percentile(result.delays, 50)
        found["delay_p99"] = percentile(result.delays, 99)
        found["chunks_per_s"] = len(result.delays) / result.took
        found["cpu_ms_per_1000_chunks"] = (after.cpu_ms - before.cpu_ms) / len(result.delays) * 1000
    return found


def wrk(subject: Subject, load: Load, folder: Path) -> Sample:
    """The same with wrk, which costs less; whole seconds, keep-alive, and no look at the answers' heads."""
    head, _, content = Path(load.file).read_bytes().partition(b"\r\n\r\n")
    first, _, fields = head.decode().partition("\r\n")
    script, body = folder / "wrk.lua", folder / "wrk.body"
    script.write_text(_LUA)
    body.write_bytes(content)
    fields = "\n".join(line for line in fields.split("\r\n") if not line.startswith("Content-Length"))
    env = {"BENCH_BODY": str(body), "BENCH_PATH": first.split(" ")[1], "BENCH_HEADERS": fields}
    command = ["wrk", "-t1", f"-c{load.clients}", f"-d{round(load.seconds)}s", "--timeout", "30s"]
    command += ["-s", str(script), f"http://127.0.0.1:{load.port}"]
    before = procfs.usage(subject.pids)
    done = subprocess.run(command, capture_output=True, env=env, check=True, text=True)
    after = procfs.usage(subject.pids)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    requests, microseconds, errors, p50, p99 = map(float, line.split()[1:])
    good = max(1.0, requests - errors)
    return {
        "rps": good / microseconds * 1e6,
        "p50": p50 / 1000,
        "p99": p99 / 1000,
        "cpu_ms": (after.cpu_ms - before.cpu_ms) / good,
        "rss_mb": after.rss_mb,
        "errors": errors,
    }


def has_wrk() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def rounds(count: int, subjects: Sequence[Subject], measure: Measure) -> Samples:
    """Measure every subject `count` times in turn, each round in another order."""
    return interleaved(count, subjects, {"": measure})[""]


def interleaved(count: int, subjects: Sequence[Subject], works: Mapping[str, Measure]) -> dict[str, Samples]:
    """The same of several works that are compared with each other: a subject does all of them in turn."""
    found: dict[str, Samples] = {name: {subject.name: {} for subject in subjects} for name in works}
    for number in range(count):
        turn = number % len(subjects)
        for subject in [*subjects[turn:], *subjects[:turn]]:
            for name, measure in works.items():
                for metric, value in measure(subject).items():
                    found[name][subject.name].setdefault(metric, []).append(value)
    return found
