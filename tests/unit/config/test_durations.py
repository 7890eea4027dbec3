import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hybrid.config.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1m30s", 90.0),
        ("1h1m1s1ms", 3661.001),
        ("0s", 0.0),
        ("0", 0.0),
        ("45", 45.0),
        ("2.5", 2.5),
        ("1.5h", 5400.0),
        ("1m0.1s", 60.1),
        (" 10S ", 10.0),
    ],
)
def test_reads(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "s", "soon", "-1", "-1s", "nan", "inf", "1e3", "10 s", "1s1m", "1s1s", "1d", ".5s", "1.s"),
        *("0x10", "1_000", "1:30", "\N{ARABIC-INDIC DIGIT ONE}s", "9" * 400),
    ],
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.5, "500ms"),
        (10.0, "10s"),
        (45.0, "45s"),
        (90.0, "1m30s"),
        (300.0, "5m"),
        (600.0, "10m"),
        (3600.0, "1h"),
        (3661.001, "1h1m1s1ms"),
        (0.00001, "0.00001s"),
    ],
)
def test_writes_as_people_do(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000))
def test_reads_what_it_writes(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.decimals(0, 10**6, places=9))
def test_reads_what_it_writes_below_a_millisecond(number: object) -> None:
    seconds = float(str(number))
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text(alphabet="0123456789.hms -", max_size=12))
def test_anything_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 <= seconds < float("inf")
