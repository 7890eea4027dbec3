"""The Responses shape (OpenAI), as the content views show it.

Its input and its output are lists of items. Calls and what came back are items of
their own, beside the messages; they are shown as what the assistant and the tools say.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from litellm_hybrid.llm.transcript.model import (
    Conversation,
    Kind,
    Part,
    Texts,
    Tool,
    TranscriptResponse,
    Turn,
    base64,
    noted,
    said,
    size,
    thought,
)
from litellm_hybrid.llm.transcript.openai_chat import arguments, content, results
from litellm_hybrid.message.json import Object, first, index, items, members, objects, text

END = "response.completed"
"""The event that ends a stream."""

_SHOWN = frozenset({"model", "stream", "instructions", "input", "tools"})

_ARGUMENTS = ("arguments", "input", "action", "queries", "code", "operation")
"""Under which of these an item has what a tool is called with."""


def conversation(body: Object) -> Conversation | None:
    """A request read; None if it is none of this API's."""
    asked = body.get("input")
    if not isinstance(asked, str | list):
        return None
    instructions = content(body.get("instructions"))
    turns = [Turn("instructions", instructions)] if instructions else []
    turns += [Turn("user", said(asked))] if isinstance(asked, str) else _turns(objects(asked))
    tools = [tool for given in objects(body.get("tools")) for tool in _tools(given)]
    return Conversation.of(body, _SHOWN, tools, turns)


def response(body: Object) -> TranscriptResponse | None:
    """A response read; None if it is none of this API's."""
    if not isinstance(body.get("output"), list):
        return None
    why = text(members(body.get("incomplete_details")).get("reason"))
    status = text(body.get("status"))
    return TranscriptResponse(
        model=text(body.get("model")),
        id=text(body.get("id")),
        finish=f"{status} ({why})" if why else status,
        usage=body.get("usage"),
        turns=_turns(objects(body["output"])),
    )


def _tools(tool: Object) -> list[Tool]:
    name, kind = text(tool.get("name")), text(tool.get("type"))
    if kind == "namespace":
        return [
            Tool(f"{name}.{text(t.get('name'))}", text(t.get("description")))
            for t in objects(tool.get("tools"))
        ]
    label = text(tool.get("server_label"))
    return [Tool(name or f"{kind} {label}".strip(), text(first(tool, "description", "server_description")))]


def _turns(listed: Iterable[Object]) -> list[Turn]:
    """The items, those that one side says in a row together."""
    turns: list[Turn] = []
    for item in listed:
        role, parts = _item(item)
        if turns and turns[-1].role == role and role in ("assistant", "tool"):
            turns[-1].parts.extend(parts)
        else:
            turns.append(Turn(role, parts))
    return turns


def _item(item: Object) -> tuple[str, list[Part]]:
    kind = text(item.get("type")) or "message"
    if kind == "message":
        return text(item.get("role")), content(item.get("content"))
    if kind == "reasoning":
        words = [
            text(part.get("text")) for name in ("summary", "content") for part in objects(item.get(name))
        ]
        return "assistant", thought("\n\n".join(words), text(item.get("encrypted_content")))
    if kind.endswith("_output"):
        given = item.get("output")
        parts = said(text(given)) or content(given) or ([Part(Kind.TEXT, given)] if given else [])
        return "tool", results(parts, id=text(item.get("call_id")))
    if kind.endswith("_call"):
        return "assistant", _call(item, kind)
    if sealed := text(item.get("encrypted_content")):
        return "assistant", noted(f"{kind}, sealed, {size(len(sealed))}")
    return "assistant", noted(f"{kind} {text(first(item, 'id', 'server_label'))}".strip())


def _call(item: Object, kind: str) -> list[Part]:
    name = text(item.get("name")) or kind.removesuffix("_call")
    call_id = text(first(item, "call_id", "id"))
    called = arguments(first(item, *_ARGUMENTS) or "")
    parts = [Part(Kind.CALL, called, name, call_id)]
    if image := text(item.get("result")):
        parts += base64("image", image)
    if given := first(item, "output", "outputs", "results", "error"):
        parts.append(Part(Kind.RESULT, given, name, call_id))
    return parts


# -- streams ----------------------------------------------------------------------


def knows(event: Object) -> bool:
    """Whether an event is one of this API's."""
    return text(event.get("type")).startswith(("response.", "codex."))


def ends(event: Object) -> bool:
    """Whether an event ends a stream."""
    return event.get("type") in ("response.completed", "response.incomplete", "response.failed")


_PIECES = {
    "response.output_text.delta": ("message", "text"),
    "response.refusal.delta": ("message", "refusal"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary"),
    "response.reasoning_text.delta": ("reasoning", "content"),
    "response.function_call_arguments.delta": ("function_call", "arguments"),
    "response.mcp_call_arguments.delta": ("mcp_call", "arguments"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input"),
    "response.code_interpreter_call_code.delta": ("code_interpreter_call", "code"),
}
"""By the type of an event: the item it is about, and what of it grows by a piece."""


def assemble(events: Iterable[Object]) -> dict[str, Any]:
    """The plain response, as far as its events have come."""
    response: dict[str, Any] = {}
    found: defaultdict[int, _Item] = defaultdict(_Item)
    for event in events:
        kind = text(event.get("type"))
        number = index(event.get("output_index"))
        if kind in _PIECES:
            found[number].add(event, *_PIECES[kind])
        elif kind == "response.output_item.added":
            found[number].begun = members(event.get("item"))
        elif kind == "response.output_item.done":
            found[number].done = members(event.get("item"))
        else:
            response |= members(event.get("response"))
    output = items(response.get("output")) or [found[number].plain() for number in sorted(found)]
    return {**response, "output": output}


class _Item:
    def __init__(self) -> None:
        self.begun: Object = {}
        self.done: Object = {}
        self._kind = ""
        self._texts = Texts()
        self._parts: defaultdict[tuple[str, int], Texts] = defaultdict(Texts)

    def add(self, event: Object, kind: str, grows: str) -> None:
        self._kind = kind
        number = index(event.get("summary_index" if grows == "summary" else "content_index"))
        texts = self._parts[grows, number] if kind in ("message", "reasoning") else self._texts
        texts.add(grows, event.get("delta"))

    def plain(self) -> dict[str, Any]:
        if self.done:
            return dict(self.done)
        item: dict[str, Any] = {"type": self._kind or "message", **self.begun, **self._texts.joined()}
        if item["type"] == "message":
            item = {"role": "assistant", **item}
        for grows, number in sorted(self._parts):
            member = grows if grows == "summary" else "content"
            words = "".join(self._parts[grows, number].joined().values())
            item[member] = [*items(item.get(member)), {"text": words}]
        return item
