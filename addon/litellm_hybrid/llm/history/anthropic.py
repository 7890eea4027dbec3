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

from litellm_hybrid.config.model_patterns import without_suffix
from litellm_hybrid.llm.history.json_edit import (
    Object,
    edited,
    encoded,
    filtered,
    kind,
    objects_in,
    opened,
    replace,
    replace_and_prune,
    text,
)
from litellm_hybrid.llm.history.reduction import Reduction, last_turn

_THINKING = frozenset({"thinking", "redacted_thinking"})
_ID_KEYS = ("id", "tool_use_id")


_DOCUMENTED = {
    "text": frozenset({"type", "text", "citations", "cache_control"}),
    "tool_use": frozenset({"type", "id", "name", "input", "caller", "cache_control"}),
}
"""The members of the blocks that other makers add to."""


def reduce_messages(request: Object, work: Reduction) -> bool:
    """Reduce a Messages request in place; says whether it was changed.

    A message that held nothing but thinking goes as a whole: empty content is
    refused, and Anthropic joins neighbouring messages of the same role.
    """
    step = partial(_message, work=work)
    changed = replace(request, "messages", lambda raw: filtered(raw, step))
    dropped = any(work.dropped[name] for name in _THINKING)
    if work.rejection == "thinking-missing" or (dropped and _manual(request, work) and in_tool_loop(request)):
        changed |= _switch_thinking_off(request, work)
        changed |= work.switch_off_suffix(request)
    depends = dropped or work.rejection in {"thinking-missing", "clear-thinking"}
    if depends and omit_clear_thinking(request):
        work.switched_off.append("context_management.clear_thinking")
        changed = True
    return changed


def _message(raw: Raw, *, work: Reduction) -> Raw | None:
    message = work.thinned(raw, "content", partial(_block, work=work), "message")
    if message is None or not work.strips("provider_specific_fields"):
        return message
    return edited(message, lambda members: work.remove(members, ("provider_specific_fields",)))


def _block(raw: Raw, *, work: Reduction) -> Raw | None:
    block = opened(raw)
    if block is None:
        return raw
    name = kind(block)
    if name in _THINKING and work.leaves_out(block.get("signature" if name == "thinking" else "data")):
        work.dropped[name] += 1
        return None
    if name == "text" and text(block.get("text")) == "":
        work.dropped["empty text"] += 1
        return None
    # A compaction block also has its summary as plain text, which stays.
    reduced = name == "compaction" and work.everything
    reduced = reduced and work.remove(block, ("encrypted_content", "signature"))
    reduced |= work.remove(block, work.added_members(name))
    if work.rejection == "unknown-member" and name in _DOCUMENTED:
        reduced |= work.keep_only(block, _DOCUMENTED[name])
    if work.everything:
        reduced |= work.plain_ids(block, _ID_KEYS, anthropic=True)
    return encoded(block) if reduced else raw


def _manual(request: Object, work: Reduction) -> bool:
    thinking = opened(request["thinking"]) if "thinking" in request else None
    has_suffix = without_suffix(text(request.get("model")) or "")[1] != ""
    return (has_suffix and work.side == "upstream") or (thinking is not None and kind(thinking) == "enabled")


def in_tool_loop(request: Object) -> bool:
    """Whether the last message answers a tool call, or is the assistant's own."""
    last = last_turn(request.get("messages"))
    answers = any(kind(block) == "tool_result" for block in objects_in(last.get("content")))
    return answers or text(last.get("role")) == "assistant"


def _switch_thinking_off(request: Object, work: Reduction) -> bool:
    """Leave `thinking` out, and the effort, from which LiteLLM would make it anew.

    Left out rather than `disabled`: that means off wherever manual mode exists, and
    newer models refuse `disabled` (ex-machina-co/opencode-anthropic-auth#159), or
    refuse it beside a high `output_config.effort` (anthropics/claude-code#84844).
    """
    changed = work.switch_off(request, ("thinking",))
    return work.switch_off_within(request, "output_config", ("effort",)) or changed


def omit_clear_thinking(request: Object) -> bool:
    """Leave out the edit that depends on thinking; says whether there was one.

    "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"
    (anthropics/claude-code#11971); LiteLLM drops the option where it drops a block, and keeps the edit.
    """

    def edit(management: Object) -> bool:
        return replace_and_prune(management, "edits", lambda raw: filtered(raw, _unless_clear_thinking))

    return replace_and_prune(request, "context_management", lambda raw: edited(raw, edit))


def _unless_clear_thinking(raw: Raw) -> Raw | None:
    edit = opened(raw)
    return None if edit is not None and (kind(edit) or "").startswith("clear_thinking_") else raw
