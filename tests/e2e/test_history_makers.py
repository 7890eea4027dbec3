"""Sessions on four APIs between every account and every backend, out and back twice: no refusal reaches the client."""

from collections.abc import Callable

import pytest

from e2e.conftest import Start
from e2e.fallback_support import ON
from e2e.harness import Stub
from e2e.history_support import Session
from support.agents import Agent, ClaudeCode, Codex
from support.agents_others import Chatter, GeminiCli
from support.makers import ACCOUNTS, BACKENDS, Maker, provider
from support.sealed import Provider

AGENTS: dict[str, Callable[[str], Agent]] = {
    "messages": lambda model: ClaudeCode(model, "session-1"),
    "responses": lambda model: Codex(model, "session-1", ids=True),
    "chat": Chatter,
    "gemini": GeminiCli,
}
MOST_REFUSALS = 3
"""Of one side in a session: one for each kind of what it cannot read."""


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda maker: maker.name)
@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda maker: maker.name)
@pytest.mark.parametrize("api", AGENTS)
async def test_no_refusal_reaches_the_client(
    start: Start, upstream: Stub, litellm: Stub, api: str, account: Maker, backend: Maker
) -> None:
    upstream.does = ours = provider(api, account)
    litellm.does = theirs = provider(api, backend)
    proxy = await start(fallback=ON, models=[], model_mappings={"*": backend.model})
    talk = Session(proxy, AGENTS[api](account.model), ours, theirs)
    for _ in range(2):
        await talk.turns(2)
        await talk.turns(2, out_of_quota=True)
    await talk.turns(3)
    _expect_few_refusals(ours, theirs)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda maker: maker.name)
@pytest.mark.parametrize(("api", "account"), [*zip(AGENTS, ACCOUNTS, strict=True), ("messages", ACCOUNTS[2])])
async def test_nor_where_the_model_is_listed_and_litellm_is_away_now_and_then(
    start: Start, upstream: Stub, litellm: Stub, api: str, account: Maker, backend: Maker
) -> None:
    """`fallback.to-upstream`: the same, the other way round."""
    upstream.does = ours = provider(api, account)
    litellm.does = theirs = provider(api, backend)
    proxy = await start(
        fallback={"to-upstream": True}, models=[account.model], model_mappings={"*": backend.model}
    )
    talk = Session(proxy, AGENTS[api](account.model), ours, theirs)
    for _ in range(2):
        for theirs.out_of_quota in (False, True):
            await talk.turn()
            await talk.turn()
    theirs.out_of_quota = False
    assert [str((await talk.turn()).route).partition(";")[0] for _ in range(3)] == ["litellm"] * 3
    _expect_few_refusals(ours, theirs)


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda maker: maker.name)
@pytest.mark.parametrize("api", ["messages", "responses", "chat"])
async def test_a_session_may_choose_a_listed_model_meanwhile(
    start: Start, upstream: Stub, litellm: Stub, api: str, account: Maker
) -> None:
    """Claude Code's picker, for example: nothing has failed, and the history changes sides."""
    upstream.does, litellm.does = ours, theirs = provider(api, account), provider(api, BACKENDS[0])
    proxy = await start(fallback=ON, models=["listed"], model_mappings={"listed": BACKENDS[0].model})
    talk = Session(proxy, AGENTS[api](account.model), ours, theirs)
    for model in (account.model, "listed", account.model, "listed"):
        talk.agent.model = model
        for _ in range(3):
            turn = await talk.turn()
            assert str(turn.route).startswith("litellm; " if model == "listed" else "upstream; ")
    _expect_few_refusals(ours, theirs)


def _expect_few_refusals(ours: Provider, theirs: Provider) -> None:
    assert len(ours.refusals) <= MOST_REFUSALS, ours.refusals
    assert len(theirs.refusals) <= MOST_REFUSALS, theirs.refusals
