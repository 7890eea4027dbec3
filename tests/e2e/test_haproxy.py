"""deploy/haproxy.cfg in a real HAProxy: an instance is drained and replaced under load, and nothing is lost."""

import asyncio
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.harness import Stub, settings, until
from support.ports import free_port
from support.processes import ROOT, Process, accepts, running
from support.servers import Reply, in_thread
from support.stores import NO_REDIS, RedisServer, has_redis
from support.wire import Request

CONFIG = ROOT / "deploy" / "haproxy.cfg"
PROGRAM = Path(sys.executable).with_name("litellm-hybrid")
KEY = "sk-key-of-a-client"
CLIENTS = 12
ENOUGH = 400
"""How many requests the load has to have made in the end."""

pytestmark = pytest.mark.skipif(
    shutil.which("haproxy") is None, reason="haproxy is not installed: scripts/setup system"
)


def test_haproxy_accepts_the_file() -> None:
    done = subprocess.run(["haproxy", "-c", "-f", CONFIG], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


# -- what runs ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Front:
    """HAProxy, spoken to as deploy/README.md says."""

    process: Process
    socket: Path

    async def say(self, command: str) -> str:
        """A command for the admin socket; its answer."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(command.encode() + b"\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer.decode()

    async def set_state(self, server: str, state: str) -> None:
        """Drain it or take it back, in both backends."""
        for backend in ("hybrid", "hybrid-anyway"):
            assert (await self.say(f"set server {backend}/{server} state {state}")).strip() == ""

    async def stat(self, server: str, column: str, backend: str = "hybrid") -> str:
        """One value of `show stat` about a server."""
        rows = csv.DictReader((await self.say("show stat")).removeprefix("# ").splitlines())
        (row,) = [row for row in rows if (row["pxname"], row["svname"]) == (backend, server)]
        return row[column]

    async def until(self, server: str, column: str, *values: str) -> None:
        """Wait until a value is one of these."""
        async with asyncio.timeout(60):
            while await self.stat(server, column) not in values:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@contextmanager
def haproxy(a: int, b: int, folder: Path) -> Iterator[Front]:
    """Run it with the example itself; only ports and the socket's path are others."""
    port = free_port()
    text = CONFIG.read_text(encoding="utf-8")
    # A socket's path may have about 90 characters.
    with tempfile.TemporaryDirectory(prefix="hybrid-") as short:
        socket = Path(short) / "admin.sock"
        for written, ours, times in (
            ("/run/haproxy/litellm-hybrid.sock", str(socket), 1),
            ("bind :8318", f"bind 127.0.0.1:{port}", 1),
            ("127.0.0.1:8321", f"127.0.0.1:{a}", 2),
            ("127.0.0.1:8322", f"127.0.0.1:{b}", 2),
        ):
            assert text.count(written) == times, written
            text = text.replace(written, ours)
        file = folder / "haproxy.cfg"
        file.write_text(text, encoding="utf-8")
        command: list[str | Path] = ["haproxy", "-db", "-f", file]
        log = folder / "haproxy.log"
        with running(command, name="haproxy", log=log, port=port, ready=accepts) as process:
            yield Front(process, socket)


@contextmanager
def instance(port: int, config: Path, upstream: str) -> Iterator[Process]:
    """Run `litellm-hybrid serve`."""
    where: list[str | Path] = ["-c", config, "--upstream", upstream, "--listen", f"127.0.0.1:{port}"]
    with running(
        [PROGRAM, "serve", *where],
        name=f"serve {port}",
        log=config.with_name(f"serve-{port}.log"),
        port=port,
        ready=accepts,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        yield process


class Model(Stub):
    """Says back what was asked, at once or in five events; `held` ones go on when `go_on` is set."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.go_on = asyncio.Event()

    async def _answer(self, request: Request, reply: Reply) -> None:
        asked = json.loads(request.body)
        if not asked.get("stream"):
            await reply.json(200, {"id": asked["id"]})
            return
        await reply.head(200, {"content-type": "text/event-stream"})
        for number in range(5):
            await reply.chunk(f"data: {asked['id']} {number}\n\n")
            await (self.go_on.wait() if asked.get("held") else asyncio.sleep(0.02))
        await reply.end()


def _expected(asked: dict[str, object]) -> str:
    if not asked.get("stream"):
        return json.dumps({"id": asked["id"]})
    return "".join(f"data: {asked['id']} {number}\n\n" for number in range(5))


# -- the load -----------------------------------------------------------------


@dataclass(slots=True)
class Load:
    """Clients with addresses of their own that ask one thing after the other."""

    url: str
    done: int = 0
    broken: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def client(self, number: int) -> None:
        """Ask until told to stop: both servers, with and without a stream, and a long stream beside it."""
        transport = httpx.AsyncHTTPTransport(local_address=f"127.0.1.{number + 1}", trust_env=False)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            httpx.AsyncClient(base_url=self.url, transport=transport, headers=headers, timeout=60) as client,
            asyncio.TaskGroup() as group,
        ):
            held = {"id": f"{number}-held", "model": "gpt-5", "stream": True, "held": True}
            group.create_task(self.ask(client, held))
            turn = 0
            while not self.stop.is_set():
                turn += 1
                asked: dict[str, object] = {"id": f"{number}-{turn}", "model": ("gpt-5", "o3")[turn % 2]}
                if turn % 3 == 0:
                    asked["stream"] = True
                await self.ask(client, asked)

    async def ask(self, client: httpx.AsyncClient, asked: dict[str, object]) -> None:
        """One request; what is wrong with its answer is noted."""
        try:
            got = await client.post("/v1/messages", json=asked)
        except httpx.HTTPError as e:
            self.broken.append(f"{asked}: {e!r}")
            return
        self.done += 1
        if (got.status_code, got.text) != (200, _expected(asked)):
            self.broken.append(f"{asked}: {got.status_code} {got.text[:200]!r}")


@asynccontextmanager
async def load(url: str) -> AsyncIterator[Load]:
    """Ask all the while."""
    asking = Load(url)
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(asking.client(number))
        try:
            yield asking
        finally:
            asking.stop.set()


def _config(folder: Path, litellm: str, **more: str) -> Path:
    file = folder / "config.yaml"
    keys: dict[str, Any] = {"client_api_keys": [KEY], "trusted_proxies": ["127.0.0.1"], **more}
    file.write_text(json.dumps(settings(litellm, **keys)), encoding="utf-8")
    return file


# -- the tests ------------------------------------------------------------------


@pytest.mark.skipif(not has_redis, reason=NO_REDIS)
async def test_an_instance_is_drained_and_replaced_under_load(tmp_path: Path) -> None:
    """As in deploy/README.md: drain, wait, SIGTERM, start again, ready. They share their state by a Redis."""
    ports = free_port(), free_port()
    async with Model() as upstream, Model() as litellm:
        with ExitStack() as stack:
            redis = stack.enter_context(RedisServer(tmp_path))
            config = _config(tmp_path, litellm.url, state=redis.url)
            old, _ = [stack.enter_context(instance(port, config, upstream.url)) for port in ports]
            front = stack.enter_context(haproxy(*ports, tmp_path))

            async with load(front.process.url) as asking:
                await until(lambda: asking.done > ENOUGH / 4)
                await until(lambda: sum(b"held" in request.body for request in litellm.requests) == CLIENTS)
                for server in "ab":
                    assert int(await front.stat(server, "stot")) > 10
                    assert int(await front.stat(server, "scur")) > 0

                await front.set_state("a", "drain")
                before = asking.done
                await until(lambda: asking.done > before + ENOUGH / 4)
                # Its long streams run on, and it gets nothing new.
                served = await front.stat("a", "stot")
                assert int(await front.stat("a", "scur")) > 0
                litellm.go_on.set()
                await front.until("a", "scur", "0")
                old.popen.terminate()
                assert await asyncio.to_thread(old.popen.wait, 60) == 0
                await front.until("a", "check_status", "L4CON")
                assert await front.stat("a", "stot") == served

                again = instance(ports[0], config, upstream.url)
                await asyncio.to_thread(stack.enter_context, again)
                await front.until("a", "check_status", "L7OK")
                assert await front.stat("a", "stot") == served
                await front.set_state("a", "ready")
                before = asking.done
                await until(lambda: asking.done > max(before + ENOUGH / 4, ENOUGH))
                await until_served(front, more_than=int(served))

    assert asking.broken == []
    assert len(upstream.requests) + len(litellm.requests) == asking.done
    assert {len(litellm.requests) > 0, len(upstream.requests) > 0} == {True}
    # They learn who the client is, and HAProxy asks no server for anything.
    for stub in (upstream, litellm):
        assert {request.path for request in stub.requests} == {"/v1/messages"}
    named = {request.values("x-forwarded-for")[0] for request in upstream.requests}
    assert named == {f"127.0.1.{number + 1}" for number in range(CLIENTS)}


async def until_served(front: Front, *, more_than: int) -> None:
    """Wait until the instance that was replaced serves again."""
    async with asyncio.timeout(60):
        while int(await front.stat("a", "stot")) <= more_than:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_when_no_instance_is_ready_they_are_asked_anyway(tmp_path: Path) -> None:
    """LiteLLM is down: upstream's requests are served as before, and the others are told."""
    upstream = Model()
    port, other = free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(in_thread(upstream))
        config = _config(tmp_path, f"http://127.0.0.1:{free_port()}")
        stack.enter_context(instance(port, config, upstream.url))
        front = stack.enter_context(haproxy(port, other, tmp_path))
        await front.until("b", "status", "DOWN")
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(
            base_url=front.process.url, trust_env=False, headers=headers, timeout=60
        ) as client:

            async def ask(model: str) -> tuple[int, object]:
                got = await client.post("/v1/messages", json={"model": model, "id": "1"})
                return got.status_code, got.json()

            async with asyncio.timeout(60):
                while await front.stat("a", "status") != "DOWN":
                    # Each failure counts for some seconds.
                    assert (await ask("gpt-5"))[0] == 502
                    await asyncio.sleep(0.1)
            assert await ask("o3") == (200, {"id": "1"})
            assert (await ask("gpt-5"))[1] == {
                "error": "litellm_proxy_error",
                "message": "Failed to reach LiteLLM proxy",
            }
    assert len(upstream.requests) == 1


async def test_nobody_is_there(tmp_path: Path) -> None:
    """HAProxy's own answer is JSON too."""
    with haproxy(free_port(), free_port(), tmp_path) as front:
        async with httpx.AsyncClient(base_url=front.process.url, trust_env=False, timeout=60) as client:
            got = await client.post("/v1/messages", json={})
    assert (got.status_code, got.headers["content-type"]) == (503, "application/json")
    assert got.json()["error"] == "haproxy_error"
