"""The chunks of a streamed generateContent answer in one."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from litellm_hybrid.llm.transcript.json_values import Members, index, members, objects, text

type Json = dict[str, Any]

_LAST = ("modelVersion", "responseId", "usageMetadata", "promptFeedback")
"""Members that every chunk may repeat: the last counts."""


def assemble(events: Iterable[Members]) -> Json:
    """The answer, as far as its chunks have come."""
    answer: Json = {}
    candidates: defaultdict[int, _Candidate] = defaultdict(_Candidate)
    for event in events:
        chunk = members(event.get("response")) or event  # Code Assist wraps it
        answer |= {name: chunk[name] for name in _LAST if chunk.get(name)}
        for candidate in objects(chunk.get("candidates")):
            candidates[index(candidate.get("index"))].add(candidate)
    return {**answer, "candidates": [candidates[number].plain() for number in sorted(candidates)]}


class _Candidate:
    def __init__(self) -> None:
        self._ended: Json = {}
        self._role = ""
        self._parts: list[tuple[Json, list[str]]] = []

    def add(self, candidate: Members) -> None:
        ended = ("finishReason", "finishMessage")
        self._ended |= {name: candidate[name] for name in ended if candidate.get(name)}
        content = members(candidate.get("content"))
        self._role = self._role or text(content.get("role"))
        for part in objects(content.get("parts")):
            self._add_part(part)

    def _add_part(self, part: Members) -> None:
        """A piece of the text before it, or a part of its own."""
        rest = {name: value for name, value in part.items() if name != "text"}
        if self._parts and rest.keys() <= {"thought"} and rest == self._parts[-1][0]:
            self._parts[-1][1].append(text(part.get("text")))
        else:
            self._parts.append((rest, [text(part.get("text"))]))

    def plain(self) -> Json:
        parts = [{**rest, "text": "".join(pieces)} for rest, pieces in self._parts]
        return {**self._ended, "content": {"role": self._role, "parts": parts}}
