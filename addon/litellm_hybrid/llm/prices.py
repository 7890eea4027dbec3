"""What tokens cost, by the prices that LiteLLM itself goes by: its `GET /model/info`."""

from collections.abc import Mapping
from typing import NamedTuple

from litellm_hybrid.llm.usage import Usage


class Price(NamedTuple):
    """US dollars per token."""

    input: float
    output: float
    cached: float
    cache_written: float

    def of(self, usage: Usage) -> float:
        """Return what a response cost."""
        plain = max(0, usage.input - usage.cached - usage.cache_written)
        return (
            plain * self.input
            + usage.cached * self.cached
            + usage.cache_written * self.cache_written
            + usage.output * self.output
        )


class PriceList:
    """The prices of LiteLLM's deployments, by their id and by the model's name."""

    def __init__(self, info: object = None) -> None:
        """Read `{"data": [{"model_name": …, "model_info": {"id": …, "input_cost_per_token": …}}]}`."""
        self._by_id: dict[str, Price] = {}
        by_name: dict[str, set[Price | None]] = {}
        data = info.get("data") if isinstance(info, Mapping) else None
        for entry in data if isinstance(data, list) else ():
            details = entry.get("model_info") if isinstance(entry, Mapping) else None
            if not isinstance(details, Mapping):
                continue
            price = _price(details)
            by_name.setdefault(str(entry.get("model_name")), set()).add(price)
            if price is not None:
                self._by_id[str(details.get("id"))] = price
        # Of deployments that cost different amounts only the id tells which it was.
        self._by_name = {name: prices.pop() for name, prices in by_name.items() if len(prices) == 1}

    def find(self, model: str, deployment: str = "") -> Price | None:
        """Return a model's price, None where LiteLLM knows none: nothing is guessed.

        Args:
            model: LiteLLM's name for it.
            deployment: LiteLLM's id of what has answered, "" if it has not said.
        """
        return self._by_id.get(deployment) or self._by_name.get(model)


def _price(details: Mapping[str, object]) -> Price | None:
    plain, output = _number(details, "input_cost_per_token"), _number(details, "output_cost_per_token")
    if plain is None or output is None or not (plain or output):
        return None  # LiteLLM says 0 of a model that it has no price for
    cached = _number(details, "cache_read_input_token_cost")
    written = _number(details, "cache_creation_input_token_cost")
    return Price(plain, output, plain if cached is None else cached, plain if written is None else written)


def _number(details: Mapping[str, object], name: str) -> float | None:
    value = details.get(name)
    return float(value) if isinstance(value, int | float) and value >= 0 else None
