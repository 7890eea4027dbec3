"""What the documents show of a run: docs/speed.md, and the README's table."""

from bench import checklist, table
from bench.found import Run, median, number

_WORK, _STREAM = "1 KB", "SSE, first event"

_COLUMNS = (
    ("requests/s", _WORK, "rps"),
    ("p50, ms", _WORK, "p50"),
    ("p99, ms", _WORK, "p99"),
    ("CPU-ms a request", _WORK, "cpu_ms"),
    ("first event of a stream, ms", _STREAM, "first"),
    ("memory, MB", _WORK, "rss_mb"),
)

_PLOTS = (
    ("requests.png", "Requests a second, by size of the body and by where it goes"),
    ("cpu.png", "CPU time a request"),
    ("peers.png", "Requests a second beside other gateways"),
    ("peers-latency.png", "99th percentile beside other gateways"),
    ("bodies-time.png", "Time against body size"),
    ("bodies-memory.png", "Peak memory against body size"),
    ("streams-delay.png", "Delay of an event against streams at once"),
    ("streams-memory.png", "Memory against streams at once"),
    ("length-memory.png", "Memory over a run of 200,000 requests"),
)


def brief(run: Run) -> str:
    """The README's table: one work, everybody, medians."""
    lines = [
        f"| 1 KB, 8 clients | {' | '.join(title for title, _, _ in _COLUMNS)} |",
        f"|---|{'---:|' * len(_COLUMNS)}",
    ]
    for subject in run["parts"]["peers"][_WORK]:
        cells = (number(median(run, "peers", work, subject, metric)) for _, work, metric in _COLUMNS)
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    return "\n".join(lines)


def render(run: Run) -> str:
    """docs/speed.md."""
    plots = "\n\n".join(f"![{title}](bench/{file})" for file, title in _PLOTS)
    return f"""# Speed

Written by `./scripts/bench --page docs/bench/run.json`; [run.json](bench/run.json) has every round of the run, and
[tests/bench](../tests/bench/README.md) says who is measured, how, and what was tried to make it faster. For a run of
your own: `./scripts/bench`, or `./scripts/bench --quick`.

## What must hold

{checklist.render(run)}

## Plots

{plots}

## Tables

{table.render(run)}
"""
