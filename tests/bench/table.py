"""A run as Markdown tables: medians, and the lowest and highest of the rounds."""

from collections.abc import Sequence

from bench.found import Run, median, number, values

_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "plain": (
        ("requests/s", "rps"),
        ("p50, ms", "p50"),
        ("p99, ms", "p99"),
        ("CPU-ms a request", "cpu_ms"),
        ("memory, MB", "rss_mb"),
    ),
    "sse": (
        ("first event, ms", "first"),
        ("p99, ms", "first_p99"),
        ("events/s", "chunks_per_s"),
        ("delay of an event, ms", "delay"),
        ("CPU-ms for 1,000 events", "cpu_ms_per_1000_chunks"),
    ),
    "peers": (
        ("requests/s", "rps"),
        ("p50, ms", "p50"),
        ("p99, ms", "p99"),
        ("first event, ms", "first"),
        ("CPU-ms a request", "cpu_ms"),
        ("memory, MB", "rss_mb"),
    ),
    "bodies": (("p50, ms", "p50"), ("CPU-ms a request", "cpu_ms"), ("memory grown by, MB", "grown_mb")),
    "streams": (
        ("first event, ms", "first"),
        ("delay of an event, ms", "delay"),
        ("p99, ms", "delay_p99"),
        ("events/s", "chunks_per_s"),
        ("CPU-ms for 1,000 events", "cpu_ms_per_1000_chunks"),
        ("memory, MB", "rss_mb"),
    ),
    "length": (("requests/s", "rps"), ("memory, MB", "rss_mb")),
}
_TITLES = {
    "plain": "POSTs over kept connections (8 clients; 2 MB: 4)",
    "connections": "A new connection for each request (8 clients)",
    "zstd": "Compressed bodies (8 clients)",
    "sse": "Streams",
    "fallback": "Fallback (1 client)",
    "peers": "Beside other gateways (8 clients; SSE: 1)",
    "bodies": "Growth: body size (1 client)",
    "streams": "Growth: streams at once",
    "length": "Growth: length of run",
}


def render(run: Run) -> str:
    """Every part of the run that there is."""
    machine = run["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}"
    versions = f"Python {machine['python']}, mitmproxy {machine['mitmproxy']}"
    kind = "a quick run" if run["quick"] else "a full run"
    lines = [f"Measured on {run['date']}, {kind}: {where}; {versions}. Medians (lowest to highest round)."]
    lines += [f"\n{note}" for note in run.get("notes", ())]
    for part, works in run["parts"].items():
        columns = _COLUMNS.get(part, _COLUMNS["plain"])
        lines += ["", f"**{_TITLES[part]}**", "", *_head(columns)]
        for work, subjects in works.items():
            lines += [_row(run, part, work, subject, columns) for subject in subjects]
    skipped = [f"{name}: {why.splitlines()[0]}" for name, why in run["skipped"].items()]
    return "\n".join([*lines, *(["", "Left out: " + "; ".join(skipped)] if skipped else [])])


def _head(columns: Sequence[tuple[str, str]]) -> list[str]:
    names = ["", "", *(title for title, _ in columns)]
    return [f"| {' | '.join(names)} |", f"|{'---|' * 2}{'---:|' * len(columns)}"]


def _row(run: Run, part: str, work: str, subject: str, columns: Sequence[tuple[str, str]]) -> str:
    cells = [_cell(run, part, work, subject, metric) for _, metric in columns]
    errors = sum(values(run, part, work, subject, "errors"))
    note = f" ({errors:.0f} errors)" if errors else ""
    return f"| {work} | {subject}{note} | {' | '.join(cells)} |"


def _cell(run: Run, part: str, work: str, subject: str, metric: str) -> str:
    found = values(run, part, work, subject, metric)
    middle = number(median(run, part, work, subject, metric))
    if len(found) < 3 or metric == "rss_mb":
        return middle
    return f"{middle} ({number(min(found))} to {number(max(found))})"
