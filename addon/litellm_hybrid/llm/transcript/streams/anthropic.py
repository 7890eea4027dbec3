"""A streamed Anthropic message in the shape of the plain one."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from litellm_hybrid.llm.transcript.json_values import Members, decode, index, members, text
from litellm_hybrid.llm.transcript.streams.text_buffer import Texts

type Json = dict[str, Any]

_PIECES = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("partial_json", "input"),
    "compaction_delta": ("content", "content"),
}
"""By the type of a delta: its member with the piece, and the block's that grows by it."""


def assemble(events: Iterable[Members]) -> Json:
    """The answer, as far as its events have come."""
    answer: Json = {"type": "message"}
    usage: Json = {}
    blocks: defaultdict[int, _Block] = defaultdict(_Block)
    for event in events:
        kind = event.get("type")
        if kind == "message_start":
            answer |= members(event.get("message"))
            usage |= members(answer.get("usage"))
        elif kind == "content_block_start":
            blocks[index(event.get("index"))].start = members(event.get("content_block"))
        elif kind == "content_block_delta":
            blocks[index(event.get("index"))].add(members(event.get("delta")))
        elif kind == "message_delta":
            answer |= members(event.get("delta"))
            usage |= members(event.get("usage"))
    content = [blocks[number].plain() for number in sorted(blocks)]
    return {**answer, "type": "message", "usage": usage, "content": content}


class _Block:
    def __init__(self) -> None:
        self.start: Members = {"type": "text"}
        self._texts = Texts()

    def add(self, delta: Members) -> None:
        piece, grows = _PIECES.get(text(delta.get("type")), ("", ""))
        self._texts.add(grows, delta.get(piece))

    def plain(self) -> Json:
        grown: Json = dict(self._texts.joined())
        if written := grown.pop("input", ""):
            grown["input"] = decode(written) or written  # half of it, where it was cut short
        begun = {name: text(self.start.get(name)) + grown[name] for name in grown.keys() - {"input"}}
        return {**self.start, **grown, **begun}
