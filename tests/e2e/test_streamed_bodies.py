"""Answers that stream through the proxy are whole in mitmweb and in saved files; nowhere else are they kept."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mitmproxy import flow, http, io

from e2e.conftest import Start
from e2e.fallback_support import CONTENT, FELL_BACK, ON, OPENING, OVERLOADED, QUOTA, SSE, says
from e2e.harness import Proxy, Stub, until
from support.conversations import MESSAGES_PATH, MESSAGES_STREAM, REQUESTS, SAID
from support.ports import free_port
from support.processes import hybrid_config, mitmdump
from support.servers import Handler, Reply, in_thread
from support.wire import Request

THIRDS = [MESSAGES_STREAM[:700], MESSAGES_STREAM[700:1400], MESSAGES_STREAM[1400:]]


def _read(file: Path) -> list[http.HTTPFlow]:
    with file.open("rb") as saved:
        found: list[flow.Flow] = list(io.FlowReader(saved).stream())
    return [one for one in found if isinstance(one, http.HTTPFlow)]


def _bodies(file: Path) -> list[bytes | None]:
    return [one.response.raw_content if one.response else None for one in _read(file)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flows"


class Ends:
    """An addon, behind all others, that notes the flows that are over."""

    def __init__(self) -> None:
        self.flows: list[http.HTTPFlow] = []

    def response(self, flow: http.HTTPFlow) -> None:
        self.flows.append(flow)

    error = response


def _watch(proxy: Proxy, file: Path | None = None) -> Ends:
    """Begin to save."""
    proxy.master.options.update(save_stream_file=str(file) if file else None)
    ends = Ends()
    proxy.master.addons.add(ends)
    return ends


async def _saved(proxy: Proxy, ends: Ends, file: Path) -> list[bytes | None]:
    """What is in the file once a request is over."""
    await until(lambda: ends.flows)
    proxy.master.options.update(save_stream_file=None)
    return _bodies(file)


def _streams(*chunks: bytes, stalls: bool = False, breaks: bool = False) -> Handler:
    async def handler(_: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        for chunk in chunks:
            await reply.chunk(chunk)
        if stalls:
            await reply.stall()
        elif breaks:
            await reply.reset()
        else:
            await reply.end()

    return handler


OUT_OF_QUOTA = says(429, QUOTA)

WHOLE: list[tuple[str, Handler, Handler, dict[str, Any]]] = [
    ("gpt-5", OUT_OF_QUOTA, _streams(*THIRDS), {}),
    ("o3", _streams(*THIRDS), OUT_OF_QUOTA, {}),
    ("o3", _streams(*THIRDS), OUT_OF_QUOTA, {"fallback": ON}),
    ("o3", OUT_OF_QUOTA, _streams(*THIRDS), {"fallback": ON}),
    ("o3", _streams(OPENING, OVERLOADED), _streams(*THIRDS), {"fallback": ON}),
]


@pytest.mark.parametrize(
    ("model", "at_upstream", "at_litellm", "keys"),
    WHOLE,
    ids=["routed", "upstream", "held and released", "fallback", "fallback after a held beginning"],
)
async def test_whole_answers(
    model: str,
    at_upstream: Handler,
    at_litellm: Handler,
    keys: dict[str, Any],
    start: Start,
    upstream: Stub,
    litellm: Stub,
    file: Path,
) -> None:
    upstream.does, litellm.does = at_upstream, at_litellm
    proxy = await start(**keys)
    ends = _watch(proxy, file)

    answer = await proxy.ask("POST", MESSAGES_PATH, {"model": model, "stream": True})

    assert answer.body == MESSAGES_STREAM
    assert await _saved(proxy, ends, file) == [MESSAGES_STREAM]


@pytest.mark.parametrize("keys", [{}, {"fallback": ON}], ids=["streamed", "held and released"])
async def test_a_server_breaks_off(keys: dict[str, Any], start: Start, upstream: Stub, file: Path) -> None:
    upstream.does = _streams(OPENING, CONTENT, CONTENT[:20], breaks=True)
    proxy = await start(**keys)
    ends = _watch(proxy, file)

    answer = await proxy.ask("POST", MESSAGES_PATH, {"model": "o3"})

    assert not answer.whole
    assert await _saved(proxy, ends, file) == [answer.body]
    assert answer.body.startswith(OPENING + CONTENT)


async def test_a_client_leaves(start: Start, upstream: Stub, file: Path) -> None:
    upstream.does = _streams(CONTENT, stalls=True)
    proxy = await start()
    ends = _watch(proxy, file)
    client = await proxy.client()
    await client.request("POST", MESSAGES_PATH, {"model": "o3"})
    await client.head()
    assert await client.chunk() == CONTENT

    await client.close()

    assert await _saved(proxy, ends, file) == [CONTENT]
    (saved,) = _read(file)
    assert saved.error


async def test_a_client_leaves_while_its_answer_is_held(start: Start, upstream: Stub, file: Path) -> None:
    upstream.does = _streams(OPENING, stalls=True)
    proxy = await start(fallback=ON)
    ends = _watch(proxy, file)
    client = await proxy.client()
    await client.request("POST", MESSAGES_PATH, {"model": "o3"})
    await until(lambda: len(OPENING) in _held_bodies(proxy))

    await client.close()

    assert await _saved(proxy, ends, file) == [OPENING]


def _held_bodies(proxy: Proxy) -> list[int]:
    layers: Iterable[Any] = proxy.addon._proxy.layers
    attempts = [stream.attempt for layer in layers for stream in layer.streams.values()]
    return [len(attempt.held.body) for attempt in attempts if attempt.held is not None]


async def test_nobody_sees_them(start: Start, upstream: Stub) -> None:
    """Plain mitmdump, and `serve`: a body would only take memory."""
    upstream.does = _streams(*THIRDS)
    proxy = await start()
    ends = _watch(proxy)

    await proxy.ask("POST", MESSAGES_PATH, {"model": "o3"})

    assert proxy.master.options.store_streamed_bodies is False
    assert [flow.response and flow.response.raw_content for flow in ends.flows] == [None]


async def test_the_user_does_not_want_them(start: Start, upstream: Stub, file: Path) -> None:
    upstream.does = _streams(*THIRDS)
    proxy = await start()
    ends = _watch(proxy, file)
    proxy.master.options.update(store_streamed_bodies=False)

    await proxy.ask("POST", MESSAGES_PATH, {"model": "o3"})

    assert await _saved(proxy, ends, file) == [None]


# -- processes ----------------------------------------------------------------------------------------


@pytest.fixture
def servers() -> Iterator[tuple[Stub, Stub]]:
    """Upstream is out of quota for `exhausted` and never ends an answer to `endless`; LiteLLM has all."""

    async def answer(request: Request, reply: Reply) -> None:
        if b'"exhausted"' in request.body:
            await OUT_OF_QUOTA(request, reply)
        elif b'"endless"' in request.body:
            await _streams(CONTENT, stalls=True)(request, reply)
        else:
            await _streams(*THIRDS)(request, reply)

    upstream, litellm = Stub(answer), Stub(_streams(*THIRDS))
    with in_thread(upstream), in_thread(litellm):
        yield upstream, litellm


def _ask(url: str, model: str, *, leaves: bool = False, **other: Any) -> httpx.Response:
    body = REQUESTS[MESSAGES_PATH] | {"model": model} | other
    with (
        httpx.Client(trust_env=False, timeout=60) as client,
        client.stream("POST", url + MESSAGES_PATH, json=body) as answer,
    ):
        for _ in answer.iter_raw():
            if leaves:
                break
    return answer


def test_mitmdump_saves_them(servers: tuple[Stub, Stub], tmp_path: Path, file: Path) -> None:
    upstream, litellm = servers
    config = hybrid_config(litellm.url, models=["gpt-5"], fallback=ON)
    with mitmdump(config, upstream.url, tmp_path, "-w", str(file)) as process:
        _ask(process.url, "gpt-5")
        # Of text alone: an image is not replayed where it is not known who serves the model.
        answer = _ask(process.url, "exhausted", messages=[{"role": "user", "content": "Hi"}])
        assert answer.headers["x-hybrid-route"].startswith(FELL_BACK)
        _ask(process.url, "endless", leaves=True)
        process.wait_for("client disconnected")

    assert _bodies(file) == [MESSAGES_STREAM, MESSAGES_STREAM, CONTENT]


def test_mitmweb_shows_them(servers: tuple[Stub, Stub], tmp_path: Path) -> None:
    upstream, litellm = servers
    config = hybrid_config(litellm.url, models=["gpt-5"], fallback=ON)
    port = free_port()
    options = [f"web_port={port}", "web_open_browser=false", "web_password=a-password"]
    program = Path(sys.executable).with_name("mitmweb")
    words = [word for option in options for word in ("--set", option)]
    with (
        mitmdump(config, upstream.url, tmp_path, *words, program=program) as process,
        httpx.Client(trust_env=False, timeout=60, base_url=f"http://127.0.0.1:{port}") as web,
    ):
        process.wait_for("Web server listening")
        web.get("/", params={"token": "a-password"})
        _ask(process.url, "gpt-5")
        _ask(process.url, "endless", leaves=True)
        process.wait_for("client disconnected")
        first, second = (one["id"] for one in web.get("/flows").json())

        asked = web.get(f"/flows/{first}/request/content/Auto").json()
        given = web.get(f"/flows/{first}/response/content/Auto").json()
        cut = web.get(f"/flows/{second}/response/content/Auto").json()

    assert [shown["view_name"] for shown in (asked, given, cut)] == ["LLM"] * 3
    assert asked["text"].startswith("Anthropic Messages · gpt-5 · streamed · 4 messages\n")
    assert SAID in given["text"]
    assert "CUT SHORT: the stream ends without message_stop" in cut["text"]
