"""The Messages shape (Anthropic): thinking blocks, and the option that demands them.

Anthropic signs thinking: a block made by another model, account or provider, or
changed in any way, is 400 "Invalid `signature` in `thinking` block"
(anthropics/claude-code#10627, anthropics/anthropic-sdk-python#1598). Left out blocks
are refused only in manual mode (`thinking.type: enabled`), and only within a tool
loop: "Expected `thinking` or `redacted_thinking`, but found `tool_use`"
(anomalyco/opencode#3077). In adaptive mode turns need not start with one
(platform.claude.com/docs/en/build-with-claude/adaptive-thinking), so it stays on.
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
    thinned,
)
from litellm_hybrid.llm.history.rejections import HistoryRejection
from litellm_hybrid.llm.history.tool_call_ids import plain_ids

_THINKING = frozenset({"thinking", "redacted_thinking"})
_ID_KEYS = ("id", "tool_use_id")


def reduce_messages(request: Object, changes: Changes, rejection: HistoryRejection | None) -> bool:
    """Reduce a Messages request in place; says whether it was changed.

    A message that held nothing but thinking goes as a whole: empty content is
    refused, and Anthropic joins neighbouring messages of the same role.
    """
    changed = replace(request, "messages", lambda raw: filtered(raw, partial(_message, changes=changes)))
    missing = rejection == "thinking-missing"
    if missing or (_dropped_thinking(changes) and _manual(request) and _in_tool_loop(request)):
        changed |= _switch_thinking_off(request, changes)
    return changed


def _message(raw: Raw, *, changes: Changes) -> Raw | None:
    return thinned(raw, "content", partial(_block, changes=changes), changes, "message")


def _block(raw: Raw, *, changes: Changes) -> Raw | None:
    block = opened(raw)
    if block is None:
        return raw
    name = kind(block)
    if name in _THINKING:
        changes.dropped[name] += 1
        return None
    # A compaction block also has its summary as plain text, which stays.
    unsealed = name == "compaction" and remove(block, ("encrypted_content", "signature"), changes)
    renamed = plain_ids(block, _ID_KEYS, changes, anthropic=True)
    return encoded(block) if unsealed or renamed else raw


def _dropped_thinking(changes: Changes) -> bool:
    return any(changes.dropped[name] for name in _THINKING)


def _manual(request: Object) -> bool:
    thinking = opened(request["thinking"]) if "thinking" in request else None
    return thinking is not None and kind(thinking) == "enabled"


def _in_tool_loop(request: Object) -> bool:
    """Whether the last message answers a tool call, or is the assistant's own."""
    messages = elements(request.get("messages"))
    last = opened(messages[-1]) if messages else None
    if last is None:
        return False
    if text(last.get("role")) == "assistant":
        return True
    blocks = [opened(block) for block in elements(last.get("content")) or ()]
    return any(block is not None and kind(block) == "tool_result" for block in blocks)


def _switch_thinking_off(request: Object, changes: Changes) -> bool:
    """Leave `thinking` out, with the edits that depend on it.

    Left out rather than `disabled`: that means off wherever manual mode exists, and
    newer models refuse `disabled` (ex-machina-co/opencode-anthropic-auth#159), or
    refuse it beside a high `output_config.effort` (anthropics/claude-code#84844).
    "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"
    (anthropics/claude-code#11971).
    """
    if is_empty(request.get("thinking")):
        return False
    del request["thinking"]
    changes.switched_off.append("thinking")
    if replace(request, "context_management", lambda raw: edited(raw, _without_clear_thinking)):
        changes.switched_off.append("context_management.clear_thinking")
        if is_empty(request["context_management"]):
            del request["context_management"]
    return True


def _without_clear_thinking(management: Object) -> bool:
    if not replace(management, "edits", lambda raw: filtered(raw, _unless_clear_thinking)):
        return False
    if is_empty(management["edits"]):
        del management["edits"]
    return True


def _unless_clear_thinking(raw: Raw) -> Raw | None:
    edit = opened(raw)
    return None if edit is not None and (kind(edit) or "").startswith("clear_thinking_") else raw
