"""What is remembered between requests, apart from conversations."""

import pytest

from litellm_hybrid.fallback.response_hold import JudgedResponse, ResponseHead
from litellm_hybrid.fallback.shared_state import SharedState
from litellm_hybrid.fallback.state import (
    HOUR,
    Budget,
    Cooldowns,
    CooldownState,
    FallbackState,
    cooldown_key,
)


def test_a_budget_of_0_has_no_limit() -> None:
    budget = Budget(SharedState())
    assert all(budget.spend(0, 0.0) for _ in range(10_000))


def test_a_budget_is_of_the_last_hour() -> None:
    budget = Budget(SharedState())
    assert [budget.spend(2, now) for now in (0.0, 10.0, 20.0)] == [True, True, False]
    assert not budget.spend(2, HOUR - 0.1)
    assert budget.spend(2, HOUR)
    assert not budget.spend(2, HOUR + 9)
    assert budget.spend(2, HOUR + 10)


def test_what_is_refused_is_not_spent() -> None:
    budget = Budget(SharedState())
    budget.spend(1, 0.0)
    assert not any(budget.spend(1, now) for now in (1.0, 2.0, 3.0))
    assert budget.spend(1, HOUR)


def test_a_smaller_budget_counts_what_was_spent() -> None:
    budget = Budget(SharedState())
    assert all(budget.spend(5, 0.0) for _ in range(3))
    assert not budget.spend(2, 1.0)
    assert budget.spend(4, 1.0)


@pytest.mark.parametrize("why", ["no price", "no price for " + "m" * 500])
def test_an_exhausted_budget_is_logged_once_an_hour_and_reason(why: str) -> None:
    budget = Budget(SharedState())
    assert [budget.should_log_exhausted(why, now) for now in (0.0, 1.0, HOUR - 1, HOUR, HOUR + 1)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert budget.should_log_exhausted("the $2 of this day are spent", HOUR + 1)


def test_what_is_held_is_counted() -> None:
    state, head = FallbackState(), ResponseHead(200, {"content-type": "application/json"})
    one, other = (JudgedResponse(head, since=0.0, hold_max=1.0, fails=lambda _: True) for _ in range(2))
    state.held |= {one, other}
    one.body += b"12345"
    other.body += b"6789"
    assert state.held_bytes == 9
    state.held.discard(one)
    assert state.held_bytes == 4


# -- cooldowns --


KEY = cooldown_key("gpt-5", ("sk-client",))


def ask(cooldowns: Cooldowns, *times: float, key: tuple[str, str] = KEY) -> list[CooldownState]:
    return [cooldowns.ask(key, now) for now in times]


def test_a_cooldown_waits_for_its_probe() -> None:
    """However late the next request comes: a single one finds out whether upstream serves again."""
    cooldowns = Cooldowns(SharedState())
    cooldowns.start(KEY, 90, 0.0)
    month = 30 * 24 * HOUR
    assert cooldowns.running(month) == (("gpt-5", 0.0),)
    assert ask(cooldowns, month, month) == [CooldownState.HALF_OPEN, CooldownState.OPEN]


def test_a_cooldown() -> None:
    """Skip until it ends, then one probes and the others go on skipping."""
    cooldowns = Cooldowns(SharedState())
    assert ask(cooldowns, 0.0) == [CooldownState.CLOSED]
    cooldowns.start(KEY, 90, 0.0)
    assert ask(cooldowns, 0.0, 89.9) == [CooldownState.OPEN] * 2
    assert ask(cooldowns, 90.0, 91.0, 900.0) == [
        CooldownState.HALF_OPEN,
        CooldownState.OPEN,
        CooldownState.OPEN,
    ]


def test_a_probe_that_is_served_ends_it() -> None:
    cooldowns = Cooldowns(SharedState())
    cooldowns.start(KEY, 90, 0.0)
    ask(cooldowns, 90.0)
    cooldowns.clear(KEY, 90.0)
    assert ask(cooldowns, 90.0) == [CooldownState.CLOSED]


def test_a_probe_that_tells_nothing_lets_the_next_probe() -> None:
    cooldowns = Cooldowns(SharedState())
    cooldowns.start(KEY, 90, 0.0)
    ask(cooldowns, 90.0)
    cooldowns.release(KEY)
    assert ask(cooldowns, 91.0, 92.0) == [CooldownState.HALF_OPEN, CooldownState.OPEN]


def test_a_probe_that_is_refused_begins_anew() -> None:
    cooldowns = Cooldowns(SharedState())
    cooldowns.start(KEY, 90, 0.0)
    ask(cooldowns, 90.0)
    cooldowns.start(KEY, 10, 91.0)
    assert ask(cooldowns, 100.9, 101.0) == [CooldownState.OPEN, CooldownState.HALF_OPEN]


@pytest.mark.parametrize("other", [("gpt-4", ("sk-client",)), ("gpt-5", ("sk-other",)), ("gpt-5", ())])
def test_a_cooldown_is_of_one_model_and_client_key(other: tuple[str, tuple[str, ...]]) -> None:
    cooldowns = Cooldowns(SharedState())
    cooldowns.start(KEY, 90, 0.0)
    assert ask(cooldowns, 1.0, key=cooldown_key(*other)) == [CooldownState.CLOSED]
    assert ask(cooldowns, 1.0, key=cooldown_key("GPT-5", ("sk-client",))) == [CooldownState.OPEN]


def test_clearing_or_releasing_what_is_not_there() -> None:
    cooldowns = Cooldowns(SharedState())
    cooldowns.clear(KEY, 90.0)
    cooldowns.release(KEY)
    assert cooldowns.clear_all(1.0) == 0


def test_all_can_be_cleared() -> None:
    cooldowns = Cooldowns(SharedState())
    cooldowns.start(KEY, 90, 0.0)
    cooldowns.start(cooldown_key("o3", ()), 90, 0.0)
    assert cooldowns.clear_all(1.0) == 2
    assert ask(cooldowns, 1.0) == [CooldownState.CLOSED]


def test_what_is_running() -> None:
    cooldowns = Cooldowns(SharedState())
    cooldowns.start(KEY, 90, 0.0)
    cooldowns.start(cooldown_key("O3", ()), 10, 0.0)
    assert cooldowns.running(30.0) == (("gpt-5", 60.0), ("o3", 0.0))


def test_the_number_of_cooldowns_is_bounded() -> None:
    """The one that was begun longest ago goes first."""
    cooldowns = Cooldowns(SharedState())
    keys = [cooldown_key(str(number), ()) for number in range(1000)]
    for key in keys:
        cooldowns.start(key, 90, 0.0)
    cooldowns.start(keys[0], 90, 1.0)
    cooldowns.start(KEY, 90, 2.0)
    assert ask(cooldowns, 3.0, key=keys[0]) == [CooldownState.OPEN]
    assert ask(cooldowns, 3.0, key=keys[1]) == [CooldownState.CLOSED]
    assert len(cooldowns.running(3.0)) == 1000


def test_a_key_holds_no_credential() -> None:
    assert "sk-client" not in repr(KEY)
    assert cooldown_key("m", ("a", "b")) != cooldown_key("m", ("ab",))
    assert cooldown_key("m", ("\udcff",))  # a header's raw bytes
