"""`fallback.max-cost-per-day` over sockets: replays end where the day's dollars, or the prices, do."""

import asyncio
from typing import Any

from e2e.conftest import Start
from e2e.fallback_support import FELL_BACK, OUT_OF_QUOTA, failed
from e2e.harness import PATIENCE, Proxy, Stub, until
from support.servers import Reply
from support.wire import Request

ANSWER: dict[str, Any] = {
    "choices": [{"message": {"role": "assistant", "content": "Hi"}}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
}
PRICED = {
    "model_name": "o3",
    "model_info": {"id": "1", "input_cost_per_token": 1e-3, "output_cost_per_token": 2e-3},
}
ALSO = {
    "model_name": "o3",
    "model_info": {"id": "2", "input_cost_per_token": 2e-3, "output_cost_per_token": 2e-3},
}
UNPRICED = {
    "model_name": "o3",
    "model_info": {"id": "3", "input_cost_per_token": 0, "output_cost_per_token": 0},
}


async def _served(_: Request, reply: Reply) -> None:
    await reply.json(200, ANSWER, [("x-litellm-model-id", "1")])


async def _route(proxy: Proxy) -> str:
    return (await proxy.post("o3")).header("x-hybrid-route") or ""


async def _first_fallback(proxy: Proxy) -> str:
    """The route of the first request that is replayed: LiteLLM's prices may be a moment late."""
    async with asyncio.timeout(PATIENCE):
        while (route := await _route(proxy)).startswith(failed("budget")):
            pass
    return route


def _limited(dollars: str) -> dict[str, Any]:
    return {"enabled": True, "cooldown-max": "0s", "max-cost-per-day": dollars}


async def test_replays_end_with_the_days_dollars(start: Start, upstream: Stub, litellm: Stub) -> None:
    """Each costs 1.2: after two of them 2 are spent."""
    upstream.does, litellm.does, litellm.deployments = OUT_OF_QUOTA, _served, [PRICED]
    proxy = await start(fallback=_limited("2"))
    await until(lambda: litellm.model_info_asked)

    routes = [await _first_fallback(proxy), *[await _route(proxy) for _ in range(3)]]

    assert [route.partition("; model=")[0] for route in routes] == [
        FELL_BACK,
        FELL_BACK,
        *[failed("budget")] * 2,
    ]
    (line,) = proxy.log("no fallback, the $2 of this day are spent")
    assert line.level == "ERROR"


async def test_what_is_routed_does_not_count(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does, litellm.does, litellm.deployments = OUT_OF_QUOTA, _served, [PRICED]
    proxy = await start(fallback=_limited("1"), models=["gpt-5"], model_mappings={"gpt-5": "o3"})
    await until(lambda: litellm.model_info_asked)
    for _ in range(2):
        await proxy.post("gpt-5")

    assert (await _first_fallback(proxy)).startswith(FELL_BACK)


async def test_a_model_of_two_prices_has_a_price(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does, litellm.does, litellm.deployments = OUT_OF_QUOTA, _served, [PRICED, ALSO]
    proxy = await start(fallback=_limited("2"))
    await until(lambda: litellm.model_info_asked)

    assert (await _first_fallback(proxy)).startswith(FELL_BACK)


async def test_a_model_without_a_price_is_not_replayed(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does, litellm.does, litellm.deployments = OUT_OF_QUOTA, _served, [PRICED, UNPRICED]
    proxy = await start(fallback=_limited("2"))
    await until(lambda: litellm.model_info_asked)

    assert await _route(proxy) == failed("budget")
    assert proxy.log("LiteLLM has no price for o3")


async def test_without_a_limit_no_price_is_needed(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does, litellm.does, litellm.deployments = OUT_OF_QUOTA, _served, [UNPRICED]
    proxy = await start(fallback=_limited("0"))

    assert (await _route(proxy)).startswith(FELL_BACK)


async def test_prices_are_asked_for_when_a_reload_sets_a_limit(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    upstream.does, litellm.does, litellm.deployments = OUT_OF_QUOTA, _served, [PRICED]
    proxy = await start(fallback=_limited("0"))
    await until(lambda: litellm.model_info_asked)
    litellm.model_info_asked = 0

    proxy.config.write_text(proxy.config.read_text().replace('"0"', '"5"'))

    await until(lambda: litellm.model_info_asked)
    assert (await _first_fallback(proxy)).startswith(FELL_BACK)
