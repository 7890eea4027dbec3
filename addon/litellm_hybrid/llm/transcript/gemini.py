"""The generateContent shape (Google), as the content views show it.

Protobuf's JSON takes both spellings of every name. Code Assist, which the Gemini
CLI speaks below `/v1internal`, wraps the request in `request` and the answer in `response`.
"""

from collections.abc import Callable
from typing import Any

from litellm_hybrid.llm.transcript.json_values import Members, encode, first, members, objects, text
from litellm_hybrid.llm.transcript.model import (
    Answer,
    Conversation,
    Kind,
    Part,
    Tool,
    Turn,
    base64,
    noted,
    said,
    thought,
    url,
)
from litellm_hybrid.llm.transcript.openai_chat import results

_SYSTEM = ("systemInstruction", "system_instruction")
_CONFIG = ("generationConfig", "generation_config")
_DECLARATIONS = ("functionDeclarations", "function_declarations")
_SHOWN = frozenset({"model", "contents", "tools", "request", *_SYSTEM, *_CONFIG})


def conversation(body: Members) -> Conversation | None:
    """A request; None if this is none. Whether it streams, and mostly its model too, is in the path."""
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


def answer(body: Members) -> Answer | None:
    """An answer; None if this is none."""
    body = members(body.get("response")) or body
    feedback = members(body.get("promptFeedback"))
    if not isinstance(body.get("candidates"), list) and not feedback:
        return None
    candidates = objects(body.get("candidates"))
    reasons = [text(candidate.get("finishReason")) for candidate in candidates]
    blocked = text(feedback.get("blockReason"))
    return Answer(
        model=text(body.get("modelVersion")),
        id=text(body.get("responseId")),
        finish=", ".join(filter(None, reasons)) or (f"blocked: {blocked}" if blocked else ""),
        usage=body.get("usageMetadata"),
        turns=[_candidate(candidate, number, len(candidates)) for number, candidate in enumerate(candidates)],
        errors=[words for candidate in candidates if (words := text(candidate.get("finishMessage")))],
    )


def _candidate(candidate: Members, number: int, count: int) -> Turn:
    content = members(candidate.get("content"))
    role = text(content.get("role")) or "model"
    return Turn(f"{role}, candidate {number}" if count > 1 else role, _parts(content))


def _tools(tool: Members) -> list[Tool]:
    declared = objects(first(tool, *_DECLARATIONS))
    functions = [Tool(text(given.get("name")), text(given.get("description"))) for given in declared]
    return functions + [Tool(name, "") for name in tool if name not in _DECLARATIONS]


def _parts(content: Members) -> list[Part]:
    return [read for part in objects(content.get("parts")) for read in _part(part)]


def _part(part: Members) -> list[Part]:
    seal = text(first(part, "thoughtSignature", "thought_signature"))
    words = text(part.get("text"))
    if part.get("thought") is True:
        return thought(words, seal)
    return [*thought("", seal), *(said(words) or _data(part))]


def _data(part: Members) -> list[Part]:
    for names, read in _DATA:
        if data := members(first(part, *names)):
            return read(data)
    return [] if "text" in part else noted(encode(sorted(part)))


def _call(call: Members) -> list[Part]:
    return [Part(Kind.CALL, call.get("args", ""), text(call.get("name")), text(call.get("id")))]


def _result(result: Members) -> list[Part]:
    given: Any = result.get("response", "")
    # The Gemini CLI puts a tool's whole output under this one name.
    if isinstance(given, dict) and given.keys() == {"output"}:
        given = given["output"]
    parts = [*([Part(Kind.TEXT, given)] if isinstance(given, str) else []), *_parts(result)]
    name, call_id = text(result.get("name")), text(result.get("id"))
    if isinstance(given, str):
        return results(parts, name, call_id)
    return [Part(Kind.RESULT, given, name, call_id), *parts]


def _inline(inline: Members) -> list[Part]:
    return base64(text(first(inline, "mimeType", "mime_type")), text(inline.get("data")))


def _file(file: Members) -> list[Part]:
    return url("file", text(first(file, "fileUri", "file_uri")))


def _code(code: Members) -> list[Part]:
    return [Part(Kind.CALL, text(code.get("code")), "code")]


def _ran(ran: Members) -> list[Part]:
    return [Part(Kind.RESULT, text(ran.get("output")), "code", note=text(ran.get("outcome")))]


_DATA: tuple[tuple[tuple[str, str], Callable[[Members], list[Part]]], ...] = (
    (("functionCall", "function_call"), _call),
    (("functionResponse", "function_response"), _result),
    (("inlineData", "inline_data"), _inline),
    (("fileData", "file_data"), _file),
    (("executableCode", "executable_code"), _code),
    (("codeExecutionResult", "code_execution_result"), _ran),
)
"""What a part may hold instead of a text."""
