"""The Responses shape (OpenAI): reasoning items, encrypted content, and ids bound to them.

OpenAI seals `encrypted_content` for one organisation; another one answers 400
`invalid_encrypted_content` (openai/codex#8145, #13724, BerriAI/litellm#18094). An
item that keeps its id while its reasoning item is gone is refused, too: "Item
'fc_…' of type 'function_call' was provided without its required 'reasoning' item"
(mastra-ai/mastra#8738, laravel/ai#1052). `call_id` ties results to calls and stays.

As text: its input and its output are lists of items. Calls and what came back are items of
their own, beside the messages; they are shown as what the assistant and the tools say.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from msgspec import Raw

from litellm_hybrid.llm.parts import (
    Conversation,
    Kind,
    Part,
    Texts,
    Tool,
    TranscriptResponse,
    Turn,
    arguments,
    base64,
    content,
    noted,
    results,
    said,
    size,
    thought,
)
from litellm_hybrid.llm.reduction import Reduction, last_turn
from litellm_hybrid.message.json import Object, first, index, items, members, objects, text
from litellm_hybrid.message.json_edit import RawObject, elements, encoded, kind, opened, raw_text

# -- histories --------------------------------------------------------------------

_COMPACTED = frozenset({"compaction", "compaction_summary", "context_compaction"})
"""Items that are the only record of earlier turns, sealed. `compaction_trigger` asks for one and stays."""

COMPACTION_NOTE = (
    "[The earlier part of this conversation was compacted by another provider and cannot be read here. "
    "Go on with what follows; ask for, or look up, what is missing.]"
)
"""What the model is told in the place of such an item."""

_NOTE = encoded(
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": COMPACTION_NOTE}]}
)

_ID_OPTIONAL = frozenset(
    {"function_call", "custom_tool_call", "tool_search_call", "shell_call", "apply_patch_call"}
)
_ID_REQUIRED = frozenset(
    {"message", "web_search_call", "file_search_call", "code_interpreter_call", "computer_call"}
)
"""Their type wants an id, so they get one that no server knows, with the prefix that it checks."""


def reduce_responses(request: RawObject, work: Reduction) -> bool:
    """Reduce a Responses request in place; says whether it was changed.

    `include: ["reasoning.encrypted_content"]` stays: it asks for new content. So does
    `previous_response_id`, which only the server that stored the response can serve.
    `reasoning` is left out where Anthropic, asked in this API, would miss what was dropped.
    """
    items = elements(request.get("input"))
    if items is None:
        return False
    kept = [step for item in items if (step := _unsealed(item, work)) is not None]
    unbind = len(kept) < len(items) or work.rejection == "reasoning-item"
    after = [_reduced(item, position, work, unbind=unbind) for position, item in enumerate(kept)]
    changed = len(after) != len(items) or any(new is not old for new, old in zip(after, items, strict=True))
    if changed:
        request["input"] = encoded(after)
    refused = work.rejection in {"thinking-signature", "clear-thinking"} and in_tool_loop(request)
    if work.rejection == "thinking-missing" or refused:
        changed |= work.switch_off(request, ("reasoning",))
        changed |= work.switch_off_suffix(request)
    return changed


def in_tool_loop(request: RawObject) -> bool:
    """Whether the last turn is the result of a tool call."""
    return (kind(last_turn(request.get("input"))) or "").endswith("_output")


def _reduced(raw: Raw, position: int, work: Reduction, *, unbind: bool) -> Raw:
    item = opened(raw)
    if item is None or raw is _NOTE:
        return raw
    reduced = work.is_foreign(item.get("encrypted_content")) or work.everything
    reduced = reduced and work.remove(item, ("encrypted_content",))
    reduced |= work.remove(item, work.added_members(None))
    reduced |= work.everything and work.plain_ids(item, ("id", "call_id"))
    if unbind:
        reduced |= _unbind(item, position, work)
    return encoded(item) if reduced else raw


def _unsealed(raw: Raw, work: Reduction) -> Raw | None:
    """The item, a note in its place, or None where it is nothing but sealed state."""
    item = opened(raw)
    if item is None:
        return raw
    name = kind(item)
    sealed = work.everything or work.is_foreign(item.get("encrypted_content"))
    if name in _COMPACTED and sealed:
        work.dropped[name] += 1
        return _NOTE
    if name == "reasoning" and sealed:
        work.dropped[name] += 1
        return None
    if work.everything and name in {None, "item_reference"} and _id(item).startswith("rs_"):
        work.dropped["item_reference"] += 1
        return None
    return raw


def _unbind(item: RawObject, position: int, work: Reduction) -> bool:
    name = kind(item)
    prefix, _, serial = _id(item).partition("_")
    if not serial or serial == f"reduced{position}":
        return False
    if name in _ID_OPTIONAL:
        del item["id"]
    elif name in _ID_REQUIRED:
        item["id"] = encoded(f"{prefix}_reduced{position}")
    else:
        return False
    work.dropped["item id"] += 1
    return True


def _id(item: RawObject) -> str:
    return raw_text(item.get("id")) or ""


# -- transcripts ------------------------------------------------------------------

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
