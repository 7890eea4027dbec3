"""The Messages shape (Anthropic), as the content views show it."""

from collections import defaultdict
from collections.abc import Callable, Iterable
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
    called,
    noted,
    said,
    size,
    thought,
    url,
)
from litellm_hybrid.llm.transcript.openai_chat import results
from litellm_hybrid.message.json import Object, decode, encode, first, index, items, members, objects, text

END = "message_stop"
"""The event that ends a stream."""

_SHOWN = frozenset({"model", "stream", "system", "messages", "tools"})


def conversation(body: Object) -> Conversation | None:
    """A request read; None if it is none of this API's."""
    if not isinstance(body.get("messages"), list):
        return None
    system = content(body.get("system"))
    turns = [Turn("system", system)] if system else []
    turns += [
        Turn(text(message.get("role")), content(message.get("content")))
        for message in objects(body["messages"])
    ]
    tools = [
        Tool(text(first(tool, "name", "type")), text(tool.get("description")))
        for tool in objects(body.get("tools"))
    ]
    return Conversation.of(body, _SHOWN, tools, turns)


def response(body: Object) -> TranscriptResponse | None:
    """A response read; None if it is none of this API's."""
    if body.get("type") != "message" or not isinstance(body.get("content"), list):
        return None
    sequence = text(body.get("stop_sequence"))
    finish = text(body.get("stop_reason"))
    return TranscriptResponse(
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


def _block(block: Object) -> list[Part]:
    kind = text(block.get("type"))
    # Anthropic's own tools have kinds like server_tool_use and web_search_tool_result.
    named = next((name for name in ("tool_use", "tool_result") if kind.endswith(name)), kind)
    return _BLOCKS.get(named, _other)(block)


def _other(block: Object) -> list[Part]:
    kind = text(block.get("type")) or "a block without a type"
    sealed = text(first(block, "signature", "encrypted_content"))
    kind = f"{kind} {text(first(block, 'title', 'url', 'file_id'))}".strip()
    note = f"{kind}, sealed, {size(len(sealed))}" if sealed else kind
    return [*noted(note), *said(text(block.get("content")))]


def _result(block: Object) -> list[Part]:
    given = block.get("content")
    # What a tool of Anthropic's own found is an object, or a list of objects that are no content.
    parts = content(given) if isinstance(given, str | list) else [Part(Kind.TEXT, encode(given))]
    note = "an error" if block.get("is_error") is True else ""
    return results(parts, id=text(block.get("tool_use_id")), note=note)


def _source(block: Object) -> list[Part]:
    source = members(block.get("source"))
    name = f"{text(block.get('type'))} {text(block.get('title'))}".strip()
    if data := text(source.get("data")):
        if source.get("type") == "text":
            return [*noted(name), *said(data)]
        return base64(f"{name} {text(source.get('media_type'))}".strip(), data)
    if where := text(first(source, "url", "file_id")):
        return url(name, where)
    return [*noted(name), *content(source.get("content"))]


_BLOCKS: dict[str, Callable[[Object], list[Part]]] = {
    "text": lambda block: said(text(block.get("text"))),
    "thinking": lambda block: thought(text(block.get("thinking")), text(block.get("signature"))),
    "redacted_thinking": lambda block: thought("", text(block.get("data"))),
    "tool_use": lambda block: called(block.get("input", ""), block.get("name"), block.get("id")),
    "tool_result": _result,
    "image": _source,
    "document": _source,
}


# -- streams ----------------------------------------------------------------------


def knows(event: Object) -> bool:
    """Whether an event is one of this API's."""
    return text(event.get("type")).startswith(("message_", "content_block_", "ping"))


def ends(event: Object) -> bool:
    """Whether an event ends a stream."""
    return event.get("type") == END


_PIECES = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("partial_json", "input"),
    "compaction_delta": ("content", "content"),
}
"""By the type of a delta: its member with the piece, and the block's that grows by it."""


def assemble(events: Iterable[Object]) -> dict[str, Any]:
    """The plain response, as far as its events have come."""
    plain: dict[str, Any] = {"type": "message"}
    usage: dict[str, Any] = {}
    blocks: defaultdict[int, _Block] = defaultdict(_Block)
    for event in events:
        kind = event.get("type")
        if kind == "message_start":
            plain |= members(event.get("message"))
            usage |= members(plain.get("usage"))
        elif kind == "content_block_start":
            blocks[index(event.get("index"))].start = members(event.get("content_block"))
        elif kind == "content_block_delta":
            blocks[index(event.get("index"))].add(members(event.get("delta")))
        elif kind == "message_delta":
            plain |= members(event.get("delta"))
            usage |= members(event.get("usage"))
    content = [blocks[number].plain() for number in sorted(blocks)]
    return {**plain, "type": "message", "usage": usage, "content": content}


class _Block:
    def __init__(self) -> None:
        self.start: Object = {"type": "text"}
        self._texts = Texts()

    def add(self, delta: Object) -> None:
        piece, grows = _PIECES.get(text(delta.get("type")), ("", ""))
        self._texts.add(grows, delta.get(piece))

    def plain(self) -> dict[str, Any]:
        grown: dict[str, Any] = dict(self._texts.joined())
        if written := grown.pop("input", ""):
            grown["input"] = decode(written) or written  # half of it, where it was cut short
        begun = {name: text(self.start.get(name)) + grown[name] for name in grown.keys() - {"input"}}
        return {**self.start, **grown, **begun}
