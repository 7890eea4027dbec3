"""A scripted coding model: asks for a command a turn until it has run enough of them, then says that it is done.

It speaks Anthropic's messages and OpenAI's responses, at a provider's place and as the backend of LiteLLM, so that
a session that changes places goes on where it was. What it was asked, and what it made of that, is its transcript.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from real.corpus import ProviderError
from real.providers import event, play
from support.servers import Reply, Server
from support.wire import Request

type Json = dict[str, Any]

DONE = "All steps are done."
SHELLS = ("Bash", "exec_command", "shell_command", "shell", "local_shell", "container.exec")
"""Names of the tool that runs a command, by client."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One request of an agent.

    Attributes:
        step: how many results of commands its history has.
        said: what it was answered with.
    """

    path: str
    model: str
    step: int
    said: str


class CodingModel(Server):
    """The server.

    Args:
        name: who answers, for the transcript.
        steps: how many commands it asks for.
        fails: what a request at a step is refused with, or None.
    """

    def __init__(
        self, name: str, steps: int = 6, fails: Callable[[Request, int], ProviderError | None] | None = None
    ) -> None:
        super().__init__(self._reply)
        self.name = name
        self.steps = steps
        self.fails = fails
        self.turns: list[Turn] = []

    async def _reply(self, request: Request, reply: Reply) -> None:
        body: Json = json.loads(request.body) if request.body.startswith(b"{") else {}
        self.requests.clear()
        messages = request.path.endswith("/messages")
        if not (messages or request.path.endswith("/responses")):
            await reply.json(200, {"input_tokens": 20, "object": "list", "data": []})
            return
        step = _results(body, "messages" if messages else "input")
        refused = self.fails(request, step) if self.fails else None
        if refused is not None:
            self._note(request, body, step, f"{refused.status} {refused.text[:70]}")
            await play(refused, reply)
            return
        tool = None if step >= self.steps else _shell(body)
        self._note(request, body, step, f"calls {tool['name']}" if tool else DONE)
        if messages:
            await _messages(reply, body, step, tool)
        else:
            await _responses(reply, body, step, tool)

    def _note(self, request: Request, body: Json, step: int, said: str) -> None:
        self.turns.append(Turn(request.path, str(body.get("model")), step, said))


def _results(body: Json, name: str) -> int:
    """How many commands have been run, by the results in a history."""
    text = json.dumps(body.get(name))
    return text.count('"type": "tool_result"') + text.count('_call_output"')


def _shell(body: Json) -> Json | None:
    """The tool of a request that runs commands, or None: it is none of an agent's turns."""
    tools = {str(tool.get("name") or tool.get("type")): tool for tool in body.get("tools") or ()}
    return next(({"name": name, **tools[name]} for name in SHELLS if name in tools), None)


def _arguments(tool: Json, step: int) -> Json:
    command = f"echo step {step + 1} >> steps.txt"
    schema = tool.get("input_schema") or tool.get("parameters") or {}
    names = schema.get("properties") or {}
    if "cmd" in names:
        return {"cmd": command}
    kind = (names.get("command") or {}).get("type")
    arguments: Json = {"command": ["bash", "-lc", command] if kind == "array" else command}
    return arguments | ({"description": f"Step {step + 1}"} if "description" in names else {})


async def _messages(reply: Reply, body: Json, step: int, tool: Json | None) -> None:
    usage = {"input_tokens": 30, "output_tokens": 1}
    message: Json = {"id": f"msg_{step}", "type": "message", "role": "assistant", "model": body.get("model")}
    text = f"Step {step + 1}." if tool else DONE
    reason = "tool_use" if tool else "end_turn"
    call: Json = {"type": "tool_use", "id": f"toolu_{step}_{id(body)}", "name": (tool or {}).get("name")}
    if not body.get("stream"):
        content: list[Json] = [{"type": "text", "text": text}]
        content += [call | {"input": _arguments(tool, step)}] if tool else []
        await reply.json(200, message | {"content": content, "stop_reason": reason, "usage": usage})
        return
    start = message | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    events = [
        event("message_start", message=start),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
        event("content_block_stop", index=0),
    ]
    if tool:
        piece = json.dumps(_arguments(tool, step))
        events += [
            event("content_block_start", index=1, content_block=call | {"input": {}}),
            event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": piece}),
            event("content_block_stop", index=1),
        ]
    events += [
        event(
            "message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 9}
        ),
        event("message_stop"),
    ]
    await reply.events(events)


async def _responses(reply: Reply, body: Json, step: int, tool: Json | None) -> None:
    response: Json = {"id": f"resp_{step}", "object": "response", "created_at": 1, "model": body.get("model")}
    response |= {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
    item: Json = {"id": f"fc_{step}", "type": "function_call", "call_id": f"call_{step}_{id(body)}"}
    if tool is None:
        part = {"type": "output_text", "text": DONE, "annotations": []}
        item = {"id": f"msg_{step}", "type": "message", "role": "assistant", "content": [part]}
    else:
        item |= {"name": tool["name"], "arguments": json.dumps(_arguments(tool, step))}
    usage: Json = {"input_tokens": 30, "output_tokens": 9, "total_tokens": 39}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    done = response | {"status": "completed", "output": [item | {"status": "completed"}], "usage": usage}
    if not body.get("stream"):
        await reply.json(200, done)
        return
    opening = response | {"status": "in_progress", "output": []}
    empty: Json = {"content": []} if tool is None else {"arguments": ""}
    events = [
        event("response.created", sequence_number=0, response=opening),
        event("response.in_progress", sequence_number=1, response=opening),
        event(
            "response.output_item.added",
            sequence_number=2,
            output_index=0,
            item=item | empty | {"status": "in_progress"},
        ),
    ]
    if tool is None:
        where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        blank = {"type": "output_text", "text": "", "annotations": []}
        events += [
            event("response.content_part.added", sequence_number=3, part=blank, **where),
            event("response.output_text.delta", sequence_number=4, delta=DONE, **where),
            event("response.output_text.done", sequence_number=5, text=DONE, **where),
        ]
    else:
        where = {"item_id": item["id"], "output_index": 0}
        events += [
            event(
                "response.function_call_arguments.delta", sequence_number=3, delta=item["arguments"], **where
            ),
            event(
                "response.function_call_arguments.done",
                sequence_number=4,
                arguments=item["arguments"],
                **where,
            ),
        ]
    events += [
        event(
            "response.output_item.done",
            sequence_number=6,
            output_index=0,
            item=item | {"status": "completed"},
        ),
        event("response.completed", sequence_number=7, response=done),
    ]
    await reply.events(events)
