"""A Responses body that a client posts to `/v1/chat/completions`, put into the form of that API.

Cursor does so. CLIProxyAPI takes a body without `messages` but with `input` or `instructions` for one and
answers with chat chunks; LiteLLM refuses it.
"""

from typing import Any

import msgspec

from litellm_hybrid.message import json
from litellm_hybrid.message.json import Members, Object, members, objects, text

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
    asked = body.has("input") or body.has("instructions")
    return asked and not body.has("messages") and not any(body.has(name) for name in _STORED)


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
