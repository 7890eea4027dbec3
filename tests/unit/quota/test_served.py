"""What counts as LiteLLM's answer to a replay."""

import json
from typing import Any

import pytest

from litellm_hybrid.message import sse
from litellm_hybrid.quota.classifier import ANSWER, NO_ANSWER
from litellm_hybrid.quota.served import NO_COMPACTION, Asked, ReplayJudge, asked, judge, refused_by_head

JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream"}
HI = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
COMPACTION = {"type": "compaction", "encrypted_content": "x"}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/chat/completions", b"{}", Asked()),
        ("/prefix/v1/messages?beta=true", b"{}", Asked()),
        ("/v1/responses", b"{}", Asked()),
        ("/v1beta/models/m:streamGenerateContent?alt=sse", b"{}", Asked()),
        ("/v1beta/models/m:generateContent", b"{}", Asked()),
        ("/v1/responses/compact", b"{}", Asked(compaction=True)),
        (
            "/v1/responses",
            b'{"input":[{"type":"message"},{"type":"compaction_trigger"}]}',
            Asked(compaction=True),
        ),
        ("/v1/responses", b'{"input":"about compaction_trigger"}', Asked()),
        ("/v1/responses", b'{"input":[{"type":"message","content":"compaction_trigger"}]}', Asked()),
        ("/v1/responses", b"compaction_trigger", Asked()),
    ],
)
def test_what_a_request_wants(path: str, body: bytes, expected: Asked) -> None:
    assert asked(path, body, generates=True) == expected


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (200, "application/json", None),
        (200, "Application/JSON; charset=utf-8", None),
        (200, "application/problem+json", None),
        (200, "text/event-stream", None),
        (200, "text/html", "content type text/html"),
        (200, "", "content type missing"),
        (204, "application/json", "status 204"),
        (307, "text/html", "status 307"),
        (500, "application/json", "status 500"),
    ],
)
def test_what_the_head_rules_out(status: int, kind: str, reason: str | None) -> None:
    refused = refused_by_head(status, kind)
    assert (refused and refused.reason) == reason


@pytest.mark.parametrize(
    ("wanted", "body", "is_answer"),
    [
        (Asked(), HI, True),
        (Asked(), HI | {"error": None}, True),
        (Asked(), {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}, True),
        (Asked(), {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}, False),
        (Asked(), {"type": "message", "content": [], "stop_reason": "refusal"}, True),
        (Asked(), {"type": "message", "content": [], "stop_reason": "end_turn", "usage": {}}, False),
        (Asked(), {"error": {"message": "x"}}, False),
        (Asked(), {"error": "x"}, False),
        (Asked(), {"detail": "x"}, False),
        (Asked(), {}, False),
        (Asked(), [], False),
        (Asked(), "ok", False),
        (Asked(), {"status": "healthy"}, False),
        (Asked(generates=False), {"input_tokens": 3}, True),
        (Asked(generates=False), {"data": []}, True),
        (Asked(generates=False), {"error": {"message": "x"}}, False),
        (Asked(generates=False), "ok", False),
        (Asked(compaction=True), {"object": "response.compaction", "output": [COMPACTION]}, True),
        (Asked(compaction=True), {"output": [{"type": "compaction_summary"}]}, True),
        (Asked(compaction=True), {"output": [{"type": "message", "content": "x"}]}, False),
        (Asked(compaction=True), HI, False),
    ],
)
def test_whether_json_is_an_answer(wanted: Asked, body: object, is_answer: bool) -> None:
    assert (judge(wanted, 200, JSON, json.dumps(body).encode(), now=0.0) is ANSWER) is is_answer


@pytest.mark.parametrize("body", [b"", b"   ", b"not JSON", b'{"choices": [', b"<html>"])
def test_what_is_no_json_is_no_answer(body: bytes) -> None:
    for wanted in (Asked(), Asked(generates=False), Asked(compaction=True)):
        assert judge(wanted, 200, JSON, body, now=0.0) is not ANSWER


def events(*payloads: Any) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (str(each.get("type", "")).encode(), json.dumps(each).encode())
        for each in payloads
    )


CREATED = {"type": "response.created", "response": {"output": []}}
TEXT = {"type": "response.output_text.delta", "delta": "x"}
DONE = {"type": "response.completed", "response": {"object": "response", "usage": {"output_tokens": 1}}}
ITEM = {"type": "response.output_item.done", "item": COMPACTION}


@pytest.mark.parametrize(
    ("wanted", "stream", "expected"),
    [
        (Asked(), events(CREATED, TEXT), ANSWER),
        (Asked(), events(CREATED, DONE), ANSWER),
        (Asked(), events(CREATED), NO_ANSWER),
        (Asked(), b": ping\n\n: ping\n\n", NO_ANSWER),
        (Asked(), b"", NO_ANSWER),
        (Asked(), events({"type": "something.new"}), NO_ANSWER),
        (Asked(), b"data: [DONE]\n\n", NO_ANSWER),
        (Asked(compaction=True), events(CREATED, TEXT, ITEM, DONE), ANSWER),
        (Asked(compaction=True), events(CREATED, TEXT, DONE), NO_COMPACTION),
        (Asked(compaction=True), events(CREATED, TEXT), NO_COMPACTION),
        (
            Asked(compaction=True),
            events(CREATED, {"type": "response.completed", "response": {"output": [COMPACTION]}}),
            ANSWER,
        ),
    ],
)
def test_whether_a_stream_is_an_answer(wanted: Asked, stream: bytes, expected: object) -> None:
    assert judge(wanted, 200, SSE, stream, now=0.0) == expected


def test_an_error_in_a_stream_is_none() -> None:
    stream = b": ping\n\n" + events(
        CREATED, {"type": "error", "error": {"message": "No deployments available"}}
    )
    assert judge(Asked(), 200, SSE, stream, now=0.0).message == "No deployments available"


def test_a_compaction_is_waited_for_whatever_comes_before() -> None:
    reader = ReplayJudge(Asked(compaction=True), headers=SSE)
    assert reader.event(sse.Event("", json.dumps(TEXT)), now=0.0) is None
    assert reader.event(sse.Event("", json.dumps(ITEM)), now=0.0) is ANSWER
