"""Does a request rely on what only one server has stored? Then it is never replayed.

A response to continue, a conversation, a stored prompt, files, containers and vector stores
have ids that mean nothing elsewhere: the other server answered without them, under a 200.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from litellm_hybrid.message.json import Members, Object, items, members, objects, text
from litellm_hybrid.message.lone_surrogates import readable

_TOP_LEVEL = ("previous_response_id", "conversation", "container")
_REFERS = re.compile(rb'"(?:file_id|fileUri|file_uri|item_reference)"')
_BINDS = re.compile(rb'"(?:container|vector_store_ids)"')
"""One of these stands in turns and tools worth decoding; text has a backslash before its second quote."""

_MOST_PARTS = 100_000
"""A body with more braces than this is not searched for references: nobody's history has as many."""

_GOOGLES_FILES = "https://generativelanguage.googleapis.com/"

_OF_LITELLM = "resp_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVy"
"""How LiteLLM's ids of responses begin: base64 of `litellm:custom_llm_provider`, unless it encrypts them."""


class _Identified(msgspec.Struct):
    id: Any = None


_identified = msgspec.json.Decoder(_Identified | str)


def is_litellms_id(response_id: str) -> bool:
    """Whether an id of a response shows that LiteLLM made it."""
    return response_id.startswith(_OF_LITELLM)


def continues_stored(found: Members) -> bool:
    """Whether a request names what it continues, or its prompt, by the id that one server has given it."""
    if any(_is_stored(found.raw(name)) for name in _TOP_LEVEL):
        return True
    prompt = found.raw("prompt")
    return bytes(memoryview(prompt or b"")[:1]) == b"{" and _is_stored(prompt)


def refers_to_stored(body: bytes, found: Members) -> bool:
    """Whether a request (its body decoded, its members found) uses what one server has stored.

    All of its turns are searched for that.
    """
    refers, binds = _says(found, _REFERS, "input", "messages", "contents"), _says(found, _BINDS, "tools")
    if not (refers or binds) or body.count(b"{") > _MOST_PARTS:
        return False
    if binds and any(_is_bound(tool) for tool in objects(found.decode("tools"))):
        return True
    if not refers:
        return False
    listed = objects(found.decode("input"))
    turns = objects(found.decode("messages")) + listed + objects(found.decode("contents"))
    return _refers_elsewhere(listed) or any(_names_file(part) for turn in turns for part in _parts(turn))


def _says(found: Members, sign: re.Pattern[bytes], *names: str) -> bool:
    raws = (found.raw(name) for name in names)
    return any(raw is not None and sign.search(memoryview(raw)) for raw in raws)


def _is_stored(raw: msgspec.Raw | memoryview | None) -> bool:
    """Whether a value is an id, or an object that has one."""
    if raw is None:
        return False
    try:
        value = _identified.decode(readable(bytes(raw)))
    except (ValueError, RecursionError):
        return False
    return bool(text(value if isinstance(value, str) else value.id).strip())


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
    if text(part.get("file_id")):
        return True
    for name in ("source", "file", "image_url"):
        if isinstance(holder := part.get(name), dict) and text(holder.get("file_id")):
            return True
    given = members(part.get("fileData")) or members(part.get("file_data"))
    uri = text(given.get("fileUri")) or text(given.get("file_uri"))
    return uri.startswith(_GOOGLES_FILES)


def _is_bound(tool: Object) -> bool:
    container = tool.get("container")
    return bool(text(container) or members(container).get("file_ids") or items(tool.get("vector_store_ids")))
