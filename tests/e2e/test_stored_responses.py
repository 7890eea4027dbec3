"""What LiteLLM has made is asked of LiteLLM: a response that is continued, read, deleted or cancelled there."""

import asyncio
import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.harness import PATIENCE, Answer, Client, Fields, Proxy, Stub, settings, until
from support import processes
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

MADE = "resp_0a1b2c"
CODED = (
    "resp_" + base64.b64encode(b"litellm:custom_llm_provider:openai;model_id:1;response_id:resp_2").decode()
)
ASK = {"model": "gpt-5.5", "input": "Hello"}
CLIENT = (("Authorization", "Bearer sk-client"),)
KEYS: dict[str, Any] = {"models": [], "fallback": {"enabled": True}, "client-api-keys": ["sk-client", "sk-2"]}


def response(made: str) -> dict[str, Any]:
    text = {"type": "output_text", "text": "Hi", "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "content": [text]}
    return {"id": made, "object": "response", "status": "completed", "output": [message], "model": "m"}


@dataclass
class World:
    """Upstream is exhausted for the first request of each test; LiteLLM answers, streamed if that is asked."""

    proxy: Proxy
    upstream: Stub
    litellm: Stub
    is_exhausted: bool = True

    async def asked_upstream(self, _: Request, reply: Reply) -> None:
        if self.is_exhausted:
            await reply.json(429, {"error": {"type": "usage_limit_reached", "message": "used up"}})
        else:
            await reply.json(200, response("resp_upstream"))

    async def asked_litellm(self, request: Request, reply: Reply) -> None:
        assert request.values("authorization") == [f"Bearer {MASTER_KEY}"]
        if request.method == "POST" and request.body and request.json().get("stream"):
            begun = {"type": "response.created", "response": {**response(MADE), "output": []}}
            text = {"type": "response.output_text.delta", "delta": "Hi" * 30_000}
            done = {"type": "response.completed", "response": response(MADE)}
            await reply.events(
                f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in (begun, text, done)
            )
        else:
            await reply.json(200, response(MADE))

    async def made(self, *, stream: bool = False) -> None:
        answer = await self.ask("POST", "/v1/responses", ASK | {"stream": stream})
        assert answer.route == "litellm; reason=fallback; upstream-status=429"
        self.is_exhausted = False

    async def ask(self, method: str, path: str, body: object = b"", headers: Fields = CLIENT) -> Answer:
        return await self.proxy.ask(method, path, body, headers)


@pytest.fixture
async def world(start: Start, upstream: Stub, litellm: Stub) -> World:
    world = World(await start(**KEYS), upstream, litellm)
    upstream.does, litellm.does = world.asked_upstream, world.asked_litellm
    return world


STICKY = "litellm; reason=sticky"


@pytest.mark.parametrize("stream", [False, True])
async def test_its_response_is_continued_there(world: World, *, stream: bool) -> None:
    await world.made(stream=stream)
    body = ASK | {"previous_response_id": MADE}
    answer = await world.ask("POST", "/v1/responses", body)
    assert (answer.status, answer.route) == (200, STICKY)
    assert world.litellm.last.json() == body
    assert len(world.upstream.requests) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/v1/responses/{MADE}?include=usage"),
        ("DELETE", f"/v1/responses/{MADE}"),
        ("POST", f"/v1/responses/{MADE}/cancel"),
        ("GET", f"/v1/responses/{MADE}/input_items"),
    ],
)
async def test_its_response_is_looked_for_there(world: World, method: str, path: str) -> None:
    await world.made()
    answer = await world.ask(method, path)
    assert (answer.status, answer.route) == (200, STICKY)
    assert (world.litellm.last.method, world.litellm.last.target) == (method, path)


@pytest.mark.parametrize(("method", "path"), [("GET", f"/v1/responses/{CODED}"), ("POST", "/v1/responses")])
async def test_an_id_that_shows_its_maker_needs_no_memory(world: World, method: str, path: str) -> None:
    body = ASK | {"previous_response_id": CODED} if method == "POST" else b""
    assert (await world.ask(method, path, body)).route == STICKY


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", "/v1/responses/resp_other", b"", CLIENT),
        ("GET", f"/v1/responses/{MADE}", b"", (("Authorization", "Bearer sk-2"),)),
        ("PUT", f"/v1/responses/{MADE}", b"", CLIENT),
        ("GET", f"/v1/responses/{MADE}/else", b"", CLIENT),
        ("POST", "/v1/responses", ASK | {"previous_response_id": "resp_other"}, CLIENT),
        ("POST", "/v1/responses", ASK, CLIENT),
    ],
    ids=[
        "another",
        "another-client",
        "another-method",
        "another-path",
        "continues-another",
        "continues-none",
    ],
)
async def test_all_else_is_upstreams(
    world: World, method: str, path: str, body: object, headers: Fields
) -> None:
    await world.made()
    assert str((await world.ask(method, path, body, headers)).route).startswith("upstream; ")
    assert len(world.litellm.requests) == 1


async def test_who_may_not_spend_the_key_gets_none_of_it(world: World) -> None:
    answer = await world.ask("GET", f"/v1/responses/{CODED}", headers=[("Authorization", "Bearer sk-x")])
    assert answer.status == 403
    assert world.litellm.requests == []


async def test_any_worker_knows_what_litellm_made_for_another(
    tmp_path: Path, start: Start, upstream: Stub, litellm: Stub
) -> None:
    world = World(await start(), upstream, litellm)
    upstream.does, litellm.does = world.asked_upstream, world.asked_litellm
    config = settings(litellm.url, models=[], fallback={"enabled": True})
    workers: set[str] = set()
    with processes.serve(config, upstream.url, tmp_path, "--workers", "2") as process:
        # One that has only just begun is told by the store, a moment later.
        await until(lambda: process.output().count("serving on") == 2)
        client = await Client.connect(process.port)
        made = await client.ask("POST", "/v1/responses", ASK, CLIENT)
        assert str(made.route).startswith("litellm; reason=fallback")
        world.is_exhausted = False
        await client.close()
        async with asyncio.timeout(PATIENCE):
            while len(workers) < 2:
                client = await Client.connect(process.port)
                workers.add((await client.ask("GET", "/_hybrid/status?format=json")).json()["worker"])
                answer = await client.ask("GET", f"/v1/responses/{MADE}", b"", CLIENT)
                assert answer.route == STICKY
                await client.close()
