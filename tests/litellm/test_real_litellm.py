"""Real SDK clients, the real addon in a real mitmdump, a real LiteLLM."""

import gzip
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import zstandard

from support.clients import (
    CLIENT_KEY,
    Ask,
    ask_chat,
    ask_count_tokens,
    ask_gemini,
    ask_gemini_v1,
    ask_messages,
    ask_responses,
)
from support.models import ModelServer
from support.processes import BACKEND_KEY, MASTER_KEY, Process, hybrid_config, mitmdump
from support.servers import Reply, Server, in_thread
from support.wire import Request

pytestmark = [
    pytest.mark.litellm,
    # Which models Anthropic retires, and when, is no matter of these tests.
    pytest.mark.filterwarnings("ignore:The model '.*' is deprecated:DeprecationWarning"),
]

LISTED = [
    (ask_chat, "gpt-5"),
    (ask_responses, "gpt-5"),
    (ask_messages, "claude-sonnet-4-5"),
    (ask_gemini, "gemini-2.5-pro"),
    (ask_gemini_v1, "gemini-2.5-pro"),
]
UNLISTED = [
    (ask_chat, "gpt-4.1"),
    (ask_responses, "gpt-4.1"),
    (ask_messages, "claude-3-opus"),
    (ask_gemini, "gemini-2.0-flash"),
    (ask_gemini_v1, "gemini-2.0-flash"),
]
plain_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}]}
MESSAGES = {**CHAT, "model": "claude-sonnet-4-5", "max_tokens": 16}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def wire(request: Request) -> str:
    """All of a request as text, to look for a credential in."""
    return f"{request.target} {request.headers!r} {request.body!r}"


@plain_and_streamed
@pytest.mark.parametrize(("ask", "model"), LISTED)
def test_a_listed_model_is_answered_by_litellm(
    *, proxy: Process, backend: ModelServer, upstream: ModelServer, ask: Ask, model: str, stream: bool
) -> None:
    answer = ask(proxy.url, model, stream=stream)

    assert (answer.status, answer.route) == (200, "litellm; reason=model"), answer.body
    assert answer.text == ("".join(backend.pieces(model)) if stream else backend.text(model))
    assert len(backend.requests) == 1
    assert upstream.requests == []
    proxy.wait_for(f"litellm routing: {model} → LiteLLM")


@plain_and_streamed
@pytest.mark.parametrize(("ask", "model"), UNLISTED)
def test_any_other_model_is_answered_by_upstream(
    *, proxy: Process, backend: ModelServer, upstream: ModelServer, ask: Ask, model: str, stream: bool
) -> None:
    answer = ask(proxy.url, model, stream=stream)

    assert (answer.status, answer.route) == (200, "upstream; reason=not-listed"), answer.body
    assert answer.text == ("".join(upstream.pieces(model)) if stream else upstream.text(model))
    assert len(upstream.requests) == 1
    assert backend.requests == []


@pytest.mark.parametrize(
    ("model", "route"),
    [("claude-sonnet-4-5", "litellm; reason=model"), ("claude-3-opus", "upstream; reason=not-listed")],
)
def test_count_tokens_goes_where_the_messages_go(proxy: Process, model: str, route: str) -> None:
    answer = ask_count_tokens(proxy.url, model)

    assert (answer.status, answer.route, answer.text) == (200, route, "7")


@pytest.mark.parametrize(("ask", "model"), LISTED)
def test_each_piece_of_a_stream_arrives_before_the_next_is_sent(
    proxy: Process, backend: Any, monkeypatch: pytest.MonkeyPatch, ask: Ask, model: str
) -> None:
    turns = threading.Semaphore(0)
    monkeypatch.setattr(backend, "turns", turns)

    # The backend may send one more piece for each that has arrived, so a piece
    # that is kept back anywhere on the way stops the stream.
    answer = ask(proxy.url, model, stream=True, on_piece=lambda _: turns.release())

    assert answer.text == "".join(backend.pieces(model))
    assert not backend.starved, "a piece was kept back"


@pytest.mark.parametrize(
    ("ask", "path", "model"),
    [
        (ask_chat, "/api/provider/openai", "gpt-5"),
        (ask_messages, "/api/provider/anthropic", "claude-sonnet-4-5"),
        (ask_gemini, "/api/provider/google", "gemini-2.5-pro"),
    ],
)
def test_amp_paths_reach_litellm(proxy: Process, ask: Ask, path: str, model: str) -> None:
    answer = ask(proxy.url + path, model)

    assert (answer.status, answer.route) == (200, "litellm; reason=model"), answer.body
    assert answer.text == f"model server answered for {model}"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/backend-api/codex/responses", {"model": "gpt-5", "input": "Hello"}),
        ("/v1beta1/publishers/google/models/gemini-2.5-pro:generateContent", CONTENTS),
        ("/v1beta1/models/gemini-2.5-pro:generateContent", CONTENTS),
    ],
)
def test_paths_that_litellm_does_not_know_are_turned_into_its_own(
    proxy: Process, path: str, body: dict[str, Any]
) -> None:
    answer = httpx.post(proxy.url + path, json=body, timeout=60)

    assert answer.status_code == 200
    assert answer.headers["x-hybrid-route"].startswith("litellm; reason=model")
    assert "model server answered for" in answer.text


@pytest.mark.parametrize("model", ["GPT-5", " gpt-5", "gpt-5(high)"])
def test_litellm_is_sent_its_own_spelling(proxy: Process, backend: ModelServer, model: str) -> None:
    assert ask_chat(proxy.url, model).text == backend.text("gpt-5")


@pytest.mark.parametrize(
    ("coding", "encode"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)]
)
def test_compressed_bodies_reach_litellm(proxy: Process, coding: str, encode: Any) -> None:
    body = encode(json.dumps(CHAT).encode())
    headers = {"content-type": "application/json", "content-encoding": coding}
    answer = httpx.post(f"{proxy.url}/v1/chat/completions", content=body, headers=headers, timeout=60)

    assert answer.status_code == 200, answer.text
    assert "model server answered for gpt-5" in answer.text


@pytest.mark.parametrize(
    ("path", "body", "arrives"),
    [
        ("/v1/chat/completions", CHAT | {"model": "gpt-5(high)"}, b'"reasoning_effort":"high"'),
        ("/v1/responses", {"model": "gpt-5(low)", "input": "Hello"}, b'"effort":"low"'),
        (
            "/v1/messages",
            MESSAGES | {"model": "claude-sonnet-4-5(2000)", "max_tokens": 4000},
            b'"budget_tokens":2000',
        ),
        ("/v1beta/models/gemini-2.5-pro(2000):generateContent", CONTENTS, b'"thinkingBudget":2000'),
    ],
)
def test_the_thinking_in_a_name_reaches_the_backend(
    proxy: Process, backend: ModelServer, path: str, body: dict[str, Any], arrives: bytes
) -> None:
    answer = httpx.post(proxy.url + path, json=body, timeout=60)

    assert answer.status_code == 200, answer.text
    (asked,) = backend.requests
    assert arrives in asked.body.replace(b" ", b"")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/responses", {"model": "gpt-5", "input": "Hello"}),
        ("/v1/messages", MESSAGES),
        ("/v1beta/models/gemini-2.5-pro:generateContent", CONTENTS),
    ],
)
@pytest.mark.parametrize("key", [CLIENT_KEY, "sk-ant-oat01-token-of-the-client"])
def test_the_clients_credentials_end_at_litellm(
    proxy: Process, backend: ModelServer, path: str, body: dict[str, Any], key: str
) -> None:
    names = ["x-api-key", "api-key", "x-goog-api-key", "x-litellm-api-key", "ocp-apim-subscription-key"]
    headers = dict.fromkeys(names, key) | {
        "authorization": f"Bearer {key}",
        "cookie": f"session={key}",
        "chatgpt-account-id": key,
        "x-pass-authorization": key,
        "anthropic-beta": "oauth-2025-04-20,context-1m-2025-08-07",
    }
    query = {"key": key, "auth_token": key, "alt": "json"}
    answer = httpx.post(proxy.url + path, params=query, json=body, headers=headers, timeout=60)

    assert answer.status_code == 200, answer.text
    (asked,) = backend.requests
    assert key not in wire(asked)
    assert MASTER_KEY not in wire(asked)
    assert BACKEND_KEY in wire(asked)
    assert "oauth-2025-04-20" not in wire(asked)


@pytest.mark.parametrize(("ask", "model"), [*LISTED, *UNLISTED])
def test_litellms_key_and_its_backend_stay_hidden(
    proxy: Process, backend: ModelServer, upstream: ModelServer, ask: Ask, model: str
) -> None:
    answer = ask(proxy.url, model)

    shown = f"{answer.headers.multi_items()} {answer.text}"
    assert MASTER_KEY not in shown
    assert BACKEND_KEY not in shown
    assert backend.url not in shown
    assert not [name for name in answer.headers if name.startswith(("x-litellm-", "llm_provider-"))]
    assert not [request for request in upstream.requests if MASTER_KEY in wire(request)]
    assert MASTER_KEY not in proxy.output()


def test_the_clients_key_reaches_upstream(proxy: Process, upstream: ModelServer) -> None:
    ask_chat(proxy.url, "gpt-4.1")

    (asked,) = upstream.requests
    assert asked.values("authorization") == [f"Bearer {CLIENT_KEY}"]


def test_litellms_errors_reach_the_client(proxy: Process, upstream: ModelServer, unknown_model: str) -> None:
    answer = ask_chat(proxy.url, unknown_model)

    assert (answer.status, answer.route) == (400, "litellm; reason=model")
    assert unknown_model in answer.body
    assert upstream.requests == []


def test_its_models_that_a_glob_covers_are_listed(real_litellm: Process, tmp_path: Path) -> None:
    own = {"id": "gpt-5.5", "object": "model", "created": 1, "owned_by": "openai"}

    async def listing(_: Request, reply: Reply) -> None:
        await reply.json(200, {"object": "list", "data": [own]})

    config = hybrid_config(real_litellm.url, models=["gpt-*", "mine"])
    with in_thread(Server(listing)) as cliproxyapi, mitmdump(config, cliproxyapi.url, tmp_path) as proxy:
        listed = httpx.get(f"{proxy.url}/v1/models", trust_env=False).json()["data"]
    assert listed[0] == own
    assert [entry["id"] for entry in listed[1:]] == ["mine", "gpt-5"]
