import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import zstandard

from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.message.json import read
from litellm_hybrid.routing import requested_model, rewrite
from litellm_hybrid.routing.paths import Api
from litellm_hybrid.routing.rewrite import (
    Incoming,
    Outgoing,
    as_chat,
    for_litellm,
    is_responses,
    thinking_members,
    without_provider_prefix,
)

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"
BODY = b'{"x":1.0,"model":"GPT-5","y":[ 1 ]}'
CHAT = "/v1/chat/completions"
KEYED = Settings(base_url=Address("http", "127.0.0.1", 4000), api_key=Secret("sk-litellm"))
NO_AUTH = replace(KEYED, api_key=None, no_auth=True)
UNSET = replace(KEYED, api_key=None)

CREDENTIALS = [
    ("Authorization", "Bearer client"),
    ("x-litellm-api-key", "client"),
    ("api-key", "client"),
    ("X-Api-Key", "client"),
    ("x-goog-api-key", "client"),
    ("Ocp-Apim-Subscription-Key", "client"),
    ("Cookie", "session=client"),
    ("Proxy-Authorization", "Basic client"),
    ("X-Management-Key", "client"),
    ("ChatGPT-Account-ID", "client"),
    ("x-goog-user-project", "client"),
    ("OpenAI-Organization", "client"),
    ("x-pass-x-api-key", "client"),
    ("X-PASS-anything", "client"),
    ("x-forwarded-access-token", f"client {JWT}"),
    ("x-own", "sk-ant-oat01-client"),
    ("x-own", f"Bearer {JWT}"),
]


def send(
    settings: Settings = KEYED,
    headers: list[tuple[str, str]] | None = None,
    *,
    path: str = CHAT,
    query: str = "",
    body: bytes = BODY,
    model: str = "gpt-5",
) -> Outgoing:
    fields = tuple((name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers or [])
    incoming = Incoming(path, query, fields, body)
    content_type, coding = incoming.header(b"content-type"), incoming.header(b"content-encoding")
    named = requested_model.read(path, content_type, coding, body)
    return for_litellm(settings, incoming, named, model, "req-1")


def values(outgoing: Outgoing, name: str) -> list[str]:
    return [value.decode() for key, value in outgoing.headers if key.decode().lower() == name.lower()]


# -- URL ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (CHAT, CHAT),
        ("/api/provider/openai/v1/chat/completions", CHAT),
        ("/api/provider/anthropic/v1/messages", "/v1/messages"),
        ("/backend-api/codex/responses", "/v1/responses"),
        ("/v1/models/gemini-2.5-pro:generateContent", "/v1beta/models/gpt-5:generateContent"),
        ("/v1beta1/models/x:countTokens", "/v1beta/models/gpt-5:countTokens"),
        ("/v1beta1/publishers/google/models/x:generateContent", "/v1beta/models/gpt-5:generateContent"),
        ("/openai/deployments/x/chat/completions", "/openai/deployments/gpt-5/chat/completions"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/litellm", "/a/b"])
@pytest.mark.parametrize("query", ["", "beta=true&alt=sse"])
def test_the_target(path: str, target: str, prefix: str, query: str) -> None:
    settings = replace(KEYED, base_url=Address("http", "h", 1, prefix))
    sent = send(settings, path=path, query=query)
    assert sent.target == prefix + target + ("?" + query if query else "")
    assert sent.address == settings.base_url


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (Address("http", "127.0.0.1", 4000), "127.0.0.1:4000"),
        (Address("http", "litellm.example", 80), "litellm.example"),
        (Address("https", "litellm.example", 443, "/base"), "litellm.example"),
        (Address("https", "litellm.example", 80), "litellm.example:80"),
        (Address("http", "::1", 4000), "[::1]:4000"),
        (Address("http", "a." + 63 * "b", 4000), f"a.{63 * 'b'}:4000"),  # the longest label, and a port
    ],
)
def test_there_is_one_host_header_and_it_is_litellms(address: Address, host: str) -> None:
    sent = send(replace(KEYED, base_url=address), [("Host", "127.0.0.1:8318"), ("HOST", "x")])
    assert values(sent, "host") == [host]
    assert sent.headers[0][0] == b"Host"


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("key=client", CHAT),
        ("beta=true&auth_token=client", CHAT + "?beta=true"),
        (f"access_token={JWT}&a=%2F", CHAT + "?a=%2F"),
    ],
)
def test_the_query_loses_its_credentials_only(query: str, target: str) -> None:
    assert send(query=query).target == target


# -- credentials --------------------------------------------------------


@pytest.mark.parametrize("settings", [KEYED, NO_AUTH, UNSET], ids=["key", "none", "unset"])
@pytest.mark.parametrize("spell", [str.lower, str.upper, lambda name: name], ids=["lower", "upper", "as is"])
def test_no_credential_of_the_client_arrives(settings: Settings, spell: Callable[[str], str]) -> None:
    headers = [(spell(name), value) for name, value in CREDENTIALS[1:]]
    sent = send(settings, [("Authorization", "Bearer sk-ant-oat01-client"), *headers], query="key=client")
    arrived = {name.lower() for name, _ in sent.headers}
    assert b"client" not in sent.target.encode()
    if settings is UNSET:
        # exactly one, the first that CLIProxyAPI would have read and that is no OAuth token
        assert [value for _, value in sent.headers if b"client" in value] == [b"Bearer client"]
        assert values(sent, "authorization") == ["Bearer client"]
    else:
        assert not [value for _, value in sent.headers if b"client" in value]
    expected = {b"host", b"via", b"x-request-id", b"x-litellm-call-id", b"content-length"}
    assert arrived - {b"authorization"} == expected


@pytest.mark.parametrize(
    ("settings", "authorization"),
    [(KEYED, ["Bearer sk-litellm"]), (NO_AUTH, []), (UNSET, ["Bearer client"])],
    ids=["key", "none", "unset"],
)
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([("Authorization", "Bearer client")], ""),
        ([("authorization", "client")], ""),
        ([("X-Goog-Api-Key", "client")], ""),
        ([("x-api-key", "client")], ""),
        ([], "key=client"),
        ([], "auth_token=client"),
        ([("x-api-key", "b"), ("AUTHORIZATION", "bearer client")], "key=c"),
    ],
)
def test_the_credential_that_goes_along(
    settings: Settings, authorization: list[str], headers: list[tuple[str, str]], query: str
) -> None:
    sent = send(settings, headers, query=query)
    assert values(sent, "authorization") == authorization
    for name in ("x-api-key", "x-goog-api-key", "api-key", "x-litellm-api-key"):
        assert values(sent, name) == []


@pytest.mark.parametrize("settings", [NO_AUTH, UNSET])
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([], ""),
        ([("Authorization", "Bearer sk-ant-oat01-x")], ""),
        ([("Authorization", f"Bearer {JWT}")], ""),
        ([("x-api-key", JWT)], ""),
        ([], "key=sk-ant-oat01-x"),
        ([], "key=a%0D%0AX-Evil:1"),
        ([("api-key", "x"), ("x-litellm-api-key", "x"), ("x-pass-authorization", "x")], ""),
    ],
)
def test_without_a_key_of_ours_an_oauth_token_is_no_substitute(
    settings: Settings, headers: list[tuple[str, str]], query: str
) -> None:
    assert values(send(settings, headers, query=query), "authorization") == []


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (["oauth-2025-04-20"], []),
        (["oauth-2025-04-20,claude-code-20250219"], ["claude-code-20250219"]),
        (["a, oauth-2025-04-20 ,b"], ["a,b"]),
        (["a", "oauth-2025-04-20", "b"], ["a,b"]),
        (["oauth-2025-04-201"], ["oauth-2025-04-201"]),
        ([], []),
        ([" , "], []),
    ],
)
def test_the_oauth_beta_is_taken_out(sent: list[str], arrives: list[str]) -> None:
    headers = [("Anthropic-Beta", value) for value in sent]
    assert values(send(headers=headers), "anthropic-beta") == arrives


# -- other headers ------------------------------------------------------


def test_other_headers_arrive_in_order_and_case() -> None:
    headers = [
        ("Accept", "text/event-stream"),
        ("anthropic-version", "2023-06-01"),
        ("X-Dup", "1"),
        ("x-dup", "2"),
        ("Session-Id", "s"),
        ("X-Bytes", "\udcff"),
    ]
    sent = send(headers=[*headers[:3], ("Cookie", "x"), *headers[3:]])
    encoded = [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in headers]
    assert list(sent.headers[1:7]) == encoded


def test_the_request_id_goes_along_twice_and_once_each() -> None:
    sent = send(headers=[("x-request-id", "bad one"), ("X-Litellm-Call-Id", "theirs")])
    assert values(sent, "x-request-id") == ["req-1"]
    assert values(sent, "x-litellm-call-id") == ["req-1"]


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        ([], "1.1 litellm-hybrid"),
        (["1.1 nginx"], "1.1 nginx, 1.1 litellm-hybrid"),
        (["1.0 a", "1.1 b"], "1.0 a, 1.1 b, 1.1 litellm-hybrid"),
    ],
)
def test_via(via: list[str], expected: str) -> None:
    assert values(send(headers=[("via", value) for value in via]), "via") == [expected]
    assert rewrite.VIA == b"1.1 litellm-hybrid"


def test_what_belongs_to_the_clients_connection_stays_there() -> None:
    sent = send(
        headers=[("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk"), ("Transfer-Encoding", "chunked")]
    )
    for name in ("upgrade", "http2-settings", "transfer-encoding"):
        assert values(sent, name) == []


# -- body ---------------------------------------------------------------


def test_only_the_model_changes() -> None:
    assert send().body == BODY.replace(b"GPT-5", b"gpt-5")


def test_a_body_that_already_says_it_is_the_same_byte_for_byte() -> None:
    body = b' { "model" : "gpt-5" , "model2" : 1.0 } '
    assert send(body=body).body == body


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("ZSTD", zstandard.compress), ("identity", bytes)],
)
@pytest.mark.parametrize("model", ["gpt-5", "GPT-5"])
def test_a_compressed_body_is_decoded(coding: str, encode: Callable[[bytes], bytes], model: str) -> None:
    sent = send(headers=[("Content-Encoding", coding)], body=encode(BODY), model=model)
    assert sent.body == BODY.replace(b"GPT-5", model.encode())
    assert values(sent, "content-encoding") == []
    assert values(sent, "content-length") == [str(len(sent.body))]


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/x-www-form-urlencoded", b"x=+&model=GPT-5", b"x=+&model=gpt-5"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nGPT-5\r\n--b--',
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ngpt-5\r\n--b--',
        ),
        ("multipart/form-data; boundary=b", b'{"model":"GPT-5"}', b'{"model":"gpt-5"}'),
    ],
)
def test_forms(content_type: str, body: bytes, expected: bytes) -> None:
    sent = send(headers=[("Content-Type", content_type)], body=body)
    assert sent.body == expected
    assert values(sent, "content-type") == [content_type]


@pytest.mark.parametrize("body", [b"", b'{"contents":[{}]}', b'{"model":null}'])
def test_where_the_path_names_the_model_the_body_stays(body: bytes) -> None:
    sent = send(path="/v1beta/models/x:generateContent", body=body, model="org/gemini 2")
    assert sent.body == body
    assert sent.target == "/v1beta/models/org/gemini%202:generateContent"
    assert values(sent, "content-length") == [str(len(body))]


def test_where_both_name_a_model_both_change() -> None:
    sent = send(path="/v1beta/models/x:generateContent")
    assert sent.target == "/v1beta/models/gpt-5:generateContent"
    assert json.loads(sent.body)["model"] == "gpt-5"


def test_a_name_that_is_no_unicode_can_be_sent() -> None:
    body = b'{"model":" \\ud83d ","x":"\\ud83d"}'
    sent = send(body=body, model="\ufffd")
    assert json.loads(sent.body) == {"model": "\ufffd", "x": "\ud83d"}


@pytest.mark.parametrize(
    "headers", [[], [("Content-Length", "999")], [("content-length", "1"), ("Content-Length", "2")]]
)
def test_there_is_one_content_length_and_it_is_right(headers: list[tuple[str, str]]) -> None:
    sent = send(headers=headers, model="a-longer-name")
    assert values(sent, "content-length") == [str(len(sent.body))]


# -- towards upstream ---------------------------------------------------


@pytest.mark.parametrize(
    ("target", "stripped"),
    [
        ("/api/provider/openai/v1/chat/completions?a=%2F&key=k", "/v1/chat/completions?a=%2F&key=k"),
        ("/api/provider/openai", "/"),
        ("/api/provider/openai/?", "/?"),
        # what only Amp's module serves, as CLIProxyAPI without it does
        ("/api/provider/openai/chat/completions", "/v1/chat/completions"),
        ("/api/provider/groq/chat/completions?a=1", "/v1/chat/completions?a=1"),
        ("/api/provider/openai/responses", "/v1/responses"),
        ("/api/provider/openai/responses/compact", "/v1/responses/compact"),
        ("/api/provider/anthropic/messages", "/v1/messages"),
        ("/api/provider/openai/models", "/v1/models"),
        (
            "/api/provider/google/v1beta1/publishers/google/models/g-3:streamGenerateContent?alt=sse",
            "/v1beta/models/g-3:streamGenerateContent?alt=sse",
        ),
        ("/api/provider/google/v1beta1/models/g-3:generateContent", "/v1beta/models/g-3:generateContent"),
        ("/api/provider/google/v1beta/models/g%2D3:countTokens", "/v1beta/models/g%2D3:countTokens"),
        (
            "/v1beta1/publishers/google/models/g-3:generateContent",
            "/v1beta1/publishers/google/models/g-3:generateContent",
        ),
        ("/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("/v1/x?u=/api/provider/openai/y", "/v1/x?u=/api/provider/openai/y"),
    ],
)
def test_without_the_provider_prefix(target: str, stripped: str) -> None:
    assert without_provider_prefix(target) == stripped


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"model":"gpt-5","x":1}',
        b'{"model":"gpt-5","x":1,}',
        b'{"model":"gpt-5","x":1} {"model":"other"}',
        b'{"model":"gpt-5","x":1,"model":"other"}',
        b'{"model":"gpt-5", // a remark\n "x":1}',
    ],
)
@pytest.mark.parametrize("model", ["gpt-5", "openai/gpt-5"])
def test_litellm_gets_one_model_in_strict_json(body: bytes, model: str) -> None:
    """CLIProxyAPI serves these; of two models it takes the first, LiteLLM would take the last."""
    assert send(body=body, model=model).body == b'{"model":"%s","x":1}' % model.encode()


@pytest.mark.parametrize(
    ("model", "named", "expected"),
    [
        ("gpt-5(high)", "gpt-5", {"model": "gpt-5", "reasoning_effort": "high"}),
        ("gpt-5", "openai/gpt-5", {"model": "openai/gpt-5"}),
        ("gpt-5(high)", "gpt-5(high)", {"model": "gpt-5(high)"}),
    ],
)
def test_the_effort_in_a_name_goes_into_the_body(model: str, named: str, expected: dict[str, str]) -> None:
    sent = send(body=json.dumps({"model": model, "messages": []}).encode(), model=named)
    assert json.loads(sent.body) == {"messages": [], **expected}


def test_the_effort_in_a_paths_model_goes_into_the_body() -> None:
    sent = send(path="/v1beta/models/g%288192%29:generateContent", body=b'{"contents":[]}', model="g")
    assert json.loads(sent.body)["generationConfig"] == {"thinkingConfig": {"thinkingBudget": 8192}}
    assert sent.target == "/v1beta/models/g:generateContent"


def test_a_disguised_name_is_not_sent_to_litellm() -> None:
    sent = send(path="/v1/messages", body=b'{"model":"claude-fable-5-dd-5.5-tpg"}', model="gpt-5.5")
    assert sent.body == b'{"model":"gpt-5.5"}'


@pytest.mark.parametrize(
    ("model", "api", "body", "expected"),
    [
        ("gpt-5", Api.CHAT, {}, {}),
        ("gpt-5(high)", Api.CHAT, {}, {"reasoning_effort": "high"}),
        (" gpt-5 (HIGH) ", Api.CHAT, {"reasoning_effort": "low"}, {"reasoning_effort": "high"}),
        ("gpt-5(8192)", Api.CHAT, {}, {"reasoning_effort": "medium"}),
        ("gpt-5(0)", Api.CHAT, {}, {"reasoning_effort": "none"}),
        ("gpt-5(thinking)", Api.CHAT, {}, {}),
        ("gpt-5(-1)", Api.CHAT, {}, {}),
        ("gpt-5(\u0663)", Api.CHAT, {}, {}),
        ("gpt-5[1m](xhigh)", Api.RESPONSES, {}, {"reasoning": {"effort": "xhigh"}}),
        (
            "gpt-5(low)",
            Api.RESPONSES,
            {"reasoning": {"effort": "high", "summary": "auto"}},
            {"reasoning": {"effort": "low", "summary": "auto"}},
        ),
        ("c(8192)", Api.MESSAGES, {}, {"thinking": {"type": "enabled", "budget_tokens": 8192}}),
        ("c(high)", Api.MESSAGES, {}, {"thinking": {"type": "enabled", "budget_tokens": 24576}}),
        (
            "c(high)",
            Api.MESSAGES,
            {"max_tokens": 9000},
            {"thinking": {"type": "enabled", "budget_tokens": 8999}},
        ),
        (
            "c(10)",
            Api.MESSAGES,
            {"max_tokens": 9000},
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        ),
        ("c(high)", Api.MESSAGES, {"max_tokens": 1024}, {}),
        ("c(none)", Api.MESSAGES, {"thinking": {"type": "enabled"}}, {"thinking": {"type": "disabled"}}),
        (
            "g(8192)",
            Api.GENERATE_CONTENT,
            {
                "generationConfig": {
                    "topK": 1,
                    "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
                }
            },
            {
                "generationConfig": {
                    "topK": 1,
                    "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 8192},
                }
            },
        ),
        (
            "g(high)",
            Api.GENERATE_CONTENT,
            {},
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 24576}}},
        ),
        ("whisper(high)", None, {}, {}),
    ],
)
def test_a_suffix_in_the_form_of_the_api(
    model: str, api: Api | None, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert thinking_members(model, api, read(json.dumps(body).encode())) == expected


# -- a Responses body on the path of chat completions ----------------------------

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
AS_CHAT = {
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
    assert json.loads(as_chat(json.dumps(CURSOR).encode())) == AS_CHAT


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
