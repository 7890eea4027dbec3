import gc
import weakref
from ipaddress import ip_network

import pytest

from litellm_hybrid.message.forwarded import ClientAddress, find, is_loopback, without_port

HAPROXY = "127.0.0.1/32"
NET = "10.0.0.0/8"


@pytest.mark.parametrize(
    ("peer", "headers", "trusted", "expected"),
    [
        ("127.0.0.1", {}, [], ClientAddress("127.0.0.1", is_loopback=True)),
        ("::1", {}, [], ClientAddress("::1", is_loopback=True)),
        ("::ffff:127.0.0.1", {}, [], ClientAddress("::ffff:127.0.0.1", is_loopback=True)),
        ("10.1.2.3", {}, [], ClientAddress("10.1.2.3", is_loopback=False)),
        ("", {}, [], ClientAddress("", is_loopback=False)),
        # something stands in between, and nobody vouches for it
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, [], ClientAddress("127.0.0.1", is_loopback=False)),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, [], ClientAddress("127.0.0.1", is_loopback=False)),
        ("127.0.0.1", {"x-real-ip": "127.0.0.1"}, [], ClientAddress("127.0.0.1", is_loopback=False)),
        ("127.0.0.1", {"Via": "1.1 vegur"}, [], ClientAddress("127.0.0.1", is_loopback=False)),
        ("127.0.0.1", {"X-Forwarded-For": ""}, [], ClientAddress("127.0.0.1", is_loopback=False)),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, [NET], ClientAddress("127.0.0.1", is_loopback=False)),
        # a trusted proxy says who its client is
        (
            "127.0.0.1",
            {"X-Forwarded-For": "10.9.9.9"},
            [HAPROXY],
            ClientAddress("10.9.9.9", is_loopback=False),
        ),
        (
            "127.0.0.1",
            {"X-Forwarded-For": "127.0.0.2"},
            [HAPROXY],
            ClientAddress("127.0.0.2", is_loopback=False),
        ),
        ("127.0.0.1", {"X-Forwarded-For": "::1"}, [HAPROXY], ClientAddress("::1", is_loopback=False)),
        ("10.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, [NET], ClientAddress("127.0.0.1", is_loopback=False)),
        ("10.0.0.1", {"X-Forwarded-For": "localhost"}, [NET], ClientAddress("10.0.0.1", is_loopback=False)),
        (
            "127.0.0.1",
            {"X-Forwarded-For": "8.8.8.8, localhost"},
            [HAPROXY],
            ClientAddress("127.0.0.1", is_loopback=False),
        ),
        (
            "127.0.0.1",
            {"X-Forwarded-For": "8.8.8.8:99"},
            [HAPROXY],
            ClientAddress("8.8.8.8", is_loopback=False),
        ),
        (
            "127.0.0.1",
            {"X-Forwarded-For": "[2001:db8::1]:9"},
            [HAPROXY],
            ClientAddress("2001:db8::1", is_loopback=False),
        ),
        # the last untrusted hop: a client cannot make up an address in front of it
        (
            "127.0.0.1",
            {"X-Forwarded-For": "127.0.0.2, 8.8.8.8, 10.0.0.7"},
            [HAPROXY, NET],
            ClientAddress("8.8.8.8", is_loopback=False),
        ),
        (
            "10.0.0.1",
            {"X-Forwarded-For": "10.0.0.2, 10.0.0.3"},
            [NET],
            ClientAddress("10.0.0.2", is_loopback=False),
        ),
        (
            "127.0.0.1",
            {"X-Forwarded-For": "unknown"},
            [HAPROXY],
            ClientAddress("127.0.0.1", is_loopback=False),
        ),
        (
            "127.0.0.1",
            {"X-Forwarded-For": "127.0.0.2,\t"},
            [HAPROXY],
            ClientAddress("127.0.0.1", is_loopback=False),
        ),
        ("127.0.0.1", {"Via": "1.1 haproxy"}, [HAPROXY], ClientAddress("127.0.0.1", is_loopback=False)),
        ("127.0.0.1", {}, [HAPROXY], ClientAddress("127.0.0.1", is_loopback=True)),
    ],
)
def test_who_the_client_is(
    peer: str, headers: dict[str, str], trusted: list[str], expected: ClientAddress
) -> None:
    fields = tuple((name.encode(), value.encode()) for name, value in headers.items())

    assert find(peer, fields, [ip_network(network) for network in trusted]) == expected


@pytest.mark.parametrize("trusted", [[], [HAPROXY]])
@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "x-forwarded-anything",
        "Forwarded",
        "X-Real-IP",
        "Via",
        "CF-Connecting-IP",
        "True-Client-IP",
        "X-Client-IP",
        "X-Envoy-External-Address",
    ],
)
def test_a_header_of_any_proxy_ends_being_local(name: str, trusted: list[str]) -> None:
    for value in ("", "127.0.0.1", "localhost"):
        fields = ((name.encode(), value.encode()),)
        assert not find("127.0.0.1", fields, [ip_network(network) for network in trusted]).is_loopback


def test_several_headers_are_one_list() -> None:
    fields = ((b"X-Forwarded-For", b"127.0.0.2"), (b"X-Forwarded-For", b"8.8.8.8"))

    assert find("127.0.0.1", fields, [ip_network(HAPROXY)]) == ClientAddress("8.8.8.8", is_loopback=False)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("fe80::1%eth0", False),
        ("localhost.evil.com", False),
        ("0.0.0.1", False),
        ("", False),
        ("127.1", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


class Text(str):  # noqa: SLOT000 (weak references need it)
    pass


def test_text_that_is_longer_than_an_address_is_not_kept() -> None:
    """Clients write X-Forwarded-For: a cache of what they write would hold 64 KiB an entry."""
    kept: list[weakref.ref[Text]] = []
    for number in range(100):
        text = Text(f"{number:032d}" + "8" * 100)
        kept.append(weakref.ref(text))
        assert not is_loopback(text)
        del text
    gc.collect()

    assert [ref for ref in kept if ref() is not None] == []


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("", ""),
        ("a", "a"),
        ("a:1", "a"),
        ("[::1]", "::1"),
        ("[::1]:80", "::1"),
        ("::1", "::1"),
        ("[::1", "::1"),
        ("a:", "a"),
        ("a:b:c", "a:b:c"),
    ],
)
def test_a_host_without_its_port(host: str, name: str) -> None:
    assert without_port(host) == name


def test_a_zone_of_any_bytes_names_nobody() -> None:
    """It could not be written into the header for upstream again."""
    headers = ((b"X-Forwarded-For", b"fe80::1%\xff"),)
    assert find("10.0.0.1", headers, [ip_network("10.0.0.0/8")]) == ClientAddress(
        "10.0.0.1", is_loopback=False
    )
