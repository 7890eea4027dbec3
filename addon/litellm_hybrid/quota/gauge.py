"""How much of a quota is used, by what upstream's good responses say of it, and what that was lately.

Anthropic says it of a subscription in `anthropic-ratelimit-unified-{window}-utilization` and `-reset` (Claude
Code reads them), OpenAI in `x-codex-{primary,secondary}-used-percent` and in an event `codex.rate_limits`
(codex-rs, codex-api/src/rate_limits.rs), others in `x-ratelimit-remaining-{what}` and `-limit-`. CLIProxyAPI
passes the headers on with `passthrough-headers: true`.
"""

import math
import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from litellm_hybrid.message.json import decode, members

EVENT = "codex.rate_limits"

LATELY = 300.0
"""Seconds for which a reading counts: it is one account's, and there may be others."""

_MODELS_MAX = 500
_READINGS_MAX = 1000
_LONGEST = 200
_OF_EVENT = ("used_percent", "reset_at", "reset_after_seconds")
_PREFIXES = (b"anthropic-ratelimit-unified-", b"x-codex-", b"x-ratelimit-")
_HEADERS = (
    re.compile(r"anthropic-ratelimit-unified-(?P<window>[\w.]{1,20})-(?P<what>utilization|reset)"),
    re.compile(r"x-codex-(?P<window>primary|secondary)-(?P<what>used-percent|reset-at|reset-after-seconds)"),
    re.compile(r"x-ratelimit-(?P<what>remaining|limit)-(?P<window>[\w-]{1,40})"),
)


class Window(NamedTuple):
    """A quota, as upstream says it.

    Attributes:
        name: such as `5h`, `7d`, `primary`, `requests`.
        used: which share of it is used; 1.0 is all of it.
        resets_at: when it begins anew, epoch seconds; None: it does not say.
    """

    name: str
    used: float
    resets_at: float | None = None


def read_headers(fields: Iterable[tuple[bytes, bytes]], now: float) -> tuple[Window, ...]:
    """Read a response's headers, names in any case; `now`: epoch seconds."""
    said: dict[str, dict[str, float]] = {}
    for raw, value in fields:
        if not raw.lower().startswith(_PREFIXES):
            continue
        name, number = raw.decode("latin-1").lower(), _number(value.decode("latin-1"))
        found = next(filter(None, (header.fullmatch(name) for header in _HEADERS)), None)
        if found is not None and number is not None:
            said.setdefault(found["window"], {})[found["what"]] = number
    return tuple(window for name, each in said.items() if (window := _window(name, each, now)) is not None)


def read_event(data: str, now: float) -> tuple[Window, ...]:
    """Read the data of an event `codex.rate_limits`; `now`: epoch seconds."""
    limits = members(members(decode(data)).get("rate_limits"))
    windows = []
    for name in ("primary", "secondary"):
        each = members(limits.get(name))
        numbers = {key.replace("_", "-"): _number(str(each.get(key))) for key in _OF_EVENT}
        windows.append(_window(name, {what: n for what, n in numbers.items() if n is not None}, now))
    return tuple(window for window in windows if window is not None)


def _window(name: str, said: dict[str, float], now: float) -> Window | None:
    if "utilization" in said:
        return Window(name, said["utilization"], said.get("reset"))
    if "used-percent" in said:
        after = said.get("reset-after-seconds")
        return Window(
            name, said["used-percent"] / 100, said.get("reset-at", None if after is None else now + after)
        )
    if said.get("limit") and "remaining" in said:
        return Window(name, max(0.0, 1 - said["remaining"] / said["limit"]))
    return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    windows: tuple[Window, ...]

    def used(self, now: float) -> float:
        """The fullest window; one that has begun anew since is empty."""
        running = (w.used for w in self.windows if w.resets_at is None or w.resets_at > now)
        return max(running, default=0.0)


class Gauge:
    """The readings of the last minutes, by model. Times are epoch seconds."""

    def __init__(self) -> None:
        self._readings: OrderedDict[str, deque[_Reading]] = OrderedDict()

    def note(self, model: str, windows: tuple[Window, ...], now: float) -> None:
        """Remember what a response of a model's said."""
        model = model[:_LONGEST].lower()
        readings = self._readings.setdefault(model, deque(maxlen=_READINGS_MAX))
        readings.append(_Reading(now, windows))
        while readings[0].at < now - LATELY:
            readings.popleft()
        self._readings.move_to_end(model)
        if len(self._readings) > _MODELS_MAX:
            self._readings.popitem(last=False)

    def note_event(self, model: str, data: str, now: float) -> None:
        """Remember what an event of a response says, see `read_event`."""
        if windows := read_event(data, now):
            self.note(model, windows, now)

    def used(self, model: str, now: float) -> float | None:
        """Return the lowest share that a response of the last five minutes said; None: none said any."""
        readings = self._readings.get(model[:_LONGEST].lower(), ())
        return min((each.used(now) for each in readings if each.at >= now - LATELY), default=None)

    def last(self) -> Iterator[tuple[str, Window]]:
        """Give each model's last reading, window by window."""
        for model, readings in self._readings.items():
            for window in readings[-1].windows:
                yield model, window
