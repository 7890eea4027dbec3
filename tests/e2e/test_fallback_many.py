"""Many requests at once and in turn, HTTP/2 on either side, framing, memory, and the real mitmdump."""

import asyncio
import gc
import gzip
import json
import weakref
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path

import pytest
from mitmproxy import http
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from e2e.conftest import Start
from e2e.fallback_support import (
    CHAT,
    CONTENT,
    DROPS,
    FELL_BACK,
    JSON,
    MESSAGES,
    ON,
    OPENING,
    OUT_OF_QUOTA,
    OVERLOADED,
    QUOTA,
    SSE,
    H2Client,
    H2Server,
    Stream,
    Turns,
    ask,
    begin,
    error,
    failed,
    gone,
    healthy,
    says,
    stalls,
)
from e2e.harness import PATIENCE, Client, Stub, head, hello, said_hello, until
from e2e.test_http2 import _context as h2_context
from e2e.test_http2 import h2_client
from litellm_hybrid.proxy.layer import HybridLayer
from litellm_hybrid.proxy.stream import HybridStream
from support.processes import hybrid_config, mitmdump
from support.servers import Handler, Reply, in_thread
from support.wire import Request

__all__ = ["healthy"]

SERVED = "upstream; reason=not-listed"


def _number(request: Request) -> int:
    return int(request.json()["user"])


HI = [{"message": {"content": "Hi"}}]


async def _upstream_of_many(request: Request, reply: Reply) -> None:
    """Even numbers are served, odd ones fail, in four ways."""
    number = _number(request)
    if number % 2 == 0:
        await reply.json(200, {"choices": HI, "upstream": number})
    elif number % 8 == 1:
        await reply.json(429, {"error": {"message": "quota exceeded", "code": "insufficient_quota"}})
    elif number % 8 == 3:
        await reply.events([OPENING, OVERLOADED])
    elif number % 8 == 5:
        await reply.head(200, JSON)
        await reply.chunk(b"\n")
        await reply.chunk(QUOTA)
        await reply.end()
    else:
        await reply.head(200, SSE)
        await reply.chunk(OVERLOADED)
        await reply.stall()


async def _litellm_of_many(request: Request, reply: Reply) -> None:
    number = _number(request)
    if number % 5 == 0:
        await reply.json(500, {"error": number})
    else:
        await reply.json(200, {"choices": HI, "litellm": number})


def _assert_own(number: int, status: int, route: str | None, body: bytes) -> None:
    """An answer is the one to this request, from the right server."""
    if number % 2 == 0:
        assert (status, route, json.loads(body)) == (200, SERVED, {"choices": HI, "upstream": number})
    elif number % 5 == 0:
        assert route == failed("500")
        assert b"quota" in body or b"Overloaded" in body
    else:
        assert (route or "").startswith("litellm; reason=fallback; upstream-status=")
        assert (status, json.loads(body)) == (200, {"choices": HI, "litellm": number})


async def test_one_connection_many_requests(start: Start, upstream: Stub, litellm: Stub) -> None:
    """Served, replayed, given back and routed ones in turn, on one keep-alive connection."""
    upstream.does, litellm.does = _upstream_of_many, _litellm_of_many
    proxy = await start(fallback=ON)
    client = await proxy.client()

    for number in range(14):
        answer = await client.ask("POST", CHAT, {"model": "o3", "user": number})
        _assert_own(number, answer.status, answer.route, answer.body)
        routed = await client.ask("POST", CHAT, {"model": "gpt-5", "user": 1})
        assert (routed.status, routed.route) == (200, "litellm; reason=model")


async def test_200_at_once(start: Start, upstream: Stub, litellm: Stub) -> None:
    """Each gets its own answer, and afterwards nothing of them is left in memory."""
    upstream.does, litellm.does = _upstream_of_many, _litellm_of_many
    proxy = await start(fallback=ON)
    gc.collect()
    before = _alive()

    async def one(number: int) -> None:
        client = await Client.connect(proxy.port)
        answer = await client.ask("POST", CHAT, {"model": "o3", "user": number})
        _assert_own(number, answer.status, answer.route, answer.body)
        await client.close()

    async with asyncio.timeout(60):
        await asyncio.gather(*(one(number) for number in range(200)))

    assert sorted(map(_number, upstream.requests)) == list(range(200))
    assert sorted(map(_number, litellm.requests)) == list(range(1, 200, 2))
    await until(lambda: not proxy.master.addons.get("proxyserver").connections)
    await until(lambda: gc.collect() >= 0 and _alive() <= before)
    assert proxy.addon._records.counters.in_flight == proxy.addon._records.counters.streaming == 0


def _alive() -> int:
    kinds = (http.HTTPFlow, HybridStream, HybridLayer)
    return sum(isinstance(thing, kinds) for thing in gc.get_objects())


async def test_a_long_connection_keeps_nothing(start: Start, upstream: Stub, litellm: Stub) -> None:
    """Finished requests of a keep-alive client are not retained, whatever became of them."""
    flows: weakref.WeakSet[http.HTTPFlow] = weakref.WeakSet()

    class Note:
        def request(self, flow: http.HTTPFlow) -> None:
            flows.add(flow)

    upstream.does, litellm.does = _upstream_of_many, _litellm_of_many
    proxy = await start(fallback=ON)
    proxy.master.addons.add(Note())
    client = await proxy.client()
    for number in range(14):
        await client.ask("POST", CHAT, {"model": "o3", "user": number})
    (connection,) = [thing for thing in gc.get_objects() if isinstance(thing, HybridLayer)]

    assert connection.streams == {}
    assert len([c for c in connection.connections if c is not connection.context.client]) <= 3
    assert len(connection._filters) <= 3
    await until(lambda: gc.collect() >= 0 and len(flows) <= 1)


# -- HTTP/2 -----------------------------------------------------------------------


async def test_20_streams_on_one_http2_connection(
    start: Start, upstream: Stub, litellm: Stub, confdir: Path
) -> None:
    """Half of them fall back; all have their first content before any gets its second."""
    go_on = asyncio.Event()

    def stream(name: str, opening: bytes) -> Handler:
        async def handler(request: Request, reply: Reply) -> None:
            number = _number(request)
            if name == "upstream" and number % 2:
                await (_upstream_of_many if number % 8 != 5 else OUT_OF_QUOTA)(request, reply)
                return
            await reply.head(200, SSE)
            await reply.chunk(opening)
            await reply.chunk(b"data: %s %d\n\n" % (name.encode(), number))
            await go_on.wait()
            await reply.chunk(b"data: end of %d\n\n" % number)
            await reply.end()

        return handler

    upstream.does, litellm.does = stream("upstream", OPENING), stream("litellm", OPENING)
    proxy = await start(fallback=ON)

    async with H2Client(proxy.port, h2_context(confdir)) as client:
        asked = [client.post(MESSAGES, user=number, stream=True) for number in range(20)]
        names = ["litellm" if number % 2 else "upstream" for number in range(20)]
        firsts = [OPENING + f"data: {name} {number}\n\n".encode() for number, name in enumerate(names)]
        await until(lambda: [bytes(one.body) for one in asked] == firsts)
        go_on.set()
        await until(lambda: all(one.ended for one in asked))

    for number, one in enumerate(asked):
        assert one.route.startswith(names[number])
        assert one.body == firsts[number] + b"data: end of %d\n\n" % number
    assert len(litellm.requests) == 10


RESETS: dict[str, Callable[[], tuple[Handler, Handler]]] = {
    "while it is held": lambda: (Turns(QUOTA[:9], status=429, headers=JSON, then=Reply.stall), hello),
    "before LiteLLM answers": lambda: (OUT_OF_QUOTA, stalls),
    "while LiteLLM's is held": lambda: (OUT_OF_QUOTA, Turns(OPENING, then=Reply.stall)),
    "mid-stream": lambda: (OUT_OF_QUOTA, Turns(CONTENT, then=Reply.stall)),
}


@pytest.mark.parametrize("when", RESETS)
async def test_an_http2_client_that_resets_its_stream(
    when: str, start: Start, upstream: Stub, litellm: Stub, confdir: Path
) -> None:
    """The socket of the server that was answering closes, LiteLLM is not called late, the connection goes on."""
    upstream.does, litellm.does = RESETS[when]()
    asks_litellm = upstream.does is OUT_OF_QUOTA
    server = litellm if asks_litellm else upstream
    proxy = await start(fallback={"enabled": True, "hold-max": "10m"})

    async with H2Client(proxy.port, h2_context(confdir)) as client:
        asked = client.post(CHAT, stream=True)
        await server.seen()
        handler = server.does
        if isinstance(handler, Turns):
            await handler.begun.wait()
        if when == "mid-stream":
            await until(lambda: asked.body == CONTENT)
        client.give_up(asked)
        await gone(server.last.connection)
        assert len(litellm.requests) == asks_litellm

        upstream.does, litellm.does = OUT_OF_QUOTA, hello
        second = client.post(CHAT)
        await until(lambda: second.ended)
    assert second.route == FELL_BACK
    assert (await proxy.failure()).fields["error_type"] == "client_disconnect"


async def test_an_http2_client_that_resets_while_litellm_connects(
    start: Start, upstream: Stub, litellm: Stub, confdir: Path
) -> None:
    """The connection that is made all the same is closed, not kept for the life of the client's."""
    upstream.does = OUT_OF_QUOTA
    connecting, go_on = asyncio.Event(), asyncio.Event()

    class Slow:
        async def server_connect(self, data: ServerConnectionHookData) -> None:
            if data.server.address == ("127.0.0.1", litellm.port):
                connecting.set()
                await go_on.wait()

    proxy = await start(fallback=ON)
    proxy.master.addons.add(Slow())
    async with H2Client(proxy.port, h2_context(confdir)) as client:
        asked = client.post(CHAT)
        async with asyncio.timeout(PATIENCE):
            await connecting.wait()
        client.give_up(asked)
        other = client.post(CHAT, model="o4")
        await upstream.seen(2)
        go_on.set()
        await until(lambda: other.ended)
        await until(lambda: len(litellm.connections) == 2)
        for connection in litellm.connections:
            await gone(connection)
    assert len(litellm.requests) == 1


async def test_late_bytes_of_an_http2_upstream(start: Start, litellm: Stub, confdir: Path) -> None:
    """The abandoned stream is reset, what was still on its way is dropped, and the connection is used on."""
    late = asyncio.Event()

    async def answer(stream: Stream) -> None:
        if json.loads(stream.body)["user"] == 1:
            await stream.head(200, SSE)
            await stream.data(OPENING + OVERLOADED)
            for _ in range(80):  # more than is kept
                await stream.data(CONTENT + b": " + b"x" * 1000 + b"\n\n")
                if stream.gone.is_set():
                    break
            async with asyncio.timeout(PATIENCE):
                await stream.gone.wait()
            for _ in range(20):
                await stream.raw(CONTENT)
            late.set()
        else:
            await stream.head(200, JSON)
            await stream.data(b'{"choices": [{"message": {"content": "Hi"}}]}', end=True)

    pieces = [CONTENT] * 3
    turns = litellm.does = Turns(*pieces)
    async with H2Server(confdir, answer) as upstream:
        proxy = await start(upstream_url=upstream.url, fallback=ON, options={"ssl_insecure": True})
        async with h2_client(proxy, confdir) as client:
            body = {"model": "o3", "user": 1, "stream": True}
            async with client.stream("POST", MESSAGES, json=body) as got:
                assert got.headers["x-hybrid-route"].startswith(
                    "litellm; reason=fallback; upstream-status=200"
                )
                await late.wait()
                chunks = []
                async for chunk in got.aiter_raw():
                    chunks.append(chunk)
                    turns.go()
                assert chunks == pieces
            second = await client.post(MESSAGES, json={"model": "o3", "user": 2})
        assert second.json() == {"choices": HI}
        assert upstream.connections == 1


@pytest.mark.parametrize("helps", [True, False])
async def test_http2_on_every_side(helps: bool, start: Start, confdir: Path) -> None:
    """20 requests at once, all over one connection to each server."""

    async def exhausted(stream: Stream) -> None:
        await stream.head(429, JSON | {"x-own": json.loads(stream.body)["user"]})
        await stream.data(QUOTA, end=True)

    async def litellm_answer(stream: Stream) -> None:
        user = json.loads(stream.body)["user"]
        await stream.head(200 if helps else 500, JSON)
        await stream.data(json.dumps({"litellm": user, "choices": HI}).encode(), end=True)

    async with H2Server(confdir, exhausted) as upstream, H2Server(confdir, litellm_answer) as litellm:
        proxy = await start(
            upstream_url=upstream.url, litellm_url=litellm.url, fallback=ON, options={"ssl_insecure": True}
        )
        async with h2_client(proxy, confdir) as client:
            asked = [client.post(CHAT, json={"model": "o3", "user": str(number)}) for number in range(20)]
            answers = await asyncio.gather(*asked)
    for number, answer in enumerate(answers):
        if helps:
            assert (answer.status_code, answer.json()) == (200, {"litellm": str(number), "choices": HI})
            assert answer.headers["x-hybrid-route"].startswith(FELL_BACK)
        else:
            assert (answer.status_code, answer.content) == (429, QUOTA)
            assert answer.headers["x-own"] == str(number)
            assert answer.headers["x-hybrid-route"] == failed("500")
    assert (upstream.connections, litellm.connections) == (1, 1)


# -- framing ----------------------------------------------------------------------


async def _until_the_end(_: Request, reply: Reply) -> None:
    await reply.raw(b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n\r\n" + QUOTA)


FRAMINGS: dict[str, Handler] = {
    "length": OUT_OF_QUOTA,
    "chunked": says(429, b"", chunks=[QUOTA]),
    "until the end": _until_the_end,
    "gzip": says(429, gzip.compress(QUOTA), JSON | {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("helps", [True, False], ids=["replayed", "given back"])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_clients_that_close(
    framing: str, version: str, helps: bool, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """`Connection: close` and HTTP/1.0: one whole answer, then the end."""
    upstream.does = FRAMINGS[framing]
    litellm.does = hello if helps else says(500, error("no"))
    proxy = await start(fallback=ON)
    client = await proxy.client()
    body = b'{"model": "o3"}'
    fields = [("Host", "127.0.0.1"), ("Content-Length", str(len(body)))]
    if version == "HTTP/1.1":
        fields.append(("Connection", "close"))
    await client.send(head(f"POST {CHAT} {version}", fields) + body)

    answer = await client.answer()

    expected = gzip.compress(QUOTA) if framing == "gzip" else QUOTA
    assert answer.whole
    if helps:
        assert (answer.status, answer.json(), answer.route) == (200, said_hello(CHAT), FELL_BACK)
    else:
        assert (answer.status, answer.route) == (429, failed("500"))
        assert answer.body[10:] == expected[10:]  # gzip's head has the time
    assert await client.rest() == b""


async def test_a_request_of_several_megabytes(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does = OUT_OF_QUOTA
    proxy = await start(fallback=ON)
    body = {"model": "o3", "messages": [{"role": "user", "content": "x" * 3_000_000}]}

    assert (await ask(proxy, body)).route == FELL_BACK
    assert litellm.last.json() == body | DROPS


@pytest.mark.parametrize("size", [70_000, 3_000_000])
async def test_a_replay_of_any_size(size: int, start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does = OUT_OF_QUOTA
    body = json.dumps({"choices": HI, "pad": "x" * size}).encode()
    litellm.does = says(200, body)
    proxy = await start(fallback=ON)

    answer = await ask(proxy)

    assert (answer.status, answer.body, answer.route, answer.whole) == (200, body, FELL_BACK, True)


async def test_an_abandoned_socket_is_closed_while_the_client_stays(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    """Although more of the answer was already there to be read."""
    upstream.does = OUT_OF_QUOTA
    litellm.does = says(500, b"", JSON, chunks=[b"x" * 1000] * 200)
    proxy = await start(fallback=ON)
    client = await proxy.client()

    assert (await client.post("o3")).route == failed("500")

    await gone(litellm.last.connection)
    assert (await client.post("o3")).route == failed("500")


async def test_a_flow_that_mitmproxy_pauses(start: Start, upstream: Stub) -> None:
    """Intercepted at its answer, as in mitmweb: nothing is lost, and resuming goes on."""
    upstream.does = OUT_OF_QUOTA
    paused: list[http.HTTPFlow] = []

    class Pause:
        def responseheaders(self, flow: http.HTTPFlow) -> None:
            flow.intercept()
            paused.append(flow)

    proxy = await start(fallback=ON)
    proxy.master.addons.add(Pause())
    client = await begin(proxy)
    await until(lambda: paused)
    assert client.wire.take() == b""
    paused[0].resume()

    assert (await client.answer()).route == FELL_BACK


# -- the real process -----------------------------------------------------------------


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read()
    except IncompleteRead as e:
        return e.partial


def test_the_real_mitmdump(tmp_path: Path) -> None:
    """The same through `mitmdump -s`; nothing about a crash in its output, and it ends well."""
    upstream, litellm = Stub(_upstream_of_many), Stub(_litellm_of_many)
    with in_thread(upstream), in_thread(litellm):
        config = hybrid_config(litellm.url, fallback=ON, models=["gpt-5"])
        with mitmdump(config, upstream.url, tmp_path) as process:
            for number in range(14):
                connection = HTTPConnection("127.0.0.1", process.port, timeout=60)
                body = json.dumps({"model": "o3", "user": number})
                connection.request("POST", CHAT, body, {"content-type": "application/json"})
                answer = connection.getresponse()
                route, content = answer.headers["x-hybrid-route"].partition("; model=")[0], _read(answer)
                connection.close()
                _assert_own(number, answer.status, route, content)
            code = process.stop()
            output = process.output()
    assert code == 0
    assert output.count("litellm fallback: OAuth failed for o3") == 7
    assert not any(sign in output for sign in ("crashed", "Traceback", "Addon error"))


# -- twice to the same server ---------------------------------------------------------

SIGNED = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
HISTORY = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": [SIGNED, {"type": "text", "text": "hello"}]},
    {"role": "user", "content": "and now?"},
]
REFUSAL = json.dumps(
    {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "messages.1.content.0: Invalid `signature` in `thinking` block",
        },
    }
).encode()


async def _picky(request: Request, reply: Reply) -> None:
    refuses = b"signature" in request.body
    await reply.send(
        400 if refuses else 200,
        REFUSAL if refuses else b'{"content": [{"type": "text", "text": "Hi"}]}',
        JSON,
    )


async def test_a_second_replay_to_the_same_server(start: Start, upstream: Stub, litellm: Stub) -> None:
    """LiteLLM refuses the history, and gets the request again without it."""
    upstream.does, litellm.does = OUT_OF_QUOTA, _picky
    proxy = await start(fallback={"enabled": True, "history": "keep"})
    client = await proxy.client()

    for _ in range(3):
        answer = await client.ask("POST", MESSAGES, {"model": "o3", "messages": HISTORY})
        assert (answer.status, answer.json(), answer.whole) == (
            200,
            {"content": [{"type": "text", "text": "Hi"}]},
            True,
        )
        assert (answer.route or "").startswith(FELL_BACK)
    assert len(litellm.requests) == 4, "what it refused once is left out from then on"


async def test_a_second_replay_to_the_same_http2_server(start: Start, confdir: Path) -> None:
    """On a stream of its own."""

    async def exhausted(stream: Stream) -> None:
        await stream.head(429, JSON)
        await stream.data(QUOTA, end=True)

    async def picky(stream: Stream) -> None:
        refuses = b"signature" in stream.body
        await stream.head(400 if refuses else 200, JSON)
        await stream.data(REFUSAL if refuses else b'{"content": [{"type": "text", "text": "Hi"}]}', end=True)

    async with H2Server(confdir, exhausted) as upstream, H2Server(confdir, picky) as litellm:
        proxy = await start(
            upstream_url=upstream.url,
            litellm_url=litellm.url,
            fallback={"enabled": True, "history": "keep"},
            options={"ssl_insecure": True},
        )
        async with H2Client(proxy.port, h2_context(confdir)) as client:
            asked = [client.post(MESSAGES, messages=HISTORY)]
            await until(lambda: asked[0].ended)
            asked += [client.post(MESSAGES, messages=HISTORY) for _ in range(2)]
            await until(lambda: all(one.ended for one in asked))
    assert [json.loads(one.body) for one in asked] == [{"content": [{"type": "text", "text": "Hi"}]}] * 3
    assert all(one.route.startswith(FELL_BACK) for one in asked)
    assert 4 <= len(litellm.requests) <= 6, "what it refused once is left out from then on"
