"""Refusals in words that no list foresees."""

import pytest

from litellm_hybrid.quota.wording import code_words, used_up

USED_UP = [
    "you've reached your weekly (7-day) usage limit",
    "monthly allowance is used up",
    "your credits have been depleted",
    "insufficient funds",
    "out of credits",
    "the quota for this key was exceeded",
    "daily token limit reached",
    "5-hour usage limit reached for token plan",
    "this team doesn't have any credits",
    "you have 0 credits left",
    "rate limited",
    "too many requests, please wait",
    "您的账户余额不足",
    "已达到 5 小时的使用上限",
    "недостаточно средств на балансе",
    "saldo insuficiente",
    "利用上限に達しました",
    "한도를 초과했습니다",
    "votre quota est dépassé",
    "ihr guthaben ist aufgebraucht",
]
NOT = [
    "internal server error",
    "quota exceeded is not a tool. see the limit",
    "the model is thinking",
    "no credits were charged",
    "your plan does not include this model",
    "connection reset by peer",
    "usage: this field is required",
    "",
]


@pytest.mark.parametrize("text", USED_UP)
def test_what_says_that_something_is_used_up(text: str) -> None:
    assert used_up(text, "account")
    assert used_up(text, "any")


@pytest.mark.parametrize("text", [text for text in NOT if "quota exceeded" not in text])
def test_what_does_not(text: str) -> None:
    assert not used_up(text, "account")


def test_a_refusal_of_access_needs_less() -> None:
    text = "too many messages in this conversation"
    assert used_up(text, "any")
    assert not used_up(text, "account")


def test_both_stand_in_one_sentence() -> None:
    assert not used_up("see your quota. the server could not be reached", "account")


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        ("insufficient_user_quota", "insufficient user quota", True),
        ("Throttling.AllocationQuota", "throttling allocation quota", True),
        ("AccountOverdueError", "account overdue error", True),
        ("workspace_member_credits_depleted", "workspace member credits depleted", True),
        ("user_weekly_rate_limited", "user weekly rate limited", True),
        ("RateLimitExceeded", "rate limit exceeded", True),
        ("context_length_exceeded", "context length exceeded", False),
        ("string_above_max_length", "string above max length", False),
        ("access_terminated_error", "access terminated error", False),
        ("AccessDenied.Unpurchased", "access denied unpurchased", False),
        ("1113", "1113", False),
    ],
)
def test_codes_are_read_like_sentences(code: str, words: str, expected: bool) -> None:
    assert code_words(code) == words
    assert used_up(words, "code") is expected
