"""The body of a replay: what LiteLLM may leave out of a request that was made for another provider.

`"drop_params": true` in a body has LiteLLM leave out what the backend does not know, on all four APIs, and is
never passed on (LiteLLM 1.106.2, `litellm_pre_call_utils.should_auto_drop_params_for_agentic_cli`,
`utils.get_optional_params`). Everything else keeps its bytes.
"""

from msgspec import Raw

from litellm_hybrid.llm.history.json_edit import (
    Object,
    edit_body,
    elements,
    encoded,
    filtered,
    is_empty,
    kind,
    member,
    opened,
    replace,
    text,
)
from litellm_hybrid.llm.replay import documents
from litellm_hybrid.quota import served
from litellm_hybrid.routing.paths import Api, identify_api

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
)
_DEMANDS_OF_GEMINI: _Demands = (
    (("toolConfig", "functionCallingConfig", "mode"), _FREE),
    (("tool_config", "function_calling_config", "mode"), _FREE),
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


def api_of(path: str) -> Api | None:
    """Return the API of a path on which replays are made to fit; None: they are sent as if routed."""
    api = identify_api(path)
    return api if api in _APIS and served.asked(path, b"").generates else None


def prepare(body: bytes, api: Api, *, drop_params: bool) -> bytes:
    """Return the body of a replay, the same object where nothing is to be changed.

    Args:
        body: as LiteLLM would get it of a routed request, without content coding.
        api: its shape.
        drop_params: let LiteLLM leave out what its backend does not know, unless that could change what the
            request means: a tool that is forced, or an answer's form that is demanded, would go in silence.
    """
    may_drop = False

    def edit(request: Object) -> bool:
        nonlocal may_drop
        may_drop = drop_params and "drop_params" not in request and not demanded(request, api)
        priced = [name for name in _PRICED if request.pop(name, None) is not None]
        changed = bool(priced)
        if api is Api.MESSAGES and documents.may_be_in(body):
            changed |= documents.as_text(request)
        if api is Api.RESPONSES and b'"additional_tools"' in body:
            changed |= _hoist_tools(request)
        return changed

    edited = edit_body(body, edit)
    return with_member(edited, "drop_params", value=True) if may_drop else edited


def demanded(request: Object, api: Api) -> list[bytes]:
    """What a request says where it forces or forbids a tool, or demands a form of its answer."""
    found = []
    for path, harmless in _DEMANDS_OF_GEMINI if api is Api.GENERATE_CONTENT else _DEMANDS:
        said = member(request, *path)
        if said is not None and not is_empty(said) and _name(said) not in harmless:
            found.append(bytes(said))
    return found


def _hoist_tools(request: Object) -> bool:
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
    return b"".join((head, comma, encoded(name), b":", encoded(value), b"}"))


def _name(value: Raw) -> str | None:
    """A plain string, or the `type` of an object."""
    holder = opened(value)
    return kind(holder) if holder is not None else text(value)
