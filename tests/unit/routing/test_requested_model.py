import gzip
import json
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_hybrid.routing.requested_model import Named, read

JSON = "application/json"
URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
CHAT = "/v1/chat/completions"
GOOGLE = "https://generativelanguage.googleapis.com"
AZURE = "/openai/deployments/gpt-5/chat/completions"
GEMINI = "/v1beta/models/gemini-2.5-pro:generateContent"
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\xff\x00\r\n'
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b--\r\n'
)


@pytest.mark.parametrize(
    ("path", "content_type", "body", "model", "where"),
    [
        # the fork's own
        (CHAT, JSON, b'{"model": "gpt-5"}', "gpt-5", "json"),
        (CHAT, JSON, b'{"model": "claude-3-opus"}', "claude-3-opus", "json"),
        (CHAT, JSON, b"{}", None, ""),
        # whatever the content type says
        ("/v1/messages", "", b'{"model":"a"}', "a", "json"),
        ("/v1/responses", "text/plain", b'{"model":"a"}', "a", "json"),
        ("/v1/images/edits", MULTIPART, b'{"model":"a"}', "a", "json"),
        (CHAT, URLENCODED, b' {"model":"a"}', "a", "json"),
        # forms
        ("/v1/audio/transcriptions", MULTIPART, FORM, "whisper-1", "form"),
        (CHAT, URLENCODED, b"model=gpt-5&x=1", "gpt-5", "form"),
        (CHAT, URLENCODED, b"x=1", None, ""),
        # path
        (GEMINI, JSON, b'{"contents":[]}', "gemini-2.5-pro", "path"),
        (GEMINI, "", b"", "gemini-2.5-pro", "path"),
        (GEMINI, JSON, b" \r\n", "gemini-2.5-pro", "path"),
        (GEMINI, URLENCODED, b"x=1", "gemini-2.5-pro", "path"),
        ("/api/provider/google" + GEMINI, JSON, b"{}", "gemini-2.5-pro", "path"),
        (GEMINI.replace("-", "%2d"), JSON, b"{}", "gemini-2.5-pro", "path"),
        # a path with a verb, whatever the body says
        (GEMINI, JSON, b'{"model":"a"}', "gemini-2.5-pro", "path"),
        (GEMINI, URLENCODED, b"model=a", "gemini-2.5-pro", "path"),
        # else the body first
        (AZURE, JSON, b'{"model":"a"}', "a", "json"),
        (AZURE, JSON, b"{}", "gpt-5", "path"),
        (GEMINI, JSON, b'{"model":null}', "gemini-2.5-pro", "path"),
        (GEMINI, JSON, b'{"model":" "}', "gemini-2.5-pro", "path"),
        (GEMINI, JSON, b"[]", "gemini-2.5-pro", "path"),
        (GEMINI, MULTIPART, FORM.replace(b"whisper-1", b""), "gemini-2.5-pro", "path"),
        # none
        (CHAT, JSON, b"", None, ""),
        (CHAT, JSON, b'{"model":5}', None, ""),
        (CHAT, JSON, b'{"Model":"a"}', None, ""),
        # as CLIProxyAPI's model list disguises it for Anthropic clients
        ("/v1/messages", JSON, b'{"model":"claude-fable-5-dd-5.5-tpg"}', "gpt-5.5", "json"),
        ("/v1/messages/count_tokens", JSON, b'{"model":"claude-fable-5-dd-5.5-tpg"}', "gpt-5.5", "json"),
        (
            "/api/provider/anthropic/v1/messages",
            JSON,
            b'{"model":"Claude-fable-5-dd-4-korg"}',
            "grok-4",
            "json",
        ),
        (
            "/v1/messages",
            JSON,
            b'{"model":"claude-fable-5-dd-5.5-tpg[1m](high)"}',
            "gpt-5.5[1m](high)",
            "json",
        ),
        ("/v1/messages", JSON, b'{"model":"claude-fable-5-dd-"}', "claude-fable-5-dd-", "json"),
        ("/v1/messages", JSON, b'{"model":"claude-fable-5"}', "claude-fable-5", "json"),
        (CHAT, JSON, b'{"model":"claude-fable-5-dd-5.5-tpg"}', "claude-fable-5-dd-5.5-tpg", "json"),
        # as the client spelt it
        (CHAT, JSON, b'{"model":" GPT-5(high) "}', " GPT-5(high) ", "json"),
        # a lone surrogate is no character
        (CHAT, JSON, b'{"model":"\\ud83d"}', "\ufffd", "json"),
    ],
)
def test_where_the_model_is(path: str, content_type: str, body: bytes, model: str | None, where: str) -> None:
    assert read(path, content_type, "", body) == Named(model, where, body)


@pytest.mark.parametrize(
    ("encoded", "coding"),
    [
        (gzip.compress(b'{"model":"a"}', mtime=0), "gzip"),
        (zlib.compress(b'{"model":"a"}'), "deflate"),
        (brotli.compress(b'{"model":"a"}'), "br"),
        (zstandard.compress(b'{"model":"a"}'), "ZSTD"),
    ],
)
def test_a_compressed_body_is_read(encoded: bytes, coding: str) -> None:
    assert read(CHAT, JSON, coding, encoded) == Named("a", "json", b'{"model":"a"}')


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br", "deflate", "plain", "utf-8"])
def test_a_content_coding_that_the_body_does_not_have_is_looked_past(coding: str) -> None:
    assert read(CHAT, JSON, coding, b' {"model":"a"}') == Named("a", "json", b' {"model":"a"}')


def test_what_only_cliproxyapi_reads_is_made_strict() -> None:
    named = read(CHAT, JSON, "", b'\xef\xbb\xbf{"model":"a","x":1,} {}')
    assert (named.model, named.content) == ("a", b'{"model":"a","x":1}')


def test_a_body_of_more_parts_than_any_history_has_is_not_searched() -> None:
    """A few hundred bytes of gzip become millions of parts, before anybody has shown a key."""
    body = b'{"model":"a","input":[' + b"{}," * 500_000 + b'{"type":"item_reference","id":"m"}]}'
    assert (read(CHAT, JSON, "", body).model, read(CHAT, JSON, "", body).stateful) == ("a", False)


def test_a_compressed_form_is_read() -> None:
    assert read(CHAT, MULTIPART, "gzip", gzip.compress(FORM)) == Named("whisper-1", "form", FORM)


@pytest.mark.parametrize("path", [CHAT, GEMINI])
@pytest.mark.parametrize(
    ("content_type", "coding", "body", "problem"),
    [
        (JSON, "", b"invalid", "no JSON"),
        (JSON, "", b'{"model', "no JSON"),
        (JSON, "", b"x" + b"[" * 100_000, "no JSON"),
        (JSON, "gzip", b'x{"model":"a"}', "corrupt gzip"),
        (JSON, "compress", b"\x1f\x9d", "unknown content coding 'compress'"),
        (JSON, "zstd", zstandard.compress(bytes(65 * 1024 * 1024)), "longer than 67108864"),
        (MULTIPART, "", b"invalid", "boundary"),
        ("multipart/form-data", "", FORM, "boundary"),
        (MULTIPART, "", FORM[:-8], "no end"),
    ],
)
def test_an_unreadable_body_is_not_made_up_for_by_the_path(
    path: str, content_type: str, coding: str, body: bytes, problem: str
) -> None:
    named = read(path, content_type, coding, body)
    assert problem in named.problem
    assert named == Named(content=None, problem=named.problem, too_long="longer than" in problem)


@pytest.mark.parametrize(
    ("body", "agent", "stateful"),
    [
        ({"model": "a"}, False, False),
        ({"model": "a", "agent": "deep-research"}, True, False),
        ({"model": "a", "agent": ""}, False, False),
        ({"model": "a", "previous_response_id": "resp_1"}, False, True),
        ({"model": "a", "previous_response_id": None}, False, False),
        ({"model": "a", "input": [{"previous_response_id": "resp_1", "agent": "x"}]}, False, False),
        ({"agent": "x", "previous_response_id": "y"}, True, True),
        ({"conversation": "conv_1"}, False, True),
        ({"conversation": {"id": "conv_1"}}, False, True),
        ({"conversation": None}, False, False),
        ({"prompt": {"id": "pmpt_1", "version": "2"}}, False, True),
        ({"prompt": "Once upon a time"}, False, False),
        ({"container": "container_1"}, False, True),
        ({"container": {"skills": []}}, False, False),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, False, True),
        ({"input": [{"type": "item_reference", "id": "rs_1"}]}, False, False),
        ({"input": [{"type": "message", "id": "m"}, {"type": "item_reference", "id": "m"}]}, False, False),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
            False,
            True,
        ),
        ({"input": [{"type": "x_output", "output": [{"type": "input_image", "file_id": "f"}]}]}, False, True),
        ({"input": [{"type": "function_call", "arguments": '{"file_id":"f"}'}]}, False, False),
        ({"messages": [{"content": [{"type": "document", "source": {"file_id": "f"}}]}]}, False, True),
        ({"messages": [{"content": [{"content": [{"source": {"file_id": "f"}}]}]}]}, False, True),
        ({"messages": [{"content": [{"type": "tool_use", "input": {"file_id": "f"}}]}]}, False, False),
        ({"messages": [{"content": [{"type": "file", "file": {"file_id": "f"}}]}]}, False, True),
        ({"messages": [{"content": 'They say "file_id": "f"'}]}, False, False),
        ({"contents": [{"parts": [{"fileData": {"fileUri": f"{GOOGLE}/v1beta/files/1"}}]}]}, False, True),
        ({"contents": [{"parts": [{"fileData": {"fileUri": "https://youtu.be/1"}}]}]}, False, False),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, False, True),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, False, False),
        ({"tools": [{"type": "code_interpreter", "container": {"file_ids": ["f"]}}]}, False, True),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, False, True),
        ({"tools": [{"parameters": {"properties": {"file_id": {"type": "string"}}}}]}, False, False),
    ],
)
def test_what_else_decides(body: dict[str, object], *, agent: bool, stateful: bool) -> None:
    named = read(CHAT, JSON, "", json.dumps(body).encode())
    assert (named.agent, named.stateful) == (agent, stateful)


@settings(deadline=None)
@given(
    st.sampled_from([CHAT, GEMINI]) | st.text(),
    st.sampled_from([JSON, URLENCODED, MULTIPART]) | st.text(max_size=20),
    st.sampled_from(["", "gzip", "deflate", "br", "zstd"]) | st.text(max_size=9),
    st.binary() | st.just(FORM) | st.just(b'{"model":"a\\ud83d"}'),
)
def test_no_request_raises(path: str, content_type: str, coding: str, body: bytes) -> None:
    named = read(path, content_type, coding, body)
    assert (named.content is None) == bool(named.problem)
    assert (named.model is None) == (named.where == "")
    if named.model is not None:
        assert named.model.strip()
        if named.where != "path":
            named.model.encode()
