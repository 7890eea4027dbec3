import pytest

from litellm_hybrid.fallback.cooldowns import (
    HOUR,
    MOST_ENTRIES,
    UNKNOWN_FOR,
    Advice,
    Budget,
    Cooldowns,
    UnknownModels,
    cooldown_key,
)

KEY = cooldown_key("gpt-5", ("sk-client",))


# -- the budget ----------------------------------------------------------------


def test_a_budget_of_0_has_no_limit() -> None:
    budget = Budget()
    assert all(budget.spend(0, 0.0) for _ in range(10_000))


def test_a_budget_is_of_the_last_hour() -> None:
    budget = Budget()
    assert [budget.spend(2, now) for now in (0.0, 10.0, 20.0)] == [True, True, False]
    assert not budget.spend(2, HOUR - 0.1)
    assert budget.spend(2, HOUR)
    assert not budget.spend(2, HOUR + 9)
    assert budget.spend(2, HOUR + 10)


def test_what_is_refused_is_not_spent() -> None:
    budget = Budget()
    budget.spend(1, 0.0)
    assert not any(budget.spend(1, now) for now in (1.0, 2.0, 3.0))
    assert budget.spend(1, HOUR)


def test_a_smaller_budget_counts_what_was_spent() -> None:
    budget = Budget()
    assert all(budget.spend(5, 0.0) for _ in range(3))
    assert not budget.spend(2, 1.0)
    assert budget.spend(4, 1.0)


def test_an_empty_budget_is_news_once_an_hour() -> None:
    budget = Budget()
    assert [budget.is_news(now) for now in (0.0, 1.0, HOUR - 1, HOUR, HOUR + 1)] == [
        True,
        False,
        False,
        True,
        False,
    ]


# -- models that LiteLLM does not know -------------------------------------------


def test_an_unknown_model_is_known_to_be_for_a_minute() -> None:
    unknown = UnknownModels()
    assert not unknown.has("a", 0.0)
    unknown.add("a", 0.0)
    assert unknown.has("a", UNKNOWN_FOR - 0.1)
    assert not unknown.has("b", 0.0)
    assert not unknown.has("A", 0.0), "LiteLLM's names are case-sensitive"
    assert not unknown.has("a", UNKNOWN_FOR)


def test_unknown_models_are_forgotten_with_a_reload() -> None:
    unknown = UnknownModels()
    unknown.add("a", 0.0)
    unknown.clear()
    assert not unknown.has("a", 1.0)


def test_the_number_of_unknown_models_is_bounded() -> None:
    unknown = UnknownModels()
    for number in range(MOST_ENTRIES + 1):
        unknown.add(str(number), 0.0)
    assert not unknown.has("0", 1.0)
    assert unknown.has("1", 1.0)
    assert unknown.has(str(MOST_ENTRIES), 1.0)


# -- cooldowns ---------------------------------------------------------------------


def ask(cooldowns: Cooldowns, *times: float, key: tuple[str, str] = KEY) -> list[Advice]:
    return [cooldowns.ask(key, now) for now in times]


def test_a_cooldown() -> None:
    """Skip until it ends, then one probes and the others go on skipping."""
    cooldowns = Cooldowns()
    assert ask(cooldowns, 0.0) == [Advice.ASK_UPSTREAM]
    cooldowns.start(KEY, 90, 0.0)
    assert ask(cooldowns, 0.0, 89.9) == [Advice.SKIP_UPSTREAM] * 2
    assert ask(cooldowns, 90.0, 91.0, 900.0) == [Advice.PROBE, Advice.SKIP_UPSTREAM, Advice.SKIP_UPSTREAM]


def test_a_probe_that_is_served_ends_it() -> None:
    cooldowns = Cooldowns()
    cooldowns.start(KEY, 90, 0.0)
    ask(cooldowns, 90.0)
    cooldowns.clear(KEY)
    assert ask(cooldowns, 90.0) == [Advice.ASK_UPSTREAM]


def test_a_probe_that_tells_nothing_lets_the_next_probe() -> None:
    cooldowns = Cooldowns()
    cooldowns.start(KEY, 90, 0.0)
    ask(cooldowns, 90.0)
    cooldowns.release(KEY)
    assert ask(cooldowns, 91.0, 92.0) == [Advice.PROBE, Advice.SKIP_UPSTREAM]


def test_a_probe_that_is_refused_begins_anew() -> None:
    cooldowns = Cooldowns()
    cooldowns.start(KEY, 90, 0.0)
    ask(cooldowns, 90.0)
    cooldowns.start(KEY, 10, 91.0)
    assert ask(cooldowns, 100.9, 101.0) == [Advice.SKIP_UPSTREAM, Advice.PROBE]


@pytest.mark.parametrize("other", [("gpt-4", ("sk-client",)), ("gpt-5", ("sk-other",)), ("gpt-5", ())])
def test_a_cooldown_is_of_one_model_and_client_key(other: tuple[str, tuple[str, ...]]) -> None:
    cooldowns = Cooldowns()
    cooldowns.start(KEY, 90, 0.0)
    assert ask(cooldowns, 1.0, key=cooldown_key(*other)) == [Advice.ASK_UPSTREAM]
    assert ask(cooldowns, 1.0, key=cooldown_key("GPT-5", ("sk-client",))) == [Advice.SKIP_UPSTREAM]


def test_clearing_or_releasing_what_is_not_there() -> None:
    cooldowns = Cooldowns()
    cooldowns.clear(KEY)
    cooldowns.release(KEY)
    assert cooldowns.clear_all() == 0


def test_all_can_be_cleared() -> None:
    cooldowns = Cooldowns()
    cooldowns.start(KEY, 90, 0.0)
    cooldowns.start(cooldown_key("o3", ()), 90, 0.0)
    assert cooldowns.clear_all() == 2
    assert ask(cooldowns, 1.0) == [Advice.ASK_UPSTREAM]


def test_what_is_running() -> None:
    cooldowns = Cooldowns()
    cooldowns.start(KEY, 90, 0.0)
    cooldowns.start(cooldown_key("O3", ()), 10, 0.0)
    assert cooldowns.running(30.0) == (("gpt-5", 60.0), ("o3", 0.0))


def test_the_number_of_cooldowns_is_bounded() -> None:
    """The one that was begun longest ago goes first."""
    cooldowns = Cooldowns()
    keys = [cooldown_key(str(number), ()) for number in range(MOST_ENTRIES)]
    for key in keys:
        cooldowns.start(key, 90, 0.0)
    cooldowns.start(keys[0], 90, 1.0)
    cooldowns.start(KEY, 90, 2.0)
    assert ask(cooldowns, 3.0, key=keys[0]) == [Advice.SKIP_UPSTREAM]
    assert ask(cooldowns, 3.0, key=keys[1]) == [Advice.ASK_UPSTREAM]
    assert len(cooldowns.running(3.0)) == MOST_ENTRIES


def test_a_key_holds_no_credential() -> None:
    assert "sk-client" not in repr(KEY)
    assert cooldown_key("m", ("a", "b")) != cooldown_key("m", ("ab",))
    assert cooldown_key("m", ("\udcff",))  # a header's raw bytes
