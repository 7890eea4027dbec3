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
    Object,
    edited,
    encoded,
    filtered,
    is_empty,
    kind,
    opened,
    replace,
    replace_and_prune,
    text,
)
from litellm_hybrid.llm.history.reduction import Reduction, last_turn

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
_WORDS = ("content", "tool_calls", "function_call", "refusal", "audio")
_ANTHROPIC_PARTS = ("thinking_blocks", "thinking", "redacted_thinking")


_THINKING_OPTIONS = ("thinking", "reasoning_effort", "reasoning")
"""LiteLLM makes Anthropic's thinking of any of them."""


def reduce_chat(request: Object, work: Reduction) -> bool:
    """Reduce a chat completions request in place; says whether it was changed.

    An assistant message that held nothing but reasoning goes as a whole. The options that ask for
    thinking are left out where Anthropic would miss what was dropped.
    """
    step = partial(_message, work=work)
    changed = replace(request, "messages", lambda raw: filtered(raw, step))
    dropped = any(work.dropped[part] for part in _ANTHROPIC_PARTS)
    if work.rejection == "thinking-missing" or (dropped and in_tool_loop(request)):
        changed |= work.switch_off(request, _THINKING_OPTIONS)
        changed |= work.switch_off_within(request, "output_config", ("effort",))
        changed |= work.switch_off_suffix(request)
    return changed


def _message(raw: Raw, *, work: Reduction) -> Raw | None:
    message = opened(raw)
    if message is None:
        return raw
    role = text(message.get("role"))
    if role == "tool":
        named = work.everything and work.plain_ids(message, ("tool_call_id",))
        return encoded(message) if named else raw
    if role != "assistant":
        return raw
    step = partial(_part, work=work)
    if work.everything:
        reduced = work.remove(message, _BESIDE_CONTENT)
    else:
        reduced = work.remove(message, work.added_members(None))
        reduced |= replace_and_prune(message, "thinking_blocks", lambda raw: filtered(raw, step))
    reduced |= replace(message, "content", lambda raw: filtered(raw, step))
    if reduced and all(is_empty(message.get(key)) for key in _WORDS):
        work.dropped["message"] += 1
        return None
    if reduced and "content" in message and is_empty(message["content"]):
        message["content"] = Raw(b"null")
    call = partial(_call, work=work)
    reduced |= replace(message, "tool_calls", lambda raw: filtered(raw, call))
    return encoded(message) if reduced else raw


def _part(raw: Raw, *, work: Reduction) -> Raw | None:
    part = opened(raw)
    name = kind(part) if part is not None else None
    if part is None or name not in _REASONING_PARTS:
        return raw
    if not work.leaves_out(part.get("data" if name == "redacted_thinking" else "signature")):
        return raw
    work.dropped[name] += 1
    return None


def _call(raw: Raw, *, work: Reduction) -> Raw:
    members = _BESIDE_CALL if work.everything else work.added_members(None)

    def edit(call: Object) -> bool:
        reduced = work.remove(call, members)
        reduced |= work.everything and work.plain_ids(call, ("id",))
        remove = partial(work.remove, keys=members)
        return reduced | replace(call, "function", lambda raw: edited(raw, remove))

    return edited(raw, edit)


def in_tool_loop(request: Object) -> bool:
    """Whether the last turn is the result of a tool call."""
    return text(last_turn(request.get("messages")).get("role")) == "tool"
