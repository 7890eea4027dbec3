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
    assert len(ours.refusals) <= MOST_REFUSALS, ours.refusals
    assert len(theirs.refusals) <= MOST_REFUSALS, theirs.refusals
