"""What responses say of a quota, and what that means over several responses and accounts."""

import pytest

from litellm_hybrid.quota.gauge import LATELY, Gauge, Window, read_event, read_headers

NOW = 1_795_000_000.0


def _fields(**headers: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]


@pytest.mark.parametrize(
    ("headers", "windows"),
    [
        (
            {
                "Anthropic_RateLimit_Unified_5h_Utilization": "0.42",
                "anthropic_ratelimit_unified_5h_reset": "1795003600",
                "anthropic_ratelimit_unified_7d_utilization": "0.9",
                "anthropic_ratelimit_unified_status": "allowed",
                "anthropic_ratelimit_unified_reset": "1795003600",
            },
            (Window("5h", 0.42, 1_795_003_600.0), Window("7d", 0.9)),
        ),
        (
            {
                "x_codex_primary_used_percent": "97.5",
                "x_codex_primary_window_minutes": "300",
                "x_codex_primary_reset_after_seconds": "60",
                "x_codex_secondary_used_percent": "12",
                "x_codex_secondary_reset_at": "1795600000",
            },
            (Window("primary", 0.975, NOW + 60), Window("secondary", 0.12, 1_795_600_000.0)),
        ),
        (
            {
                "x_ratelimit_limit_requests": "200",
                "x_ratelimit_remaining_requests": "10",
                "x_ratelimit_reset_requests": "6m0s",
                "x_ratelimit_limit_tokens": "0",
                "x_ratelimit_remaining_tokens": "0",
            },
            (Window("requests", 0.95),),
        ),
        ({"x_ratelimit_remaining_requests": "10"}, ()),
        ({"anthropic_ratelimit_unified_5h_utilization": "many"}, ()),
        ({"anthropic_ratelimit_unified_5h_utilization": "nan"}, ()),
        ({"x_codex_primary_used_percent": "-1"}, ()),
        ({"content_type": "text/event-stream", "retry_after": "3"}, ()),
    ],
)
def test_headers(headers: dict[str, str], windows: tuple[Window, ...]) -> None:
    assert read_headers(_fields(**headers), NOW) == windows


_EVENT = """{"type": "codex.rate_limits", "rate_limits": {
    "primary": {"used_percent": 80, "reset_at": 1795000100},
    "secondary": {"used_percent": 5, "reset_after_seconds": 9}
}}"""


@pytest.mark.parametrize(
    ("data", "windows"),
    [
        (
            _EVENT,
            (Window("primary", 0.8, 1_795_000_100.0), Window("secondary", 0.05, NOW + 9)),
        ),
        ('{"rate_limits":{"primary":{"used_percent":"x"},"secondary":null}}', ()),
        ('{"rate_limits":[1]}', ()),
        ("no json", ()),
        ("[" * 5000, ()),
    ],
)
def test_the_event(data: str, windows: tuple[Window, ...]) -> None:
    assert read_event(data, NOW) == windows


def test_the_fullest_window_counts_and_the_emptiest_account() -> None:
    gauge = Gauge()
    assert gauge.used("opus", NOW) is None
    gauge.note("opus", (Window("5h", 0.97), Window("7d", 0.5)), NOW)
    assert gauge.used("Opus", NOW) == 0.97
    gauge.note("opus", (Window("5h", 0.2),), NOW + 1)  # another account
    gauge.note("opus", (Window("5h", 0.98),), NOW + 2)
    assert gauge.used("opus", NOW + 3) == 0.2
    assert gauge.used("opus", NOW + 2 + LATELY) == 0.98
    assert gauge.used("opus", NOW + 3 + LATELY) is None
    assert gauge.used("sonnet", NOW) is None


def test_a_window_that_has_begun_anew_is_empty() -> None:
    gauge = Gauge()
    gauge.note("opus", (Window("5h", 0.97, NOW + 10), Window("7d", 0.5, NOW + 1000)), NOW)
    assert (gauge.used("opus", NOW + 9), gauge.used("opus", NOW + 10)) == (0.97, 0.5)


def test_the_last_reading_of_each_model_is_shown() -> None:
    gauge = Gauge()
    gauge.note("opus", (Window("5h", 0.1),), NOW)
    gauge.note("opus", (Window("5h", 0.2), Window("7d", 0.3)), NOW + 1)
    gauge.note("gpt-5", (Window("primary", 0.4),), NOW)
    assert list(gauge.last()) == [
        ("opus", Window("5h", 0.2)),
        ("opus", Window("7d", 0.3)),
        ("gpt-5", Window("primary", 0.4)),
    ]


def test_clients_cannot_fill_the_memory() -> None:
    gauge = Gauge()
    for number in range(2000):
        gauge.note(f"{number}{'x' * 1000}", (Window("5h", 0.1),), NOW)
    assert len(list(gauge.last())) <= 500
    for number in range(3000):
        gauge.note("one", (Window("5h", 0.1),), NOW + number / 1000)
    assert all(len(model) <= 200 for model, _ in gauge.last())
