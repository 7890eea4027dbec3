"""Coding agents: clients that send their whole history with each turn, and run the tools they are asked to.

An `Agent` makes the body of the next turn, and takes the answer to it into its
history. `words` is what must arrive of a history, whoever gets it.
"""

import json
from abc import ABC, abstractmethod
from typing import Any

type Json = dict[str, Any]
type Words = list[tuple[str, ...]]


class Agent(ABC):
    """A session.

    Args:
        model: that it asks for.
        session: an id for its session headers; "" for a client that sends none.

    Attributes:
        history: as it will be sent.
        path: where it asks.
    """

    path: str

    def __init__(self, model: str, session: str = "") -> None:
        self.model = model
        self.session = session
        self.history: list[Json] = []
        self.turns = 0
        self._asks()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Those that name the session."""
        return []

    @abstractmethod
    def body(self) -> Json:
        """The next turn's request."""

    @abstractmethod
    def hear(self, answer: bytes) -> None:
        """Take an answer into the history, with what comes next: a tool's result, or the user's words."""

    @abstractmethod
    def words(self, body: Json) -> Words:
        """Every text, tool call and tool result of a request, in order."""

    @abstractmethod
    def _asks(self) -> None:
        """The user says something."""

    def _next(self) -> str:
        """The user's words, or a tool's output."""
        self.turns += 1
        return f"{self.turns}: what the user or the tool says"


def events(stream: bytes) -> list[Json]:
    """The events of a stream, without their names."""
    lines = [line for line in stream.splitlines() if line.startswith(b"data: ")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


class Codex(Agent):
    """The Codex CLI: Responses, streamed, nothing stored, reasoning sent back encrypted, and no item ids.

    Args:
        ids: send them all the same, as the openai SDK's users do.
    """

    path = "/v1/responses"

    def __init__(self, model: str, session: str = "", *, ids: bool = False) -> None:
        self._ids = ids
        super().__init__(model, session)

    @property
    def headers(self) -> list[tuple[str, str]]:
        if not self.session:
            return []
        return [("originator", "codex_cli_rs"), ("session_id", self.session)]

    def body(self) -> Json:
        tool = {"type": "function", "name": "shell", "parameters": {"type": "object"}, "strict": False}
        return {
            "model": self.model,
            "instructions": "You are a coding agent.",
            "input": self.history,
            "tools": [tool],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
            "reasoning": {"effort": "medium", "summary": "auto"},
            "store": False,
            "stream": True,
            "include": ["reasoning.encrypted_content"],
        }

    def hear(self, answer: bytes) -> None:
        items = [e["item"] for e in events(answer) if e["type"] == "response.output_item.done"]
        if not self._ids:
            items = [{key: value for key, value in item.items() if key != "id"} for item in items]
        self.history += items
        if items[-1]["type"] != "function_call":
            self._asks()
            return
        output = {"call_id": items[-1]["call_id"], "output": self._next()}
        self.history.append({"type": "function_call_output", **output})

    def words(self, body: Json) -> Words:
        found: Words = []
        for item in body["input"]:
            if item["type"] == "message":
                found += [(item["role"], part["text"]) for part in item["content"]]
            elif item["type"] == "function_call":
                found.append(("call", item["call_id"], item["name"], item["arguments"]))
            elif item["type"] == "function_call_output":
                found.append(("result", item["call_id"], item["output"]))
        return found

    def _asks(self) -> None:
        said = [{"type": "input_text", "text": self._next()}]
        self.history.append({"type": "message", "role": "user", "content": said})


class ClaudeCode(Agent):
    """Claude Code: Messages, streamed, with thinking, and a cache mark that moves along.

    Args:
        thinking: `enabled` (manual) or `adaptive`.
    """

    path = "/v1/messages?beta=true"

    def __init__(self, model: str, session: str = "", *, thinking: str = "enabled") -> None:
        self._thinking = thinking
        super().__init__(model, session)

    @property
    def headers(self) -> list[tuple[str, str]]:
        beta = ("anthropic-beta", "interleaved-thinking-2025-05-14,context-management-2025-06-27")
        session = [("X-Claude-Code-Session-Id", self.session)] if self.session else []
        return [("anthropic-version", "2023-06-01"), beta, *session]

    def body(self) -> Json:
        *earlier, last = self.history
        *blocks, end = last["content"]
        marked = {**last, "content": [*blocks, {**end, "cache_control": {"type": "ephemeral"}}]}
        budget = {"budget_tokens": 4000} if self._thinking == "enabled" else {}
        return {
            "model": self.model,
            "max_tokens": 8000,
            "system": [{"type": "text", "text": "You are a coding agent."}],
            "messages": [*earlier, marked],
            "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
            "thinking": {"type": self._thinking, **budget},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "stream": True,
        }

    def hear(self, answer: bytes) -> None:
        blocks: list[Json] = []
        for event in events(answer):
            if event["type"] == "content_block_start":
                blocks.append(event["content_block"])
            elif event["type"] == "content_block_delta":
                _grow(blocks[-1], event["delta"])
        self.history.append({"role": "assistant", "content": blocks})
        if blocks[-1]["type"] != "tool_use":
            self._asks()
            return
        result = {"type": "tool_result", "tool_use_id": blocks[-1]["id"], "content": self._next()}
        self.history.append({"role": "user", "content": [result]})

    def words(self, body: Json) -> Words:
        found: Words = []
        for message in body["messages"]:
            for block in message["content"]:
                if block["type"] == "text":
                    found.append((message["role"], block["text"]))
                elif block["type"] == "tool_use":
                    found.append(("call", block["id"], block["name"], json.dumps(block["input"])))
                elif block["type"] == "tool_result":
                    found.append(("result", block["tool_use_id"], block["content"]))
        return found

    def _asks(self) -> None:
        self.history.append({"role": "user", "content": [{"type": "text", "text": self._next()}]})


def _grow(block: Json, delta: Json) -> None:
    """Apply a delta, as the anthropic SDK does."""
    if delta["type"] == "input_json_delta":
        block["input"] = json.loads(delta["partial_json"])  # the providers of sealed.py send it in one piece
        return
    part = delta["type"].removesuffix("_delta")
    block[part] += delta[part]
