"""What goes through the proxy, counted in plain numbers: it costs each request a microsecond or two.

metrics.py and status.py read them when somebody asks. Requests, tokens and dollars are in all for metrics;
tokens and dollars also of the last days, by model and reason, for people.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from litellm_hybrid.config.settings import Patterns
from litellm_hybrid.routing.rules import IN_UPSTREAMS_PLACE, Reason, Target

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds in seconds: a cached response comes within the first, a long agent's turn ends in the last."""

OTHER = "other"
"""Stands for every model beyond those that are told apart."""

MOST_MODELS = 200
"""How many models are told apart in the life of a process, over all reloads; the rest are `other`."""

MALFORMED = "malformed"
"""The error class of what is not HTTP and never became a request."""

NO_STATUS = "none"
"""The status class of a request whose client was gone before a response began."""

DAYS = 7
"""Of how many days tokens and dollars are remembered."""

_EPOCH = date(1970, 1, 1).toordinal()

_CLASSES = (NO_STATUS, *(f"{hundreds}xx" for hundreds in range(1, 10)))
_MOST_REMEMBERED = 1000
_LONGEST_REMEMBERED = 200


def _status_class(status: int) -> str:
    # Without mitmproxy's validate_inbound_headers a server's status may be any number.
    return _CLASSES[max(0, min(status // 100, len(_CLASSES) - 1))]


class Histogram:
    """How many durations fell into which bucket.

    Attributes:
        counts: for each of `BUCKETS`, how many were longer than the bound before it and not longer than
            its own; at the end those beyond the last.
        total: the sum of all, in seconds.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class RequestCounters:
    """Counts requests from when they are decided on until they have ended.

    The proxy's own pages never come here: a scrape every few seconds would hide what the clients do.

    Attributes:
        streaming: how many of those in flight have a response that is passed on piece by piece.
        requests: (target, reason, status class) → how many have ended.
        models: (model, target) → how many of those named one.
        errors: (error class, target) → how many failures, of attempts that were replaced by another too.
        first_byte, duration: target → from the complete request to its response's beginning, and end.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.streaming = 0
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.models: Counter[tuple[str, str]] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.first_byte = {target.value: Histogram() for target in (Target.LITELLM, Target.UPSTREAM)}
        self.duration = {target.value: Histogram() for target in (Target.LITELLM, Target.UPSTREAM)}
        self._listed = Patterns()
        self._labels: dict[str, str] = {}
        self._distinct_models: set[str] = set()

    def list_models(self, entries: Iterable[str]) -> None:
        """Tell the models apart that these entries of the configuration match, names and globs."""
        self._listed = Patterns(entries)
        self._labels.clear()

    def request_ended(self, target: Target, reason: Reason, model: str | None, status: int | None) -> None:
        """Count a request that has ended; `status`: None if no byte of a response has reached the client."""
        status_class = NO_STATUS if status is None else _status_class(status)
        name = str(target)  # a plain text as `target.value` is, at a third of the cost
        self.requests[name, str(reason), status_class] += 1
        if model is not None:
            self.models[self.label(model), name] += 1

    def label(self, model: str) -> str:
        """Return what a model counts as: the entry that lists it, its name, or `other` beyond the most."""
        return self._labels.get(model) or self._label(model)

    def _label(self, model: str) -> str:
        label = self._listed.match(model) or (model if len(model) <= _LONGEST_REMEMBERED else OTHER)
        if label not in self._distinct_models and label != OTHER:
            if len(self._distinct_models) < MOST_MODELS:
                self._distinct_models.add(label)
            else:
                label = OTHER
        if len(model) <= _LONGEST_REMEMBERED:
            if len(self._labels) >= _MOST_REMEMBERED:
                self._labels.clear()
            self._labels[model] = label
        return label


def rounded(number: float) -> float:
    """Return it as it is written: 0.015, where adding up has made 0.015000000000000001 of it."""
    return float(f"{number:.12g}")


def day_of(at: float) -> date:
    """Return the day (UTC) of a moment in epoch seconds."""
    return date.fromordinal(_EPOCH + int(at // 86400))


class SpendKey(NamedTuple):
    """What is added up: a day (UTC), where requests went, their model and why."""

    day: date
    target: str
    model: str
    reason: str


@dataclass(slots=True)
class Totals:
    """The sums of some requests.

    Attributes:
        cached: tokens of the input that were read from a provider's cache.
        cost_usd: of those with a known price.
        unpriced: how many requests of LiteLLM's have no known price.
    """

    requests: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0

    def add(self, other: "Totals") -> None:
        """Add other sums to these."""
        self.requests += other.requests
        self.input += other.input
        self.output += other.output
        self.cached += other.cached
        self.cost_usd += other.cost_usd
        self.unpriced += other.unpriced


class Spend:
    """Adds up what responses took and cost.

    Attributes:
        tokens: (target, model, `input`, `output` or `cached`) → tokens.
        cost_usd: reason → US dollars, of responses of LiteLLM's.
        unpriced: model → responses of LiteLLM's without a known price.
        replayed: is told the day of a replay and what it has cost, in US dollars.
    """

    def __init__(self) -> None:
        self.tokens: Counter[tuple[str, str, str]] = Counter()
        self.cost_usd: defaultdict[tuple[str], float] = defaultdict(float)
        self.unpriced: Counter[tuple[str]] = Counter()
        self.replayed: Callable[[date, float], None] = lambda _day, _cost: None
        self._days: dict[SpendKey, Totals] = {}

    def key(self, at: float, target: str, model: str, reason: str) -> SpendKey:
        """Return what a request of a moment, in epoch seconds, is added to."""
        return SpendKey(day_of(at), target, model, reason)

    def answered(self, key: SpendKey) -> None:
        """Count a response, whatever it says of its tokens."""
        self._of(key).requests += 1

    def add(self, key: SpendKey, *, input_tokens: int, output_tokens: int, cached_tokens: int) -> None:
        """Count a response's tokens."""
        totals = self._of(key)
        totals.input += input_tokens
        totals.output += output_tokens
        totals.cached += cached_tokens
        for kind, count in (("input", input_tokens), ("output", output_tokens), ("cached", cached_tokens)):
            self.tokens[key.target, key.model, kind] += count

    def add_cost(self, key: SpendKey, cost_usd: float | None) -> None:
        """Count what a response of LiteLLM's cost; None: there is no price for it."""
        if cost_usd is None:
            self.unpriced[(key.model,)] += 1
            self._of(key).unpriced += 1
        else:
            self.cost_usd[(key.reason,)] += cost_usd
            if key.reason in IN_UPSTREAMS_PLACE:
                self.replayed(key.day, cost_usd)
            self._of(key).cost_usd += cost_usd

    def days(self) -> Iterator[tuple[SpendKey, Totals]]:
        """Give the sums of the last days, the last day first."""
        yield from sorted(self._days.items(), key=lambda item: (-item[0].day.toordinal(), item[0][1:]))

    def _of(self, key: SpendKey) -> Totals:
        if (totals := self._days.get(key)) is None:
            self._days = {k: t for k, t in self._days.items() if (key.day - k.day).days < DAYS}
            totals = self._days[key] = Totals()
        return totals
