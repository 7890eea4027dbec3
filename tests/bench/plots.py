"""Draws the plots of a run, or some: `python plots.py RUN.json FOLDER [FILE …]`, in an environment that has Matplotlib.

It stands alone: nothing of this checkout is installed there.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found, unused-ignore]

mpl.use("Agg")
from matplotlib import pyplot as plt  # type: ignore[import-not-found, unused-ignore]

_COLOURS = {
    "mitmdump -q": "#8c8c8c",
    "mitmdump -q, streaming": "#8c8c8c",
    "mitmdump -q, addon": "#e69f00",
    "serve": "#0072b2",
    "serve, 2 workers": "#56b4e9",
    "LiteLLM": "#d55e00",
    "claude-code-router": "#cc79a7",
    "Portkey gateway": "#009e73",
    "ai-ccproxy": "#b8a200",
}
_LIMITS = ("stub, direct", "nginx")
_BARS = (
    (
        "requests",
        "plain",
        "rps",
        "requests/s",
        ("1 KB, upstream", "1 KB, LiteLLM", "90 KB, upstream", "2 MB, upstream", "2 MB, LiteLLM, renamed"),
    ),
    (
        "cpu",
        "plain",
        "cpu_ms",
        "CPU-ms a request",
        ("1 KB, upstream", "1 KB, LiteLLM", "90 KB, upstream", "2 MB, upstream", "2 MB, LiteLLM, renamed"),
    ),
    ("peers", "peers", "rps", "requests/s", ("1 KB", "90 KB")),
    ("peers-latency", "peers", "p99", "p99, ms", ("1 KB", "90 KB")),
)
_GROWTHS = (
    ("bodies-time", "bodies", "p50", "body, bytes", "median time, ms", "xy"),
    ("bodies-memory", "bodies", "peak_mb", "body, bytes", "peak memory, MB", "x"),
    ("streams-delay", "streams", "delay", "streams at once", "median delay of an event, ms", "x"),
    ("streams-cpu", "streams", "cpu_ms_per_1000_chunks", "streams at once", "CPU for an event, µs", "x"),
    ("streams-memory", "streams", "rss_mb", "streams at once", "memory, MB", ""),
    ("length-memory", "length", "rss_mb", "requests", "memory, MB", ""),
)


def _bars(works: dict[str, Any], metric: str, label: str, names: tuple[str, ...], file: Path) -> None:
    shown = [name for name in names if name in works]
    figure, panels = plt.subplots(1, len(shown), figsize=(2.6 * len(shown) + 1.6, 3.4), squeeze=False)
    for axes, name in zip(panels[0], shown, strict=True):
        subjects = [s for s in works[name] if s not in _LIMITS and works[name][s].get(metric)]
        middles = [statistics.median(works[name][s][metric]) for s in subjects]
        spread = [
            [m - min(works[name][s][metric]) for s, m in zip(subjects, middles, strict=True)],
            [max(works[name][s][metric]) - m for s, m in zip(subjects, middles, strict=True)],
        ]
        colours = [_COLOURS.get(s, "#000000") for s in subjects]
        axes.bar(subjects, middles, yerr=spread, color=colours, capsize=2)
        axes.set_title(name, fontsize=9)
        axes.tick_params(axis="x", rotation=60, labelsize=7)
        axes.tick_params(axis="y", labelsize=7)
        for tick in axes.get_xticklabels():
            tick.set_horizontalalignment("right")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel(label, fontsize=9)
    _save(figure, file)


def _lines(
    works: dict[str, Any], metric: str, texts: tuple[str, str], file: Path, *, logarithmic: str
) -> None:
    figure, axes = plt.subplots(figsize=(6, 3.6))
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for work, subjects in works.items():
        _, comma, goes = work.partition(", ")
        for subject, metrics in subjects.items():
            point = metrics["x"][0], statistics.median(metrics[metric])
            curves.setdefault((subject, goes if comma and metric else ""), []).append(point)
    for (subject, goes), points in curves.items():
        x, y = zip(*sorted(points), strict=True)
        style = "--" if "renamed" in goes else "-"
        label = f"{subject}: {goes}" if goes else subject
        axes.plot(x, y, style, marker="o", markersize=3, color=_COLOURS.get(subject, "#000000"), label=label)
    if "x" in logarithmic:
        axes.set_xscale("log")
    if "y" in logarithmic:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(texts[0], fontsize=9)
    axes.set_ylabel(texts[1], fontsize=9)
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, file)


def _save(figure: Any, file: Path) -> None:
    figure.tight_layout()
    figure.savefig(file, dpi=130, metadata={"Software": None})
    plt.close(figure)


def main(run: Path, folder: Path, files: list[str]) -> None:
    """Draw what the run has."""
    parts = json.loads(run.read_text())["parts"]
    for name, part, metric, label, works in _BARS:
        if part in parts and f"{name}.png" in (files or [f"{name}.png"]):
            _bars(parts[part], metric, label, works, folder / f"{name}.png")
    for name, part, metric, x, y, logarithmic in _GROWTHS:
        if part in parts and f"{name}.png" in (files or [f"{name}.png"]):
            _lines(parts[part], metric, (x, y), folder / f"{name}.png", logarithmic=logarithmic)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
