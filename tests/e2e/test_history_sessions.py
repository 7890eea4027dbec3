"""Whole sessions of agents that change sides, with providers that refuse what another one has sealed."""

from collections.abc import Callable

import pytest

from e2e.conftest import Start
from e2e.fallback_support import ON, healthy
from e2e.harness import Stub
from e2e.history_support import (
    ANTHROPIC,
    AT_UPSTREAM,
    FELL_BACK,
    GEMINI,
    OPENAI,
    REDUCED,
    Session,
    Turn,
    claude_code,
    codex,
)
from support.agents import Agent, ClaudeCode, Codex
from support.agents_others import Chatter, GeminiCli
from support.sealed import Messages, Provider, Responses
from support.sealed_others import Chat, Gemini

__all__ = ["healthy"]

SESSIONS = [("named", "session-1"), ("unnamed", "")]
named = pytest.mark.parametrize("session", [s for _, s in SESSIONS], ids=[name for name, _ in SESSIONS])
# Upstream's second answer is in the middle of a tool loop, its third ends one; LiteLLM's likewise.
lengths = pytest.mark.parametrize(("before", "away"), [(2, 1), (2, 2), (3, 3), (1, 2), (4, 1)])


async def there_and_back(talk: Session, before: int, away: int, *, tries: int) -> None:
    """Change sides twice: the first turn on a side takes `tries` attempts at most, every later one is one."""
    served, reduced = Turn(AT_UPSTREAM, 1, 0), Turn(AT_UPSTREAM + REDUCED, 1, 0)
    assert await talk.turns(before) == [served] * before
    at_litellm = await talk.turns(away, out_of_quota=True)
    assert at_litellm[0] == Turn(FELL_BACK + REDUCED, 1, tries)
    assert at_litellm[1:] == [Turn(FELL_BACK + REDUCED, 1, 1)] * (away - 1)
    back = await talk.turns(3)
    assert back[0] == Turn(AT_UPSTREAM + REDUCED, 2, 0)
    assert set(back[1:]) <= {served, reduced}
    assert len(talk.upstream.refusals) == 1


@named
@lengths
@pytest.mark.parametrize("ids", [False, True], ids=["codex", "with-item-ids"])
async def test_codex(
    start: Start, upstream: Stub, litellm: Stub, *, session: str, ids: bool, before: int, away: int
) -> None:
    ours, theirs = Responses("ours"), Responses("theirs", wrapper=OPENAI)
    upstream.does, litellm.does = ours, theirs
    proxy = await start(fallback=ON)

    talk = Session(proxy, Codex("o3", session, ids=ids), ours, theirs)
    await there_and_back(talk, before, away, tries=1)

    assert theirs.refusals == []


@named
@lengths
@pytest.mark.parametrize("thinking", ["enabled", "adaptive"])
async def test_claude_code(
    start: Start, upstream: Stub, litellm: Stub, session: str, thinking: str, before: int, away: int
) -> None:
    ours, theirs = Messages("ours"), Messages("theirs", wrapper=ANTHROPIC)
    upstream.does, litellm.does = ours, theirs
    proxy = await start(fallback=ON)

    talk = Session(proxy, ClaudeCode("claude-opus-4-5", session, thinking=thinking), ours, theirs)
    await there_and_back(talk, before, away, tries=2)

    assert len(theirs.refusals) == 1


@pytest.mark.parametrize(
    ("agent", "ours", "theirs"),
    [
        (Chatter("claude-opus-4-5"), Chat("ours"), Chat("theirs", wrapper=ANTHROPIC)),
        (GeminiCli("gemini-3-pro"), Gemini("ours"), Gemini("theirs", wrapper=GEMINI)),
    ],
    ids=["chat", "generate-content"],
)
async def test_other_apis(
    start: Start, upstream: Stub, litellm: Stub, agent: Agent, ours: Provider, theirs: Provider
) -> None:
    upstream.does, litellm.does = ours, theirs
    proxy = await start(fallback=ON)

    await there_and_back(Session(proxy, agent, ours, theirs), 2, 3, tries=2)


async def test_manual_thinking_is_off_only_where_it_would_be_missed(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    talk = claude_code(await start(fallback=ON), upstream, litellm)

    await talk.turns(2)
    await talk.turns(3, out_of_quota=True)

    # Upstream's two calls are one tool loop, and LiteLLM's third answer ends it.
    assert ["thinking" in body for body in talk.litellm.accepted] == [False, False, False]
    assert all("context_management" not in body for body in talk.litellm.accepted)
    await talk.turns(1, out_of_quota=True)
    assert "thinking" in talk.litellm.accepted[-1]
    assert "context_management" not in talk.litellm.accepted[-1]


async def test_thinking_that_litellm_left_out_is_missed_at_upstream(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    talk = claude_code(await start(fallback=ON), upstream, litellm)

    await talk.turns(2)
    await talk.turns(1, out_of_quota=True)
    await talk.turns(1)

    (refusal,) = talk.upstream.refusals
    assert "Expected `thinking` or `redacted_thinking`, but found `text`" in refusal
    assert "thinking" not in talk.upstream.accepted[-1]


@pytest.mark.parametrize(
    ("make", "keys", "tries"),
    [
        (codex, {"history": "keep"}, 2),
        (codex, {"history": "reduce"}, 1),
        (codex, {"history": "auto"}, 1),
        (codex, {}, 1),
        (claude_code, {"history": "keep"}, 2),
        (claude_code, {"history": "reduce"}, 1),
        (claude_code, {"history": "auto"}, 2),
    ],
)
async def test_attempts_at_litellm(
    start: Start,
    upstream: Stub,
    litellm: Stub,
    make: Callable[..., Session],
    keys: dict[str, str],
    tries: int,
) -> None:
    talk = make(await start(fallback=ON | keys), upstream, litellm)
    await there_and_back(talk, 2, 2, tries=tries)


async def test_another_providers_model_gets_no_history_of_this_one(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON, model_mappings={"claude-*": "openai/gpt-5"})
    talk = claude_code(proxy, upstream, litellm)
    await there_and_back(talk, 2, 2, tries=1)


@pytest.mark.parametrize(("make", "tries"), [(codex, 1), (claude_code, 2)])
async def test_refusals_in_a_streams_first_event(
    start: Start, upstream: Stub, litellm: Stub, make: Callable[..., Session], tries: int
) -> None:
    proxy = await start(fallback=ON)
    talk = make(proxy, upstream, litellm, in_stream=True)
    await there_and_back(talk, 2, 2, tries=tries)


async def test_several_exhaustions(start: Start, upstream: Stub, litellm: Stub) -> None:
    talk = codex(await start(fallback=ON), upstream, litellm)

    for _ in range(3):
        await talk.turns(2)
        await talk.turns(2, out_of_quota=True)

    assert talk.agent.turns == 13
