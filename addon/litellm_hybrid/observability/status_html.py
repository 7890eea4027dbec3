"""`/_hybrid/status` for a person: one page of HTML without scripts, and with nothing from elsewhere."""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from litellm_hybrid.config.durations import format_duration
from litellm_hybrid.config.report import DEFAULTS
from litellm_hybrid.observability.history import APPLIED, FallbackRecord, Outcome
from litellm_hybrid.observability.status import Status, timestamp
from litellm_hybrid.observability.status_css import STYLE
from litellm_hybrid.terminal import printable

_TONES = {
    Outcome.SERVED: "good",
    Outcome.FAILED: "bad",
    Outcome.ABORTED: "bad",
    Outcome.NOT_ATTEMPTED: "warn",
    Outcome.RUNNING: "quiet",
}


def page(status: Status) -> bytes:
    """The whole page."""
    parts = (
        _header(status),
        _numbers(status),
        _section("Requests", _requests(status), "that have ended, of all workers" if status.worker else ""),
        _section("Recent fallbacks", _recent(status), "the last first"),
        _section("Cooldowns", _cooldowns(status)),
        _section("Configuration", _configuration(status), status.file),
        _footer(status),
    )
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>litellm-hybrid: status</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>"
    )
    return text.encode()


def _header(status: Status) -> str:
    ready = not status.not_ready
    pill = f'<span class="pill {"good" if ready else "bad"}">{"ready" if ready else "not ready"}</span>'
    why = "".join(f"<li>{_text(message)}</li>" for _, message in status.not_ready)
    links = (
        '<nav><a href="health">health</a><a href="metrics">metrics</a><a href="?format=json">JSON</a></nav>'
    )
    head = f"<header><h1>litellm-hybrid</h1>{pill}{links}</header>"
    return head + (f'<section class="bad"><ul>{why}</ul></section>' if why else "")


def _numbers(status: Status) -> str:
    fallbacks = sum(status.fallbacks.values())
    served = sum(n for labels, n in status.fallbacks.items() if labels[1] == Outcome.SERVED)
    numbers = (
        (format_duration(float(int(status.uptime))), "uptime"),
        (f"{sum(status.requests.values()):,}", "requests"),
        (f"{status.in_flight:,}", f"in flight, {status.streams:,} streaming"),
        (f"{fallbacks:,}", f"fallbacks, {served:,} served"),
        (_bytes(status.held_bytes), "of answers held"),
    )
    cards = "".join(
        f"<div><b>{_text(value)}</b><small>{_text(what)}</small></div>" for value, what in numbers
    )
    return f'<section class="numbers">{cards}</section>'


def _requests(status: Status) -> str:
    if not status.requests:
        return _none("None yet.")
    classes = status.status_classes
    routes = sorted({labels[:2] for labels in status.requests})
    rows = []
    for target, reason in routes:
        counts = [status.requests.get((target, reason, name), 0) for name in classes]
        numbers = "".join(_number(f"{count:,}" if count else "") for count in (*counts, sum(counts)))
        shown = f'<td class="{_text(target)}">{_text(target)}</td><td>{_text(reason)}</td>'
        rows.append(f"<tr>{shown}{numbers}</tr>")
    return _table(("Target", "Reason"), rows, numbers=(*(_class_name(name) for name in classes), "All"))


def _class_name(status_class: str) -> str:
    return "no answer" if status_class == "none" else status_class


def _recent(status: Status) -> str:
    kinds: Counter[str] = Counter()
    for (kind, outcome), count in status.fallbacks.items():
        kinds[f"{kind} {outcome}"] += count
    if not status.recent:
        return _none("None.")
    rows = [_replayed(replayed) for replayed in reversed(status.recent)]
    heads = ("Time (UTC)", "Model", "Kind", "Upstream", "Retry after", "Outcome", "Request id")
    summary = ", ".join(f"{count:,} {name}" for name, count in sorted(kinds.items()))
    return _table(heads, rows) + (f"<p><small>All in all: {_text(summary)}</small></p>" if summary else "")


def _replayed(replayed: FallbackRecord) -> str:
    upstream = "no answer" if replayed.upstream_status is None else str(replayed.upstream_status)
    wait = "" if replayed.retry_after is None else format_duration(replayed.retry_after)
    outcome = f"{replayed.outcome} ({replayed.why})" if replayed.why else str(replayed.outcome)
    return (
        f"<tr>{_cells((_time(replayed.at).removesuffix(' UTC'),))}{_name(replayed.model)}"
        f"{_cells((replayed.kind, upstream, wait))}"
        f'<td class="{_TONES[replayed.outcome]}">{_text(outcome)}</td>'
        f"<td><code>{_text(replayed.request_id)}</code></td></tr>"
    )


def _cooldowns(status: Status) -> str:
    if not status.cooldowns:
        return _none("No model is cooling down.")
    waits = ((model, format_duration(float(int(left))) if left else "") for model, left in status.cooldowns)
    rows = [
        f"<tr>{_name(model)}{_cells((left or 'the next request tries upstream',))}</tr>"
        for model, left in waits
    ]
    return _table(("Model", "Goes straight to LiteLLM for"), rows)


def _configuration(status: Status) -> str:
    if not status.settings:
        return '<p class="bad">There is no valid configuration; the log says why.</p>'
    since = f"<p>In force since {_time(status.since)}.</p>" if status.since else ""
    rows = [
        f'<tr class="{"default" if DEFAULTS.get(name) == value else "set"}">{_cells((name, value))}</tr>'
        for name, value in status.settings
    ]
    return f'{since}{_last_reload(status)}<table class="settings">{"".join(rows)}</table>'


def _last_reload(status: Status) -> str:
    reload = status.last_reload
    if reload is None:
        return '<p class="quiet">The file has not changed since the start.</p>'
    if reload.result == APPLIED:
        said, tone = f"Last reload {_time(reload.at)}: applied", "good"
    else:
        said, tone = (
            f"Last reload {_time(reload.at)}: rejected, the settings below are the last good ones",
            "bad",
        )
    lines = "".join(f"<li><code>{_text(line)}</code></li>" for line in reload.lines)
    return f'<p class="{tone}">{_text(said)}</p><ul>{lines or "<li>nothing has changed</li>"}</ul>'


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
    small = f"<small>{_text(note)}</small>" if note else ""
    return f"<section><h2>{_text(title)}{small}</h2>{content}</section>"


def _table(heads: Sequence[str], rows: Iterable[str], numbers: Sequence[str] = ()) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    head += "".join(f'<th class="number">{_text(name)}</th>' for name in numbers)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td>{_text(value)}</td>" for value in values)


def _name(text: str) -> str:
    """A cell with a text of any length."""
    return f'<td class="name">{_text(text)}</td>'


def _number(text: str) -> str:
    return f'<td class="number">{_text(text)}</td>'


def _none(text: str) -> str:
    return f'<p class="quiet">{_text(text)}</p>'


def _time(at: float) -> str:
    return timestamp(at).replace("T", " ").replace("Z", " UTC")


def _bytes(count: int) -> str:
    return f"{count / 1024:,.0f} KiB" if count >= 1024 else f"{count} B"


def _text(text: str) -> str:
    return escape(printable(text))
