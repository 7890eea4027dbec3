"""An answer reaches the client piece by piece, each as soon as it was sent.

Server and client take turns: the server sends a piece only after the client has the
one before it, so a proxy that waits for more than one piece hangs.
"""

import asyncio

import pytest

from e2e.conftest import Start
from e2e.harness import PATIENCE, Stub
from support.servers import Reply
from support.wire import Request

SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Turns:
    """A handler that sends a chunk each time `next` is set."""

    def __init__(self, chunks: list[bytes], headers: dict[str, str]) -> None:
        self.chunks = chunks
        self.headers = headers
        self.next = asyncio.Semaphore(1)

    async def __call__(self, _: Request, reply: Reply) -> None:
        await reply.head(200, self.headers)
        for chunk in self.chunks:
            async with asyncio.timeout(PATIENCE):
                await self.next.acquire()
            await reply.chunk(chunk)
        await reply.end()


@pytest.mark.parametrize(
    "headers", [SSE, {"content-type": "application/json"}, {}], ids=["sse", "json", "none"]
)
@pytest.mark.parametrize("model", ["gpt-5", "o3"])
async def test_each_chunk_arrives_before_the_next_is_sent(
    model: str, headers: dict[str, str], start: Start, upstream: Stub, litellm: Stub
) -> None:
    turns = Turns([b"data: %d\n\n" % number for number in range(20)], headers)
    litellm.does = upstream.does = turns
    proxy = await start()
    client = await proxy.client()

    await client.request("POST", "/v1/chat/completions", {"model": model, "stream": True})
    status, _ = await client.head()
    received = []
    while chunk := await client.chunk():
        received.append(chunk)
        turns.next.release()

    assert status == 200
    assert received == turns.chunks


async def test_the_head_of_a_stream_arrives_before_its_body(start: Start, litellm: Stub) -> None:
    begin = asyncio.Event()

    async def answer(_: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        await begin.wait()
        await reply.chunk(b"data: 1\n\n")
        await reply.end()

    litellm.does = answer
    proxy = await start()
    client = await proxy.client()

    await client.request("POST", "/v1/messages", {"model": "gpt-5", "stream": True})
    status, headers = await client.head()
    begin.set()

    assert status == 200
    assert (b"x-hybrid-route", b"litellm; reason=model; model=gpt-5") in headers
    assert await client.chunk() == b"data: 1\n\n"
    assert await client.chunk() == b""


async def test_streams_of_many_clients_run_side_by_side(start: Start, upstream: Stub, litellm: Stub) -> None:
    """All twenty have their first chunk before any gets its second."""
    go_on = asyncio.Event()

    async def answer(request: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        await reply.chunk(request.target.encode())
        await go_on.wait()
        await reply.chunk(b"end of " + request.target.encode())
        await reply.end()

    litellm.does = upstream.does = answer
    proxy = await start()
    clients = [await proxy.client() for _ in range(20)]
    for number, client in enumerate(clients):
        model = "gpt-5" if number % 2 else "o3"
        await client.request("POST", f"/v1/messages?n={number}", {"model": model, "stream": True})
    for number, client in enumerate(clients):
        await client.head()
        assert await client.chunk() == f"/v1/messages?n={number}".encode()
    go_on.set()

    for number, client in enumerate(clients):
        assert await client.chunk() == f"end of /v1/messages?n={number}".encode()
        assert await client.chunk() == b""
