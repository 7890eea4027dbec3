"""`/_hybrid/health` over sockets: what requests have met shows, and nothing of it goes to a server."""

import asyncio
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.harness import PATIENCE, Answer, Proxy, Stub, settings, until
from litellm_hybrid.observability.admin_endpoints import PAGES
from support.ports import free_port
from support.servers import Reply
from support.wire import Request

HEALTH = "/_hybrid/health"
KEY = "sk-key-of-a-client"
QUOTA = {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}


async def _health(proxy: Proxy) -> Answer:
    return await proxy.ask("GET", HEALTH)


def _reasons(answer: Answer) -> list[str]:
    said = answer.json()
    assert said["live"] is True
    assert answer.status == (200 if said["ready"] else 503)
    return [reason["reason"] for reason in said["reasons"]]


@pytest.mark.parametrize("keys", [{}, {"enabled": False}, {"base_url": None}], ids=["on", "off", "no url"])
async def test_it_is_answered_here(keys: dict[str, Any], start: Start, upstream: Stub, litellm: Stub) -> None:
    """Before any request it is ready, whatever is routed."""
    proxy = await start(**keys)

    got = await _health(proxy)

    assert (got.status, got.json()) == (200, {"live": True, "ready": True, "reasons": []})
    assert got.route == "none; reason=own-page"
    assert (got.header("content-type"), got.header("cache-control")) == ("application/json", "no-store")
    assert upstream.requests == litellm.requests == []
    assert not proxy.log(HEALTH)


async def test_other_methods_and_pages(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(passthrough_mode=True)
    client = await proxy.client()

    head = await client.ask("HEAD", HEALTH + "?x")
    post = await client.ask("POST", HEALTH, {"model": "gpt-5"})
    unknown = await client.ask("POST", "/_hybrid/v1/messages", {"model": "gpt-5"})
    after = await client.ask("GET", HEALTH)

    assert (head.status, head.body, head.header("content-length")) == (200, b"", str(len(after.body)))
    assert (post.status, post.header("allow")) == (405, "GET, HEAD")
    assert (unknown.status, unknown.json()["pages"]) == (404, list(PAGES))
    assert {one.route for one in (head, post, unknown, after)} == {"none; reason=own-page"}
    assert upstream.requests == litellm.requests == []


@pytest.mark.parametrize(
    ("headers", "host", "status"),
    [
        ([], "localhost", 200),
        ([], "evil.example", 403),
        ([("Origin", "http://evil.example")], "", 403),
        ([("X-Forwarded-For", "192.0.2.1")], "", 403),
        ([("X-Forwarded-For", "192.0.2.1"), ("Authorization", f"Bearer {KEY}")], "", 200),
        ([("X-Forwarded-For", "192.0.2.1"), ("x-api-key", "sk-wrong")], "", 403),
    ],
)
async def test_who_may_see_it(
    headers: list[tuple[str, str]], host: str, status: int, start: Start, upstream: Stub
) -> None:
    proxy = await start(client_api_keys=[KEY])

    got = await proxy.ask("GET", HEALTH, headers=headers, host=host)

    assert got.status == status
    if status == 403:
        assert got.route == "none; reason=refused"
        assert got.json()["error"] == "litellm_access_refused"
    assert upstream.requests == []


async def test_a_server_that_is_not_there_shows_until_it_answers(start: Start, litellm: Stub) -> None:
    port = free_port()
    proxy = await start(upstream_url=f"http://127.0.0.1:{port}", models=["gpt-5"])

    assert (await proxy.post("o3")).status == 502
    assert _reasons(await _health(proxy)) == ["upstream-unreachable"]
    # Another server's answer says nothing about this one.
    assert (await proxy.post("gpt-5")).status == 200
    assert _reasons(await _health(proxy)) == ["upstream-unreachable"]

    async with Stub(port=port):
        assert (await proxy.post("o3")).status == 200
        assert _reasons(await _health(proxy)) == []
    await litellm.stop()
    assert (await proxy.post("gpt-5")).status == 502
    assert _reasons(await _health(proxy)) == ["litellm-unreachable"]


async def test_an_error_status_is_an_answer(start: Start, upstream: Stub) -> None:
    async def broken(_: Request, reply: Reply) -> None:
        await reply.json(500, {})

    upstream.does = broken
    proxy = await start()

    assert (await proxy.post("o3")).status == 500
    assert _reasons(await _health(proxy)) == []


async def test_a_fallback_that_found_nobody(start: Start, upstream: Stub) -> None:
    """Upstream has answered, LiteLLM has not."""

    async def exhausted(_: Request, reply: Reply) -> None:
        await reply.json(429, QUOTA)

    upstream.does = exhausted
    nobody = f"http://127.0.0.1:{free_port()}"
    proxy = await start(litellm_url=nobody, fallback={"enabled": True})

    assert (await proxy.post("o3")).route == "upstream; reason=fallback-failed; fallback-failed=network_error"
    assert _reasons(await _health(proxy)) == ["litellm-unreachable"]


async def test_a_rescue_that_found_nobody(start: Start) -> None:
    """The 502 that the client gets for both is ours and speaks for nobody."""
    nobody = f"http://127.0.0.1:{free_port()}"
    fallback = {"enabled": True, "on": ["unreachable"]}
    gone = f"http://127.0.0.1:{free_port()}"
    proxy = await start(upstream_url=gone, litellm_url=nobody, fallback=fallback)

    assert (await proxy.post("o3")).status == 502
    assert _reasons(await _health(proxy)) == ["upstream-unreachable", "litellm-unreachable"]


async def test_a_broken_file_shows_until_it_is_mended(start: Start, litellm: Stub) -> None:
    proxy = await start()
    proxy.config.write_text("extensions: {litellm: {modles: []}}")
    await until(lambda: proxy.log("modles"))
    assert _reasons(await _health(proxy)) == ["broken-configuration"]
    assert (await proxy.post("gpt-5")).route == "litellm; reason=model"

    proxy.write(settings(litellm.url))
    async with asyncio.timeout(PATIENCE):
        while _reasons(await _health(proxy)):  # noqa: ASYNC110  it says so nowhere else
            await asyncio.sleep(0.05)


async def test_another_configuration_may_name_another_server(start: Start, litellm: Stub) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    proxy = await start(litellm_url=nobody)
    assert (await proxy.post("gpt-5")).status == 502
    assert _reasons(await _health(proxy)) == ["litellm-unreachable"]

    proxy.write(settings(litellm.url))
    await until(lambda: proxy.log("base-url"))
    assert _reasons(await _health(proxy)) == []


async def test_it_says_that_it_leaves(start: Start) -> None:
    """To who is still connected: nobody else is let in."""
    proxy = await start()
    proxy.addon._shutdown.is_draining = True

    got = await _health(proxy)

    assert (_reasons(got), got.header("connection")) == (["draining"], "close")
