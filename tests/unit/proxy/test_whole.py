"""Whole messages: what is taken whole, and that a client and its server notice nothing of it.

The same requests and responses, some odd, cut at random or not at all, through both ways, end alike.
"""

import asyncio
import functools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.net.http import http1
from mitmproxy.proxy.layers.http._http1 import should_make_pipe
from mitmproxy.test.tutils import treq, tresp

from litellm_hybrid.proxy.whole import (
    MOST,
    PlainResponse,
    WholeResponse,
    another_may_follow,
    read_request,
    read_response,
)
from unit.proxy.playbook import Clock
from unit.proxy.wires import Wires, connected

HEAD = b"POST /v1/messages HTTP/1.1\r\nHost: here\r\n"
STORIES = 3000
BLOCKS = 10

GET = http1.read_request_head([b"GET / HTTP/1.1", b"Host: here"])
HEAD_REQUEST = http1.read_request_head([b"HEAD / HTTP/1.1", b"Host: here"])


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n", b""),
        (HEAD + b"Content-Length: 2\r\n\r\n{}", b"{}"),
        (HEAD + b"content-length:\t2\r\nX-Name: \xc3\xa4 \r\n\r\n\r\n", b"\r\n"),
        (HEAD + b"Content-Length: 0\r\n\r\n", b""),
    ],
)
def test_a_request_is_taken_whole(data: bytes, body: bytes) -> None:
    whole = read_request(data, 7)
    assert whole is not None
    assert (whole.stream_id, whole.body, whole.end_stream) == (7, body, not body)
    expected = http1.read_request_head(data.partition(b"\r\n\r\n")[0].split(b"\r\n"))
    expected.timestamp_start = whole.request.timestamp_start
    assert whole.request.data == expected.data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        HEAD + b"Content-Length: 2\r\n\r\n{",
        HEAD + b"Content-Length: 2\r\n\r\n{}{",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: 3\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: +2\r\n\r\n{}",
        HEAD + b"Content-Length: %b\r\n\r\n{}" % (b"2" * 5000),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length : 2\nX: 1\r\n\r\n{}",
        HEAD + b"X: 1\r\n Content-Length: 2\r\n\r\n{}",
        HEAD + b"X: 1\r\rContent-Length: 2\r\n\r\n{}",
        HEAD + b"X: \x00\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"no colon\r\nContent-Length: 2\r\n\r\n{}",
        b"\r\n" + HEAD + b"Content-Length: 2\r\n\r\n{}",
        HEAD.replace(b"/1.1", b"/1.0") + b"Content-Length: 2\r\n\r\n{}",
        HEAD.replace(b" HTTP", b"\tHTTP") + b"Content-Length: 2\r\n\r\n{}",
        b"CONNECT there:443 HTTP/1.1\r\nHost: there\r\n\r\n",
        b"connect there:443 HTTP/1.1\r\nHost: there\r\n\r\n",
        HEAD + b"Content-Length: %d\r\n\r\n" % MOST + b"x" * MOST,
        HEAD + b"X: %b\r\nContent-Length: 2\r\n\r\n{}" % (b"x" * MOST),
    ],
)
def test_what_is_no_plain_request_goes_mitmproxys_way(data: bytes) -> None:
    assert read_request(data, 1) is None


@pytest.mark.parametrize(
    ("data", "request_", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", GET, WholeResponse),
        (b"HTTP/1.1 429\r\nContent-Length: 2\r\n\r\n{}", GET, WholeResponse),
        (b"HTTP/1.1 204 No Content\r\n\r\n", GET, WholeResponse),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", HEAD_REQUEST, WholeResponse),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", HEAD_REQUEST, None),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n{}", GET, None),
        (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n{}", GET, None),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", GET, None),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", GET, None),
        (b"HTTP/1.1 200 OK\r\n\r\n", GET, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", GET, PlainResponse),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", GET, PlainResponse),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HEAD_REQUEST, None),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", GET, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", GET, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", GET, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", GET, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", GET, None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", GET, None),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", GET, None),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", GET, None),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n{}", GET, None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{", GET, None),
    ],
)
def test_how_responses_are_taken(
    data: bytes, request_: http.Request, kind: type[PlainResponse] | None
) -> None:
    read = read_response(data, 1, request_)
    assert (type(read[0]) if read else None) is kind
    if kind is PlainResponse:
        assert read
        assert data.endswith(b"\r\n\r\n" + read[1])
        assert not read[0].end_stream


_HEADERS = (
    (b"Content-Length", b"2"),
    (b"content-length", b"two"),
    (b"Transfer-Encoding", b"chunked"),
    (b"transfer-encoding", b"gzip, chunked"),
    (b"Transfer-Encoding", b"gzip"),
    (b"Connection", b"keep-alive"),
    (b"connection", b"close"),
    (b"Connection", b"Keep-Alive, Upgrade"),
    (b"Content-Type", b"close"),
)


@pytest.mark.parametrize("asked", [(), *((one,) for one in _HEADERS[5:])], ids=repr)
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"])
@pytest.mark.parametrize("method", [b"POST", b"HEAD", b"connect"])
def test_a_connection_goes_on_only_where_mitmproxys_does(
    method: bytes, version: bytes, asked: tuple[tuple[bytes, bytes], ...]
) -> None:
    request = treq(method=method, http_version=version, headers=http.Headers(asked))
    plain = 0
    for status, *fields in product((200, 101, 204, 429), (None, *_HEADERS), (None, *_HEADERS)):
        answered = http.Headers([field for field in fields if isinstance(field, tuple)])
        response = tresp(status_code=status, http_version=b"HTTP/1.1", headers=answered)
        if not another_may_follow(request, response):
            continue
        plain += 1
        try:
            ends = http1.expected_http_body_size(request, response) == -1
        except ValueError:
            ends = False  # as in `Http1Connection.mark_done`
        for one in (request, response):
            ends = ends or http1.connection_close(one.http_version, one.headers)
        assert not ends
        assert not should_make_pipe(request, response)
    keeps = version == b"HTTP/1.1" and method != b"connect" and asked in ((), (_HEADERS[5],), (_HEADERS[8],))
    assert bool(plain) is keeps


# -- both ways ---------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """What a client and its servers do.

    `direct`: hooks are called at once; else they take some `turns` of the event loop. `eager`: tasks begin at
    once, as mitmproxy's do. `early`: the server does not wait for the end of a request. `addon`: what another
    one does, and in which hook.
    """

    requests: list[list[bytes]]
    responses: list[list[bytes]]
    streams: bool
    direct: bool
    then: str
    turns: int
    eager: bool
    early: bool
    addon: tuple[str, str]
    options: dict[str, Any]


_REQUESTS = (
    HEAD + b"Content-Length: 2\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\n\r\n{}",
    b"GET /v1/models HTTP/1.1\r\nHost: here\r\n\r\n",
    b"HEAD /v1/models HTTP/1.1\r\nHost: here\r\n\r\n",
    HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
    HEAD + b"Content-Length: 3000\r\n\r\n" + b"x" * 3000,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    HEAD + b"Content-Length: 99999999999\r\n\r\n{}",
    HEAD + b"bad header: 1\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"Upgrade: x\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}",
    HEAD.replace(b"/1.1", b"/1.0") + b"Content-Length: 2\r\n\r\n{}",
    HEAD.replace(b"/v1", b"http://other/v1") + b"Content-Length: 2\r\n\r\n{}",
    b"CONNECT there:443 HTTP/1.1\r\nHost: there\r\n\r\n",
    b"\x16\x03\x01 no HTTP\r\n\r\n",
    HEAD.replace(b"/1.1", b"/1.0") + b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
    HEAD.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\n{}",
    HEAD + b"X:\r\nY: \t \r\nZ:a\tb  \r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(300)) + b"Content-Length: 2\r\n\r\n{}",
    HEAD + b"X: \xe4\xff\x85\xa0\r\nContent-Length: 2\r\n\r\n{}",
    HEAD.replace(b"/v1/messages", b"/\xc3\xa4?\xff") + b"Content-Length: 2\r\n\r\n{}",
    HEAD + b"Host: there\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /v1/messages HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"Content-Length: 02\r\n\r\n{}",
    HEAD + b"Content-Length: 3\r\nContent-Length: 2\r\n\r\n{}",
    HEAD + b"Content-Length:\r\n\r\n",
    HEAD + b"Connection: Keep-Alive, close\r\nContent-Length: 0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: here\r\n\r\n",
    b"p:s /v1 HTTP/1.1\r\nHost: here\r\n\r\n",
    b"\r\n\n" + HEAD + b"Content-Length: 2\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\n\r\n{}\r\n",
)
_JSON = b"Content-Type: application/json\r\n"
_RESPONSES = (
    b"HTTP/1.1 200 OK\r\n" + _JSON + b"Content-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n" + _JSON + b"Content-Length: 6\r\n\r\nfine{}",
    b"HTTP/1.1 200 OK\r\n" + _JSON + b"Content-Length: 6\r\n\r\nbroken",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    b"HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}more",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nbad header: 1\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n\r\nto the end",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 666\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 1000 no\r\nContent-Length: 2\r\n\r\n{}",
    b"no HTTP\r\n\r\n",
    b"HTTP/1.1 200 OK \r\nX:\r\nY: \xe4\xff\t \r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200  \xff \r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nmore",
    b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 300 + _JSON + b"Content-Length: 3000\r\n\r\n" + b"y" * 3000,
)
_HOOKS = ("requestheaders", "request", "responseheaders", "response")
_ADDONS = ("kills", "intercepts", "kills what waits", "streams", "taps", "answers", "replaces")
_OPTIONS: tuple[dict[str, Any], ...] = (
    {"stream_large_bodies": "1"},
    {"stream_large_bodies": "100k"},
    {"body_size_limit": "1k"},
    {"keep_host_header": True},
    {"validate_inbound_headers": False},
    {"store_streamed_bodies": True},
    {"rawtcp": False},
)


def tell(chance: random.Random) -> Story:
    """Make one up: mostly plain, mostly whole."""
    count = chance.choice((1, 2, 3))
    then = chance.choice(("", "", "", "leaves", "half-closes", "is reset", "closes", "breaks", "early"))
    plain = chance.random() < 0.3
    requests = [_REQUESTS[0] if plain else chance.choice(_REQUESTS) for _ in range(count)]
    if chance.random() < 0.1:
        requests = [b"".join(requests)]
    return Story(
        requests=[_cut(chance, one) for one in requests],
        responses=[_cut(chance, chance.choice(_RESPONSES)) for _ in range(count + 2)],
        # What is relayed finds out in its own way that a client is gone: see test_relay.py.
        streams=chance.random() < 0.5 and then != "is reset",
        direct=chance.random() < 0.5,
        then=then,
        turns=chance.choice((0, 0, 1, 5)),
        eager=chance.random() < 0.5,
        early=chance.random() < 0.1,
        addon=(chance.choice(_HOOKS), chance.choice(_ADDONS) if chance.random() < 0.4 else ""),
        options=chance.choice(_OPTIONS) if chance.random() < 0.4 else {},
    )


def _cut(chance: random.Random, message: bytes) -> list[bytes]:
    if chance.random() < 0.6:
        return [message]
    at = chance.randrange(1, len(message))
    return [message[:at], message[at:]]


def _do(what: str, flow: http.HTTPFlow) -> None:
    """What an addon does in a hook."""
    message = flow.response or flow.request
    match what:
        case "kills" if flow.killable:
            flow.kill()
        case "intercepts" | "kills what waits":
            flow.intercept()
        case "streams":
            message.stream = True
        case "taps":
            message.stream = lambda data: [b"<", data, b">"] if data else b""
        case "answers":
            flow.response = http.Response.make(404, b"not here")
        case "replaces" if flow.response is not None:
            flow.response.content = b"another"
        case "replaces":
            flow.request = flow.request.copy()
            flow.request.headers["x-new"] = "1"
            flow.request.stream = flow.request.raw_content is None
            flow.request.content = b"another"


async def play(story: Story, *, relays: bool) -> dict[str, Any]:
    """What comes of it."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory if story.eager else None)
    async with connected(Clock(), relays=relays, ends=True) as wires:
        wires.options.update(**story.options)
        wires.turns = story.turns
        hook, does = story.addon
        wires.hooks[hook] = functools.partial(_do, does)
        kills = does == "kills what waits"
        wires.tap = story.streams
        wires.left = story.then == "leaves"
        replay = http.Request.make("POST", "http://10.0.0.3:4000/v1", b"again")
        wires.rest.replacements = [replay, None, replay]
        if story.direct:
            wires.call_hooks_at_once()
        responses = iter(story.responses)
        for number, reads in enumerate(story.requests):
            await _before(wires, story, number)
            for read in reads:
                if story.early and wires.servers:
                    await _respond(wires, responses)
                wires.client.feed(read)
                await wires.settle()
            if story.then == "is reset" and number == len(story.requests) - 1:
                wires.client.reset()
                await wires.settle()
            await wires.release(kill=kills)
            if wires.servers:
                await _respond(wires, responses)
                await _after(wires, story)
            await wires.release(kill=kills)
        if story.then == "leaves":
            wires.client.end()
            await wires.settle()
        return {
            "client": bytes(wires.client.sent),
            "servers": [bytes(one.sent) for one in wires.servers],
            "closed": [wires.client.is_closing(), *(one.is_closing() for one in wires.servers)],
            "said": wires.rest.lines,
            "flows": [
                (one.live, one.error and one.error.msg, one.request.raw_content) for one in wires.flows
            ],
            "streams": len(wires.layer.streams) if hasattr(wires, "layer") else None,
        }


async def _before(wires: Wires, story: Story, number: int) -> None:
    if number == 1 and story.then in ("leaves", "half-closes"):
        wires.client.end()
    elif number == 0 and story.then == "early":
        wires.client.feed(b"POST /v1/messages HTT")
    await wires.settle()


async def _respond(wires: Wires, responses: Iterator[list[bytes]]) -> None:
    before = len(wires.servers)
    for read in next(responses, []):
        wires.server.feed(read)
        await wires.settle()
    if len(wires.servers) > before:  # a replay
        await _respond(wires, responses)


async def _after(wires: Wires, story: Story) -> None:
    if story.then == "closes":
        wires.server.end()
    elif story.then == "breaks":
        wires.server.reset()
    await wires.settle()


@pytest.mark.parametrize("block", range(BLOCKS))
async def test_random_messages_are_the_same_both_ways(block: int) -> None:
    count = STORIES // BLOCKS
    for number in range(block * count, (block + 1) * count):
        story = tell(random.Random(number))  # noqa: S311
        assert await play(story, relays=True) == await play(story, relays=False), (number, story)
