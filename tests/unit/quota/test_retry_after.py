from typing import Any

import pytest

from litellm_hybrid.quota.retry_after import go_duration, retry_after

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT
DAY = 86400


def wait(
    *, header: str | None = None, fields: dict[str, Any] | None = None, message: str = ""
) -> float | None:
    headers = {} if header is None else {"retry-after": header}
    return retry_after(headers, [fields or {}], [message], now=NOW)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("0", 0),
        ("1.2", 2),
        ("1m30s", 90),
        ("1994-11-06T08:50:37Z", 60),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        ("Sun, 06 Nov 1994 08:49:36 GMT", None),
        ("Sat, 06 Nov 2094 08:49:37 GMT", None),
        (str(30 * DAY), 30 * DAY),
        (str(30 * DAY + 1), None),
        ("-1", None),
        ("", None),
        ("soon", None),
        ("1e3", None),
        ("99999999999 Nov 1 9:9:9 GMT", None),
        ("٣", None),
    ],
)
def test_the_header_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert wait(header=header) == seconds


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"reset_seconds": 42}, 42),
        ({"reset_seconds": 41.5}, 42),
        ({"reset_seconds": "42"}, 42),
        ({"reset_seconds": 0}, 0),
        ({"reset_seconds": True}, None),
        ({"reset_seconds": [42]}, None),
        ({"reset_seconds": -1}, None),
        ({"reset_seconds": 30 * DAY + 1}, None),
        ({"reset_seconds": 10**400}, None),
        ({"resets_in_seconds": 7200}, 7200),
        ({"retry_after": "30s"}, 30),
        ({"retryAfter": 30}, 30),
        ({"clears_in": 30}, 30),
        ({"metadata": {"retry_after_seconds": 30}}, 30),
        ({"resets_at": (NOW + 10) * 1000}, 10),
        ({"reset_at": NOW + 10}, 10),
        ({"resetsAt": "1994-11-06T08:49:47Z"}, 10),
        ({"details": [{"metadata": {"quotaResetTimeStamp": "1994-11-06T08:49:47Z"}}]}, 10),
        ({"resets_at": NOW + 10}, 10),
        ({"resets_at": NOW - 10}, None),
        ({"resets_at": str(int(NOW) + 10)}, 10),
        ({"resets_at": "1994-11-06T08:49:47Z"}, 10),
        ({"resets_at": "1994-11-06T09:49:47+01:00"}, 10),
        ({"resets_at": "tomorrow"}, None),
        ({"resets_at": "9999-12-31T23:59:59+00:00"}, None),
        ({"details": [{"@type": "x"}, {"retryDelay": "41.5s"}]}, 42),
        ({"details": [{"retryDelay": "-5s"}]}, None),
        ({"details": [{"retryDelay": 5}]}, None),
        ({"details": [{"metadata": {"quotaResetDelay": "1h43m56.2s"}}]}, 6237),
        ({"details": [{"metadata": ["quotaResetDelay"]}, None, 5]}, None),
        ({"details": {"retryDelay": "5s"}}, None),
    ],
    ids=str,
)
def test_every_field_that_states_a_wait_is_read(fields: dict[str, Any], seconds: float | None) -> None:
    assert wait(fields=fields) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please try again in 2m10s.", 130),
        ("Please try again in 11.054s. Visit the docs.", 12),
        ("auth in short cooldown, 2m10s remaining", 130),
        ("Please retry in 41.5s", 42),
        ("Please retry after 60 seconds", 60),
        ("Your quota will reset after 1h43m56s.", 6236),
        ("Your quota will reset after 0s.", 0),
        ("Resets in 6 days", 6 * DAY),
        ("Try again in about 5 minutes", 300),
        ("try again in ~115 min.", 6900),
        ("TRY AGAIN IN 1 HOUR AND 30 MINUTES", 5400),
        ("try again in 3 days 4 hours 5 minutes", 3 * DAY + 4 * 3600 + 300),
        ("try again in 1 hr, 2 mins", 3720),
        ("Please wait 90 secs", 90),
        ("available again in 250ms", 1),
        ("try again in 40 days", None),
        ("try again in 5 months", None),
        ("try again in 5", None),
        ("try again later", None),
        ("entry again in 5s", None),
        ("Usage resets over a rolling 24-hour window (actual/limit): 1065387/1000000", None),
        ("took 5s and failed", None),
        ("x" * 5000 + " try again in 5s", None),
    ],
)
def test_a_sentence_may_state_the_wait(message: str, seconds: float | None) -> None:
    assert wait(message=message) == seconds


DELAY = {"retryDelay": "4s"}
RESET = {"metadata": {"quotaResetDelay": "5s"}}


@pytest.mark.parametrize(
    ("header", "fields", "message", "seconds"),
    [
        ("1", {"reset_seconds": 2}, "", 1),
        (None, {"resets_in_seconds": 3, "reset_seconds": 2}, "", 2),
        (None, {"resets_in_seconds": 3, "details": [DELAY]}, "", 3),
        (None, {"details": [RESET, DELAY]}, "", 4),
        (None, {"details": [RESET]}, "try again in 6s", 5),
        (None, {"resets_at": NOW + 9}, "try again in 6s", 6),
        ("Sun, 06 Nov 1994 08:49:45 GMT", {"resets_at": NOW + 9}, "try again in 6s", 6),
        ("Sun, 06 Nov 1994 08:49:45 GMT", {"resets_at": NOW + 9}, "", 8),
        ("-1", {"reset_seconds": -1, "resets_in_seconds": 10**9}, "try again in 6s", 6),
    ],
)
def test_relative_comes_before_absolute_and_what_is_not_valid_is_skipped(
    header: str | None, fields: dict[str, Any], message: str, seconds: float
) -> None:
    assert wait(header=header, fields=fields, message=message) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("resets at 1994-11-06T08:50:37Z", 60),
        ("resets at 1994-11-06T08:50:37.123Z", 60),
        ("resets at 1994-11-06T10:50:37+02:00", 60),
        ("next reset 1994-11-06 16:50:37 +0800 CST", 60),
        ("You will regain access on 1994-11-06 at 08:50 UTC.", 23),
        ("Your limit will reset at 1994-11-06 16:50:37", 60),
        ("您的限额将在 1994-11-06 16:50:37 重置", 60),
        ("limit reached|0784111837", 60),
        ("at 1994-11-06 08:49:00 UTC", None),
        ("at 1994-13-06 08:50:37 UTC", None),
        ("at 1994-11-06 99:50:37 UTC", None),
        ("since 1993-11-06 16:50:37", None),
        ("at 2094-11-06 16:50:37", None),
        ("on 1994-11-07", None),
        ("retry in 7s, at 1994-11-06T08:50:37Z", 7),
    ],
)
def test_a_sentence_may_name_a_moment(message: str, seconds: float | None) -> None:
    """Without a zone it is China's: only Zhipu and z.ai leave it out."""
    assert wait(message=message) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("784111837", 60),
        ("784111837.5", 61),
        ("784111777", 0),
        ("784111776", None),
        ("soon", None),
        ("", None),
    ],
)
def test_the_header_of_a_subscription_is_seconds_of_the_epoch(value: str, seconds: float | None) -> None:
    assert retry_after({"anthropic-ratelimit-unified-reset": value}, [], [], now=NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Reset": "784111837000"}, 60),
        ({"X-RateLimit-Reset": 784111837000}, 60),
        ({"x-ratelimit-reset": "784111837"}, 60),
        ({"X-RateLimit-Reset": "never"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_openrouter_passes_the_providers_header_on(headers: object, seconds: float | None) -> None:
    assert wait(fields={"metadata": {"headers": headers}}) == seconds


def test_the_most_telling_source_comes_first() -> None:
    sources = [{"resets_in_seconds": 5}, {"resets_in_seconds": 6}]
    assert retry_after({}, sources, [], now=NOW) == 5
    assert retry_after({}, [], ["nothing", "retry in 7s", "retry in 8s"], now=NOW) == 7


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2m10s", 130.0),
        ("41.5s", 41.5),
        ("1h0m0.5s", 3600.5),
        ("250ms", 0.25),
        ("1500000µs", 1.5),
        ("", None),
        ("s", None),
        ("5", None),
        ("5 s", None),
        ("-5s", None),
        (5, None),
        (None, None),
        ("1s" * 100, None),
    ],
)
def test_durations_as_go_writes_them(text: object, seconds: float | None) -> None:
    assert go_duration(text) == seconds


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("try again in 3h 12m", 11520),
        ("come back in 2 hours", 7200),
        ("请求过于频繁, 请在 30 秒后重试", 30),
        ("额度已用完, 请 5 分钟之后再试", 300),
        ("2小时后重置", 7200),
        ("請於 1 天後重試", 86400),
        ("30秒後に再試行してください", 30),
        ("2時間後", 7200),
        ("20초 후에 다시 시도하세요", 20),
        ("bitte in 30 Sekunden erneut versuchen", 30),
        ("réessayez dans 5 minutes", 300),
        ("reintente en 10 minutos", 600),
        ("riprova tra 2 ore", 7200),
        ("tente em 3 dias", 3 * DAY),
        ("повторите через 20 секунд", 20),
        ("limite de 30 secondes", None),
        ("30 秒", None),
    ],
)
def test_a_sentence_of_any_language_says_how_long(message: str, seconds: float | None) -> None:
    assert wait(message=message) == seconds


def test_a_header_in_milliseconds() -> None:
    assert retry_after({"retry-after-ms": "1500"}, [], [], now=NOW) == 2
