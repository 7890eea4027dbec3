"""Whatever a client or a server sends, the content views raise nothing and lose no time."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hybrid.llm.transcript import show_request, show_response
from litellm_hybrid.message import json as lenient
from support.conversations import GEMINI_CHUNKS, REQUESTS, STREAMS
from support.dialects import data

PATHS = st.sampled_from([*REQUESTS, "/v1/completions", "/v1internal:generateContent", "/"]) | st.text(
    max_size=40
)
TYPES = st.sampled_from(["text/event-stream", "application/json", ""]) | st.text(max_size=20)
NAMES = st.sampled_from(
    [
        "messages",
        "input",
        "contents",
        "system",
        "instructions",
        "choices",
        "output",
        "candidates",
        "content",
        "parts",
        "type",
        "role",
        "text",
        "delta",
        "message",
        "item",
        "index",
        "output_index",
        "usage",
        "error",
        "response",
        "model",
        "tools",
        "name",
        "arguments",
        "function",
        "tool_calls",
        "source",
        "data",
        "image_url",
        "thinking",
        "signature",
        "encrypted_content",
        "finish_reason",
        "stop_reason",
        "thoughtSignature",
        "functionCall",
        "inlineData",
        "usageMetadata",
        "promptFeedback",
        "generationConfig",
        "description",
        "id",
        "call_id",
    ]
)
KINDS = st.sampled_from(
    [
        "message",
        "text",
        "thinking",
        "tool_use",
        "tool_result",
        "image",
        "reasoning",
        "function_call",
        "function_call_output",
        "x_call",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "input_json_delta",
        "text_delta",
        "message_delta",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.completed",
        "error",
        "[DONE]",
        "ping",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | KINDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=25,
)


def _stream(events: list[Any]) -> bytes:
    return b"".join(map(data, events))


@given(PATHS, TYPES, st.binary(max_size=200))
def test_any_bytes(path: str, content_type: str, body: bytes) -> None:
    show_request(path, body)
    show_response(path, content_type, body)


@given(st.sampled_from([*REQUESTS, "/v1/completions"]), VALUES, st.integers(0, 200))
def test_any_json(path: str, value: Any, cut: int) -> None:
    body = json.dumps(value).encode()
    for part in (body, body[:-cut]):
        show_request(path, part)
        show_response(path, "application/json", part)


@given(st.sampled_from([*REQUESTS, "/v1/completions"]), st.lists(VALUES, max_size=5), st.integers(1, 200))
def test_any_events(path: str, events: list[Any], cut: int) -> None:
    stream = _stream(events)
    show_response(path, "text/event-stream", stream)
    show_response(path, "text/event-stream", stream[:-cut])


@given(st.data())
def test_what_is_real_but_for_one_value(data: st.DataObject) -> None:
    """Some value of a real request or event is another."""
    path = data.draw(st.sampled_from(list(REQUESTS)))
    request = _mutated(json.loads(json.dumps(REQUESTS[path])), data)
    shown = show_request(path, json.dumps(request).encode())
    assert shown is None or shown.encode().endswith(b"\n")
    events = [json.loads(line[6:]) for line in STREAMS[path].splitlines() if line.startswith(b"data: {")]
    shown = show_response(path, "text/event-stream", _stream(lenient.items(_mutated(events, data))))
    assert shown is None or shown.encode().endswith(b"\n")


def _mutated(value: Any, data: st.DataObject) -> Any:
    if not isinstance(value, dict | list) or not value or data.draw(st.integers(0, 5)) == 0:
        return data.draw(VALUES)
    key = data.draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
    value[key] = _mutated(value[key], data)
    return value


@given(st.binary(max_size=100), st.integers(0, 400))
def test_an_array_that_is_cut_has_the_elements_before(end: bytes, cut: int) -> None:
    whole = json.dumps(GEMINI_CHUNKS[:2]).encode()
    found = lenient.decode_cut_array(whole[: len(whole) - cut] + end)
    assert found[:1] in ([], GEMINI_CHUNKS[:1])
    assert lenient.decode_cut_array(whole) == GEMINI_CHUNKS[:2]


LONG = 1_000_000
CHAT = "/v1/chat/completions"
GEMINI = "/v1beta/models/m:streamGenerateContent"
HOSTILE: list[tuple[str, Callable[[], object]]] = [
    ("brackets", lambda: show_request(CHAT, b'{"messages":' + b"[" * LONG)),
    ("an array of brackets", lambda: show_response(GEMINI, "", b"[" * LONG)),
    ("an array of numbers, cut", lambda: show_response(GEMINI, "", b"[" + b"1," * LONG)),
    ("blanks in an array", lambda: show_response(GEMINI, "", b"[" + b" " * LONG + b"1,")),
    ("line breaks", lambda: show_response(CHAT, "text/event-stream", b":\n" * LONG)),
    (
        "an event without an end",
        lambda: show_response(CHAT, "text/event-stream", b"data: a\n" * (LONG // 4)),
    ),
    ("data URLs", lambda: _ask("data:a;base64," * (LONG // 14))),
    ("a data URL of commas", lambda: _ask("data:" + "a;" * (LONG // 2))),
    ("a long word", lambda: _ask("data:image/png;base64," + "A" * LONG)),
    ("surrogates", lambda: _ask("\\ud83d" * (LONG // 6))),
    (
        "a path of models",
        lambda: show_request("/models/" * 8_000 + ":generateContent", b'{"contents": []}'),
    ),
    ("many tiny deltas", lambda: show_response(CHAT, "text/event-stream", _deltas("x", 20_000))),
]


def _ask(text: str) -> str | None:
    return show_request(CHAT, b'{"messages": [{"role": "user", "content": "%s"}]}' % text.encode())


def _deltas(piece: str, count: int) -> bytes:
    return _stream([{"choices": [{"delta": {"content": piece}}]}]) * count


@pytest.mark.parametrize("act", [act for _, act in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_nothing_is_quadratic(act: Callable[[], object]) -> None:
    """Each of these takes a moment; anything quadratic in it would take minutes."""
    act()
