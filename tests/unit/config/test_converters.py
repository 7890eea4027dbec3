import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hybrid.config.converters import format_duration, parse_duration, parse_listen, parse_url
from litellm_hybrid.config.settings import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://127.0.0.1:4000", Address("http", "127.0.0.1", 4000)),
        ("http://localhost", Address("http", "localhost", 80)),
        ("HTTPS://LiteLLM.Example.com", Address("https", "litellm.example.com", 443)),
        ("https://example.com/", Address("https", "example.com", 443)),
        ("https://example.com:8443/llm/proxy/", Address("https", "example.com", 8443, "/llm/proxy")),
        ("http://[::1]:4000", Address("http", "::1", 4000)),
        ("http://lite_llm:4000", Address("http", "lite_llm", 4000)),
    ],
)
def test_url(text: str, address: Address) -> None:
    assert parse_url(text) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1:4000", "start with http"),
        ("litellm", "start with http"),
        ("ftp://example.com", "start with http"),
        ("http:example.com", "start with http"),
        ("http://", "start with http"),
        ("http://:4000", "missing"),
        ("http://a..b|c", "malformed"),
        ("http://-a", "malformed"),
        ("http://example.com:0", "malformed"),
        ("http://example.com:port", "malformed"),
        ("http://example.com:70000", "malformed"),
        ("http://[::1", "malformed"),
        ("http://[zz]", "malformed"),
        ("http://me:geheim@example.com", "user name"),
        ("ftp://me:geheim@example.com", "user name"),
        ("http://example.com/?key=geheim", "query"),
        ("http://example.com/?", "query"),
        ("http://example.com/#geheim", "fragment"),
        ("http://exam ple.com", "ASCII"),
        ("http://example.com\n", "ASCII"),
        ("http://müller.example", "ASCII"),
    ],
)
def test_url_refused_without_repeating_it(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_url(text)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8318", ("127.0.0.1", 8318)),
        ("localhost:8318", ("localhost", 8318)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("[::1]:8318", ("::1", 8318)),
        (":8318", ("127.0.0.1", 8318)),
        ("8318", ("127.0.0.1", 8318)),
    ],
)
def test_listen(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "localhost:",
        "::1:8318",
        "[::1]",
        "[]:1",
        "[abc]:1",
        "[1:2]:1",
        "a b:1",
        "a:0",
        "a:65536",
        "*:1",
    ],
)
def test_listen_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"host|port"):
        parse_listen(text)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("http://127.0.0.1:4000", "http://127.0.0.1:4000", True),
        ("http://127.0.0.1:4000", "http://localhost:4000/llm", True),
        ("http://127.9.9.9:4000", "https://[::1]:4000", True),
        ("http://0.0.0.0:4000", "http://LOCALHOST.:4000", True),
        ("http://[::ffff:127.0.0.1]:4000", "http://localhost:4000", True),
        ("http://[::]:4000", "http://localhost:4000", True),
        ("http://Example.com", "http://example.com:80", True),
        ("http://[2001:db8:0::1]", "http://[2001:db8::1]", True),
        ("http://127.0.0.1:4000", "http://127.0.0.1:4001", False),
        ("http://127.0.0.1:4000", "http://10.0.0.1:4000", False),
        ("http://example.com", "https://example.com", False),
        ("http://a.example.com", "http://b.example.com", False),
    ],
)
def test_same_server(a: str, b: str, *, same: bool) -> None:
    assert parse_url(a).is_same_server(parse_url(b)) is same
    assert parse_url(b).is_same_server(parse_url(a)) is same


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
def test_reads_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "s", "soon", "-1", "-1s", "nan", "inf", "1e3", "10 s", "1s1m", "1s1s", "1d", ".5s", "1.s"),
        *("0x10", "1_000", "1:30", "\N{ARABIC-INDIC DIGIT ONE}s", "9" * 400),
    ],
)
def test_refuses_what_is_no_duration(text: str) -> None:
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
def test_writes_a_duration_as_people_do(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000))
def test_reads_the_duration_that_it_writes(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.decimals(0, 10**6, places=9))
def test_reads_the_duration_that_it_writes_below_a_millisecond(number: object) -> None:
    seconds = float(str(number))
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text(alphabet="0123456789.hms -", max_size=12))
def test_anything_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 <= seconds < float("inf")
