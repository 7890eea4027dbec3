"""Blocks of a Messages request that LiteLLM leaves out in silence, under a 200: text where they hold text.

LiteLLM 1.106.2 reads `text`, `image`, `tool_result` and `document` blocks with base64 or a URL; others it
drops towards OpenAI's models, and within a tool's result by chat completions all documents
(`llms/anthropic/pass_through/{adapters,responses_adapters}/transformation.py`).
"""

from base64 import b64decode
from binascii import Error
from collections.abc import Iterator

from msgspec import Raw

from litellm_hybrid.llm.history.json_edit import (
    Object,
    edit_body,
    edited,
    elements,
    encoded,
    kind,
    mapped,
    member,
    opened,
    replace,
    text,
)
from litellm_hybrid.routing.paths import Api

_SIGNS = (b'"document"', b'"search_result"', b'"container_upload"')


def may_be_in(body: bytes) -> bool:
    """Whether a body is worth a closer look."""
    return any(sign in body for sign in _SIGNS)


def as_text(request: Object) -> bool:
    """Turn blocks that hold text into text blocks, in place; return whether there were any."""
    return replace(request, "messages", lambda raw: mapped(raw, _message))


def loses_attachment(body: bytes, api: Api, *, chat_completions: bool) -> bool:
    """Whether LiteLLM would leave out what cannot be turned into text.

    Args:
        body: the client's, without content coding.
        api: its shape.
        chat_completions: LiteLLM is told to ask the backend by chat completions.
    """
    if api is not Api.MESSAGES or not may_be_in(body):
        return False
    found = False

    def look(request: Object) -> bool:
        nonlocal found
        lost = any(_is_lost(block) for block, _ in _blocks(request))
        found = lost or (chat_completions and is_lost_by_chat_completions(request))
        return False

    edit_body(body, look)
    return found


def is_lost_by_chat_completions(request: Object) -> bool:
    """Whether a tool's result has a document that holds no text, such as a PDF."""
    return any(
        is_in_result and kind(block) == "document" and _texts(block) is None
        for block, is_in_result in _blocks(request)
    )


def _blocks(request: Object) -> Iterator[tuple[Object, bool]]:
    """All blocks, and whether each is within a tool's result."""
    for message in map(opened, elements(request.get("messages")) or ()):
        for block in map(opened, elements((message or {}).get("content")) or ()):
            if block is None:
                continue
            yield block, False
            for part in map(opened, elements(block.get("content")) or ()):
                if part is not None:
                    yield part, kind(block) == "tool_result"


def _is_lost(block: Object) -> bool:
    if kind(block) != "document":
        return kind(block) == "container_upload"
    return _texts(block) is None and text(member(block, "source", "type")) not in ("base64", "url")


def _message(raw: Raw) -> list[Raw]:
    return [edited(raw, lambda message: replace(message, "content", lambda blocks: mapped(blocks, _block)))]


def _block(raw: Raw) -> list[Raw]:
    block = opened(raw)
    if block is None:
        return [raw]
    if kind(block) == "tool_result":
        return [edited(raw, lambda result: replace(result, "content", lambda parts: mapped(parts, _block)))]
    texts = _texts(block) if kind(block) in ("document", "search_result") else None
    if texts is None:
        return [raw]
    if texts and "cache_control" in block:
        texts[-1] = encoded({**(opened(texts[-1]) or {}), "cache_control": block["cache_control"]})
    return texts


def _texts(block: Object) -> list[Raw] | None:
    """The blocks that say the same; None if this one holds no text."""
    parts = elements(block.get("content")) if kind(block) == "search_result" else _document(block)
    named = [text(block.get(name)) for name in ("title", "source", "context")]
    head = "\n".join(name for name in named if name)
    return None if parts is None else [*([_text(head)] if head else []), *parts]


def _document(block: Object) -> list[Raw] | None:
    source = opened(block["source"]) if "source" in block else None
    if source is None:
        return None
    match text(source.get("type")), text(source.get("media_type")):
        case "text", _:
            said = text(source.get("data"))
            return None if said is None else [_text(said)]
        case "content", _:
            said = text(source.get("content"))
            return elements(source.get("content")) if said is None else [_text(said)]
        case "base64", str(media_type) if media_type.startswith("text/"):
            return _decoded(text(source.get("data")) or "")
    return None


def _decoded(data: str) -> list[Raw] | None:
    try:
        return [_text(b64decode(data, validate=True).decode())]
    except (Error, UnicodeDecodeError):
        return None


def _text(said: str) -> Raw:
    return encoded({"type": "text", "text": said})
