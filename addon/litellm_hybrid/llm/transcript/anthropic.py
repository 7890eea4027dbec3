"""The Messages shape (Anthropic), as the content views show it."""

from collections.abc import Callable

from litellm_hybrid.llm.transcript.json_values import Members, encode, first, items, members, objects, text
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
    url,
)
from litellm_hybrid.llm.transcript.openai_chat import results

_SHOWN = frozenset({"model", "stream", "system", "messages", "tools"})


def conversation(body: Members) -> Conversation | None:
    """A request; None if this is none."""
    if not isinstance(body.get("messages"), list):
        return None
    system = content(body.get("system"))
    turns = [Turn("system", system)] if system else []
    turns += [
        Turn(text(message.get("role")), content(message.get("content")))
        for message in objects(body["messages"])
    ]
    return Conversation(
        model=text(body.get("model")),
        streams=body.get("stream") is True,
        options={name: value for name, value in body.items() if name not in _SHOWN},
        tools=[
            Tool(text(first(tool, "name", "type")), text(tool.get("description")))
            for tool in objects(body.get("tools"))
        ],
        turns=turns,
    )


def answer(body: Members) -> Answer | None:
    """An answer; None if this is none."""
    if body.get("type") != "message" or not isinstance(body.get("content"), list):
        return None
    sequence = text(body.get("stop_sequence"))
    finish = text(body.get("stop_reason"))
    return Answer(
        model=text(body.get("model")),
        id=text(body.get("id")),
        finish=f"{finish} ({encode(sequence)})" if sequence else finish,
        usage=body.get("usage"),
        turns=[Turn(text(body.get("role")) or "assistant", content(body["content"]))],
    )


def content(value: object) -> list[Part]:
    """A message's content: a text, or a list of blocks."""
    if isinstance(value, str):
        return said(value)
    return [part for block in items(value) for part in _block(members(block))]


def _block(block: Members) -> list[Part]:
    kind = text(block.get("type"))
    # Anthropic's own tools have kinds like server_tool_use and web_search_tool_result.
    named = next((name for name in ("tool_use", "tool_result") if kind.endswith(name)), kind)
    return _BLOCKS.get(named, _other)(block)


def _text(block: Members) -> list[Part]:
    return said(text(block.get("text")))


def _thinking(block: Members) -> list[Part]:
    return thought(text(block.get("thinking")), text(block.get("signature")))


def _redacted(block: Members) -> list[Part]:
    return thought("", text(block.get("data")))


def _call(block: Members) -> list[Part]:
    return [Part(Kind.CALL, block.get("input", ""), text(block.get("name")), text(block.get("id")))]


def _other(block: Members) -> list[Part]:
    kind = text(block.get("type")) or "a block without a type"
    sealed = text(first(block, "signature", "encrypted_content"))
    kind = f"{kind} {text(first(block, 'title', 'url', 'file_id'))}".strip()
    note = f"{kind}, sealed, {size(len(sealed))}" if sealed else kind
    return [*noted(note), *said(text(block.get("content")))]


def _result(block: Members) -> list[Part]:
    given = block.get("content")
    # What a tool of Anthropic's own found is an object, or a list of objects that are no content.
    parts = content(given) if isinstance(given, str | list) else [Part(Kind.TEXT, encode(given))]
    note = "an error" if block.get("is_error") is True else ""
    return results(parts, id=text(block.get("tool_use_id")), note=note)


def _source(block: Members) -> list[Part]:
    source = members(block.get("source"))
    name = f"{text(block.get('type'))} {text(block.get('title'))}".strip()
    if data := text(source.get("data")):
        if source.get("type") == "text":
            return [*noted(name), *said(data)]
        return base64(f"{name} {text(source.get('media_type'))}".strip(), data)
    if where := text(first(source, "url", "file_id")):
        return url(name, where)
    return [*noted(name), *content(source.get("content"))]


_BLOCKS: dict[str, Callable[[Members], list[Part]]] = {
    "text": _text,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _call,
    "tool_result": _result,
    "image": _source,
    "document": _source,
}
