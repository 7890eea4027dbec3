"""Conversations as coding agents really have them, in the four APIs: a request each, and its streamed answer.

They hold what the content views have to cope with: system prompts, tools, calls and
their results, images, sealed reasoning.
"""

import json
from typing import Any

from support.dialects import data

type Json = dict[str, Any]

PNG = "iVBORw0KGgo" + "A" * 4_000
SEAL = "EuYBCkQIBhgCKkDe" + "x" * 1_200
SYSTEM = (
    "You are a coding agent. You help with software engineering tasks.\n\n"
    "# Tone\nBe concise. Answer in fewer than four lines."
)
ASK = "Why does the test of the parser fail?\nHere is a screenshot."
SCHEMA: Json = {"type": "object", "properties": {"command": {"type": "string", "description": "S" * 500}}}
SHELL = "Runs a shell command and returns its output.\n\nUsage notes:\n- Quote paths with spaces."
READ = "Reads a file."
CALL: Json = {"command": "pytest -q tests/test_parser.py", "timeout": 120000}
RESULT = "F.....\n>   assert parse('') == []\nE   ValueError: empty\n1 failed, 5 passed in 0.12s"
EDIT: Json = {
    "file_path": "parser.py",
    "old_string": "    if not text:\n        raise ValueError('empty')",
    "new_string": "    if not text:\n        return []",
}
THOUGHT = "The parser raises on an empty text.\nThe test wants an empty list."
SAID = "`parse` raises on an empty text; the test wants `[]`. I change that. ✓"


def typed(*events: Json) -> bytes:
    """Events that say their type twice, as OpenAI's Responses and Anthropic send them."""
    return b"".join(data(event, event["type"]) for event in events)


# chat completions ------------------------------------------------------------------------------------


def _call(call_id: str, name: str, arguments: Json) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": call_id, "type": "function", "function": function}


CHAT_REQUEST: Json = {
    "model": "gpt-5",
    "messages": [
        {"role": "system", "content": SYSTEM},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": ASK},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": THOUGHT,
            "tool_calls": [_call("call_1", "shell", CALL)],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": RESULT},
    ],
    "tools": [
        {"type": "function", "function": {"name": name, "description": about, "parameters": SCHEMA}}
        for name, about in (("shell", SHELL), ("read", READ))
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.2,
    "max_completion_tokens": 32000,
}


def _chunk(delta: Json, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return data(
        {"id": "chatcmpl-9", "object": "chat.completion.chunk", "model": "gpt-5", "choices": [choice]}
    )


def _piece(**piece: Any) -> bytes:
    return _chunk({"tool_calls": [{"index": 0, **piece}]})


CHAT_STREAM = b"".join(
    [
        _chunk({"role": "assistant", "content": ""}),
        _chunk({"reasoning_content": THOUGHT[:20]}),
        _chunk({"reasoning_content": THOUGHT[20:]}),
        _chunk({"content": SAID[:30]}),
        _chunk({"content": SAID[30:]}),
        _piece(id="call_2", type="function", function={"name": "edit", "arguments": ""}),
        _piece(function={"arguments": json.dumps(EDIT)[:40]}),
        _piece(function={"arguments": json.dumps(EDIT)[40:]}),
        _chunk({}, "tool_calls"),
        data(
            {
                "id": "chatcmpl-9",
                "model": "gpt-5",
                "choices": [],
                "usage": {
                    "prompt_tokens": 12_345,
                    "completion_tokens": 67,
                    "total_tokens": 12_412,
                    "prompt_tokens_details": {"cached_tokens": 12_000, "audio_tokens": 0},
                },
            }
        ),
        b"data: [DONE]\n\n",
    ]
)

# responses -------------------------------------------------------------------------------------------

RESPONSES_REQUEST: Json = {
    "model": "gpt-5-codex",
    "instructions": SYSTEM,
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": ASK},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
            ],
        },
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": THOUGHT}],
            "content": None,
            "encrypted_content": SEAL,
        },
        {"type": "function_call", "name": "shell", "arguments": json.dumps(CALL), "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": RESULT},
    ],
    "tools": [
        {"type": "function", "name": "shell", "description": SHELL, "parameters": SCHEMA, "strict": False},
        {
            "type": "custom",
            "name": "apply_patch",
            "description": "Edits files.",
            "format": {"type": "grammar"},
        },
        {"type": "web_search"},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199-session",
}

PATCH = "*** Begin Patch\n*** Update File: parser.py\n-        raise ValueError('empty')\n+        return []\n*** End Patch"
_BEGUN: Json = {
    "id": "resp_9",
    "object": "response",
    "status": "in_progress",
    "model": "gpt-5-codex",
    "output": [],
}
_ITEMS: list[Json] = [
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": THOUGHT}],
        "encrypted_content": SEAL,
    },
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": SAID, "annotations": []}],
    },
    {"type": "custom_tool_call", "id": "ctc_1", "name": "apply_patch", "input": PATCH, "call_id": "call_2"},
]


def _delta(kind: str, number: int, piece: str, **more: int) -> Json:
    return {"type": f"response.{kind}.delta", "output_index": number, "delta": piece, **more}


RESPONSES_USAGE: Json = {
    "input_tokens": 12_345,
    "input_tokens_details": {"cached_tokens": 12_000},
    "output_tokens": 67,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 12_412,
}
RESPONSES_STREAM = typed(
    {"type": "response.created", "response": _BEGUN},
    {"type": "response.in_progress", "response": _BEGUN},
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {"type": "reasoning", "id": "rs_1", "summary": []},
    },
    _delta("reasoning_summary_text", 0, THOUGHT[:20], summary_index=0),
    _delta("reasoning_summary_text", 0, THOUGHT[20:], summary_index=0),
    {"type": "response.output_item.done", "output_index": 0, "item": _ITEMS[0]},
    {"type": "response.output_item.added", "output_index": 1, "item": {**_ITEMS[1], "content": []}},
    _delta("output_text", 1, SAID[:30], content_index=0),
    _delta("output_text", 1, SAID[30:], content_index=0),
    {"type": "response.output_item.done", "output_index": 1, "item": _ITEMS[1]},
    {"type": "response.output_item.added", "output_index": 2, "item": {**_ITEMS[2], "input": ""}},
    _delta("custom_tool_call_input", 2, PATCH[:40]),
    _delta("custom_tool_call_input", 2, PATCH[40:]),
    {"type": "response.output_item.done", "output_index": 2, "item": _ITEMS[2]},
    {"type": "response.completed", "response": {**_BEGUN, "status": "completed", "usage": RESPONSES_USAGE}},
)

# messages --------------------------------------------------------------------------------------------

MESSAGES_REQUEST: Json = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 32000,
    "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": ASK},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": THOUGHT, "signature": SEAL},
                {"type": "redacted_thinking", "data": SEAL},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": CALL},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": RESULT, "is_error": True},
                {"type": "text", "text": "Go on."},
            ],
        },
    ],
    "tools": [
        {"name": "Bash", "description": SHELL, "input_schema": SCHEMA},
        {"name": "Edit", "description": "Edits a file.", "input_schema": SCHEMA},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
    ],
    "thinking": {"type": "enabled", "budget_tokens": 31999},
    "metadata": {"user_id": "user_1"},
    "stream": True,
}


def _grows(number: int, kind: str, **delta: str) -> Json:
    return {"type": "content_block_delta", "index": number, "delta": {"type": kind, **delta}}


def _starts(number: int, **block: Any) -> Json:
    return {"type": "content_block_start", "index": number, "content_block": block}


def _stops(number: int) -> Json:
    return {"type": "content_block_stop", "index": number}


MESSAGES_STREAM = typed(
    {
        "type": "message_start",
        "message": {
            "id": "msg_9",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 345,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 12_000,
                "output_tokens": 1,
            },
        },
    },
    _starts(0, type="thinking", thinking="", signature=""),
    {"type": "ping"},
    _grows(0, "thinking_delta", thinking=THOUGHT[:20]),
    _grows(0, "thinking_delta", thinking=THOUGHT[20:]),
    _grows(0, "signature_delta", signature=SEAL),
    _stops(0),
    _starts(1, type="text", text=""),
    _grows(1, "text_delta", text=SAID[:30]),
    _grows(1, "text_delta", text=SAID[30:]),
    _stops(1),
    _starts(2, type="tool_use", id="toolu_2", name="Edit", input={}),
    _grows(2, "input_json_delta", partial_json=""),
    _grows(2, "input_json_delta", partial_json=json.dumps(EDIT)[:40]),
    _grows(2, "input_json_delta", partial_json=json.dumps(EDIT)[40:]),
    _stops(2),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 67},
    },
    {"type": "message_stop"},
)

# generateContent -------------------------------------------------------------------------------------

GEMINI_REQUEST: Json = {
    "systemInstruction": {"role": "user", "parts": [{"text": SYSTEM}]},
    "contents": [
        {"role": "user", "parts": [{"text": ASK}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]},
        {
            "role": "model",
            "parts": [
                {"text": THOUGHT, "thought": True},
                {
                    "functionCall": {"id": "shell-1", "name": "run_shell_command", "args": CALL},
                    "thoughtSignature": SEAL,
                },
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "id": "shell-1",
                        "name": "run_shell_command",
                        "response": {"output": RESULT},
                    }
                }
            ],
        },
    ],
    "tools": [
        {
            "functionDeclarations": [
                {"name": "run_shell_command", "description": SHELL, "parametersJsonSchema": SCHEMA},
                {"name": "read_file", "description": READ},
            ]
        },
        {"googleSearch": {}},
    ],
    "generationConfig": {"temperature": 0, "topP": 1, "thinkingConfig": {"includeThoughts": True}},
}


def _candidate(parts: list[Json], **more: str) -> Json:
    return {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, **more}],
        "usageMetadata": {"promptTokenCount": 12_345, "candidatesTokenCount": 67, "totalTokenCount": 12_412},
        "modelVersion": "gemini-2.5-pro",
        "responseId": "r9",
    }


GEMINI_CHUNKS: list[Json] = [
    _candidate([{"text": THOUGHT[:20], "thought": True}]),
    _candidate([{"text": THOUGHT[20:], "thought": True}]),
    _candidate([{"text": SAID[:30]}]),
    _candidate([{"text": SAID[30:]}]),
    _candidate([{"functionCall": {"name": "replace", "args": EDIT}, "thoughtSignature": SEAL}]),
    _candidate([{"text": ""}], finishReason="STOP"),
]
GEMINI_STREAM = b"".join(data(chunk) for chunk in GEMINI_CHUNKS)

CHAT_PATH = "/v1/chat/completions"
RESPONSES_PATH = "/v1/responses"
MESSAGES_PATH = "/v1/messages?beta=true"
GEMINI_PATH = "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"

REQUESTS: dict[str, Json] = {
    CHAT_PATH: CHAT_REQUEST,
    RESPONSES_PATH: RESPONSES_REQUEST,
    MESSAGES_PATH: MESSAGES_REQUEST,
    GEMINI_PATH: GEMINI_REQUEST,
}
"""By their paths."""

STREAMS: dict[str, bytes] = {
    CHAT_PATH: CHAT_STREAM,
    RESPONSES_PATH: RESPONSES_STREAM,
    MESSAGES_PATH: MESSAGES_STREAM,
    GEMINI_PATH: GEMINI_STREAM,
}
"""By the same."""
