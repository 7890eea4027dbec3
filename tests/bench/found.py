"""Reading a run's file: medians, spreads, and ratios within the run."""

import math
import statistics
from typing import Any

type Run = dict[str, Any]


def values(run: Run, part: str, work: str, subject: str, metric: str) -> list[float]:
    """One value for each round; [] where there is none."""
    found = run["parts"].get(part, {}).get(work, {}).get(subject, {}).get(metric, [])
    return [value for value in found if not math.isnan(value)]


def median(run: Run, part: str, work: str, subject: str, metric: str) -> float:
    """The median of the rounds; NaN where there is none."""
    found = values(run, part, work, subject, metric)
    return statistics.median(found) if found else math.nan


def number(value: float) -> str:
    """Three digits or so; "-" for NaN."""
    if math.isnan(value):
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
