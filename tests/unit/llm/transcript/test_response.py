import json
from typing import Any

import pytest

from corpus.answers import OWN, SHARED, Answer
from litellm_hybrid.llm.transcript import show_response
from support import dialects
from support.conversations import (
    CHAT_PATH,
    GEMINI_CHUNKS,
    GEMINI_PATH,
    MESSAGES_PATH,
    PNG,
    RESPONSES_PATH,
    SAID,
    STREAMS,
    typed,
)
from support.dialects import data

SSE = "text/event-stream; charset=utf-8"
JSON = "application/json"
COMPLETIONS_PATH = "/v1/completions"
ENDS = {
    CHAT_PATH: "[DONE]",
    RESPONSES_PATH: "response.completed",
    MESSAGES_PATH: "message_stop",
    GEMINI_PATH: "a finishReason",
}
PATHS = {
    "openai-chat": CHAT_PATH,
    "openai-responses": RESPONSES_PATH,
    "claude": MESSAGES_PATH,
    "gemini": GEMINI_PATH,
}
NOTHING = ["finish: not stated", "usage: not stated"]


def said(path: str, body: object, content_type: str = JSON) -> list[str]:
    """What is shown, without blank lines and the rules' dashes."""
    shown = show_response(path, content_type, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert shown is not None
    return [line.strip("─ ") for line in shown.splitlines() if line.strip("─ ")]


THOUGHT = ["The parser raises on an empty text.", "The test wants an empty list."]
EDIT = [
    "file_path: parser.py",
    "old_string:",
    "if not text:",
    "raise ValueError('empty')",
    "new_string:",
    "if not text:",
    "return []",
]
WHOLE = {
    CHAT_PATH: [
        "OpenAI chat completions · gpt-5 · chatcmpl-9 · stream of 11 events",
        "finish: tool_calls",
        (
            "usage: prompt_tokens 12,345 · completion_tokens 67 · total_tokens 12,412 · "
            "prompt_tokens_details.cached_tokens 12,000"
        ),
        "assistant",
        "[thinking]",
        *THOUGHT,
        SAID,
        "[tool call] edit call_2",
        *EDIT,
    ],
    RESPONSES_PATH: [
        "OpenAI Responses · gpt-5-codex · resp_9 · stream of 15 events",
        "finish: completed",
        (
            "usage: input_tokens 12,345 · input_tokens_details.cached_tokens 12,000 · "
            "output_tokens 67 · total_tokens 12,412"
        ),
        "assistant",
        "[thinking] (sealed, 1.2 kB)",
        *THOUGHT,
        SAID,
        "[tool call] apply_patch call_2",
        "*** Begin Patch",
        "*** Update File: parser.py",
        "-        raise ValueError('empty')",
        "+        return []",
        "*** End Patch",
    ],
    MESSAGES_PATH: [
        "Anthropic Messages · claude-sonnet-4-5-20250929 · msg_9 · stream of 18 events",
        "finish: tool_use",
        (
            "usage: input_tokens 345 · cache_creation_input_tokens 0 · "
            "cache_read_input_tokens 12,000 · output_tokens 67"
        ),
        "assistant",
        "[thinking] (sealed, 1.2 kB)",
        *THOUGHT,
        SAID,
        "[tool call] Edit toolu_2",
        *EDIT,
    ],
    GEMINI_PATH: [
        "Gemini generateContent · gemini-2.5-pro · r9 · stream of 6 events",
        "finish: STOP",
        ("usage: promptTokenCount 12,345 · candidatesTokenCount 67 · totalTokenCount 12,412"),
        "model",
        "[thinking]",
        *THOUGHT,
        SAID,
        "[thinking] (sealed, 1.2 kB)",
        "[tool call] replace",
        *EDIT,
    ],
}


@pytest.mark.parametrize("path", STREAMS)
def test_whole_streams(path: str) -> None:
    assert said(path, STREAMS[path], SSE) == WHOLE[path]


@pytest.mark.parametrize("path", STREAMS)
def test_streams_cut_anywhere(path: str) -> None:
    """The text of every event that has come in whole is there, and that the stream was cut."""
    stream = STREAMS[path]
    begins = [stream.index(json.dumps(piece)[1:-1].encode()) for piece in (SAID[:30], SAID[30:])]
    comes = [stream.index(b"\n\n", begin) for begin in begins]
    last = stream.index(b"finishReason") if path == GEMINI_PATH else stream.rindex(b"data:")
    for at in range(5, last, 7):
        shown = show_response(path, SSE, stream[:at])
        assert shown is not None
        assert f"without {ENDS[path]}" in shown
        for begin, come, piece in zip(begins, comes, (SAID[:30], SAID), strict=True):
            assert piece in shown or at <= come
            assert piece not in shown or at > begin


@pytest.mark.parametrize("path", STREAMS)
def test_streams_cut_in_the_middle_of_a_character(path: str) -> None:
    stream = STREAMS[path].replace(json.dumps("✓")[1:-1].encode(), "✓".encode())
    at = stream.index("✓".encode()) + 1
    assert f"CUT SHORT: the stream ends in the middle of an event, without {ENDS[path]}" in said(
        path, stream[:at], SSE
    )


@pytest.mark.parametrize("path", STREAMS)
def test_streams_cut_between_two_events(path: str) -> None:
    at = STREAMS[path].rindex(b"\n\n", 0, -2) + 2
    if path == CHAT_PATH:
        at = STREAMS[path].index(b"data: [DONE]")
    assert f"CUT SHORT: the stream ends without {ENDS[path]}" in said(path, STREAMS[path][:at], SSE)


def test_a_stream_cut_in_the_name_of_an_event() -> None:
    stream = STREAMS[MESSAGES_PATH]
    at = stream.index(b"event: message_stop") + len("event: mess")
    cut = "CUT SHORT: the stream ends in the middle of an event, without message_stop"
    assert cut in said(MESSAGES_PATH, stream[:at], SSE)


def test_arguments_cut_short_are_shown_as_far_as_they_came() -> None:
    stream = STREAMS[CHAT_PATH]
    shown = said(CHAT_PATH, stream[: stream.index(b"new_string")], SSE)
    assert shown[-2:] == ["[tool call] edit call_2", '{"file_path": "parser.py", "old_string":']
    items = typed(
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "function_call", "name": "f", "call_id": "c", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a'},
    )
    assert said(RESPONSES_PATH, items, SSE)[-2:] == ["[tool call] f c", '{"a']


def test_the_json_array_of_gemini() -> None:
    path = GEMINI_PATH.partition("?")[0]
    head = "Gemini generateContent · gemini-2.5-pro · r9 · list of 6 chunks"
    assert said(path, GEMINI_CHUNKS) == [head, *WHOLE[GEMINI_PATH][1:]]
    cut = json.dumps(GEMINI_CHUNKS).encode()
    shown = said(path, cut[: cut.index(b"functionCall")])
    assert shown[0].endswith("list of 4 chunks")
    assert "CUT SHORT: the list breaks off without a finishReason" in shown
    assert shown[-1] == SAID
    assert "CUT SHORT: the list ends without a finishReason" in said(path, GEMINI_CHUNKS[:2])


def test_code_assist_wraps_it() -> None:
    stream = b"".join(data({"response": chunk, "traceId": "t"}) for chunk in GEMINI_CHUNKS)
    path = "/v1internal:streamGenerateContent?alt=sse"
    assert said(path, stream, SSE) == WHOLE[GEMINI_PATH]
    assert said(path, {"response": GEMINI_CHUNKS[3]})[-1] == SAID[30:]


@pytest.mark.parametrize(
    ("path", "dialect", "usage"),
    [
        (CHAT_PATH, dialects.CHAT, "prompt_tokens 7 · completion_tokens 7 · total_tokens 14"),
        (RESPONSES_PATH, dialects.RESPONSES, "input_tokens 7 · output_tokens 7 · total_tokens 14"),
        (MESSAGES_PATH, dialects.MESSAGES, "input_tokens 7 · output_tokens 7"),
        (GEMINI_PATH, dialects.GEMINI, "promptTokenCount 7 · candidatesTokenCount 7 · totalTokenCount 14"),
    ],
)
def test_plain_and_streamed_answers_read_alike(path: str, dialect: dialects.Dialect, usage: str) -> None:
    plain = said(path, dialect.plain("m", "Hello there"))
    stream = dialect.streamed("m", ["Hel", "lo ", "there"])
    streamed = said(path, b"".join([stream.opening, *stream.pieces, stream.closing]), SSE)

    assert plain[0].endswith(" · not streamed")
    assert plain[1:] == streamed[1:]
    assert plain[2] == f"usage: {usage}"
    assert plain[-1] == "Hello there"


PLAIN: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        COMPLETIONS_PATH,
        {"model": "m", "choices": [{"index": 0, "text": "a", "finish_reason": "length"}]},
        ["OpenAI completions · m · not streamed", "finish: length", "usage: not stated", "assistant", "a"],
    ),
    (
        CHAT_PATH,
        {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"} for text in "ab"]},
        ["OpenAI chat completions · not streamed", "finish: stop, stop", "usage: not stated", "assistant, choice 0", "a", "assistant, choice 1", "b"],
    ),
    (
        CHAT_PATH,
        {"choices": [{"message": {"content": None, "images": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]}}]},
        ["OpenAI chat completions · not streamed", *NOTHING, "assistant", "[image/png, 3.0 kB]"],
    ),
    (
        CHAT_PATH,
        {"choices": [], "error": {"message": "Slow down", "type": "rate_limit_error", "code": 429}},
        ["OpenAI chat completions · not streamed", *NOTHING, "ERROR: rate_limit_error, 429: Slow down", "(no output)"],
    ),
    (
        RESPONSES_PATH,
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []},
        ["OpenAI Responses · not streamed", "finish: incomplete (max_output_tokens)", "usage: not stated", "(no output)"],
    ),
    (
        MESSAGES_PATH,
        {"type": "message", "content": [], "stop_reason": "stop_sequence", "stop_sequence": "\n\nHuman:"},
        ["Anthropic Messages · not streamed", r'finish: stop_sequence ("\n\nHuman:")', "usage: not stated", "(no output)"],
    ),
    (
        GEMINI_PATH,
        {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "Malformed function call: x"}]},
        ["Gemini generateContent · not streamed", "finish: MALFORMED_FUNCTION_CALL", "usage: not stated", "ERROR: Malformed function call: x", "(no output)"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "answer", "shown"), PLAIN)
def test_plain_answers(path: str, answer: dict[str, Any], shown: list[str]) -> None:
    assert said(path, answer) == shown


STREAMED: list[tuple[str, bytes, list[str]]] = [
    (COMPLETIONS_PATH, data({"choices": [{"text": "a"}]}) + data({"choices": [{"text": "b", "finish_reason": "stop"}]}) + b"data: [DONE]\n\n", ["assistant", "ab"]),
    (CHAT_PATH, b": keep-alive\n\n", ["CUT SHORT: the stream ends without [DONE]", "(no output)"]),
    (CHAT_PATH, data({"choices": [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]}), ["assistant, choice 0", "a", "assistant, choice 1", "b"]),
    (CHAT_PATH, data({"choices": [{"delta": {"function_call": {"name": "f", "arguments": "{}"}}}]}), ["assistant", "[tool call] f"]),
    (RESPONSES_PATH, data({"type": "response.output_text.delta", "delta": "x"}), ["assistant", "x"]),
    (RESPONSES_PATH, data({"delta": "x"}, "response.output_text.delta"), ["assistant", "x"]),
    (
        RESPONSES_PATH,
        typed(
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "2"},
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "1"},
        ),
        ["[thinking]", "1", "2"],
    ),
    (MESSAGES_PATH, typed({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}), ["assistant", "x"]),
    (MESSAGES_PATH, b'event: content_block_delta\ndata: {"index": 0, "delta": {"type": "text_delta", "text": "x"}}', ["assistant", "x"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "stream", "end"), STREAMED)
def test_streams(path: str, stream: bytes, end: list[str]) -> None:
    assert said(path, stream, SSE)[-len(end) :] == end


def test_events_that_cannot_be_read_are_counted() -> None:
    stream = b"data: nonsense\n\n" + STREAMS[CHAT_PATH]
    assert said(CHAT_PATH, stream, SSE)[0].endswith("stream of 11 events and 1 that cannot be read")


HIDDEN = [
    answer
    for answer in (*SHARED, *OWN)
    # "no-answer" may be a whole stream that says nothing.
    if answer.protocol in PATHS
    and answer.kind not in {"none", "no-answer"}
    and answer.body.startswith(("data:", "event:", ":"))
]


@pytest.mark.parametrize("answer", HIDDEN, ids=str)
def test_failures_in_a_stream_are_shown_plainly(answer: Answer) -> None:
    shown = said(PATHS[answer.protocol], answer.body.encode(), answer.lower_headers["content-type"])
    (says,) = [line for line in shown if line.startswith(("ERROR: ", "CUT SHORT: "))]
    assert says.startswith("ERROR: " if "error" in answer.body else "CUT SHORT: ")


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [
        ("/v1/models", JSON, b'{"choices": []}'),
        ("/v1/messages/count_tokens", JSON, b'{"input_tokens": 7}'),
        ("/v1beta/models/m:countTokens", JSON, b'{"totalTokens": 7}'),
        (CHAT_PATH, JSON, b'{"error": {"message": "Slow down"}}'),
        (CHAT_PATH, JSON, b'{"choices": [{"mess'),
        (CHAT_PATH, JSON, b"[]"),
        (CHAT_PATH, JSON, b"[1, 2]"),
        (CHAT_PATH, JSON, b"null"),
        (CHAT_PATH, JSON, b""),
        (CHAT_PATH, JSON, b'{"choices":' + b"[" * 100_000),
        (CHAT_PATH, SSE, b""),
        (CHAT_PATH, SSE, b'{"error": {"message": "Slow down"}}'),
        (CHAT_PATH, SSE, b"data: nonsense\n\n"),
        (CHAT_PATH, SSE, b"<html></html>"),
        (CHAT_PATH, SSE, STREAMS[MESSAGES_PATH]),
        (MESSAGES_PATH, SSE, STREAMS[GEMINI_PATH]),
        (RESPONSES_PATH, SSE, b"event: tick\ndata: {}\n\n"),
        (CHAT_PATH, "text/html", b"<html></html>"),
    ],
)
def test_what_is_no_such_answer(path: str, content_type: str, body: bytes) -> None:
    assert show_response(path, content_type, body) is None
