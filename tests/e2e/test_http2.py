"""HTTP/2 clients, over TLS with mitmproxy's certificate."""

import asyncio
import json
import math
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, override

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, StreamEnded
from hpack import Encoder

from e2e.conftest import Start
from e2e.harness import LITELLM_502, PATIENCE, Clock, Proxy, Stub, gone, until
from litellm_hybrid.proxy.http2 import HybridHttp2Server
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

SSE = {"content-type": "text/event-stream"}
CHAT = "/v1/chat/completions"


class H2Context(ssl.SSLContext):
    """httpx asks for HTTP/1.1 before HTTP/2, and mitmproxy takes the first."""

    @override
    def set_alpn_protocols(self, alpn_protocols: object) -> None:
        super().set_alpn_protocols(["h2"])


def _context(confdir: Path) -> ssl.SSLContext:
    context = H2Context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(confdir / "mitmproxy-ca-cert.pem")
    context.set_alpn_protocols([])
    return context


@asynccontextmanager
async def h2_client(proxy: Proxy, confdir: Path) -> AsyncIterator[httpx.AsyncClient]:
    """One connection, kept."""
    context = _context(confdir)
    url = f"https://127.0.0.1:{proxy.port}"
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    async with httpx.AsyncClient(
        http1=False,
        http2=True,
        verify=context,
        base_url=url,
        limits=limits,
        timeout=PATIENCE,
        trust_env=False,
    ) as client:
        yield client


async def test_requests_go_where_they_belong(
    start: Start, upstream: Stub, litellm: Stub, confdir: Path
) -> None:
    proxy = await start()
    async with h2_client(proxy, confdir) as client:
        for model, server, route in (
            ("gpt-5", litellm, "litellm; reason=model; model=gpt-5"),
            ("o3", upstream, "upstream; reason=not-listed"),
        ):
            headers = {"Authorization": "Bearer sk-client", "X-Request-ID": f"id-{model}"}
            answer = await client.post(f"{CHAT}?a=b", json={"model": model}, headers=headers)

            assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
            assert answer.headers["x-hybrid-route"] == route
            assert answer.headers["x-request-id"] == f"id-{model}"
            assert server.last.json() == {"model": model}
            assert server.last.target == f"{CHAT}?a=b"
            assert server.last.values("host") == [f"127.0.0.1:{server.port}"]
            key = MASTER_KEY if server is litellm else "sk-client"
            assert server.last.values("authorization") == [f"Bearer {key}"]


async def test_a_web_page_may_not_spend_the_key(start: Start, litellm: Stub, confdir: Path) -> None:
    """HTTP/2 names the host in a pseudo-header."""
    proxy = await start()
    async with h2_client(proxy, confdir) as client:
        answer = await client.post(CHAT, json={"model": "gpt-5"}, headers={"Host": "rebound.example.com"})

    assert answer.status_code == 401
    assert litellm.requests == []


async def test_twenty_streams_on_one_connection(
    start: Start, upstream: Stub, litellm: Stub, confdir: Path
) -> None:
    """All have their first chunk before any gets its second; to each server more than mitmproxy's five."""
    go_on = asyncio.Event()
    second = asyncio.Semaphore(0)

    async def answer(request: Request, reply: Reply) -> None:
        number = request.target.partition("=")[2]
        await reply.head(200, SSE)
        await reply.chunk(f"data: first of {number}\n\n")
        await go_on.wait()
        await reply.chunk(f"data: second of {number}\n\n")
        await reply.end()

    upstream.does = litellm.does = answer
    proxy = await start()

    async def ask(client: httpx.AsyncClient, number: int) -> str:
        model = "gpt-5" if number % 2 else "o3"
        async with client.stream("POST", f"{CHAT}?n={number}", json={"model": model}) as stream:
            pieces = stream.aiter_text()
            text = await anext(pieces)
            second.release()
            async for piece in pieces:
                text += piece
        return text

    async with h2_client(proxy, confdir) as client:
        asking = [asyncio.create_task(ask(client, number)) for number in range(20)]
        for _ in range(20):
            async with asyncio.timeout(PATIENCE):
                await second.acquire()
        go_on.set()
        texts = await asyncio.gather(*asking)

    assert texts == [f"data: first of {n}\n\ndata: second of {n}\n\n" for n in range(20)]
    assert len(proxy.log(" 200 POST ")) == 20


async def test_a_stopped_litellm_is_a_502_for_its_requests_alone(
    start: Start, litellm: Stub, confdir: Path
) -> None:
    await litellm.stop()
    proxy = await start()
    async with h2_client(proxy, confdir) as client:
        broken, fine = await asyncio.gather(
            client.post(CHAT, json={"model": "gpt-5"}), client.post(CHAT, json={"model": "o3"})
        )
        assert (broken.status_code, broken.content) == (502, LITELLM_502)
        assert broken.headers["content-type"] == "application/json"
        assert fine.status_code == 200
        async with Stub(port=litellm.port):
            assert (await client.post(CHAT, json={"model": "gpt-5"})).status_code == 200


async def test_one_silent_request_does_not_end_the_others(
    start: Start, litellm: Stub, confdir: Path, clock: Clock
) -> None:
    async def stall(_: Request, reply: Reply) -> None:
        await reply.stall()

    litellm.does = stall
    proxy = await start(timeouts={"first-byte": "60s"})
    async with h2_client(proxy, confdir) as client:
        silent = asyncio.create_task(client.post(CHAT, json={"model": "gpt-5"}))
        await litellm.seen()
        clock.jump(61)
        assert (await silent).content == LITELLM_502
        await gone(litellm.last.connection)
        assert (await client.post(CHAT, json={"model": "o3"})).status_code == 200

    assert (await proxy.failure()).fields["error_type"] == "timeout"


async def test_a_cancelled_stream_closes_litellms_socket(start: Start, litellm: Stub, confdir: Path) -> None:
    """RST_STREAM; httpx never sends one."""

    async def answer(_: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        await reply.chunk(b"data: 1\n\n")
        await reply.stall()

    litellm.does = answer
    proxy = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=_context(confdir))
    h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
    h2.initiate_connection()

    def post(stream: int, model: str) -> None:
        fields = {
            ":method": "POST",
            ":path": CHAT,
            ":scheme": "https",
            ":authority": f"127.0.0.1:{proxy.port}",
        }
        h2.send_headers(stream, list(fields.items()))
        h2.send_data(stream, json.dumps({"model": model}).encode(), end_stream=True)

    async def until_event(kind: type[Event]) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                writer.write(h2.data_to_send())
                if any(isinstance(event, kind) for event in h2.receive_data(await reader.read(65536))):
                    return

    post(1, "gpt-5")
    await until_event(DataReceived)
    h2.reset_stream(1, ErrorCodes.CANCEL)
    writer.write(h2.data_to_send())

    await gone(litellm.last.connection)
    line = await proxy.failure()
    assert (line.level, line.fields["error_type"]) == ("WARNING", "client_disconnect")
    post(3, "o3")
    await until_event(StreamEnded)  # the connection goes on
    writer.close()


def _head(path: str = "/_hybrid/health") -> bytes:
    """A request's header block."""
    pairs = [(":method", "GET"), (":scheme", "https"), (":authority", "h"), (":path", path)]
    return bytes(Encoder().encode(pairs))


def _frames(block: bytes) -> bytes:
    """A block in HEADERS and CONTINUATION of one byte each; of the last, with END_HEADERS, all but a byte."""
    kinds = [(0x1, 0x1), *((0x9, 0x0) for _ in block[2:]), (0x9, 0x4)]
    frames = [
        bytes([0, 0, 1, kind, flags]) + (1).to_bytes(4, "big") + block[at : at + 1]
        for at, (kind, flags) in enumerate(kinds)
    ]
    return b"".join(frames)[:-1]


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes(3) + b"\x04" + bytes(5)
SLOW = {
    "the preface": PREFACE[:5],
    "a frame's head": PREFACE + SETTINGS + b"\0\0\x10\x01",
    "a frame of settings": PREFACE + b"\0\0\x06\x04" + bytes(5),
    "a HEADERS frame": PREFACE + SETTINGS + b"\0\0\x10\x01\x05\0\0\0\x01" + _head()[:4],
    "HEADERS without an end": PREFACE + SETTINGS + b"\0\0\x01\x01\x01\0\0\0\x01" + _head()[:1],
    "CONTINUATION, byte by byte": PREFACE + SETTINGS + _frames(_head()),
}


type Seen = tuple[list[HybridHttp2Server], list[int]]
"""The clients' connections, and how many bytes were read of them at a time."""


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    sides, read = list[HybridHttp2Server](), list[int]()
    make, handle = HybridHttp2Server.__init__, HybridHttp2Server._handle_event

    def made(side: HybridHttp2Server, *given: Any) -> None:
        make(side, *given)
        sides.append(side)

    def handled(side: HybridHttp2Server, event: Any) -> Iterator[Any]:
        yield from handle(side, event)
        read.append(len(getattr(event, "data", b"")))

    monkeypatch.setattr(HybridHttp2Server, "__init__", made)
    monkeypatch.setattr(HybridHttp2Server, "_handle_event", handled)
    return sides, read


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW)
async def test_a_head_that_does_not_end(
    sent: bytes, start: Start, confdir: Path, clock: Clock, seen: Seen
) -> None:
    """It has as long as in HTTP/1, from its first byte on, however often another one comes."""
    sides, read = seen
    proxy = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=_context(confdir))
    writer.write(sent[:-1])
    await until(lambda: sum(read) == len(sent) - 1)
    due = sides[0].head_due
    assert due < clock() + 15
    clock.jump(14)
    writer.write(sent[-1:])
    await until(lambda: sum(read) == len(sent))
    assert sides[0].head_due == due
    clock.jump(1.5)
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()  # to its end

    assert b"\0\0\0\x0bA head or a control frame has not come" in answer  # GOAWAY, ENHANCE_YOUR_CALM
    assert proxy.log("has not come to its end within 15 s")
    writer.close()
    async with h2_client(proxy, confdir) as client:  # a whole head costs nothing
        assert (await client.get("/_hybrid/health")).status_code in {200, 503}
        assert sides[1].head_due == math.inf


async def test_what_came_slowly_and_has_ended_has_no_limit(start: Start, confdir: Path, seen: Seen) -> None:
    sides, read = seen
    proxy = await start()
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=_context(confdir))
    sent = 0
    for part in (PREFACE[:5], PREFACE[5:] + SETTINGS[:4], SETTINGS[4:]):
        assert not sent or sides[0].head_due < math.inf
        sent += len(part)
        writer.write(part)
        await until(lambda total=sent: sum(read) == total)  # type: ignore[misc]

    assert sides[0].head_due == math.inf
    writer.close()
