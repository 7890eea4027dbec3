"""The Responses shape (OpenAI): reasoning items, encrypted content, and ids bound to them.

OpenAI seals `encrypted_content` for one organisation; another one answers 400
`invalid_encrypted_content` (openai/codex#8145, #13724, BerriAI/litellm#18094). An
item that keeps its id while its reasoning item is gone is refused, too: "Item
'fc_…' of type 'function_call' was provided without its required 'reasoning' item"
(mastra-ai/mastra#8738, laravel/ai#1052). `call_id` ties results to calls and stays.
"""

from msgspec import Raw

from litellm_hybrid.llm.history.json_edit import Object, elements, encoded, kind, opened, text
from litellm_hybrid.llm.history.reduction import Reduction, last_turn

_COMPACTED = frozenset({"compaction", "compaction_summary", "context_compaction"})
"""Items that are the only record of earlier turns, sealed. `compaction_trigger` asks for one and stays."""

COMPACTION_NOTE = (
    "[The earlier part of this conversation was compacted by another provider and cannot be read here. "
    "Go on with what follows; ask for, or look up, what is missing.]"
)
"""What the model is told in the place of such an item."""

_NOTE = encoded(
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": COMPACTION_NOTE}]}
)

_ID_OPTIONAL = frozenset(
    {"function_call", "custom_tool_call", "tool_search_call", "shell_call", "apply_patch_call"}
)
_ID_REQUIRED = frozenset(
    {"message", "web_search_call", "file_search_call", "code_interpreter_call", "computer_call"}
)
"""Their type wants an id, so they get one that no server knows, with the prefix that it checks."""


def reduce_responses(request: Object, work: Reduction) -> bool:
    """Reduce a Responses request in place; says whether it was changed.

    `include: ["reasoning.encrypted_content"]` stays: it asks for new content. So does
    `previous_response_id`, which only the server that stored the response can serve.
    `reasoning` is left out where Anthropic, asked in this API, would miss what was dropped.
    """
    items = elements(request.get("input"))
    if items is None:
        return False
    kept = [step for item in items if (step := _unsealed(item, work)) is not None]
    unbind = len(kept) < len(items) or work.rejection == "reasoning-item"
    after = [_reduced(item, position, work, unbind=unbind) for position, item in enumerate(kept)]
    changed = len(after) != len(items) or any(new is not old for new, old in zip(after, items, strict=True))
    if changed:
        request["input"] = encoded(after)
    refused = work.rejection in {"thinking-signature", "clear-thinking"} and in_tool_loop(request)
    if work.rejection == "thinking-missing" or refused:
        changed |= work.switch_off(request, ("reasoning",))
        changed |= work.switch_off_suffix(request)
    return changed


def in_tool_loop(request: Object) -> bool:
    """Whether the last turn is the result of a tool call."""
    return (kind(last_turn(request.get("input"))) or "").endswith("_output")


def _reduced(raw: Raw, position: int, work: Reduction, *, unbind: bool) -> Raw:
    item = opened(raw)
    if item is None or raw is _NOTE:
        return raw
    reduced = work.is_foreign(item.get("encrypted_content")) or work.everything
    reduced = reduced and work.remove(item, ("encrypted_content",))
    reduced |= work.remove(item, work.added_members(None))
    reduced |= work.everything and work.plain_ids(item, ("id", "call_id"))
    if unbind:
        reduced |= _unbind(item, position, work)
    return encoded(item) if reduced else raw


def _unsealed(raw: Raw, work: Reduction) -> Raw | None:
    """The item, a note in its place, or None where it is nothing but sealed state."""
    item = opened(raw)
    if item is None:
        return raw
    name = kind(item)
    sealed = work.everything or work.is_foreign(item.get("encrypted_content"))
    if name in _COMPACTED and sealed:
        work.dropped[name] += 1
        return _NOTE
    if name == "reasoning" and sealed:
        work.dropped[name] += 1
        return None
    if work.everything and name in {None, "item_reference"} and _id(item).startswith("rs_"):
        work.dropped["item_reference"] += 1
        return None
    return raw


def _unbind(item: Object, position: int, work: Reduction) -> bool:
    name = kind(item)
    prefix, _, serial = _id(item).partition("_")
    if not serial or serial == f"reduced{position}":
        return False
    if name in _ID_OPTIONAL:
        del item["id"]
    elif name in _ID_REQUIRED:
        item["id"] = encoded(f"{prefix}_reduced{position}")
    else:
        return False
    work.dropped["item id"] += 1
    return True


def _id(item: Object) -> str:
    return text(item.get("id")) or ""
