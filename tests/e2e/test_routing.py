"""Which server a request reaches, what the answer says about it, and how the model is spelt there."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest

from e2e.conftest import Start
from e2e.harness import Stub, said_hello, settings, until
from litellm_hybrid.errors import LITELLM_UNREACHABLE
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

CHAT = "/v1/chat/completions"
MODELS = ["gpt-5", "claude-*", "Gemini-2.5-Pro", "vendor/model"]


@dataclass(frozen=True)
class Case:
    """A request and where it has to go."""

    name: str
    route: str
    body: bytes | object = b""
    method: str = "POST"
    target: str = CHAT
    headers: tuple[tuple[str, str], ...] = ()
    arrives: object = None
    at: str = ""
    asked: int = 0
    keys: dict[str, Any] = field(default_factory=dict)


FORM = (
    b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nGPT-5\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\x00\xff\r\n--x--\r\n'
)
FORM_TYPE = (("Content-Type", "multipart/form-data; boundary=x"),)
JSON_TYPE = (("Content-Type", "application/json"),)
OFF = {"enabled": False}
NEVER = "upstream; reason=never-reroute"
TO_LITELLM = "litellm; reason=model"
ALL = {"passthrough_mode": True}

CASES = [
    # the fork's own list
    Case("the fork's list: listed", TO_LITELLM, b'{"model": "gpt-5"}', headers=JSON_TYPE),
    Case("the fork's list: unlisted", "upstream; reason=not-listed", b'{"model": "o3-mini"}'),
    Case("the fork's list: {}", "upstream; reason=no-model", b"{}"),
    Case("the fork's list: invalid", "upstream; reason=unreadable-body", b"invalid"),
    # the model's name
    Case("LiteLLM's spelling", TO_LITELLM, {"model": " GPT-5 ", "n": 1}, arrives={"model": "gpt-5", "n": 1}),
    Case(
        "a thinking suffix",
        TO_LITELLM,
        {"model": "gpt-5(high)"},
        arrives={"model": "gpt-5", "reasoning_effort": "high"},
    ),
    Case("a long context", TO_LITELLM, {"model": "gpt-5[1m]"}, arrives={"model": "gpt-5"}),
    Case(
        "as CLIProxyAPI's list names it for Claude Code",
        TO_LITELLM,
        {"model": "claude-fable-5-dd-5-tpg"},
        target="/v1/messages",
        arrives={"model": "gpt-5"},
    ),
    Case("a trailing comma", TO_LITELLM, b'{"model":"gpt-5","x":1,}', arrives=b'{"model":"gpt-5","x":1}'),
    Case("a glob", TO_LITELLM, {"model": "Claude-3-Opus"}, arrives={"model": "Claude-3-Opus"}),
    Case(
        "a mapping",
        TO_LITELLM,
        {"model": "claude-3-opus"},
        arrives={"model": "anthropic/opus"},
        keys={"model_mappings": {"claude-3*": "anthropic/opus"}},
    ),
    Case(
        "a mapping alone",
        "upstream; reason=not-listed",
        {"model": "o3"},
        arrives={"model": "o3"},
        keys={"model_mappings": {"o3": "gpt-5"}},
    ),
    Case("not a string", "upstream; reason=no-model", {"model": 5}),
    Case("blank", "upstream; reason=no-model", {"model": "  "}),
    Case("no body", "upstream; reason=no-model"),
    Case("the first of two", TO_LITELLM, b'{"model":"gpt-5","model":"o3"}'),
    Case(
        "the content type does not matter", TO_LITELLM, {"model": "gpt-5"}, headers=(("Content-Type", "x/y"),)
    ),
    Case(
        "a form field",
        TO_LITELLM,
        FORM,
        target="/v1/audio/transcriptions",
        headers=FORM_TYPE,
        arrives=FORM.replace(b"GPT-5", b"gpt-5"),
    ),
    # paths
    Case(
        "Gemini",
        TO_LITELLM,
        {"contents": []},
        target="/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse&key=abc",
        at="/v1beta/models/Gemini-2.5-Pro:streamGenerateContent?alt=sse",
    ),
    Case(
        "google-genai 3",
        TO_LITELLM,
        {"contents": []},
        target="/v1/models/gemini-2.5-pro%3AgenerateContent",
        at="/v1beta/models/Gemini-2.5-Pro:generateContent",
    ),
    Case(
        "Vertex",
        TO_LITELLM,
        {"contents": []},
        target="/v1beta1/publishers/google/models/gemini-2.5-pro:generateContent",
        at="/v1beta/models/Gemini-2.5-Pro:generateContent",
    ),
    Case(
        "percent-encoded",
        TO_LITELLM,
        {"contents": []},
        target=f"/v1beta/models/{quote('VENDOR/model', safe='')}:generateContent",
        at="/v1beta/models/vendor/model:generateContent",
    ),
    Case(
        "Gemini, unlisted",
        "upstream; reason=not-listed",
        {"contents": []},
        target="/v1beta/models/gemini-1.0:generateContent?key=abc",
        at="/v1beta/models/gemini-1.0:generateContent?key=abc",
    ),
    Case(
        "Codex with a ChatGPT login",
        TO_LITELLM,
        {"model": "gpt-5"},
        target="/backend-api/codex/responses",
        at="/v1/responses",
    ),
    Case(
        "Amp",
        TO_LITELLM,
        {"model": "gpt-5"},
        target="/api/provider/openai/v1/chat/completions",
        at=CHAT,
    ),
    Case(
        "Amp, unlisted",
        "upstream; reason=not-listed",
        {"model": "o3"},
        target="/api/provider/openai/v1/chat/completions?a=b",
        at="/api/provider/openai/v1/chat/completions?a=b",
        asked=1,
    ),
    Case(
        "Amp, unlisted, prefix stripped",
        "upstream; reason=not-listed",
        {"model": "o3"},
        target="/api/provider/openai/v1/chat/completions?a=b",
        at=f"{CHAT}?a=b",
        keys={"strip_provider_prefix": True},
    ),
    Case(
        "Amp, unlisted, prefix left alone",
        "upstream; reason=not-listed",
        {"model": "o3"},
        target="/api/provider/openai/v1/chat/completions?a=b",
        keys={"strip_provider_prefix": False},
    ),
    # what stays upstream
    Case("GET", "upstream; reason=not-post", method="GET", target="/v1/files"),
    Case("PUT with a model", "upstream; reason=not-post", {"model": "gpt-5"}, method="PUT"),
    Case("management", NEVER, {"model": "gpt-5"}, target="/v0/management/config"),
    Case("Code Assist", NEVER, {"model": "gpt-5"}, target="/v1internal:generateContent"),
    Case("videos", NEVER, {"model": "gpt-5"}, target="/v1/videos"),
    Case("an agent", NEVER, {"model": "gpt-5", "agent": "a"}, target="/v1beta/interactions"),
    Case("a loop", NEVER, {"model": "gpt-5"}, headers=(("Via", "1.1 litellm-hybrid"),)),
    Case("a corrupt body", "upstream; reason=unreadable-body", b"x", headers=(("Content-Encoding", "gzip"),)),
    Case("an unknown coding", "upstream; reason=unreadable-body", b"x", headers=(("Content-Encoding", "x"),)),
    # settings
    Case("disabled", "upstream; reason=disabled", {"model": "gpt-5"}, keys=OFF),
    Case("disabled, GET", "upstream; reason=disabled", method="GET", keys=OFF),
    Case("disabled with passthrough", "upstream; reason=disabled", {"model": "gpt-5"}, keys=OFF | ALL),
    Case(
        "passthrough",
        "litellm; reason=passthrough",
        {"model": "o3(low)"},
        arrives={"model": "o3", "reasoning_effort": "low"},
        keys=ALL,
    ),
    Case("passthrough, listed", TO_LITELLM, {"model": "gpt-5"}, keys=ALL),
    Case("passthrough, no model", "upstream; reason=no-model", b"{}", keys=ALL),
    Case("passthrough, GET", "upstream; reason=not-post", method="GET", keys=ALL),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_where_a_request_goes(case: Case, start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(**({"models": MODELS} | case.keys))

    answer = await proxy.ask(case.method, case.target, case.body, case.headers)

    here, there = (litellm, upstream) if case.route.startswith("litellm") else (upstream, litellm)
    assert (answer.status, answer.route) == (200, case.route)
    assert len(here.requests) == 1 + case.asked
    assert there.requests == []
    assert here.last.target == (case.at or case.target)
    if isinstance(case.arrives, bytes):
        assert here.last.body == case.arrives
    elif case.arrives is not None:
        assert here.last.json() == case.arrives


async def test_without_a_base_url_all_goes_upstream(start: Start, upstream: Stub) -> None:
    proxy = await start(base_url=None)

    answer = await proxy.post("gpt-5")

    assert answer.route == "upstream; reason=no-base-url"
    assert len(upstream.requests) == 1
    assert proxy.log("has no effect without base-url")


AMP = "/api/provider/openai/v1/chat/completions"
PROBE = "/api/provider/openai/v1/models"


@pytest.mark.parametrize(
    ("status", "path", "asked_for_two"),
    [(404, CHAT, 1), (401, AMP, 1), (200, AMP, 1), (403, AMP, 2), (502, AMP, 2)],
)
async def test_the_provider_prefix_is_stripped_where_upstream_has_no_such_routes(
    status: int, path: str, asked_for_two: int, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """It is asked before the first request goes on, again while it does not say, and after a reload."""

    async def answer(request: Request, reply: Reply) -> None:
        await (
            reply.json(status, {}) if request.target == PROBE else reply.json(200, said_hello(request.path))
        )

    upstream.does = answer
    proxy = await start()
    for _ in range(2):
        assert (await proxy.ask("POST", AMP, {"model": "o3"})).status == 200
        assert upstream.last.target == path
    probes = [request for request in upstream.requests if request.target == PROBE]
    assert [(probe.method, probe.values("authorization")) for probe in probes] == [
        ("GET", [])
    ] * asked_for_two

    proxy.write(settings(litellm.url, models=["o3-mini"]))
    await until(lambda: proxy.log("o3-mini"))
    await proxy.ask("POST", AMP, {"model": "o3"})
    assert [request.target for request in upstream.requests[-2:]] == [PROBE, path]


async def test_a_routed_request_that_goes_upstream_after_all_is_stripped_too(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    async def answer(request: Request, reply: Reply) -> None:
        gone = request.target == PROBE
        await (reply.json(404, {}) if gone else reply.json(200, said_hello(request.path)))

    async def unknown(_: Request, reply: Reply) -> None:
        await reply.json(
            400, {"error": {"message": "Invalid model name passed in model=gpt-5", "code": "400"}}
        )

    upstream.does, litellm.does = answer, unknown
    proxy = await start(fallback={"to-upstream": True})

    assert (await proxy.ask("POST", AMP, {"model": "gpt-5"})).json()["hello"] == CHAT


async def test_it_is_asked_once_for_all_that_wait_and_they_may_leave(start: Start, upstream: Stub) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: Request, reply: Reply) -> None:
        if request.target == PROBE:
            asked.set()
            await go_on.wait()
            await reply.json(404, {})
        else:
            await reply.json(200, said_hello(request.path))

    upstream.does = answer
    proxy = await start()
    leaving = await proxy.client()
    await leaving.request("POST", AMP, {"model": "o3"})
    waiting = [asyncio.create_task(proxy.ask("POST", AMP, {"model": "o3"})) for _ in range(3)]
    await asked.wait()
    assert (await proxy.post("o3")).status == 200, "what is not Amp's does not wait"
    await leaving.close()
    go_on.set()

    assert [(await answered).json()["hello"] for answered in waiting] == [CHAT] * 3
    assert [request.target for request in upstream.requests].count(PROBE) == 1


@pytest.mark.parametrize("prefix", ["/litellm", "/a/b"])
async def test_the_base_urls_path_comes_first(prefix: str, start: Start, litellm: Stub) -> None:
    proxy = await start(litellm_url=litellm.url + prefix)

    await proxy.ask("POST", "/api/provider/openai/v1/chat/completions?x=1", {"model": "gpt-5"})

    assert litellm.last.target == f"{prefix}{CHAT}?x=1"
    assert litellm.last.header("host") == f"127.0.0.1:{litellm.port}"


async def test_a_request_for_litellm_carries_our_via(start: Start, litellm: Stub) -> None:
    proxy = await start(client_api_keys=["client-key"])

    await proxy.post("gpt-5", [("Via", "1.0 other"), ("X-Api-Key", "client-key")])

    assert litellm.last.values("via") == ["1.0 other, 1.1 litellm-hybrid"]


# -- access -----------------------------------------------------------------

WEB_PAGE = [("Origin", "https://example.com")]


@pytest.mark.parametrize(
    ("headers", "host", "status"),
    [
        (WEB_PAGE, "", 401),
        ([*WEB_PAGE, ("Authorization", "Bearer wrong")], "", 403),
        ([], "rebound.example.com", 401),
        ([*WEB_PAGE, ("Authorization", "Bearer client-key")], "", 200),
        ([*WEB_PAGE, ("x-api-key", "client-key")], "rebound.example.com", 200),
        # keys are configured: this machine's programs need one too
        ([], "localhost:1234", 401),
        ([("Authorization", "Bearer wrong")], "localhost:1234", 403),
        ([("Authorization", ""), ("Authorization", "Bearer client-key")], "localhost:1234", 401),
        ([("Authorization", "Bearer client-key")], "localhost:1234", 200),
        # through another proxy, that nobody has named
        ([("X-Forwarded-For", "127.0.0.1")], "", 401),
        ([("Forwarded", "for=127.0.0.1")], "", 401),
        ([("X-Real-IP", "127.0.0.1")], "", 401),
        ([("Via", "1.1 cloudflared")], "", 401),
        ([("Via", "1.1 cloudflared"), ("x-goog-api-key", "client-key")], "", 200),
    ],
)
async def test_who_may_spend_the_key(
    headers: list[tuple[str, str]], host: str, status: int, start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(client_api_keys=["client-key"])

    answer = await proxy.ask("POST", CHAT, {"model": "gpt-5"}, headers, host=host)

    assert answer.status == status
    assert upstream.requests == []
    assert len(litellm.requests) == (status == 200)
    if status != 200:
        assert (answer.route or "").endswith("; reason=refused")
        assert answer.json()["error"] == "litellm_access_refused"
        assert answer.header("content-type") == "application/json"
        assert answer.header("access-control-allow-origin") == "*", "a web client can read why"
        assert MASTER_KEY.encode() not in answer.body
        (line,) = proxy.log("access refused")
        assert line.level == "WARNING"


@pytest.mark.parametrize(
    ("keys", "headers", "status"),
    [
        ({}, [], 200),
        ({"client_api_keys": ["client-key"], "local_without_key": True}, [], 200),
        ({"client_api_keys": ["client-key"], "local_without_key": True}, WEB_PAGE, 401),
        ({}, [("Sec-Fetch-Site", "cross-site")], 401),
        ({}, [("Sec-Fetch-Site", "none")], 200),
    ],
)
async def test_this_machines_programs_without_a_key(
    keys: dict[str, Any], headers: list[tuple[str, str]], status: int, start: Start
) -> None:
    proxy = await start(**keys)

    assert (await proxy.post("gpt-5", headers)).status == status


# -- websockets -------------------------------------------------------------

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]


@pytest.mark.parametrize("target", ["/v1/responses", "/backend-api/codex/responses"])
async def test_codex_is_sent_from_its_websocket_to_http(target: str, start: Start, upstream: Stub) -> None:
    proxy = await start()
    client = await proxy.client()

    answer = await client.ask("GET", target, headers=UPGRADE)

    assert (answer.status, answer.route) == (426, "upstream; reason=websocket")
    assert answer.header("content-type") == "application/json"
    assert upstream.requests == []
    assert (await client.ask("POST", target, {"model": "gpt-5"})).route == TO_LITELLM


@pytest.mark.parametrize(
    ("keys", "target", "reason"),
    [
        ({"websocket": "pass"}, "/v1/responses", "websocket"),
        ({}, "/v1/realtime", "websocket"),
        ({"enabled": False}, "/v1/responses", "disabled"),
    ],
)
async def test_every_other_upgrade_is_left_alone(
    keys: dict[str, Any], target: str, reason: str, start: Start, upstream: Stub
) -> None:
    proxy = await start(**keys)

    async def switch(request: Any, reply: Any) -> None:
        accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        await reply.raw(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
        )
        frame = await request.connection.exactly(8)
        # A client's frame is masked; unmasked, the same comes back.
        mask, data = frame[2:6], frame[6:]
        await reply.raw(b"\x81\x02" + bytes(b ^ m for b, m in zip(data, mask, strict=False)))
        await reply.stall()

    upstream.does = switch
    client = await proxy.client()
    await client.request("GET", target, headers=[*UPGRADE, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
    status, headers = await client.head()
    await client.send(b"\x81\x82\x00\x00\x00\x00hi")

    assert status == 101
    assert (b"x-hybrid-route", f"upstream; reason={reason}".encode()) in headers
    assert await client.wire.exactly(4) == b"\x81\x02hi"


@pytest.mark.parametrize("forwarded_for", ["127.0.0.9", "10.0.0.9", "127.0.0.9, 10.0.0.9", "localhost"])
async def test_nobody_is_local_behind_a_trusted_proxy(forwarded_for: str, start: Start) -> None:
    """It can only repeat what another one says: local is who connects from this machine, with nothing between."""
    proxy = await start(trusted_proxies=["127.0.0.1"])

    answer = await proxy.post("gpt-5", [("X-Forwarded-For", forwarded_for), ("Via", "1.1 haproxy")])

    assert answer.status == 401


@pytest.mark.parametrize("model", ["gpt-5", "o3"])
async def test_the_servers_see_one_client_and_the_true_one(
    model: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(trusted_proxies=["127.0.0.1"], client_api_keys=["client-key"])
    made_up = [
        ("X-Api-Key", "client-key"),
        ("X-Forwarded-For", "127.0.0.7, 10.9.9.9, 127.0.0.1"),
        ("X-Real-IP", "10.9.9.9"),
        ("Forwarded", "for=10.9.9.9"),
    ]

    await proxy.post(model, made_up)

    arrived = litellm.last if model == "gpt-5" else upstream.last
    assert arrived.values("x-forwarded-for") == ["10.9.9.9"]
    assert arrived.values("x-real-ip") == arrived.values("forwarded") == []


MANAGEMENT = [
    "/v0/management/config",
    "/v0/management",
    "/management.html",
    "/V0//management/x",
    "/%760/management",
]


@pytest.mark.parametrize("path", MANAGEMENT)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_management_is_for_this_machine(method: str, path: str, start: Start, upstream: Stub) -> None:
    """Also while nothing is routed, and whatever key comes along: to upstream every client looks local."""
    proxy = await start(enabled=False, client_api_keys=["client-key"])
    client = await proxy.client()

    refused = await client.ask(method, path, b"", [("Via", "1.1 x"), ("X-Api-Key", "client-key")])
    assert (refused.status, refused.route) == (403, "none; reason=refused")
    assert upstream.requests == []

    assert (await client.ask(method, path, b"")).status == 200
    assert len(upstream.requests) == 1


async def test_no_more_requests_at_once_than_allowed(start: Start, litellm: Stub) -> None:
    go_on, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def answer(_: Request, reply: Reply) -> None:
        arrived.release()
        await go_on.wait()
        await reply.json(200, {})

    litellm.does = answer
    proxy = await start(max_in_flight=2)
    running = [asyncio.create_task(proxy.post("gpt-5")) for _ in range(2)]
    for _ in running:
        await arrived.acquire()

    for model in ("gpt-5", "o3"):
        refused = await proxy.post(model)
        assert (refused.status, refused.header("retry-after")) == (503, "1")
        assert refused.route == "none; reason=refused"
        assert refused.json()["error"] == "too_many_requests_in_flight"
    go_on.set()

    assert [(await task).status for task in running] == [200, 200]
    assert (await proxy.post("gpt-5")).status == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_redirect_of_litellms_reaches_nobody(
    chunked: bool, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """Routed: the JSON 502; a fallback: upstream's own response."""

    async def moved(_: Request, reply: Reply) -> None:
        headers = {"Location": "http://10.0.0.1/elsewhere"}
        if not chunked:
            await reply.json(307, {"go": "there"}, headers)
            return
        await reply.head(302, headers)
        for piece in (b"go ", b"there"):
            await reply.chunk(piece)
        await reply.end()

    async def exhausted(_: Request, reply: Reply) -> None:
        await reply.json(429, {"error": {"type": "usage_limit_reached", "message": "The usage limit"}})

    litellm.does, upstream.does = moved, exhausted
    proxy = await start(fallback={"enabled": True})
    client = await proxy.client()

    for _ in range(2):  # the connection is still good
        routed = await client.post("gpt-5")
        assert (routed.status, routed.body) == (502, LITELLM_UNREACHABLE)
        assert (routed.route, routed.header("location")) == ("litellm; reason=error", None)
    fallback = await client.post("o3")
    assert fallback.status == 429
    assert fallback.route is not None
    assert fallback.route.startswith("upstream; reason=fallback-failed; fallback-failed=30")
