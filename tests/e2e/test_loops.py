"""A model of LiteLLM's that leads back to this proxy: requests end, with upstream's answer."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from e2e.conftest import Start
from e2e.harness import PATIENCE, Proxy, Stub, hello, until
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

CHAT = "/v1/chat/completions"
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Read "}, {"type": "text", "text": "the file"}]},
    {"role": "assistant", "content": "Which?"},
    {"role": "user", "content": "This one"},
]
BODY: dict[str, Any] = {"model": "gpt-5", "messages": TURNS}
AS_RESPONSES = {
    "model": "gpt-5",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Read the file"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Which?"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "This one"}]},
    ],
}
AS_GEMINI = {
    "contents": [
        {"parts": [{"text": "Read the file"}]},
        {"role": "model", "parts": [{"text": "Which?"}]},
        {"role": "user", "parts": [{"text": "This one"}]},
    ]
}
AGENT = (("Authorization", "Bearer sk-client"), ("User-Agent", "claude-cli/2.1"))
OTHER = [{"role": "user", "content": "Read the file"}, {"role": "user", "content": "That one"}]
OF_LITELLM = {"Authorization": "Bearer sk-of-the-deployment", "User-Agent": "AsyncOpenAI/Python 2.9.0"}
TRIES = 4
KEYS: dict[str, Any] = {"fallback": {"enabled": True}}


class Looping:
    """LiteLLM: asks the proxy for what it is asked for, several times where that fails."""

    def __init__(self, path: str = CHAT, body: Any = BODY, headers: dict[str, str] = OF_LITELLM) -> None:
        self.path, self.body, self.headers = path, body, headers
        self.url = ""
        self.routes: list[tuple[int, str]] = []

    async def __call__(self, _: Request, reply: Reply) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            for _attempt in range(TRIES):
                answer = await client.post(self.url + self.path, json=self.body, headers=self.headers)
                self.routes.append((answer.status_code, answer.headers["x-hybrid-route"]))
                if answer.status_code == 200:
                    break
        await reply.send(answer.status_code, answer.content, {"content-type": "application/json"})

    async def behind(self, proxy: Proxy, litellm: Stub) -> None:
        self.url = proxy.url
        litellm.does = self


@pytest.mark.parametrize(
    ("path", "body"),
    [(CHAT, BODY), ("/v1/responses", AS_RESPONSES), ("/v1beta/models/gpt-5:generateContent", AS_GEMINI)],
)
async def test_a_listed_model_is_served_by_upstream(
    start: Start, upstream: Stub, litellm: Stub, path: str, body: Any
) -> None:
    loop, proxy = Looping(path, body), await start(**KEYS)
    await loop.behind(proxy, litellm)
    answer = await proxy.ask("POST", CHAT, BODY, AGENT)
    assert answer.status == 200
    assert loop.routes == [(200, "upstream; reason=never-reroute")]
    assert (len(upstream.requests), len(litellm.requests)) == (1, 1)
    assert [line.level for line in proxy.lines if line.fields.get("event") == "loop"] == ["ERROR"]


@pytest.mark.parametrize("listed", [True, False])
async def test_an_exhausted_upstream_is_asked_three_times_at_most(
    start: Start, upstream: Stub, litellm: Stub, *, listed: bool
) -> None:
    async def exhausted(_: Request, reply: Reply) -> None:
        await reply.json(429, {"error": {"type": "usage_limit_reached", "message": "used up"}})

    upstream.does = exhausted
    loop, proxy = Looping(), await start(**KEYS, **({} if listed else {"models": []}))
    await loop.behind(proxy, litellm)
    answer = await proxy.ask("POST", CHAT, BODY, AGENT)
    assert answer.status in {429, 508}
    assert [status for status, _ in loop.routes] == [429, 429, 508, 508]
    assert len(upstream.requests) == (2 if listed else 3)
    assert len(litellm.requests) == 1


@pytest.mark.parametrize("headers", [AGENT, (("User-Agent", "opencode"),)])
async def test_one_that_the_client_has_left_ends(
    start: Start, upstream: Stub, litellm: Stub, headers: Any
) -> None:
    """LiteLLM goes on, and asks when nobody waits any more."""
    has_left = asyncio.Event()
    loop = Looping()

    async def slow(request: Request, reply: Reply) -> None:
        await has_left.wait()
        await loop(request, reply)

    proxy = await start(**KEYS)
    loop.url, litellm.does = proxy.url, slow
    client = await proxy.client()
    await client.request("POST", CHAT, BODY, headers)
    await litellm.seen()
    await client.close()
    await until(lambda: proxy.log("client disconnected"))
    has_left.set()
    await until(lambda: loop.routes)
    assert loop.routes == [(200, "upstream; reason=never-reroute")]
    assert (len(upstream.requests), len(litellm.requests)) == (1, 1)


@pytest.mark.parametrize("api_base", ["https://api.openai.com/v1", None])
async def test_two_users_who_say_the_same_are_no_loop_where_no_model_leads_here(
    start: Start, litellm: Stub, api_base: str | None
) -> None:
    """LiteLLM is asked where its models lead, at the start: from its answer on it is known."""
    waiting = asyncio.Event()

    async def slow(_: Request, reply: Reply) -> None:
        await waiting.wait()
        await reply.json(200, {"choices": [{"message": {"content": "Hi"}}]})

    litellm.does = slow
    litellm.deployments = [{"model_name": "gpt-5", "litellm_params": {"api_base": api_base}}]
    proxy = await start(**KEYS)
    other = [("User-Agent", "other"), ("Authorization", "Bearer sk-other")]
    first = asyncio.create_task(proxy.ask("POST", CHAT, BODY, AGENT))
    await litellm.seen()
    await until(lambda: litellm.model_info_asked)

    async def goes_to_litellm() -> bool:
        before = len(litellm.requests)
        task = asyncio.create_task(proxy.ask("POST", CHAT, BODY, other))
        await asyncio.wait([task], timeout=0.2)
        found = len(litellm.requests) > before and not task.done()
        tasks.append(task)
        return found

    tasks: list[asyncio.Task[Any]] = []
    async with asyncio.timeout(PATIENCE):
        while not await goes_to_litellm():
            pass
    waiting.set()
    assert (await first).status == 200
    assert (await tasks[-1]).route.startswith("litellm; reason=model")
    await asyncio.gather(*tasks)


OUR_KEY = {"Authorization": f"Bearer {MASTER_KEY}"}


@pytest.mark.parametrize("clients", [False, True], ids=["", "it-is-a-clients"])
async def test_with_our_own_key_it_may_say_anything(start: Start, litellm: Stub, *, clients: bool) -> None:
    """LiteLLM may have changed the words, or the client has that key."""
    loop = Looping(CHAT, BODY | {"messages": OTHER}, OUR_KEY)
    keys = [MASTER_KEY, "sk-client"] if clients else []
    proxy = await start(**KEYS, **{"client-api-keys": keys})
    loop.url = proxy.url

    async def once(request: Request, reply: Reply) -> None:
        litellm.does = hello
        await loop(request, reply)

    litellm.does = once
    assert (await proxy.ask("POST", CHAT, BODY, AGENT)).status == 200
    assert [route.partition(";")[0] for _, route in loop.routes] == ["litellm" if clients else "upstream"]


async def test_a_client_alone_may_use_litellms_key(start: Start) -> None:
    proxy = await start(**KEYS)
    for _ in range(2):
        answer = await proxy.ask("POST", CHAT, BODY, list(OUR_KEY.items()))
        assert answer.route == "litellm; reason=model"


# -- what is none ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("second", "headers"),
    [
        (BODY, AGENT),
        (BODY | {"messages": OTHER}, AGENT),
        (BODY | {"messages": OTHER}, (("User-Agent", "codex"),)),
        ({"model": "gpt-5", "messages": []}, (("User-Agent", "codex"),)),
        ({"model": "gpt-5", "messages": [{"role": ["user"]}]}, (("User-Agent", "codex"),)),
        (
            {"model": "gpt-5", "messages": [{"role": "user", "content": [{"type": {}}]}]},
            (("User-Agent", "c"),),
        ),
    ],
    ids=["retry", "parallel-turn", "another-client", "says-nothing", "odd", "odder"],
)
async def test_no_loop(start: Start, upstream: Stub, litellm: Stub, second: Any, headers: Any) -> None:
    both = asyncio.Event()

    async def slow(request: Request, reply: Reply) -> None:
        await both.wait()
        await hello(request, reply)

    litellm.does = slow
    proxy = await start(**KEYS)
    first = asyncio.create_task(proxy.ask("POST", CHAT, BODY, AGENT))
    await litellm.seen()
    asked = asyncio.create_task(proxy.ask("POST", CHAT, second, headers))
    await litellm.seen(2)
    both.set()
    assert [(await answer).route for answer in (first, asked)] == ["litellm; reason=model"] * 2
    assert upstream.requests == []


async def test_what_has_begun_to_be_answered_does_not_come_back(start: Start, litellm: Stub) -> None:
    second = asyncio.Event()
    content = {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}

    async def stream(_: Request, reply: Reply) -> None:
        await reply.head(200, {"content-type": "text/event-stream"})
        await reply.chunk(f"data: {json.dumps(content)}\n\n")
        await second.wait()
        await reply.end()

    litellm.does = stream
    proxy = await start(**KEYS)
    client = await proxy.client()
    await client.request("POST", CHAT, BODY | {"stream": True}, AGENT)
    await client.head()
    litellm.does = hello
    answer = await proxy.ask("POST", CHAT, BODY, [("User-Agent", "codex")])
    assert answer.route == "litellm; reason=model"
    second.set()


async def test_nothing_of_it_is_kept(start: Start, litellm: Stub) -> None:
    proxy = await start(**KEYS)
    for _ in range(3):
        await proxy.ask("POST", CHAT, BODY, AGENT)
    assert len(litellm.requests) == 3
    loops = proxy.addon._policy.bypass.loops
    assert (len(loops._waiting), len(loops._left)) == (0, 0)
