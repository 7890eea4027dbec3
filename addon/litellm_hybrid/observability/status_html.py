"""`/_hybrid/status` for a person: one page that keeps itself up to date and loads nothing from elsewhere."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from html import escape
from pathlib import Path

from litellm_hybrid.config.converters import format_duration
from litellm_hybrid.config.schema import DEFAULTS
from litellm_hybrid.observability.counters import NO_STATUS, SpendKey, Totals
from litellm_hybrid.observability.history import APPLIED, FallbackOutcome, FallbackRecord, RequestRecord
from litellm_hybrid.observability.status import Status, timestamp
from litellm_hybrid.routing.rules import Target
from litellm_hybrid.terminal import printable

_TEMPLATE = Path(__file__).with_name("status.html").read_text(encoding="utf-8")
_MAIN = "<!-- status -->"


def _hash_of(element: str) -> str:
    text = _TEMPLATE.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {_hash_of('style')}; script-src {_hash_of('script')}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's own style and script and nothing else, and nobody may put the page into a frame."""

_OUTCOMES = {
    FallbackOutcome.SERVED: "good",
    FallbackOutcome.NOT_ATTEMPTED: "warn",
    FallbackOutcome.RUNNING: "quiet",
}

type Cell = tuple[str, str]
"""A cell's text, and its classes."""


def page(status: Status) -> bytes:
    """Return the whole page."""
    of_all = "that have ended, of all workers" if status.worker else "that have ended"
    parts = (
        _header(status),
        _numbers(status),
        _section("Falling back now", _cooldowns(status)),
        _section("Spend", _spend(status), "by LiteLLM's own prices"),
        _section("Last requests", _recent_requests(status)),
        _section("Last fallbacks", _fallbacks(status)),
        _section("All requests", _requests(status), of_all),
        _section("Configuration", _configuration(status), status.file),
        _footer(status),
    )
    return _TEMPLATE.replace(_MAIN, "".join(parts)).encode()


def _header(status: Status) -> str:
    tone, state = ("bad", "not ready") if status.not_ready else ("good", "ready")
    pages = (("health", "health"), ("metrics", "metrics"), ("?format=json", "JSON"))
    links = "".join(f'<a href="{target}">{name}</a>' for target, name in pages)
    why = "".join(f"<li>{_text(message)}</li>" for _, message in status.not_ready)
    return (
        f'<header><h1>litellm-hybrid</h1><span class="pill {tone}">{state}</span><nav>{links}</nav></header>'
        + (f'<section class="bad"><ul>{why}</ul></section>' if why else "")
    )


def _numbers(status: Status) -> str:
    served = sum(count for labels, count in status.fallbacks.items() if labels[1] == FallbackOutcome.SERVED)
    held = status.held_bytes
    numbers = [
        (f"{sum(status.requests.values()):,}", "requests"),
        (f"{status.in_flight:,}", f"in flight, {status.streams:,} streaming"),
        (f"{sum(status.fallbacks.values()):,}", f"fallbacks, {served:,} served"),
        *((server.state, server.name) for server in status.servers),
        (f"{held / 1024:,.0f} KiB" if held >= 1024 else f"{held} B", "of responses held"),
        (format_duration(float(int(status.uptime))), "uptime"),
    ]
    cards = (f"<div><b>{_text(value)}</b><small>{_text(what)}</small></div>" for value, what in numbers)
    return f'<div class="numbers">{"".join(cards)}</div>'


def _recent_requests(status: Status) -> str:
    heads = (
        "Time (UTC), Model, Route, Status, First byte:number, Duration:number wide, Tokens:number wide, "
        "Cost:number wide, Why:wide, Request id:wide"
    )
    return _table(heads, map(_request, reversed(status.recent_requests)))


def _request(one: RequestRecord) -> Sequence[Cell]:
    failed = one.status is None or one.status >= 400
    model = one.model or f"{one.method} {one.path}"
    if one.litellm_model and one.litellm_model != one.model:
        model += f" → {one.litellm_model}"
    return (
        (datetime.fromtimestamp(one.at, UTC).strftime("%H:%M:%S"), ""),
        (model, "text"),
        (one.target, one.target),
        ("aborted" if one.status is None else str(one.status), "bad" if failed else ""),
        (_seconds(one.first_byte_ms), "number"),
        (_seconds(one.duration_ms), "number wide"),
        ("" if one.input_tokens is None else f"{one.input_tokens:,} + {one.output_tokens:,}", "number wide"),
        ("" if one.cost_usd is None else _dollars(one.cost_usd), "number wide"),
        (f"{one.reason}{one.detail}" + (f": {one.error}" if one.error else ""), "text wide"),
        (one.request_id, "wide quiet"),
    )


def _spend(status: Status) -> str:
    """Say for each day what both sides have served, and for the last one by model and reason."""
    days: dict[date, list[tuple[SpendKey, Totals]]] = {}
    for entry in status.spend:
        days.setdefault(entry[0].day, []).append(entry)
    heads = "Model, Why, Requests:number, In:number, Cached:number wide, Out:number, Cost:number"
    first, *others = [_day(day, entries) for day, entries in days.items()] or [""]
    rows = (_spent(*entry) for entry in next(iter(days.values()), []))
    return f"{first}{_table(heads, rows)}{''.join(others)}"


def _day(day: date, entries: Sequence[tuple[SpendKey, Totals]]) -> str:
    upstream, litellm = Totals(), Totals()
    for key, totals in entries:
        (litellm if key.target == Target.LITELLM else upstream).add(totals)
    unpriced = f", {litellm.unpriced:,} more without a price" if litellm.unpriced else ""
    return (
        f"<p>{day}: LiteLLM answered {litellm.requests:,}, {litellm.input:,} tokens in, "
        f"{litellm.output:,} out, <b>{_dollars(litellm.cost_usd)}</b>{unpriced}; "
        f"the subscription {upstream.requests:,}, {upstream.input:,} in, {upstream.output:,} out</p>"
    )


def _spent(key: SpendKey, totals: Totals) -> Sequence[Cell]:
    counts = (totals.requests, totals.input, totals.cached, totals.output)
    classes = ("number", "number", "number wide", "number")
    unknown = "not known" if totals.unpriced else ""
    return (
        (key.model, "text"),
        (f"{key.target}: {key.reason}", key.target),
        *((f"{count:,}", name) for count, name in zip(counts, classes, strict=True)),
        (_dollars(totals.cost_usd) if totals.cost_usd else unknown, "number"),
    )


def _cooldowns(status: Status) -> str:
    waits = (
        (model, format_duration(float(int(left))) if left else "the next request tries upstream")
        for model, left in status.cooldowns
    )
    rows = (((model, "text"), (wait, "")) for model, wait in waits)
    return _table("Model, Goes to LiteLLM without asking upstream for", rows, "No model is cooling down.")


def _fallbacks(status: Status) -> str:
    heads = "Time (UTC), Model, Kind, Upstream:wide, Retry after:wide, FallbackOutcome, Request id:wide"
    counts = sorted(status.fallbacks.items())
    summary = ", ".join(f"{count:,} {kind} {outcome}" for (kind, outcome), count in counts)
    table = _table(heads, map(_fallback, reversed(status.recent)))
    return table + (f"<small>All in all: {_text(summary)}</small>" if summary else "")


def _fallback(one: FallbackRecord) -> Sequence[Cell]:
    return (
        (datetime.fromtimestamp(one.at, UTC).strftime("%m-%d %H:%M"), ""),
        (one.model, "text"),
        (one.kind, ""),
        ("no response" if one.upstream_status is None else str(one.upstream_status), "wide"),
        ("" if one.retry_after is None else format_duration(one.retry_after), "wide"),
        (f"{one.outcome} ({one.why})" if one.why else str(one.outcome), _OUTCOMES.get(one.outcome, "bad")),
        (one.request_id, "wide quiet"),
    )


def _requests(status: Status) -> str:
    classes = status.status_classes
    rows = []
    for target, reason in sorted({labels[:2] for labels in status.requests}):
        counts = [status.requests.get((target, reason, name), 0) for name in classes]
        numbers = [(f"{count:,}" if count else "", "number") for count in (*counts, sum(counts))]
        rows.append([(target, target), (reason, "text"), *numbers])
    names = ("no response" if name == NO_STATUS else name for name in classes)
    return _table(", ".join(("Target", "Reason", *(f"{name}:number" for name in (*names, "All")))), rows)


def _configuration(status: Status) -> str:
    if not status.settings:
        return '<p class="bad">There is no valid configuration; the log says why.</p>'
    since = f"<p>In force since {_time(status.since)}.</p>" if status.since else ""
    rows = "".join(
        _row(((name, ""), (value, "text")), "quiet" if DEFAULTS.get(name) == value else "")
        for name, value in status.settings
    )
    settings = f'<details><summary>All settings</summary><table class="settings">{rows}</table></details>'
    return since + _last_reload(status) + settings


def _last_reload(status: Status) -> str:
    reload = status.last_reload
    if reload is None:
        return '<p class="quiet">The file has not changed since the start.</p>'
    tone, result = "good", "applied"
    if reload.result != APPLIED:
        tone, result = "bad", "rejected, the settings below are the last good ones"
    lines = "".join(f"<li>{_text(line)}</li>" for line in reload.lines) or "<li>nothing has changed</li>"
    return f'<p class="{tone}">Last reload {_time(reload.at)}: {result}</p><ul>{lines}</ul>'


def _footer(status: Status) -> str:
    versions = " · ".join(f"{name} {number}" for name, number in status.versions.items())
    who = f"process {status.pid}, started {_time(status.started)}"
    if status.worker:
        who += (
            f" · this is worker {status.worker} of several: requests and the number of fallbacks are of all "
            "of them, everything else is this worker's own"
        )
    return f'<p class="quiet">{_text(versions)} · {_text(who)}</p>'


def _section(title: str, content: str, note: str = "") -> str:
    small = f" <small>{_text(note)}</small>" if note else ""
    return f"<section><h2>{_text(title)}{small}</h2>{content}</section>"


def _table(heads: str, rows: Iterable[Sequence[Cell]], empty: str = "None yet.") -> str:
    """Return a table; `heads` are `Name` or `Name:classes`, with commas between them."""
    body = "".join(map(_row, rows))
    if not body:
        return f'<p class="quiet">{empty}</p>'
    named = (head.partition(":")[::2] for head in heads.split(", "))
    head = "".join(f'<th class="{_text(kind)}">{_text(name)}</th>' for name, kind in named)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(cells: Iterable[Cell], kind: str = "") -> str:
    inner = "".join(f'<td class="{_text(classes)}">{_text(text)}</td>' for text, classes in cells)
    return f'<tr class="{kind}">{inner}</tr>'


def _dollars(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.2g}"


def _seconds(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds / 1000:,.2f} s"


def _time(at: float) -> str:
    return timestamp(at).replace("T", " ").replace("Z", " UTC")


def _text(text: str) -> str:
    return escape(printable(text))
