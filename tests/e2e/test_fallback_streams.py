"""What is held, for how long, and who gets which byte when: server and client take turns.

A server sends its next piece only once the test has seen what the last one did, so
a proxy that waits for more than it should hangs.
"""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.fallback_support import (
    CHAT,
    CONTENT,
    DROPS,
    FELL_BACK,
    JSON,
    MESSAGES,
    NO_CREDENTIAL,
    ON,
    OPENING,
    OUT_OF_QUOTA,
    OVERLOADED,
    QUOTA,
    SSE,
    Turns,
    ask,
    begin,
    gone,
    healthy,
    says,
    stalls,
)
from e2e.harness import PATIENCE, Stub, black_hole, head, until
from support.servers import Handler, Reply
from support.wire import Request

__all__ = ["healthy"]

BLANK = b"\n"
LONG = "10m"


async def _blank_lines_then_error(_: Request, reply: Reply) -> None:
    await reply.head(200, JSON)
    for _number in range(5):
        await reply.chunk(BLANK)
        await reply.pause(0.02)
    await reply.chunk(QUOTA)
    await reply.end()


async def _late_body(_: Request, reply: Reply) -> None:
    await reply.head(429, JSON)
    await reply.pause(0.2)
    await reply.chunk(QUOTA)
    await reply.end()


def _an_error_event(then: Callable[[Reply], Awaitable[None]]) -> Handler:
    async def handler(_: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        await reply.chunk(OPENING + OVERLOADED)
        await then(reply)

    return handler


BEFORE: dict[str, tuple[int, Handler]] = {
    "429": (429, OUT_OF_QUOTA),
    "429, its body late": (429, _late_body),
    "429, chunked": (429, says(429, b"", chunks=[QUOTA[:9], QUOTA[9:]])),
    "429, gzip": (429, says(429, gzip.compress(QUOTA), JSON | {"content-encoding": "gzip"})),
    "429 and close": (429, says(429, QUOTA, JSON | {"connection": "close"})),
    "503": (503, says(503, NO_CREDENTIAL)),
    "200, blank lines and an error": (200, _blank_lines_then_error),
    "200, gzip": (200, says(200, gzip.compress(QUOTA), JSON | {"content-encoding": "gzip"})),
    "200, an error event": (200, says(200, OVERLOADED, SSE)),
    "200, a handshake and an error event": (200, says(200, b"", SSE, chunks=[OPENING, OVERLOADED])),
    "200, an error event and silence": (200, _an_error_event(Reply.stall)),
    "200, an error event and the end of the connection": (200, _an_error_event(Reply.close)),
    "200, an error event and a reset": (200, _an_error_event(Reply.reset)),
}


@pytest.mark.parametrize("what", BEFORE)
async def test_a_replay_is_streamed(what: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    """LiteLLM's chunk is at the client before LiteLLM sends the next, whatever came before."""
    status, upstream.does = BEFORE[what]
    pieces = [b'data: {"choices": [{"delta": {"content": "%d"}}]}\n\n' % number for number in range(4)]
    proxy = await start(fallback=ON)
    client = await proxy.client()

    for _ in range(2):  # the second time over LiteLLM's open socket
        turns = litellm.does = Turns(*pieces)
        await client.request("POST", CHAT, {"model": "o3", "stream": True})
        answered, headers = await client.head()
        assert answered == 200
        route = f"litellm; reason=fallback; upstream-status={status}; model=o3".encode()
        assert (b"x-hybrid-route", route) in headers
        for piece in pieces:
            assert await client.chunk() == piece
            turns.go()
        assert await client.chunk() == b""

    assert len(litellm.requests) == len(upstream.requests) == 2
    await until(lambda: len(litellm.connections) == 1)
    assert json.loads(litellm.last.body) == {"model": "o3", "stream": True} | DROPS


# -- the rest of an abandoned answer ------------------------------------------

MANY = [OPENING + OVERLOADED, *[b": %04d" % number + b"x" * 1000 + b"\n\n" for number in range(300)]]


@pytest.mark.parametrize("second", [False, True], ids=["first request", "over LiteLLM's open socket"])
async def test_many_chunks_behind_an_error_event(
    second: bool, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """What one read brings beyond the 64 KiB that are kept is not taken for LiteLLM's answer."""
    litellm.does = says(200, b"", SSE, chunks=[CONTENT])
    proxy = await start(fallback=ON)
    client = await proxy.client()
    if second:
        upstream.does = OUT_OF_QUOTA
        assert (await client.ask("POST", MESSAGES, {"model": "o3"})).body == CONTENT

    async def answer(_: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        await reply.raw(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in MANY))
        await reply.stall()

    upstream.does = answer
    got = await client.ask("POST", MESSAGES, {"model": "o3", "stream": True})

    assert (got.status, got.body, got.whole) == (200, CONTENT, True)
    assert got.route == "litellm; reason=fallback; upstream-status=200"
    await gone(upstream.last.connection)
    assert (await client.ask("POST", MESSAGES, {"model": "gpt-5"})).body == CONTENT


async def test_late_bytes_of_an_abandoned_answer(start: Start, upstream: Stub, litellm: Stub) -> None:
    """Upstream goes on after its error event: nothing of it reaches anybody, and its connection closes."""
    sent = asyncio.Event()

    async def answer(_: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        await reply.chunk(OVERLOADED)
        try:
            while True:  # until the proxy closes the connection
                await reply.chunk(CONTENT * 20)
                await asyncio.sleep(0.001)
        finally:
            sent.set()

    upstream.does = answer
    turns = litellm.does = Turns(CONTENT, CONTENT)
    proxy = await start(fallback=ON)
    client = await begin(proxy, MESSAGES, stream=True)

    assert (await client.head())[0] == 200
    assert await client.chunk() == CONTENT
    await gone(upstream.last.connection)
    await sent.wait()
    turns.go()
    assert await client.chunk() == CONTENT
    assert await client.chunk() == b""


# -- holding ------------------------------------------------------------------


@pytest.mark.parametrize("opening", [b"", OPENING, b": comment\n\n"], ids=["", "handshake", "comment"])
async def test_the_first_content_is_not_delayed(
    opening: bytes, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """It is at the client although upstream has nothing more to say for now."""
    pieces = [piece for piece in (opening, CONTENT) if piece]
    turns = upstream.does = Turns(*pieces, then=Reply.stall)
    proxy = await start(fallback={"enabled": True, "hold-max": LONG})
    client = await begin(proxy, MESSAGES, stream=True)
    if opening:
        await turns.begun.wait()
        turns.go()

    status, headers = await client.head()

    assert status == 200
    assert (b"x-hybrid-route", b"upstream; reason=not-listed") in headers
    assert await client.chunk() == opening + CONTENT
    assert litellm.requests == []


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "in two"])
async def test_an_event_that_is_content_comes_whole(
    cut: bool, start: Start, upstream: Stub, litellm: Stub
) -> None:
    pieces = [CONTENT[:20], CONTENT[20:]] if cut else [CONTENT]
    upstream.does = says(200, b"", SSE, chunks=[OPENING, *pieces, OVERLOADED])
    proxy = await start(fallback=ON)

    answer = await ask(proxy, {"stream": True}, MESSAGES)

    assert answer.body == OPENING + CONTENT + OVERLOADED
    assert litellm.requests == []


LIMITS: dict[str, tuple[int, dict[str, str], list[bytes]]] = {
    "blank lines": (200, JSON, [BLANK] * 3),
    "half an answer": (200, JSON, [b'{"choices": [']),
    "too long an opening": (200, SSE, [OPENING * 12_000]),
    "clear, an error status without a body": (500, JSON, [b" "]),
    "clear, too much of an error": (500, JSON, [b"x" * 65_000, b"y" * 1000]),
    "clear, too much of an answer": (200, JSON, [b'{"choices": [' + b" " * 70_000]),
}


@pytest.mark.parametrize("what", LIMITS)
async def test_an_answer_is_released_at_the_limit(
    what: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """After hold-max or 64 KiB the client gets what there is, then the rest as it comes.

    It is logged where nothing has been decided: long JSON is an answer, and of an error the status decides.
    """
    status, headers, pieces = LIMITS[what]
    rest = asyncio.Event()

    async def answer(_: Request, reply: Reply) -> None:
        await reply.head(status, headers)
        for piece in pieces:
            await reply.chunk(piece)
        await rest.wait()
        await reply.chunk(QUOTA)
        await reply.end()

    upstream.does = answer
    hold_max = LONG if "too" in what else "100ms"
    proxy = await start(fallback={"enabled": True, "hold-max": hold_max})
    client = await begin(proxy)

    assert (await client.head())[0] == status
    held = b""
    while len(held) < sum(map(len, pieces)):
        held += await client.chunk()
    assert held == b"".join(pieces)
    rest.set()
    assert await client.chunk() == QUOTA
    assert await client.chunk() == b""
    assert litellm.requests == []
    lines = proxy.log("was passed through unclassified")
    assert [line.fields["model"] for line in lines] == ([] if "clear" in what else ["o3"])


@pytest.mark.parametrize("what", ["answer", "error"])
async def test_a_long_answer_of_known_length(what: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    """More than is held: it comes through whole, whatever it is."""
    status = 200 if what == "answer" else 500
    body = json.dumps({"choices": [], "pad": "x" * 300_000}).encode()
    upstream.does = says(status, body)
    proxy = await start(fallback=ON)

    answer = await ask(proxy)

    assert (answer.status, answer.body, answer.whole) == (status, body, True)
    assert litellm.requests == []


async def test_an_answer_just_short_of_the_limit(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does = says(429, QUOTA + b" " * (64 * 1024 - len(QUOTA)))
    proxy = await start(fallback=ON)

    assert (await ask(proxy)).route == FELL_BACK
    assert litellm.requests


# -- what is not held at all ----------------------------------------------------

NOT_HELD: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "fallback disabled": ({"enabled": False}, {}, CHAT, "not-listed"),
    "kind not listed": ({"enabled": True, "on": ["unreachable"]}, {}, CHAT, "excepted"),
    "model excepted": ({"enabled": True, "except": ["o3*"]}, {}, CHAT, "excepted"),
    "model not listed": ({"enabled": True, "models": ["gpt*"]}, {}, CHAT, "excepted"),
    "stateful": (ON, {"previous_response_id": "resp_1"}, "/v1/responses", "stateful"),
    "never re-routed": (ON, {}, "/v1/videos", "never-reroute"),
    "management": (ON, {}, "/v0/management/usage", "never-reroute"),
    "no model": (ON, {"model": None}, CHAT, "no-model"),
}


@pytest.mark.parametrize("answer", ["429", "200"])
@pytest.mark.parametrize("what", NOT_HELD)
async def test_what_is_not_held(what: str, answer: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    """The first byte of the error reaches the client before upstream sends its last."""
    fallback, body, path, reason = NOT_HELD[what]
    status, headers = (429, JSON) if answer == "429" else (200, SSE)
    pieces = (QUOTA[:10], QUOTA[10:]) if answer == "429" else (OVERLOADED[:10], OVERLOADED[10:])
    turns = upstream.does = Turns(*pieces, status=status, headers=headers)
    proxy = await start(fallback=fallback)
    client = await begin(proxy, path, **body)

    code, fields = await client.head()
    if reason == "excepted" and status == 200:  # the failure comes behind the head
        reason = "not-listed"
    assert (code, dict(fields)[b"x-hybrid-route"]) == (status, f"upstream; reason={reason}".encode())
    assert await client.chunk() == pieces[0]
    turns.go()
    assert await client.chunk() == pieces[1]
    assert await client.chunk() == b""
    assert litellm.requests == []
    assert upstream.last.path == path
    assert proxy.log(f"upstream {status} POST")[0].fields["reason"] == reason


@pytest.mark.parametrize("model", ["gpt-5", "o3"])
async def test_other_answers_are_not_held(model: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    """LiteLLM's own errors on a routed request, and answers that are neither JSON nor events."""
    headers = JSON if model == "gpt-5" else {"content-type": "text/html"}
    turns = Turns(QUOTA[:10], QUOTA[10:], status=429 if model == "gpt-5" else 200, headers=headers)
    litellm.does = upstream.does = turns
    proxy = await start(fallback=ON)
    client = await begin(proxy, model=model)

    await client.head()
    assert await client.chunk() == QUOTA[:10]
    turns.go()
    assert await client.chunk() == QUOTA[10:]
    assert len(litellm.requests) + len(upstream.requests) == 1


async def test_a_websocket_is_not_held(start: Start, upstream: Stub, litellm: Stub) -> None:
    turns = upstream.does = Turns(QUOTA[:10], QUOTA[10:], status=429, headers=JSON)
    proxy = await start(fallback=ON, websocket="pass")
    client = await proxy.client()
    fields = [("Host", "127.0.0.1"), ("Connection", "Upgrade"), ("Upgrade", "websocket")]
    await client.send(head("GET /v1/responses HTTP/1.1", [*fields, ("Sec-WebSocket-Version", "13")]))

    assert (await client.head())[0] == 429
    assert await client.chunk() == QUOTA[:10]
    turns.go()
    assert await client.chunk() == QUOTA[10:]
    assert litellm.requests == []


# -- clients that leave -----------------------------------------------------------

HELD: dict[str, Callable[[], Turns]] = {
    "error body": lambda: Turns(QUOTA[:9], status=429, headers=JSON, then=Reply.stall),
    "handshake": lambda: Turns(OPENING, then=Reply.stall),
    "blank lines": lambda: Turns(BLANK, headers=JSON, then=Reply.stall),
}


@pytest.mark.parametrize("what", HELD)
async def test_a_client_that_leaves_while_its_answer_is_held(
    what: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """LiteLLM is never called, and upstream's socket is closed."""
    turns = upstream.does = HELD[what]()
    proxy = await start(fallback={"enabled": True, "hold-max": LONG})
    client = await begin(proxy)
    await turns.begun.wait()
    await client.close()

    await gone(upstream.last.connection)
    line = await proxy.failure()

    assert line.message == "upstream: client disconnected during POST /v1/chat/completions"
    await until(lambda: litellm.connections == [])


async def _closes_when_the_client_leaves(
    litellm: Stub, start: Start, before: Callable[[Any], Awaitable[None]]
) -> None:
    proxy = await start(fallback=ON)
    client = await begin(proxy, stream=True)
    await litellm.seen()
    await before(client)
    await client.close()

    await gone(litellm.last.connection)
    line = await proxy.failure()
    assert line.message == "litellm: client disconnected during POST /v1/chat/completions"
    assert line.level == "WARNING"


@pytest.mark.parametrize("over", [False, True], ids=["complete", "unfinished"])
async def test_a_client_that_leaves_before_the_replay_answers(
    over: bool, start: Start, upstream: Stub, litellm: Stub
) -> None:
    upstream.does = Turns(OVERLOADED, then=Reply.stall) if over else OUT_OF_QUOTA
    litellm.does = stalls

    async def before(_: Any) -> None:
        pass

    await _closes_when_the_client_leaves(litellm, start, before)


@pytest.mark.parametrize("piece", [OPENING, CONTENT], ids=["while it is held", "mid-stream"])
async def test_a_client_that_leaves_while_the_replay_answers(
    piece: bytes, start: Start, upstream: Stub, litellm: Stub
) -> None:
    upstream.does = OUT_OF_QUOTA
    turns = litellm.does = Turns(piece, then=Reply.stall)

    async def before(client: Any) -> None:
        await turns.begun.wait()
        if piece is CONTENT:
            await client.head()
            assert await client.chunk() == CONTENT

    await _closes_when_the_client_leaves(litellm, start, before)


async def test_a_client_that_hangs_up_behind_the_end_of_a_stream_was_served(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    """As Codex does: it does not wait for the connection's own end."""
    upstream.does = OUT_OF_QUOTA
    done = b"data: [DONE]\n\n"
    turns = litellm.does = Turns(CONTENT, done, then=Reply.stall)
    proxy = await start(fallback=ON)
    client = await begin(proxy, stream=True)
    await turns.begun.wait()
    await client.head()
    turns.go()
    received = b""
    while done not in received:
        received += await client.chunk()
    await client.close()

    await gone(litellm.last.connection)
    await until(lambda: proxy.log("litellm 200 POST /v1/chat/completions"))
    assert proxy.log("client disconnected") == []
    assert proxy.addon._fallbacks.history.counts == {("quota", "served"): 1}
    assert proxy.addon._records.counters.requests == {("litellm", "fallback", "2xx"): 1}


async def test_a_client_that_leaves_while_the_replay_connects(start: Start, upstream: Stub) -> None:
    upstream.does = OUT_OF_QUOTA
    with black_hole() as (port, _):
        proxy = await start(litellm_url=f"http://127.0.0.1:{port}", fallback=ON, timeouts={"connect": LONG})
        client = await begin(proxy)
        await until(lambda: proxy.log("litellm fallback: OAuth failed"))
        await client.close()

        line = await proxy.failure()

    assert line.message == "litellm: client disconnected during POST /v1/chat/completions"


# -- upstream breaks off ------------------------------------------------------------


async def test_an_error_that_breaks_off_while_held(start: Start, upstream: Stub, litellm: Stub) -> None:
    """A status that says nothing by itself is no answer; one that does decides."""
    upstream.does = Turns(QUOTA[:20], status=400, headers=JSON, then=Reply.close)
    proxy = await start(fallback=ON)

    answer = await ask(proxy)

    assert (answer.status, answer.json()["error"]) == (502, "upstream_proxy_error")
    assert litellm.requests == []

    upstream.does = Turns(QUOTA[:20], status=429, headers=JSON, then=Reply.close)
    answer = await ask(proxy)

    assert (answer.status, len(litellm.requests)) == (200, 1)


async def test_a_failure_that_breaks_off_and_that_litellm_cannot_mend_is_given_back_cut(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    upstream.does = Turns(QUOTA[:20], status=429, headers=JSON, then=Reply.close)
    litellm.does = Turns(b"{}", status=500, headers=JSON)
    proxy = await start(fallback=ON)

    answer = await ask(proxy)

    assert (answer.status, answer.body, answer.whole) == (429, QUOTA[:20], False)
    assert len(litellm.requests) == 1


@pytest.mark.parametrize("piece", [OPENING, b'{"choices": ['], ids=["handshake", "json"])
async def test_an_answer_that_breaks_off_while_held(
    piece: bytes, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """The client gets what there was, and sees that it is not whole."""
    upstream.does = Turns(piece, headers=SSE if piece is OPENING else JSON, then=Reply.close)
    proxy = await start(fallback=ON)

    answer = await ask(proxy)

    assert (answer.status, answer.body, answer.whole) == (200, piece, False)
    assert litellm.requests == []


async def test_an_answer_that_stalls_while_held(start: Start, upstream: Stub, litellm: Stub) -> None:
    """The idle limit holds there too."""
    upstream.does = Turns(QUOTA[:20], status=400, headers=JSON, then=Reply.stall)
    proxy = await start(fallback={"enabled": True, "hold-max": LONG}, timeouts={"idle": "200ms"})

    answer = await ask(proxy)

    assert (answer.status, answer.json()["error"]) == (502, "upstream_proxy_error")
    await gone(upstream.last.connection)
    assert litellm.requests == []


async def test_a_flow_killed_while_held(start: Start, upstream: Stub, litellm: Stub) -> None:
    """A person in mitmweb ends it: no LiteLLM, no answer."""
    turns = upstream.does = Turns(QUOTA[:9], QUOTA[9:], status=429, headers=JSON)
    proxy = await start(fallback={"enabled": True, "hold-max": LONG})
    flows = []

    class Note:
        def request(self, flow: Any) -> None:
            flows.append(flow)

    proxy.master.addons.add(Note())
    client = await begin(proxy)
    await turns.begun.wait()
    await until(lambda: flows and flows[0].response)
    flows[0].kill()
    turns.go()

    async with asyncio.timeout(PATIENCE):
        assert await client.rest() == b""
    assert litellm.requests == []
    assert proxy.log("litellm fallback") == []
