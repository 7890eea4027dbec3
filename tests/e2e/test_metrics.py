"""`/_hybrid/metrics` over sockets: real requests counted exactly, in one process and over workers, and promtool's word."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from e2e.conftest import Start
from e2e.harness import PATIENCE, Client, Proxy, Stub, gone, hello, settings, until
from e2e.test_serve import serve
from litellm_hybrid.observability.metrics import FAMILIES
from support.ports import free_port
from support.processes import Process
from support.servers import Reply
from support.wire import Request

METRICS = "/_hybrid/metrics"
STATUS = "/_hybrid/status"
QUOTA = {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}

type Numbers = dict[str, float]


@pytest.fixture
def promtool() -> Callable[[str], None]:
    """Has Prometheus' own tool check a page."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed; scripts/setup system installs it, with Debian's prometheus")

    def check(page: str) -> None:
        done = subprocess.run(
            [program, "check", "metrics"], input=page, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    return check


def _numbers(page: str) -> Numbers:
    """Every sample that is not 0, but for sums of times, which depend on the machine."""
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    found = {name.removeprefix("litellm_hybrid_"): float(number) for name, _, number in lines}
    assert len(found) == len(lines), "a sample is there twice"
    return {name: number for name, number in found.items() if number and "_seconds_sum" not in name}


def _requests(numbers: Numbers) -> dict[tuple[str, str, str], float]:
    """(target, reason, status class) → how many."""
    return {
        (target, reason, status_class): number
        for name, number in numbers.items()
        if name.startswith("requests_total")
        for reason, status_class, target in [tuple(part.split('"')[1] for part in name.split(","))]
    }


def _others(numbers: Numbers) -> Numbers:
    """Without the requests by route, the buckets, and what is always there."""
    left_out = ("requests_total", "build_info")
    return {
        name: number
        for name, number in numbers.items()
        if not name.startswith(left_out) and "_bucket" not in name
    }


async def _page(client: Client) -> str:
    got = await client.ask("GET", METRICS)
    assert (got.status, got.header("content-type")) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return got.body.decode()


async def _scrape(proxy: Proxy) -> Numbers:
    client = await proxy.client()
    return _numbers(await _page(client))


async def _account(request: Request, reply: Reply) -> None:
    """Upstream: `exhausted…` has no quota left."""
    if b"exhausted" in request.body:
        await reply.json(429, QUOTA, [("Retry-After", "60")])
    else:
        await reply.json(404 if b"nowhere" in request.body else 200, {})


async def test_requests_of_every_kind(
    start: Start, upstream: Stub, litellm: Stub, promtool: Callable[[str], None]
) -> None:
    async def knows_some(request: Request, reply: Reply) -> None:
        if b"exhausted-everywhere" in request.body:
            await reply.json(503, {})
        else:
            await hello(request, reply)

    upstream.does, litellm.does = _account, knows_some
    proxy = await start(
        models=["gpt-5", "qwen-*"],
        model_mappings={"exhausted": "spare"},
        fallback={"enabled": True, "except": ["never-*"]},
        client_api_keys=["sk-key-of-a-client"],
        local_without_key=True,
    )
    client = await proxy.client()
    models = ["gpt-5", "GPT-5(high)", "qwen-3", "o3", "o3", "nowhere", "exhausted", "exhausted-everywhere"]
    for model in [*models, "never-exhausted"]:
        await client.post(model)
    await client.ask("GET", "/v1/models")
    await client.ask("POST", "/v1/chat/completions", b"{", [("Content-Type", "application/json")])
    await client.post("gpt-5", [("Origin", "http://evil.example")])
    for path in (METRICS, STATUS, "/_hybrid/health", "/_hybrid/nothing"):
        await client.ask("GET", path)
    await client.ask("GET", METRICS, headers=[("Origin", "http://evil.example")])
    await (await proxy.client()).send(b"no HTTP\r\n\r\n")
    await until(lambda: proxy.log("malformed"))

    page = await _page(client)
    numbers = _numbers(page)

    promtool(page)
    assert _requests(numbers) == {
        ("litellm", "model", "2xx"): 3,
        ("upstream", "not-listed", "2xx"): 2,
        ("upstream", "not-listed", "4xx"): 1,
        ("upstream", "excepted", "4xx"): 1,
        ("litellm", "fallback", "2xx"): 1,
        ("upstream", "fallback-failed", "4xx"): 1,
        ("upstream", "not-post", "2xx"): 1,
        ("upstream", "unreadable-body", "2xx"): 1,
        ("litellm", "refused", "4xx"): 1,
    }
    assert _others(numbers) == {
        'model_requests_total{model="gpt-5",target="litellm"}': 3,
        'model_requests_total{model="qwen-*",target="litellm"}': 1,
        'model_requests_total{model="exhausted",target="litellm"}': 1,
        'model_requests_total{model="o3",target="upstream"}': 2,
        'model_requests_total{model="nowhere",target="upstream"}': 1,
        'model_requests_total{model="exhausted-everywhere",target="upstream"}': 1,
        'model_requests_total{model="never-exhausted",target="upstream"}': 1,
        'unpriced_responses_total{model="gpt-5"}': 2,
        'unpriced_responses_total{model="qwen-*"}': 1,
        'unpriced_responses_total{model="exhausted"}': 1,
        'fallbacks_total{kind="quota",outcome="served"}': 1,
        'fallbacks_total{kind="quota",outcome="failed"}': 1,
        'errors_total{error_class="malformed",target="none"}': 1,
        'time_to_first_byte_seconds_count{target="litellm"}': 4,
        'time_to_first_byte_seconds_count{target="upstream"}': 7,
        'request_duration_seconds_count{target="litellm"}': 4,
        'request_duration_seconds_count{target="upstream"}': 7,
    }


async def test_failures(start: Start, litellm: Stub) -> None:
    """A rescue counts upstream's failure and the fallback; what nobody answers is not timed."""
    proxy = await start(
        upstream_url=f"http://127.0.0.1:{free_port()}",
        fallback={"enabled": True, "on": ["unreachable"], "except": ["never"], "max-per-hour": 1},
    )
    routes = [(await proxy.post(model)).route for model in ("o3", "o3", "never")]
    await litellm.stop()
    await proxy.post("gpt-5")

    assert routes == [
        "litellm; reason=unreachable",
        "upstream; reason=fallback-failed; fallback-failed=budget",
        "upstream; reason=error",
    ]
    numbers = await _scrape(proxy)
    assert _requests(numbers) == {
        ("litellm", "unreachable", "2xx"): 1,
        ("upstream", "fallback-failed", "5xx"): 1,
        ("upstream", "error", "5xx"): 1,
        ("litellm", "error", "5xx"): 1,
    }
    assert numbers['errors_total{error_class="network_error",target="upstream"}'] == 3
    assert numbers['errors_total{error_class="network_error",target="litellm"}'] == 1
    assert numbers['fallbacks_total{kind="unreachable",outcome="served"}'] == 1
    assert numbers['fallbacks_total{kind="unreachable",outcome="not-attempted"}'] == 1
    assert numbers['request_duration_seconds_count{target="litellm"}'] == 1


@asynccontextmanager
async def _stream(litellm: Stub, proxy: Proxy) -> AsyncIterator[Client]:
    """A stream whose first event has reached the client."""
    go_on = asyncio.Event()

    async def streams(_: Request, reply: Reply) -> None:
        await reply.head(200, [("Content-Type", "text/event-stream")])
        await reply.chunk('data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
        await go_on.wait()
        await reply.end()

    litellm.does = streams
    client = await proxy.client()
    await client.request("POST", "/v1/chat/completions", {"model": "gpt-5", "stream": True})
    await client.head()
    await client.chunk()
    try:
        yield client
    finally:
        go_on.set()


async def test_what_is_running(start: Start, litellm: Stub) -> None:
    proxy = await start()
    async with _stream(litellm, proxy) as client:
        numbers = await _scrape(proxy)
        assert (numbers["requests_in_flight"], numbers["streams_in_flight"]) == (1, 1)
        assert numbers['time_to_first_byte_seconds_count{target="litellm"}'] == 1
        assert not _requests(numbers)
    while await client.chunk():
        pass

    numbers = await _scrape(proxy)
    assert not {"requests_in_flight", "streams_in_flight"} & numbers.keys()
    assert _requests(numbers) == {("litellm", "model", "2xx"): 1}


async def test_a_client_that_leaves(start: Start, litellm: Stub) -> None:
    """In the middle of an answer it counts with the status it got, before one with none."""
    proxy = await start()
    async with _stream(litellm, proxy) as client:
        await client.close()
        await until(lambda: len(proxy.failures()) == 1)
    arrived = asyncio.Event()

    async def silent(request: Request, reply: Reply) -> None:
        assert request
        arrived.set()
        await gone(reply.connection)

    litellm.does = silent
    client = await proxy.client()
    await client.request("POST", "/v1/chat/completions", {"model": "gpt-5"})
    await arrived.wait()
    await client.close()
    await until(lambda: len(proxy.failures()) == 2)

    numbers = await _scrape(proxy)
    assert _requests(numbers) == {("litellm", "model", "2xx"): 1, ("litellm", "error", "none"): 1}
    assert numbers['errors_total{error_class="client_disconnect",target="litellm"}'] == 2
    assert "requests_in_flight" not in numbers


async def test_what_is_held(start: Start, upstream: Stub) -> None:
    proxy = await start(fallback={"enabled": True})
    half, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Request, reply: Reply) -> None:
        await reply.head(200, [("Content-Type", "application/json")])
        await reply.chunk('{"choices": []')
        half.set()
        await go_on.wait()
        await reply.chunk("}")
        await reply.end()

    upstream.does = slow
    client = await proxy.client()
    await client.request("POST", "/v1/chat/completions", {"model": "o3"})
    await half.wait()
    await until(lambda: proxy.addon._fallbacks.held_bytes)
    assert (await _scrape(proxy))["held_bytes"] == 14
    go_on.set()
    assert (await client.answer()).status == 200
    assert "held_bytes" not in await _scrape(proxy)


async def test_reloads(start: Start, litellm: Stub) -> None:
    proxy = await start()
    proxy.config.write_text("extensions: {litellm: {modles: []}}")
    await until(lambda: proxy.log("modles"))
    proxy.write(settings(litellm.url, models=["o3"]))
    await until(lambda: proxy.log("models: [gpt-5] → [o3]"))
    await proxy.post("o3")
    await proxy.post("gpt-5")

    numbers = await _scrape(proxy)
    assert numbers['reloads_total{result="applied"}'] == 1
    assert numbers['reloads_total{result="rejected"}'] == 1
    assert numbers['model_requests_total{model="o3",target="litellm"}'] == 1
    assert numbers['model_requests_total{model="gpt-5",target="upstream"}'] == 1


# -- workers ------------------------------------------------------------------


async def _one_of_each(process: Process, stack: AsyncExitStack) -> dict[str, tuple[Client, int]]:
    """Worker → a connection to it and its process id; the system spreads connections by chance."""
    found: dict[str, tuple[Client, int]] = {}
    async with asyncio.timeout(PATIENCE):
        while len(found) < 2:
            client = await Client.connect(process.port)
            stack.push_async_callback(client.close)
            said = (await client.ask("GET", STATUS)).json()
            found[said["worker"]] = client, said["pid"]
    return found


async def _until_counted(client: Client, wanted: float) -> str:
    """The page, once all workers have let others see that many requests."""
    async with asyncio.timeout(PATIENCE):
        while True:
            page = await _page(client)
            if sum(_requests(_numbers(page)).values()) >= wanted:
                return page
            await asyncio.sleep(0.05)


async def test_any_worker_shows_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promtool: Callable[[str], None]
) -> None:
    """Also after one of them was killed, and the folder between them is gone in the end."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    async with Stub(_account) as upstream, Stub(hello) as litellm, AsyncExitStack() as stack:
        with serve(tmp_path, upstream.url, litellm.url, "--workers", "2") as process:
            await until(lambda: process.output().count("serving on") == 2)
            (folder,) = list(tmp_path.glob("litellm-hybrid-*"))  # noqa: ASYNC240  one look
            assert folder.stat().st_mode & 0o777 == 0o700
            clients = await _one_of_each(process, stack)
            (one, _), (two, pid) = clients["1"], clients["2"]
            for client, times in ((one, 3), (two, 5)):
                for _ in range(times):
                    for model in ("gpt-5", "o3", "exhausted"):
                        await client.post(model)
            expected = {
                ("litellm", "model", "2xx"): 8,
                ("upstream", "not-listed", "2xx"): 8,
                ("litellm", "fallback", "2xx"): 8,
            }
            for client in (one, two):
                page = await _until_counted(client, 24)
                promtool(page)
                numbers = _numbers(page)
                assert _requests(numbers) == expected
                assert numbers['fallbacks_total{kind="quota",outcome="served"}'] == 8
                assert numbers['request_duration_seconds_count{target="litellm"}'] == 16
                assert numbers['request_duration_seconds_bucket{le="+Inf",target="litellm"}'] == 16
            status = (await one.ask("GET", STATUS)).json()
            assert sum(row["count"] for row in status["requests"]) == 24
            assert len(status["recent_fallbacks"]) == 3

            os.kill(pid, signal.SIGKILL)
            await until(lambda: process.output().count("serving on") == 3)
            (again, new_pid) = (await _one_of_each(process, stack))["2"]
            assert new_pid != pid
            await again.post("gpt-5")
            page = await _until_counted(one, 25)

            promtool(page)
            assert _requests(_numbers(page)) == expected | {("litellm", "model", "2xx"): 9}
            assert await asyncio.to_thread(process.stop) == 0
            assert not folder.exists()


async def test_the_page_has_every_family_and_no_other(start: Start) -> None:
    proxy = await start()
    page = await _page(await proxy.client())
    shown = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
    assert sorted(shown) == sorted(family.full_name for family in FAMILIES)
