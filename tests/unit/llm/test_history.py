"""llm/history.py: what is dropped, what stays byte for byte, and which refusals are known."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litellm_hybrid.config.settings import HistoryPolicy
from litellm_hybrid.llm.history import Reduced, detect_history_rejection, reduce, reduce_again, travels
from litellm_hybrid.llm.openai_responses import COMPACTION_NOTE
from litellm_hybrid.llm.reduction import HistoryRejection, Side
from litellm_hybrid.llm.replay.refusals import remedies
from litellm_hybrid.routing.paths import Api

PLACEHOLDER = "skip_thought_signature_validator"
NOTE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": COMPACTION_NOTE}]}


# --- sessions as clients send them -----------------------------------------------------------

CODEX: dict[str, Any] = {
    "model": "gpt-5",
    "instructions": "You are Codex.",
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "list files"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABo1"},
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "shell",
            "arguments": '{"command":["ls"]}',
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "README.md"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAAAABo2"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "One file.", "annotations": []}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "read it"}]},
    ],
}

CLAUDE_CODE: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 32000,
    "thinking": {"type": "enabled", "budget_tokens": 31999},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "system": [{"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}],
    "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
    "messages": [
        {"role": "user", "content": "list files"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I list them.", "signature": "EqQBCg=="},
                {"type": "redacted_thinking", "data": "EvAFCo=="},
                {"type": "text", "text": "Listing."},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": "README.md",
                    "cache_control": {"type": "ephemeral"},
                }
            ],
        },
    ],
}

CHAT: dict[str, Any] = {
    "model": "gpt-5",
    "messages": [
        {"role": "user", "content": "list files"},
        {
            "role": "assistant",
            "content": "Listing.",
            "reasoning_content": "I list them.",
            "thinking_blocks": [{"type": "thinking", "thinking": "I list them.", "signature": "EqQBCg=="}],
            "provider_specific_fields": {"thought_signatures": ["AbC"]},
            "tool_calls": [
                {
                    "id": "call_1__thought__CtwCAb8+/==",
                    "type": "function",
                    "function": {
                        "name": "shell",
                        "arguments": '{"command":"ls"}',
                        "provider_specific_fields": {"thought_signature": "AbC"},
                    },
                    "extra_content": {"google": {"thought_signature": "AbC"}},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1__thought__CtwCAb8+/==", "content": "README.md"},
    ],
}

GEMINI: dict[str, Any] = {
    "cachedContent": "cachedContents/abc",
    "contents": [
        {"role": "user", "parts": [{"text": "list files"}]},
        {
            "role": "model",
            "parts": [
                {"text": "I list them.", "thought": True},
                {"functionCall": {"name": "shell", "args": {"c": "ls"}}, "thoughtSignature": "CtwCAb8="},
                {"functionCall": {"name": "shell", "args": {"c": "pwd"}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "shell", "response": {"output": "README.md"}}},
                {"functionResponse": {"name": "shell", "response": {"output": "/"}}},
            ],
        },
        {"role": "model", "parts": [{"text": "One file."}, {"text": "", "thoughtSignature": "CtwCAb8="}]},
        {"role": "user", "parts": [{"text": "read it"}]},
    ],
}

SESSIONS: dict[Api, dict[str, Any]] = {
    Api.RESPONSES: CODEX,
    Api.MESSAGES: CLAUDE_CODE,
    Api.CHAT: CHAT,
    Api.GENERATE_CONTENT: GEMINI,
}


def dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def reduced(value: object, api: Api, rejection: HistoryRejection | None = None) -> tuple[Any, Reduced]:
    result = reduce(dumped(value), api, rejection=rejection)
    return json.loads(result.body), result


@pytest.mark.parametrize("words", ["refusal", "audio"])
def test_a_chat_message_with_words_of_another_kind_stays(words: str) -> None:
    message = {"role": "assistant", "content": None, words: "No."}
    after, _ = reduced({"messages": [message | {"reasoning_content": "sealed"}]}, Api.CHAT)
    assert after["messages"] == [message]


def test_codex_session() -> None:
    after, report = reduced(CODEX, Api.RESPONSES)
    question, call, output, answer, question_2 = after["input"]
    assert [question, output, question_2] == [CODEX["input"][i] for i in (0, 3, 6)]
    assert call == {key: value for key, value in CODEX["input"][2].items() if key != "id"}
    assert answer == CODEX["input"][5] | {"id": "msg_reduced3"}
    assert {key: after[key] for key in CODEX if key != "input"} == {
        key: CODEX[key] for key in CODEX if key != "input"
    }
    assert report.dropped == (("item id", 2), ("reasoning", 2))
    assert report.switched_off == ()


def test_claude_code_session_in_a_tool_loop() -> None:
    after, report = reduced(CLAUDE_CODE, Api.MESSAGES)
    question, call, result = after["messages"]
    assert [question, result] == [CLAUDE_CODE["messages"][i] for i in (0, 2)]
    assert call["content"] == CLAUDE_CODE["messages"][1]["content"][2:]
    assert "thinking" not in after
    assert "context_management" not in after
    assert after["system"] == CLAUDE_CODE["system"]
    assert report.dropped == (("redacted_thinking", 1), ("thinking", 1))
    assert report.switched_off == ("thinking", "context_management.clear_thinking")


def test_chat_session() -> None:
    after, report = reduced(CHAT, Api.CHAT)
    assert after["messages"] == [
        {"role": "user", "content": "list files"},
        {
            "role": "assistant",
            "content": "Listing.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "shell", "arguments": '{"command":"ls"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "README.md"},
    ]
    assert report.dropped == (
        ("extra_content", 1),
        ("provider_specific_fields", 2),
        ("reasoning_content", 1),
        ("thinking_blocks", 1),
        ("tool id", 2),
    )


def test_gemini_session() -> None:
    after, report = reduced(GEMINI, Api.GENERATE_CONTENT)
    assert "cachedContent" not in after
    question, calls, outputs, answer, question_2 = after["contents"]
    assert [question, outputs, question_2] == [GEMINI["contents"][i] for i in (0, 2, 4)]
    assert calls["parts"] == [
        {"functionCall": {"name": "shell", "args": {"c": "ls"}}, "thoughtSignature": PLACEHOLDER},
        {"functionCall": {"name": "shell", "args": {"c": "pwd"}}},
    ]
    assert answer["parts"] == [{"text": "One file."}]
    assert report.dropped == (("cachedContent", 1), ("thought", 1), ("thoughtSignature", 2))


# --- valid for the SDKs' own types -----------------------------------------------------------


def exhausted(value: object) -> None:
    """Read every lazy iterator that pydantic made of an `Iterable` field: only then is it checked."""
    if isinstance(value, str | bytes):
        return
    if isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, Iterable):
        for element in value:
            exhausted(element)


def assert_valid(body: bytes, api: Api) -> None:
    validate(json.loads(body), api)


def validate(request: dict[str, Any], what: str) -> None:
    """Check a request against an SDK's own types; imported here, so that collecting these tests is quick."""
    from anthropic.types import beta
    from anthropic.types.beta import message_create_params
    from google.genai import types as genai
    from openai.types.chat import completion_create_params
    from openai.types.responses import response_create_params
    from pydantic import TypeAdapter

    if what == "generate-content":
        TypeAdapter(list[genai.Content]).validate_python(request["contents"])
        return
    shape: Any = {
        "responses": response_create_params.ResponseCreateParamsNonStreaming,
        "messages": message_create_params.MessageCreateParamsNonStreaming,
        "count-tokens": beta.MessageCountTokensParams,
        "chat": completion_create_params.CompletionCreateParamsNonStreaming,
    }[what]
    adapter = TypeAdapter(shape)  # its lazy iterators need it to live
    exhausted(adapter.validate_python(request))


@pytest.mark.parametrize("api", SESSIONS)
def test_a_session_is_valid_before_and_after(api: Api) -> None:
    body = dumped(SESSIONS[api])
    assert_valid(body, api)
    assert_valid(reduce(body, api).body, api)


def test_the_validity_check_sees_into_lists() -> None:
    broken = {
        "model": "m",
        "max_tokens": 1,
        "messages": [{"role": "assistant", "content": [{"type": "thinking"}]}],
    }
    with pytest.raises(ValueError, match="thinking"):
        assert_valid(dumped(broken), Api.MESSAGES)


def test_count_tokens_stays_valid() -> None:
    request = {key: CLAUDE_CODE[key] for key in ("model", "messages", "thinking", "context_management")}
    validate(reduced(request, Api.MESSAGES)[0], "count-tokens")


# --- cases, one by one -----------------------------------------------------------------------

type Case = tuple[Api, str, str, dict[str, int]]

CASES: dict[str, Case] = {
    "compaction goes, its trigger stays": (
        Api.RESPONSES,
        '{"input":[{"type":"compaction","encrypted_content":"g"},{"type":"compaction_trigger"}]}',
        json.dumps({"input": [NOTE, {"type": "compaction_trigger"}]}),
        {"compaction": 1, "item id": 0},
    ),
    "a reference to a reasoning item": (
        Api.RESPONSES,
        '{"input":[{"type":"item_reference","id":"rs_1"},{"id":"rs_2"},{"type":"item_reference","id":"msg_1"}]}',
        '{"input":[{"type":"item_reference","id":"msg_1"}]}',
        {"item_reference": 2},
    ),
    "encrypted content beside something else": (
        Api.RESPONSES,
        '{"input":[{"type":"agent_message","text":"hi","encrypted_content":"g"}]}',
        '{"input":[{"type":"agent_message","text":"hi"}]}',
        {"encrypted_content": 1},
    ),
    "a hosted tool's call needs some id": (
        Api.RESPONSES,
        (
            '{"input":[{"type":"reasoning","id":"rs_1"},{"type":"web_search_call","id":"ws_ab"},'
            '{"type":"mcp_call","id":"mcp_ab"}]}'
        ),
        '{"input":[{"type":"web_search_call","id":"ws_reduced0"},{"type":"mcp_call","id":"mcp_ab"}]}',
        {"item id": 1, "reasoning": 1},
    ),
    "a signature in a call id": (
        Api.RESPONSES,
        (
            '{"input":[{"type":"function_call","call_id":"call_1__thought__a+/="},'
            '{"type":"function_call_output","call_id":"call_1__thought__a+/=","output":"x"}]}'
        ),
        (
            '{"input":[{"type":"function_call","call_id":"call_1"},'
            '{"type":"function_call_output","call_id":"call_1","output":"x"}]}'
        ),
        {"tool id": 2},
    ),
    "a message of nothing but thinking": (
        Api.MESSAGES,
        (
            '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":'
            '[{"type":"thinking","thinking":"t","signature":"s"}]},{"role":"user","content":"b"}]}'
        ),
        '{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}',
        {"message": 1, "thinking": 1},
    ),
    "manual thinking outside a tool loop stays on": (
        Api.MESSAGES,
        (
            '{"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"assistant","content":'
            '[{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"a"}]},'
            '{"role":"user","content":"b"}]}'
        ),
        (
            '{"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"assistant","content":'
            '[{"type":"text","text":"a"}]},{"role":"user","content":"b"}]}'
        ),
        {"thinking": 1},
    ),
    "adaptive thinking in a tool loop stays on, without the edit": (
        Api.MESSAGES,
        (
            '{"thinking":{"type":"adaptive"},"context_management":{"edits":[{"type":"clear_thinking_20251015"}]},'
            '"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},'
            '{"type":"tool_use","id":"t1","name":"f","input":{}}]},'
            '{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1"}]}]}'
        ),
        (
            '{"thinking":{"type":"adaptive"},'
            '"messages":[{"role":"assistant","content":['
            '{"type":"tool_use","id":"t1","name":"f","input":{}}]},'
            '{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1"}]}]}'
        ),
        {"thinking": 1},
    ),
    "a compaction keeps its summary": (
        Api.MESSAGES,
        (
            '{"messages":[{"role":"assistant","content":[{"type":"compaction","content":"so far",'
            '"signature":"s",'
            '"encrypted_content":"e"}]}]}'
        ),
        '{"messages":[{"role":"assistant","content":[{"type":"compaction","content":"so far"}]}]}',
        {"encrypted_content": 1, "signature": 1},
    ),
    "tool ids that Anthropic refuses": (
        Api.MESSAGES,
        (
            '{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"functions.Bash:0","name":"Bash",'
            '"input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions.Bash:0"}]}]}'
        ),
        (
            '{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"functions_Bash_0_98f6eac2",'
            '"name":"Bash","input":{}}]},'
            '{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions_Bash_0_98f6eac2"}]}]}'
        ),
        {"tool id": 2},
    ),
    "thinking among an assistant's parts": (
        Api.CHAT,
        (
            '{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t"}],'
            '"tool_calls":[{"id":"c1"}]},{"role":"assistant","content":null,"reasoning":"r"}]}'
        ),
        '{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c1"}]}]}',
        {"message": 1, "reasoning": 1, "thinking": 1},
    ),
    "snake case, and a signature on text": (
        Api.GENERATE_CONTENT,
        (
            '{"cached_content":"c","contents":[{"role":"model","parts":[{"text":"a","thought_signature":"QQ=="},'
            '{"function_call":{"name":"f"},"thought_signature":"QQ=="},{"thoughtSignature":"QQ=="}]}]}'
        ),
        (
            '{"contents":[{"role":"model","parts":[{"text":"a"},'
            f'{{"function_call":{{"name":"f"}},"thought_signature":"{PLACEHOLDER}"}}]}}]}}'
        ),
        {"cached_content": 1, "thoughtSignature": 3},
    ),
    "a call from elsewhere among Gemini's": (
        Api.GENERATE_CONTENT,
        (
            '{"contents":[{"role":"model","parts":[{"text":"","thought":true}]},'
            '{"role":"model","parts":[{"functionCall":{"name":"f"}},{"functionCall":{"name":"g"}}]}]}'
        ),
        (
            '{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f"},'
            f'"thoughtSignature":"{PLACEHOLDER}"}},{{"functionCall":{{"name":"g"}}}}]}}]}}'
        ),
        {"content": 1, "thought": 1, "thoughtSignature": 1},
    ),
    "a call that is marked as a thought": (
        Api.GENERATE_CONTENT,
        '{"contents":[{"parts":[{"functionCall":{"name":"f"},"thought":true,"thoughtSignature":"QQ=="}]}]}',
        (
            '{"contents":[{"parts":[{"functionCall":{"name":"f"},"thought":true,'
            f'"thoughtSignature":"{PLACEHOLDER}"}}]}}]}}'
        ),
        {"thoughtSignature": 1},
    ),
    "counting tokens": (
        Api.GENERATE_CONTENT,
        '{"generateContentRequest":{"model":"m","contents":[{"parts":[{"text":"a","thoughtSignature":"QQ=="}]}]}}',
        '{"generateContentRequest":{"model":"m","contents":[{"parts":[{"text":"a"}]}]}}',
        {"thoughtSignature": 1},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_reduced(case: Case) -> None:
    api, before, after, dropped = case
    result = reduce(before.encode(), api)
    assert json.loads(result.body) == json.loads(after)
    assert result.dropped == tuple(sorted((name, count) for name, count in dropped.items() if count))
    assert "thinking" not in result.switched_off
    assert reduce(result.body, api).body is result.body


def test_only_the_way_to_a_change_is_written_anew() -> None:
    """Numbers, escapes, duplicate keys and spaces stay as they were wherever nothing was dropped."""
    untouched = rb'{ "a": 1.0e+02, "b" : "\u00e9\/", "b": "\ud83d", "n":123456789012345678901234567890 }'
    item = rb'{"type":"function_call_output","call_id":"c","output":"caf\u00e9 \u200b"  }'
    body = (
        rb'{ "metadata": %b, "input" : [ {"type":"reasoning", "encrypted_content":"g"}, %b ], "x":[1 ,2]}'
        % (untouched, item)
    )
    assert reduce(body, Api.RESPONSES).body == (
        rb'{"metadata":%b,"input":[%b],"x":[1 ,2]}' % (untouched, item)
    )


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (
            Api.RESPONSES,
            b'{"input":"hello","include":["reasoning.encrypted_content"],"previous_response_id":"resp_1"}',
        ),
        (Api.RESPONSES, b'{ "input" : [ {"role":"user","content":"hi"}, {"type":"reasoning_effort"} ] }'),
        (Api.RESPONSES, b'{"input":[{"type":"message","id":"msg_1","role":"assistant","content":[]}]}'),
        (Api.RESPONSES, b'{"input":[{"type":"compaction_trigger"}]}'),
        (Api.MESSAGES, b'{"messages":[{"role":"user","content":[{"type":"text","text":"thinking"}]}]}'),
        (
            Api.MESSAGES,
            (
                b'{"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"assistant","content":'
                b'[{"type":"tool_use","id":"t","name":"f","input":{"thinking":"x","type":"thinking"}}]},'
                b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"signature"}]}]}'
            ),
        ),
        (Api.MESSAGES, b'{"messages":[{"role":"assistant","content":[]}]}'),
        (Api.CHAT, b'{"messages":[{"role":"assistant","content":"hi","reasoning_content":null}]}'),
        (Api.CHAT, b'{"messages":[{"role":"user","content":"hi","reasoning":"the user may say so"}]}'),
        (Api.CHAT, b'{"messages":[{"role":"assistant","content":null}]}'),
        (Api.GENERATE_CONTENT, b'{"contents":[{"parts":[{"functionCall":{"name":"f"}},{"text":"a"}]}]}'),
        (
            Api.GENERATE_CONTENT,
            (
                b'{"contents":[{"parts":[{"functionCall":{},"thoughtSignature":"skip_thought_signature_validator"},'
                b'{"text":"a","thoughtSignature":"context_engineering_is_the_way_to_go","thought":false}]}]}'
            ),
        ),
        (Api.CHAT, b""),
        (Api.CHAT, b"[]"),
        (Api.CHAT, b'{"messages":[{"role":"assistant","reasoning":"cut off'),
        (Api.CHAT, b'{"messages":{"reasoning":1}}'),
        (Api.CHAT, b'\xff{"messages":[]}'),
        (Api.MESSAGES, b'{"messages":[1,null,"x",[],{"content":[1,null,[]]}]}'),
        (Api.RESPONSES, b'{"input":[1,null,"x",[],{"type":7,"id":8}]}'),
        (Api.GENERATE_CONTENT, b'{"contents":[1,null,"x",[],{"parts":[1,null,[]]}]}'),
        (Api.MESSAGES, b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ],
)
def test_nothing_foreign_or_nothing_readable_is_the_same_object(api: Api, body: bytes) -> None:
    result = reduce(body, api)
    assert result.body is body
    assert result == Reduced(body)


def test_a_lone_surrogate_does_not_keep_a_body_from_being_reduced() -> None:
    body = (
        rb'{"messages":[{"role":"user","content":"\\ud83d \ud83d\ude00 \uDE00 cut \ud83d"},'
        rb'{"role":"assistant","content":[{"type":"thinking"},{"type":"text","text":"\ud83d\ud83d"}]}]}'
    )
    result = reduce(body, Api.MESSAGES)
    assert result.body == body.replace(b'{"type":"thinking"},', b"")
    assert reduce(result.body, Api.MESSAGES).body is result.body


TOOL_LOOP_WITHOUT_THINKING = {
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "context_management": {
        "edits": [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]
    },
    "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]},
    ],
}


@pytest.mark.parametrize(
    ("api", "rejection", "before", "after"),
    [
        (
            Api.MESSAGES,
            "thinking-missing",
            TOOL_LOOP_WITHOUT_THINKING,
            {
                "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
                "messages": TOOL_LOOP_WITHOUT_THINKING["messages"],
            },
        ),
        (
            Api.MESSAGES,
            "thinking-missing",
            {
                "thinking": {"type": "adaptive"},
                "output_config": {"effort": "high", "format": {"type": "json_schema"}},
                "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
                "messages": [],
            },
            {"output_config": {"format": {"type": "json_schema"}}, "messages": []},
        ),
        (
            Api.CHAT,
            "thinking-missing",
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high", "messages": []},
            {"messages": []},
        ),
        (
            Api.RESPONSES,
            "thinking-missing",
            {"reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"], "input": []},
            {"include": ["reasoning.encrypted_content"], "input": []},
        ),
        (
            Api.GENERATE_CONTENT,
            "thinking-missing",
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 9}, "topK": 1}, "contents": []},
            {"generationConfig": {"topK": 1}, "contents": []},
        ),
        (
            Api.MESSAGES,
            "clear-thinking",
            {
                "thinking": {"type": "adaptive"},
                "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
                "messages": [],
            },
            {"thinking": {"type": "adaptive"}, "messages": []},
        ),
        (
            Api.MESSAGES,
            "unknown-member",
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "x": 1, "y": None}]}
                ]
            },
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t"}]}]},
        ),
        (
            Api.GENERATE_CONTENT,
            "thought-signature-missing",
            {"contents": [{"parts": [{"text": "a"}, {"functionCall": {}}, {"functionCall": {}}]}]},
            {
                "contents": [
                    {
                        "parts": [
                            {"text": "a"},
                            {"functionCall": {}, "thoughtSignature": PLACEHOLDER},
                            {"functionCall": {}},
                        ]
                    }
                ]
            },
        ),
        (
            Api.RESPONSES,
            "reasoning-item",
            {
                "input": [
                    {"type": "function_call", "id": "fc_1", "call_id": "c"},
                    {"type": "message", "id": "msg_1", "role": "assistant", "content": []},
                    {"role": "user", "content": "a"},
                ]
            },
            {
                "input": [
                    {"type": "function_call", "call_id": "c"},
                    {"type": "message", "id": "msg_reduced1", "role": "assistant", "content": []},
                    {"role": "user", "content": "a"},
                ]
            },
        ),
    ],
)
def test_a_refusal_that_misses_a_part(
    api: Api, rejection: HistoryRejection, before: object, after: object
) -> None:
    """Turns that another provider made lack what the first one demands, with nothing left to drop."""
    body = dumped(before)
    assert reduce(body, api).body is body
    result = reduce(body, api, rejection=rejection)
    assert json.loads(result.body) == after
    assert reduce(result.body, api, rejection=rejection).body is result.body


THINKING_OPTIONS: dict[Api, dict[str, Any]] = {
    Api.CHAT: {"thinking": {"type": "enabled", "budget_tokens": 1024}, "reasoning_effort": "high"},
    Api.MESSAGES: {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "high"},
    },
    Api.RESPONSES: {"reasoning": {"effort": "high"}},
}
TOOL_LOOPS: dict[Api, tuple[str, dict[str, Any]]] = {
    Api.CHAT: ("messages", CHAT),
    Api.MESSAGES: ("messages", CLAUDE_CODE),
    Api.RESPONSES: ("input", CODEX | {"input": CODEX["input"][:4]}),
}


@pytest.mark.parametrize(
    "trailing", [[], [{"role": "system", "content": "Remember."}], [{"role": "developer"}] * 2]
)
@pytest.mark.parametrize("api", TOOL_LOOPS)
def test_all_thinking_options_go_together_in_a_tool_loop(api: Api, trailing: list[dict[str, str]]) -> None:
    """Where the turn's own thinking was left out, Anthropic misses it; LiteLLM makes it of any option left."""
    member, session = TOOL_LOOPS[api]
    request = session | THINKING_OPTIONS[api] | {member: [*session[member], *trailing]}
    result, report = reduced(request, api, "thinking-signature")
    assert THINKING_OPTIONS[api].keys().isdisjoint(result)
    assert report.switched_off
    after_the_loop = request | {member: [*request[member], {"role": "user", "content": "And now?"}]}
    assert reduced(after_the_loop, api, "thinking-signature")[0].items() >= THINKING_OPTIONS[api].items()


# --- what nobody on the other side can read -----------------------------------------------------


def _thinking(signature: str | None) -> dict[str, Any]:
    return {"type": "thinking", "thinking": "t"} | ({} if signature is None else {"signature": signature})


TOOL_USE = {"type": "tool_use", "id": "t:1", "name": "f", "input": {}, "cache_control": {"type": "ephemeral"}}
GENUINE = "EqQBCkYIBxgCKkA"
UPSTREAM_SEALS = ["gAAAAABo1", "claude#EqQB", "cpa-gemini-carrier-v1:abc"]

FOREIGN: list[tuple[Api, Side, object, object]] = [
    *[(Api.MESSAGES, "litellm", _thinking(seal), None) for seal in (*UPSTREAM_SEALS, "", None)],
    *[(Api.MESSAGES, "upstream", _thinking(seal), None) for seal in ("", None, "litellm_enc:abc")],
    *[(Api.MESSAGES, "upstream", _thinking(seal), _thinking(seal)) for seal in (*UPSTREAM_SEALS, GENUINE)],
    (Api.MESSAGES, "litellm", _thinking(GENUINE), _thinking(GENUINE)),
    (Api.MESSAGES, "litellm", {"type": "redacted_thinking", "data": "gAAAB"}, None),
    (Api.MESSAGES, "litellm", TOOL_USE, TOOL_USE),
    (Api.MESSAGES, "litellm", TOOL_USE | {"signature": "claude#EqQB"}, TOOL_USE),
    (Api.MESSAGES, "upstream", TOOL_USE | {"provider_specific_fields": {"signature": "x"}}, TOOL_USE),
    (
        Api.MESSAGES,
        "litellm",
        TOOL_USE | {"provider_specific_fields": {"signature": "x"}},
        TOOL_USE | {"provider_specific_fields": {"signature": "x"}},
    ),
    (Api.MESSAGES, "upstream", {"type": "text", "text": ""}, None),
    (Api.MESSAGES, "litellm", {"type": "text", "text": ""}, None),
    (Api.GENERATE_CONTENT, "upstream", {"text": ""}, None),
    (
        Api.GENERATE_CONTENT,
        "upstream",
        {"text": "", "thoughtSignature": "Ct"},
        {"text": "", "thoughtSignature": "Ct"},
    ),
    (Api.GENERATE_CONTENT, "litellm", {"text": "a", "thoughtSignature": "claude#Eq"}, {"text": "a"}),
    (
        Api.GENERATE_CONTENT,
        "litellm",
        {"functionCall": {"name": "f"}, "thoughtSignature": "gAAAB"},
        {"functionCall": {"name": "f"}, "thoughtSignature": PLACEHOLDER},
    ),
    (
        Api.GENERATE_CONTENT,
        "litellm",
        {"functionCall": {"name": "f"}, "thoughtSignature": "CtwC"},
        {"functionCall": {"name": "f"}, "thoughtSignature": "CtwC"},
    ),
    (
        Api.RESPONSES,
        "upstream",
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "litellm_enc:a"},
        None,
    ),
    (
        Api.RESPONSES,
        "upstream",
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAB"},
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAB"},
    ),
    (
        Api.RESPONSES,
        "upstream",
        {"type": "function_call", "call_id": "c", "provider_specific_fields": {"a": 1}},
        {"type": "function_call", "call_id": "c"},
    ),
    (Api.RESPONSES, "upstream", {"type": "compaction", "encrypted_content": "litellm_enc:a"}, NOTE),
    (Api.CHAT, "litellm", _thinking("claude#Eq"), None),
    (Api.CHAT, "litellm", _thinking(GENUINE), _thinking(GENUINE)),
]


def _turn(api: Api, part: object | None) -> dict[str, Any]:
    parts = [] if part is None else [part]
    if api is Api.RESPONSES:
        return {"input": [{"role": "user", "content": "a"}, *parts]}
    if api is Api.GENERATE_CONTENT:
        return {"contents": [{"role": "model", "parts": [{"text": "a"}, *parts]}]}
    return {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "a"}, *parts]}]}


@pytest.mark.parametrize(("api", "side", "before", "after"), FOREIGN)
def test_what_nobody_on_that_side_can_read_is_left_out(
    api: Api, side: Side, before: object, after: object | None
) -> None:
    body = dumped(_turn(api, before))
    result = reduce_again(body, api, side, ())
    assert json.loads(result.body) == _turn(api, after)
    assert (result.body is body) == (before == after)


def test_thinking_that_is_left_out_takes_its_edit_along() -> None:
    request = CLAUDE_CODE | {"thinking": {"type": "adaptive"}}
    body = dumped(request).replace(b"EqQBCg==", b"claude#EqQB")
    result = reduce_again(body, Api.MESSAGES, "litellm", ())
    assert "context_management" not in json.loads(result.body)
    assert json.loads(result.body)["thinking"] == {"type": "adaptive"}
    assert result.dropped == (("thinking", 1),)


def test_chat_members_that_litellm_added_stay_there() -> None:
    body = dumped(CHAT)
    assert reduce_again(body, Api.CHAT, "litellm", ()).body is body
    assert b"provider_specific_fields" not in reduce_again(body, Api.CHAT, "upstream", ()).body
    assert b"reasoning_content" in reduce_again(body, Api.CHAT, "upstream", ()).body


@pytest.mark.parametrize("name", [b"thinking", b"reasoning", b"provider_specific_fields"])
def test_a_name_that_is_written_with_escapes_is_found_all_the_same(name: bytes) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": name.decode(), "signature": ""}]
    message = {"role": "assistant", "content": parts, name.decode(): [{"type": "a"}]}
    body = dumped({"messages": [message]})
    escaped = body.replace(name, b"\\u%04x" % name[0] + name[1:])
    whole, result = (reduce_again(one, Api.CHAT, "upstream", ()) for one in (body, escaped))
    assert whole.dropped == result.dropped != ()
    assert json.loads(whole.body) == json.loads(result.body)


# --- properties ------------------------------------------------------------------------------

WORDS = """
    type id role content text input messages contents parts thinking redacted_thinking signature data
    reasoning encrypted_content compaction tool_use tool_result tool_use_id call_id tool_calls tool_call_id
    function_call functionCall thoughtSignature thought thought_signature cachedContent reasoning_content
    thinking_blocks provider_specific_fields extra_content function assistant user tool model enabled
    adaptive context_management edits clear_thinking_20251015 item_reference rs_1 fc_1 msg_1 message a.b:c
    call__thought__x= generateContentRequest output_config effort reasoning_effort system developer
    claude# gAAAB litellm_enc: generationConfig thinkingConfig x
"""
NAMES = st.sampled_from(WORDS.split())
SCALARS = st.none() | st.booleans() | st.integers() | NAMES | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
BLOCKS = st.dictionaries(NAMES, VALUES, max_size=4).flatmap(
    lambda block: st.fixed_dictionaries({"type": NAMES}).map(lambda kind: block | kind)
)
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "model", "tool"])},
    optional={"content": st.lists(BLOCKS, max_size=4) | VALUES, "parts": st.lists(BLOCKS, max_size=4)},
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(TURNS | BLOCKS, max_size=4),
        "contents": st.lists(TURNS, max_size=4),
        "input": st.lists(TURNS | BLOCKS, max_size=4),
        "thinking": st.just({"type": "enabled", "budget_tokens": 1024}) | VALUES,
        "context_management": VALUES,
        "cachedContent": SCALARS,
    },
)
APIS = st.sampled_from(sorted(SESSIONS))
REFUSALS = st.sampled_from([None, *get_args(HistoryRejection.__value__)])


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(request=REQUESTS | VALUES, api=APIS, rejection=REFUSALS)
def test_reducing_twice_is_reducing_once(
    request: object, api: Api, rejection: HistoryRejection | None
) -> None:
    once = reduce(dumped(request), api, rejection=rejection)
    again = reduce(once.body, api, rejection=rejection)
    assert again.body is once.body
    assert (again.dropped, again.switched_off) == ((), ())


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(request=REQUESTS | VALUES, api=APIS, side=st.sampled_from(["litellm", "upstream"]))
def test_stripping_twice_is_stripping_once_and_never_more_than_reducing(
    request: object, api: Api, side: Side
) -> None:
    once = reduce_again(dumped(request), api, side, ())
    assert reduce_again(once.body, api, side, ()).body is once.body
    assert reduce(once.body, api, side=side).body == reduce(dumped(request), api, side=side).body


@settings(deadline=None, max_examples=150)
@given(body=st.binary() | st.text(alphabet='{}[]":,\\ud83a1 ').map(str.encode), api=APIS)
def test_no_bytes_raise(body: bytes, api: Api) -> None:
    assert reduce(body, api).body == body
    assert detect_history_rejection(400, body) is None


def words(value: object) -> Iterator[str]:
    """Every text that a generated session's turns are made of."""
    if isinstance(value, str) and value.startswith("word"):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from words(member)
    elif isinstance(value, list):
        for element in value:
            yield from words(element)


TURN_OF = {
    "responses": lambda n: [
        {"role": "user", "content": f"word{n}a"},
        {"type": "reasoning", "id": f"rs_{n}", "summary": [], "encrypted_content": "g"},
        {
            "type": "function_call",
            "id": f"fc_{n}",
            "call_id": f"word{n}b",
            "name": "f",
            "arguments": f"word{n}c",
        },
        {"type": "function_call_output", "call_id": f"word{n}b", "output": f"word{n}d"},
    ],
    "messages": lambda n: [
        {"role": "user", "content": f"word{n}a"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "tool_use", "id": f"word{n}b", "name": "f", "input": {"x": f"word{n}c"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": f"word{n}b", "content": f"word{n}d"}],
        },
    ],
}


@pytest.mark.parametrize(("api", "key"), [(Api.RESPONSES, "input"), (Api.MESSAGES, Api.MESSAGES)])
def test_every_text_and_tool_call_of_a_long_session_arrives(api: Api, key: str) -> None:
    request = {key: [item for turn in range(200) for item in TURN_OF[api](turn)]}
    after, report = reduced(request, api)
    assert list(words(after)) == list(words(request))
    assert dict(report.dropped)["reasoning" if api == "responses" else "thinking"] == 200


# --- refusals --------------------------------------------------------------------------------


def openai_error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": "input", "code": code}}


def anthropic_error(message: str) -> dict[str, Any]:
    return {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": message},
        "request_id": "req_1",
    }


def google_error(message: str, code: int = 400) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": "INVALID_ARGUMENT"}}


def litellm_error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": "400"}}


THINKING_MISSING = (
    "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When"
    " `thinking` is enabled, a final `assistant` message must start with a thinking block."
)
SIGNATURE = "messages.1.content.0: Invalid `signature` in `thinking` block"
ENCRYPTED = "The encrypted content gAAA...Rg== could not be verified."

REFUSED: list[tuple[str, int, object]] = [
    ("encrypted-content", 400, openai_error(ENCRYPTED, "invalid_encrypted_content")),
    (
        "encrypted-content",
        400,
        openai_error(
            "The encrypted content for item rs_0e51 could not be verified. Reason: Encrypted content could"
            " not be decrypted or parsed."
        ),
    ),
    ("encrypted-content", 400, openai_error("", "invalid_encrypted_content")),
    ("encrypted-content", 400, openai_error("bad history", "thinking_signature_invalid")),
    (
        "encrypted-content",
        400,
        litellm_error(
            "litellm.BadRequestError: OpenAIException - "
            + json.dumps(openai_error(ENCRYPTED, "invalid_encrypted_content"), indent=2)
            + ". Received Model Group=gpt-5\nAvailable Model Group Fallbacks=None"
        ),
    ),
    (
        "encrypted-content",
        400,
        {
            "error": {
                "message": '{"error":{"message":"no","type":"server_error"}}',
                "code": "invalid_encrypted_content",
            }
        },
    ),
    (
        "encrypted-content",
        200,
        {"type": "response.failed", "response": openai_error(ENCRYPTED, "invalid_encrypted_content")},
    ),
    ("encrypted-content", 200, {"type": "error", "code": "invalid_encrypted_content", "message": "x"}),
    (
        "item-not-found",
        404,
        openai_error(
            "Item with id 'rs_0496' not found. Items are not persisted when `store` is set to false."
        ),
    ),
    (
        "reasoning-item",
        400,
        openai_error(
            "Item 'fc_01' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'."
        ),
    ),
    (
        "reasoning-item",
        400,
        openai_error("Item 'rs_01' of type 'reasoning' was provided without its required following item."),
    ),
    ("thinking-signature", 400, anthropic_error(SIGNATURE)),
    (
        "thinking-signature",
        400,
        anthropic_error(SIGNATURE + ". The block is bound to a different conversation."),
    ),
    ("thinking-signature", 400, anthropic_error("messages.1.content.0: Invalid signature in thinking block")),
    (
        "thinking-signature",
        400,
        anthropic_error("messages.23.content.2: Invalid `data` in `redacted_thinking` block"),
    ),
    ("thinking-signature", 400, anthropic_error("messages.1.content.0.thinking.signature: Field required")),
    (
        "thinking-signature",
        400,
        anthropic_error(
            "messages.9.content.15: `thinking` or `redacted_thinking` blocks in the latest assistant message"
            " cannot be modified. These blocks must remain as they were in the original response."
        ),
    ),
    ("thinking-signature", 200, anthropic_error(SIGNATURE)),
    ("thinking-signature", 400, google_error(json.dumps(anthropic_error(SIGNATURE)))),
    (
        "thinking-signature",
        400,
        litellm_error(
            f"litellm.BadRequestError: AnthropicException - {json.dumps(anthropic_error(SIGNATURE))}"
        ),
    ),
    (
        "thinking-signature",
        500,
        litellm_error(
            "litellm.BadRequestError: Vertex_aiException BadRequestError - "
            f"{dumped(anthropic_error(SIGNATURE))!r}"
        ),
    ),
    ("thinking-missing", 400, anthropic_error(THINKING_MISSING)),
    (
        "thinking-missing",
        400,
        litellm_error(
            'litellm.BadRequestError: BedrockException - {"message":"The model returned the following'
            " errors: " + THINKING_MISSING + '"}. Received Model Group=claude-4-5-sonnet'
        ),
    ),
    (
        "thought-signature",
        400,
        google_error("Unable to submit request because Thought signature is not valid.."),
    ),
    ("thought-signature", 400, google_error("Corrupted thought signature.")),
    ("thought-signature", 400, google_error("Invalid thought signature.")),
    (
        "thought-signature",
        400,
        google_error(
            "Invalid value at 'request.contents[3].parts[0].thought_signature' (TYPE_BYTES),"
            " Base64 decoding failed"
        ),
    ),
    (
        "thought-signature-missing",
        400,
        [
            google_error(
                "Function call is missing a thought_signature in functionCall parts. This is required"
            )
        ],
    ),
    (
        "thought-signature-missing",
        400,
        google_error(
            "Unable to submit request because function call `shell` in the 2. content block is missing a"
            " `thought_signature`."
        ),
    ),
    ("cached-content", 403, google_error("CachedContent not found (or permission denied)", 403)),
    ("cached-content", 404, google_error("Not found: cached content metadata for 6116704758662168576.", 404)),
    ("cached-content", 400, google_error("Cache content 7016131366404227072 is expired.")),
    (
        "tool-id",
        400,
        anthropic_error("messages.5.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"),
    ),
    (
        "tool-id",
        400,
        openai_error(
            "Invalid 'input[95].call_id': string too long. Expected a string with maximum length 64."
        ),
    ),
    (
        "clear-thinking",
        400,
        anthropic_error("`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"),
    ),
    (
        "clear-thinking",
        400,
        openai_error(
            "litellm.BadRequestError: AnthropicException - "
            '{"type":"error","error":{"type":"invalid_request_error","message":'
            '"`clear_thinking_20251015` strategy requires `thinking` to be enabled or adaptive"}}'
        ),
    ),
    (
        "unknown-member",
        400,
        anthropic_error(
            "messages.3.content.0.tool_use.provider_specific_fields: Extra inputs are not permitted"
        ),
    ),
    (
        "unknown-member",
        400,
        anthropic_error("messages.1.content.1.tool_use.signature: Extra inputs are not permitted"),
    ),
    ("unknown-member", 400, openai_error("Unknown parameter: 'input[3].provider_specific_fields'.")),
    (
        "unknown-member",
        400,
        google_error(
            "Invalid JSON payload received. Unknown name \"provider_specific_fields\" at 'contents[1].parts[0]': "
            "Cannot find field."
        ),
    ),
    ("empty-text", 400, anthropic_error("messages: text content blocks must be non-empty")),
    ("empty-text", 400, anthropic_error("messages.3: text content blocks must contain non-whitespace text")),
]


@pytest.mark.parametrize(("rejection", "status", "body"), REFUSED)
def test_a_refusal_of_foreign_history(rejection: HistoryRejection, status: int, body: object) -> None:
    assert detect_history_rejection(status, dumped(body)) == rejection


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, anthropic_error(SIGNATURE)),
        (401, openai_error(ENCRYPTED, "invalid_encrypted_content")),
        (503, google_error("Corrupted thought signature.")),
        (400, anthropic_error("max_tokens: must be greater than thinking.budget_tokens")),
        (400, anthropic_error('"thinking.type.enabled" is not supported for this model.')),
        (400, anthropic_error("prompt is too long: 213000 tokens > 200000 maximum")),
        (400, anthropic_error("metadata.user: Extra inputs are not permitted")),
        (400, anthropic_error("tools.0.custom.defer_loading: Extra inputs are not permitted")),
        (400, openai_error("Unknown parameter: 'text.verbosity'.")),
        (400, anthropic_error("Your text mentions the words Invalid signature in thinking block")),
        (400, openai_error("Unsupported parameter: 'include'", "unsupported_parameter")),
        (400, openai_error("The signature could not be verified.")),
        (400, openai_error("Invalid 'input[2].content': string too long.")),
        (404, openai_error("Previous response with id 'resp_1' not found.", "previous_response_not_found")),
        (404, openai_error("Item with id 'msg_1' not found.")),
        (404, google_error("models/gemini-9 is not found for API version v1beta", 404)),
        (403, google_error("You do not have permission to access the File abc", 403)),
        (400, google_error("Request contains an invalid argument.")),
        (400, {"error": "Invalid API key"}),
        (
            200,
            {"content": [{"type": "text", "text": SIGNATURE}], "error": anthropic_error(SIGNATURE)["error"]},
        ),
        (200, {"choices": [{"message": {"content": ENCRYPTED}}]}),
        (400, {"messages": SIGNATURE}),
        (400, SIGNATURE),
        (400, None),
    ],
)
def test_any_other_answer_is_none(status: int, body: object) -> None:
    assert detect_history_rejection(status, dumped(body)) is None


def test_every_refusal_has_a_cure_in_the_session_of_its_api() -> None:
    """A reduced session holds nothing that the refusals are about."""
    for api, session in SESSIONS.items():
        body = reduce(dumped(session), api).body
        for word in (b"gAAAA", b"EqQB", b"EvAF", b"CtwC", b"AbC", b"rs_", b"cachedContents/"):
            assert word not in body, (api, word)


# --- what goes along to LiteLLM --------------------------------------------------------------

CLAUDE_MODELS = ["claude-opus-4-5", "anthropic/claude-3", "bedrock/eu.Anthropic.Claude-v2", "CLAUDE-X"]
GEMINI_MODELS = ["gemini-2.5-pro", "vertex_ai/gemini-3", "google/whatever", "Gemini"]
OTHER_MODELS = ["gpt-5", "openai/o3", "qwen", ""]


@pytest.mark.parametrize(
    ("api", "models", "goes"),
    [
        (Api.MESSAGES, CLAUDE_MODELS, True),
        (Api.MESSAGES, [*GEMINI_MODELS, *OTHER_MODELS], False),
        (Api.GENERATE_CONTENT, GEMINI_MODELS, True),
        (Api.GENERATE_CONTENT, [*CLAUDE_MODELS, *OTHER_MODELS], False),
        # OpenAI's encrypted reasoning belongs to the organisation that got it.
        (Api.RESPONSES, [*CLAUDE_MODELS, *GEMINI_MODELS, *OTHER_MODELS], False),
        # Chat has no sealed parts of its own; what is refused after all goes reduced.
        (Api.CHAT, [*CLAUDE_MODELS, *GEMINI_MODELS, *OTHER_MODELS], True),
    ],
)
def test_auto(api: Api, models: list[str], *, goes: bool) -> None:
    assert {model: travels("auto", api, model) for model in models} == dict.fromkeys(models, goes)


@pytest.mark.parametrize("api", [Api.MESSAGES, Api.GENERATE_CONTENT, Api.RESPONSES, Api.CHAT])
@pytest.mark.parametrize("model", [CLAUDE_MODELS[0], GEMINI_MODELS[0], OTHER_MODELS[0]])
@pytest.mark.parametrize(("policy", "goes"), [("keep", True), ("reduce", False)])
def test_a_policy_of_its_own_asks_nothing_else(
    policy: HistoryPolicy, api: Api, model: str, *, goes: bool
) -> None:
    assert travels(policy, api, model) is goes


@pytest.mark.parametrize(
    ("before", "is_read"), [("a: " * 20, True), ("a: " * 100, False), ("a" * 9000, False)]
)
def test_words_are_looked_for_at_the_beginnings_of_a_message(before: str, is_read: bool) -> None:
    """A message is searched with some 90 patterns, from each of its beginnings."""
    words = f"{before}: messages.1.content.0: Invalid `signature` in `thinking` block"
    body = dumped({"error": {"type": "invalid_request_error", "message": words}})
    assert (detect_history_rejection(400, body) is not None) is is_read
    assert bool(remedies(400, body)) is is_read
