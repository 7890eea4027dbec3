"""What must hold (issue 6), measured: ratios within one run. It tells; it asserts nothing."""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from bench.found import Run, median, number, values
from bench.programs import ADDED, BARE, ONE, STREAMING, STUB, TWO
from bench.scale import QUICK

_BASE = "1 KB, upstream"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that must hold.

    Attributes:
        value: as measured; NaN: not measured.
        bound: that it must keep.
        least: the bound is the least allowed, not the most.
    """

    what: str
    value: float
    bound: float
    least: bool = True
    unit: str = "times"

    @property
    def holds(self) -> bool | None:
        """None: not measured."""
        if math.isnan(self.value):
            return None
        return self.value >= self.bound if self.least else self.value <= self.bound

    def __str__(self) -> str:
        mark = {True: "holds", False: "FAILS", None: "not measured"}[self.holds]
        sign = "≥" if self.least else "≤"
        return f"- {mark}: {self.what}: {number(self.value)} {self.unit} (must be {sign} {self.bound:g})"


def lines(run: Run) -> Iterator[Line]:
    """Every line of the list."""

    def ratio(metric: str, over: str, under: str, work: str = _BASE, part: str = "plain") -> float:
        return median(run, part, work, over, metric) / median(run, part, work, under, metric)

    yield Line("`serve`, 1 KB: requests/s against bare mitmdump", ratio("rps", ONE, BARE), 1.4)
    yield Line(
        "`serve`, 1 KB: CPU a request against bare mitmdump", ratio("cpu_ms", ONE, BARE), 0.75, least=False
    )
    yield Line("`mitmdump -s`, 1 KB: requests/s against bare mitmdump", ratio("rps", ADDED, BARE), 0.95)
    yield Line("2 workers: CPU a request against 1 worker", ratio("cpu_ms", TWO, ONE), 1.1, least=False)
    for name in (ONE, ADDED):
        yield Line(
            f"2 MB, model read, {name}: requests/s against bare",
            ratio("rps", name, BARE, "2 MB, upstream"),
            0.9,
        )
        renamed = ratio("rps", name, BARE, "2 MB, LiteLLM, renamed")
        yield Line(f"2 MB, model rewritten, {name}: requests/s against bare", renamed, 0.8)
    yield from _large(run)
    yield from _streams(run)
    for name in (ONE, ADDED):
        for work in ("first event", "first event, held"):
            extra = median(run, "sse", work, name, "first") - median(run, "sse", work, STREAMING, "first")
            yield Line(f"SSE, {work}, {name}: later than bare by", extra, 1.0, least=False, unit="ms")
        many = ratio("chunks_per_s", name, STREAMING, "200 streams of 50 events a second", "sse")
        yield Line(f"SSE, 200 streams, {name}: events/s against bare", many, 0.95)
    for name in (ONE, ADDED):
        yield Line(
            f"a fallback's extra against a plain request's, {name}", _fallback(run, name), 2.0, least=False
        )
    yield from _peers(run)
    for name in (ONE, ADDED):
        yield Line(
            f"memory over the run's second half, {name}: grown by",
            _flat(run, name),
            5.0,
            least=False,
            unit="%",
        )


_AIMS = ((ONE, 2.2, _BASE), (ONE, 1.8, "1 KB, LiteLLM"), (ADDED, 1.0, "1 KB, LiteLLM"))


def _streams(run: Run) -> Iterator[Line]:
    """What issue 16 asks for: streams, small requests, and fallbacks."""
    metric = "cpu_ms_per_1000_chunks"
    for name, most in ((ONE, 0.5), (ADDED, 0.7)):
        for work in ("50 streams", "200 streams"):
            of_bare = median(run, "streams", work, STREAMING, metric)
            share = median(run, "streams", work, name, metric) / of_bare
            yield Line(f"{work}, {name}: CPU for an event against bare", share, most, least=False)
        many = [median(run, "streams", "1000 streams", who, "delay_p99") for who in (name, STREAMING)]
        yield Line(
            f"1000 streams, {name}: p99 of an event's delay against bare", many[0] / many[1], 1.0, least=False
        )
    for name, least, work in _AIMS:
        more = median(run, "plain", work, name, "rps") / median(run, "plain", work, BARE, "rps")
        yield Line(f"issue 16, {work}, {name}: requests/s against bare", more, least)
    for name in (ONE, ADDED):
        extra = _fallback(run, name)
        yield Line(f"issue 16, a fallback's extra against a plain request's, {name}", extra, 1.6, least=False)


def _large(run: Run) -> Iterator[Line]:
    for work in ("32 MB, upstream", "32 MB, LiteLLM, renamed"):
        for name in (ONE, ADDED):
            peak = max(values(run, "bodies", work, name, "peak_mb"), default=math.nan) - _idle(run, name)
            yield Line(
                f"{work}, {name}: peak memory, above idle, against the body", peak / 32, 4.0, least=False
            )
            small = work.replace("32 MB", "4 MB")
            slope = median(run, "bodies", work, name, "p50") / median(run, "bodies", small, name, "p50") / 8
            yield Line(f"{work}, {name}: time for a MB against 4 MB's (linear)", slope, 1.5, least=False)


def _idle(run: Run, name: str) -> float:
    """Memory at the smallest bodies, which come first."""
    works = run["parts"].get("bodies", {})
    return min(
        (rss for work in works for rss in values(run, "bodies", work, name, "rss_mb")), default=math.nan
    )


def _fallback(run: Run, name: str) -> float:
    """(fallback - both servers' own time) / (plain - the server's own time), the median of the rounds'.

    What a round compares was measured within two seconds: a shared machine has minutes in which all takes
    half as long again, and a median of each would take one of either.
    """
    plain, after_429 = (
        [values(run, "fallback", work, subject, "p50") for subject in (name, STUB)]
        for work in ("plain", "429, then LiteLLM")
    )
    rounds = zip(*plain, *after_429, strict=False)
    found = [(fallback - own - limits) / (alone - own) for alone, own, fallback, limits in rounds]
    return statistics.median(found) if found else math.nan


def _peers(run: Run) -> Iterator[Line]:
    works = run["parts"].get("peers", {})
    for work in ("1 KB", "90 KB"):
        for name in [name for name in works.get(work, {}) if name not in (BARE, ADDED, ONE, TWO)]:
            more = median(run, "peers", work, ONE, "rps") / median(run, "peers", work, name, "rps")
            yield Line(f"`serve` against {name}, {work}: requests/s", more, 1.0)
            later = median(run, "peers", work, ONE, "p99") / median(run, "peers", work, name, "p99")
            yield Line(f"`serve` against {name}, {work}: p99", later, 1.0, least=False)


def _flat(run: Run, name: str) -> float:
    """By how many percent memory grew from the middle of the long run to its end."""
    looks = [
        subjects[name]["rss_mb"][0]
        for subjects in run["parts"].get("length", {}).values()
        if name in subjects
    ]
    return (looks[-1] / looks[len(looks) // 2] - 1) * 100 if len(looks) > 1 else math.nan


def render(run: Run) -> str:
    """The list, as Markdown."""
    note = f" A quick run: {QUICK.seconds:g} s for each measurement." if run["quick"] else ""
    return "\n".join([f"What must hold, as measured on {run['date']}.{note}", "", *map(str, lines(run))])
