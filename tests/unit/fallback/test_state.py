"""What is remembered between requests, apart from cooldowns and conversations."""

from litellm_hybrid.fallback.response_hold import JudgedResponse, ResponseHead
from litellm_hybrid.fallback.state import HOUR, Budget, FallbackState


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


def test_an_exhausted_budget_is_logged_once_an_hour() -> None:
    budget = Budget()
    assert [budget.should_log_exhausted(now) for now in (0.0, 1.0, HOUR - 1, HOUR, HOUR + 1)] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_what_is_held_is_counted() -> None:
    state, head = FallbackState(), ResponseHead(200, {"content-type": "application/json"})
    one, other = (JudgedResponse(head, since=0.0, hold_max=1.0, fails=lambda _: True) for _ in range(2))
    state.held |= {one, other}
    one.body += b"12345"
    other.body += b"6789"
    assert state.held_bytes == 9
    state.held.discard(one)
    assert state.held_bytes == 4
