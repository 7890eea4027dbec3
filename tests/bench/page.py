"""What docs/speed.md shows of a run."""

from bench import checklist
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

PLOTS = (
    ("peers.png", "Requests a second beside other gateways"),
    ("streams-delay.png", "Delay of an event against streams at once"),
)


def _brief(run: Run) -> str:
    """One work, everybody, medians."""
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
    plots = "\n\n".join(f"![{title}](bench/{file})" for file, title in PLOTS)
    machine = run["machine"]
    return f"""# Speed

`./scripts/bench` puts everybody in front of the same stub, in turn, in one run, and compares medians of the rounds.
This one was made on {run["date"].partition(" ")[0]} on {machine["cpu"]}, {machine["cores"]} cores.

{_brief(run)}

“mitmdump -q” is mitmproxy without this addon. The other gateways do other work on the way: LiteLLM counts cost,
claude-code-router translates. {_held(run)}

{plots}

Every round of the run: [bench/run.json](bench/run.json); as tables `./scripts/bench --table docs/bench/run.json`, the
ratios that must hold `./scripts/bench --check docs/bench/run.json`. Who is measured, how, and what was tried to make
it faster: [tests/bench](../tests/bench/README.md). For a run of your own: `./scripts/bench`, or
`./scripts/bench --quick`; `./scripts/bench --page` writes this page.
"""


def _held(run: Run) -> str:
    lines = checklist.render(run).splitlines()
    held, missed = (sum(line.startswith(f"- {word}") for line in lines) for word in ("holds", "FAILS"))
    return f"Of {held + missed} ratios that are to hold (CPU, memory, delay, peers), {held} do."
