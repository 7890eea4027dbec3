"""What LiteLLM must see: URL, headers, model spelling. And what upstream must see: nearly nothing else.

Facts about LiteLLM 1.106: it takes the first of seven credential headers and
does not try a second, forwards a client's Authorization to some providers,
answers compressed bodies with a misleading 400, and compares model names with
their case.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.message import credentials, forms, json
from litellm_hybrid.message.credentials import Headers
from litellm_hybrid.message.json import Members, Object, members, objects, text
from litellm_hybrid.routing import paths
from litellm_hybrid.routing.paths import Api, identify_api
from litellm_hybrid.routing.requested_model import Named

VIA = b"1.1 litellm-hybrid"
"""What a request to LiteLLM carries in `Via`: one that comes back here is in a loop."""

# Tells Anthropic that an OAuth token comes with the request; LiteLLM's key is none.
_OAUTH_BETA = "oauth-2025-04-20"

# Set anew below, or true of the body or the connection on its way here only.
_REPLACED = frozenset(
    (
        b"host content-length transfer-encoding content-encoding upgrade http2-settings via "
        b"x-request-id x-litellm-call-id anthropic-beta"
    ).split()
)

_LEFT_OUT = _REPLACED | credentials.HEADERS

_THINKING_SUFFIX = re.compile(r"\(([^()]*)\)$")
# CLIProxyAPI's levels and their budgets in tokens; it takes both for every provider.
_BUDGETS = {
    "none": 0,
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 32768,
    "max": 128000,
}
_LEAST_BUDGET = 1024
"""In tokens, Anthropic's."""

_OF_THE_BODY = frozenset({b"content-length", b"transfer-encoding", b"content-encoding"})


@dataclass
class Incoming:
    """A request as the client sent it: headers in order and case, the body with its content coding.

    `path` is without the query, and `query` without the "?".
    """

    path: str
    query: str
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> str:
        """All values of a header, joined as HTTP joins them; "" if there is none."""
        return self._joined.get(name, b"").decode("utf-8", "surrogateescape")

    def has(self, name: bytes) -> bool:
        """Whether there is a header of this name, in lower case, though it may be empty."""
        return name in self._joined

    @cached_property
    def _joined(self) -> dict[bytes, bytes]:
        joined: dict[bytes, bytes] = {}
        for field, value in self.headers:
            name = field.lower()
            joined[name] = joined[name] + b", " + value if name in joined else value
        return joined


@dataclass(slots=True)
class Outgoing:
    """A request as LiteLLM gets it; `target` is path and query, with the address's path prefix."""

    address: Address
    target: str
    headers: Headers
    body: bytes


def for_litellm(
    settings: Settings,
    incoming: Incoming,
    named: Named,
    model: str,
    request_id: str,
    *,
    stored_path: str = "",
    fit: Callable[[bytes], bytes] | None = None,
) -> Outgoing:
    """The request that LiteLLM gets in place of the client's; it has an address, the body could be read.

    `model` is LiteLLM's name for it, `request_id` goes along as X-Request-ID and as LiteLLM's own call id,
    and `stored_path` is where LiteLLM has the response that the request is about, if it is about one. `fit`
    changes the body once it is LiteLLM's.
    """
    assert settings.base_url is not None
    assert named.content is not None
    body = incoming.body
    if incoming.header(b"content-encoding") or (named.members is not None and named.members.irregular):
        body = named.content
    body = _respell(body, incoming, named, model)
    if named.members is not None and is_responses(named.members):
        body = as_chat(body) if identify_api(incoming.path) is Api.CHAT else body
    if fit is not None:
        body = fit(body)
    served = paths.for_litellm(incoming.path, model) or stored_path
    assert served, "only a model endpoint, or a response of its own, goes to LiteLLM"
    path = settings.base_url.path + served
    query = incoming.query and credentials.without_credentials(incoming.query)
    return Outgoing(
        settings.base_url,
        f"{path}?{query}" if query else path,
        _headers(settings, incoming, len(body), request_id),
        body,
    )


def with_body(headers: Headers, body: bytes) -> Headers:
    """Headers that fit a new body, which has no content coding."""
    kept = [(name, value) for name, value in headers if name.lower() not in _OF_THE_BODY]
    return (*kept, (b"Content-Length", str(len(body)).encode()))


def without_provider_prefix(target: str) -> str:
    """The path and query under which an upstream without Amp's routes serves a request."""
    path, question, query = target.partition("?")
    return paths.for_upstream(path) + question + query


def _respell(body: bytes, incoming: Incoming, named: Named, model: str) -> bytes:
    """The body with LiteLLM's name for the model, and with the thinking that the client's name asks for."""
    if named.members is not None:
        stated = named.members.strings("model")
        changes: dict[str, object] = {"model": model} if stated and stated["model"] != model else {}
        if named.model is not None and named.model.rstrip().endswith(")") and not model.endswith(")"):
            changes |= thinking_members(named.model, identify_api(incoming.path), named.members)
        return named.members.put(changes) if changes else body
    content_type = incoming.header(b"content-type")
    if forms.is_form(content_type) and (field := forms.find_field(body, content_type, "model")):
        return body if field.value == model else field.replace(body, model)
    return body


def _headers(settings: Settings, incoming: Incoming, length: int, request_id: str) -> Headers:
    headers = [
        field
        for field in incoming.headers
        if (lowered := field[0].lower()) not in _LEFT_OUT
        and not lowered.startswith(credentials.HEADER_PREFIX)
        and not credentials.is_oauth(field[1].decode("utf-8", "surrogateescape"))
    ]
    if incoming.has(b"anthropic-beta") and (beta := _without_oauth_beta(incoming.header(b"anthropic-beta"))):
        headers.append((b"anthropic-beta", beta.encode("utf-8", "surrogateescape")))
    if credential := _credential(settings, incoming):
        headers.append((b"Authorization", b"Bearer " + credential.encode("utf-8", "surrogateescape")))
    via = incoming.header(b"via").encode("utf-8", "surrogateescape")
    headers += [
        (b"Via", via + b", " + VIA if via else VIA),
        (b"X-Request-ID", request_id.encode()),
        (b"x-litellm-call-id", request_id.encode()),
        (b"Content-Length", str(length).encode()),
    ]
    assert settings.base_url is not None
    return ((b"Host", _authority(settings.base_url)), *headers)


@lru_cache(maxsize=4)  # the configuration's
def _authority(address: Address) -> bytes:
    return str(Address(address.scheme, address.host, address.port)).partition("://")[2].encode("ascii")


def _credential(settings: Settings, incoming: Incoming) -> str | None:
    if settings.api_key is not None:
        return settings.api_key.value
    if settings.no_auth:
        return None
    own = credentials.presented(incoming.headers, incoming.query)
    return next((key for key in own if not credentials.is_oauth(key)), None)


def _without_oauth_beta(value: str) -> str:
    betas = (beta.strip() for beta in value.split(","))
    return ",".join(beta for beta in betas if beta and beta != _OAUTH_BETA)


def thinking_members(model: str, api: Api | None, body: Members) -> dict[str, Any]:
    """The thinking setting in a model's name, `gpt-5(high)` or `gemini(8192)`, as LiteLLM takes it.

    Members for the body, where they replace its own, as in CLIProxyAPI; {} where the name says nothing.
    """
    suffix = _THINKING_SUFFIX.search(model.strip())
    said = suffix[1].strip().lower() if suffix else ""
    budget = int(said) if said.isascii() and said.isdigit() and len(said) < 9 else _BUDGETS.get(said)
    if budget is None:
        return {}
    fitting = (level for level, most in _BUDGETS.items() if budget <= most)
    level = said if said in _BUDGETS else next(fitting, "max")
    if api is Api.CHAT:
        return {"reasoning_effort": level}
    if api is Api.RESPONSES:
        return {"reasoning": {**members(body.decode("reasoning")), "effort": level}}
    if api is Api.MESSAGES:
        return _anthropic(budget, body.decode("max_tokens"))
    if api is Api.GENERATE_CONTENT:
        name = "generation_config" if body.has("generation_config") else "generationConfig"
        config = {key: value for key, value in members(body.decode(name)).items() if key != "thinking_config"}
        thinking = members(config.get("thinkingConfig"))
        thinking = {key: value for key, value in thinking.items() if key != "thinkingLevel"}
        return {name: {**config, "thinkingConfig": {**thinking, "thinkingBudget": budget}}}
    return {}


def _anthropic(budget: int, max_tokens: object) -> dict[str, Any]:
    if budget == 0:
        return {"thinking": {"type": "disabled"}}
    if isinstance(max_tokens, int) and max_tokens <= _LEAST_BUDGET:
        return {}  # no room for any
    most = max_tokens - 1 if isinstance(max_tokens, int) else budget
    return {"thinking": {"type": "enabled", "budget_tokens": max(_LEAST_BUDGET, min(budget, most))}}


# -- a Responses body in the form of chat completions ----------------------------
# Cursor posts it to `/v1/chat/completions`. CLIProxyAPI takes a body without `messages` but with `input` or
# `instructions` for one and answers with chat chunks; LiteLLM refuses it.

_OTHERWISE = frozenset(
    {
        *("input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens"),
        *("include", "truncation", "background", "max_tool_calls"),
    }
)
"""What stands under another name in a chat completion, or has no meaning there."""

_STORED = ("previous_response_id", "conversation", "prompt")
_TEXTS = frozenset({"input_text", "output_text", "text", "refusal"})
_CALLS = frozenset({"function_call", "custom_tool_call"})
_RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})

_FREEFORM = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""The parameters of a function that stands for a custom tool, whose only argument is text."""


def is_responses(body: Members) -> bool:
    """Whether a body of a chat completion is of the Responses API, and says all of itself."""
    if body.has("messages"):
        return False
    asked = body.has("input") or body.has("instructions")
    return asked and not any(body.has(name) for name in _STORED)


def as_chat(body: bytes) -> bytes:
    """Return such a body in the form of a chat completion; as it is if it cannot be read.

    Reasoning, which is sealed for who made it, and tools that only OpenAI's servers run are left out.
    """
    request = members(json.decode(body))
    if not request:
        return body
    chat: dict[str, Any] = {name: value for name, value in request.items() if name not in _OTHERWISE}
    chat["messages"] = _messages(request)
    if tools := [tool for each in objects(request.get("tools")) if (tool := _tool(each)) is not None]:
        chat["tools"] = tools
        if choice := _tool_choice(request.get("tool_choice")):
            chat["tool_choice"] = choice
    said = members(request.get("text"))
    more = {
        "max_tokens": request.get("max_output_tokens"),
        "reasoning_effort": members(request.get("reasoning")).get("effort"),
        "verbosity": said.get("verbosity"),
        "response_format": _format(members(said.get("format"))),
    }
    chat |= {name: value for name, value in more.items() if value is not None and name not in chat}
    return msgspec.json.encode(chat)


def _messages(request: Object) -> list[dict[str, Any]]:
    instructions, given = text(request.get("instructions")), request.get("input")
    messages: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    for item in objects(given):
        kind = item.get("type")
        if kind in _CALLS:
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(_call(item))
        elif kind in _RESULTS:
            said = _content(item.get("output"))
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": said})
        elif kind in (None, "message") and text(item.get("role")):
            messages.append({"role": item["role"], "content": _content(item.get("content"))})
    return messages


def _call(item: Object) -> dict[str, Any]:
    arguments = text(item.get("arguments"))
    if item.get("type") == "custom_tool_call":
        arguments = json.encode({"input": text(item.get("input"))})
    function = {"name": item.get("name"), "arguments": arguments or "{}"}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def _content(content: object) -> str | list[dict[str, Any]]:
    """Text where there is nothing else, else parts."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else json.encode(content) if content else ""
    parts = [_part(part) for part in objects(content)]
    if all(part.get("type") == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _part(part: Object) -> dict[str, Any]:
    kind = part.get("type")
    if kind in _TEXTS:
        return {"type": "text", "text": text(part.get("text")) or text(part.get("refusal"))}
    if kind == "input_image":
        image = {"url": part.get("image_url"), "detail": part.get("detail")}
        return {"type": "image_url", "image_url": {name: value for name, value in image.items() if value}}
    if kind == "input_file":
        names = ("file_data", "file_id", "filename")
        return {"type": "file", "file": {name: part[name] for name in names if part.get(name)}}
    return dict(part)


def _tool(tool: Object) -> dict[str, Any] | None:
    """A function as chat completions want it; None for what only OpenAI's servers run."""
    kind = tool.get("type")
    if "function" in tool:
        return dict(tool)
    if kind == "custom":
        described = {name: tool[name] for name in ("name", "description") if tool.get(name)}
        return {"type": "function", "function": {**described, "parameters": _FREEFORM}}
    if kind != "function":
        return None
    names = ("name", "description", "parameters", "strict")
    return {
        "type": "function",
        "function": {name: tool[name] for name in names if tool.get(name) is not None},
    }


def _tool_choice(choice: object) -> object:
    named = members(choice).get("name")
    return {"type": "function", "function": {"name": named}} if named else choice


def _format(form: Object) -> dict[str, Any] | None:
    if form.get("type") != "json_schema":
        return dict(form) if form.get("type") == "json_object" else None
    return {"type": "json_schema", "json_schema": {name: form[name] for name in form if name != "type"}}
