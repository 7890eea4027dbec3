"""What a piece of a response carries: one table for events, one for whole responses."""

from typing import Any

import pytest

from litellm_hybrid.quota.content import Carries, failed, read

CONTENT, END, EMPTY, OPENING, OTHER = (
    Carries.CONTENT,
    Carries.END,
    Carries.EMPTY,
    Carries.OPENING,
    Carries.OTHER,
)


def delta(**fields: object) -> dict[str, Any]:
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": fields, "finish_reason": None}],
    }


def stop(reason: str, **more: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **more}


def gemini(*parts: object, reason: str = "", **more: object) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    return {"candidates": [candidate | ({"finishReason": reason} if reason else {})], **more}


def event(kind: str, **fields: object) -> dict[str, Any]:
    return {"type": kind, **fields}


def block(**fields: object) -> dict[str, Any]:
    return event("content_block_start", index=0, content_block=fields)


def block_delta(**fields: object) -> dict[str, Any]:
    return event("content_block_delta", index=0, delta=fields)


def item(**fields: object) -> dict[str, Any]:
    return event("response.output_item.added", output_index=0, item=fields)


def completed(kind: str = "response.completed", **fields: object) -> dict[str, Any]:
    return event(kind, response={"object": "response", "status": "completed", "created_at": 1, **fields})


EVENTS: list[tuple[dict[str, Any], Carries]] = [
    # chat completions
    (delta(role="assistant"), OPENING),
    (delta(role="assistant", content=""), OPENING),
    (delta(role=None, content=None, reasoning_content=None, tool_calls=None), OPENING),
    (delta(content="x"), CONTENT),
    (delta(reasoning_content="x"), CONTENT),
    (delta(reasoning="x"), CONTENT),
    (delta(refusal="x"), CONTENT),
    (delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]), CONTENT),
    (delta(images=[{"image_url": {"url": "data:x"}}]), CONTENT),
    (delta(audio={"data": "eA=="}), CONTENT),
    ({"choices": []}, OPENING),
    ({"choices": [], "prompt_filter_results": []}, OPENING),
    ({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 0}}, END),
    ({"choices": [{"text": "x"}]}, CONTENT),
    (stop("stop"), END),
    (stop("content_filter"), END),
    (stop("length"), END),
    (stop("error"), OPENING),
    (stop("stop", usage={"prompt_tokens": 0}), END),
    # Anthropic
    (event("message_start", message={"content": [], "usage": {"input_tokens": 9}}), OPENING),
    (event("message_start", message={"content": [{"type": "text", "text": "x"}]}), CONTENT),
    (event("ping"), OPENING),
    (block(type="text", text=""), OPENING),
    (block(type="thinking", thinking="", signature=""), OPENING),
    (block(type="tool_use", id="t", name="f", input={}), CONTENT),
    (block(type="redacted_thinking", data="x"), CONTENT),
    (block(type="text", text="x"), CONTENT),
    (block_delta(type="text_delta", text=""), OPENING),
    (block_delta(type="signature_delta", signature="x"), OPENING),
    (block_delta(type="text_delta", text="x"), CONTENT),
    (block_delta(type="thinking_delta", thinking="x"), CONTENT),
    (block_delta(type="input_json_delta", partial_json="{"), CONTENT),
    (event("content_block_stop", index=0), OPENING),
    (event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 0}), OPENING),
    (event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1}), END),
    (event("message_delta", delta={"stop_reason": "refusal"}, usage={"output_tokens": 0}), END),
    (event("message_delta", delta={"stop_reason": "max_tokens"}), END),
    (event("message_stop"), EMPTY),
    # Responses
    (event("response.created", response={"instructions": "x" * 99, "tools": [{}]}), OPENING),
    (event("response.in_progress", response={"output": []}), OPENING),
    (event("response.queued"), OPENING),
    (event("response.metadata", metadata={"text": "x"}), OPENING),
    (event("responsesapi.websocket_timing"), OPENING),
    (event("codex.rate_limits", rate_limits={"limit_reached": True}), OPENING),
    (event("codex.anything.new", x={"y": "z"}), OPENING),
    (event("keepalive", sequence_number=2), OPENING),
    (item(type="message", content=[], role="assistant"), OPENING),
    (item(type="reasoning", summary=[], encrypted_content="gAAA"), OPENING),
    (item(type="function_call", name="f", arguments=""), CONTENT),
    (item(type="message", content=[{"type": "output_text", "text": "x"}]), CONTENT),
    (item(type="compaction", encrypted_content="x"), CONTENT),
    (
        event("response.content_part.added", part={"type": "output_text", "text": "", "annotations": []}),
        OPENING,
    ),
    (event("response.reasoning_summary_part.added", part={"type": "summary_text", "text": ""}), OPENING),
    (event("response.output_text.delta", delta=""), OPENING),
    (event("response.output_text.delta", delta="x"), CONTENT),
    (event("response.reasoning_summary_text.delta", delta="x"), CONTENT),
    (event("response.web_search_call.in_progress"), CONTENT),
    (completed(output=[]), EMPTY),
    (completed(), EMPTY),
    (completed(usage={"input_tokens": 9, "output_tokens": 0}), END),
    (completed(output=[{"type": "message", "content": [{"type": "output_text", "text": "x"}]}]), CONTENT),
    (completed("response.incomplete", incomplete_details={"reason": "content_filter"}), END),
    (completed("response.cancelled"), END),
    # Gemini
    (gemini(), OPENING),
    (gemini(reason="STOP"), OPENING),
    (gemini({"text": ""}), OPENING),
    (gemini({"text": "", "thoughtSignature": "x"}), OPENING),
    (gemini({"text": "x"}), CONTENT),
    (gemini({"text": "x", "thought": True}), CONTENT),
    (gemini({"functionCall": {"name": "f", "args": {}}}), CONTENT),
    (gemini({"inlineData": {"data": "eA=="}}), CONTENT),
    (gemini(reason="SAFETY"), END),
    (gemini(reason="MALFORMED_FUNCTION_CALL"), END),
    (gemini(usageMetadata={"promptTokenCount": 9}), OPENING),
    (gemini(reason="STOP", usageMetadata={"promptTokenCount": 9}), END),
    (gemini(reason="STOP", usageMetadata={"trafficType": "X"}), OPENING),
    ({"promptFeedback": {"blockReason": "SAFETY"}}, END),
    ({"usageMetadata": {"totalTokenCount": 9}}, END),
    # others
    (event("image_generation.partial_image", b64_json="eA=="), CONTENT),
    (event("transcript.text.delta", delta="x"), CONTENT),
    (event("something.new"), OTHER),
    ({"foo": 1}, OTHER),
]

WHOLE: list[tuple[object, Carries]] = [
    ({"choices": [{"message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]}, CONTENT),
    ({"choices": [{"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]}, EMPTY),
    ({"choices": [{"message": {"content": ""}, "finish_reason": "stop"}], "usage": {"total_tokens": 9}}, END),
    ({"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}, END),
    ({"choices": [{"message": {}, "finish_reason": "stop", "native_finish_reason": "malformed"}]}, END),
    ({"choices": [{"message": {"content": None, "tool_calls": [{"id": "c"}]}}]}, CONTENT),
    ({"choices": []}, EMPTY),
    ({"choices": None}, EMPTY),
    ({"type": "message", "content": [], "stop_reason": "end_turn", "usage": {"input_tokens": 0}}, EMPTY),
    ({"type": "message", "content": [], "stop_reason": "end_turn", "usage": {"input_tokens": 9}}, END),
    ({"type": "message", "content": [], "stop_reason": "refusal"}, END),
    ({"type": "message", "content": [{"type": "text", "text": "x"}]}, CONTENT),
    ({"type": "message", "content": [{"type": "tool_use", "name": "f"}]}, CONTENT),
    ({"object": "response", "status": "completed"}, EMPTY),
    ({"object": "response", "status": "completed", "created_at": 1, "output": []}, EMPTY),
    ({"object": "response", "status": "completed", "output": []}, OTHER),
    ({"object": "response", "status": "completed", "usage": {"input_tokens": 9}}, END),
    ({"object": "response", "status": "incomplete", "incomplete_details": {"reason": "x"}}, END),
    ({"object": "response", "status": "queued", "output": []}, END),
    ({"object": "response.compaction", "output": [{"type": "compaction"}]}, CONTENT),
    ({"output": [{"type": "message", "content": "x"}]}, CONTENT),
    (gemini(), EMPTY),
    (gemini(reason="STOP"), EMPTY),
    (gemini(reason="MAX_TOKENS"), END),
    (gemini(reason="STOP", usageMetadata={"candidatesTokenCount": 2}), END),
    (gemini({"text": "x"}), CONTENT),
    ({"promptFeedback": {"blockReason": "OTHER"}}, END),
    ([gemini(), gemini({"text": "x"})], CONTENT),
    ([], OPENING),
    ({"data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 0}}, OTHER),
    ({"input_tokens": 3}, OTHER),
    ("text", OTHER),
    (None, OTHER),
]


@pytest.mark.parametrize(("piece", "carries"), EVENTS)
def test_what_an_event_carries(piece: dict[str, Any], carries: Carries) -> None:
    assert read(piece) is carries


@pytest.mark.parametrize(("piece", "carries"), WHOLE)
def test_what_a_whole_response_carries(piece: object, carries: Carries) -> None:
    assert read(piece, whole=True) is carries


def test_the_name_of_an_event_stands_for_a_missing_type() -> None:
    assert read({}, "ping") is OPENING
    assert read({"type": "content_block_delta", "delta": {"text": "x"}}, "ping") is CONTENT


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        ({"status": "failed"}, True),
        ({"type": "response.failed"}, True),
        ({"choices": [{"finish_reason": "error"}]}, True),
        ([{"status": "failed"}], True),
        ({"status": "completed"}, False),
        ({"choices": [{"finish_reason": "stop"}]}, False),
        ([], False),
        ("failed", False),
    ],
)
def test_what_says_of_itself_that_it_failed(piece: object, expected: bool) -> None:
    assert failed(piece) is expected


@pytest.mark.parametrize("depth", [60, 5_000])
@pytest.mark.parametrize("shape", ["calls", "objects", "list"])
def test_what_is_nested_deep_is_read_within_bounds(shape: str, depth: int) -> None:
    """A server chooses how deep: msgspec reads deeper than Python calls."""
    value: Any = ""
    for _ in range(depth):
        value = {"a": value} if shape == "objects" else [value]
    piece = value if shape == "list" else {"choices": [{"message": {"tool_calls": value}}]}
    assert read(piece, whole=True) in (Carries.CONTENT, Carries.OTHER)
