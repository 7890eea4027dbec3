"""Refusals in words that no list foresees."""

# ruff: noqa: RUF001 (other alphabets)

import pytest

from litellm_hybrid.quota.wording import Reading, code_words, says

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
    "the monthly budget of this project has run dry",
    "you've no usage left until tomorrow",
    "this key has no budget to spend",
    "you have used all your free calls for today",
    "requests per minute are all used",
    "provider said: payment required",
    "limit exceeded",
    "qps limit",
    "plan limit met for this week",
    "workspace limit on spending has been reached",
    "team usage for this cycle is finished",
    "your org sends faster than its tier permits",
    "your card could not be charged",
    "add credits first",
    "请求过于频繁",
    "요청이 너무 많습니다",
    "has agotado tu cuota mensual",
    "limite giornaliero raggiunto",
    "bakiyeniz yetersiz",
    "wyczerpano miesięczny limit",
    "bạn đã dùng hết hạn mức hôm nay",
    "het tegoed is opgebruikt",
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
def test_what_says_that_something_is_says(text: str) -> None:
    assert says(text, "account")
    assert says(text, "any")


@pytest.mark.parametrize("text", [text for text in NOT if "quota exceeded" not in text])
def test_what_does_not(text: str) -> None:
    assert not says(text, "account")


def test_a_refusal_of_access_needs_less() -> None:
    text = "too many messages in this conversation"
    assert says(text, "any")
    assert not says(text, "account")


def test_both_stand_in_one_sentence() -> None:
    assert not says("see your quota. the server could not be reached", "account")


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
    assert says(words, "code") is expected


@pytest.mark.parametrize(
    ("reading", "text"),
    [
        ("spent", "your credit balance is too low"),
        ("spent", "there are no prepaid credits remaining"),
        ("spent", "spending ceiling was met this month"),
        ("spent", "您的余额已用完"),
        ("spent", "saldo insuficiente"),
        ("barred", "account suspended: unpaid invoices"),
        ("barred", "this credential is only authorized for other clients"),
        ("barred", "账号已被封禁"),
        ("barred", "アカウントが停止されています"),
        ("barred", "계정이 정지되었습니다"),
        ("barred", "аккаунт заблокирован"),
        ("barred", "su cuenta está suspendida"),
        ("barred", "votre compte est bloqué"),
        ("barred", "ihr konto wurde gesperrt"),
        ("barred", "uw abonnement is verlopen"),
        ("barred", "hesabınız askıya alındı"),
        ("barred", "twoje konto zostało zawieszone"),
        ("barred", "tài khoản đã bị khóa"),
        ("signed out", "session was signed out elsewhere"),
        ("signed out", "your session has ended"),
        ("signed out", "密钥已失效"),
        ("signed out", "authorization token非法"),
        ("spent", "your account balance is not sufficient"),
        ("signed out", "apiキーが無効です"),
        ("signed out", "api 키가 유효하지 않습니다"),
        ("signed out", "неверный ключ? ключ недействителен"),
        ("signed out", "la clave no es inválida, pero la clave está expirada"),
        ("signed out", "der api-schlüssel ist ungültig"),
        ("signed out", "klucz jest nieprawidłowy"),
        ("signed out", "api anahtarı geçersiz"),
        ("overloaded", "the service has more work than it can take"),
        ("overloaded", "servers are under heavy strain"),
        ("overloaded", "queue is full, too many pending jobs"),
        ("overloaded", "no replicas are ready"),
        ("overloaded", "we can't keep up with demand"),
        ("signed out", "key expired yesterday"),
        ("barred", "subscription cancelled"),
        ("overloaded", "当前模型使用人数较多"),
        ("overloaded", "上游负载太高了"),
        ("overloaded", "現在アクセスが集中しています"),
        ("overloaded", "서버가 과부하 상태입니다"),
        ("overloaded", "сервер перегружен"),
        ("overloaded", "el servidor está sobrecargado"),
        ("overloaded", "der dienst ist überlastet"),
        ("overloaded", "le service est surchargé"),
        ("policy", "blocked by the moderation filter"),
        ("policy", "the text was judged harmful"),
        ("policy", "it contains unsafe content"),
        ("policy", "input flagged for self-harm"),
        ("policy", "sexual content is not permitted"),
        ("policy", "the output was withheld"),
        ("policy", "the model refused this request"),
        ("policy", "refused by guard model"),
        ("policy", "内容审核未通过"),
        ("policy code", "input text sensitive content detected"),
        ("request", "messages.3.content: bad"),
        ("request", "'max_tokens' is wrong"),
        ("request", "参数错误"),
        ("request", "le champ model manque"),
    ],
)
def test_what_the_readings_read(reading: Reading, text: str) -> None:
    assert says(text, reading)
    assert not says("something went wrong on our side", reading)


@pytest.mark.parametrize(
    "text",
    [
        "no such 'credit balance is too low' here",
        "max_tokens: quota exceeded",
        "the image exceeds your quota",
        "metadata: quota of 16 keys exceeded",
        "ask_for_credits has no budget",
        "account suspended is no tool",
        "<html>quota exceeded</html>",
    ],
)
def test_what_names_or_quotes_the_request_is_not_about_the_account(text: str) -> None:
    assert not says(text, "spent")
    assert not says(text, "barred")


@pytest.mark.parametrize(
    "text",
    [
        "your account has been flagged for potential abuse",
        "your organization's policy blocks this api key",
        "blocked by the organization's spend policy",
    ],
)
def test_what_bars_an_account_is_no_refusal_of_a_prompt(text: str) -> None:
    assert not says(text, "policy")
