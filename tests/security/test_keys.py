"""Who spends LiteLLM's key, by key, place and way: nobody without a known key, once there are keys."""

import hmac
from types import SimpleNamespace
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.fallback_support import COOLDOWN, FELL_BACK, JSON, ON, OUT_OF_QUOTA, failed, says
from e2e.harness import Answer, Proxy, Stub, hello
from e2e.test_fallback_failures import FromElsewhere
from litellm_hybrid.routing import access

KEY = "sk-client"
RIGHT = [("Authorization", f"Bearer {KEY}")]
WRONG = [("Authorization", "Bearer sk-wrong")]
WITH: dict[str, tuple[list[tuple[str, str]], int]] = {
    "no key": ([], 401),
    "a wrong key": (WRONG, 403),
    "LiteLLM's key": ([("Authorization", "Bearer sk-master-of-litellm")], 403),
    "an empty one first": ([("X-Api-Key", ""), ("X-Api-Key", KEY)], 401),
    "a wrong one first": ([("X-Api-Key", "sk-wrong"), ("X-Api-Key", KEY)], 403),
    "the right key": (RIGHT, 200),
    "a wrong one elsewhere": ([*RIGHT, ("X-Api-Key", "sk-wrong")], 200),
    "the right one first": ([("X-Api-Key", KEY), ("X-Api-Key", "sk-wrong")], 200),
}
BY_KEY = pytest.mark.parametrize(("headers", "status"), WITH.values(), ids=WITH)
BY_PLACE = pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
NOT_ALLOWED = failed("not-allowed")


async def ask(proxy: Proxy, headers: list[tuple[str, str]], model: str = "o3", **body: Any) -> Answer:
    return await proxy.ask("POST", "/v1/chat/completions", {"model": model} | body, headers)


@BY_KEY
@BY_PLACE
async def test_by_route(
    headers: list[tuple[str, str]], status: int, *, elsewhere: bool, start: Start, litellm: Stub
) -> None:
    proxy = await start(client_api_keys=[KEY])
    if elsewhere:
        proxy.master.addons.add(FromElsewhere())

    answer = await ask(proxy, headers, "gpt-5")

    assert answer.status == status
    assert len(litellm.requests) == (status == 200)


@BY_KEY
@BY_PLACE
async def test_by_fallback(
    headers: list[tuple[str, str]],
    status: int,
    *,
    elsewhere: bool,
    start: Start,
    upstream: Stub,
    litellm: Stub,
) -> None:
    upstream.does = OUT_OF_QUOTA
    proxy = await start(client_api_keys=[KEY], fallback=ON)
    if elsewhere:
        proxy.master.addons.add(FromElsewhere())

    answer = await ask(proxy, headers)

    if status == 200:
        assert answer.route == FELL_BACK
    elif elsewhere:
        assert (answer.status, upstream.requests) == (status, [])
    else:
        assert (answer.status, answer.route) == (429, NOT_ALLOWED)
    assert len(litellm.requests) == (status == 200)


@BY_KEY
async def test_by_cooldown_and_stickiness(
    headers: list[tuple[str, str]], status: int, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """What a client with a key has begun serves no other, in the same session either."""
    upstream.does = says(429, COOLDOWN, JSON)
    proxy = await start(client_api_keys=[KEY], fallback=ON | {"cooldown-max": "1h", "sticky": "1h"})
    session = [("Session-Id", "the-same")]
    assert (await ask(proxy, [*RIGHT, *session])).route == FELL_BACK
    begun = len(litellm.requests)

    answer = await ask(proxy, [*headers, *session])

    if status == 200:
        assert answer.status == 200
        assert len(litellm.requests) == begun + 1
    else:
        assert (answer.status, answer.route) == (429, NOT_ALLOWED)
        assert len(litellm.requests) == begun


@BY_KEY
@BY_PLACE
@pytest.mark.parametrize("page", ["health", "status", "metrics"])
async def test_own_pages(
    headers: list[tuple[str, str]], status: int, page: str, *, elsewhere: bool, start: Start
) -> None:
    """They spend nothing: this machine's programs need no key for them."""
    proxy = await start(client_api_keys=[KEY])
    if elsewhere:
        proxy.master.addons.add(FromElsewhere())

    answer = await proxy.ask("GET", f"/_hybrid/{page}", b"", headers)

    assert answer.status == (200 if status == 200 or not elsewhere else 403)


@pytest.mark.parametrize("target", ["/key/generate", "/v1/chat/completions/../../key/generate", "/model/new"])
async def test_litellms_administration_is_nobodys(
    target: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """A POST there that names a listed model took LiteLLM's key along."""
    upstream.does = hello
    proxy = await start(client_api_keys=[KEY], passthrough_mode=True)
    client = await proxy.client()

    answer = await client.ask("POST", target, {"model": "gpt-5"}, RIGHT)

    assert answer.route == "upstream; reason=never-reroute"
    assert litellm.requests == []


async def test_many_keys_in_a_query_are_one(
    start: Start, litellm: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """9,000 of them against 50 client keys took half a second of everybody's."""
    proxy = await start(client_api_keys=[f"key-{number}" for number in range(50)])
    client = await proxy.client()
    many = "&".join(f"key=k{number}" for number in range(1, 5000))
    compared: list[str | bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(access, "hmac", SimpleNamespace(compare_digest=compare))
    refused = await client.ask("POST", f"/v1/chat/completions?{many}&key=key-1", {"model": "gpt-5"})
    served = await client.ask("POST", f"/v1/chat/completions?key=key-1&{many}", {"model": "gpt-5"})

    assert (refused.status, served.status) == (403, 200)
    assert set(compared) == {b"k1", b"key-1"}, "of a parameter that is there twice the first counts"
    assert "key-1" not in str(litellm.last.target)


CLAIMS = [
    *(
        (name, value)
        for name in ("X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP")
        for value in ("127.0.0.1", "localhost", "::1", "")
    ),
    ("X-Forwarded-For", "8.8.8.8, 127.0.0.1"),
    ("X-Forwarded-For", "127.0.0.1, localhost"),
    ("X-Forwarded-Host", "localhost"),
    ("X-Forwarded-Proto", "http"),
    ("Forwarded", "for=127.0.0.1"),
    ("Via", "1.1 somebody"),
    ("X-Envoy-External-Address", "127.0.0.1"),
    ("X-Envoy-Internal", "true"),
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim[0]}: {claim[1]}")
@pytest.mark.parametrize(
    ("trusted", "elsewhere"),
    [([], False), (["127.0.0.1"], False), ([], True), (["203.0.113.9"], True)],
    ids=["this machine's", "a trusted one here", "another machine's", "a trusted one there"],
)
async def test_who_came_through_a_proxy_is_not_local(
    claim: tuple[str, str],
    trusted: list[str],
    *,
    elsewhere: bool,
    start: Start,
    upstream: Stub,
    litellm: Stub,
) -> None:
    """Whatever a header says, of whomever: without client keys it is only for this machine's programs."""
    proxy = await start(trusted_proxies=trusted)
    if elsewhere:
        proxy.master.addons.add(FromElsewhere())
    client = await proxy.client()

    routed = await client.ask("POST", "/v1/chat/completions", {"model": "gpt-5"}, [claim])
    others = [
        await client.ask("GET", path, b"", [claim])
        for path in ("/v0/management/config", "/v1/ws", "/_hybrid/status")
    ]

    assert routed.status == 401
    assert [answer.status for answer in others] == [403, 403, 403]
    assert litellm.requests == upstream.requests == []


@pytest.mark.parametrize(
    "page", [("Origin", "http://localhost:3000"), ("Origin", "null"), ("Sec-Fetch-Site", "cross-site")]
)
async def test_a_web_page_needs_a_key(page: tuple[str, str], start: Start, litellm: Stub) -> None:
    proxy = await start(client_api_keys=[KEY], local_without_key=True)

    assert (await ask(proxy, [], "gpt-5")).status == 200
    assert (await ask(proxy, [page], "gpt-5")).status == 401
    assert (await ask(proxy, [page, *WRONG], "gpt-5")).status == 403
    assert (await ask(proxy, [page, *RIGHT], "gpt-5")).status == 200
    assert (await proxy.ask("GET", "/_hybrid/status", b"", [page])).status == 403
    assert len(litellm.requests) == 2
