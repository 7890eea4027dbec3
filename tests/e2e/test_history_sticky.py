"""Conversations that stay on LiteLLM after a fallback, for `fallback.sticky`."""

import pytest

from e2e.conftest import Start
from e2e.fallback_support import ON, OUT_OF_QUOTA, Time, ask, healthy, says, time
from e2e.harness import Answer, Proxy, Stub, hello
from e2e.history_support import AT_UPSTREAM, ENCRYPTED, FELL_BACK, KEY_A, KEY_B, Turn, codex
from e2e.test_history_refusals import HISTORY, RESPONSES, in_turn

__all__ = ["healthy", "time"]

STICKY = ON | {"sticky": "10m"}
STAYS = "litellm; reason=sticky"


async def one(proxy: Proxy, headers: list[tuple[str, str]] | None = None) -> Answer:
    return await ask(proxy, HISTORY, RESPONSES, KEY_A if headers is None else headers)


async def fallen_back(proxy: Proxy, upstream: Stub) -> None:
    """A conversation falls back; upstream serves again after that."""
    upstream.does = OUT_OF_QUOTA
    assert (await one(proxy)).route == FELL_BACK + "; history=reduced"
    upstream.does = hello
    upstream.requests.clear()


async def test_off_by_default(start: Start, upstream: Stub) -> None:
    proxy = await start(fallback=ON)
    await fallen_back(proxy, upstream)
    assert (await one(proxy)).route == AT_UPSTREAM


async def test_a_conversation_stays(start: Start, upstream: Stub) -> None:
    proxy = await start(fallback=STICKY)
    await fallen_back(proxy, upstream)

    assert (await one(proxy)).route == STAYS + "; history=reduced"
    assert upstream.requests == []


async def test_only_as_long_as_configured_after_its_last_turn(
    start: Start, upstream: Stub, time: Time
) -> None:
    proxy = await start(fallback=STICKY)
    await fallen_back(proxy, upstream)

    for wait, route in ((590, STAYS), (590, STAYS), (610, AT_UPSTREAM)):
        time.added += wait
        assert str((await one(proxy)).route).startswith(route)


@pytest.mark.parametrize("headers", [KEY_B, [*KEY_A, ("session_id", "other")], []])
async def test_another_conversation_does_not(
    start: Start, upstream: Stub, headers: list[tuple[str, str]]
) -> None:
    proxy = await start(fallback=STICKY)
    await fallen_back(proxy, upstream)

    assert (await one(proxy, headers)).route == AT_UPSTREAM


async def test_another_model_of_the_same_conversation_does_not(start: Start, upstream: Stub) -> None:
    proxy = await start(fallback=STICKY)
    await fallen_back(proxy, upstream)

    assert (await ask(proxy, HISTORY | {"model": "o3-mini"}, RESPONSES, KEY_A)).route == AT_UPSTREAM
    assert str((await one(proxy)).route).startswith(STAYS)


@pytest.mark.parametrize("status", [404, 429, 500])
async def test_it_ends_when_litellm_fails(start: Start, upstream: Stub, litellm: Stub, status: int) -> None:
    proxy = await start(fallback=STICKY)
    await fallen_back(proxy, upstream)

    litellm.does = says(status, b'{"error": {"message": "no"}}')
    answer = await one(proxy)
    assert answer.status == status
    assert str(answer.route).startswith(STAYS)
    litellm.does = hello
    assert (await one(proxy)).route == AT_UPSTREAM


async def test_a_retry_that_fails_ends_it_too(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(fallback=STICKY | {"history": "keep"})
    upstream.does = OUT_OF_QUOTA
    assert (await one(proxy)).route == FELL_BACK
    upstream.does = hello

    litellm.does = in_turn(says(400, ENCRYPTED), says(500, b"{}"))
    answer = await one(proxy)

    assert (answer.status, answer.body, answer.route) == (400, ENCRYPTED, STAYS)
    assert proxy.log("the client gets upstream's answer") == []
    litellm.does = hello
    assert (await one(proxy)).route == AT_UPSTREAM


async def test_an_unreachable_litellm_ends_it_too(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(fallback=STICKY)
    await fallen_back(proxy, upstream)
    await litellm.stop()

    assert (await one(proxy)).status == 502
    assert (await one(proxy)).route == AT_UPSTREAM


async def test_a_routed_request_makes_nothing_stay(start: Start) -> None:
    proxy = await start(fallback=STICKY)
    assert (await ask(proxy, HISTORY | {"model": "gpt-5"}, RESPONSES)).route == "litellm; reason=model"
    assert (await ask(proxy, HISTORY, RESPONSES)).route == AT_UPSTREAM


async def test_who_may_not_spend_the_key_goes_to_upstream(start: Start, upstream: Stub) -> None:
    proxy = await start(fallback=STICKY)
    await fallen_back(proxy, upstream)

    answer = await one(proxy, [*KEY_A, ("origin", "https://example.com")])

    assert answer.route == "upstream; reason=fallback-failed; fallback-failed=not-allowed"
    assert len(upstream.requests) == 1


async def test_a_whole_session_stays_on_one_side(start: Start, upstream: Stub, litellm: Stub) -> None:
    talk = codex(await start(fallback=STICKY), upstream, litellm)
    await talk.turns(2)
    await talk.turns(1, out_of_quota=True)

    assert await talk.turns(3) == [Turn(STAYS + "; history=reduced", 0, 1)] * 3
    assert talk.litellm.refusals == []
