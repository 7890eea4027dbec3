"""The chat completions shape (OpenAI): reasoning that gateways put beside an assistant's words, and its text.

The standard has no place for reasoning, so each provider and gateway has its own:
`reasoning_content` (DeepSeek, LiteLLM), `reasoning` and `reasoning_details` (OpenRouter),
`reasoning_items`, `thinking_blocks` and `provider_specific_fields` (LiteLLM),
`extra_content.google.thought_signature` (Google). What is signed or encrypted in
there is refused like its original (BerriAI/litellm#40364). CLIProxyAPI and LiteLLM
both set Google's placeholder where a Gemini tool call comes without a signature.

The legacy `/v1/completions` is shown, too.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

from msgspec import Raw

from litellm_hybrid.llm.parts import (
    DONE,
    Conversation,
    Kind,
    Part,
    Texts,
    Tool,
    TranscriptResponse,
    Turn,
    arguments,
    base64,
    content,
    results,
    said,
    thought,
)
from litellm_hybrid.llm.reduction import Reduction, last_turn
from litellm_hybrid.message.json import Object, first, index, members, objects, text
from litellm_hybrid.message.json_edit import (
    RawObject,
    edited,
    encoded,
    filtered,
    is_empty,
    kind,
    opened,
    raw_text,
    replace,
    replace_and_prune,
)

# -- histories --------------------------------------------------------------------

_BESIDE_CONTENT = (
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "reasoning_opaque",
    "reasoning_details",
    "reasoning_items",
    "thinking_blocks",
    "provider_specific_fields",
    "extra_content",
)
_BESIDE_CALL = ("provider_specific_fields", "extra_content")
_REASONING_PARTS = frozenset({"thinking", "redacted_thinking", "reasoning"})
_WORDS = ("content", "tool_calls", "function_call", "refusal", "audio")
_ANTHROPIC_PARTS = ("thinking_blocks", "thinking", "redacted_thinking")


def may_be_unreadable(body: bytes) -> bool:
    """Whether a body is worth a look for what nobody on the other side can read; that costs a little.

    It has none of the names in it, unless one is written with escapes.
    """
    return (
        b"thinking" in body or b"reasoning" in body or b"provider_specific_fields" in body or b"\\u00" in body
    )


_THINKING_OPTIONS = ("thinking", "reasoning_effort", "reasoning")
"""LiteLLM makes Anthropic's thinking of any of them."""


def reduce_chat(request: RawObject, work: Reduction) -> bool:
    """Reduce a chat completions request in place; says whether it was changed.

    An assistant message that held nothing but reasoning goes as a whole. The options that ask for
    thinking are left out where Anthropic would miss what was dropped.
    """
    step = partial(_reduced_message, work=work)
    changed = replace(request, "messages", lambda raw: filtered(raw, step))
    dropped = any(map(work.dropped.get, _ANTHROPIC_PARTS))
    if work.rejection == "thinking-missing" or (dropped and in_tool_loop(request)):
        changed |= work.switch_off(request, _THINKING_OPTIONS)
        changed |= work.switch_off_within(request, "output_config", ("effort",))
        changed |= work.switch_off_suffix(request)
    return changed


def _reduced_message(raw: Raw, *, work: Reduction) -> Raw | None:
    message = opened(raw)
    if message is None:
        return raw
    role = raw_text(message.get("role"))
    if role == "tool":
        named = work.everything and work.plain_ids(message, ("tool_call_id",))
        return encoded(message) if named else raw
    if role != "assistant":
        return raw
    step = partial(_reduced_part, work=work)
    if work.everything:
        reduced = work.remove(message, _BESIDE_CONTENT)
    else:
        reduced = work.remove(message, work.added_members(None))
        reduced |= replace_and_prune(message, "thinking_blocks", lambda raw: filtered(raw, step))
    reduced |= replace(message, "content", lambda raw: filtered(raw, step))
    if reduced and all(is_empty(message.get(key)) for key in _WORDS):
        work.dropped["message"] += 1
        return None
    if reduced and "content" in message and is_empty(message["content"]):
        message["content"] = Raw(b"null")
    call = partial(_reduced_call, work=work)
    reduced |= replace(message, "tool_calls", lambda raw: filtered(raw, call))
    return encoded(message) if reduced else raw


def _reduced_part(raw: Raw, *, work: Reduction) -> Raw | None:
    part = opened(raw)
    name = kind(part) if part is not None else None
    if part is None or name not in _REASONING_PARTS:
        return raw
    if not work.leaves_out(part.get("data" if name == "redacted_thinking" else "signature")):
        return raw
    work.dropped[name] += 1
    return None


def _reduced_call(raw: Raw, *, work: Reduction) -> Raw:
    members = _BESIDE_CALL if work.everything else work.added_members(None)

    def edit(call: RawObject) -> bool:
        reduced = work.remove(call, members)
        reduced |= work.everything and work.plain_ids(call, ("id",))
        remove = partial(work.remove, keys=members)
        return reduced | replace(call, "function", lambda raw: edited(raw, remove))

    return edited(raw, edit)


def in_tool_loop(request: RawObject) -> bool:
    """Whether the last turn is the result of a tool call."""
    return raw_text(last_turn(request.get("messages")).get("role")) == "tool"


# -- transcripts ------------------------------------------------------------------

END = DONE
"""The event that ends a stream."""

_SHOWN = frozenset({"model", "stream", "messages", "prompt", "tools", "functions"})


def conversation(body: Object) -> Conversation | None:
    """A request read; None if it is none of this API's."""
    if isinstance(body.get("messages"), list):
        turns = [Turn(text(message.get("role")), _message(message)) for message in objects(body["messages"])]
    elif isinstance(body.get("prompt"), str | list):
        turns = [Turn("prompt", content(body["prompt"]))]
    else:
        return None
    tools = [_tool(tool) for name in ("tools", "functions") for tool in objects(body.get(name))]
    return Conversation.of(body, _SHOWN, tools, turns)


def response(body: Object) -> TranscriptResponse | None:
    """A response read; None if it is none of this API's."""
    if not isinstance(body.get("choices"), list):
        return None
    choices = objects(body["choices"])
    return TranscriptResponse(
        model=text(body.get("model")),
        id=text(body.get("id")),
        finish=", ".join(filter(None, (text(choice.get("finish_reason")) for choice in choices))),
        usage=body.get("usage"),
        turns=[_choice(choice, number, len(choices)) for number, choice in enumerate(choices)],
    )


def _choice(choice: Object, number: int, count: int) -> Turn:
    message = members(choice.get("message"))
    parts = _message(message) if message else said(text(choice.get("text")))
    role = text(message.get("role")) or "assistant"
    return Turn(f"{role}, choice {number}" if count > 1 else role, parts)


def _tool(tool: Object) -> Tool:
    stated = members(first(tool, "function", "custom")) or tool
    name = text(stated.get("name")) or text(tool.get("type"))
    return Tool(name, text(stated.get("description")))


def _message(message: Object) -> list[Part]:
    seals = objects(message.get("thinking_blocks")) + objects(message.get("reasoning_details"))
    sealed = [text(first(seal, "signature", "data", "encrypted")) for seal in seals]
    parts = thought(text(first(message, "reasoning_content", "reasoning")), "".join(sealed))
    if message.get("role") in ("tool", "function"):
        called = {"name": text(message.get("name")), "id": text(message.get("tool_call_id"))}
        return [*parts, *results(content(message.get("content")), **called)]
    parts += content(message.get("content"))
    parts += content(message.get("images"))
    parts += said(text(message.get("refusal")))
    parts += [_call(call) for call in objects(message.get("tool_calls"))]
    if old := members(message.get("function_call")):
        parts.append(_call({"function": old}))
    if audio := members(message.get("audio")):
        parts += base64("audio", text(audio.get("data"))) + said(text(audio.get("transcript")))
    return parts


def _call(call: Object) -> Part:
    stated = members(first(call, "function", "custom"))
    called = first(stated, "arguments", "input") or ""
    return Part(Kind.CALL, arguments(called), text(stated.get("name")), text(call.get("id")))


# -- streams ----------------------------------------------------------------------


def knows(event: Object) -> bool:
    """Whether a chunk is one of this API's."""
    return "choices" in event


def ends(event: Object) -> bool:
    """Whether a chunk ends a stream."""
    return event.get("type") == END


_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_LISTS = ("images", "thinking_blocks", "reasoning_details")
"""What a delta may hold beside the calls; the lists are OpenRouter's and LiteLLM's."""


def assemble(events: Iterable[Object]) -> dict[str, Any]:
    """The plain response, as far as its chunks have come."""
    plain: dict[str, Any] = {}
    choices: defaultdict[int, _Choice] = defaultdict(_Choice)
    for event in events:
        plain |= {name: event[name] for name in ("id", "model", "usage") if event.get(name)}
        for choice in objects(event.get("choices")):
            choices[index(choice.get("index"))].add(choice)
    return {**plain, "choices": [choices[number].plain() for number in sorted(choices)]}


class _Choice:
    def __init__(self) -> None:
        self._finish = self._role = ""
        self._texts = Texts()
        self._lists: defaultdict[str, list[Object]] = defaultdict(list)
        self._calls: defaultdict[int, _Call] = defaultdict(_Call)

    def add(self, choice: Object) -> None:
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

    def plain(self) -> dict[str, Any]:
        calls = [self._calls[number].plain() for number in sorted(self._calls)]
        role = self._role or "assistant"
        message = {"role": role, **self._texts.joined(), **self._lists, "tool_calls": calls}
        return {"message": message, "finish_reason": self._finish}


class _Call:
    def __init__(self) -> None:
        self._id = self._name = ""
        self._texts = Texts()

    def add(self, piece: Object) -> None:
        stated = members(first(piece, "function", "custom")) or piece
        self._id = self._id or text(piece.get("id"))
        self._name = self._name or text(stated.get("name"))
        self._texts.add("arguments", first(stated, "arguments", "input"))

    def plain(self) -> dict[str, Any]:
        return {"id": self._id, "function": {"name": self._name, **self._texts.joined()}}
