"""`litellm-hybrid serve`: the same addon on a lean mitmproxy, in one process and in several."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from e2e.harness import LITELLM_502, Client, Stub, settings, until
from support import processes
from support.ports import free_port
from support.processes import MASTER_KEY, Process, accepts
from support.servers import Reply
from support.wire import Request

PROGRAM = Path(sys.executable).with_name("litellm-hybrid")
QUOTA = {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Stub, Stub]]:
    """Upstream and LiteLLM; each says who it is, and upstream's account for `exhausted` is."""

    async def upstream(request: Request, reply: Reply) -> None:
        if b"exhausted" in request.body:
            await reply.json(429, QUOTA)
        else:
            await reply.json(200, {"who": "upstream"})

    async def litellm(_: Request, reply: Reply) -> None:
        answer = {"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
        await reply.json(200, {"who": "litellm", "choices": [answer]})

    async with Stub() as first, Stub() as second:
        first.does, second.does = upstream, litellm
        yield first, second


@contextmanager
def serve(folder: Path, upstream: str, litellm: str, *options: str) -> Iterator[Process]:
    """Run the command until it accepts connections."""
    config = settings(litellm, fallback={"enabled": True})
    with processes.serve(config, upstream, folder, *options) as it:
        yield it


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_does_what_mitmdump_does(workers: str, servers: tuple[Stub, Stub], tmp_path: Path) -> None:
    upstream, litellm = servers
    expected = {
        "gpt-5": ("litellm", "litellm; reason=model"),
        "o3": ("upstream", "upstream; reason=not-listed"),
        "exhausted": ("litellm", "litellm; reason=fallback; upstream-status=429"),
    }
    with serve(tmp_path, upstream.url, litellm.url, "--workers", workers) as process:
        async with httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=60) as client:
            for _ in range(4):
                for model, (who, route) in expected.items():
                    answer = await client.post("/v1/chat/completions", json={"model": model})
                    assert answer.json()["who"] == who
                    assert answer.headers["x-hybrid-route"].partition("; model=")[0] == route
            await litellm.stop()
            answer = await client.post("/v1/chat/completions", json={"model": "gpt-5"})
            assert (answer.status_code, answer.content) == (502, LITELLM_502)
    output = process.output()
    assert "litellm routing: gpt-5 → LiteLLM" in output
    assert "LiteLLM routing enabled for:" in output
    assert f"serving on 127.0.0.1:{process.port}" in output
    assert MASTER_KEY not in output
    assert "Traceback" not in output
    assert process.popen.returncode == 0


def _workers(process: Process) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(process.popen.pid)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


async def test_a_dead_worker_is_replaced(servers: tuple[Stub, Stub], tmp_path: Path) -> None:
    upstream, litellm = servers
    with serve(tmp_path, upstream.url, litellm.url, "--workers", "2") as process:
        await until(lambda: process.output().count("serving on") == 2)
        before = _workers(process)

        os.kill(before[0], signal.SIGKILL)

        await until(lambda: process.output().count("serving on") == 3)
        after = _workers(process)
        assert (len(before), len(after), before[1] in after) == (2, 2, True)
        async with httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=60) as client:
            assert (await client.post("/v1/messages", json={"model": "gpt-5"})).status_code == 200
        assert process.stop() == 0


def _terminate(process: Process) -> None:
    process.popen.terminate()


def _press_ctrl_c(process: Process) -> None:
    """A terminal signals the whole group in its foreground."""
    os.killpg(process.popen.pid, signal.SIGINT)


def _stop_unit(process: Process) -> None:
    """systemd signals every process of a unit (KillMode=control-group)."""
    for pid in (process.popen.pid, *_workers(process)):
        os.kill(pid, signal.SIGTERM)


def _close_terminal(process: Process) -> None:
    os.killpg(process.popen.pid, signal.SIGHUP)


@pytest.mark.parametrize("end", [_terminate, _press_ctrl_c, _stop_unit, _close_terminal])
async def test_workers_let_running_requests_finish(
    end: Callable[[Process], None], servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    upstream, litellm = servers
    go_on, arrived = asyncio.Event(), asyncio.Event()

    async def answer(_: Request, reply: Reply) -> None:
        arrived.set()
        await go_on.wait()
        answer = {"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
        await reply.json(200, {"who": "litellm", "choices": [answer]})

    litellm.does = answer
    with serve(tmp_path, upstream.url, litellm.url, "--workers", "2") as process:
        await until(lambda: process.output().count("serving on") == 2)
        client = await Client.connect(process.port)
        await client.request("POST", "/v1/messages", {"model": "gpt-5"})
        await arrived.wait()

        end(process)
        await until(lambda: "draining" in process.output())
        await asyncio.sleep(0.3)  # a second signal would have ended it by now
        go_on.set()

        assert (await client.answer()).status == 200
        await client.close()
        assert await asyncio.to_thread(process.popen.wait, 60) == 0


async def test_a_second_ctrl_c_ends_the_workers_at_once(servers: tuple[Stub, Stub], tmp_path: Path) -> None:
    upstream, litellm = servers
    litellm.does = _hang
    with serve(tmp_path, upstream.url, litellm.url, "--workers", "2") as process:
        await until(lambda: process.output().count("serving on") == 2)
        client = await Client.connect(process.port)
        await client.request("POST", "/v1/messages", {"model": "gpt-5"})
        await until(lambda: litellm.requests)

        _press_ctrl_c(process)
        await until(lambda: "draining" in process.output())
        _press_ctrl_c(process)

        assert await asyncio.to_thread(process.popen.wait, 60) == 0
        await client.close()
        assert "Traceback" not in process.output()


async def test_workers_without_a_supervisor_drain_and_free_the_port(
    servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    upstream, litellm = servers
    with serve(tmp_path, upstream.url, litellm.url, "--workers", "2") as process:
        await until(lambda: process.output().count("serving on") == 2)

        process.popen.kill()

        await until(lambda: not accepts(process.port))


async def _hang(_: Request, reply: Reply) -> None:
    assert reply
    await asyncio.sleep(600)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_serves_without_assertions(
    workers: str, servers: tuple[Stub, Stub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`PYTHONOPTIMIZE=1`: mitmproxy's own leave out more than asserts then."""
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    upstream, litellm = servers
    with serve(tmp_path, upstream.url, litellm.url, "--workers", workers) as process:
        async with httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=60) as client:
            for model, who in (("gpt-5", "litellm"), ("exhausted", "litellm"), ("o3", "upstream")):
                response = await client.post("/v1/messages", json={"model": model})
                assert (response.status_code, response.json()["who"]) == (200, who)
        assert process.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_wrong_configuration_ends_it(workers: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("extensions: {litellm: {modles: []}}")

    done = subprocess.run(
        [PROGRAM, "serve", "-c", config, "--workers", workers], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "config.yaml:1: extensions.litellm.modles: unknown key; did you mean `models`?" in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_does_not_listen_for_everybody(workers: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("extensions: {litellm: {base-url: 'http://127.0.0.1:9', api-key: sk-x}}")
    here = f"0.0.0.0:{free_port()}"

    done = subprocess.run(
        [PROGRAM, "serve", "-c", config, "--workers", workers, "--listen", here],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "refusing to listen on 0.0.0.0" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("first", "workers"), [("1", "2"), ("2", "1"), ("2", "2")])
async def test_a_taken_port_says_who_has_it(
    first: str, workers: str, servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    """Processes that share a port would start in silence, and take half of the requests."""
    upstream, litellm = servers
    with serve(tmp_path, upstream.url, litellm.url, "--workers", first) as process:
        config, listen = str(tmp_path / "config.yaml"), f"127.0.0.1:{process.port}"
        command = [str(PROGRAM), "serve", "-c", config, "--listen", listen, "--workers", workers]
        ended = await asyncio.to_thread(
            subprocess.run, command, check=False, capture_output=True, text=True, timeout=60
        )
    assert ended.returncode == 1
    assert f"127.0.0.1:{process.port} is taken by process " in ended.stderr


async def test_what_a_killed_process_left_is_removed(
    servers: tuple[Stub, Stub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    upstream, litellm = servers
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    left, file = tmp_path / f"litellm-hybrid-{gone.pid}-a", tmp_path / f"litellm-hybrid-{gone.pid}-b.pem"
    ours = tmp_path / f"litellm-hybrid-{os.getpid()}-c"
    (left / "1").mkdir(parents=True)
    file.touch()
    ours.mkdir()
    with serve(tmp_path, upstream.url, litellm.url, "--workers", "2"):
        await until(lambda: not left.exists() and not file.exists())
        assert ours.exists()
