"""The chat completions shape: reasoning that gateways put beside an assistant's words.

The standard has no place for reasoning, so each provider and gateway has its own:
`reasoning_content` (DeepSeek, LiteLLM), `reasoning_details` (OpenRouter),
`reasoning_items`, `thinking_blocks` and `provider_specific_fields` (LiteLLM),
`extra_content.google.thought_signature` (Google). What is signed or encrypted in
there is refused like its original (BerriAI/litellm#40364). CLIProxyAPI and LiteLLM
both set Google's placeholder where a Gemini tool call comes without a signature.
"""

from functools import partial

from msgspec import Raw

from litellm_hybrid.llm.history.json_edit import (
    Changes,
    Object,
    edited,
    elements,
    encoded,
    filtered,
    is_empty,
    kind,
    opened,
    remove,
    replace,
    text,
)
from litellm_hybrid.llm.history.rejections import HistoryRejection
from litellm_hybrid.llm.history.tool_call_ids import plain_ids

_BESIDE_CONTENT = (
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "reasoning_opaque",
    "reasoning_details",
    "reasoning_items",
    "thinking_blocks",
    "provider_specific_fields",
    "extra_content",
)
_BESIDE_CALL = ("provider_specific_fields", "extra_content")
_REASONING_PARTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
_WORDS = ("content", "tool_calls", "function_call", "rejection", "audio")
_ANTHROPIC_PARTS = ("thinking_blocks", "thinking", "redacted_thinking")


def reduce_chat(request: Object, changes: Changes, rejection: HistoryRejection | None) -> bool:
    """Reduce a chat completions request in place; says whether it was changed.

    An assistant message that held nothing but reasoning goes as a whole. LiteLLM's
    `thinking` option is left out where Anthropic would miss what was dropped.
    """
    changed = replace(request, "messages", lambda raw: filtered(raw, partial(_message, changes=changes)))
    dropped = any(changes.dropped[part] for part in _ANTHROPIC_PARTS)
    demanded = rejection == "thinking-missing" or (dropped and _in_tool_loop(request))
    if demanded and not is_empty(request.get("thinking")):
        del request["thinking"]
        changes.switched_off.append("thinking")
        return True
    return changed


def _message(raw: Raw, *, changes: Changes) -> Raw | None:
    message = opened(raw)
    if message is None:
        return raw
    role = text(message.get("role"))
    if role == "tool":
        return encoded(message) if plain_ids(message, ("tool_call_id",), changes) else raw
    if role != "assistant":
        return raw
    reduced = remove(message, _BESIDE_CONTENT, changes)
    reduced |= replace(message, "content", lambda raw: filtered(raw, partial(_part, changes=changes)))
    if reduced and all(is_empty(message.get(key)) for key in _WORDS):
        changes.dropped["message"] += 1
        return None
    if reduced and "content" in message and is_empty(message["content"]):
        message["content"] = Raw(b"null")
    reduced |= replace(message, "tool_calls", lambda raw: filtered(raw, partial(_call, changes=changes)))
    return encoded(message) if reduced else raw


def _part(raw: Raw, *, changes: Changes) -> Raw | None:
    part = opened(raw)
    name = kind(part) if part is not None else None
    if name not in _REASONING_PARTS:
        return raw
    changes.dropped[name] += 1
    return None


def _call(raw: Raw, *, changes: Changes) -> Raw:
    def edit(call: Object) -> bool:
        reduced = remove(call, _BESIDE_CALL, changes)
        reduced |= plain_ids(call, ("id",), changes)
        return reduced | replace(call, "function", lambda raw: edited(raw, _function))

    def _function(function: Object) -> bool:
        return remove(function, _BESIDE_CALL, changes)

    return edited(raw, edit)


def _in_tool_loop(request: Object) -> bool:
    messages = elements(request.get("messages"))
    last = opened(messages[-1]) if messages else None
    return last is not None and text(last.get("role")) == "tool"
