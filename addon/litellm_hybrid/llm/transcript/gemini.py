"""The generateContent shape (Google), as the content views show it.

Protobuf's JSON takes both spellings of every name. Code Assist, which the Gemini
CLI speaks below `/v1internal`, wraps the request in `request` and the response in `response`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from litellm_hybrid.llm.transcript.model import (
    Conversation,
    Kind,
    Part,
    Tool,
    TranscriptResponse,
    Turn,
    base64,
    called,
    noted,
    said,
    thought,
    url,
)
from litellm_hybrid.llm.transcript.openai_chat import results
from litellm_hybrid.message.json import Object, encode, first, index, members, objects, text

END = "a finishReason"
"""The event that ends a stream."""

_SYSTEM = ("systemInstruction", "system_instruction")
_CONFIG = ("generationConfig", "generation_config")
_DECLARATIONS = ("functionDeclarations", "function_declarations")
_SHOWN = frozenset({"model", "contents", "tools", "request", *_SYSTEM, *_CONFIG})


def conversation(body: Object) -> Conversation | None:
    """A request read; None if it is none of this API's. The path says whether it streams, and of whom."""
    request = members(first(body, "request", "generateContentRequest")) or body
    if not isinstance(request.get("contents"), list):
        return None
    system = first(request, *_SYSTEM)
    system_parts = said(text(system)) or _parts(members(system))
    turns = [Turn("system", system_parts)] if system_parts else []
    turns += [
        Turn(text(content.get("role")) or "user", _parts(content)) for content in objects(request["contents"])
    ]
    options = {**body, **request, **members(first(request, *_CONFIG))}
    return Conversation(
        model=text(body.get("model")),
        streams=None,
        options={name: value for name, value in options.items() if name not in _SHOWN},
        tools=[tool for given in objects(request.get("tools")) for tool in _tools(given)],
        turns=turns,
    )


def response(body: Object) -> TranscriptResponse | None:
    """A response read; None if it is none of this API's."""
    body = members(body.get("response")) or body
    feedback = members(body.get("promptFeedback"))
    if not isinstance(body.get("candidates"), list) and not feedback:
        return None
    candidates = objects(body.get("candidates"))
    reasons = [text(candidate.get("finishReason")) for candidate in candidates]
    blocked = text(feedback.get("blockReason"))
    return TranscriptResponse(
        model=text(body.get("modelVersion")),
        id=text(body.get("responseId")),
        finish=", ".join(filter(None, reasons)) or (f"blocked: {blocked}" if blocked else ""),
        usage=body.get("usageMetadata"),
        turns=[_candidate(candidate, number, len(candidates)) for number, candidate in enumerate(candidates)],
        errors=[words for candidate in candidates if (words := text(candidate.get("finishMessage")))],
    )


def _candidate(candidate: Object, number: int, count: int) -> Turn:
    content = members(candidate.get("content"))
    role = text(content.get("role")) or "model"
    return Turn(f"{role}, candidate {number}" if count > 1 else role, _parts(content))


def _tools(tool: Object) -> list[Tool]:
    declared = objects(first(tool, *_DECLARATIONS))
    functions = [Tool(text(given.get("name")), text(given.get("description"))) for given in declared]
    return functions + [Tool(name, "") for name in tool if name not in _DECLARATIONS]


def _parts(content: Object) -> list[Part]:
    return [read for part in objects(content.get("parts")) for read in _part(part)]


def _part(part: Object) -> list[Part]:
    seal = text(first(part, "thoughtSignature", "thought_signature"))
    words = text(part.get("text"))
    if part.get("thought") is True:
        return thought(words, seal)
    return [*thought("", seal), *(said(words) or _data(part))]


def _data(part: Object) -> list[Part]:
    for names, read in _DATA:
        if data := members(first(part, *names)):
            return read(data)
    return [] if "text" in part else noted(encode(sorted(part)))


def _result(result: Object) -> list[Part]:
    given: Any = result.get("response", "")
    # The Gemini CLI puts a tool's whole output under this one name.
    if isinstance(given, dict) and given.keys() == {"output"}:
        given = given["output"]
    parts = [*([Part(Kind.TEXT, given)] if isinstance(given, str) else []), *_parts(result)]
    name, call_id = text(result.get("name")), text(result.get("id"))
    if isinstance(given, str):
        return results(parts, name, call_id)
    return [Part(Kind.RESULT, given, name, call_id), *parts]


_DATA: tuple[tuple[tuple[str, str], Callable[[Object], list[Part]]], ...] = (
    (
        ("functionCall", "function_call"),
        lambda call: called(call.get("args", ""), call.get("name"), call.get("id")),
    ),
    (("functionResponse", "function_response"), _result),
    (
        ("inlineData", "inline_data"),
        lambda inline: base64(text(first(inline, "mimeType", "mime_type")), text(inline.get("data"))),
    ),
    (("fileData", "file_data"), lambda file: url("file", text(first(file, "fileUri", "file_uri")))),
    (("executableCode", "executable_code"), lambda code: called(text(code.get("code")), "code")),
    (
        ("codeExecutionResult", "code_execution_result"),
        lambda ran: [Part(Kind.RESULT, text(ran.get("output")), "code", note=text(ran.get("outcome")))],
    ),
)
"""What a part may hold instead of a text."""


# -- streams ----------------------------------------------------------------------


def knows(event: Object) -> bool:
    """Whether a chunk is one of this API's."""
    chunk = members(event.get("response")) or event
    return not {"candidates", "promptFeedback", "usageMetadata"}.isdisjoint(chunk)


def ends(event: Object) -> bool:
    """Whether a chunk ends a stream."""
    chunk = members(event.get("response")) or event
    finished = any(candidate.get("finishReason") for candidate in objects(chunk.get("candidates")))
    return finished or bool(members(chunk.get("promptFeedback")).get("blockReason"))


_LAST = ("modelVersion", "responseId", "usageMetadata", "promptFeedback")
"""Members that every chunk may repeat: the last counts."""


def assemble(events: Iterable[Object]) -> dict[str, Any]:
    """The plain response, as far as its chunks have come."""
    plain: dict[str, Any] = {}
    candidates: defaultdict[int, _Candidate] = defaultdict(_Candidate)
    for event in events:
        chunk = members(event.get("response")) or event  # Code Assist wraps it
        plain |= {name: chunk[name] for name in _LAST if chunk.get(name)}
        for candidate in objects(chunk.get("candidates")):
            candidates[index(candidate.get("index"))].add(candidate)
    return {**plain, "candidates": [candidates[number].plain() for number in sorted(candidates)]}


class _Candidate:
    def __init__(self) -> None:
        self._ended: dict[str, Any] = {}
        self._role = ""
        self._parts: list[tuple[dict[str, Any], list[str]]] = []

    def add(self, candidate: Object) -> None:
        ended = ("finishReason", "finishMessage")
        self._ended |= {name: candidate[name] for name in ended if candidate.get(name)}
        content = members(candidate.get("content"))
        self._role = self._role or text(content.get("role"))
        for part in objects(content.get("parts")):
            self._add_part(part)

    def _add_part(self, part: Object) -> None:
        """A piece of the text before it, or a part of its own."""
        rest = {name: value for name, value in part.items() if name != "text"}
        if self._parts and rest.keys() <= {"thought"} and rest == self._parts[-1][0]:
            self._parts[-1][1].append(text(part.get("text")))
        else:
            self._parts.append((rest, [text(part.get("text"))]))

    def plain(self) -> dict[str, Any]:
        parts = [{**rest, "text": "".join(pieces)} for rest, pieces in self._parts]
        return {**self._ended, "content": {"role": self._role, "parts": parts}}
