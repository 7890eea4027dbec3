"""The body of a replay: what LiteLLM may leave out of a request that was made for another provider.

`"drop_params": true` in a body has LiteLLM leave out what the backend does not know, on all four APIs, and is
never passed on (LiteLLM 1.106.2, `litellm_pre_call_utils.should_auto_drop_params_for_agentic_cli`,
`utils.get_optional_params`). Everything else keeps its bytes.

Of Messages requests it reads `text`, `image`, `tool_result` and `document` blocks with base64 or a URL;
others it drops in silence towards OpenAI's models, and within a tool's result by chat completions all
documents (`llms/anthropic/pass_through/{adapters,responses_adapters}/transformation.py`): what holds text
goes as text.
"""

from base64 import b64decode
from binascii import Error
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import Raw

from litellm_hybrid.message.json_edit import (
    RawObject,
    edit_body,
    edited,
    elements,
    encoded,
    filtered,
    is_empty,
    kind,
    mapped,
    member,
    objects_in,
    opened,
    raw_text,
    replace,
)
from litellm_hybrid.routing.paths import Api, generates, identify_api, remembered

_APIS = frozenset({Api.RESPONSES, Api.MESSAGES, Api.CHAT, Api.GENERATE_CONTENT})

_PRICED = ("service_tier", "serviceTier")
"""Tiers of a subscription are another price of an API key: `priority` doubles it."""

_FREE = frozenset({"auto", "AUTO", "VALIDATED", "MODE_UNSPECIFIED"})
"""Choices of a tool that leave it to the model."""

_PLAIN = frozenset({"text", "text/plain"})
"""Formats of an answer that ask for nothing."""

type _Demands = tuple[tuple[tuple[str, ...], frozenset[str]], ...]

_DEMANDS: _Demands = (
    (("tool_choice",), _FREE),
    (("function_call",), _FREE),
    (("response_format",), _PLAIN),
    (("text", "format"), _PLAIN),
    (("output_format",), _PLAIN),
    (("output_config", "format"), _PLAIN),
    # vLLM, SGLang, llama.cpp
    *(((f"guided_{form}",), _PLAIN) for form in ("json", "regex", "choice", "grammar")),
    *(((name,), _PLAIN) for name in ("structured_outputs", "json_schema", "grammar", "regex", "ebnf")),
)
_DEMANDS_OF_GEMINI: _Demands = (
    *(
        ((config, calling, name), _FREE)
        for config in ("toolConfig", "tool_config")
        for calling in ("functionCallingConfig", "function_calling_config")
        for name in ("mode", "allowedFunctionNames", "allowed_function_names")
    ),
    *(
        ((config, name), _PLAIN)
        for config in ("generationConfig", "generation_config")
        for name in (
            *("responseMimeType", "response_mime_type", "responseSchema", "response_schema"),
            *("responseJsonSchema", "response_json_schema"),
        )
    ),
)
"""Where a request says what it demands, and what demands nothing there."""

_CHOICES = {"none": "none", "NONE": "none", "required": "required", "any": "required", "ANY": "required"}
_FORMS = {"json_object": "json", "application/json": "json"}


class Demand(NamedTuple):
    """What a request demands of the answer.

    Attributes:
        what: "named": a tool is forced by its name; "required": any tool is; "none": no tool may be used;
            "json": JSON of any kind; "form": another form, such as a schema's.
        said: in the request's words.
    """

    what: str
    said: bytes


@remembered
def api_of(path: str) -> Api | None:
    """Return the API of a path on which replays are made to fit; None: they are sent as if routed."""
    api = identify_api(path)
    return api if api in _APIS and generates(path) else None


def prepare(body: bytes, api: Api, *, drop_params: bool) -> bytes:
    """The body of a replay, the same object where nothing is to be changed.

    `body` is what LiteLLM would get of a routed request, without content coding. With `drop_params` LiteLLM
    may leave out what its backend does not know, unless that could change what the request means: a tool
    that is forced, or an answer's form that is demanded, would go in silence.
    """
    may_drop = False

    def edit(request: RawObject) -> bool:
        nonlocal may_drop
        may_drop = drop_params and "drop_params" not in request and not demanded(request, api)
        priced = [name for name in _PRICED if request.pop(name, None) is not None]
        changed = bool(priced)
        if api is Api.MESSAGES and _may_have_documents(body):
            changed |= _as_text(request)
        if api is Api.RESPONSES and b'"additional_tools"' in body:
            changed |= _hoist_tools(request)
        return changed

    edited = edit_body(body, edit)
    return with_member(edited, "drop_params", value=True) if may_drop else edited


def demanded(request: RawObject, api: Api) -> list[Demand]:
    """What a request demands: it forces or forbids a tool, or wants a form of its answer."""
    found = []
    for path, harmless in _DEMANDS_OF_GEMINI if api is Api.GENERATE_CONTENT else _DEMANDS:
        said = member(request, *path) if path[0] in request else None
        if said is not None and not is_empty(said) and (name := _name(said)) not in harmless:
            what = _CHOICES.get(name or "", "named") if harmless is _FREE else _FORMS.get(name or "", "form")
            found.append(Demand(what, bytes(said)))
    return found


def _hoist_tools(request: RawObject) -> bool:
    """Put the tools that newer Codex sends among its input where all servers look for tools.

    As LiteLLM does it for some backends (1.106.2, `responses/additional_tools.py`): compatible servers refuse
    or pass over items of this type.
    """
    hoisted: list[Raw] = []

    def keep(raw: Raw) -> Raw | None:
        item = opened(raw)
        if item is None or kind(item) != "additional_tools":
            return raw
        hoisted.extend(elements(item.get("tools")) or ())
        return None

    if not replace(request, "input", lambda raw: filtered(raw, keep)):
        return False
    if hoisted:
        request["tools"] = encoded([*(elements(request.get("tools")) or ()), *hoisted])
    return True


def with_member(body: bytes, name: str, *, value: object) -> bytes:
    """A JSON object with one member more at its end; every byte of it stays."""
    head = body.rstrip()
    if not head.endswith(b"}"):
        return body
    head = head[:-1].rstrip()
    comma = b"" if head.endswith(b"{") else b","
    encode = msgspec.json.encode
    return b"".join((head, comma, encode(name), b":", encode(value), b"}"))


def _name(value: Raw) -> str | None:
    """A plain string, or the `type` of an object."""
    holder = opened(value)
    return kind(holder) if holder is not None else raw_text(value)


# -- documents --------------------------------------------------------------------

_SIGNS = (b'"document"', b'"search_result"', b'"container_upload"')


def _may_have_documents(body: bytes) -> bool:
    """Whether a body is worth a closer look."""
    return any(sign in body for sign in _SIGNS)


def _as_text(request: RawObject) -> bool:
    """Turn blocks that hold text into text blocks, in place; return whether there were any."""
    return replace(request, "messages", lambda raw: mapped(raw, _message))


def loses_attachment(body: bytes, api: Api, *, chat_completions: bool) -> bool:
    """Whether LiteLLM (asking by chat completions or not) would lose what cannot become text."""
    if api is not Api.MESSAGES or not _may_have_documents(body):
        return False
    found = False

    def look(request: RawObject) -> bool:
        nonlocal found
        lost = any(_is_lost(block) for block, _ in _blocks(request))
        found = lost or (chat_completions and is_lost_by_chat_completions(request))
        return False

    edit_body(body, look)
    return found


def is_lost_by_chat_completions(request: RawObject) -> bool:
    """Whether a tool's result has a document that holds no text, such as a PDF."""
    return any(
        is_in_result and kind(block) == "document" and _texts(block) is None
        for block, is_in_result in _blocks(request)
    )


def _blocks(request: RawObject) -> Iterator[tuple[RawObject, bool]]:
    """All blocks, and whether each is within a tool's result."""
    for message in objects_in(request.get("messages")):
        for block in objects_in(message.get("content")):
            yield block, False
            yield from ((part, kind(block) == "tool_result") for part in objects_in(block.get("content")))


def _is_lost(block: RawObject) -> bool:
    if kind(block) != "document":
        return kind(block) == "container_upload"
    return _texts(block) is None and raw_text(member(block, "source", "type")) not in ("base64", "url")


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


def _texts(block: RawObject) -> list[Raw] | None:
    """The blocks that say the same; None if this one holds no text."""
    parts = elements(block.get("content")) if kind(block) == "search_result" else _document(block)
    named = [raw_text(block.get(name)) for name in ("title", "source", "context")]
    head = "\n".join(name for name in named if name)
    return None if parts is None else [*([_text_block(head)] if head else []), *parts]


def _document(block: RawObject) -> list[Raw] | None:
    source = opened(block["source"]) if "source" in block else None
    if source is None:
        return None
    match raw_text(source.get("type")), raw_text(source.get("media_type")):
        case "text", _:
            said = raw_text(source.get("data"))
            return None if said is None else [_text_block(said)]
        case "content", _:
            said = raw_text(source.get("content"))
            return elements(source.get("content")) if said is None else [_text_block(said)]
        case "base64", str(media_type) if media_type.startswith("text/"):
            return _decoded(raw_text(source.get("data")) or "")
    return None


def _decoded(data: str) -> list[Raw] | None:
    try:
        return [_text_block(b64decode(data, validate=True).decode())]
    except (Error, UnicodeDecodeError):
        return None


def _text_block(said: str) -> Raw:
    return encoded({"type": "text", "text": said})
