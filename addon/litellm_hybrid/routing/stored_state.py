"""Does a request rely on what only one server has stored? Then it is never replayed.

A response to continue, a conversation, a stored prompt, files, containers and vector stores
have ids that mean nothing elsewhere: the other server answered without them, under a 200.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from litellm_hybrid.message.json import Members, Object, items, members, objects, readable, text

_TOP_LEVEL = ("previous_response_id", "conversation", "container")
_LONGEST = 4096
"""Bytes of a file's description in which its id is looked for; behind it stands base64."""

_MOST_PARTS = 500_000
"""A body with more commas than this is not searched for references: nobody's history has as many."""

_GOOGLES_FILES = "https://generativelanguage.googleapis.com/"


_OF_LITELLM = "resp_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVy"
"""How LiteLLM's ids of responses begin: base64 of `litellm:custom_llm_provider`, unless it encrypts them."""


def is_litellms_id(response_id: str) -> bool:
    """Whether an id of a response shows that LiteLLM made it."""
    return response_id.startswith(_OF_LITELLM)


class _Part(msgspec.Struct):
    """The members of a part that may name a file, as they are written; the others are passed over."""

    file_id: Any = None
    file: msgspec.Raw = msgspec.Raw()
    source: msgspec.Raw = msgspec.Raw()
    image_url: msgspec.Raw = msgspec.Raw()
    file_data: msgspec.Raw = msgspec.Raw()
    fileData: msgspec.Raw = msgspec.Raw()  # noqa: N815 (Google's name)
    content: "list[_Part] | str | None" = None


class _Turn(msgspec.Struct):
    type: str | None = None
    content: list[_Part] | str | None = None
    output: list[_Part] | str | None = None
    parts: list[_Part] | None = None


class _Tool(msgspec.Struct):
    container: Any = None
    vector_store_ids: Any = None


_turns = msgspec.json.Decoder(list[_Turn] | str)
_tools = msgspec.json.Decoder(list[_Tool])


def relies_on_stored_state(body: bytes, found: Members) -> bool:
    """Whether a request names something that one server has stored.

    Args:
        body: without its content coding.
        found: its members.
    """
    stored = any(_is_stored(found.decode(name)) for name in _TOP_LEVEL if found.has(name))
    if stored or text(members(found.decode("prompt")).get("id")):
        return True
    if body.count(b",") > _MOST_PARTS:
        return False
    if not _may_refer(found):
        return False
    listed = items(found.decode("input"))
    turns = objects(found.decode("messages")) + objects(listed) + objects(found.decode("contents"))
    return (
        _refers_elsewhere(objects(listed))
        or any(_names_file(part) for turn in turns for part in _parts(turn))
        or any(_is_bound(tool) for tool in objects(found.decode("tools")))
    )


def _may_refer(found: Members) -> bool:
    """Whether a closer look is needed: a megabyte is read in half a millisecond, decoded in many."""
    try:
        for name in ("input", "messages", "contents"):
            turns = _read(_turns, found.raw(name))
            if isinstance(turns, list) and any(_turn_may_refer(turn) for turn in turns):
                return True
        tools = _read(_tools, found.raw("tools")) or ()
    except (ValueError, RecursionError):  # of another shape
        return True
    return any(tool.container or tool.vector_store_ids for tool in tools)


def _read[T](decoder: msgspec.json.Decoder[T], raw: msgspec.Raw | memoryview | None) -> T | None:
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # a lone surrogate
        return decoder.decode(readable(bytes(raw)))


def _turn_may_refer(turn: _Turn) -> bool:
    if turn.type == "item_reference":
        return True
    return any(
        _may_name_file(part) for given in (turn.content, turn.output, turn.parts) for part in _listed(given)
    )


def _listed(given: list[_Part] | str | None) -> list[_Part]:
    return given if isinstance(given, list) else []


def _may_name_file(part: _Part) -> bool:
    if part.file_id:
        return True
    for raw in (part.file, part.source, part.image_url, part.file_data, part.fileData):
        short = bytes(memoryview(raw)[:_LONGEST])
        if b"file_id" in short or b"fileUri" in short or b"file_uri" in short:
            return True
    return any(map(_may_name_file, _listed(part.content)))


def _is_stored(value: object) -> bool:
    """Whether a value is an id, or an object that has one."""
    return bool(text(value).strip() or text(members(value).get("id")).strip())


def _refers_elsewhere(listed: list[Object]) -> bool:
    here = {item.get("id") for item in listed if item.get("type") not in {None, "item_reference"}}
    references = [item for item in listed if item.get("type") == "item_reference"]
    # Reasoning is left out where it cannot be read.
    return any(
        item.get("id") not in here and not text(item.get("id")).startswith("rs_") for item in references
    )


def _parts(turn: Object) -> Iterator[Object]:
    """The parts of a message or an item, and those within a tool's result."""
    for name in ("content", "output", "parts"):
        for part in objects(turn.get(name)):
            yield part
            yield from _parts(part)


def _names_file(part: Object) -> bool:
    named = [part, members(part.get("source")), members(part.get("file")), members(part.get("image_url"))]
    if any(text(holder.get("file_id")) for holder in named):
        return True
    given = members(part.get("fileData")) or members(part.get("file_data"))
    uri = text(given.get("fileUri")) or text(given.get("file_uri"))
    return uri.startswith(_GOOGLES_FILES)


def _is_bound(tool: Object) -> bool:
    container = tool.get("container")
    return bool(text(container) or members(container).get("file_ids") or items(tool.get("vector_store_ids")))
