"""The Responses shape (OpenAI): reasoning items, encrypted content, and ids bound to them.

OpenAI seals `encrypted_content` for one organisation; another one answers 400
`invalid_encrypted_content` (openai/codex#8145, #13724, BerriAI/litellm#18094). An
item that keeps its id while its reasoning item is gone is refused, too: "Item
'fc_…' of type 'function_call' was provided without its required 'reasoning' item"
(mastra-ai/mastra#8738, laravel/ai#1052). `call_id` ties results to calls and stays.
"""

from msgspec import Raw

from litellm_hybrid.llm.history.json_edit import (
    Changes,
    Object,
    elements,
    encoded,
    kind,
    opened,
    remove,
    text,
)
from litellm_hybrid.llm.history.rejections import HistoryRejection
from litellm_hybrid.llm.history.tool_call_ids import plain_ids

_SEALED = frozenset({"reasoning", "compaction", "compaction_summary", "context_compaction"})
"""Items that are nothing but sealed state. `compaction_trigger` asks for a new one and stays."""

_ID_OPTIONAL = frozenset(
    {"function_call", "custom_tool_call", "tool_search_call", "shell_call", "apply_patch_call"}
)
_ID_REQUIRED = frozenset(
    {"message", "web_search_call", "file_search_call", "code_interpreter_call", "computer_call"}
)
"""Their type wants an id, so they get one that no server knows, with the prefix that it checks."""


def reduce_responses(request: Object, changes: Changes, rejection: HistoryRejection | None) -> bool:
    """Reduce a Responses request in place; says whether it was changed.

    `include: ["reasoning.encrypted_content"]` stays: it asks for new content. So does
    `previous_response_id`, which only the server that stored the response can serve.
    """
    items = elements(request.get("input"))
    if items is None:
        return False
    kept = [item for item in items if not _is_sealed(item, changes)]
    unbind = len(kept) < len(items) or rejection == "reasoning-item"
    after = [_reduced(item, position, changes, unbind=unbind) for position, item in enumerate(kept)]
    if len(after) == len(items) and all(new is old for new, old in zip(after, items, strict=True)):
        return False
    request["input"] = encoded(after)
    return True


def _reduced(raw: Raw, position: int, changes: Changes, *, unbind: bool) -> Raw:
    item = opened(raw)
    if item is None:
        return raw
    reduced = remove(item, ("encrypted_content",), changes)
    reduced |= plain_ids(item, ("id", "call_id"), changes)
    if unbind:
        reduced |= _unbind(item, position, changes)
    return encoded(item) if reduced else raw


def _is_sealed(raw: Raw, changes: Changes) -> bool:
    item = opened(raw)
    if item is None:
        return False
    name = kind(item)
    if name in _SEALED:
        changes.dropped[name] += 1
        return True
    if name in {None, "item_reference"} and _id(item).startswith("rs_"):
        changes.dropped["item_reference"] += 1
        return True
    return False


def _unbind(item: Object, position: int, changes: Changes) -> bool:
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
    changes.dropped["item id"] += 1
    return True


def _id(item: Object) -> str:
    return text(item.get("id")) or ""
