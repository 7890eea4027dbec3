"""Accounts and backends as strict servers: what each leaves in a conversation, and what each refuses of others.

A `Maker` is a Claude, Codex, Antigravity or Grok account behind CLIProxyAPI, or a Claude, GPT, Gemini or compatible
model behind LiteLLM. Each answers on the four APIs, with what was seen there in real sessions: seals by which another
maker is known (`gAAA`, `claude#`, `litellm_enc:`), and members that others do not document.
"""

from dataclasses import dataclass, field
from typing import Literal, override

from support.sealed import Json, Messages, Provider, Responses, blocks_of
from support.sealed_others import Chat, Gemini

type Family = Literal["anthropic", "openai", "google", "lenient"]


@dataclass(frozen=True, slots=True)
class Maker:
    """Who answers.

    Attributes:
        family: whose rules it has: `lenient` takes any history.
        model: what clients ask for, or LiteLLM's name.
        seal: how its seals begin; None: it seals nothing.
        in_messages: its seals in Messages, where they are others.
        call_members: what it adds to calls in Messages.
        message_members: what it adds to an assistant's message in chat.
        wrapper: what stands before its refusals.
    """

    name: str
    family: Family
    model: str
    seal: str | None
    in_messages: str | None = None
    call_members: Json = field(default_factory=dict)
    message_members: Json = field(default_factory=dict)
    wrapper: str = ""


ACCOUNTS = (
    Maker("claude", "anthropic", "claude-opus-4-5", "EqQB"),
    Maker("codex", "openai", "gpt-5.5", "gAAA"),
    Maker("antigravity", "google", "gemini-3-pro", "claude#", call_members={"signature": "claude#EqQB"}),
    Maker("grok", "openai", "grok-4.3", "gAAA"),
)
_ADDED: Json = {"provider_specific_fields": {"thought_signature": "CtwC"}}
BACKENDS = (
    Maker("theirs", "anthropic", "anthropic/claude-opus-4-5", "Evcx", wrapper="AnthropicException"),
    Maker("gpt", "openai", "openai/gpt-5.5", "gAAA", in_messages="", wrapper="OpenAIException"),
    Maker(
        *("gemini", "google", "gemini/gemini-3-pro", "litellm_enc:"),
        in_messages="",
        call_members=_ADDED,
        message_members=_ADDED,
        wrapper="GeminiException",
    ),
    Maker("vllm", "lenient", "hosted_vllm/qwen", None, message_members={"reasoning_content": "hm"}),
)

EXPECTED = "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`."
_REFUSED = {
    "anthropic": "messages.1.content.0: Invalid `signature` in `thinking` block",
    "openai": "The encrypted content gAAA... could not be verified. Reason: organization_id did not match.",
    "google": "Corrupted thought signature.",
}


class _Made(Provider):
    """A provider with a maker's seals."""

    maker: Maker

    @override
    def seal(self) -> str:
        return f"{self.maker.seal}-{self.maker.name}-{self.turn}"

    @override
    def opens(self, seal: object) -> bool:
        return self.maker.family == "lenient" or str(seal).startswith(f"{self.maker.seal}-{self.maker.name}-")

    def refused(self, seals: list[str]) -> str | None:
        """Why one of the seals of a history is refused."""
        is_foreign = any(not self.opens(seal) for seal in seals)
        return _REFUSED[self.maker.family] if is_foreign and self.maker.family != "lenient" else None


class MadeMessages(_Made, Messages):
    """Messages."""

    @override
    def seal(self) -> str:
        given = self.maker.in_messages
        return super().seal() if given is None else given

    @override
    def opens(self, seal: object) -> bool:
        # What is no seal of OpenAI's is passed over by those who translate to it.
        others = self.maker.family == "openai" and not str(seal).startswith("gAAA")
        return others or super().opens(seal)

    @override
    def refusal(self, body: Json) -> str | None:
        blocks = [block for message in body["messages"] for block in blocks_of(message)]
        if self.maker.family != "anthropic":
            return self.refused([block["signature"] for block in blocks if block["type"] == "thinking"])
        for block in blocks:
            if block["type"] == "text" and not block["text"]:
                return "messages: text content blocks must be non-empty"
            added = (
                block.keys() & {"provider_specific_fields", "signature"}
                if block["type"] == "tool_use"
                else ()
            )
            if added:
                return f"messages.1.content.0.tool_use.{min(added)}: Extra inputs are not permitted"
        return super().refusal(body)

    @override
    def call_members(self) -> Json:
        return self.maker.call_members


class MadeResponses(_Made, Responses):
    """Responses."""

    @override
    def refusal(self, body: Json) -> str | None:
        items: list[Json] = body["input"]
        if self.maker.family in {"openai", "lenient"}:
            return None if self.maker.family == "lenient" else super().refusal(body)
        seals = [item["encrypted_content"] for item in items if item.get("encrypted_content")]
        if refused := self.refused(seals):
            return refused
        in_loop = items[-1]["type"] == "function_call_output" and "reasoning" in body
        if self.maker.family == "anthropic" and in_loop:
            users = [number for number, item in enumerate(items) if item.get("role") == "user"]
            if items[users[-1] + 1]["type"] != "reasoning":
                return EXPECTED
        return None

    @override
    def reasoning(self) -> Json:
        return {} if self.maker.seal is None else {"encrypted_content": self.seal()}


class MadeChat(_Made, Chat):
    """Chat completions; Anthropic's thinking is beside the words where LiteLLM answers for it."""

    _KNOWN = frozenset({"role", "content", "tool_calls", "tool_call_id", "reasoning_content"})

    @override
    def refusal(self, body: Json) -> str | None:
        if self.maker.wrapper == "AnthropicException":
            return super().refusal(body)
        for number, message in enumerate(body["messages"]):
            added = [name for name in message if name not in self._KNOWN]
            if self.maker.family == "openai" and added:
                return f"Unknown parameter: 'messages[{number}].{added[0]}'."
        return None

    @override
    def beside(self) -> Json:
        has_blocks = self.maker.wrapper == "AnthropicException"
        return self.maker.message_members | (super().beside() if has_blocks else {})


class MadeGemini(_Made, Gemini):
    """generateContent; only Google's own seal and demand seals, Anthropic's take no empty text."""

    @override
    def refusal(self, body: Json) -> str | None:
        if self.maker.family == "google":
            return super().refusal(body)
        parts = [part for content in body["contents"] for part in content["parts"]]
        if self.maker.family == "anthropic" and any(part.get("text") == "" for part in parts):
            return "messages: text content blocks must be non-empty"
        return None

    @override
    def sealed(self, part: Json) -> Json:
        return super().sealed(part) if self.maker.family == "google" else part


def provider(api: str, maker: Maker) -> Provider:
    """A maker on one of the four APIs."""
    kinds: dict[str, type[MadeMessages | MadeResponses | MadeChat | MadeGemini]] = {
        "messages": MadeMessages,
        "responses": MadeResponses,
        "chat": MadeChat,
        "gemini": MadeGemini,
    }
    wrapper = f"litellm.BadRequestError: {maker.wrapper} - " if maker.wrapper else ""
    made = kinds[api](maker.name, wrapper=wrapper)
    made.maker = maker
    return made
