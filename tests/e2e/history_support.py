"""What the end-to-end tests of history share: sessions that change sides."""

import json
from dataclasses import dataclass

from e2e.harness import Proxy, Stub
from support.agents import Agent, ClaudeCode, Codex
from support.sealed import Messages, Provider, Responses

AT_UPSTREAM = "upstream; reason=not-listed"
FELL_BACK = "litellm; reason=fallback; upstream-status=429"
REDUCED = "; history=reduced"

KEY_A = [("authorization", "Bearer sk-a")]
KEY_B = [("authorization", "Bearer sk-b")]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn took.

    Attributes:
        route: what the header said.
        upstream: attempts there.
        litellm: attempts there.
    """

    route: str | None
    upstream: int
    litellm: int


class Session:
    """An agent behind the proxy, and the provider of each side."""

    def __init__(self, proxy: Proxy, agent: Agent, upstream: Provider, litellm: Provider) -> None:
        self.proxy = proxy
        self.agent = agent
        self.upstream = upstream
        self.litellm = litellm

    async def turn(self) -> Turn:
        """One turn: it is answered with 200, once, and whoever answers it has got every word."""
        body = self.agent.body()
        sides = (self.upstream, self.litellm)
        attempts = [side.attempts for side in sides]
        accepted = [len(side.accepted) for side in sides]

        answer = await self.proxy.ask("POST", self.agent.path, body, self.agent.headers)

        assert answer.status == 200, answer.body
        (arrived,) = [got for side, n in zip(sides, accepted, strict=True) for got in side.accepted[n:]]
        assert self.agent.words(arrived) == self.agent.words(body)
        assert len(self.agent.words(arrived)) >= self.agent.turns
        self.agent.hear(answer.body)
        used = [side.attempts - n for side, n in zip(sides, attempts, strict=True)]
        return Turn(answer.route, *used)

    async def turns(self, count: int, *, out_of_quota: bool = False) -> list[Turn]:
        """Some turns, while upstream serves or does not."""
        self.upstream.out_of_quota = out_of_quota
        return [await self.turn() for _ in range(count)]


def codex(proxy: Proxy, upstream: Stub, litellm: Stub, *, in_stream: bool = False) -> Session:
    """A session of Codex with its own id, and OpenAI on both sides."""
    upstream.does = ours = Responses("ours", in_stream=in_stream)
    litellm.does = theirs = Responses("theirs", wrapper=OPENAI, in_stream=in_stream)
    return Session(proxy, Codex("o3", "session-1"), ours, theirs)


def claude_code(proxy: Proxy, upstream: Stub, litellm: Stub, *, in_stream: bool = False) -> Session:
    """A session of Claude Code with its own id, and Anthropic on both sides."""
    upstream.does = ours = Messages("ours", in_stream=in_stream)
    litellm.does = theirs = Messages("theirs", wrapper=ANTHROPIC, in_stream=in_stream)
    return Session(proxy, ClaudeCode("claude-opus-4-5", "session-1"), ours, theirs)


OPENAI = "litellm.BadRequestError: OpenAIException - "
ANTHROPIC = "litellm.BadRequestError: AnthropicException - "
GEMINI = "litellm.BadRequestError: GeminiException BadRequestError - "

ENCRYPTED = json.dumps(
    {
        "error": {
            "message": "The encrypted content gAAA... could not be verified. Reason: "
            "Encrypted content organization_id did not match the target organization.",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_encrypted_content",
        }
    }
).encode()
"""OpenAI's refusal."""
