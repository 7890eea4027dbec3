"""The generateContent shape (Google): thoughts, their signatures, and cached content.

A thought signature is sealed for the account and model it came from: "Corrupted
thought signature" (google-gemini/gemini-cli#13467), "Thought signature is not valid"
(decolua/9router#301). Gemini 3 also refuses a turn whose first function call has
none: "Function call is missing a thought_signature" (langgenius/dify#29187). For a
history from elsewhere Google documents a placeholder that it does not check
(ai.google.dev/gemini-api/docs/thought-signatures#faqs); CLIProxyAPI knows it, too.

Protobuf's JSON takes both spellings of every name. Code Assist, which the Gemini
CLI speaks below `/v1internal`, wraps the request in `request` and the response in `response`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from msgspec import Raw

from litellm_hybrid.llm.parts import (
    Conversation,
    Kind,
    Part,
    Tool,
    TranscriptResponse,
    Turn,
    base64,
    called,
    noted,
    results,
    said,
    thought,
    url,
)
from litellm_hybrid.llm.reduction import Reduction
from litellm_hybrid.message.json import Object, encode, first, index, members, objects, text
from litellm_hybrid.message.json_edit import (
    RawObject,
    edited,
    elements,
    encoded,
    filtered,
    is_empty,
    is_true,
    opened,
    raw_text,
    replace,
)

# -- histories --------------------------------------------------------------------

PLACEHOLDER = "skip_thought_signature_validator"
_PLACEHOLDERS = frozenset({PLACEHOLDER, "context_engineering_is_the_way_to_go"})

_SIGNATURES = ("thoughtSignature", "thought_signature")
_CALLS = ("functionCall", "function_call")
_CACHE_NAMES = ("cachedContent", "cached_content")
_CONFIG = ("generationConfig", "generation_config")
_THINKING = ("thinkingConfig", "thinking_config")
_EMPTY = "empty text"
_UNSIGNED = {_EMPTY, "provider_specific_fields"}
_COUNTED = ("generateContentRequest", "generate_content_request")


def reduce_gemini(request: RawObject, work: Reduction) -> bool:
    """Reduce a generateContent or countTokens request in place; says whether it was changed.

    A signature on a function call becomes the placeholder, any other goes. Once a
    request has foreign parts, or was refused for a missing signature, each model
    content's first function call gets the placeholder if it has no signature.
    """
    changed = work.everything and work.remove(request, _CACHE_NAMES)
    part = partial(_reduced_part, work=work)
    changed |= replace(
        request,
        "contents",
        lambda raw: filtered(raw, lambda each: work.thinned(each, "parts", part, "content")),
    )
    if (changed and work.dropped.keys() - _UNSIGNED) or work.rejection == "thought-signature-missing":
        changed |= replace(request, "contents", lambda raw: filtered(raw, partial(_signed, work=work)))
    if work.rejection == "thinking-missing":
        for config in _CONFIG:
            changed |= work.switch_off_within(request, config, _THINKING)
    for key in _COUNTED:
        changed |= replace(
            request, key, lambda raw: edited(raw, lambda counted: reduce_gemini(counted, work))
        )
    return changed


def _reduced_part(raw: Raw, *, work: Reduction) -> Raw | None:
    part = opened(raw)
    if part is None:
        return raw
    call = _is_call(part)
    sealed = [
        key for key in _SIGNATURES if not is_empty(part.get(key)) and raw_text(part[key]) not in _PLACEHOLDERS
    ]
    foreign = [key for key in sealed if work.everything or work.is_foreign(part[key])]
    if is_true(part.get("thought")) and not call and (work.everything or foreign):
        work.dropped["thought"] += 1
        return None
    if (
        raw_text(part.get("text")) == ""
        and not (sealed and not foreign)
        and part.keys() <= {"text", *_SIGNATURES}
    ):
        # Google's clients send back the empty text that its streams end with; Anthropic and Vertex refuse it.
        work.dropped["thoughtSignature" if foreign else _EMPTY] += 1
        return None
    added = work.remove(part, work.added_members(None))
    if not foreign:
        return encoded(part) if added else raw
    work.dropped["thoughtSignature"] += 1
    for key in foreign:
        del part[key]
    if call:
        part[foreign[0]] = encoded(PLACEHOLDER)
    # Vertex refuses a part with an empty text, which is all that some signatures come with.
    return encoded(part) if any(not is_empty(value) for value in part.values()) else None


def _signed(raw: Raw, *, work: Reduction) -> Raw:
    content = opened(raw)
    parts = elements(content.get("parts")) if content is not None else None
    if content is None or parts is None:
        return raw
    for position, raw_part in enumerate(parts):
        part = opened(raw_part)
        if part is None or not _is_call(part):
            continue
        if any(not is_empty(part.get(key)) for key in _SIGNATURES):
            return raw
        part["thoughtSignature"] = encoded(PLACEHOLDER)
        work.dropped["thoughtSignature"] += 1
        content["parts"] = encoded([*parts[:position], encoded(part), *parts[position + 1 :]])
        return encoded(content)
    return raw


def _is_call(part: RawObject) -> bool:
    return any(key in part for key in _CALLS)


# -- transcripts ------------------------------------------------------------------

END = "a finishReason"
"""The event that ends a stream."""

_SYSTEM = ("systemInstruction", "system_instruction")
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
    seal = text(first(part, *_SIGNATURES))
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
    (_CALLS, lambda call: called(call.get("args", ""), call.get("name"), call.get("id"))),
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
