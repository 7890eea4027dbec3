"""A streamed Responses answer in the shape of the plain one.

The last event has the whole answer, but ChatGPT's own backend leaves its `output`
empty, and a stream that was cut short has no last event: the items are put together
from their own events.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from litellm_hybrid.llm.transcript.json_values import Members, index, items, members, text
from litellm_hybrid.llm.transcript.streams.text_buffer import Texts

type Json = dict[str, Any]

_PIECES = {
    "response.output_text.delta": ("message", "text"),
    "response.refusal.delta": ("message", "refusal"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary"),
    "response.reasoning_text.delta": ("reasoning", "content"),
    "response.function_call_arguments.delta": ("function_call", "arguments"),
    "response.mcp_call_arguments.delta": ("mcp_call", "arguments"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "input"),
    "response.code_interpreter_call_code.delta": ("code_interpreter_call", "code"),
}
"""By the type of an event: the item it is about, and what of it grows by a piece."""


def assemble(events: Iterable[Members]) -> Json:
    """The answer, as far as its events have come."""
    response: Json = {}
    found: defaultdict[int, _Item] = defaultdict(_Item)
    for event in events:
        kind = text(event.get("type"))
        number = index(event.get("output_index"))
        if kind in _PIECES:
            found[number].add(event, *_PIECES[kind])
        elif kind == "response.output_item.added":
            found[number].begun = members(event.get("item"))
        elif kind == "response.output_item.done":
            found[number].done = members(event.get("item"))
        else:
            response |= members(event.get("response"))
    output = items(response.get("output")) or [found[number].plain() for number in sorted(found)]
    return {**response, "output": output}


class _Item:
    def __init__(self) -> None:
        self.begun: Members = {}
        self.done: Members = {}
        self._kind = ""
        self._texts = Texts()
        self._parts: defaultdict[tuple[str, int], Texts] = defaultdict(Texts)

    def add(self, event: Members, kind: str, grows: str) -> None:
        self._kind = kind
        number = index(event.get("summary_index" if grows == "summary" else "content_index"))
        texts = self._parts[grows, number] if kind in ("message", "reasoning") else self._texts
        texts.add(grows, event.get("delta"))

    def plain(self) -> Json:
        if self.done:
            return dict(self.done)
        item: Json = {"type": self._kind or "message", **self.begun, **self._texts.joined()}
        if item["type"] == "message":
            item = {"role": "assistant", **item}
        for grows, number in sorted(self._parts):
            member = grows if grows == "summary" else "content"
            words = "".join(self._parts[grows, number].joined().values())
            item[member] = [*items(item.get(member)), {"text": words}]
        return item
