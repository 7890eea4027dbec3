"""What LiteLLM is told with a replay, and what it does not get."""

import base64
import json
from typing import Any

import pytest

from litellm_hybrid.llm.replay.body import loses_attachment, prepare
from litellm_hybrid.llm.replay.remedies import Action, Remedy, apply
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
        (CHAT, {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}}),
        (CHAT, {"function_call": "none"}),
        *((CHAT, {f"guided_{form}": "x"}) for form in ("json", "regex", "choice", "grammar")),
        *((CHAT, {name: "x"}) for name in ("structured_outputs", "json_schema", "grammar", "regex", "ebnf")),
        (MESSAGES, {"tool_choice": {"type": "none"}}),
        (RESPONSES, {"tool_choice": "none"}),
        (RESPONSES, {"tool_choice": {"type": "function", "name": "f"}}),
        (RESPONSES, {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": []}}),
        (RESPONSES, {"text": {"format": {"type": "json_object"}, "verbosity": "low"}}),
        *(
            (GEMINI, {config: {calling: said}})
            for config in ("toolConfig", "tool_config")
            for calling in ("functionCallingConfig", "function_calling_config")
            for said in (
                {"mode": "ANY"},
                {"mode": "NONE"},
                {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
                {"allowed_function_names": ["f"]},
            )
        ),
        *(
            (GEMINI, {config: {name: said}})
            for config in ("generationConfig", "generation_config")
            for name, said in (
                ("responseMimeType", "text/x.enum"),
                ("response_mime_type", "application/json"),
                ("responseSchema", {"type": "OBJECT"}),
                ("response_schema", {"type": "OBJECT"}),
                ("responseJsonSchema", {"type": "object"}),
                ("response_json_schema", {"type": "object"}),
            )
        ),
        (MESSAGES, {"tool_choice": {"type": "any"}}),
        (MESSAGES, {"tool_choice": {"type": "tool", "name": "f"}}),
        (MESSAGES, {"output_format": {"type": "json_schema", "schema": {}}}),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema"}, "effort": "high"}}),
        (RESPONSES, {"tool_choice": "required"}),
        (RESPONSES, {"tool_choice": {"type": "custom", "name": "apply_patch"}}),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "n"}}}),
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
        (
            GEMINI,
            {"toolConfig": {"functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": []}}},
        ),
        (GEMINI, {"toolConfig": {"function_calling_config": {"mode": "MODE_UNSPECIFIED"}}}),
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


# -- blocks that LiteLLM would leave out in silence --

MARK = {"type": "ephemeral"}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
BY_URL = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
TEXT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "said"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
FOUND = {
    "type": "search_result",
    "source": "https://example.com",
    "title": "Title",
    "content": [{"type": "text", "text": "found"}],
}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def document(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "document", "source": source, **more}


def request(*blocks: dict[str, Any]) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": list(blocks)}]}).encode()


def result(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t", "content": list(blocks)}


BECOMES: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    (TEXT, [said("said")]),
    (TEXT | {"title": "T", "context": "C", "citations": {"enabled": True}}, [said("T\nC"), said("said")]),
    (TEXT | {"title": "T", "cache_control": MARK}, [said("T"), said("said") | {"cache_control": MARK}]),
    (document({"type": "content", "content": "said"}), [said("said")]),
    (document({"type": "content", "content": [said("a"), IMAGE]}), [said("a"), IMAGE]),
    (
        document({"type": "base64", "media_type": "text/csv", "data": base64.b64encode(b"a,b").decode()}),
        [said("a,b")],
    ),
    (FOUND, [said("Title\nhttps://example.com"), said("found")]),
]


@pytest.mark.parametrize(("block", "texts"), BECOMES)
def test_blocks_that_hold_text_become_text(block: dict[str, Any], texts: list[dict[str, Any]]) -> None:
    """Where they stand, in a message or in a tool's result."""
    after = json.loads(prepare(request(said("before"), block, PDF), Api.MESSAGES, drop_params=False))
    assert after["messages"] == [{"role": "user", "content": [said("before"), *texts, PDF]}]
    within = json.loads(prepare(request(result(block, IMAGE)), Api.MESSAGES, drop_params=False))
    assert within["messages"][0]["content"] == [result(*texts, IMAGE)]
    assert not loses_attachment(request(block, result(block)), Api.MESSAGES, chat_completions=True)


@pytest.mark.parametrize(
    "blocks",
    [
        (PDF, BY_URL, IMAGE, said("a document, a search_result")),
        (result(PDF), result(IMAGE)),
        ({"type": "tool_result", "tool_use_id": "t", "content": "document"},),
        (document({"type": "base64", "media_type": "text/plain", "data": "not base64!"}),),
    ],
)
def test_what_litellm_reads_keeps_its_bytes(blocks: tuple[dict[str, Any], ...]) -> None:
    body = request(*blocks)
    assert prepare(body, Api.MESSAGES, drop_params=False) is body
    assert not loses_attachment(body, Api.MESSAGES, chat_completions=False)


@pytest.mark.parametrize("api", [Api.CHAT, Api.RESPONSES, Api.GENERATE_CONTENT])
def test_other_apis_have_no_such_blocks(api: Api) -> None:
    assert prepare(request(TEXT), api, drop_params=False) == request(TEXT)
    assert not loses_attachment(request({"type": "container_upload"}), api, chat_completions=True)


@pytest.mark.parametrize(
    ("block", "lost", "lost_by_chat_completions"),
    [
        (document({"type": "file", "file_id": "f"}), True, True),
        (document({"type": "something-new"}), True, True),
        ({"type": "document"}, True, True),
        ({"type": "container_upload", "file_id": "f"}, True, True),
        (result(document({"type": "file", "file_id": "f"})), True, True),
        (result(PDF), False, True),
        (result(BY_URL), False, True),
        (PDF, False, False),
        (result(IMAGE), False, False),
    ],
)
def test_what_holds_no_text_is_lost(
    block: dict[str, Any], *, lost: bool, lost_by_chat_completions: bool
) -> None:
    body = request(said("a"), block)
    assert loses_attachment(body, Api.MESSAGES, chat_completions=False) is lost
    assert loses_attachment(body, Api.MESSAGES, chat_completions=True) is lost_by_chat_completions


def test_a_pdf_in_a_tools_result_keeps_a_replay_from_chat_completions() -> None:
    streamed = [request(result(block)).replace(b"{", b'{"stream":true,', 1) for block in (PDF, IMAGE)]
    applied = [apply(body, Api.MESSAGES, Remedy(Action.CHAT_COMPLETIONS)) is not body for body in streamed]
    assert applied == [False, True]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'"document"', b'{"messages":"document"}', b'{"messages":[1,{}]}']
)
def test_other_shapes_are_left_alone(body: bytes) -> None:
    assert prepare(body, Api.MESSAGES, drop_params=False) is body
    assert not loses_attachment(body, Api.MESSAGES, chat_completions=True)


FUNCTION = {"type": "function", "name": "wait", "parameters": {}}
NAMESPACE = {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}
USER = {"type": "message", "role": "user", "content": "hi"}


def test_tools_among_codexs_input_stand_where_all_servers_look_for_them() -> None:
    items = [
        {"type": "additional_tools", "role": "developer", "tools": [NAMESPACE]},
        USER,
        {"type": "additional_tools", "tools": [FUNCTION]},
    ]
    body = {"model": "m", "input": items, "tools": [{"type": "web_search"}]}
    after = json.loads(prepare(json.dumps(body).encode(), Api.RESPONSES, drop_params=False))
    assert after == {"model": "m", "input": [USER], "tools": [{"type": "web_search"}, NAMESPACE, FUNCTION]}
    del body["tools"]
    after = json.loads(prepare(json.dumps(body).encode(), Api.RESPONSES, drop_params=False))
    assert after == {"model": "m", "input": [USER], "tools": [NAMESPACE, FUNCTION]}
