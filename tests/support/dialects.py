"""The answers of the four APIs, in the shapes that their SDKs and LiteLLM read.

Each `…_answer` makes a plain answer, each `…_stream` the same as server-sent events.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

type Json = dict[str, Any]

TOKENS = 7
"""What every count of tokens says."""

CREATED = 1_760_000_000


@dataclass(frozen=True, slots=True)
class Stream:
    """A streamed answer: handshake events, one event for each piece of text, and the end."""

    opening: bytes
    pieces: Sequence[bytes]
    closing: bytes


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one API answers: `plain(model, text)` and `streamed(model, pieces of text)`."""

    plain: Callable[[str, str], Json]
    streamed: Callable[[str, Sequence[str]], Stream]


def data(value: object, event: str = "") -> bytes:
    """One server-sent event."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(value)}\n\n".encode()


def _typed(value: Json) -> bytes:
    return data(value, value["type"])


def _join(events: Sequence[Json]) -> bytes:
    return b"".join(_typed(event) for event in events)


# chat completions ------------------------------------------------------------------------------------

_CHAT_USAGE = {"prompt_tokens": TOKENS, "completion_tokens": TOKENS, "total_tokens": 2 * TOKENS}


def chat_answer(model: str, text: str) -> Json:
    """`POST /v1/chat/completions`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return _chat("chat.completion", model, [choice]) | {"usage": _CHAT_USAGE}


def chat_stream(model: str, pieces: Sequence[str]) -> Stream:
    """The same with `"stream": true`."""

    def event(delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return data(_chat("chat.completion.chunk", model, [choice]))

    usage = _chat("chat.completion.chunk", model, []) | {"usage": _CHAT_USAGE}
    return Stream(
        event({"role": "assistant", "content": ""}),
        [event({"content": piece}) for piece in pieces],
        event({}, "stop") + data(usage) + b"data: [DONE]\n\n",
    )


def _chat(kind: str, model: str, choices: list[Json]) -> Json:
    return {"id": "chatcmpl-1", "object": kind, "created": CREATED, "model": model, "choices": choices}


# responses -------------------------------------------------------------------------------------------


def responses_answer(model: str, text: str) -> Json:
    """`POST /v1/responses`."""
    return _response(model, "completed", [_item("completed", [_part(text)])])


def responses_stream(model: str, pieces: Sequence[str]) -> Stream:
    """The same with `"stream": true`."""
    text = "".join(pieces)
    started = _response(model, "in_progress", [])
    at: Json = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    opening: list[Json] = [
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
        {"type": "response.output_item.added", "output_index": 0, "item": _item("in_progress", [])},
        {"type": "response.content_part.added", **at, "part": _part("")},
    ]
    deltas: list[Json] = [
        {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []} for piece in pieces
    ]
    closing: list[Json] = [
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": _part(text)},
        {"type": "response.output_item.done", "output_index": 0, "item": _item("completed", [_part(text)])},
        {"type": "response.completed", "response": responses_answer(model, text)},
    ]
    numbered: list[Json] = [
        {**event, "sequence_number": number} for number, event in enumerate([*opening, *deltas, *closing])
    ]
    first, last = len(opening), len(opening) + len(deltas)
    return Stream(
        _join(numbered[:first]), [_typed(event) for event in numbered[first:last]], _join(numbered[last:])
    )


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(status: str, content: list[Json]) -> Json:
    return {"id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": content}


def _response(model: str, status: str, output: list[Json]) -> Json:
    usage = {
        "input_tokens": TOKENS,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": TOKENS,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 2 * TOKENS,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": model,
        "output": output,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": usage if status == "completed" else None,
    }


# messages --------------------------------------------------------------------------------------------


def messages_answer(model: str, text: str) -> Json:
    """`POST /v1/messages`."""
    return _message(model, [{"type": "text", "text": text}], "end_turn")


def messages_stream(model: str, pieces: Sequence[str]) -> Stream:
    """The same with `"stream": true`."""
    opening: list[Json] = [
        {"type": "message_start", "message": _message(model, [], None)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
    ]
    deltas: list[Json] = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        for piece in pieces
    ]
    closing: list[Json] = [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": TOKENS},
        },
        {"type": "message_stop"},
    ]
    return Stream(_join(opening), [_typed(event) for event in deltas], _join(closing))


def _message(model: str, content: list[Json], stop: str | None) -> Json:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": TOKENS, "output_tokens": TOKENS},
    }


# generateContent -------------------------------------------------------------------------------------


def gemini_answer(model: str, text: str) -> Json:
    """`POST /v1beta/models/M:generateContent`."""
    return _candidate(model, text, "STOP")


def gemini_stream(model: str, pieces: Sequence[str]) -> Stream:
    """`POST /v1beta/models/M:streamGenerateContent?alt=sse`."""
    return Stream(
        b"", [data(_candidate(model, piece)) for piece in pieces], data(_candidate(model, "", "STOP"))
    )


def _candidate(model: str, text: str, finish: str | None = None) -> Json:
    candidate: Json = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    usage = {"promptTokenCount": TOKENS, "candidatesTokenCount": TOKENS, "totalTokenCount": 2 * TOKENS}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "usageMetadata": usage,
        "modelVersion": model,
        "responseId": "response-1",
    }


CHAT = Dialect(chat_answer, chat_stream)
RESPONSES = Dialect(responses_answer, responses_stream)
MESSAGES = Dialect(messages_answer, messages_stream)
GEMINI = Dialect(gemini_answer, gemini_stream)
