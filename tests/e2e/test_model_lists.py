"""Upstream's lists of models also have what is routed, in the shape that the client has asked for."""

import gzip
import json
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.harness import Proxy, Stub, black_hole, hello
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

OPENAI = {
    "data": [{"id": "gpt-5.5", "object": "model", "created": 1, "owned_by": "openai"}],
    "object": "list",
}
OLD_ANTHROPIC: dict[str, Any] = {
    "data": [
        {"id": "claude-sonnet-4-5", "type": "model", "display_name": "S", "created_at": 1},
        {"id": "gpt-5.5", "type": "model", "display_name": "G", "created_at": 1},
    ],
    "first_id": "claude-sonnet-4-5",
    "has_more": False,
    "last_id": "gpt-5.5",
}
ANTHROPIC: dict[str, Any] = {
    "data": [
        {
            "id": "claude-sonnet-4-5",
            "type": "model",
            "display_name": "S",
            "created_at": "2026-11-27T03:08:57Z",
        }
    ],
    "first_id": "claude-sonnet-4-5",
    "has_more": False,
    "last_id": "claude-sonnet-4-5",
}
DISGUISED = {"type": "model", "id": "claude-fable-5-dd-5.5-tpg", "display_name": "G", "created_at": "2026"}
GEMINI = {"models": [{"name": "models/gemini-2.5-pro", "displayName": "P"}]}
CODEX = {"models": [{"slug": "gpt-5.5", "base_instructions": "x"}]}
OF_LITELLM = {"data": [{"id": name} for name in ("gpt-4.1", "GPT-5.5", "llama", "openrouter/*")]}

KEYS: dict[str, Any] = {
    "models": ["gpt-4*", "my-own", "gpt-5.5", "mapped-*", "claude-x"],
    "model-mappings": {"Mapped-1": "a", "mapped-*": "b", "not-routed": "c"},
}


class Servers:
    """Upstream, with a list that a test chooses, and LiteLLM, with its own."""

    def __init__(self, upstream: Stub, litellm: Stub) -> None:
        self.list: Any = OPENAI
        self.status = 200
        self.chunked = False
        self.coding = ""
        self.of_litellm: Any = OF_LITELLM
        upstream.does, litellm.does = self.upstream, self.litellm

    async def upstream(self, _: Request, reply: Reply) -> None:
        body = json.dumps(self.list).encode()
        headers = {"content-type": "application/json"}
        if self.coding:
            body, headers["content-encoding"] = gzip.compress(body), self.coding
        if self.chunked:
            await reply.head(self.status, headers)
            await reply.chunk(body[:20])
            await reply.chunk(body[20:])
            await reply.end()
        else:
            await reply.send(self.status, body, headers)

    async def litellm(self, request: Request, reply: Reply) -> None:
        assert request.path == "/v1/models"
        assert request.values("authorization") == [f"Bearer {MASTER_KEY}"]
        await reply.json(200 if self.of_litellm else 500, self.of_litellm or {})


@pytest.fixture
def servers(upstream: Stub, litellm: Stub) -> Servers:
    return Servers(upstream, litellm)


def ids(body: Any) -> list[str]:
    return [entry.get("id") or entry["name"] for entry in body.get("data") or body["models"]]


async def listed(proxy: Proxy, path: str = "/v1/models") -> Any:
    answer = await proxy.ask("GET", path)
    assert (answer.status, answer.whole) == (200, True)
    return answer.json()


OURS = ["my-own", "claude-x", "Mapped-1", "gpt-4.1"]
HIDDEN = ["claude-fable-5-dd-nwo-ym", "claude-x", "claude-fable-5-dd-1-deppaM", "claude-fable-5-dd-1.4-tpg"]


@pytest.mark.parametrize(
    ("shape", "own", "added"),
    [
        (OPENAI, ["gpt-5.5"], OURS),
        (OLD_ANTHROPIC, ["claude-sonnet-4-5", "gpt-5.5"], OURS),
        (
            ANTHROPIC | {"data": [*ANTHROPIC["data"], DISGUISED]},
            ["claude-sonnet-4-5", "claude-fable-5-dd-5.5-tpg"],
            HIDDEN,
        ),
        (ANTHROPIC, ["claude-sonnet-4-5"], [HIDDEN[0], "claude-fable-5-dd-5.5-tpg", *HIDDEN[1:]]),
        (GEMINI, ["models/gemini-2.5-pro"], ["models/my-own", "models/gpt-5.5", "models/claude-x"]),
    ],
    ids=["openai", "anthropic-7.1", "anthropic-7.2", "anthropic-7.2-claude-only", "gemini"],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_what_is_routed_stands_behind_upstreams_own(
    servers: Servers, start: Start, shape: Any, own: list[str], added: list[str], chunked: bool
) -> None:
    servers.list, servers.chunked = shape, chunked
    proxy = await start(**KEYS)
    body = await listed(proxy, "/v1beta/models" if shape is GEMINI else "/v1/models")
    key = "models" if "models" in shape else "data"
    assert body[key][: len(shape[key])] == shape[key]
    assert ids(body)[: len(own) + len(added)] == [*own, *added]
    assert {name: body[name] for name in body if name not in {key, "last_id"}} == {
        name: shape[name] for name in shape if name not in {key, "last_id"}
    }
    if "last_id" in body:
        assert body["last_id"] == ids(body)[-1]
        assert {type(entry["created_at"]) for entry in body["data"]} == {type(shape["data"][0]["created_at"])}


@pytest.mark.parametrize(
    ("keys", "added"),
    [
        ({"models": ["gpt-4*", "a"]}, ["a", "gpt-4.1"]),
        ({"models": ["a"], "model-mappings": {"gpt-5.4": "x"}}, ["a"]),
        ({"models": [], "passthrough-mode": True}, ["gpt-4.1", "llama"]),
        ({"models": ["gpt-4*", "a"], "models-list": "pass"}, []),
        ({"enabled": False, "models": ["a"], "fallback": {"enabled": True}}, []),
        ({"models": ["a"], "client-api-keys": ["sk-another"]}, []),
    ],
)
@pytest.mark.usefixtures("servers")
async def test_which_models_are_added(start: Start, keys: dict[str, Any], added: list[str]) -> None:
    proxy = await start(**keys)
    assert ids(await listed(proxy)) == ["gpt-5.5", *added]


async def test_without_litellm_the_exact_names_are_there(servers: Servers, start: Start) -> None:
    servers.of_litellm = None
    proxy = await start(models=["gpt-4*", "a"])
    assert ids(await listed(proxy)) == ["gpt-5.5", "a"]


async def test_litellms_list_is_kept(servers: Servers, start: Start, litellm: Stub) -> None:
    proxy = await start(models=["gpt-4*", "a"])
    for _ in range(3):
        assert ids(await listed(proxy)) == ["gpt-5.5", "a", "gpt-4.1"]
        servers.of_litellm = None
    assert len(litellm.requests) == 1


async def test_a_litellm_that_does_not_answer_delays_nothing_for_long(start: Start, upstream: Stub) -> None:
    upstream.does = Servers(upstream, Stub()).upstream
    with black_hole() as (port, _):
        proxy = await start(models=["gpt-4*", "a"], litellm_url=f"http://127.0.0.1:{port}")
        assert ids(await listed(proxy)) == ["gpt-5.5", "a"]


async def test_a_list_that_needs_nothing_is_untouched(servers: Servers, start: Start) -> None:
    servers.list = CODEX
    proxy = await start(models=["a"])
    for _ in range(2):
        answer = await proxy.ask("GET", "/v1/models?client_version=1")
        assert answer.body == json.dumps(CODEX).encode()
        servers.chunked = True
    servers.list, servers.status = OPENAI, 401
    assert (await proxy.ask("GET", "/v1/models")).json() == OPENAI


async def test_a_compressed_list_stays_compressed(servers: Servers, start: Start) -> None:
    proxy = await start(models=["a"])
    servers.coding = "gzip"
    for servers.chunked in (False, True):
        answer = await proxy.ask("GET", "/v1/models", headers=[("Accept-Encoding", "gzip")])
        assert answer.header("content-encoding") == "gzip"
        assert ids(json.loads(gzip.decompress(answer.body))) == ["gpt-5.5", "a"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_list_without_end_is_passed_on(servers: Servers, start: Start, chunked: bool) -> None:
    servers.list, servers.chunked = {"data": [{"id": "x" * 5_000_000}]}, chunked
    proxy = await start(models=["a"])
    assert (await proxy.ask("GET", "/v1/models")).json() == servers.list


@pytest.mark.parametrize("shape", [OPENAI, ANTHROPIC | {"data": [DISGUISED]}, CODEX])
async def test_a_model_that_upstream_has_listed_lacks_a_credential(
    servers: Servers, start: Start, upstream: Stub, litellm: Stub, shape: Any
) -> None:
    async def unknown(_: Request, reply: Reply) -> None:
        await reply.json(400, {"error": {"message": "unknown provider for model gpt-5.5"}})

    servers.list = shape
    proxy = await start(models=[], fallback={"enabled": True}, models_list="pass")
    upstream.does, litellm.does = unknown, hello
    assert (await proxy.post("gpt-5.5")).status == 400
    upstream.does = servers.upstream
    await listed(proxy)
    upstream.does = unknown
    assert (await proxy.post("gpt-5.5")).route == "litellm; reason=fallback; upstream-status=400"
