"""A Responses body on the path of chat completions."""

import json
from typing import Any

import pytest

from litellm_hybrid.config.settings import Address, Settings
from litellm_hybrid.message.json import read
from litellm_hybrid.routing import requested_model
from litellm_hybrid.routing.chat_form import as_chat, is_responses
from litellm_hybrid.routing.rewrite import Incoming, for_litellm

CURSOR: dict[str, Any] = {
    "model": "gpt-5",
    "stream": True,
    "instructions": "Be short.",
    "input": [
        {"role": "system", "content": "Also polite."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
            ],
        },
        {"type": "reasoning", "encrypted_content": "gAAA", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c1", "name": "ls", "arguments": '{"a":1}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** Begin"},
        {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "ok"}],
        },
        {"type": "function_call", "call_id": "c3", "name": "ls", "arguments": ""},
        {"type": "function_call_output", "call_id": "c3", "output": None},
    ],
    "tools": [
        {
            "type": "function",
            "name": "ls",
            "description": "d",
            "parameters": {"type": "object"},
            "strict": False,
        },
        {"type": "custom", "name": "patch", "description": "p", "format": {"type": "grammar"}},
        {"type": "function", "function": {"name": "nested"}},
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "function", "name": "ls"},
    "parallel_tool_calls": True,
    "max_output_tokens": 100,
    "reasoning": {"effort": "high", "summary": "auto"},
    "text": {
        "verbosity": "low",
        "format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True},
    },
    "include": ["reasoning.encrypted_content"],
    "store": False,
    "user": "u",
}
CHAT = {
    "model": "gpt-5",
    "stream": True,
    "parallel_tool_calls": True,
    "store": False,
    "user": "u",
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "system", "content": "Also polite."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
                {
                    "type": "file",
                    "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": '{"a":1}'}},
                {
                    "id": "c2",
                    "type": "function",
                    "function": {"name": "patch", "arguments": '{"input": "*** Begin"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a.txt"},
        {"role": "tool", "tool_call_id": "c2", "content": "ok"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c3", "type": "function", "function": {"name": "ls", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c3", "content": ""},
    ],
    "tools": [
        {
            "type": "function",
            "function": {"name": "ls", "description": "d", "parameters": {"type": "object"}, "strict": False},
        },
        {
            "type": "function",
            "function": {
                "name": "patch",
                "description": "p",
                "parameters": {
                    "type": "object",
                    "properties": {"input": {"type": "string"}},
                    "required": ["input"],
                },
            },
        },
        {"type": "function", "function": {"name": "nested"}},
    ],
    "tool_choice": {"type": "function", "function": {"name": "ls"}},
    "max_tokens": 100,
    "reasoning_effort": "high",
    "verbosity": "low",
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
}


def test_everything_that_a_chat_completion_has() -> None:
    assert json.loads(as_chat(json.dumps(CURSOR).encode())) == CHAT


@pytest.mark.parametrize(
    ("body", "chat"),
    [
        ({"input": "hi"}, {"messages": [{"role": "user", "content": "hi"}]}),
        ({"instructions": "s"}, {"messages": [{"role": "system", "content": "s"}]}),
        (
            {"input": "hi", "tool_choice": "auto", "tools": [{"type": "web_search"}]},
            {"messages": [{"role": "user", "content": "hi"}]},
        ),
        (
            {"input": "hi", "max_tokens": 5, "max_output_tokens": 6, "text": {"format": {"type": "text"}}},
            {"max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]},
        ),
        (
            {"input": [1, {"type": "item_reference", "id": "x"}, {"role": "user", "content": None}]},
            {"messages": [{"role": "user", "content": ""}]},
        ),
    ],
)
def test_shorter_ones(body: dict[str, Any], chat: dict[str, Any]) -> None:
    assert json.loads(as_chat(json.dumps({"model": "m", **body}).encode())) == {"model": "m", **chat}


@pytest.mark.parametrize(
    ("body", "is_one"),
    [
        ({"input": "hi"}, True),
        ({"instructions": "s"}, True),
        ({"messages": []}, False),
        ({"messages": [], "input": "hi"}, False),
        ({"prompt": "hi"}, False),
        ({"input": "hi", "previous_response_id": "resp_1"}, False),
        ({"input": "hi", "conversation": "conv_1"}, False),
        ({}, False),
    ],
)
def test_which_bodies_are_some(body: dict[str, Any], *, is_one: bool) -> None:
    assert is_responses(read(json.dumps({"model": "m", **body}).encode())) is is_one


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        ("/v1/chat/completions", True),
        ("/chat/completions", True),
        ("/v1/responses", False),
        ("/v1/embeddings", False),
    ],
)
def test_only_on_the_path_of_chat_completions(path: str, *, changed: bool) -> None:
    body = b'{"model":"m","input":"hi"}'
    settings = Settings(base_url=Address("http", "127.0.0.1", 4000))
    named = requested_model.read(path, "application/json", "", body)
    outgoing = for_litellm(settings, Incoming(path, "", (), body), named, "other", "id")
    assert json.loads(outgoing.body)["model"] == "other"
    assert ("messages" in json.loads(outgoing.body)) is changed
    assert dict(outgoing.headers)[b"Content-Length"] == str(len(outgoing.body)).encode()


def test_what_cannot_be_read_stays() -> None:
    assert as_chat(b"not json") == b"not json"
