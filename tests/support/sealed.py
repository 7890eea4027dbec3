"""Providers that refuse a history that another one made, as OpenAI, Anthropic and Google do.

A provider seals its reasoning with its own name, and answers with two tool calls, then
with text, and so on. Where the words of its refusals were seen is in docs/history.md.
"""

import json
from abc import ABC, abstractmethod
from typing import Any

from support.dialects import data
from support.servers import Reply
from support.wire import Request

type Json = dict[str, Any]

USAGE_LIMIT = {
    "error": {
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": "plus",
        "resets_in_seconds": 3600,
    }
}
"""What CLIProxyAPI answers with 429 once a Codex subscription is used up."""


class Provider(ABC):
    """A handler for one API, of a `Server`.

    Args:
        name: of the provider; nothing that others have sealed is accepted.
        wrapper: what stands before a refusal, as in LiteLLM's `litellm.BadRequestError: OpenAIException - `.
        in_stream: refusals come as the first event of a 200.

    Attributes:
        out_of_quota: it answers nothing but 429.
        accepted: the requests that it has answered, parsed.
        refusals: the words of its refusals.
        attempts: how many requests have come in all.
    """

    def __init__(self, name: str, *, wrapper: str = "", in_stream: bool = False) -> None:
        self.name = name
        self.out_of_quota = False
        self.accepted: list[Json] = []
        self.refusals: list[str] = []
        self.attempts = 0
        self._wrapper = wrapper
        self._in_stream = in_stream

    async def __call__(self, request: Request, reply: Reply) -> None:
        if request.method == "GET":  # the proxy asks LiteLLM for its models, a second after a replay
            await reply.json(403, self.error("not for this key"))
            return
        self.attempts += 1
        if self.out_of_quota:
            await reply.json(429, USAGE_LIMIT)
            return
        body = request.json()
        refusal = self.refusal(body)
        if refusal is None:
            self.accepted.append(body)
            await self.answer(reply)
            return
        self.refusals.append(refusal)
        error = self.error(refusal)
        if self._wrapper:
            words = (
                f"{self._wrapper}{json.dumps(error)}\n\nLiteLLM: model group 'm' failed with the error above."
            )
            error = self.error(words)
        if self._in_stream:
            await reply.events([data(error, "error")])
        else:
            await reply.json(400, error)

    @property
    def turn(self) -> int:
        """How many requests it has answered."""
        return len(self.accepted)

    @property
    def calls(self) -> bool:
        """Whether it calls a tool this turn."""
        return self.turn % 3 != 0

    def seal(self) -> str:
        """Something that only this provider can read."""
        return f"sealed-by-{self.name}-{self.turn}"

    def opens(self, seal: object) -> bool:
        """Whether it can read a seal."""
        return str(seal).startswith(f"sealed-by-{self.name}-")

    def words(self) -> str:
        """What it says this turn."""
        return f"{self.name} says {self.turn}"

    def error(self, words: str) -> Json:
        """An error of its API; OpenAI's, for want of another."""
        return {"error": {"message": words, "type": "invalid_request_error", "param": None, "code": None}}

    @abstractmethod
    def refusal(self, body: Json) -> str | None:
        """Why it does not take this request, or None."""

    @abstractmethod
    async def answer(self, reply: Reply) -> None:
        """Answer the request that it has accepted last."""


class Responses(Provider):
    """OpenAI's, with `store: false`. The ids that it gave its own items are bound to their reasoning."""

    def refusal(self, body: Json) -> str | None:
        items: list[Json] = body["input"]
        for item in items:
            if "encrypted_content" in item and not self.opens(item["encrypted_content"]):
                return (
                    "The encrypted content gAAA... could not be verified. Reason: "
                    "Encrypted content organization_id did not match the target organization."
                )
        ids = {item.get("id") for item in items}
        for item in items:
            kind, serial = str(item.get("id", "")).partition("_")[::2]
            if kind in ("fc", "msg") and serial.startswith(self.name) and f"rs_{serial}" not in ids:
                return (
                    f"Item '{item['id']}' of type '{item['type']}' was provided without its required "
                    f"'reasoning' item: 'rs_{serial}'."
                )
        calls = {item["call_id"] for item in items if item["type"] == "function_call"}
        results = {item["call_id"] for item in items if item["type"] == "function_call_output"}
        return None if results == calls else "No tool call found for function call output"

    def error(self, words: str) -> Json:
        code = "invalid_encrypted_content" if words.startswith("The encrypted content") else None
        return {"error": {"message": words, "type": "invalid_request_error", "param": None, "code": code}}

    def reasoning(self) -> Json:
        """What seals its reasoning."""
        return {"encrypted_content": self.seal()}

    async def answer(self, reply: Reply) -> None:
        serial = f"{self.name}{self.turn}"
        items: list[Json] = [
            {"type": "reasoning", "id": f"rs_{serial}", "summary": [], **self.reasoning()},
            {
                "type": "message",
                "id": f"msg_{serial}",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": self.words(), "annotations": []}],
            },
        ]
        if self.calls:
            call = {"call_id": f"call_{serial}", "name": "shell", "arguments": '{"command":["ls"]}'}
            items.append({"type": "function_call", "id": f"fc_{serial}", "status": "completed", **call})
        response = {"id": f"resp_{serial}", "object": "response", "status": "in_progress", "output": []}
        events: list[Json] = [
            {"type": "response.created", "response": response},
            {"type": "response.in_progress", "response": response},
            *({"type": "response.output_item.done", "item": item} for item in items),
            {"type": "response.completed", "response": {**response, "status": "completed", "output": items}},
        ]
        await reply.events([data(event, event["type"]) for event in events])


class Messages(Provider):
    """Anthropic's. In manual mode a tool loop's turn has to begin with thinking; adaptive mode wants none."""

    def refusal(self, body: Json) -> str | None:
        messages: list[Json] = body["messages"]
        blocks = [
            (f"messages.{m}.content.{c}", block)
            for m, message in enumerate(messages)
            for c, block in enumerate(blocks_of(message))
        ]
        for where, block in blocks:
            if block["type"] == "thinking" and not self.opens(block["signature"]):
                return f"{where}: Invalid `signature` in `thinking` block"
            if block["type"] == "redacted_thinking" and not self.opens(block["data"]):
                return f"{where}: Invalid `data` in `redacted_thinking` block"
        if not all(blocks_of(message) for message in messages):
            return "messages: all messages must have non-empty content"
        calls = [block["id"] for _, block in blocks if block["type"] == "tool_use"]
        results = [block["tool_use_id"] for _, block in blocks if block["type"] == "tool_result"]
        if results != calls:
            return "`tool_use` ids were found without `tool_result` blocks immediately after"
        return self._demands(body)

    def call_members(self) -> Json:
        """What it adds to a call."""
        return {}

    def _demands(self, body: Json) -> str | None:
        thinking = body.get("thinking", {}).get("type")
        edits = body.get("context_management", {}).get("edits", [])
        if thinking is None and any(edit["type"].startswith("clear_thinking") for edit in edits):
            return "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"
        if thinking != "enabled" or not _answers_a_call(body):
            return None
        first = blocks_of(body["messages"][-2])[0]["type"]
        if first in ("thinking", "redacted_thinking"):
            return None
        return (
            f"messages.{len(body['messages']) - 2}.content.0.type: Expected `thinking` or "
            f"`redacted_thinking`, but found `{first}`. When `thinking` is enabled, a final `assistant` "
            "message must start with a thinking block"
        )

    def error(self, words: str) -> Json:
        return {"type": "error", "error": {"type": "invalid_request_error", "message": words}}

    async def answer(self, reply: Reply) -> None:
        content: list[tuple[Json, list[Json]]] = []
        if "thinking" in self.accepted[-1]:
            if self.turn % 3 == 0:
                content.append(({"type": "redacted_thinking", "data": self.seal()}, []))
            thought = {"type": "thinking_delta", "thinking": f"{self.name} thinks"}
            signature = {"type": "signature_delta", "signature": self.seal()}
            content.append(({"type": "thinking", "thinking": "", "signature": ""}, [thought, signature]))
        content.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": self.words()}]))
        if self.calls:
            call = {"type": "tool_use", "id": f"toolu_{self.name}{self.turn}", "name": "Bash", "input": {}}
            call |= self.call_members()
            content.append((call, [{"type": "input_json_delta", "partial_json": '{"command":"ls"}'}]))
        message = {"id": f"msg_{self.turn}", "type": "message", "role": "assistant", "content": []}
        events: list[Json] = [{"type": "message_start", "message": message}, {"type": "ping"}]
        for index, (block, deltas) in enumerate(content):
            events.append({"type": "content_block_start", "index": index, "content_block": block})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        events.append({"type": "message_stop"})
        await reply.events([data(event, event["type"]) for event in events])


def blocks_of(message: Json) -> list[Json]:
    """The content of a message, a text as a block."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _answers_a_call(body: Json) -> bool:
    return any(block["type"] == "tool_result" for block in blocks_of(body["messages"][-1]))
