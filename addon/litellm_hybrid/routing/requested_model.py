"""What a request says: which model it names, and whether it relies on what only one server has stored.

A path with a `:verb` names it first, then JSON body, form field, any other path.

The rules are those of CLIProxyAPI's handlers: the path's model for Gemini and
Vertex shapes, whatever the body says; the member `model` of a JSON body,
whatever its Content-Type says; the field `model` of a form; the path for other
shapes. A `model` that is not a non-blank string counts as absent. Go's decoder
also took other spellings of the key (`Model`); this one does not.

A response to continue, a conversation, a stored prompt, files, containers and vector stores have ids that
mean nothing elsewhere: the other server answered without them, under a 200. So such a request is never
replayed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from litellm_hybrid.message import forms, json
from litellm_hybrid.message.decoders import MAX_DECODED, TooLongError, UndecodableError, decode
from litellm_hybrid.message.json import Members, NotJSONError, Object, items, members, objects, text
from litellm_hybrid.message.json_edit import readable
from litellm_hybrid.routing import paths
from litellm_hybrid.routing.paths import Api, identify_api

_CONTINUES = "previous_response_id"
_DECIDING = ("model", "agent", _CONTINUES)
"""The members that decide where a request goes."""

_SEARCHED_MAX = 256 * 1024
"""The longest body, in bytes, whose turns are searched before a failure asks for it."""

# How CLIProxyAPI since 7.2 lists other providers' models to Anthropic clients, and reads them on their paths.
_DISGUISED = re.compile(
    r"claude-fable-5-dd-(?P<reversed>[^\[(]+)(?P<suffix>(?:\[1m\])?\s*(?:\([^()]*\))?)", re.IGNORECASE
)


@dataclass
class Named:
    """What a request says about its model.

    Attributes:
        model: the name as the client spelt it, a disguised one as it was before; None: it names none.
        where: "json", "form", "path" or "".
        content: the body without its content coding, and in strict JSON where it was not (see
            `Members.irregular`); None: it could not be read.
        members: of a body in JSON: it is read only once.
        problem: why the body could not be read, for people; "" if it could.
        too_long: the body was not read because it is too long.
        agent: an `agent` stands in the JSON body.
        continues: the id of the stored response that it continues, or "".
    """

    model: str | None = None
    where: str = ""
    content: bytes | None = b""
    members: Members | None = field(default=None, repr=False, compare=False)
    problem: str = ""
    too_long: bool = False
    agent: bool = False
    continues: str = ""

    @cached_property
    def stateful(self) -> bool:
        """Whether the request relies on what one server has stored (`previous_response_id`, files …).

        All of its turns are searched for that.
        """
        members = self.members
        return members is not None and (
            _continues_stored(members) or _refers_to_stored(self.content or b"", members)
        )

    @property
    def seen_stateful(self) -> bool:
        """As `stateful`, as far as it can be seen at once: a long body's turns are not searched."""
        if len(self.content or b"") > _SEARCHED_MAX:
            return self.members is not None and _continues_stored(self.members)
        return self.stateful


def read(
    path: str, content_type: str, content_encoding: str, body: bytes, *, limit: int = MAX_DECODED
) -> Named:
    """What a request with this path (no query) and this raw body says about its model.

    `limit`: the longest body, in bytes and decoded, that is read.
    """
    try:
        content = _decoded(body, content_encoding, limit)
        members = _members(content, content_type)
        found, where = (members.strings(*_DECIDING), "json") if members else _in_form(content, content_type)
    except ValueError as e:
        return Named(content=None, problem=str(e), too_long=isinstance(e, TooLongError))
    in_path = paths.model_path(path)
    model = found.get("model")
    if model is not None and identify_api(path) is Api.MESSAGES:
        model = undisguised(model)
    if in_path is not None and (model is None or in_path.verb):
        model, where = in_path.model, "path"
    return Named(
        model=model,
        where=where if model else "",
        content=members.joined() if members and members.irregular else content,
        members=members,
        agent="agent" in found,
        continues=found.get(_CONTINUES, ""),
    )


def undisguised(model: str) -> str:
    """Return the name behind a disguised one, any other as it is: `claude-fable-5-dd-5.5-tpg` is gpt-5.5."""
    found = _DISGUISED.fullmatch(model.strip())
    return found["reversed"][::-1] + found["suffix"] if found else model


def is_disguised(model: str) -> bool:
    """Whether a name is another's, reversed."""
    return _DISGUISED.fullmatch(model.strip()) is not None


def disguised(model: str) -> str:
    """Return the name under which Claude Code's picker shows a model: it takes only what begins so."""
    plain = model.startswith("claude-") or any(mark in model for mark in "[(")
    return model if plain else f"claude-fable-5-dd-{model[::-1]}"


def _decoded(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The body without its content coding; as it is where that is plainly wrong, as CLIProxyAPI reads it."""
    try:
        return decode(body, content_encoding, limit=limit)
    except TooLongError:
        raise
    except UndecodableError:
        if body.lstrip().startswith(b"{"):
            return body
        raise


def _members(content: bytes, content_type: str) -> Members | None:
    """Those of a body in JSON, "whatever the content type says"; None: it is blank, or a form."""
    if not content or content.isspace():
        return None
    try:
        return json.read(content)
    except NotJSONError:
        if forms.is_form(content_type):
            return None
        raise


def _in_form(content: bytes, content_type: str) -> tuple[dict[str, str], str]:
    if not content or content.isspace():
        return {}, ""
    found = forms.find_field(content, content_type, "model")
    return ({"model": found.value} if found else {}), "form"


# -- what only one server has stored -------------------------------------------------

_TOP_LEVEL = ("previous_response_id", "conversation", "container")
_REFERRING, _BINDING = rb"file_id|fileUri|file_uri|item_reference", rb"container|vector_store_ids"
_REFERS, _BINDS, _SIGNS = (
    re.compile(rb'"(?:%s)"' % words) for words in (_REFERRING, _BINDING, _REFERRING + b"|" + _BINDING)
)
"""One of these stands in turns and tools worth decoding; text has a backslash before its second quote."""

_MOST_PARTS = 100_000
"""A body with more braces than this is not searched for references: nobody's history has as many."""

_PIECE = 2 * 1024 * 1024
"""Bytes of a body that are searched in one go."""

_SIGN = 32
"""More than a sign is long, in bytes."""

_GOOGLES_FILES = "https://generativelanguage.googleapis.com/"

_OF_LITELLM = "resp_bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVy"
"""How LiteLLM's ids of responses begin: base64 of `litellm:custom_llm_provider`, unless it encrypts them."""


class _Identified(msgspec.Struct):
    id: Any = None


_identified = msgspec.json.Decoder(_Identified | str)


def is_litellms_id(response_id: str) -> bool:
    """Whether an id of a response shows that LiteLLM made it."""
    return response_id.startswith(_OF_LITELLM)


def _continues_stored(found: Members) -> bool:
    """Whether a request names what it continues, or its prompt, by the id that one server has given it."""
    for name in _TOP_LEVEL:
        if (raw := found.raw(name)) is not None and _is_stored(raw):
            return True
    prompt = found.raw("prompt")
    return prompt is not None and bytes(memoryview(prompt)[:1]) == b"{" and _is_stored(prompt)


def _refers_to_stored(body: bytes, found: Members) -> bool:
    """Whether a request (its body decoded, its members found) uses what one server has stored.

    All of its turns are searched for that.
    """
    if len(body) <= _PIECE and _SIGNS.search(body) is None:
        return False  # as of nearly all
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
    for raw in map(found.raw, names):
        view = memoryview(raw or b"")
        # In pieces, which overlap: one search of 60 MB would stop the whole process for a tenth of a second.
        if any(sign.search(view, at, at + _PIECE + _SIGN) for at in range(0, len(view), _PIECE)):
            return True
    return False


def _is_stored(raw: msgspec.Raw | memoryview) -> bool:
    """Whether a value is an id, or an object that has one."""
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
