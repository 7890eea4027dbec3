"""`/_hybrid/status`: what the process is doing and with which settings.

For a program it is data, for a person a page that keeps itself up to date and loads nothing from elsewhere:
status.html, and here what that is filled with.
"""

import base64
import dataclasses
import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litellm_hybrid.config.converters import format_duration
from litellm_hybrid.config.schema import DEFAULTS
from litellm_hybrid.observability.counters import NO_STATUS, SpendKey, Totals, rounded
from litellm_hybrid.observability.history import (
    FallbackOutcome,
    FallbackRecord,
    FallingBack,
    Reload,
    RequestRecord,
)
from litellm_hybrid.routing.rules import IN_UPSTREAMS_PLACE, Reason, Target
from litellm_hybrid.terminal import counted, printable

if TYPE_CHECKING:
    from jinja2 import Template


_SHORT = 12
"""The most characters that are shown of a request id; what tells ids of ours apart stands at their end."""

_TEMPLATE = Path(__file__).with_name("status.html").read_text(encoding="utf-8")


def _hash_of(element: str) -> str:
    text = _TEMPLATE.partition(f"\n<{element}>")[2].partition(f"</{element}>")[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src {_hash_of('style')}; script-src {_hash_of('script')}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's own style and script and nothing else, and nobody may put the page into a frame."""

_TONES = {
    FallbackOutcome.SERVED: "good",
    FallbackOutcome.NOT_ATTEMPTED: "warn",
    FallbackOutcome.RUNNING: "quiet",
}

type Day = tuple[date, str, list[tuple[SpendKey, Totals]]]
"""A day, in words what was served on it and what that cost, and both by model and reason."""


@dataclass(frozen=True, slots=True)
class ReplayChanges:
    """What LiteLLM's model has needed of replays, and the lines of its configuration instead."""

    model: str
    api: str
    changes: tuple[str, ...]
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SharedStatus:
    """What all processes that share their `state` know together.

    Attributes:
        store: `memory`, `sqlite` or `redis`.
        down_since: epoch seconds; None: the store serves.
        failures: of the store, as this process has met them.
        budget_spent: replays of the last hour, where `fallback.max-per-hour` counts them.
        replays_cost_usd: of this day (UTC).
        processes: what each of them does, at most some seconds old.
    """

    store: str = "memory"
    down_since: float | None = None
    failures: int = 0
    budget_spent: int = 0
    replays_cost_usd: float = 0.0
    processes: tuple[Mapping[str, Any], ...] = ()

    def total(self, name: str) -> int:
        """Add a number up over all processes."""
        return sum(int(one.get(name, 0)) for one in self.processes)


@dataclass(frozen=True, slots=True)
class Status:
    """All of it. Times are epoch seconds, durations seconds; what happened is in order, the oldest first.

    Attributes:
        worker: its name among several workers; "" if it is alone.
        not_ready: (reason, message) for each reason why it is not ready.
        file: the configuration file; "" if there is no valid configuration.
        since: since when its settings are in force.
        broken: whether it has an error now.
        settings: every setting in force, as people write it, secrets as `***`.
        streams: requests in flight whose response has begun and is passed on piece by piece.
        requests: (target, reason, status class) → how many have ended; of all workers.
        fallbacks: (kind, outcome) → how many have ended; of all workers.
        cooldowns: (model, seconds left) of each cooldown that runs; 0: the next request tries upstream.
        falling_back: the models that LiteLLM served last in upstream's place, the last one first.
        quotas: what upstream says: (model, window, share used, when it begins anew or None).
        spend: tokens and dollars of the last days, the last day first.
        servers: (`CLIProxyAPI` or `LiteLLM`, how it was when a request last went there), see `LastSeen`.
    """

    now: float
    started: float
    pid: int
    worker: str
    versions: Mapping[str, str]
    not_ready: tuple[tuple[str, str], ...]
    file: str
    since: float | None
    broken: bool
    last_reload: Reload | None
    settings: tuple[tuple[str, str], ...]
    in_flight: int
    streams: int
    held_bytes: int
    requests: Mapping[tuple[str, ...], int]
    fallbacks: Mapping[tuple[str, ...], int]
    recent: tuple[FallbackRecord, ...]
    cooldowns: tuple[tuple[str, float], ...]
    falling_back: tuple[FallingBack, ...] = ()
    replay_changes: tuple[ReplayChanges, ...] = ()
    quotas: tuple[tuple[str, str, float, float | None], ...] = ()
    recent_requests: tuple[RequestRecord, ...] = ()
    servers: tuple[tuple[str, str], ...] = ()
    spend: tuple[tuple[SpendKey, Totals], ...] = ()
    shared: SharedStatus = SharedStatus()

    @property
    def uptime(self) -> float:
        """How long the process has been running."""
        return max(0.0, self.now - self.started)

    @property
    def unserved(self) -> dict[str, str]:
        """The models whose last request failed upstream, and was not served by LiteLLM either: why not."""
        last = {one.model: one for one in self.recent_requests}
        why = {
            Reason.EXCEPTED: "fallback.except or another setting keeps it there",
            Reason.FALLBACK_FAILED: "the fallback failed",
        }
        return {
            model: f"{why[Reason(one.reason)]}{one.detail}"
            for model, one in last.items()
            if one.reason in why
        }

    @property
    def served_by_litellm(self) -> tuple[FallingBack, ...]:
        """What of `falling_back` LiteLLM still serves."""
        unserved = self.unserved
        return tuple(one for one in self.falling_back if one.model not in unserved)

    @property
    def status_classes(self) -> tuple[str, ...]:
        """Those that occur, `none` last."""
        return tuple(
            sorted({labels[2] for labels in self.requests}, key=lambda name: (name == NO_STATUS, name))
        )


def as_json(status: Status) -> dict[str, object]:
    """For programs."""
    return {
        "ready": not status.not_ready,
        "reasons": [{"reason": reason, "message": message} for reason, message in status.not_ready],
        "time": timestamp(status.now),
        "started": timestamp(status.started),
        "uptime_seconds": round(status.uptime, 3),
        "pid": status.pid,
        "worker": status.worker or None,
        "versions": dict(status.versions),
        "configuration": {
            "file": status.file or None,
            "in_force_since": timestamp(status.since) if status.since else None,
            "broken": status.broken,
            "last_reload": _reload(status.last_reload) if status.last_reload else None,
            "settings": dict(status.settings),
        },
        "requests_in_flight": status.in_flight,
        "streams_in_flight": status.streams,
        "held_bytes": status.held_bytes,
        "requests": _counts(("target", "reason", "status_class"), status.requests),
        "fallbacks": _counts(("kind", "outcome"), status.fallbacks),
        "recent_requests": [_dated(one) for one in reversed(status.recent_requests)],
        "spend": [
            {
                **key._asdict(),
                "day": key.day.isoformat(),
                **dataclasses.asdict(totals),
                "cost_usd": rounded(totals.cost_usd),
            }
            for key, totals in status.spend
        ],
        "spend_in_words": {day.isoformat(): words for day, words, _ in _days(status)},
        "servers": [{"name": name, "state": state} for name, state in status.servers],
        "recent_fallbacks": [_dated(one) for one in reversed(status.recent)],
        "quotas": [
            {"model": model, "window": window, "used": used, "resets_at": timestamp(at) if at else None}
            for model, window, used, at in status.quotas
        ],
        "falling_back": [
            {**dataclasses.asdict(one), "since": timestamp(one.since), "last": timestamp(one.last)}
            for one in status.served_by_litellm
        ],
        "unserved": [{"model": model, "why": why} for model, why in status.unserved.items()],
        "state": {
            **dataclasses.asdict(status.shared),
            "down_since": timestamp(status.shared.down_since) if status.shared.down_since else None,
            **{name: status.shared.total(name) for name in ("in_flight", "requests", "replays")},
        },
        "cooldowns": [{"model": model, "seconds_left": round(left, 1)} for model, left in status.cooldowns],
        "replay_changes": [dataclasses.asdict(one) for one in status.replay_changes],
    }


def timestamp(at: float) -> str:
    """Epoch seconds as `2026-01-31T12:00:00Z`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def versions() -> dict[str, str]:
    """Of what runs here, by name."""
    return {
        "litellm-hybrid": _version("litellm-hybrid"),
        "mitmproxy": _version("mitmproxy"),
        "Python": platform.python_version(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a checkout that nobody has installed
        return "unknown"


def _counts(names: tuple[str, ...], counts: Mapping[tuple[str, ...], int]) -> list[dict[str, object]]:
    return [{**dict(zip(names, labels, strict=True)), "count": counts[labels]} for labels in sorted(counts)]


def _reload(reload: Reload) -> dict[str, object]:
    return {"at": timestamp(reload.at), "result": reload.result, "lines": reload.lines}


def _dated(one: FallbackRecord | RequestRecord) -> dict[str, object]:
    return {**dataclasses.asdict(one), "at": timestamp(one.at)}


# -- the page -----------------------------------------------------------------------


def as_page(status: Status) -> bytes:
    """For people."""
    html = _template().render(
        status=status,
        served=sum(
            count for labels, count in status.fallbacks.items() if labels[1] == FallbackOutcome.SERVED
        ),
        days=_days(status),
        today=datetime.fromtimestamp(status.now, UTC).date(),
        routes=_routes(status),
        classes=[f"{'no response' if name == NO_STATUS else name}:number" for name in status.status_classes],
        tones=_TONES,
        defaults=DEFAULTS,
    )
    return html.encode()


@cache
def _template() -> "Template":
    from jinja2 import Environment  # noqa: PLC0415 (a tenth of a second, which only this page takes)

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_text)
    environment.filters |= {
        "bytes": lambda count: f"{count / 1024:,.0f} KiB" if count >= 1024 else f"{count} B",
        "clock": _clock,
        "count": lambda number: f"{number:,}",
        "dollars": dollars,
        "plural": lambda thing, number: thing if number == 1 else f"{thing}s",
        "duration": lambda seconds: format_duration(float(seconds)),
        "short": lambda text: text if len(text) <= _SHORT else f"…{text[1 - _SHORT :]}",
        "seconds": lambda milliseconds: f"{milliseconds / 1000:,.2f} s" if milliseconds is not None else "",
    }
    return environment.from_string(_TEMPLATE)


def _clock(at: float, shown: str = "%Y-%m-%d %H:%M:%S UTC") -> str:
    return datetime.fromtimestamp(at, UTC).strftime(shown)


def _text(value: object) -> object:
    """Make text harmless before it is escaped; other values, and the page's own pieces, stay."""
    return printable(value) if type(value) is str else value


def _days(status: Status) -> list[Day]:
    days: list[Day] = []
    for day, grouped in groupby(status.spend, key=lambda entry: entry[0].day):
        fallbacks, routed, upstream, entries = Totals(), Totals(), Totals(), list(grouped)
        for key, totals in entries:
            in_its_place = fallbacks if key.reason in IN_UPSTREAMS_PLACE else routed
            (in_its_place if key.target == Target.LITELLM else upstream).add(totals)
        words = [f"{counted(fallbacks.requests, 'fallback')}{_sums(fallbacks)}"]
        if routed.requests:
            words.append(f"{routed.requests:,} routed{_sums(routed)}")
        served = counted(upstream.requests, "request")
        words.append(f"the subscription served {served}{_sums(upstream, is_paid=False)}")
        days.append((day, "; ".join(words), entries))
    return days


def _sums(totals: Totals, *, is_paid: bool = True) -> str:
    """`, 1.2 M in, 41 k out, $0.83`; tokens as far as responses say them."""
    if not totals.requests:
        return ""
    unpriced = f", {totals.unpriced:,} without a price" if totals.unpriced else ""
    cost = f", {dollars(totals.cost_usd)}{unpriced}" if is_paid else ""
    return f", {_short(totals.input)} in, {_short(totals.output)} out{cost}"


def _short(number: int) -> str:
    """`41 k`, `1.2 M`."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.0f} {unit}" if number >= 10 * size else f"{number / size:.1f} {unit}"
    return str(number)


def dollars(amount: float) -> str:
    """`$1,234.50`, `$0.83`; of less than ten cents two digits that are not 0: `$0.00037`."""
    return f"${amount:,.2f}" if amount >= 0.1 or not amount else f"${amount:.2g}"


def _routes(status: Status) -> list[tuple[str, str, list[int]]]:
    """Return (target, reason, how many of each status class and of all)."""
    routes = []
    for target, reason in sorted({(labels[0], labels[1]) for labels in status.requests}):
        counts = [status.requests.get((target, reason, name), 0) for name in status.status_classes]
        routes.append((target, reason, [*counts, sum(counts)]))
    return routes
