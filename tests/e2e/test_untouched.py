"""What upstream and its clients exchange passes as it is; what LiteLLM gets is decoded and complete."""

import gzip
import json
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard

from e2e.conftest import Start
from e2e.harness import Client, Stub, head, until
from support.servers import Reply
from support.wire import Request

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
OURS_ON_REQUESTS = {"host", "x-request-id", "x-forwarded-for", "forwarded", "x-real-ip"}
OURS_ON_ANSWERS = {"x-hybrid-route", "x-request-id"}

ODD_FIELDS = [
    ("aCCept", "*/*"),
    ("X-Twice", "1"),
    ("user-agent", "odd/1.0 (a; b)"),
    ("x-twice", "2"),
    ("X-Empty", ""),
    ("Authorization", "Bearer sk-client"),
    ("Cookie", "a=b; c=d"),
    ("anthropic-beta", "oauth-2025-04-20,other"),
    ("Accept-Encoding", "gzip, br, zstd"),
    ("Via", "1.0 somebody"),
    ("Cache-Control", "no-transform"),
    ("X-Latin", "caf\u00e9"),
    ("Session-Id", "s-1"),
]


def _end_to_end(headers: list[tuple[bytes, bytes]], ours: set[str]) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name.decode().lower() not in ours | HOP_BY_HOP
    ]


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/v1/models", b""),
        ("GET", "/v1//a/../b/%2e%2F?x=%20&&key=abc&=&y", b""),
        ("OPTIONS", "/v1/messages", b""),
        ("DELETE", "/v1/files/1", b""),
        ("PATCH", "/x", b"\x00\xff"),
        ("BREW", "/pot", b"coffee"),
        ("POST", "/v1/chat/completions?a=1;b=2", b' {"model" : "o3",\n"n":1.0, "n":2, "s":"\\u00e9"}\n'),
        ("POST", "/v1/messages?beta=true", b"not JSON"),
        ("POST", "/v1beta/models/o3%3AgenerateContent?key=abc", b"{}"),
        ("POST", "/v1/messages", b""),
        ("POST", "/v1/messages", bytes(range(256)) * 5000),
    ],
)
async def test_a_request_for_upstream_arrives_as_it_was_sent(
    method: str, target: str, body: bytes, start: Start, upstream: Stub
) -> None:
    proxy = await start()
    client = await proxy.client()
    length = [("content-LENGTH", str(len(body)))] if body or method == "POST" else []
    # Through another proxy only the model APIs are reached.
    odd = [field for field in ODD_FIELDS if method == "POST" or field[0] != "Via"]
    fields = [odd[0], ("hOst", f"127.0.0.1:{proxy.port}"), *odd[1:], *length]

    await client.send(head(f"{method} {target} HTTP/1.1", fields) + body)
    answer = await client.answer()

    assert answer.status == 200
    arrived = upstream.last
    assert (arrived.method, arrived.target, arrived.body) == (method, target, body)
    assert _end_to_end(arrived.headers, OURS_ON_REQUESTS) == [
        (name, value) for name, value in fields if name.lower() not in OURS_ON_REQUESTS
    ]


ANSWER_FIELDS = [
    ("SerVer", "CLIProxyAPI"),
    ("Set-Cookie", "a=1"),
    ("set-cookie", "b=2"),
    ("X-Litellm-Model-Id", "upstream's own"),
    ("Retry-After", "17"),
    ("Alt-Svc", 'h3=":8443"; ma=86400'),
    ("WWW-Authenticate", 'Bearer realm="x"'),
    ("X-Empty", ""),
    ("content-type", "application/json; Charset=UTF-8"),
]


@pytest.mark.parametrize("status", [200, 201, 299, 301, 400, 401, 404, 418, 429, 500, 503, 529, 599])
async def test_upstreams_answer_arrives_as_it_was_sent(status: int, start: Start, upstream: Stub) -> None:
    body = b'{"error" : {"message":"\\u00e9\xff"}}\n'

    async def answer(_: Request, reply: Reply) -> None:
        await reply.send(status, body, ANSWER_FIELDS)

    upstream.does = answer
    proxy = await start()

    got = await proxy.post("o3")

    assert (got.status, got.body) == (status, body)
    assert _end_to_end(got.headers, OURS_ON_ANSWERS) == [*ANSWER_FIELDS, ("content-length", str(len(body)))]


@pytest.mark.parametrize("framing", ["length", "long", "chunked", "until closed"])
async def test_an_answer_is_whole_however_it_is_framed(framing: str, start: Start, upstream: Stub) -> None:
    body = bytes(range(256)) * (8192 if framing == "long" else 300)

    async def answer(_: Request, reply: Reply) -> None:
        if framing == "until closed":
            await reply.raw(b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n" + body)
            await reply.close()
            return
        await reply.head(200, [("X-A", "b")], length=None if framing == "chunked" else len(body))
        for start_at in range(0, len(body), 10_000):
            await reply.chunk(body[start_at : start_at + 10_000])
        await reply.end()

    upstream.does = answer
    proxy = await start()

    got = await proxy.ask("GET", "/v1/models")

    assert got.body == body
    assert got.whole
    assert got.header("X-A") == "b"


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_a_compressed_answer_stays_compressed(coding: str, start: Start, upstream: Stub) -> None:
    body = CODINGS[coding](b'{"hello": "world"}')

    async def answer(_: Request, reply: Reply) -> None:
        await reply.send(200, body, {"Content-Encoding": coding})

    upstream.does = answer
    proxy = await start()

    got = await proxy.post("o3")

    assert (got.body, got.header("content-encoding")) == (body, coding)


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_compressed_request(coding: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    """Upstream gets it compressed; LiteLLM, which cannot read that, gets it decoded."""
    proxy = await start()
    client = await proxy.client()
    for model, server in (("o3", upstream), ("gpt-5", litellm)):
        plain = json.dumps({"model": model, "input": "é" * 1000}).encode()
        body = CODINGS[coding](plain)

        answer = await client.ask("POST", "/v1/responses", body, [("Content-Encoding", coding)])

        assert answer.status == 200
        assert server.last.body == (body if server is upstream else plain)
        assert server.last.values("content-encoding") == ([coding] if server is upstream else [])
        assert server.last.values("content-length") == [str(len(server.last.body))]


@pytest.mark.parametrize("model", ["o3", "gpt-5"])
async def test_a_chunked_upload(model: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start()
    client = await proxy.client()
    body = json.dumps({"model": model, "input": "x" * 1000}).encode()

    fields = [("Host", "127.0.0.1"), ("Transfer-Encoding", "chunked")]
    await client.send(head("POST /v1/responses HTTP/1.1", fields))
    for at in range(0, len(body), 100):
        piece = body[at : at + 100]
        await client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    await client.send(b"0\r\n\r\n")
    answer = await client.answer()

    assert answer.status == 200
    server = upstream if model == "o3" else litellm
    assert server.last.body == body
    if server is litellm:
        assert server.last.values("transfer-encoding") == []
        assert server.last.values("content-length") == [str(len(body))]


@pytest.mark.parametrize("model", ["o3", "gpt-5"])
async def test_expect_100_continue(model: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    proxy = await start()
    client = await proxy.client()
    body = json.dumps({"model": model}).encode()

    fields = [("Host", "127.0.0.1"), ("Expect", "100-continue"), ("Content-Length", str(len(body)))]
    await client.send(head("POST /v1/responses HTTP/1.1", fields))
    assert (await client.head())[0] == 100
    await client.send(body)
    answer = await client.answer()

    assert answer.status == 200
    assert (upstream if model == "o3" else litellm).last.body == body


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", 200, 5), ("HEAD", 200, 5_000_000), ("HEAD", 404, None), ("GET", 204, None), ("GET", 304, None)],
)
async def test_an_answer_without_a_body(
    method: str, status: int, length: int | None, start: Start, upstream: Stub
) -> None:
    """Its headers stay, and the connection serves the next request."""
    fields = [("ETag", '"x"')] + ([] if length is None else [("Content-Length", str(length))])

    async def answer(request: Request, reply: Reply) -> None:
        if request.target == "/next":
            await reply.send(200, b"next")
            return
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        await reply.raw(f"HTTP/1.1 {status} Fine\r\n{lines}\r\n".encode())
        reply.finished = True

    upstream.does = answer
    proxy = await start()
    client = await proxy.client()

    got = await client.ask(method, "/v1/models")

    assert got.status == status
    assert _end_to_end(got.headers, OURS_ON_ANSWERS) == fields
    assert (await client.ask("GET", "/next")).body == b"next"


async def test_a_keep_alive_client_uses_one_connection_to_each_server(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    proxy = await start()
    client: Client = await proxy.client()

    for model in ["o3", "gpt-5"] * 3:
        assert (await client.post(model)).status == 200

    await until(lambda: (len(upstream.connections), len(litellm.connections)) == (1, 1))
