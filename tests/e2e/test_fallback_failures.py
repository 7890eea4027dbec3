"""Who may spend the key, what LiteLLM's failures cost the client, and what is remembered between requests."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mitmproxy import connection

from corpus.answers import SHARED
from e2e.conftest import Start
from e2e.fallback_support import (
    CHAT,
    COOLDOWN,
    DROPS,
    FELL_BACK,
    JSON,
    ON,
    OPENING,
    OUT_OF_QUOTA,
    OVERLOADED,
    QUOTA,
    SSE,
    Time,
    Turns,
    ask,
    begin,
    error,
    failed,
    gone,
    healthy,
    plain,
    says,
    stalls,
    time,
)
from e2e.harness import (
    UPSTREAM_502,
    Answer,
    Client,
    Clock,
    Proxy,
    Stub,
    black_hole,
    hello,
    said_hello,
    settings,
    until,
)
from litellm_hybrid.fallback import policy
from litellm_hybrid.fallback.bypass import Bypass
from litellm_hybrid.quota import classifier
from support.processes import MASTER_KEY
from support.servers import Handler, Reply
from support.wire import Request

__all__ = ["healthy", "time"]

LONG = "10m"


# -- who may spend the key ------------------------------------------------------


class FromElsewhere:
    """Makes every client look like one from another machine."""

    def client_connected(self, client: connection.Client) -> None:
        client.peername = ("203.0.113.9", 4711)


WHO: dict[str, dict[str, Any]] = {
    "a web page": {"headers": [("Origin", "https://evil.example")]},
    "a rebound name": {"host": "evil.example:8318"},
    "another machine": {"elsewhere": True},
    "another machine, a wrong key": {"elsewhere": True, "headers": [("Authorization", "Bearer sk-wrong")]},
}
REASONS: dict[str, dict[str, Any]] = {
    "fallback": {},
    "unreachable": {"on": ["unreachable"]},
    "cooldown": {"cooldown-max": "1h"},
}


async def _ask_as(proxy: Proxy, who: dict[str, Any], *keys: tuple[str, str]) -> Answer:
    if who.get("elsewhere"):
        proxy.master.addons.add(FromElsewhere())
    return await proxy.ask(
        "POST",
        "/v1/chat/completions",
        {"model": "o3"},
        [*who.get("headers", ()), *keys],
        host=who.get("host", ""),
    )


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("who", WHO)
async def test_who_may_not_spend_the_key(
    who: str, reason: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """They get upstream's own answer, and LiteLLM never hears of them."""
    upstream.does = says(429, COOLDOWN, JSON | {"X-Own": "1"})
    proxy = await start(fallback=ON | REASONS[reason])
    if reason == "unreachable":
        await upstream.stop()
    elif reason == "cooldown":
        # A permitted client without a key begins the cooldown that the other one meets.
        headers = [("Authorization", "Bearer sk-wrong")] if "wrong key" in who else []
        assert (await ask(proxy, headers=headers)).route == FELL_BACK
        assert (await ask(proxy, headers=headers)).route == "litellm; reason=cooldown"
    before = len(litellm.requests)

    answer = await _ask_as(proxy, WHO[who])

    assert answer.route == failed("not-allowed")
    assert len(litellm.requests) == before
    if reason == "unreachable":
        assert (answer.status, answer.body) == (502, UPSTREAM_502)
    else:
        assert (answer.status, answer.body, answer.header("x-own")) == (429, COOLDOWN, "1")
    assert proxy.log("no fallback, access refused")[0].level == "WARNING"


async def test_with_client_keys_this_machine_needs_one_too(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    upstream.does = says(429, COOLDOWN, JSON)
    proxy = await start(fallback=ON, client_api_keys=["sk-client"])

    answer = await ask(proxy)

    assert (answer.status, answer.route) == (429, failed("not-allowed"))
    assert litellm.requests == []


@pytest.mark.parametrize("who", ["another machine", "another machine, a wrong key"])
async def test_with_client_keys_another_machine_reaches_no_server_without_one(
    who: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start(fallback=ON, client_api_keys=["sk-client"])

    answer = await _ask_as(proxy, WHO[who])

    assert (answer.status, answer.route) == (403 if "wrong" in who else 401, "none; reason=refused")
    assert upstream.requests == litellm.requests == []


@pytest.mark.parametrize("reason", ["fallback", "unreachable"])
@pytest.mark.parametrize("who", list(WHO)[:3])
async def test_whoever_has_a_client_key_may(
    who: str, reason: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    upstream.does = OUT_OF_QUOTA
    proxy = await start(fallback=ON | REASONS[reason], client_api_keys=["sk-client"])
    if reason == "unreachable":
        await upstream.stop()

    answer = await _ask_as(proxy, WHO[who], ("x-api-key", "sk-client"))

    assert answer.status == 200
    assert (answer.route or "").startswith(f"litellm; reason={reason}")
    assert litellm.last.header("authorization") == f"Bearer {MASTER_KEY}"
    assert b"sk-client" not in b"".join(value for _, value in litellm.last.headers)


# -- LiteLLM cannot help ----------------------------------------------------------


def _raw(data: bytes) -> Handler:
    async def handler(_: Request, reply: Reply) -> None:
        await reply.raw(data)

    return handler


def _half(status: int) -> Callable[[Request, Reply], Awaitable[None]]:
    async def handler(_: Request, reply: Reply) -> None:
        await reply.head(status, JSON)
        await reply.chunk(b'{"error": ')
        await reply.stall()

    return handler


FAILURES: dict[str, tuple[Handler, str]] = {
    "429": (says(429, error("LiteLLM's own limit")), "429"),
    "500": (says(500, b"Internal Server Error", {"content-type": "text/plain"}), "500"),
    "401, gzip": (says(401, b"\x1f\x8b", JSON | {"content-encoding": "gzip"}), "401"),
    "404 without a body": (says(404, b""), "404"),
    "an unfinished error": (_half(503), "503"),
    "an error that is too long": (says(500, b"x" * 200_000), "500"),
    "a chunked error that is too long": (says(500, b"", JSON, chunks=[b"x" * 1000] * 200), "500"),
    "an error event": (says(200, OVERLOADED, SSE), "error-event"),
    "an error event of the request": (
        says(200, b"data: " + error("no", "invalid_request_error") + b"\n\n", SSE),
        "error-event",
    ),
    "an error event after the handshake": (says(200, b"", SSE, chunks=[OPENING, OVERLOADED]), "error-event"),
    "a stream of nothing": (says(200, b"", SSE), "error-event"),
    "closes at once": (_raw(b""), "network_error"),
    "closes in the head": (_raw(b"HTTP/1.1 200 OK\r\nContent-"), "network_error"),
    "nonsense": (_raw(b"hello\r\n\r\n"), "proxy_error"),
    "a bad header": (_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nbad header: 1\r\n\r\n{}"), "proxy_error"),
    "a JSON that breaks off": (
        _raw(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"choices":'),
        "network_error",
    ),
    "a stream that breaks off in the handshake": (
        _raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n" + OPENING),
        "network_error",
    ),
}

ORIGINALS: dict[str, Handler] = {
    "whole": says(429, QUOTA, JSON | {"X-Own": "1", "Retry-After": "7"}),
    "chunked": says(429, b"", JSON | {"X-Own": "1"}, chunks=[QUOTA[:9], QUOTA[9:]]),
    "events": says(200, OPENING + OVERLOADED, SSE | {"X-Own": "1"}),
}


async def _unfinished(_: Request, reply: Reply) -> None:
    await reply.head(200, SSE | {"X-Own": "1"})
    await reply.chunk(OPENING + OVERLOADED)
    await reply.stall()


@pytest.mark.parametrize("original", ORIGINALS)
@pytest.mark.parametrize("what", FAILURES)
async def test_litellm_cannot_help(
    what: str, original: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """The client gets upstream's own answer byte for byte; a second request on the connection too."""
    upstream.does = ORIGINALS[original]
    litellm.does, why = FAILURES[what]
    proxy = await start(fallback=ON)
    direct, client = await Client.connect(upstream.port), await proxy.client()
    as_it_is = await direct.ask("POST", "/v1/chat/completions", {"model": "o3"})
    await direct.close()

    for number in range(2):
        answer = await client.ask("POST", "/v1/chat/completions", {"model": "o3"})
        assert answer.route == failed(why)
        assert (answer.status, answer.body, answer.whole) == (as_it_is.status, as_it_is.body, True)
        assert plain(answer) == plain(as_it_is)
        assert len(litellm.requests) == number + 1

    assert len(proxy.log("litellm fallback: OAuth failed for o3")) == 2
    lines = proxy.log(f"litellm fallback failed for o3 ({why})")
    assert [line.level for line in lines] == ["ERROR"] * 2
    assert len(upstream.connections) == 2, "upstream's connection was closed for LiteLLM's fault"


@pytest.mark.parametrize("what", ["429", "an unfinished error", "an error event", "closes at once"])
async def test_litellm_cannot_help_and_upstream_has_not_finished(
    what: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """What there was is given back, and the client sees that it is not whole."""
    upstream.does = _unfinished
    litellm.does, why = FAILURES[what]
    proxy = await start(fallback=ON)

    answer = await ask(proxy, {"stream": True})

    assert (answer.status, answer.body, answer.whole) == (200, OPENING + OVERLOADED, False)
    assert answer.route == failed(why)
    assert answer.header("x-own") == "1"
    await gone(upstream.last.connection)


async def test_the_log_has_litellms_words(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does = OUT_OF_QUOTA
    litellm.does = says(500, error("the words of LiteLLM"))
    proxy = await start(fallback=ON)

    await ask(proxy)

    (line,) = proxy.log("litellm fallback failed")
    assert "the words of LiteLLM" in line.fields["litellm_message"]
    assert line.message.endswith("the client gets upstream's answer (status 429)")
    (line,) = proxy.log("litellm fallback: OAuth failed for o3 (status 429), retrying with LiteLLM")
    assert line.fields["upstream_message"].startswith("You exceeded your current quota")
    assert line.fields["kind"] == "quota"
    assert line.message.endswith("retrying with LiteLLM: quota (usage limit)")
    _, _, words = line.fields["rule"].partition(": ")
    assert not words or words in line.fields["upstream_message"].lower()


@pytest.mark.parametrize("original", ["whole", "events"])
async def test_litellm_is_not_there(original: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does = ORIGINALS[original]
    proxy = await start(fallback=ON)
    client = await proxy.client()
    await litellm.stop()

    for _ in range(2):
        answer = await client.ask("POST", "/v1/chat/completions", {"model": "o3"})
        assert answer.route == failed("network_error")
        assert answer.header("x-own") == "1"
    assert len(upstream.connections) == 1, "upstream's connection was closed for LiteLLM's fault"
    async with Stub(port=litellm.port):
        assert (await client.ask("POST", "/v1/chat/completions", {"model": "o3"})).status == 200


async def test_litellm_drops_everything(start: Start, upstream: Stub, clock: Clock) -> None:
    begun = asyncio.Event()

    async def exhausted(request: Request, reply: Reply) -> None:
        proxy.watchman.connecting.clear()
        begun.set()
        await OUT_OF_QUOTA(request, reply)

    upstream.does = exhausted
    with black_hole() as (port, _):
        url = f"http://127.0.0.1:{port}"
        proxy = await start(litellm_url=url, fallback=ON, timeouts={"connect": "50s"})
        client = await begin(proxy)
        await begun.wait()
        await proxy.watchman.connecting.wait()
        await clock.advance(51)
        answer = await client.answer()
    assert (answer.status, answer.body, answer.route) == (429, QUOTA, failed("network_timeout"))


async def test_litellm_is_silent(start: Start, upstream: Stub, litellm: Stub, clock: Clock) -> None:
    """Until the first-byte limit; its socket is closed then."""
    upstream.does = OUT_OF_QUOTA
    litellm.does = stalls
    proxy = await start(fallback=ON, timeouts={"first-byte": "50s"})
    client = await begin(proxy)
    await litellm.seen()
    await clock.advance(51)

    answer = await client.answer()

    assert (answer.status, answer.body, answer.route) == (429, QUOTA, failed("timeout"))
    await gone(litellm.last.connection)


@pytest.mark.parametrize("headers", [JSON, SSE], ids=["json", "sse"])
async def test_litellm_breaks_off_after_its_first_bytes_have_gone(
    headers: dict[str, str], start: Start, upstream: Stub, litellm: Stub
) -> None:
    """One replay a request: the client sees a broken answer of LiteLLM's."""
    upstream.does = OUT_OF_QUOTA
    piece = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
    litellm.does = Turns(piece, headers=headers, then=Reply.close)
    proxy = await start(fallback=ON)

    answer = await ask(proxy)

    assert (answer.status, answer.body, answer.whole, answer.route) == (200, piece, False, FELL_BACK)
    assert (len(upstream.requests), len(litellm.requests)) == (1, 1)
    assert (await proxy.failure()).message.startswith("litellm proxy error")


# -- a model that LiteLLM does not know ---------------------------------------------

UNKNOWN = error("/chat/completions: Invalid model name passed in model=o3. Call `/v1/models` to view")


async def test_an_unknown_model_is_not_tried_again(
    start: Start, upstream: Stub, litellm: Stub, time: Time
) -> None:
    """For 60 s; the warning names near misses; other models go on."""
    upstream.does = OUT_OF_QUOTA
    litellm.does = says(400, UNKNOWN)
    proxy = await start(fallback=ON, models=["gpt-5", "o3-pro"])

    routes = [(await ask(proxy)).route for _ in range(3)]
    assert routes == [failed("400"), failed("unknown-model"), failed("unknown-model")]
    assert len(litellm.requests) == 1
    (line,) = proxy.log("does not know the model 'o3'")
    assert line.level == "WARNING"
    assert "near misses: o3-pro" in line.message

    assert (await ask(proxy, {"model": "o4"})).route == failed("400")
    time.added = 59
    assert (await ask(proxy)).route == failed("unknown-model")
    time.added = 61
    litellm.does = hello
    assert (await ask(proxy)).route == FELL_BACK


async def test_an_unknown_model_is_tried_again_after_a_reload(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    upstream.does = OUT_OF_QUOTA
    litellm.does = says(400, UNKNOWN)
    proxy = await start(fallback=ON)
    assert (await ask(proxy)).route == failed("400")
    assert (await ask(proxy)).route == failed("unknown-model")

    proxy.write(settings(litellm.url, fallback=ON, model_mappings={"o3": "o3-of-litellm"}))
    await until(lambda: proxy.addon._settings.current.mappings)
    litellm.does = hello

    assert (await ask(proxy)).route == FELL_BACK
    assert litellm.last.json()["model"] == "o3-of-litellm"


# -- upstream cannot be reached --------------------------------------------------------

UNREACHABLE = {"enabled": True, "on": ["unreachable"]}


@pytest.mark.parametrize("opted_in", [True, False])
async def test_upstream_refuses(opted_in: bool, start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(fallback=UNREACHABLE if opted_in else ON)
    client = await proxy.client()
    await upstream.stop()

    for _ in range(2):
        answer = await client.post("o3")
        if opted_in:
            assert (answer.status, answer.route) == (200, "litellm; reason=unreachable")
        else:
            assert (answer.status, answer.body, answer.route) == (502, UPSTREAM_502, "upstream; reason=error")
    assert len(litellm.requests) == (2 if opted_in else 0)
    assert len(proxy.log("upstream is unreachable for o3")) == (2 if opted_in else 0)
    assert len(proxy.log("upstream proxy error for POST")) == 2


async def test_upstream_cannot_be_resolved(
    start: Start, litellm: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def resolver(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "upstream.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    proxy = await start(upstream_url="http://upstream.invalid:8317", fallback=UNREACHABLE)

    assert (await ask(proxy)).route == "litellm; reason=unreachable"
    assert len(litellm.requests) == 1


async def test_upstream_drops_everything(start: Start, litellm: Stub, clock: Clock) -> None:
    with black_hole() as (port, _):
        url = f"http://127.0.0.1:{port}"
        proxy = await start(upstream_url=url, fallback=UNREACHABLE, timeouts={"connect": "50s"})
        client = await begin(proxy)
        await proxy.watchman.connecting.wait()
        await clock.advance(51)
        assert (await client.answer()).route == "litellm; reason=unreachable"
    assert len(litellm.requests) == 1


@pytest.mark.parametrize("helps", [True, False])
async def test_upstream_is_silent(
    helps: bool, start: Start, upstream: Stub, litellm: Stub, clock: Clock
) -> None:
    upstream.does = stalls
    litellm.does = hello if helps else OUT_OF_QUOTA
    proxy = await start(fallback=UNREACHABLE, timeouts={"first-byte": "50s"})
    client = await begin(proxy)
    await upstream.seen()
    await clock.advance(51)

    answer = await client.answer()

    if helps:
        assert (answer.status, answer.route) == (200, "litellm; reason=unreachable")
    else:
        assert (answer.status, answer.body, answer.route) == (502, UPSTREAM_502, failed("429"))
    await gone(upstream.last.connection)


@pytest.mark.parametrize("what", ["closes at once", "nonsense", "a bad header"])
async def test_an_upstream_that_answers_badly_is_not_unreachable(
    what: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    upstream.does, _ = FAILURES[what]
    proxy = await start(fallback=UNREACHABLE)

    answer = await ask(proxy)

    assert (answer.status, answer.body) == (502, UPSTREAM_502)
    assert litellm.requests == []


async def test_litellm_breaks_off_in_upstreams_place(start: Start, upstream: Stub, litellm: Stub) -> None:
    """Both failures are logged."""
    proxy = await start(fallback=UNREACHABLE)
    await upstream.stop()
    litellm.does = Turns(b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n', then=Reply.close)

    answer = await ask(proxy)

    assert (answer.status, answer.whole, answer.route) == (200, False, "litellm; reason=unreachable")
    await until(lambda: len(proxy.failures()) == 2)
    who = [line.message.partition(" ")[0] for line in proxy.failures()]
    assert who == ["upstream", "litellm"]


async def test_nobody_can_be_reached(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start(fallback=UNREACHABLE)
    await upstream.stop()
    await litellm.stop()

    answer = await ask(proxy)

    assert (answer.status, answer.body, answer.route) == (502, UPSTREAM_502, failed("network_error"))


async def test_unreachable_alone_holds_nothing(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does = OUT_OF_QUOTA
    proxy = await start(fallback=UNREACHABLE)
    assert (await ask(proxy)).route == "upstream; reason=excepted"
    assert litellm.requests == []


# -- cooldown ------------------------------------------------------------------------------

COOLING = {"enabled": True, "cooldown-max": "1h"}
COOLED = "litellm; reason=cooldown"
SERVED = "upstream; reason=not-listed"


async def test_cooldown(start: Start, upstream: Stub, litellm: Stub, time: Time) -> None:
    """As long as upstream says, for this model and client key alone; a probe that is served ends it."""
    upstream.does = says(429, COOLDOWN)
    proxy = await start(fallback=COOLING)
    assert (await ask(proxy)).route == FELL_BACK

    upstream.does = hello
    time.added = 89
    assert (await ask(proxy)).route == COOLED
    assert (await ask(proxy, {"model": "O3"})).route == COOLED
    assert (await ask(proxy, {"model": "o4"})).route == SERVED
    assert (await ask(proxy, headers=[("Authorization", "Bearer other")])).route == SERVED
    assert len(upstream.requests) == 3

    time.added = 91
    turns = upstream.does = Turns(b"{}", b"{}", headers={"content-type": "text/plain"})
    probe = await begin(proxy)
    await turns.begun.wait()
    assert [(await ask(proxy)).route for _ in range(3)] == [COOLED] * 3
    turns.go()
    assert (await probe.answer()).route == SERVED
    upstream.does = hello
    assert [(await ask(proxy)).route for _ in range(2)] == [SERVED] * 2
    assert len(litellm.requests) == 1 + 2 + 3


async def test_cooldown_is_capped(start: Start, upstream: Stub, litellm: Stub, time: Time) -> None:
    upstream.does = says(429, COOLDOWN)
    proxy = await start(fallback={"enabled": True, "cooldown-max": "10s"})
    assert (await ask(proxy)).route == FELL_BACK
    time.added = 9
    assert (await ask(proxy)).route == COOLED
    time.added = 11
    assert (await ask(proxy)).route == FELL_BACK, "the probe meets the same answer"
    assert (await ask(proxy)).route == COOLED, "and it begins anew"
    assert len(litellm.requests) == 4


NO_COOLDOWN: dict[str, tuple[dict[str, Any], Handler]] = {
    "by default": (ON, says(429, COOLDOWN)),
    "no time stated": (COOLING, OUT_OF_QUOTA),
    "overload": (COOLING, says(529, error("Overloaded", "overloaded_error"), JSON | {"Retry-After": "60"})),
    "one request's entitlement": (
        COOLING,
        says(
            429,
            b'{"type":"error","error":{"type":"rate_limit_error","message":'
            b'"Extra usage is required for long context requests."}}',
            JSON | {"Retry-After": "60"},
        ),
    ),
}


@pytest.mark.parametrize("what", NO_COOLDOWN)
async def test_no_cooldown(what: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    keys, upstream.does = NO_COOLDOWN[what]
    proxy = await start(fallback=keys)

    routes = [(await ask(proxy)).route or "" for _ in range(2)]

    assert all(route.startswith("litellm; reason=fallback; upstream-status=") for route in routes)
    assert len(upstream.requests) == len(litellm.requests) == 2


# -- cooldown: auto, and a limit to the first byte ------------------------------------------

AUTO_COOLED = "litellm; reason=cooldown"
AT_UPSTREAM = "upstream; reason=not-listed"


async def _slow(proxy: Proxy, upstream: Stub, time: Time) -> Answer:
    """Upstream takes three seconds to say that its quota is used up."""
    go_on = asyncio.Event()

    async def exhausted(request: Request, reply: Reply) -> None:
        await go_on.wait()
        await OUT_OF_QUOTA(request, reply)

    upstream.does = exhausted
    client = await begin(proxy, stream=True)
    await upstream.seen()
    time.added += 3
    go_on.set()
    return await client.answer()


async def test_an_upstream_that_is_slow_to_say_it_is_skipped_for_a_minute(
    start: Start, upstream: Stub, litellm: Stub, time: Time
) -> None:
    proxy = await start(fallback=ON)
    assert (await _slow(proxy, upstream, time)).route == "litellm; reason=fallback; upstream-status=429"
    upstream.requests.clear()
    assert [(await ask(proxy)).route for _ in range(3)] == [AUTO_COOLED] * 3
    assert upstream.requests == []
    assert len(litellm.requests) == 4

    time.added += 60
    upstream.does = hello
    assert [(await ask(proxy)).route for _ in range(2)] == [AT_UPSTREAM] * 2


async def test_a_streamed_probe_is_not_waited_for_longer_than_ten_seconds(
    start: Start, upstream: Stub, time: Time, clock: Clock
) -> None:
    """And the next one comes after twice as long."""
    proxy = await start(fallback=ON)
    await _slow(proxy, upstream, time)
    time.added += 60
    upstream.requests.clear()
    upstream.does = stalls
    client = await begin(proxy, stream=True)
    await upstream.seen()
    await clock.advance(10)

    assert (await client.answer()).route == AUTO_COOLED
    await gone(upstream.last.connection)
    upstream.does = hello
    time.added += 110
    assert (await ask(proxy)).route == AUTO_COOLED
    time.added += 10
    assert (await ask(proxy)).route == AT_UPSTREAM


async def test_an_upstream_that_has_not_begun_in_time_loses_the_request(
    start: Start, upstream: Stub, litellm: Stub, clock: Clock
) -> None:
    upstream.does = stalls
    proxy = await start(fallback=ON | {"first-byte": "3s"})
    client = await begin(proxy)
    await upstream.seen()
    await clock.advance(3)

    assert (await client.answer()).route == "litellm; reason=unreachable"
    await gone(upstream.last.connection)
    assert len(litellm.requests) == 1
    (line,) = proxy.log("litellm fallback: upstream has not begun in time for o3, retrying with LiteLLM")
    assert line.level == "WARNING"


async def _leaves(proxy: Proxy, upstream: Stub) -> None:
    turns = upstream.does = Turns(b" ", headers=JSON, then=Reply.stall)
    client = await begin(proxy)
    await turns.begun.wait()
    await client.close()
    await proxy.failure()


async def _overloaded(proxy: Proxy, upstream: Stub) -> None:
    upstream.does = says(529, error("Overloaded", "overloaded_error"))
    assert (await ask(proxy)).route == "litellm; reason=fallback; upstream-status=529"


@pytest.mark.parametrize("probe", [_leaves, _overloaded])
async def test_a_probe_that_tells_nothing(
    probe: Callable[[Proxy, Stub], Awaitable[None]], start: Start, upstream: Stub, time: Time
) -> None:
    """The next request probes, one at a time still."""
    upstream.does = says(429, COOLDOWN)
    proxy = await start(fallback=COOLING)
    assert (await ask(proxy)).route == FELL_BACK
    time.added = 91
    await probe(proxy, upstream)

    turns = upstream.does = Turns(b"{}", headers={"content-type": "text/plain"}, then=Reply.stall)
    await begin(proxy)
    await turns.begun.wait()

    assert (await ask(proxy)).route == COOLED


async def test_a_cooldown_ends_where_litellm_cannot_help(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does = says(429, COOLDOWN)
    proxy = await start(fallback=COOLING)
    assert (await ask(proxy)).route == FELL_BACK
    litellm.does = says(500, error("no"))
    assert (await ask(proxy)).route == COOLED
    assert (await ask(proxy)).route == failed("500")


# -- the budget ------------------------------------------------------------------------------


async def test_max_per_hour(start: Start, upstream: Stub, litellm: Stub, time: Time) -> None:
    """Beyond it upstream's answer passes; one ERROR says so."""
    upstream.does = OUT_OF_QUOTA
    proxy = await start(fallback={"enabled": True, "max-per-hour": 2})

    answers = [await ask(proxy) for _ in range(5)]

    assert [answer.route for answer in answers] == [FELL_BACK] * 2 + [failed("budget")] * 3
    assert answers[-1].body == QUOTA
    assert len(litellm.requests) == 2
    (line,) = proxy.log("all 2 of this hour are spent")
    assert line.level == "ERROR"
    time.added = 3601
    assert [(await ask(proxy)).route for _ in range(3)] == [FELL_BACK] * 2 + [failed("budget")]
    assert len(proxy.log("all 2 of this hour are spent")) == 2


# -- what is said ------------------------------------------------------------------------------


async def test_a_login_that_is_gone(start: Start, upstream: Stub) -> None:
    entry = next(entry for entry in SHARED if entry.kind == "login")
    upstream.does = says(entry.status, entry.body.encode(), entry.headers)
    proxy = await start(fallback=ON)

    answer = await ask(proxy, {"model": "claude-opus-5"})

    assert answer.route == "litellm; reason=fallback; upstream-status=401"
    (line,) = proxy.log("upstream's login for claude-opus-5 is gone")
    assert line.level == "ERROR"
    assert classifier.classify(entry.status, entry.lower_headers, entry.body.encode(), now=0).kind == "login"


async def test_what_litellm_sees(start: Start, upstream: Stub, litellm: Stub) -> None:
    """The same request: the mapped model, our key, the client's request id, and none of its credentials."""
    upstream.does = OUT_OF_QUOTA
    proxy = await start(fallback=ON, model_mappings={"o3": "o3-of-litellm"}, enabled=False)
    body = {"model": "o3(high)", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    headers = [
        ("Authorization", "Bearer sk-client"),
        ("X-Request-ID", "id-1"),
        ("X-Own", "2"),
        ("User-Agent", "codex/1"),
    ]

    answer = await ask(proxy, body | {"model": "o3"}, headers=headers)

    sent = litellm.last
    assert answer.route == FELL_BACK
    assert answer.header("x-request-id") == "id-1"
    assert sent.json() == body | {"model": "o3-of-litellm"} | DROPS
    assert list(sent.json()) == [*body, *DROPS]
    assert sent.values("authorization") == [f"Bearer {MASTER_KEY}"]
    assert sent.values("host") == [f"127.0.0.1:{litellm.port}"]
    assert sent.values("x-request-id") == ["id-1"]
    assert sent.values("x-litellm-call-id") == ["id-1"]
    assert sent.values("x-own") == ["2"]
    assert sent.values("user-agent") == ["codex/1"]
    assert upstream.last.json()["model"] == "o3"
    assert upstream.last.values("authorization") == ["Bearer sk-client"]


async def test_litellms_headers_are_not_upstreams(start: Start, upstream: Stub, litellm: Stub) -> None:
    """Nothing of the failed answer's head is left in the replay's."""
    upstream.does = says(429, QUOTA, JSON | {"Retry-After": "3600", "X-Own": "1"})
    body = json.dumps(said_hello(CHAT)).encode()
    litellm.does = says(200, body, JSON | {"x-litellm-model-id": "secret"})
    proxy = await start(fallback=ON)

    answer = await ask(proxy)

    assert plain(answer) == [("content-type", "application/json"), ("content-length", str(len(body)))]
    assert answer.body == body


async def test_two_clients_at_once(start: Start, upstream: Stub) -> None:
    """One's failure is not the other's."""
    upstream.does = _by_model
    proxy = await start(fallback=ON)

    answers = await asyncio.gather(*(ask(proxy, {"model": model}) for model in ("o3", "o4") * 5))

    assert [answer.route for answer in answers] == [FELL_BACK, SERVED] * 5


async def _by_model(request: Request, reply: Reply) -> None:
    await (OUT_OF_QUOTA if request.json()["model"] == "o3" else hello)(request, reply)


@pytest.mark.parametrize(("owner", "rule"), [(policy, "needs_inspection"), (Bypass, "cool_down")])
async def test_a_fault_of_our_own_leaves_the_client_upstreams_answer(
    owner: object, rule: str, start: Start, upstream: Stub, litellm: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def exhausted(_: Request, reply: Reply) -> None:
        await reply.json(
            429, {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}
        )

    def fail(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    upstream.does = exhausted
    monkeypatch.setattr(owner, rule, fail)
    proxy = await start(fallback={"enabled": True})

    assert (await proxy.post("o3")).status == 429
    assert litellm.requests == []
    assert proxy.log("litellm proxy error for POST /v1/chat/completions: ZeroDivisionError")
