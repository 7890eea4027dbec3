"""The strict backends take what the providers take, and refuse what they refuse, in their words."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.agent_requests import AGENT_REQUESTS
from support.servers import in_thread
from support.strict_backends import DEPLOYMENTS, TEXT, StrictBackends

HELLO = [{"role": "user", "content": "Hello"}]
CHAT: dict[str, Any] = {"model": "m", "messages": HELLO}
MESSAGES: dict[str, Any] = {"model": "m", "messages": HELLO, "max_tokens": 16}
RESPONSES: dict[str, Any] = {"model": "m", "input": "Hello"}
GEMINI: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
CONVERSE: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
INVOKE: dict[str, Any] = {"messages": HELLO, "max_tokens": 16, "anthropic_version": "bedrock-2023-05-31"}
THINKS = {"thinking": {"type": "enabled", "budget_tokens": 8}}
CUSTOM = {"tools": [{"type": "custom", "custom": {"name": "patch"}}]}
LOOP = [
    *HELLO,
    {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "done"}]},
]
DOORS = {
    "openai-gpt-5": [("/v1/chat/completions", CHAT), ("/v1/responses", RESPONSES)],
    "claude-sonnet-4-5": [("/v1/messages", MESSAGES)],
    "gemini-2.5-pro": [("/models/m:generateContent", GEMINI), ("/models/m:streamGenerateContent", GEMINI)],
    "bedrock-converse": [("/model/m/converse", CONVERSE), ("/model/m/converse-stream", CONVERSE)],
    "bedrock-invoke": [("/model/m/invoke", INVOKE), ("/model/m/invoke-with-response-stream", INVOKE)],
}
REFUSALS = [
    ("openai-gpt-5", CHAT, {"max_tokens": 9}, "Unsupported parameter: 'max_tokens' is not supported"),
    ("openai-gpt-5", CHAT, {"nobody": 1}, "Unknown parameter: 'nobody'."),
    ("openai-gpt-5", CHAT, {"user": "u" * 65}, "a string with length 65 instead."),
    ("openai-gpt-4.1", RESPONSES, {"reasoning": {"effort": "low"}}, "'reasoning.effort' is not supported"),
    ("openai-gpt-4.1", RESPONSES, {"include": ["reasoning.encrypted_content"]}, "Encrypted content is not"),
    ("azure-gpt-4.1", CHAT, {"max_tokens": 40_000}, "This model supports at most 32768 completion tokens"),
    ("claude-sonnet-4-5", MESSAGES, {"nobody": 1}, "nobody: Extra inputs are not permitted"),
    ("claude-sonnet-4-5", MESSAGES, {"temperature": 1, "top_p": 1}, "`temperature` and `top_p` cannot both"),
    ("claude-sonnet-4-5", MESSAGES, {"output_config": {"effort": "low"}}, "support the effort parameter"),
    (
        "claude-sonnet-4-5",
        MESSAGES,
        {**THINKS, "messages": LOOP},
        "Expected `thinking` or `redacted_thinking`",
    ),
    (
        "claude-sonnet-4-5",
        MESSAGES,
        {"context_management": {"edits": []}},
        "context_management: Extra inputs",
    ),
    ("gemini-2.5-pro", GEMINI, {"generationConfig": {"nobody": 1}}, 'Unknown name "nobody" at'),
    ("compatible-vllm", CHAT, CUSTOM, "Input should be 'function'"),
    ("xai-grok-code", CHAT, CUSTOM, 'Only `type:"function"` tools are supported'),
    ("groq-gpt-oss", CHAT, {"nobody": 1}, "property 'nobody' is unsupported"),
    ("bedrock-converse", CONVERSE, {"nobody": 1}, "extraneous key [nobody] is not permitted"),
    (
        "bedrock-converse",
        CONVERSE,
        {"additionalModelRequestFields": {"nobody": 1}},
        "extraneous key [nobody]",
    ),
    ("bedrock-invoke", INVOKE, {"stream": True}, "extraneous key [stream]"),
]


@pytest.fixture(scope="module")
def backends() -> Iterator[StrictBackends]:
    with in_thread(StrictBackends()) as server:
        yield server


@pytest.mark.parametrize("name", DOORS)
def test_a_plain_request_is_answered(backends: StrictBackends, name: str) -> None:
    for path, body in DOORS[name]:
        got = httpx.post(f"{backends.url}/{name}/me{path}", json=body)
        assert got.status_code == 200, got.text
        if "invoke-with" not in path:  # there it is in base64
            assert TEXT.encode() in got.content


@pytest.mark.parametrize(("name", "body", "more", "words"), REFUSALS)
def test_a_request_is_refused_in_the_providers_words(
    backends: StrictBackends, name: str, body: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    path = {id(CHAT): "/v1/chat/completions", id(RESPONSES): "/v1/responses"}.get(id(body))
    path = path or next(path for path, plain in DOORS.get(name, ()) if plain is body)
    got = httpx.post(f"{backends.url}/{name}/me{path}", json=body | more)
    assert got.status_code == 400
    assert words in json.dumps(got.json()).replace('\\"', '"')
    assert backends.judged[-1].refusal


def test_each_agent_is_there_and_each_kind_of_backend() -> None:
    assert len({request.name for request in AGENT_REQUESTS}) == len(AGENT_REQUESTS) == 21
    assert len({deployment.name for deployment in DEPLOYMENTS}) == 18


@pytest.mark.parametrize("request_", AGENT_REQUESTS, ids=lambda request: request.name)
def test_a_request_holds_what_has_to_arrive(request_: Any) -> None:
    _, body = request_.for_model("m")
    for what in request_.arrives:
        assert what.encode() in body
