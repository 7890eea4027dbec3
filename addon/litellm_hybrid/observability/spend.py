"""Tokens and dollars: in all for metrics, and of the last days, by model and reason, for people."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple

DAYS = 7
"""How many days are remembered."""


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
    """

    def __init__(self) -> None:
        self.tokens: Counter[tuple[str, str, str]] = Counter()
        self.cost_usd: defaultdict[tuple[str], float] = defaultdict(float)
        self.unpriced: Counter[tuple[str]] = Counter()
        self._days: dict[SpendKey, Totals] = {}

    def key(self, at: float, target: str, model: str, reason: str) -> SpendKey:
        """Return what a request of a moment, in epoch seconds, is added to."""
        return SpendKey(datetime.fromtimestamp(at, UTC).date(), target, model, reason)

    def add(self, key: SpendKey, *, input_tokens: int, output_tokens: int, cached_tokens: int) -> None:
        """Count a response with its tokens."""
        self._of(key).add(Totals(1, input_tokens, output_tokens, cached_tokens))
        for kind, count in (("input", input_tokens), ("output", output_tokens), ("cached", cached_tokens)):
            self.tokens[key.target, key.model, kind] += count

    def add_cost(self, key: SpendKey, cost_usd: float | None) -> None:
        """Count what a response of LiteLLM's cost; None: there is no price for it."""
        if cost_usd is None:
            self.unpriced[(key.model,)] += 1
            self._of(key).unpriced += 1
        else:
            self.cost_usd[(key.reason,)] += cost_usd
            self._of(key).cost_usd += cost_usd

    def days(self) -> Iterator[tuple[SpendKey, Totals]]:
        """Give the sums of the last days, the last day first."""
        yield from sorted(self._days.items(), key=lambda item: (-item[0].day.toordinal(), item[0][1:]))

    def _of(self, key: SpendKey) -> Totals:
        if key not in self._days:
            self._days = {k: t for k, t in self._days.items() if (key.day - k.day).days < DAYS}
            self._days[key] = Totals()
        return self._days[key]
