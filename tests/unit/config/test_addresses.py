import pytest

from litellm_hybrid.config.addresses import parse_listen, parse_url, same_server
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
    assert same_server(parse_url(a), parse_url(b)) is same
    assert same_server(parse_url(b), parse_url(a)) is same
