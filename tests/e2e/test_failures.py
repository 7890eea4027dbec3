"""What the client gets and what is logged when a server, the network, the client or we ourselves fail."""

import asyncio
import gzip
import socket
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.harness import (
    LITELLM_502,
    UPSTREAM_502,
    Answer,
    Clock,
    Line,
    Stub,
    black_hole,
    gone,
    head,
    until,
)
from e2e.tls import server_context
from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.proxy import stream
from litellm_hybrid.proxy.http1 import MOST_HEAD
from litellm_hybrid.proxy.stream import MOST_BODY
from litellm_hybrid.routing import requested_model
from support.servers import Reply
from support.wire import Request

SSE = {"content-type": "text/event-stream"}
BOTH = pytest.mark.parametrize("model", ["gpt-5", "o3"], ids=["litellm", "upstream"])


def _expected(model: str) -> tuple[str, bytes, str]:
    """Who fails, the body of our answer and its route header."""
    if model == "gpt-5":
        return "litellm", LITELLM_502, "litellm; reason=error"
    return "upstream", UPSTREAM_502, "upstream; reason=error"


def _assert_502(answer: Answer, model: str) -> None:
    _, body, route = _expected(model)
    assert (answer.status, answer.body, answer.route) == (502, body, route)
    assert answer.values("content-type") == ["application/json"]
    assert answer.header("x-request-id")


def _assert_logged(line: Line, model: str, error_type: str, level: str = "ERROR") -> None:
    target, _, _ = _expected(model)
    assert line.level == level
    assert line.fields["error_type"] == error_type
    known = {name: line.fields[name] for name in ("method", "path", "client_ip", "target", "model")}
    assert known == {
        "method": "POST",
        "path": "/v1/chat/completions",
        "client_ip": "127.0.0.1",
        "target": target,
        "model": model,
    }
    assert line.fields["request_id"]
    assert line.fields["error"]


async def _stall(_: Request, reply: Reply) -> None:
    await reply.stall()


# -- the network ------------------------------------------------------------


@BOTH
async def test_a_stopped_server(model: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    """A 502 in JSON; the other server is not concerned; started again, the same client is served."""
    proxy = await start()
    client = await proxy.client()
    stopped, other = (litellm, "o3") if model == "gpt-5" else (upstream, "gpt-5")
    assert (await client.post(model)).status == 200
    await stopped.stop()

    for _ in range(2):
        _assert_502(await client.post(model), model)
    assert (await client.post(other)).status == 200
    async with Stub(port=stopped.port) as again:
        assert (await client.post(model)).status == 200
        assert len(again.requests) == 1

    for line in proxy.failures():
        _assert_logged(line, model, "network_error")
    assert len(proxy.failures()) == 2
    assert proxy.failures()[0].message.startswith(
        f"{(stopped is litellm and 'litellm') or 'upstream'} proxy error"
    )


@BOTH
async def test_a_server_that_was_never_there(model: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    await (litellm if model == "gpt-5" else upstream).stop()
    proxy = await start()

    _assert_502(await proxy.post(model), model)
    assert (await proxy.post("o3" if model == "gpt-5" else "gpt-5")).status == 200

    _assert_logged(await proxy.failure(), model, "network_error")


async def test_the_messages_of_the_fork(start: Start, litellm: Stub) -> None:
    await litellm.stop()
    proxy = await start()

    await proxy.post("gpt-5")

    assert proxy.log("litellm routing: gpt-5 → LiteLLM")
    assert proxy.log("litellm proxy error for POST /v1/chat/completions: ")
    assert proxy.log(f"LiteLLM routing enabled for: {litellm.url}")


@BOTH
async def test_an_address_that_drops_everything(model: str, start: Start, clock: Clock) -> None:
    with black_hole() as (port, _):
        where = {"litellm_url" if model == "gpt-5" else "upstream_url": f"http://127.0.0.1:{port}"}
        proxy = await start(**where)
        client = await proxy.client()

        for _ in range(2):
            proxy.watchman.connecting.clear()
            await client.request("POST", "/v1/chat/completions", {"model": model})
            await proxy.watchman.connecting.wait()
            await clock.advance(9)
            assert not client.wire.take()
            clock.jump(2)
            _assert_502(await client.answer(), model)
        assert (await client.post("o3" if model == "gpt-5" else "gpt-5")).status == 200

    for line in proxy.failures():
        _assert_logged(line, model, "network_timeout")
    assert len(proxy.failures()) == 2


async def test_an_unresolvable_name(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def resolver(host: Any, *args: Any, **kwargs: Any) -> Any:
        # What a real one says, without depending on the network's.
        if host == "litellm.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    proxy = await start(litellm_url="http://litellm.invalid:4000")

    _assert_502(await proxy.post("gpt-5"), "gpt-5")
    _assert_logged(await proxy.failure(), "gpt-5", "network_error")


@pytest.mark.parametrize("trusted", ["tls-ca", "the option", "SSL_CERT_FILE", ""])
async def test_the_certificate_of_litellm(
    trusted: str, start: Start, confdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Stub(tls=server_context(confdir)) as litellm:
        ca = str(confdir / "mitmproxy-ca-cert.pem")
        options = {"ssl_verify_upstream_trusted_ca": ca} if trusted == "the option" else {}
        if trusted == "SSL_CERT_FILE":
            monkeypatch.setenv("SSL_CERT_FILE", ca)
        keys = {"tls_ca": ca} if trusted == "tls-ca" else {}
        proxy = await start(litellm_url=litellm.url, options=options, **keys)
        client = await proxy.client()

        answer = await client.post("gpt-5")

        if trusted:
            assert answer.status == 200
            assert litellm.last.values("host") == [f"127.0.0.1:{litellm.port}"]
            return
        _assert_502(answer, "gpt-5")
        assert litellm.requests == []
        assert (await client.post("o3")).status == 200
    _assert_logged(await proxy.failure(), "gpt-5", "network_error")


# -- slow servers: the default limits, on a clock that the test moves ---------


@BOTH
async def test_a_server_that_accepts_and_is_silent(
    model: str, start: Start, upstream: Stub, litellm: Stub, clock: Clock
) -> None:
    silent = litellm if model == "gpt-5" else upstream
    silent.does = _stall
    proxy = await start()
    client = await proxy.client()

    await client.request("POST", "/v1/chat/completions", {"model": model})
    await silent.seen()
    await clock.advance(599)
    assert not client.wire.take()
    clock.jump(2)
    _assert_502(await client.answer(), model)
    await gone(silent.last.connection)

    _assert_logged(await proxy.failure(), model, "timeout")
    assert (await client.post("o3" if model == "gpt-5" else "gpt-5")).status == 200


@BOTH
async def test_a_stream_that_falls_silent(
    model: str, start: Start, upstream: Stub, litellm: Stub, clock: Clock
) -> None:
    """Each piece starts the idle limit anew; beyond it the stream ends as broken."""
    pieces = asyncio.Semaphore(1)

    async def answer(_: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        for number in range(6):
            await pieces.acquire()
            await reply.chunk(b"data: %d\n\n" % number)
        await reply.stall()

    silent = litellm if model == "gpt-5" else upstream
    silent.does = answer
    proxy = await start()
    client = await proxy.client()
    await client.request("POST", "/v1/chat/completions", {"model": model})
    assert (await client.head())[0] == 200

    for number in range(6):
        assert await client.chunk() == b"data: %d\n\n" % number
        await clock.advance(200)
        pieces.release()
    assert proxy.failures() == []
    clock.jump(101)

    assert await client.rest() == b""  # not the chunk that ends an answer
    await gone(silent.last.connection)
    _assert_logged(await proxy.failure(), model, "timeout")


@pytest.mark.parametrize("limit", ["connect", "first-byte", "idle"])
async def test_the_limits_are_those_of_the_file(
    limit: str, start: Start, litellm: Stub, clock: Clock
) -> None:
    async def answer(_: Request, reply: Reply) -> None:
        if limit == "idle":
            await reply.head(200, SSE)
        await reply.stall()

    litellm.does = answer
    with black_hole() as (port, _):
        where = {"litellm_url": f"http://127.0.0.1:{port}"} if limit == "connect" else {}
        proxy = await start(timeouts={limit: "3s"}, **where)
        client = await proxy.client()
        await client.request("POST", "/v1/chat/completions", {"model": "gpt-5"})
        await (proxy.watchman.connecting.wait() if limit == "connect" else litellm.seen())
        if limit == "idle":
            await client.head()
        clock.jump(4)

        line = await proxy.failure()

    assert line.fields["error_type"] == ("network_timeout" if limit == "connect" else "timeout")
    assert "3 s" in line.fields["error"]


# -- servers that break off or talk nonsense --------------------------------

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BAD_ANSWERS = [
    ("closes at once", b"", None, "network_error"),
    ("closes in the status line", b"HTTP/1.1 20", None, "network_error"),
    ("closes in the headers", b"HTTP/1.1 200 OK\r\nContent-Ty", None, "network_error"),
    ("garbage", b"\x00\x01garbage\r\n\r\n", None, "proxy_error"),
    ("another protocol", b"SSH-2.0-OpenSSH_9\r\n\r\n", None, "proxy_error"),
    ("a bad length", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", None, "proxy_error"),
    ("a bad header", b"HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n", None, "proxy_error"),
    (
        "smuggling",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
        None,
        "proxy_error",
    ),
    ("closes in a chunk", CHUNKED + b"5\r\nhe", b"he", "network_error"),
    ("closes between chunks", CHUNKED + b"5\r\nhello\r\n", b"hello", "network_error"),
    ("a bad chunk", CHUNKED + b"5\r\nhello\r\nxyz\r\n", b"hello", "proxy_error"),
    (
        "closes in a long body",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\nhello",
        b"hello",
        "network_error",
    ),
    ("closes in a short body", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", None, "network_error"),
]


@BOTH
@pytest.mark.parametrize(
    ("sends", "arrives", "error_type"),
    [case[1:] for case in BAD_ANSWERS],
    ids=[case[0] for case in BAD_ANSWERS],
)
async def test_a_bad_answer(
    sends: bytes,
    arrives: bytes | None,
    error_type: str,
    model: str,
    start: Start,
    upstream: Stub,
    litellm: Stub,
) -> None:
    """Before a byte went to the client: a 502. After: the answer ends as broken."""
    received = asyncio.Event()

    async def bad(_: Request, reply: Reply) -> None:
        await reply.raw(sends)
        if arrives is not None:
            await received.wait()
        await reply.close()

    litellm.does = upstream.does = bad
    proxy = await start()
    client = await proxy.client()
    await client.request("POST", "/v1/chat/completions", {"model": model})

    if arrives is None:
        _assert_502(await client.answer(), model)
    else:
        assert (await client.head())[0] == 200
        reading = asyncio.create_task(client.rest())
        received.set()
        assert arrives in await reading

    _assert_logged(await proxy.failure(), model, error_type)
    litellm.does = upstream.does = Stub().does
    assert (await proxy.post(model)).status == 200


async def test_a_server_that_closes_an_idle_connection(start: Start, litellm: Stub) -> None:
    """The next request of the same client opens a new one."""
    proxy = await start()
    client = await proxy.client()
    assert (await client.post("gpt-5")).status == 200
    connection = litellm.last.connection
    connection.writer.close()
    await gone(connection)

    assert (await client.post("gpt-5")).status == 200
    await until(lambda: len(litellm.connections) == 2)


# -- clients that leave -----------------------------------------------------


@BOTH
@pytest.mark.parametrize("when", ["before the answer", "after the first chunk"])
async def test_a_client_that_leaves(
    when: str, model: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    server = litellm if model == "gpt-5" else upstream

    async def answer(_: Request, reply: Reply) -> None:
        if when == "after the first chunk":
            await reply.head(200, SSE)
            await reply.chunk(b"data: 1\n\n")
        await reply.stall()

    server.does = answer
    proxy = await start()
    client = await proxy.client()
    await client.request("POST", "/v1/chat/completions", {"model": model})
    await server.seen()
    if when == "after the first chunk":
        await client.head()
        await client.chunk()
    await client.close()

    await gone(server.last.connection)
    line = await proxy.failure()
    _assert_logged(line, model, "client_disconnect", level="WARNING")
    who = _expected(model)[0]
    assert line.message == f"{who}: client disconnected during POST /v1/chat/completions"


@BOTH
async def test_a_client_that_leaves_while_we_connect(model: str, start: Start) -> None:
    with black_hole() as (port, _):
        where = {"litellm_url" if model == "gpt-5" else "upstream_url": f"http://127.0.0.1:{port}"}
        proxy = await start(timeouts={"connect": "10m"}, **where)
        client = await proxy.client()
        await client.request("POST", "/v1/chat/completions", {"model": model})
        await proxy.watchman.connecting.wait()
        await client.close()

        line = await proxy.failure()

    _assert_logged(line, model, "client_disconnect", level="WARNING")


async def test_a_client_that_leaves_while_it_sends(start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start()
    client = await proxy.client()
    fields = [("Host", "127.0.0.1"), ("Content-Length", "100")]
    await client.send(head("POST /v1/chat/completions HTTP/1.1", fields) + b'{"model": "gpt-5"')
    await client.close()

    line = await proxy.failure()

    assert (line.level, line.fields["error_type"]) == ("WARNING", "client_disconnect")
    assert upstream.requests == litellm.requests == []


# -- ourselves --------------------------------------------------------------


async def test_an_exception_in_our_own_code(
    start: Start, upstream: Stub, litellm: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 in JSON with the request id, and nothing is sent on."""
    proxy = await start()
    client = await proxy.client()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(requested_model, "read", broken)
        answer = await client.post("gpt-5", [("X-Request-ID", "id-1")])

    assert (answer.status, answer.route) == (500, "none; reason=error")
    assert answer.header("content-type") == "application/json"
    assert answer.json()["error"] == "litellm_hybrid_error"
    assert answer.header("x-request-id") == "id-1"
    assert upstream.requests == litellm.requests == []
    line = await proxy.failure()
    assert (line.level, line.fields["error_type"], line.fields["request_id"]) == (
        "ERROR",
        "proxy_error",
        "id-1",
    )
    assert "ZeroDivisionError: on purpose" in line.message
    assert (await client.post("gpt-5")).status == 200


async def test_a_request_that_was_not_decided_on_goes_nowhere(
    start: Start, upstream: Stub, litellm: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await start()
    monkeypatch.setattr(HybridAddon, "request", lambda _self, _flow: None)

    answer = await proxy.post("gpt-5")

    assert answer.status >= 500
    assert answer.header("content-type") == "application/json"
    assert upstream.requests == litellm.requests == []
    assert (await proxy.failure()).fields["error_type"] == "proxy_error"


# -- requests that are none -------------------------------------------------

BAD_REQUESTS = {
    "no HTTP": b"hello there\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "a bad length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    "smuggling": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bad header": b"POST / HTTP/1.1\r\nHost: a\r\nbad header: x\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("sends", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
async def test_a_request_that_is_none(sends: bytes, start: Start, upstream: Stub, litellm: Stub) -> None:
    """It is refused in JSON, and reaches nobody."""
    proxy = await start()
    client = await proxy.client()

    await client.send(sends)
    answer = await client.answer()

    assert answer.status == 400
    assert answer.header("content-type") == "application/json"
    assert set(answer.json()) == {"error", "message"}
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.route == "none; reason=error"
    assert upstream.requests == litellm.requests == []


async def test_a_request_that_goes_wrong_in_its_body(start: Start, upstream: Stub, litellm: Stub) -> None:
    """It is refused, and nobody gets half a request."""
    proxy = await start()
    client = await proxy.client()

    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await proxy.watchman.request_begun.wait()
    await client.send(b"xyz\r\n")
    answer = await client.answer()
    await client.rest()

    assert (answer.status, answer.json()["error"]) == (400, "bad_request")
    assert upstream.requests == litellm.requests == []
    assert (await proxy.failure()).fields["error_type"] == "unknown"


async def test_a_refused_request_is_logged(start: Start) -> None:
    proxy = await start()
    client = await proxy.client()

    await client.send(BAD_REQUESTS["no HTTP"])
    await client.answer()

    (line,) = [line for line in proxy.lines if "malformed" in line.message]
    assert (line.level, line.fields["client_ip"]) == ("WARNING", "127.0.0.1")


# -- requests that are too much ----------------------------------------------

HEAD_OF_LONG = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("sends", "status", "error"),
    [
        (b"GET /" + b"a" * MOST_HEAD + b" HTTP/1.1\r\n", 431, "request_head_too_large"),
        (HEAD_OF_LONG + b"X: " + b"a" * MOST_HEAD, 431, "request_head_too_large"),
        (HEAD_OF_LONG + b"Content-Length: %d\r\n\r\n" % (MOST_BODY + 1), 413, "request_too_large"),
        (HEAD_OF_LONG + b"Content-Length: 99999999999999999999\r\n\r\n", 413, "request_too_large"),
    ],
    ids=["url", "headers", "length", "huge length"],
)
async def test_a_request_that_is_too_long(
    sends: bytes, status: int, error: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start()
    client = await proxy.client()

    await client.send(sends)
    answer = await client.answer()
    await client.rest()

    assert (answer.status, answer.json()["error"], answer.route) == (status, error, "none; reason=error")
    assert upstream.requests == litellm.requests == []
    assert (await proxy.post("gpt-5")).status == 200


async def test_a_body_that_is_too_long_is_not_asked_for(start: Start, upstream: Stub) -> None:
    """Nobody sends what is refused: no 100 comes before the refusal."""
    proxy = await start()
    client = await proxy.client()

    length = b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % (MOST_BODY + 1)
    await client.send(HEAD_OF_LONG + length)
    answer = await client.answer()
    await client.rest()

    assert (answer.status, answer.json()["error"]) == (413, "request_too_large")
    assert upstream.requests == []


EXPECTING = HEAD_OF_LONG + b"Expect: 100-continue\r\n"


@pytest.mark.parametrize(
    ("head", "body", "seconds", "status", "error"),
    [
        (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n1\r\n \r\n", 0, 413, "request_too_large"),
        (b"Transfer-Encoding: chunked", b"xyz\r\n", 0, 400, "bad_request"),
        (b"Content-Length: 5", b"{", 301, 408, "request_timeout"),
    ],
    ids=["too long", "not HTTP", "stalls"],
)
async def test_a_refusal_after_a_100_is_an_answer(
    head: bytes,
    body: bytes,
    seconds: int,
    status: int,
    error: str,
    start: Start,
    upstream: Stub,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "MOST_BODY", 5)
    proxy = await start()
    client = await proxy.client()

    await client.send(EXPECTING + head + b"\r\n\r\n")
    assert (await client.head())[0] == 100
    await client.send(body)
    if seconds:
        await clock.advance(1)
        clock.jump(seconds)
    answer = await client.answer()
    await client.rest()

    assert (answer.status, answer.json()["error"], answer.route) == (status, error, "none; reason=error")
    assert upstream.requests == []


async def test_an_upload_without_a_length_that_is_too_long(
    start: Start, upstream: Stub, litellm: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_BODY", 100_000)
    proxy = await start()
    client = await proxy.client()

    await client.send(HEAD_OF_LONG + b"Transfer-Encoding: chunked\r\n\r\n")
    await client.send(b"186a0\r\n" + b" " * 100_000 + b"\r\n1\r\n \r\n")
    answer = await client.answer()

    assert (answer.status, answer.json()["error"]) == (413, "request_too_large")
    assert upstream.requests == litellm.requests == []


async def test_a_body_that_is_too_long_once_decoded(start: Start, upstream: Stub, litellm: Stub) -> None:
    """A bomb is neither read nor passed on."""
    proxy = await start()
    bomb = gzip.compress(bytes(MOST_BODY + 1))

    answer = await proxy.ask("POST", "/v1/messages", bomb, [("Content-Encoding", "gzip")])

    assert (answer.status, answer.json()["error"], answer.route) == (
        413,
        "request_too_large",
        "upstream; reason=refused",
    )
    assert upstream.requests == litellm.requests == []


async def test_an_upload_that_stalls(start: Start, litellm: Stub, clock: Clock) -> None:
    proxy = await start()
    client = await proxy.client()

    await client.send(HEAD_OF_LONG + b"Content-Length: 100\r\n\r\n{")
    await proxy.watchman.request_begun.wait()
    await clock.advance(1)
    clock.jump(301)
    answer = await client.answer()
    await client.rest()

    assert (answer.status, answer.json()["error"]) == (408, "request_timeout")
    assert litellm.requests == []


async def test_a_head_that_comes_byte_by_byte(start: Start, upstream: Stub, clock: Clock) -> None:
    proxy = await start()
    client, begun = await proxy.client(), clock()
    await client.send(b"GET / HTTP/1.1\r\nX-Long: ")
    answering = asyncio.create_task(client.answer())

    while clock() - begun < 16:
        await client.send(b"x")
        clock.jump(1)
        await asyncio.sleep(0.01)
    answer = await answering

    assert (answer.status, answer.json()["error"]) == (408, "request_timeout")
    assert 15 < clock() - begun < 30, "15 s after its beginning, not after its last byte"
    assert await client.rest() == b""
    assert upstream.requests == []


# -- what mitmproxy alone stumbles over --------------------------------------

TRAILERS = b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"


async def test_trailers_of_a_request_are_dropped(start: Start, litellm: Stub) -> None:
    proxy = await start()
    client = await proxy.client()
    body = b'{"model":"gpt-5"}'
    chunked = b"%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(body), body)

    await client.send(
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked
    )

    assert (await client.answer()).status == 200
    assert litellm.last.body == body
    assert (await client.post("gpt-5")).status == 200


@BOTH
async def test_trailers_of_an_answer_are_dropped(
    model: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    async def answer(_: Request, reply: Reply) -> None:
        await reply.raw(CHUNKED + TRAILERS)

    upstream.does = litellm.does = answer
    proxy = await start()
    client = await proxy.client()

    assert (await client.post(model)).body == b"hello"
    assert (await client.post(model)).body == b"hello"


@BOTH
@pytest.mark.parametrize("interim", [1, 3, 100])
async def test_interim_answers_are_not_the_answer(
    interim: int, model: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    async def answer(_: Request, reply: Reply) -> None:
        await reply.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * interim)
        await reply.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    upstream.does = litellm.does = answer
    proxy = await start()
    client = await proxy.client()

    for _ in range(2):
        answered = await client.post(model)
        assert (answered.status, answered.body) == (200, b"hello")


async def test_a_client_gone_leaves_nothing_behind(start: Start, litellm: Stub) -> None:
    """Every server connection of a client ends with it."""
    proxy = await start()
    client = await proxy.client()
    for model in ("gpt-5", "o3"):
        await client.post(model)
    await client.close()

    await gone(litellm.last.connection)
