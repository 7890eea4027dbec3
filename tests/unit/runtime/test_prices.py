"""LiteLLM is asked for its prices when one is needed, over a real socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from litellm_hybrid.config.settings import Address, Fallback, Secret, Settings, SettingsStore
from litellm_hybrid.fallback.shared_state import SharedState
from litellm_hybrid.fallback.state import DayCosts
from litellm_hybrid.llm.replay.foresight import Backend
from litellm_hybrid.llm.usage import Usage
from litellm_hybrid.observability.counters import Spend
from litellm_hybrid.runtime import prices as prices_module
from litellm_hybrid.runtime.prices import Prices
from support.servers import Reply, Server
from support.wire import Request

INFO = {"id": "a", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}


class World:
    """Prices, and the LiteLLM that has them."""

    def __init__(self) -> None:
        self.status = 200
        self.server = Server(self._answer)
        self.spend = Spend()
        self.key = self.spend.key(0.0, "litellm", "gpt-5", "fallback")

    async def _answer(self, _: Request, reply: Reply) -> None:
        await reply.json(self.status, {"data": [{"model_name": "openai/gpt-5", "model_info": INFO}]})

    def start(self, *, fallback: bool = False) -> None:
        """Make the prices; the server listens."""
        address = Address("http", "127.0.0.1", self.server.port, "")
        settings = Settings(
            base_url=address, api_key=Secret("sk-litellm"), fallback=Fallback(enabled=fallback)
        )
        self.prices = Prices(SettingsStore(settings), self.spend, DayCosts(SharedState()))

    def charge(self, model: str = "openai/gpt-5") -> list[float]:
        """A response has ended; what it cost will be in the list."""
        told: list[float] = []
        self.prices.charge(self.key, Usage(1000, 500), model, "", told.append)
        return told


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(prices_module, "_DELAY", 0.01)
    world = World()
    async with world.server:
        world.start()
        yield world


async def _asked(world: World) -> None:
    assert world.prices._asking
    async with asyncio.timeout(10):
        await world.prices._asking


async def test_it_is_asked_once_and_charges_what_was_waiting(world: World) -> None:
    first, second = world.charge(), world.charge()
    assert first == second == []
    await _asked(world)
    assert first == second == [pytest.approx(0.002)]
    assert world.spend.cost_usd == {("fallback",): pytest.approx(0.004)}
    assert world.charge() == [pytest.approx(0.002)]
    (request,) = world.server.requests
    assert (request.target, request.values("authorization")) == ("/model/info", ["Bearer sk-litellm"])


async def test_what_it_has_no_price_for_is_counted_as_such(world: World) -> None:
    world.charge("other")
    await _asked(world)
    world.charge("other")
    assert world.spend.unpriced == {("gpt-5",): 2}
    assert world.spend.cost_usd == {}
    assert len(world.server.requests) == 1


async def test_a_litellm_that_does_not_tell_is_not_asked_all_the_time(world: World) -> None:
    world.status = 403
    for _ in range(3):
        world.charge()
        await _asked(world)
    assert len(world.server.requests) == 1
    assert world.spend.unpriced == {("gpt-5",): 3}


async def test_other_settings_may_be_another_litellm(world: World) -> None:
    world.charge()
    await _asked(world)
    world.prices.forget()
    assert world.charge() == []
    await _asked(world)
    assert len(world.server.requests) == 2


async def test_who_serves_a_model_is_known_once_it_was_asked(world: World) -> None:
    assert world.prices.backends("openai/gpt-5") == ()
    await _asked(world)
    assert world.prices.backends("openai/gpt-5") == (Backend("", ""),)
    assert len(world.server.requests) == 1
    world.prices.forget()
    assert world.prices.backends("openai/gpt-5") == ()


async def test_where_there_may_be_replays_it_is_asked_at_the_start(world: World) -> None:
    world.prices.running()
    assert world.prices._asking is None
    world.start(fallback=True)
    world.prices.running()
    await _asked(world)
    assert world.prices.backends("openai/gpt-5") == (Backend("", ""),)
    assert len(world.server.requests) == 1


async def test_one_that_has_told_nothing_is_asked_again_soon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.status = 500
    world.prices.backends("openai/gpt-5")
    await _asked(world)
    world.status = 200
    assert world.prices.backends("openai/gpt-5") == ()
    await _asked(world)
    assert len(world.server.requests) == 1, "not all the time"
    monkeypatch.setattr(prices_module, "_RETRY_UNANSWERED_AFTER", 0.0)
    assert world.prices.backends("openai/gpt-5") == ()
    await _asked(world)
    assert world.prices.backends("openai/gpt-5") == (Backend("", ""),)
