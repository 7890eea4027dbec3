"""What LiteLLM is told with a replay, and what it does not get."""

import json
from typing import Any

import pytest

from litellm_hybrid.llm.replay.body import prepare
from litellm_hybrid.routing.paths import Api

CHAT, MESSAGES, RESPONSES, GEMINI = Api.CHAT, Api.MESSAGES, Api.RESPONSES, Api.GENERATE_CONTENT
TOLD = b',"drop_params":true}'


@pytest.mark.parametrize("api", [CHAT, MESSAGES, RESPONSES, GEMINI])
@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m"}',
        b'{ "model" : "m",\n "messages": [ {"content":"\\u00e9 } "} ],\n"temperature":1.0 }\n',
        b'{"model":"m","input":"\\ud83d"}',
    ],
)
def test_everything_else_keeps_its_bytes(body: bytes, api: Api) -> None:
    before = body.rstrip()[:-1].rstrip()
    assert prepare(body, api, drop_params=True) == before + TOLD
    assert prepare(body, api, drop_params=False) is body


def test_an_empty_object_stays_json() -> None:
    assert prepare(b"{ }", CHAT, drop_params=True) == b'{"drop_params":true}'


@pytest.mark.parametrize("body", [b'{"drop_params":false}', b"[1]", b"", b"not json", b'"text"', b"{"])
def test_what_is_left_alone(body: bytes) -> None:
    assert prepare(body, CHAT, drop_params=True) is body


@pytest.mark.parametrize(
    ("api", "request_"),
    [
        (CHAT, {"tool_choice": "required"}),
        (CHAT, {"tool_choice": "none"}),
        (CHAT, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        (CHAT, {"function_call": {"name": "f"}}),
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {}}}),
        (CHAT, {"response_format": {"type": "json_object"}}),
        (MESSAGES, {"tool_choice": {"type": "any"}}),
        (MESSAGES, {"tool_choice": {"type": "tool", "name": "f"}}),
        (MESSAGES, {"output_format": {"type": "json_schema", "schema": {}}}),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema"}, "effort": "high"}}),
        (RESPONSES, {"tool_choice": "required"}),
        (RESPONSES, {"tool_choice": {"type": "custom", "name": "apply_patch"}}),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "n"}}}),
        (GEMINI, {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}),
        (GEMINI, {"tool_config": {"function_calling_config": {"mode": "NONE"}}}),
        (GEMINI, {"generationConfig": {"responseMimeType": "application/json"}}),
        (GEMINI, {"generation_config": {"response_json_schema": {"type": "object"}}}),
    ],
)
def test_nothing_that_is_demanded_may_be_dropped_in_silence(api: Api, request_: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", **request_}).encode()
    assert prepare(body, api, drop_params=True) is body


@pytest.mark.parametrize(
    ("api", "request_"),
    [
        (CHAT, {"tool_choice": "auto", "response_format": {"type": "text"}}),
        (CHAT, {"tool_choice": None, "response_format": None, "reasoning_effort": "high"}),
        (MESSAGES, {"tool_choice": {"type": "auto"}, "output_config": {"effort": "high"}}),
        (RESPONSES, {"tool_choice": "auto", "text": {"verbosity": "low", "format": {"type": "text"}}}),
        (GEMINI, {"toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}}),
        (GEMINI, {"generationConfig": {"temperature": 1, "responseMimeType": "text/plain"}}),
    ],
)
def test_where_nothing_is_demanded_litellm_may_drop(api: Api, request_: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", **request_}).encode()
    assert prepare(body, api, drop_params=True) == body[:-1] + TOLD


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("tier", ["priority", "auto", None])
@pytest.mark.parametrize("name", ["service_tier", "serviceTier"])
def test_another_price_is_not_asked_for(name: str, tier: str | None, *, told: bool) -> None:
    body = json.dumps({"model": "m", name: tier, "input": "service_tier"}).encode()
    after = json.loads(prepare(body, RESPONSES, drop_params=told))
    assert after == {"model": "m", "input": "service_tier"} | ({"drop_params": True} if told else {})
