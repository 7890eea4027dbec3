"""Tokens and dollars, in all and by day."""

from litellm_hybrid.observability.spend import DAYS, Spend, SpendKey, Totals

DAY = 86_400.0


def _spend(spend: Spend, at: float, reason: str = "fallback") -> SpendKey:
    key = spend.key(at, "litellm", "gpt-5", reason)
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
