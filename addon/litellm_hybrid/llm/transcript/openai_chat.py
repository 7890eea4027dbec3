"""The chat completions shape (OpenAI) and its legacy `/v1/completions`, as the content views show it.

Reasoning has no place in OpenAI's own shape: `reasoning_content` is DeepSeek's and
LiteLLM's name for it, `reasoning` OpenRouter's; sealed reasoning comes as
LiteLLM's `thinking_blocks` or OpenRouter's `reasoning_details`.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from litellm_hybrid.llm.transcript.model import (
    DONE,
    Conversation,
    Kind,
    Part,
    Texts,
    Tool,
    TranscriptResponse,
    Turn,
    base64,
    noted,
    said,
    thought,
    url,
)
from litellm_hybrid.message.json import Object, decode, encode, first, index, items, members, objects, text

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


def arguments(written: object) -> object:
    """A call's arguments, which OpenAI's APIs write as a string of JSON; the string itself if it is none."""
    read = decode(written) if isinstance(written, str) else written
    return read if isinstance(read, dict) else written


def results(parts: list[Part], name: str = "", id: str = "", note: str = "") -> list[Part]:  # noqa: A002
    """What a tool gave back, from the parts that its content was read into."""
    words = [part.content if isinstance(part.content, str) else encode(part.content) for part in parts]
    noted = [f"[{text}]" if part.kind is Kind.NOTE else text for part, text in zip(parts, words, strict=True)]
    return [Part(Kind.RESULT, "\n".join(noted), name, id, note)]


def content(value: object) -> list[Part]:
    """A message's content: a text, or a list of parts."""
    if isinstance(value, str):
        return said(value)
    parts: list[Part] = []
    for part in items(value):
        parts += said(part) if isinstance(part, str) else _content_part(members(part))
    return parts


def _content_part(part: Object) -> list[Part]:
    kind = text(part.get("type"))
    if words := text(first(part, "text", "refusal")):
        return said(words)
    if kind in ("image_url", "input_image"):
        where = part.get("image_url")
        link = text(where) or text(members(where).get("url"))
        return url("image", link or text(part.get("file_id")))
    if kind in ("input_audio", "audio"):
        audio = members(part.get("input_audio")) or part
        return base64(f"audio {text(audio.get('format'))}".strip(), text(audio.get("data")))
    if kind in ("file", "input_file"):
        return _file(members(part.get("file")) or part)
    if kind == "thinking":
        return thought(text(part.get("thinking")), text(part.get("signature")))
    return [] if "text" in part else noted(kind or "a part without a type")


def _file(file: Object) -> list[Part]:
    name = f"file {text(file.get('filename'))}".strip()
    if data := text(file.get("file_data")):
        return base64(name, data.rpartition(",")[2])
    return url(name, text(first(file, "file_url", "file_id")))


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
