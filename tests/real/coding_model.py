"""A scripted coding model: asks for a command a turn until it has run enough of them, then says that it is done.

It speaks the four APIs, at a provider's place and as the backend of LiteLLM, so that
a session that changes places goes on where it was. What it was asked, and what it made of that, is its transcript.
"""

import base64
import json
import re
from binascii import Error
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, override

from real.corpus import ProviderError
from real.providers import PROFILE, data, event, play
from support.makers import MadeMessages, Maker
from support.servers import Reply, Server
from support.wire import Request

type Json = dict[str, Any]

DONE = "All steps are done."
_QUESTION = re.compile(rb"question (\d+)")
"""What an agent without tools asks, instead of bringing a command's result."""

SHELLS = (
    "Bash",
    "bash",
    "run_shell_command",
    "exec_command",
    "shell_command",
    "shell",
    "local_shell",
    "container.exec",
)
"""Names of the tool that runs a command, by client."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One request of an agent.

    Attributes:
        step: how many results of commands its history has.
        said: what it was answered with.
        refused: whether that is what a test has it refused with.
        unread: its history is refused, because somebody else has signed a part of it.
    """

    path: str
    model: str
    step: int
    said: str
    refused: bool = False
    unread: bool = False


def _field(number: int, content: bytes) -> bytes:
    """A short field of bytes in protobuf."""
    return bytes([number << 3 | 2, len(content)]) + content


class Signed(MadeMessages):
    """Claude as a maker of signatures, which look like Anthropic's; nobody else's are taken."""

    @override
    def seal(self) -> str:
        # In protobuf: field 2, in that field 1, in that the channel's number. CLIProxyAPI drops any other.
        block = b"\x08\x0b" + _field(5, f"signed by {self.name} ".rjust(60, ".").encode())
        return base64.b64encode(_field(2, _field(1, block))).decode()

    @override
    def opens(self, seal: object) -> bool:
        try:
            content = base64.b64decode(str(seal), validate=True)
            if content.startswith(b"E"):  # as Antigravity has it: encoded once more
                content = base64.b64decode(content, validate=True)
        except Error:
            return False
        return f"signed by {self.name} ".encode() in content


class CodingModel(Server):
    """The server.

    Args:
        name: who answers, for the transcript.
        steps: how many commands it asks for.
        fails: what a request at a step is refused with, or None.
        signs: it thinks, signs that, and refuses what it has not signed itself.
    """

    def __init__(
        self,
        name: str,
        steps: int = 6,
        fails: Callable[[Request, int], ProviderError | None] | None = None,
        *,
        signs: bool = False,
    ) -> None:
        super().__init__(self._reply)
        self.name = name
        self.signed = Signed(name) if signs else None
        if self.signed is not None:
            self.signed.maker = Maker(name, "anthropic", "", "")
        self.steps = steps
        self.fails = fails
        self.turns: list[Turn] = []
        self._cached: dict[str, Json] = {}

    async def _reply(self, request: Request, reply: Reply) -> None:
        body: Json = json.loads(request.body) if request.body.startswith(b"{") else {}
        self.requests.clear()
        style = next((style for end, style in STYLES.items() if end in request.path), None)
        if style is None:
            await reply.json(200, self._aside(request, body))
            return
        if inner := body.get("request"):  # Antigravity's envelope
            style, body = replace(style, answer=_antigravity), {"model": body.get("model"), **inner}
        # LiteLLM puts what Anthropic's clients mark into Gemini's cache, and sends the rest.
        cached = self._cached.get(str(body.pop("cachedContent", "")), {})
        body = (
            {**cached, **body, "contents": [*cached.get("contents", ()), *body["contents"]]}
            if cached
            else body
        )
        asked = [int(number) for number in _QUESTION.findall(request.body)]
        step = max(asked) - 1 if asked else len(re.findall(style.result, json.dumps(body.get(style.history))))
        refused = self.fails(request, step) if self.fails else None
        if refused is not None:
            self._note(request, body, step, f"{refused.status} {refused.text[:70]}", refused=True)
            await play(refused, reply)
            return
        if unread := self._unread(body, style.history):
            self._note(request, body, step, unread, unread=True)
            error = {"type": "invalid_request_error", "code": 400, "status": "INVALID_ARGUMENT"}
            await reply.json(400, {"type": "error", "error": {**error, "message": unread}})
            return
        tool = None if step >= self.steps else _shell(body)
        self._note(request, body, step, f"calls {tool['name']}" if tool else DONE)
        streamed = bool(body.get("stream")) or "streamGenerate" in request.path
        await style.answer(
            reply,
            Answer(
                str(body.get("model")),
                step,
                tool,
                streamed,
                f"{step}_{len(self.turns)}",
                self.signed.seal() if self.signed is not None and _thinks(body) else "",
            ),
        )

    def _unread(self, body: Json, history: str) -> str | None:
        """Why a history is refused, if it is."""
        if self.signed is None:
            return None
        if history == "messages":
            return self.signed.refusal(body)
        seals = [part.get("thoughtSignature") for turn in body[history] for part in turn["parts"]]
        return self.signed.refused([seal for seal in seals if seal])

    def _aside(self, request: Request, body: Json) -> Json:
        """What is asked for beside answers: a profile, a cache, a count of tokens, a list of models."""
        if "/oauth/profile" in request.path:
            return PROFILE
        if "cachedContents" not in request.path:
            return {"input_tokens": 20, "totalTokens": 20, "object": "list", "data": []}
        if request.method == "GET":
            return {"cachedContents": []}
        name = f"cachedContents/{len(self._cached)}"
        self._cached[name] = {key: value for key, value in body.items() if key in {"contents", "tools"}}
        return {"name": name, "model": str(body.get("model")), "displayName": body.get("displayName")}

    def _note(
        self,
        request: Request,
        body: Json,
        step: int,
        said: str,
        *,
        refused: bool = False,
        unread: bool = False,
    ) -> None:
        self.turns.append(Turn(request.path, str(body.get("model")), step, said, refused, unread))


def _thinks(body: Json) -> bool:
    """Whether a request asks for thinking, of Anthropic or Google."""
    asked = body.get("thinking") or body.get("generationConfig", {}).get("thinkingConfig") or {}
    return bool(asked) and asked.get("type") != "disabled"


def _shell(body: Json) -> Json | None:
    """The tool of a request that runs commands, or None: it is none of an agent's turns."""
    tools: dict[str, Json] = {}
    for tool in body.get("tools") or ():
        declared = tool.get("functionDeclarations") or tool.get("function_declarations")
        for each in declared or [tool.get("function") or tool]:
            tools[str(each.get("name") or each.get("type"))] = each
    # CLIProxyAPI renames the tools of Claude subscriptions: `mcp__play_simple__exercise_Bash`.
    shells = (
        given
        for name in SHELLS
        for given in tools
        if given == name or (given.startswith("mcp__") and given.endswith(f"_{name}"))
    )
    return next(({**tools[given], "name": given} for given in shells), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a turn is answered with.

    Attributes:
        tool: the one that is called, None where the model is done.
        key: tells this answer's ids from every other's.
        seal: what its thinking is signed with; "": it does not think.
    """

    model: str
    step: int
    tool: Json | None
    streamed: bool
    key: str
    seal: str = ""

    @property
    def text(self) -> str:
        """What it says."""
        return f"Step {self.step + 1}." if self.tool else DONE

    @property
    def thought(self) -> str:
        """What it thinks; CLIProxyAPI knows signatures again by that, so no two are the same."""
        return f"Step {self.key} comes after others, says {self.seal[-40:]}."

    @property
    def name(self) -> str:
        """The tool's."""
        return str(self.tool["name"]) if self.tool else ""

    @property
    def arguments(self) -> Json:
        """A command that writes one line, as the tool wants it."""
        tool = self.tool or {}
        command = f"echo step {self.step + 1} >> steps.txt"
        schemas = (tool.get(key) for key in ("input_schema", "parameters", "parametersJsonSchema"))
        names = (next(filter(None, schemas), None) or {}).get("properties") or {}
        if "cmd" in names:
            return {"cmd": command}
        kind = (names.get("command") or {}).get("type")
        arguments: Json = {"command": ["bash", "-lc", command] if kind == "array" else command}
        return arguments | ({"description": f"Step {self.step + 1}"} if "description" in names else {})


async def _messages(reply: Reply, answer: Answer) -> None:
    usage = {"input_tokens": 30, "output_tokens": 1}
    message: Json = {"id": f"msg_{answer.key}", "type": "message", "role": "assistant", "model": answer.model}
    reason = "tool_use" if answer.tool else "end_turn"
    call: Json = {"type": "tool_use", "id": f"toolu_{answer.key}", "name": answer.name}
    if not answer.streamed:
        content: list[Json] = []
        if answer.seal:
            content.append({"type": "thinking", "thinking": answer.thought, "signature": answer.seal})
        content.append({"type": "text", "text": answer.text})
        content += [call | {"input": answer.arguments}] if answer.tool else []
        await reply.json(200, message | {"content": content, "stop_reason": reason, "usage": usage})
        return
    start = message | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    blocks: list[tuple[Json, list[Json]]] = []
    if answer.seal:
        thought = {"type": "thinking_delta", "thinking": answer.thought}
        signature = {"type": "signature_delta", "signature": answer.seal}
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, [thought, signature]))
    blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": answer.text}]))
    if answer.tool:
        piece = json.dumps(answer.arguments)
        blocks.append((call | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece}]))
    events = [event("message_start", message=start)]
    for index, (block, deltas) in enumerate(blocks):
        events.append(event("content_block_start", index=index, content_block=block))
        events += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
        events.append(event("content_block_stop", index=index))
    events += [
        event(
            "message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": 9}
        ),
        event("message_stop"),
    ]
    await reply.events(events)


async def _responses(reply: Reply, answer: Answer) -> None:
    response: Json = {
        "id": f"resp_{answer.key}",
        "object": "response",
        "created_at": 1,
        "model": answer.model,
    }
    response |= {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
    item: Json = {"id": f"fc_{answer.key}", "type": "function_call", "call_id": f"call_{answer.key}"}
    if answer.tool is None:
        part = {"type": "output_text", "text": DONE, "annotations": []}
        item = {"id": f"msg_{answer.key}", "type": "message", "role": "assistant", "content": [part]}
    else:
        item |= {"name": answer.name, "arguments": json.dumps(answer.arguments)}
    usage: Json = {"input_tokens": 30, "output_tokens": 9, "total_tokens": 39}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    whole = item | {"status": "completed"}
    done = response | {"status": "completed", "output": [whole], "usage": usage}
    if not answer.streamed:
        await reply.json(200, done)
        return
    opening = response | {"status": "in_progress", "output": []}
    empty: Json = {"content": []} if answer.tool is None else {"arguments": ""}
    begun = item | empty | {"status": "in_progress"}
    where: Json = {"item_id": item["id"], "output_index": 0}
    events = [
        event("response.created", sequence_number=0, response=opening),
        event("response.in_progress", sequence_number=1, response=opening),
        event("response.output_item.added", sequence_number=2, output_index=0, item=begun),
    ]
    if answer.tool is None:
        where |= {"content_index": 0}
        blank = {"type": "output_text", "text": "", "annotations": []}
        events += [
            event("response.content_part.added", sequence_number=3, part=blank, **where),
            event("response.output_text.delta", sequence_number=4, delta=DONE, **where),
            event("response.output_text.done", sequence_number=5, text=DONE, **where),
        ]
    else:
        said = item["arguments"]
        events += [
            event("response.function_call_arguments.delta", sequence_number=3, delta=said, **where),
            event("response.function_call_arguments.done", sequence_number=4, arguments=said, **where),
        ]
    events += [
        event("response.output_item.done", sequence_number=6, output_index=0, item=whole),
        event("response.completed", sequence_number=7, response=done),
    ]
    await reply.events(events)


async def _chat(reply: Reply, answer: Answer) -> None:
    head: Json = {"id": f"chatcmpl-{answer.key}", "created": 1, "model": answer.model}
    said: Json = {"role": "assistant", "content": answer.text}
    if answer.tool:
        function = {"name": answer.name, "arguments": json.dumps(answer.arguments)}
        said["tool_calls"] = [
            {"index": 0, "id": f"call_{answer.key}", "type": "function", "function": function}
        ]
    reason = "tool_calls" if answer.tool else "stop"
    usage = {"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39}
    if not answer.streamed:
        choice: Json = {"index": 0, "message": said, "finish_reason": reason}
        await reply.json(200, head | {"object": "chat.completion", "choices": [choice], "usage": usage})
        return
    head["object"] = "chat.completion.chunk"
    first = head | {"choices": [{"index": 0, "delta": said, "finish_reason": None}]}
    last = head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], "usage": usage}
    await reply.events([data(first), data(last), "data: [DONE]\n\n"])


async def _gemini(reply: Reply, answer: Answer) -> None:
    whole = _candidates(answer)
    if answer.streamed:
        await reply.events([data(whole)])
    else:
        await reply.json(200, whole)


async def _antigravity(reply: Reply, answer: Answer) -> None:
    whole = {"response": _candidates(answer), "traceId": "t"}
    if answer.streamed:
        await reply.events([data(whole)])
    else:
        await reply.json(200, whole)


def _candidates(answer: Answer) -> Json:
    parts: list[Json] = [{"text": answer.text}]
    if answer.seal:
        parts.insert(0, {"text": answer.thought, "thought": True, "thoughtSignature": answer.seal})
    if answer.tool:
        parts.append({"functionCall": {"name": answer.name, "args": answer.arguments}})
        if answer.seal:
            parts[-1]["thoughtSignature"] = answer.seal
    usage = {"promptTokenCount": 30, "candidatesTokenCount": 9, "totalTokenCount": 39}
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    # Claude Code takes two answers of one id for one.
    whole: Json = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": answer.model}
    return whole | {"responseId": answer.key}


@dataclass(frozen=True, slots=True)
class Style:
    """How an API has its history, the results of tools in it (a regular expression), and its answers."""

    history: str
    result: str
    answer: Callable[[Reply, Answer], Awaitable[None]]


STYLES = {
    "/messages": Style("messages", '"type": "tool_result"', _messages),
    "/responses": Style("input", '_call_output"', _responses),
    "/chat/completions": Style("messages", '"role": "tool"', _chat),
    "enerateContent": Style("contents", '"function(?:Response|_response)"', _gemini),
}
"""Part of a path → its API."""
