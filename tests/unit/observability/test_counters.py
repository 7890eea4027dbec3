"""What is counted of a request."""

import pytest

from litellm_hybrid.observability.counters import (
    BUCKETS,
    DAYS,
    MOST_MODELS,
    Histogram,
    RequestCounters,
    Spend,
    SpendKey,
    Totals,
)
from litellm_hybrid.routing.rules import Reason, Target


def _run(counters: RequestCounters, model: str | None = "gpt-5", status: int | None = 200) -> None:
    counters.request_ended(Target.LITELLM, Reason.MODEL, model, status)


@pytest.mark.parametrize(
    ("status", "status_class"),
    [
        (101, "1xx"),
        (200, "2xx"),
        (299, "2xx"),
        (429, "4xx"),
        (999, "9xx"),
        (1000, "9xx"),
        (-1, "none"),
        (None, "none"),
    ],
)
def test_a_status_has_a_class(status: int | None, status_class: str) -> None:
    """With mitmproxy's checks of responses switched off, any number comes through."""
    counters = RequestCounters()
    _run(counters, status=status)
    assert counters.requests == {("litellm", "model", status_class): 1}


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (0.05, 0), (0.0501, 1), (600.0, len(BUCKETS) - 1), (601.0, len(BUCKETS))],
)
def test_a_bucket_includes_its_bound(seconds: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.add(seconds)
    assert histogram.counts.index(1) == bucket


def test_a_model_counts_as_the_entry_that_lists_it_or_by_its_name() -> None:
    counters = RequestCounters()
    counters.list_models(["gpt-5", "claude-*"])
    for model in ("GPT-5", "gpt-5(high)", "claude-opus-4", "o3", "x" * 300, None):
        _run(counters, model)

    assert counters.models == {
        ("gpt-5", "litellm"): 2,
        ("claude-*", "litellm"): 1,
        ("o3", "litellm"): 1,
        ("other", "litellm"): 1,
    }
    assert "x" * 300 not in counters._labels


def test_a_reload_lists_others() -> None:
    counters = RequestCounters()
    counters.list_models(["gpt-5"])
    _run(counters)
    counters.list_models(["o3"])
    _run(counters)
    _run(counters, "o3")

    assert counters.models == {("gpt-5", "litellm"): 2, ("o3", "litellm"): 1}


def test_the_number_of_models_is_bounded_over_reloads() -> None:
    counters = RequestCounters()
    for number in range(MOST_MODELS + 10):
        counters.list_models([f"m-{number}"])
        _run(counters, f"m-{number}")
    # one that has its label already keeps it
    counters.list_models(["m-0"])
    _run(counters, "m-0")

    assert len(counters.models) == MOST_MODELS + 1
    assert counters.models["other", "litellm"] == 10
    assert counters.models["m-0", "litellm"] == 2


def test_clients_cannot_fill_the_memory() -> None:
    counters = RequestCounters()
    for number in range(3000):
        _run(counters, f"m-{number}")
    assert len(counters._labels) <= 1000
    assert len(counters.models) == MOST_MODELS + 1
    assert counters.models["other", "litellm"] == 3000 - MOST_MODELS


DAY = 86_400.0


def _spend(spend: Spend, at: float, reason: str = "fallback") -> SpendKey:
    key = spend.key(at, "litellm", "gpt-5", reason)
    spend.answered(key)
    spend.add(key, input_tokens=100, output_tokens=10, cached_tokens=60)
    return key


def test_what_is_added_up() -> None:
    spend = Spend()
    for cost in (0.5, 0.25, None):
        spend.add_cost(_spend(spend, 0.0), cost)
    spend.add_cost(_spend(spend, 0.0, "model"), 1.0)

    assert spend.tokens == {
        ("litellm", "gpt-5", "input"): 400,
        ("litellm", "gpt-5", "output"): 40,
        ("litellm", "gpt-5", "cached"): 240,
    }
    assert spend.cost_usd == {("fallback",): 0.75, ("model",): 1.0}
    assert spend.unpriced == {("gpt-5",): 1}
    assert [(key.reason, totals) for key, totals in spend.days()] == [
        ("fallback", Totals(3, 300, 30, 180, 0.75, 1)),
        ("model", Totals(1, 100, 10, 60, 1.0, 0)),
    ]


def test_the_last_day_comes_first_and_old_ones_are_forgotten() -> None:
    spend = Spend()
    for day in range(DAYS + 3):
        _spend(spend, day * DAY)
    days = [key.day for key, _ in spend.days()]
    assert len(days) == DAYS
    assert days == sorted(days, reverse=True)
    assert spend.tokens["litellm", "gpt-5", "input"] == (DAYS + 3) * 100
