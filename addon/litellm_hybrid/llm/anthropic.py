"""The Messages shape (Anthropic): thinking blocks, the option that demands them, and what is said as text.

Anthropic signs thinking: a block made by another model, account or provider, or
changed in any way, is 400 "Invalid `signature` in `thinking` block"
(anthropics/claude-code#10627, anthropics/anthropic-sdk-python#1598). Left out blocks
are refused only in manual mode (`thinking.type: enabled`), and only within a tool
loop: "Expected `thinking` or `redacted_thinking`, but found `tool_use`"
(anomalyco/opencode#3077). In adaptive mode turns need not start with one
(platform.claude.com/docs/en/build-with-claude/adaptive-thinking), so it stays on.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from msgspec import Raw

from litellm_hybrid.config.settings import without_suffix
from litellm_hybrid.llm.parts import (
    Conversation,
    Kind,
    Part,
    Texts,
    Tool,
    TranscriptResponse,
    Turn,
    base64,
    called,
    noted,
    results,
    said,
    size,
    thought,
    url,
)
from litellm_hybrid.llm.reduction import Reduction, last_turn
from litellm_hybrid.message.json import Object, decode, encode, first, index, items, members, objects, text
from litellm_hybrid.message.json_edit import (
    RawObject,
    edited,
    encoded,
    filtered,
    kind,
    objects_in,
    opened,
    raw_text,
    replace,
    replace_and_prune,
)

# -- histories --------------------------------------------------------------------

_THINKING = frozenset({"thinking", "redacted_thinking"})
_ID_KEYS = ("id", "tool_use_id")


_DOCUMENTED = {
    "text": frozenset({"type", "text", "citations", "cache_control"}),
    "tool_use": frozenset({"type", "id", "name", "input", "caller", "cache_control"}),
}
"""The members of the blocks that other makers add to."""


def reduce_messages(request: RawObject, work: Reduction) -> bool:
    """Reduce a Messages request in place; says whether it was changed.

    A message that held nothing but thinking goes as a whole: empty content is
    refused, and Anthropic joins neighbouring messages of the same role.
    """
    step = partial(_reduced_message, work=work)
    changed = replace(request, "messages", lambda raw: filtered(raw, step))
    dropped = any(map(work.dropped.get, _THINKING))
    if work.rejection == "thinking-missing" or (dropped and _manual(request, work) and in_tool_loop(request)):
        changed |= _switch_thinking_off(request, work)
        changed |= work.switch_off_suffix(request)
    depends = dropped or work.rejection in {"thinking-missing", "clear-thinking"}
    if depends and omit_clear_thinking(request):
        work.switched_off.append("context_management.clear_thinking")
        changed = True
    return changed


def _reduced_message(raw: Raw, *, work: Reduction) -> Raw | None:
    message = work.thinned(raw, "content", partial(_reduced_block, work=work), "message")
    if message is None or not work.strips("provider_specific_fields"):
        return message
    return edited(message, lambda members: work.remove(members, ("provider_specific_fields",)))


def _reduced_block(raw: Raw, *, work: Reduction) -> Raw | None:
    block = opened(raw)
    if block is None:
        return raw
    name = kind(block)
    if name in _THINKING and work.leaves_out(block.get("signature" if name == "thinking" else "data")):
        work.dropped[name] += 1
        return None
    if name == "text" and raw_text(block.get("text")) == "":
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


def _manual(request: RawObject, work: Reduction) -> bool:
    thinking = opened(request["thinking"]) if "thinking" in request else None
    has_suffix = without_suffix(raw_text(request.get("model")) or "")[1] != ""
    return (has_suffix and work.side == "upstream") or (thinking is not None and kind(thinking) == "enabled")


def in_tool_loop(request: RawObject) -> bool:
    """Whether the last message answers a tool call, or is the assistant's own."""
    last = last_turn(request.get("messages"))
    answers = any(kind(block) == "tool_result" for block in objects_in(last.get("content")))
    return answers or raw_text(last.get("role")) == "assistant"


def _switch_thinking_off(request: RawObject, work: Reduction) -> bool:
    """Leave `thinking` out, and the effort, from which LiteLLM would make it anew.

    Left out rather than `disabled`: that means off wherever manual mode exists, and
    newer models refuse `disabled` (ex-machina-co/opencode-anthropic-auth#159), or
    refuse it beside a high `output_config.effort` (anthropics/claude-code#84844).
    """
    changed = work.switch_off(request, ("thinking",))
    return work.switch_off_within(request, "output_config", ("effort",)) or changed


def omit_clear_thinking(request: RawObject) -> bool:
    """Leave out the edit that depends on thinking; says whether there was one.

    "`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"
    (anthropics/claude-code#11971); LiteLLM drops the option where it drops a block, and keeps the edit.
    """

    def edit(management: RawObject) -> bool:
        return replace_and_prune(management, "edits", lambda raw: filtered(raw, _unless_clear_thinking))

    return replace_and_prune(request, "context_management", lambda raw: edited(raw, edit))


def _unless_clear_thinking(raw: Raw) -> Raw | None:
    edit = opened(raw)
    return None if edit is not None and (kind(edit) or "").startswith("clear_thinking_") else raw


# -- transcripts ------------------------------------------------------------------

END = "message_stop"
"""The event that ends a stream."""

_SHOWN = frozenset({"model", "stream", "system", "messages", "tools"})


def conversation(body: Object) -> Conversation | None:
    """A request read; None if it is none of this API's."""
    if not isinstance(body.get("messages"), list):
        return None
    system = content(body.get("system"))
    turns = [Turn("system", system)] if system else []
    turns += [
        Turn(text(message.get("role")), content(message.get("content")))
        for message in objects(body["messages"])
    ]
    tools = [
        Tool(text(first(tool, "name", "type")), text(tool.get("description")))
        for tool in objects(body.get("tools"))
    ]
    return Conversation.of(body, _SHOWN, tools, turns)


def response(body: Object) -> TranscriptResponse | None:
    """A response read; None if it is none of this API's."""
    if body.get("type") != "message" or not isinstance(body.get("content"), list):
        return None
    sequence = text(body.get("stop_sequence"))
    finish = text(body.get("stop_reason"))
    return TranscriptResponse(
        model=text(body.get("model")),
        id=text(body.get("id")),
        finish=f"{finish} ({encode(sequence)})" if sequence else finish,
        usage=body.get("usage"),
        turns=[Turn(text(body.get("role")) or "assistant", content(body["content"]))],
    )


def content(value: object) -> list[Part]:
    """A message's content: a text, or a list of blocks."""
    if isinstance(value, str):
        return said(value)
    return [part for block in items(value) for part in _block(members(block))]


def _block(block: Object) -> list[Part]:
    kind = text(block.get("type"))
    # Anthropic's own tools have kinds like server_tool_use and web_search_tool_result.
    named = next((name for name in ("tool_use", "tool_result") if kind.endswith(name)), kind)
    return _BLOCKS.get(named, _other)(block)


def _other(block: Object) -> list[Part]:
    kind = text(block.get("type")) or "a block without a type"
    sealed = text(first(block, "signature", "encrypted_content"))
    kind = f"{kind} {text(first(block, 'title', 'url', 'file_id'))}".strip()
    note = f"{kind}, sealed, {size(len(sealed))}" if sealed else kind
    return [*noted(note), *said(text(block.get("content")))]


def _result(block: Object) -> list[Part]:
    given = block.get("content")
    # What a tool of Anthropic's own found is an object, or a list of objects that are no content.
    parts = content(given) if isinstance(given, str | list) else [Part(Kind.TEXT, encode(given))]
    note = "an error" if block.get("is_error") is True else ""
    return results(parts, id=text(block.get("tool_use_id")), note=note)


def _source(block: Object) -> list[Part]:
    source = members(block.get("source"))
    name = f"{text(block.get('type'))} {text(block.get('title'))}".strip()
    if data := text(source.get("data")):
        if source.get("type") == "text":
            return [*noted(name), *said(data)]
        return base64(f"{name} {text(source.get('media_type'))}".strip(), data)
    if where := text(first(source, "url", "file_id")):
        return url(name, where)
    return [*noted(name), *content(source.get("content"))]


_BLOCKS: dict[str, Callable[[Object], list[Part]]] = {
    "text": lambda block: said(text(block.get("text"))),
    "thinking": lambda block: thought(text(block.get("thinking")), text(block.get("signature"))),
    "redacted_thinking": lambda block: thought("", text(block.get("data"))),
    "tool_use": lambda block: called(block.get("input", ""), block.get("name"), block.get("id")),
    "tool_result": _result,
    "image": _source,
    "document": _source,
}


# -- streams ----------------------------------------------------------------------


def knows(event: Object) -> bool:
    """Whether an event is one of this API's."""
    return text(event.get("type")).startswith(("message_", "content_block_", "ping"))


def ends(event: Object) -> bool:
    """Whether an event ends a stream."""
    return event.get("type") == END


_PIECES = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("partial_json", "input"),
    "compaction_delta": ("content", "content"),
}
"""By the type of a delta: its member with the piece, and the block's that grows by it."""


def assemble(events: Iterable[Object]) -> dict[str, Any]:
    """The plain response, as far as its events have come."""
    plain: dict[str, Any] = {"type": "message"}
    usage: dict[str, Any] = {}
    blocks: defaultdict[int, _Block] = defaultdict(_Block)
    for event in events:
        kind = event.get("type")
        if kind == "message_start":
            plain |= members(event.get("message"))
            usage |= members(plain.get("usage"))
        elif kind == "content_block_start":
            blocks[index(event.get("index"))].start = members(event.get("content_block"))
        elif kind == "content_block_delta":
            blocks[index(event.get("index"))].add(members(event.get("delta")))
        elif kind == "message_delta":
            plain |= members(event.get("delta"))
            usage |= members(event.get("usage"))
    content = [blocks[number].plain() for number in sorted(blocks)]
    return {**plain, "type": "message", "usage": usage, "content": content}


class _Block:
    def __init__(self) -> None:
        self.start: Object = {"type": "text"}
        self._texts = Texts()

    def add(self, delta: Object) -> None:
        piece, grows = _PIECES.get(text(delta.get("type")), ("", ""))
        self._texts.add(grows, delta.get(piece))

    def plain(self) -> dict[str, Any]:
        grown: dict[str, Any] = dict(self._texts.joined())
        if written := grown.pop("input", ""):
            grown["input"] = decode(written) or written  # half of it, where it was cut short
        begun = {name: text(self.start.get(name)) + grown[name] for name in grown.keys() - {"input"}}
        return {**self.start, **grown, **begun}
