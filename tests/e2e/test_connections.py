"""Connections in the field: kept ones that die, clients that half-close or speak HTTP/1.0, servers that die."""

import asyncio
from pathlib import Path

import pytest

from e2e.conftest import Start
from e2e.harness import Client, Proxy, Stub, gone, hello, until
from e2e.tls import server_context
from support.servers import Handler, Reply
from support.wire import Request

SSE = {"content-type": "text/event-stream"}
BOTH = pytest.mark.parametrize("model", ["gpt-5", "o3"], ids=["litellm", "upstream"])


def dies(how: str, *, after: bytes = b"") -> Handler:
    """A server that serves one request of each connection, and ends the next without a response."""

    served = set[int]()

    async def handler(request: Request, reply: Reply) -> None:
        if id(request.connection) not in served:
            served.add(id(request.connection))
            await hello(request, reply)
            return
        if after:
            await reply.raw(after)
        await (reply.close() if how == "close" else reply.reset())

    return handler


@BOTH
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_request_that_is_lost_with_a_kept_connection_is_sent_again(
    how: str, model: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    server = litellm if model == "gpt-5" else upstream
    server.does = dies(how)
    client = await (await start()).client()

    first, second = await client.post(model), await client.post(model)

    assert (first.status, second.status) == (200, 200)
    await until(lambda: len(server.connections) == 2)
    assert server.requests[1].body == server.requests[2].body


@pytest.mark.parametrize("begun", [b"HTTP/1.1 2", b"HTTP/1.1 102 Processing\r\n\r\n"])
async def test_a_request_of_which_a_response_had_begun_is_not(
    begun: bytes, start: Start, upstream: Stub
) -> None:
    upstream.does = dies("close", after=begun)
    client = await (await start()).client()

    first, second = await client.post("o3"), await client.post("o3")

    assert (first.status, second.status) == (200, 502)
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("relays", ["on", "off"])
async def test_requests_that_come_at_once_are_answered_over_tls(
    relays: str, start: Start, confdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is read while the connection to the server has not done with the last response."""
    monkeypatch.setenv("LITELLM_HYBRID_RELAY", relays)
    one = b'POST /v1/messages HTTP/1.1\r\nHost: here\r\nContent-Length: 14\r\n\r\n{"model":"o3"}'
    async with Stub(tls=server_context(confdir)) as upstream:
        proxy = await start(upstream_url=upstream.url, tls_ca=str(confdir / "mitmproxy-ca-cert.pem"))
        client = await proxy.client()

        await client.send(one * 3)

        assert [(await client.answer()).status for _ in range(3)] == [200] * 3


async def test_a_new_connection_that_dies_is_a_failure(start: Start, upstream: Stub) -> None:
    async def dead(_: Request, reply: Reply) -> None:
        await reply.close()

    upstream.does = dead
    proxy = await start()

    assert (await proxy.post("o3")).status == 502
    assert len(upstream.requests) == 1


# -- an upstream that dies before its head --------------------------------------


@pytest.mark.parametrize("how", ["close", "reset", "garbage"])
@pytest.mark.parametrize(
    ("kinds", "route"),
    [
        (["server-error"], "litellm; reason=fallback"),
        (["quota", "unreachable"], "upstream; reason=error"),
    ],
)
async def test_an_upstream_that_dies_before_its_head_is_a_server_error(
    how: str, kinds: list[str], route: str, start: Start, upstream: Stub
) -> None:
    async def dead(_: Request, reply: Reply) -> None:
        if how == "garbage":
            await reply.raw(b"garbage\r\n\r\n")
        await (reply.reset() if how == "reset" else reply.close())

    upstream.does = dead
    proxy = await start(fallback={"enabled": True, "on": kinds})

    answer = await proxy.post("o3")

    assert answer.route == route
    assert answer.status == (200 if "server-error" in kinds else 502)


async def test_an_upstream_that_does_not_accept_is_unreachable(start: Start, upstream: Stub) -> None:
    proxy = await start(fallback={"enabled": True, "on": ["unreachable"]})
    await upstream.stop()

    assert (await proxy.post("o3")).route == "litellm; reason=unreachable"


# -- clients that half-close ------------------------------------------------------


async def _half_close(proxy: Proxy, model: str) -> Client:
    """Ask, and say that no more will come."""
    client = await proxy.client()
    await client.request("POST", "/v1/chat/completions", {"model": model})
    client.wire.writer.write_eof()
    return client


@BOTH
async def test_a_client_that_half_closes_is_served(
    model: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    go_on = asyncio.Event()

    async def slow(request: Request, reply: Reply) -> None:
        await go_on.wait()
        await hello(request, reply)

    litellm.does = upstream.does = slow
    proxy = await start()
    client = await _half_close(proxy, model)
    await (litellm if model == "gpt-5" else upstream).seen()
    await asyncio.sleep(0.3)  # it is looked after meanwhile
    go_on.set()

    answer = await client.answer()

    assert (answer.status, b"hello" in answer.body) == (200, True)
    assert await client.rest() == b"", "and the connection is closed"


async def test_a_stream_goes_on_for_a_client_that_half_closes(start: Start, upstream: Stub) -> None:
    async def stream(_: Request, reply: Reply) -> None:
        await reply.events([b"data: 1\n\n", b"data: 2\n\n"], delay=0.2)

    upstream.does = stream
    client = await _half_close(await start(), "o3")

    assert (await client.answer()).body == b"data: 1\n\ndata: 2\n\n"


async def test_a_client_that_half_closes_and_then_leaves_is_noticed(start: Start, upstream: Stub) -> None:
    async def stall(_: Request, reply: Reply) -> None:
        await reply.stall()

    upstream.does = stall
    proxy = await start()
    client = await _half_close(proxy, "o3")
    await upstream.seen()
    await asyncio.sleep(0.2)
    assert not proxy.failures()

    await client.close()

    await gone(upstream.last.connection)
    assert (await proxy.failure()).fields["error_type"] == "client_disconnect"


async def test_a_client_that_resets_is_not_taken_to_half_close(start: Start, upstream: Stub) -> None:
    async def stall(_: Request, reply: Reply) -> None:
        await reply.stall()

    upstream.does = stall
    proxy = await start()
    client = await proxy.client()
    await client.request("POST", "/v1/chat/completions", {"model": "o3"})
    await upstream.seen()

    client.wire.writer.transport.abort()

    await gone(upstream.last.connection)
    assert (await proxy.failure()).fields["error_type"] == "client_disconnect"


async def test_a_client_that_half_closes_and_leaves_its_stream_is_noticed(
    start: Start, upstream: Stub
) -> None:
    async def stream(_: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        while reply.connection.open:
            await reply.chunk(b"data: 1\n\n")
            await asyncio.sleep(0.02)

    upstream.does = stream
    proxy = await start()
    client = await _half_close(proxy, "o3")
    await client.head()

    await client.close()

    await gone(upstream.last.connection)
    await until(proxy.failures)
    assert proxy.failures()[0].fields["error_type"] == "client_disconnect"


# -- HTTP/1.0 ----------------------------------------------------------------------


@BOTH
async def test_an_http_1_0_client_gets_no_chunks(
    model: str, start: Start, upstream: Stub, litellm: Stub
) -> None:
    async def stream(_: Request, reply: Reply) -> None:
        await reply.events([b"data: 1\n\n", b"data: 2\n\n"])

    litellm.does = upstream.does = stream
    proxy = await start()
    client = await proxy.client()
    body = b'{"model": "%s"}' % model.encode()

    await client.send(
        b"POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
    )
    head, _, rest = (await client.rest()).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in head.lower()
    assert rest == b"data: 1\n\ndata: 2\n\n"
