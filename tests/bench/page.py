"""What docs/speed.md shows of a run."""

from bench import checklist
from bench.found import Run, median, number
from bench.programs import BARE, ONE

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


def _streams(run: Run) -> str:
    """CPU for an event, and its delay, by how many streams there are at once."""
    works = run["parts"]["streams"]
    shown = [work for work in ("10 streams", "50 streams", "200 streams", "1000 streams") if work in works]
    head = ["each 10 events a second", *(work.replace("1000", "1,000") for work in shown)]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * len(shown)}"]
    for subject in works[shown[0]]:
        cells = (_event(run, work, subject) for work in shown)
        lines.append(f"| {subject} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _event(run: Run, work: str, subject: str) -> str:
    cpu, delay, late = (
        number(median(run, "streams", work, subject, metric))
        for metric in ("cpu_ms_per_1000_chunks", "delay", "delay_p99")
    )
    return "-" if cpu == "-" else f"{cpu} µs · {delay} / {late}"


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

Streams: CPU for an event, in microseconds, and its delay, median / p99 in milliseconds. “mitmdump -q, streaming” has
`stream_large_bodies=1`: without it, mitmproxy keeps a stream back until its end.

{_streams(run)}

{plots}

Every round: [bench/run.json](bench/run.json); as tables `./scripts/bench --table docs/bench/run.json`, the ratios that must
hold `./scripts/bench --check docs/bench/run.json`. Who is measured, how, and what was tried: [tests/bench](../tests/bench/README.md).
A run of your own: `./scripts/bench`, or `./scripts/bench --quick`; `./scripts/bench --page FILE.json` writes this page.
"""


def _held(run: Run) -> str:
    lines = checklist.render(run).splitlines()
    held, missed = (sum(line.startswith(f"- {word}") for line in lines) for word in ("holds", "FAILS"))
    serve, bare = (median(run, "plain", "2 MB, upstream", name, "cpu_ms") for name in (ONE, BARE))
    long = f"A 2 MB body takes `serve` {number(serve / bare)} times mitmdump's CPU."
    return f"Of {held + missed} ratios that are to hold, {held} do. {long}"
