"""A streamed chat completion, or legacy completion, in the shape of the plain answer."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from litellm_hybrid.llm.transcript.json_values import Members, first, index, members, objects, text
from litellm_hybrid.llm.transcript.streams.text_buffer import Texts

type Json = dict[str, Any]

_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_LISTS = ("images", "thinking_blocks", "reasoning_details")
"""What a delta may hold beside the calls; the lists are OpenRouter's and LiteLLM's."""


def assemble(events: Iterable[Members]) -> Json:
    """The answer, as far as its chunks have come."""
    answer: Json = {}
    choices: defaultdict[int, _Choice] = defaultdict(_Choice)
    for event in events:
        answer |= {name: event[name] for name in ("id", "model", "usage") if event.get(name)}
        for choice in objects(event.get("choices")):
            choices[index(choice.get("index"))].add(choice)
    return {**answer, "choices": [choices[number].plain() for number in sorted(choices)]}


class _Choice:
    def __init__(self) -> None:
        self._finish = self._role = ""
        self._texts = Texts()
        self._lists: defaultdict[str, list[Members]] = defaultdict(list)
        self._calls: defaultdict[int, _Call] = defaultdict(_Call)

    def add(self, choice: Members) -> None:
        delta = members(choice.get("delta"))
        self._role = self._role or text(delta.get("role"))
        self._finish = text(choice.get("finish_reason")) or self._finish
        for name in _TEXTS:
            self._texts.add(name, delta.get(name))
        for name in _LISTS:
            self._lists[name] += objects(delta.get(name))
        self._texts.add("content", choice.get("text"))
        for call in objects(delta.get("tool_calls")):
            self._calls[index(call.get("index"))].add(call)
        if call := members(delta.get("function_call")):
            self._calls[0].add(call)

    def plain(self) -> Json:
        calls = [self._calls[number].plain() for number in sorted(self._calls)]
        role = self._role or "assistant"
        message = {"role": role, **self._texts.joined(), **self._lists, "tool_calls": calls}
        return {"message": message, "finish_reason": self._finish}


class _Call:
    def __init__(self) -> None:
        self._id = self._name = ""
        self._texts = Texts()

    def add(self, piece: Members) -> None:
        stated = members(first(piece, "function", "custom")) or piece
        self._id = self._id or text(piece.get("id"))
        self._name = self._name or text(stated.get("name"))
        self._texts.add("arguments", first(stated, "arguments", "input"))

    def plain(self) -> Json:
        return {"id": self._id, "function": {"name": self._name, **self._texts.joined()}}
