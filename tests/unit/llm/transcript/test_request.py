import json
import re
from typing import Any

import pytest

from litellm_hybrid.llm import transcript
from litellm_hybrid.llm.transcript import LONGEST, show_request
from support.conversations import (
    CHAT_PATH,
    GEMINI_PATH,
    GEMINI_REQUEST,
    MESSAGES_PATH,
    PNG,
    REQUESTS,
    RESPONSES_PATH,
    SEAL,
)

COUNT_PATH = "/v1beta/models/gemini-2.5-pro:countTokens"


def show(path: str, body: object) -> str:
    shown = show_request(path, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert shown is not None
    return shown


def said(path: str, body: object) -> list[str]:
    """What is shown, without blank lines, the rules' dashes and the messages' numbers."""
    lines = (re.sub(r"^── (\d+\. )?", "", line).strip("─ ") for line in show(path, body).splitlines())
    return [line for line in lines if line]


FIRST_WORDS = [
    "tool",
    "[tool result] shell call_1",
    "F.....",
    ">   assert parse('') == []",
    "E   ValueError: empty",
    "1 failed, 5 passed in 0.12s",
    "assistant",
    "[thinking]",
    "The parser raises on an empty text.",
    "The test wants an empty list.",
    "[tool call] shell call_1",
    "command: pytest -q tests/test_parser.py",
    "timeout: 120000",
    "user",
    "Why does the test of the parser fail?",
    "Here is a screenshot.",
    "[image/png, 3.0 kB]",
    "system",
    "You are a coding agent. You help with software engineering tasks.",
    "# Tone",
    "Be concise. Answer in fewer than four lines.",
    "tools: 2",
    "shell: Runs a shell command and returns its output. Usage notes: - Quote paths with spaces.",
    "read: Reads a file.",
]


def test_a_whole_conversation() -> None:
    assert said(CHAT_PATH, REQUESTS[CHAT_PATH]) == [
        "OpenAI chat completions · gpt-5 · streamed · 4 messages",
        'stream_options {"include_usage": true} · temperature 0.2 · max_completion_tokens 32000',
        *FIRST_WORDS,
    ]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (
            RESPONSES_PATH,
            [
                "OpenAI Responses · gpt-5-codex · streamed · 4 messages",
                "tool",
                "[tool result] shell call_1",
                "[thinking] (sealed, 1.2 kB)",
                "[tool call] shell call_1",
                "timeout: 120000",
                "instructions",
                "apply_patch: Edits files.",
                "web_search",
            ],
        ),
        (
            MESSAGES_PATH,
            [
                "Anthropic Messages · claude-sonnet-4-5 · streamed · 4 messages",
                (
                    'max_tokens 32000 · thinking {"type": "enabled", "budget_tokens": 31999} · '
                    'metadata {"user_id": "user_1"}'
                ),
                "[tool result] Bash toolu_1 (an error)",
                "Go on.",
                "[thinking] (sealed, 1.2 kB)",
                "[tool call] Bash toolu_1",
                "[image image/png, 3.0 kB]",
                "system",
                "web_search",
            ],
        ),
        (
            GEMINI_PATH,
            [
                "Gemini generateContent · gemini-2.5-pro · streamed · 4 messages",
                'temperature 0 · topP 1 · thinkingConfig {"includeThoughts": true}',
                "[tool result] run_shell_command shell-1",
                "model",
                "[thinking]",
                "[tool call] run_shell_command shell-1",
                "[image/png, 3.0 kB]",
                "system",
                "run_shell_command: Runs a shell command and returns its output. Usage notes: - Quote paths with spaces.",
                "googleSearch",
            ],
        ),
    ],
)
def test_the_other_apis(path: str, shown: list[str]) -> None:
    lines = said(path, REQUESTS[path])
    places = [lines.index(line) for line in shown]
    assert places == sorted(places)


@pytest.mark.parametrize("path", REQUESTS)
def test_no_schema_no_image_and_no_seal_is_spelled_out(path: str) -> None:
    shown = show(path, REQUESTS[path])
    assert [long for long in ("SSSSS", PNG[:50], SEAL[:50], "input_schema") if long in shown] == []


CHAT_PARTS: list[tuple[Any, list[str]]] = [
    ("text", ["text"]),
    (None, []),
    ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], ["a", "b"]),
    ([{"type": "image_url", "image_url": {"url": "https://x/a.png"}}], ["[image https://x/a.png]"]),
    ([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}], ["[audio wav, 3 B]"]),
    (
        [{"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}],
        ["[file a.pdf, 3 B]"],
    ),
    ([{"type": "file", "file": {"file_id": "file-1"}}], ["[file file-1]"]),
    ([{"type": "refusal", "refusal": "No."}], ["No."]),
    ([{"type": "something_new", "x": 1}], ["[something_new]"]),
    ([{"x": 1}], ["[a part without a type]"]),
    ([1, None, "bare"], ["[a part without a type]", "[a part without a type]", "bare"]),
]


@pytest.mark.parametrize(("content", "shown"), CHAT_PARTS)
def test_parts_of_chat(content: object, shown: list[str]) -> None:
    lines = said(CHAT_PATH, {"model": "m", "messages": [{"role": "user", "content": content}]})
    assert lines == ["OpenAI chat completions · m · not streamed · 1 message", "user", *shown]


CHAT_MESSAGES: list[tuple[dict[str, Any], list[str]]] = [
    ({"role": "developer", "content": "d"}, ["developer", "d"]),
    (
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        ["assistant", "[tool call] f"],
    ),
    (
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "a\nb"}}],
        },
        ["assistant", "[tool call] f c", "a", "b"],
    ),
    (
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"broken'}}],
        },
        ["assistant", "[tool call] f c", '{"broken'],
    ),
    ({"role": "function", "name": "f", "content": "r"}, ["function", "[tool result] f", "r"]),
    (
        {"role": "assistant", "content": "a", "thinking_blocks": [{"thinking": "t", "signature": "s" * 9}]},
        ["assistant", "[thinking] (sealed, 9 B)", "a"],
    ),
    ({"role": "assistant", "content": "", "refusal": "No."}, ["assistant", "No."]),
    ({"content": "a"}, ["no role", "a"]),
]


@pytest.mark.parametrize(("message", "shown"), CHAT_MESSAGES)
def test_messages_of_chat(message: dict[str, Any], shown: list[str]) -> None:
    assert said(CHAT_PATH, {"model": "m", "messages": [message]})[1:] == shown


RESPONSES_ITEMS: list[tuple[dict[str, Any], list[str]]] = [
    ({"role": "user", "content": "short form"}, ["user", "short form"]),
    (
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "r"}]},
        ["tool", "[tool result] c", "r"],
    ),
    (
        {
            "type": "computer_call_output",
            "call_id": "c",
            "output": {"type": "x", "image_url": f"data:image/png;base64,{PNG}"},
        },
        ["tool", "[tool result] c", '{"type": "x", "image_url": "[image/png, 3.0 kB]"}'],
    ),
    (
        {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}},
        ["assistant", "[tool call] local_shell c", "type: exec", 'command: ["ls"]'],
    ),
    (
        {"type": "image_generation_call", "id": "ig_1", "result": PNG},
        ["assistant", "[tool call] image_generation ig_1", "[image, 3.0 kB]"],
    ),
    (
        {"type": "mcp_call", "id": "m", "name": "f", "arguments": "{}", "output": "r"},
        ["assistant", "[tool call] f m", "[tool result] f m", "r"],
    ),
    (
        {"type": "reasoning", "summary": [], "encrypted_content": "s" * 1500},
        ["assistant", "[thinking] (sealed, 1.5 kB)"],
    ),
    ({"type": "item_reference", "id": "rs_1"}, ["assistant", "[item_reference rs_1]"]),
    ({"type": "compaction", "encrypted_content": "s" * 2000}, ["assistant", "[compaction, sealed, 2.0 kB]"]),
]


@pytest.mark.parametrize(("item", "shown"), RESPONSES_ITEMS)
def test_items_of_responses(item: dict[str, Any], shown: list[str]) -> None:
    assert said(RESPONSES_PATH, {"model": "m", "input": [item]})[1:] == shown


MESSAGES_BLOCKS: list[tuple[dict[str, Any], list[str]]] = [
    ({"type": "text", "text": "a"}, ["a"]),
    ({"type": "image", "source": {"type": "url", "url": "https://x/a.png"}}, ["[image https://x/a.png]"]),
    (
        {
            "type": "document",
            "title": "A",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 4000},
        },
        ["[document A application/pdf, 3.0 kB]"],
    ),
    ({"type": "document", "source": {"type": "text", "data": "words"}}, ["[document]", "words"]),
    (
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [{"type": "text", "text": "r"}, {"type": "image", "source": {"data": "AAAA"}}],
        },
        ["[tool result] t", "r", "[image, 3 B]"],
    ),
    (
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        ["[tool call] web_search s", "query: q"],
    ),
    (
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": [{"type": "web_search_result", "title": "T", "encrypted_content": "x" * 10}],
        },
        ["[tool result] s", "[web_search_result T, sealed, 10 B]"],
    ),
    (
        {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {"stdout": "o"}},
        ["[tool result] s", '{"stdout": "o"}'],
    ),
    ({"type": "something_new"}, ["[something_new]"]),
    ({}, ["[a block without a type]"]),
]


@pytest.mark.parametrize(("block", "shown"), MESSAGES_BLOCKS)
def test_blocks_of_messages(block: dict[str, Any], shown: list[str]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [block]}]}
    assert said(MESSAGES_PATH, body)[1:] == ["user", *shown]


GEMINI_PARTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"text": "a", "thoughtSignature": "s" * 10}, ["[thinking] (sealed, 10 B)", "a"]),
    ({"inline_data": {"mime_type": "image/png", "data": "AAAA"}}, ["[image/png, 3 B]"]),
    ({"fileData": {"fileUri": "gs://a/b"}}, ["[file gs://a/b]"]),
    ({"function_call": {"name": "f", "args": {"a": 1}}}, ["[tool call] f", "a: 1"]),
    (
        {"functionResponse": {"name": "f", "response": {"a": 1, "b": [2]}}},
        ["[tool result] f", "a: 1", "b: [2]"],
    ),
    ({"executableCode": {"language": "PYTHON", "code": "1+1"}}, ["[tool call] code", "1+1"]),
    (
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        ["[tool result] code (OUTCOME_OK)", "2"],
    ),
    ({"somethingNew": 1}, ['["somethingNew"]'.replace("[", "[[", 1) + "]"]),
    ({"text": ""}, []),
]


@pytest.mark.parametrize(("part", "shown"), GEMINI_PARTS)
def test_parts_of_gemini(part: dict[str, Any], shown: list[str]) -> None:
    assert said(COUNT_PATH, {"contents": [{"parts": [part]}]})[1:] == ["user", *shown]


@pytest.mark.parametrize(
    ("path", "body", "head"),
    [
        (
            "/v1/completions",
            {"model": "m", "prompt": "p"},
            "OpenAI completions · m · not streamed · 1 message",
        ),
        (
            "/openai/deployments/gpt-5/chat/completions",
            {"messages": []},
            "OpenAI chat completions · gpt-5 · not streamed · 0 messages",
        ),
        (
            "/api/provider/anthropic/v1/messages",
            {"model": "m", "messages": []},
            "Anthropic Messages · m · not streamed · 0 messages",
        ),
        (
            "/v1/messages/count_tokens",
            {"messages": []},
            "Anthropic Messages · no model · not streamed · 0 messages",
        ),
        (
            "/backend-api/codex/responses",
            {"model": "m", "input": "hi"},
            "OpenAI Responses · m · not streamed · 1 message",
        ),
        (
            "/v1beta/models/a%2Fb%3AgenerateContent",
            {"contents": []},
            "Gemini generateContent · a/b · not streamed · 0 messages",
        ),
        (
            COUNT_PATH,
            {"generateContentRequest": GEMINI_REQUEST},
            "Gemini generateContent · gemini-2.5-pro · not streamed · 4 messages",
        ),
        (
            "/v1internal:streamGenerateContent?alt=sse",
            {"model": "m", "request": GEMINI_REQUEST},
            "Gemini generateContent · m · streamed · 4 messages",
        ),
    ],
)
def test_where_model_and_stream_are(path: str, body: object, head: str) -> None:
    assert said(path, body)[0] == head


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models", {"messages": []}),
        ("/v1/embeddings", {"input": "x"}),
        ("/v0/management/config", {"messages": []}),
        (CHAT_PATH, {"model": "m"}),
        (CHAT_PATH, {"input": "x"}),
        (CHAT_PATH, {"messages": "x"}),
        (CHAT_PATH, [{"messages": []}]),
        (CHAT_PATH, b""),
        (CHAT_PATH, b'{"messages": ['),
        (CHAT_PATH, b"\x1f\x8b\x08"),
        (CHAT_PATH, b'{"messages":' + b"[" * 100_000),
        (RESPONSES_PATH, {"messages": []}),
        (MESSAGES_PATH, {"contents": []}),
        (GEMINI_PATH, {"messages": []}),
    ],
)
def test_what_is_no_such_request(path: str, body: object) -> None:
    assert show_request(path, body if isinstance(body, bytes) else json.dumps(body).encode()) is None


def test_long_texts_are_cut_in_the_middle() -> None:
    long = "begin" + "x" * 50_000 + "end"
    messages = [{"role": "user", "content": long}, {"role": "user", "content": "x" * LONGEST}]
    shown = show(CHAT_PATH, {"messages": messages, "metadata": {"a": "y" * 5_000}})

    assert "begin" in shown
    assert "end\n" in shown
    assert f"\n[… {len(long) - LONGEST:,} characters left out …]\n" in shown
    assert "x" * LONGEST in shown
    assert "… (5,009 characters)" in shown
    assert len(shown) < 2 * LONGEST + 21_000


def test_what_is_no_character_is_replaced() -> None:
    """JavaScript clients cut emoji in half; some send bytes that are no UTF-8, or a bare line break."""
    body = b'{"messages": [{"role": "user", "content": "half \\ud83d, \xff, a\nb"}]}'
    assert said(CHAT_PATH, body)[-2:] == ["half \ufffd, \ufffd, a", "b"]
    show(CHAT_PATH, body).encode()


def test_older_results_are_shortened_and_say_their_size() -> None:
    """What the model has answered already; the results that it has not are whole."""
    results = [
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": f"t{n}", "content": f"{n}" * 3_000}],
        }
        for n in (1, 2, 3)
    ]
    called = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]}
    lines = said(MESSAGES_PATH, {"model": "m", "messages": [called, results[0], called, *results[1:]]})

    assert "1" * 240 + "…" in lines
    assert "[tool result] Bash t1 (3.0 kB)" in lines
    assert {"2" * 3_000, "3" * 3_000} < set(lines)
    assert lines.index("3" * 3_000) < lines.index("2" * 3_000) < lines.index("1" * 240 + "…")


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("fits", ["fits"]),
        ("folded at a blank", ["folded at a", "blank"]),
        ("    as far in as it begins", ["    as far", "    in as it", "    begins"]),
        ("longwordwithoutblanks", ["longwordwith", "outblanks"]),
        ("漢字は二倍の幅です", ["漢字は二倍の", "幅です"]),
        ("", [""]),
    ],
)
def test_lines_are_folded(text: str, folded: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "WIDTH", 12)
    assert transcript.readable(text.encode()).split("\n") == folded


def test_a_conversation_fits_into_the_pane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "WIDTH", 76)
    for path, body in REQUESTS.items():
        assert max(map(len, show(path, body | {"metadata": {"a": "y" * 5_000}}).splitlines())) <= 76
