"""SIGTERM and Ctrl-C: nothing new, everything that runs to its end, then exit code 0."""

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from e2e.harness import Client, Stub, settings, until
from support.processes import SCRIPT, Process, mitmdump
from support.servers import Reply
from support.wire import Request

UPSTREAM = "http://127.0.0.1:9"
SSE = {"content-type": "text/event-stream"}


@pytest.fixture
async def streaming() -> AsyncIterator[tuple[Stub, asyncio.Event]]:
    """A server whose streams begin at once and end when the event is set."""
    go_on = asyncio.Event()

    async def answer(_: Request, reply: Reply) -> None:
        await reply.head(200, SSE)
        await reply.chunk(b"data: 1\n\n")
        await go_on.wait()
        await reply.chunk(b"data: 2\n\n")
        await reply.end()

    async with Stub() as stub:
        stub.does = answer
        yield stub, go_on


type Connect = Callable[[Process], Awaitable[Client]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes clients that are closed when the test is over."""
    clients: list[Client] = []

    async def connect(process: Process) -> Client:
        clients.append(await Client.connect(process.port))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()


async def _begin(connect: Connect, process: Process, count: int) -> list[Client]:
    clients = [await connect(process) for _ in range(count)]
    for client in clients:
        await client.request("POST", "/v1/messages", {"model": "gpt-5", "stream": True})
        await client.head()
        assert await client.chunk() == b"data: 1\n\n"
    return clients


async def _refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    await writer.wait_closed()
    return False


async def _ended(process: Process) -> int:
    return await asyncio.to_thread(process.popen.wait, 60)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=["SIGTERM", "SIGINT", "SIGHUP"]
)
async def test_a_hundred_streams_run_to_their_end(
    number: signal.Signals, streaming: tuple[Stub, asyncio.Event], connect: Connect, tmp_path: Path
) -> None:
    stub, go_on = streaming
    config = settings(stub.url)
    with mitmdump(config, UPSTREAM, tmp_path) as process:
        clients = await _begin(connect, process, 100)
        idle = await connect(process)

        os.kill(process.popen.pid, number)
        async with asyncio.timeout(60):
            while not await _refuses(process.port):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await idle.rest() == b""
        go_on.set()

        for client in clients:
            assert [await client.chunk(), await client.chunk()] == [b"data: 2\n\n", b""]
            assert await client.rest() == b""
        assert await _ended(process) == 0
        assert "Traceback" not in process.output()


async def test_a_keep_alive_client_is_told_to_go(connect: Connect, tmp_path: Path) -> None:
    """Its request that runs is answered, with `Connection: close`."""
    go_on, arrived = asyncio.Event(), asyncio.Event()

    async def answer(_: Request, reply: Reply) -> None:
        arrived.set()
        await go_on.wait()
        await reply.json(200, {})

    async with Stub() as stub:
        stub.does = answer
        with mitmdump(settings(stub.url), UPSTREAM, tmp_path) as process:
            client = await connect(process)
            await client.request("POST", "/v1/messages", {"model": "gpt-5"})
            await arrived.wait()
            os.kill(process.popen.pid, signal.SIGTERM)
            await until(lambda: "draining" in process.output())
            go_on.set()

            answered = await client.answer()
            assert (answered.status, answered.header("connection")) == (200, "close")
            assert await _ended(process) == 0


async def test_the_grace_period_ends(
    streaming: tuple[Stub, asyncio.Event], connect: Connect, tmp_path: Path
) -> None:
    stub, _ = streaming
    config = settings(stub.url, grace_period="200ms")
    with mitmdump(config, UPSTREAM, tmp_path) as process:
        (client,) = await _begin(connect, process, 1)

        os.kill(process.popen.pid, signal.SIGTERM)

        assert await _ended(process) == 0
        assert await client.rest() == b""
        assert "1 request cut off" in process.output()


async def test_a_second_ctrl_c_ends_at_once(
    streaming: tuple[Stub, asyncio.Event], connect: Connect, tmp_path: Path
) -> None:
    stub, _ = streaming
    with mitmdump(settings(stub.url), UPSTREAM, tmp_path) as process:
        await _begin(connect, process, 1)

        os.kill(process.popen.pid, signal.SIGTERM)
        await until(lambda: "Ctrl-C ends at once" in process.output())
        os.kill(process.popen.pid, signal.SIGINT)

        assert await _ended(process) == 0


async def test_a_second_sigterm_changes_nothing(
    streaming: tuple[Stub, asyncio.Event], connect: Connect, tmp_path: Path
) -> None:
    """A service manager sends it to every process of a service, and a supervisor to its workers again."""
    stub, go_on = streaming
    with mitmdump(settings(stub.url), UPSTREAM, tmp_path) as process:
        (client,) = await _begin(connect, process, 1)

        os.kill(process.popen.pid, signal.SIGTERM)
        await until(lambda: "draining" in process.output())
        os.kill(process.popen.pid, signal.SIGTERM)
        await asyncio.sleep(0.2)  # it could end in that time
        go_on.set()

        await client.rest()
        assert await _ended(process) == 0


async def test_a_hundred_streams_survive_both_kinds_of_reload(
    streaming: tuple[Stub, asyncio.Event], connect: Connect, tmp_path: Path
) -> None:
    """The configuration's, and mitmproxy's of the script."""
    stub, go_on = streaming
    script = tmp_path / "hybrid.py"
    shutil.copyfile(SCRIPT, script)
    with mitmdump(settings(stub.url), UPSTREAM, tmp_path, script=script) as process:
        clients = await _begin(connect, process, 100)

        (tmp_path / "config.yaml").write_text(json.dumps(settings(stub.url, models=["gpt-5", "o3"])))
        await until(lambda: "models: [gpt-5] → [gpt-5, o3]" in process.output())
        os.utime(script, (time.time() + 5, time.time() + 5))
        await until(lambda: process.output().count("Loading script") == 2)
        await until(lambda: process.output().count("LiteLLM routing enabled for") == 2)
        go_on.set()

        for client in clients:
            assert [await client.chunk(), await client.chunk()] == [b"data: 2\n\n", b""]
        for client, model in zip(clients[:2], ("o3", "gpt-5"), strict=True):
            assert (await client.post(model)).route == "litellm; reason=model"
        assert "Traceback" not in process.output()
