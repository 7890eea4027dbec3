"""Each promise of the README once, through a real `mitmdump -s`: what a newcomer's `./scripts/test` runs."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from e2e.fallback_support import (
    CHAT,
    FELL_BACK,
    MESSAGES,
    OPENING,
    OUT_OF_QUOTA,
    OVERLOADED,
    QUOTA,
    SSE,
    failed,
)
from e2e.harness import LITELLM_502, UPSTREAM_502, Stub, hello
from support.processes import MASTER_KEY, Process, hybrid_config, mitmdump
from support.servers import Reply, in_thread
from support.wire import Request

pytestmark = pytest.mark.smoke

CLIENT_KEY = "client-secret-4712"
CONTENT = b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}\n\n'
STOP = b'data: {"type":"message_stop"}\n\n'


@pytest.fixture(scope="module")
def upstream() -> Iterator[Stub]:
    with in_thread(server := Stub()):
        yield server


@pytest.fixture(scope="module")
def litellm() -> Iterator[Stub]:
    with in_thread(server := Stub()):
        yield server


@pytest.fixture(scope="module")
def proxy(upstream: Stub, litellm: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    config = hybrid_config(litellm.url, models=["gpt-5"], fallback={"enabled": True})
    with mitmdump(config, upstream.url, tmp_path_factory.mktemp("mitmdump")) as process:
        yield process


@pytest.fixture(autouse=True)
def _anew(upstream: Stub, litellm: Stub) -> None:
    for server in (upstream, litellm):
        server.requests.clear()
        server.does = hello


@pytest.fixture
def client(proxy: Process) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {CLIENT_KEY}"}
    with httpx.Client(base_url=proxy.url, headers=headers, trust_env=False, timeout=60) as client:
        yield client


async def completion(_: Request, reply: Reply) -> None:
    message = {"role": "assistant", "content": "hi"}
    await reply.json(200, {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})


def test_a_listed_model_goes_to_litellm_with_its_own_key(client: httpx.Client, litellm: Stub) -> None:
    answer = client.post(CHAT, json={"model": "gpt-5"})
    assert answer.headers["x-hybrid-route"].startswith("litellm; reason=model")
    assert litellm.last.values("authorization") == [f"Bearer {MASTER_KEY}"]
    assert CLIENT_KEY not in repr(litellm.last)


def test_another_goes_upstream_untouched(client: httpx.Client, upstream: Stub) -> None:
    body = b'{ "model" : "o3", "x": "\\u00e9" }'
    answer = client.post(CHAT, content=body, headers={"X-Custom": "Kept"})
    assert answer.headers["x-hybrid-route"] == "upstream; reason=not-listed"
    assert upstream.last.body == body
    assert (b"X-Custom", b"Kept") in upstream.last.headers
    assert upstream.last.values("authorization") == [f"Bearer {CLIENT_KEY}"]


def test_a_request_id_goes_all_the_way(client: httpx.Client, upstream: Stub, litellm: Stub) -> None:
    for model, server in (("o3", upstream), ("gpt-5", litellm)):
        answer = client.post(CHAT, json={"model": model}, headers={"x-request-id": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
        assert server.last.values("x-request-id") == ["mine-1"]


def test_an_exhausted_account_is_replaced(client: httpx.Client, upstream: Stub, litellm: Stub) -> None:
    upstream.does, litellm.does = OUT_OF_QUOTA, completion
    answer = client.post(CHAT, json={"model": "o3"})
    assert answer.status_code == 200
    assert answer.headers["x-hybrid-route"].startswith(FELL_BACK)
    assert json.loads(litellm.last.body)["model"] == "o3"


def test_an_error_in_a_stream_is_replaced_by_a_stream(
    client: httpx.Client, upstream: Stub, litellm: Stub
) -> None:
    """The client has LiteLLM's first event before LiteLLM sends its last."""
    seen = threading.Event()

    async def overloaded(_: Request, reply: Reply) -> None:
        await reply.events([OPENING, OVERLOADED])

    async def answer(_: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        await reply.chunk(CONTENT)
        while not seen.is_set():
            await reply.pause(0.01)
        await reply.chunk(STOP)
        await reply.end()

    upstream.does, litellm.does = overloaded, answer
    received = b""
    with client.stream("POST", MESSAGES, json={"model": "claude", "stream": True}) as response:
        for piece in response.iter_raw():
            received += piece
            seen.set()
    assert response.headers["x-hybrid-route"].startswith("litellm; reason=fallback; upstream-status=200")
    assert received == CONTENT + STOP


def test_where_litellm_cannot_help_the_first_answer_stands(
    client: httpx.Client, upstream: Stub, litellm: Stub
) -> None:
    async def refuses(_: Request, reply: Reply) -> None:
        await reply.json(500, {"error": {"message": "no"}})

    upstream.does, litellm.does = OUT_OF_QUOTA, refuses
    answer = client.post(CHAT, json={"model": "o3"})
    assert (answer.status_code, answer.content) == (429, QUOTA)
    assert answer.headers["x-hybrid-route"] == failed("500")


def test_a_request_fault_is_passed_on(client: httpx.Client, upstream: Stub, litellm: Stub) -> None:
    fault = {"error": {"message": "max_tokens: must be positive", "type": "invalid_request_error"}}

    async def refuses(_: Request, reply: Reply) -> None:
        await reply.json(400, fault)

    upstream.does = refuses
    answer = client.post(CHAT, json={"model": "o3"})
    assert (answer.status_code, answer.json()) == (400, fault)
    assert not litellm.requests


def test_codex_is_sent_from_its_websocket_to_http(client: httpx.Client) -> None:
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "a",
        "sec-websocket-version": "13",
    }
    assert client.get("/v1/responses", headers=upgrade).status_code == 426


def test_the_proxys_own_pages(client: httpx.Client) -> None:
    assert client.get("/_hybrid/health").status_code == 200
    assert client.get("/_hybrid/status", headers={"accept": "application/json"}).json()
    assert "litellm_hybrid_requests_total" in client.get("/_hybrid/metrics").text


def test_servers_that_are_not_there_and_a_reload(tmp_path: Path) -> None:
    """Both 502s, word for word; then the file is changed, and the same model goes upstream."""
    litellm, upstream = "http://127.0.0.1:1", "http://127.0.0.1:2"
    with mitmdump(hybrid_config(litellm, models=["gpt-5"]), upstream, tmp_path) as process:
        url = process.url + CHAT
        with httpx.Client(trust_env=False, timeout=60) as client:
            assert client.post(url, json={"model": "gpt-5"}).content == LITELLM_502
            assert client.post(url, json={"model": "o3"}).content == UPSTREAM_502
            (file,) = tmp_path.glob("*.yaml")
            file.write_text(json.dumps(hybrid_config(litellm, models=["other"])))
            process.wait_for("models:")
            assert client.post(url, json={"model": "gpt-5"}).content == UPSTREAM_502
