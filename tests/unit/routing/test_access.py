import hmac
import json
from dataclasses import replace

import pytest

from litellm_hybrid.config.settings import Secret, Settings
from litellm_hybrid.message.forwarded import is_loopback
from litellm_hybrid.routing.access import Client, check

KEYS = (Secret("client-1"), Secret("schlüssel"))
OPEN = Settings(api_key=Secret("sk-litellm"))
KEYED = Settings(api_key=Secret("sk-litellm"), client_keys=KEYS)
NO_AUTH = Settings(no_auth=True, client_keys=KEYS)
LOCAL_FREE = replace(KEYED, local_without_key=True)

LOCAL = ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"]
REMOTE = [
    "192.168.1.9",
    "10.0.0.1",
    "8.8.8.8",
    "2001:db8::1",
    "::ffff:10.0.0.1",
    "::",
    "0.0.0.0",  # noqa: S104
    "fe80::1",
    "",
]
LOCAL_HOSTS = [
    "localhost",
    "localhost:8318",
    "LocalHost.",
    "localhost.:8318",
    "127.0.0.1",
    "127.0.0.1:8318",
    "[::1]",
    "[::1]:8318",
    "[::ffff:127.0.0.1]:1",
    "::1",
]
OTHER_HOSTS = [
    "",
    "evil.example",
    "evil.example:8318",
    "localhost.evil.example",
    "127.0.0.1.evil.example:80",
    "evil.localhost",
    "localhost, evil.example",
    "192.168.1.9:8318",
    "0.0.0.0:8318",
    "[::]:8318",
    "[2001:db8::1]:8318",
    "2130706433",
    "0x7f.1",
    "127.1",
    ":8318",
]


@pytest.mark.parametrize(
    ("settings", "here"),
    [(OPEN, True), (LOCAL_FREE, True), (KEYED, False), (NO_AUTH, False)],
    ids=["open", "local-without-key", "keyed", "no-auth"],
)
@pytest.mark.parametrize("ip", [*LOCAL, *REMOTE])
@pytest.mark.parametrize("origin", [False, True])
def test_without_a_client_key(settings: Settings, ip: str, *, here: bool, origin: bool) -> None:
    for host in [*LOCAL_HOSTS, *OTHER_HOSTS]:
        refusal = check(settings, Client(ip, host, origin, ()))
        allowed = here and ip in LOCAL and host in LOCAL_HOSTS and not origin
        assert (refusal is None) == allowed, host
        assert refusal is None or refusal.status == 401


@pytest.mark.parametrize("settings", [KEYED, NO_AUTH])
@pytest.mark.parametrize("ip", ["127.0.0.1", "8.8.8.8"])
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
@pytest.mark.parametrize("origin", [False, True])
@pytest.mark.parametrize(
    "keys", [("client-1",), ("schlüssel",), ("wrong", "client-1"), ("client-1", "wrong")]
)
def test_a_client_key_opens_from_everywhere(
    settings: Settings, ip: str, host: str, keys: tuple[str, ...], *, origin: bool
) -> None:
    assert check(settings, Client(ip, host, origin, keys)) is None


@pytest.mark.parametrize(
    "key", ["wrong", "client-", "client-12", "CLIENT-1", " client-1", "", "\udcff", "sk-litellm"]
)
def test_a_wrong_key_is_no_key(key: str) -> None:
    assert check(LOCAL_FREE, Client("127.0.0.1", "localhost", origin=False, keys=(key,))) is None
    for ip in ("127.0.0.1", "8.8.8.8"):
        refusal = check(KEYED, Client(ip, "localhost", origin=False, keys=(key,)))
        assert refusal is not None
        assert refusal.status == 403


def test_listening_without_keys_means_without_any() -> None:
    stranger = Client("8.8.8.8", "proxy", origin=False, keys=())
    assert check(replace(OPEN, listen_without_keys=True), stranger) is None
    assert check(replace(OPEN, listen_without_keys=True), replace(stranger, origin=True)) is not None
    assert check(replace(KEYED, listen_without_keys=True), stranger) is not None


def test_without_client_keys_no_key_opens() -> None:
    assert check(OPEN, Client("8.8.8.8", "localhost", origin=False, keys=("sk-litellm", ""))) is not None


def test_without_a_key_of_ours_litellm_checks_the_clients() -> None:
    assert check(Settings(client_keys=KEYS), Client("8.8.8.8", "evil", origin=True, keys=())) is None


@pytest.mark.parametrize(
    ("settings", "client", "status", "words"),
    [
        (
            OPEN,
            Client("8.8.8.8", "x", False, ()),
            401,
            ["without a client key", "machine", "set client-api-keys"],
        ),
        (
            KEYED,
            Client("8.8.8.8", "x", False, ()),
            401,
            ["without a client key", "send one of the configured"],
        ),
        (KEYED, Client("8.8.8.8", "x", True, ("k",)), 403, ["without a known client key", "machine"]),
        (OPEN, Client("::1", "x", True, ()), 401, ["Origin"]),
        (KEYED, Client("::1", "[::1]", False, ()), 401, ["this machine's programs need one too"]),
        (OPEN, Client("::1", "[::1]", False, (), forwarded=True), 401, ["through another proxy"]),
        (OPEN, Client("::1", 'e"vil', False, ()), 401, ["'e\"vil'", "no loopback name"]),
    ],
)
def test_the_refusal_says_why_and_what_to_do(
    settings: Settings, client: Client, status: int, words: list[str]
) -> None:
    refusal = check(settings, client)
    assert refusal is not None
    assert refusal.status == status
    assert all(word in refusal.message for word in words)
    assert json.loads(refusal.body()) == {"error": "litellm_access_refused", "message": refusal.message}
    assert "sk-litellm" not in refusal.message
    assert "client-1" not in refusal.message


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac_compare(a, b)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", spy)
    assert check(KEYED, Client("8.8.8.8", "x", origin=False, keys=("client-1", "b"))) is None
    assert len(compared) == 4


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("0:0:0:0:0:0:0:1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:7f00:1", True),
        ("128.0.0.1", False),
        ("::ffff:128.0.0.1", False),
        ("::2", False),
        ("localhost.example", False),
        ("mylocalhost", False),
        ("127.0.0.1.", False),
        (" localhost", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected
