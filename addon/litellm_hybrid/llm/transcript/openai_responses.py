"""The Responses shape (OpenAI), as the content views show it.

Its input and its output are lists of items. Calls and what came back are items of
their own, beside the messages; they are shown as what the assistant and the tools say.
"""

from collections.abc import Iterable

from litellm_hybrid.llm.transcript.json_values import Members, first, members, objects, text
from litellm_hybrid.llm.transcript.model import (
    Answer,
    Conversation,
    Kind,
    Part,
    Tool,
    Turn,
    base64,
    noted,
    said,
    size,
    thought,
)
from litellm_hybrid.llm.transcript.openai_chat import arguments, content, results

_SHOWN = frozenset({"model", "stream", "instructions", "input", "tools"})

_ARGUMENTS = ("arguments", "input", "action", "queries", "code", "operation")
"""Under which of these an item has what a tool is called with."""


def conversation(body: Members) -> Conversation | None:
    """A request; None if this is none."""
    asked = body.get("input")
    if not isinstance(asked, str | list):
        return None
    instructions = content(body.get("instructions"))
    turns = [Turn("instructions", instructions)] if instructions else []
    turns += [Turn("user", said(asked))] if isinstance(asked, str) else _turns(objects(asked))
    return Conversation(
        model=text(body.get("model")),
        streams=body.get("stream") is True,
        options={name: value for name, value in body.items() if name not in _SHOWN},
        tools=[tool for given in objects(body.get("tools")) for tool in _tools(given)],
        turns=turns,
    )


def answer(body: Members) -> Answer | None:
    """An answer; None if this is none."""
    if not isinstance(body.get("output"), list):
        return None
    why = text(members(body.get("incomplete_details")).get("reason"))
    status = text(body.get("status"))
    return Answer(
        model=text(body.get("model")),
        id=text(body.get("id")),
        finish=f"{status} ({why})" if why else status,
        usage=body.get("usage"),
        turns=_turns(objects(body["output"])),
    )


def _tools(tool: Members) -> list[Tool]:
    name, kind = text(tool.get("name")), text(tool.get("type"))
    if kind == "namespace":
        return [
            Tool(f"{name}.{text(t.get('name'))}", text(t.get("description")))
            for t in objects(tool.get("tools"))
        ]
    label = text(tool.get("server_label"))
    return [Tool(name or f"{kind} {label}".strip(), text(first(tool, "description", "server_description")))]


def _turns(listed: Iterable[Members]) -> list[Turn]:
    """The items, those that one side says in a row together."""
    turns: list[Turn] = []
    for item in listed:
        role, parts = _item(item)
        if turns and turns[-1].role == role and role in ("assistant", "tool"):
            turns[-1].parts.extend(parts)
        else:
            turns.append(Turn(role, parts))
    return turns


def _item(item: Members) -> tuple[str, list[Part]]:
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


def _call(item: Members, kind: str) -> list[Part]:
    name = text(item.get("name")) or kind.removesuffix("_call")
    call_id = text(first(item, "call_id", "id"))
    called = arguments(first(item, *_ARGUMENTS) or "")
    parts = [Part(Kind.CALL, called, name, call_id)]
    if image := text(item.get("result")):
        parts += base64("image", image)
    if given := first(item, "output", "outputs", "results", "error"):
        parts.append(Part(Kind.RESULT, given, name, call_id))
    return parts
