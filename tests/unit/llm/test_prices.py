"""What responses cost, by LiteLLM's `/model/info`."""

from typing import Any

import pytest

from litellm_hybrid.llm.prices import Price, PriceList
from litellm_hybrid.llm.usage import Usage


def _entry(name: str, deployment: str, **info: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {}, "model_info": {"id": deployment, **info}}


SONNET = {
    "input_cost_per_token": 3e-06,
    "output_cost_per_token": 15e-06,
    "cache_read_input_token_cost": 3e-07,
    "cache_creation_input_token_cost": 3.75e-06,
}
PLAIN = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "cache_read_input_token_cost": None}


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(1000, 100), 0.0045),
        (Usage(1000, 100, 900), 0.3e-3 + 0.27e-3 + 1.5e-3),
        (Usage(1000, 100, 0, 1000), 3.75e-3 + 1.5e-3),
        (Usage(0, 0), 0.0),
    ],
)
def test_of_a_response(usage: Usage, cost: float) -> None:
    price = PriceList({"data": [_entry("sonnet", "a", **SONNET)]}).find("sonnet")
    assert price
    assert price.of(usage) == pytest.approx(cost)


def test_a_cache_without_a_price_of_its_own_costs_as_much_as_the_rest() -> None:
    assert PriceList({"data": [_entry("m", "a", **PLAIN)]}).find("m") == Price(1e-06, 2e-06, 1e-06, 1e-06)


def test_the_deployment_tells_more_than_the_name() -> None:
    prices = PriceList({"data": [_entry("m", "a", **PLAIN), _entry("m", "b", **SONNET)]})
    assert prices.find("m", "a") == Price(1e-06, 2e-06, 1e-06, 1e-06)
    assert prices.find("m", "b") != prices.find("m", "a")
    assert prices.find("m") is None, "which of them has answered is not known"
    assert prices.find("m", "c") is None


@pytest.mark.parametrize(
    "info",
    [
        None,
        [],
        {"data": None},
        {"data": [None, {"model_name": "m"}, {"model_name": "m", "model_info": []}]},
        {"data": [_entry("m", "a")]},
        {"data": [_entry("m", "a", input_cost_per_token=0, output_cost_per_token=0.0)]},
        {"data": [_entry("m", "a", input_cost_per_token="1", output_cost_per_token=-1)]},
        {"data": [_entry("m", "a", **PLAIN), _entry("m", "b")]},
    ],
)
def test_nothing_is_guessed(info: object) -> None:
    assert PriceList(info).find("m") is None
