"""`/_hybrid/status` for a person: one page that keeps itself up to date and loads nothing from elsewhere.

The page is status.html; here is what it is filled with.
"""

import base64
import hashlib
from datetime import UTC, date, datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from litellm_hybrid.config.converters import format_duration
from litellm_hybrid.config.schema import DEFAULTS
from litellm_hybrid.observability.counters import NO_STATUS, SpendKey, Totals
from litellm_hybrid.observability.history import FallbackOutcome
from litellm_hybrid.observability.status import Status
from litellm_hybrid.routing.rules import Target
from litellm_hybrid.terminal import printable

if TYPE_CHECKING:
    from jinja2 import Template

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

type Day = tuple[date, Totals, Totals, list[tuple[SpendKey, Totals]]]
"""A day, what LiteLLM and what upstream has served on it, and both by model and reason."""


def page(status: Status) -> bytes:
    """Return the whole page."""
    html = _template().render(
        status=status,
        served=sum(
            count for labels, count in status.fallbacks.items() if labels[1] == FallbackOutcome.SERVED
        ),
        days=_days(status),
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
        "dollars": lambda amount: f"${amount:,.2f}" if amount >= 1 else f"${amount:.2g}",
        "duration": lambda seconds: format_duration(float(seconds)),
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
        litellm, upstream, entries = Totals(), Totals(), list(grouped)
        for key, totals in entries:
            (litellm if key.target == Target.LITELLM else upstream).add(totals)
        days.append((day, litellm, upstream, entries))
    return days


def _routes(status: Status) -> list[tuple[str, str, list[int]]]:
    """Return (target, reason, how many of each status class and of all)."""
    routes = []
    for target, reason in sorted({(labels[0], labels[1]) for labels in status.requests}):
        counts = [status.requests.get((target, reason, name), 0) for name in status.status_classes]
        routes.append((target, reason, [*counts, sum(counts)]))
    return routes
