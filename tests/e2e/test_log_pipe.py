"""A log that nobody reads, or that cannot be written, stops nothing: no start, no request, and not the end."""

import fcntl
import os
import re
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from support.ports import free_port
from support.processes import accepts, command_line

WAYS = ["mitmdump", "mitmweb", "serve", "workers"]


@contextmanager
def _started(way: str, folder: Path, output: int) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """Run it with this for its output, in front of no upstream, until it can be asked."""
    config, port = folder / "config.yaml", free_port()
    config.write_text("extensions: {litellm: {fallback: {enabled: false}}}")
    command = command_line(
        "serve" if way == "workers" else way, config, f"http://127.0.0.1:{free_port()}", port, folder=folder
    )
    command += ["--workers", "2"] if way == "workers" else []
    if way == "mitmweb":
        command += ["--set", "web_open_browser=false", "--set", f"web_port={free_port()}"]
    if way == "mitmdump":
        command += ["--set", "flow_detail=1"]
    # Coverage would write its own file and warnings in the end, which is what cannot be done here.
    own = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
    process = subprocess.Popen(command, stdout=output, stderr=output, env=own)
    try:
        os.close(output)
        while not accepts(port):
            assert process.poll() is None
            time.sleep(0.1)
        with httpx.Client(trust_env=False, timeout=60, base_url=f"http://127.0.0.1:{port}") as client:
            _until(
                lambda: '"live"' in client.get("/_hybrid/health").text
            )  # mitmproxy listens before it loads us
            yield process, client
    finally:
        process.kill()
        process.wait()


def _fail(client: httpx.Client, count: int) -> None:
    """Ask for what fails: each request writes a line of ERROR, which is never written together with others."""
    for _ in range(count):
        assert client.post("/v1/chat/completions", json={"model": "m" * 150}).status_code == 502


def _lost(client: httpx.Client) -> int:
    found = re.search(r"log_lines_lost_total (\d+)", client.get("/_hybrid/metrics").text)
    assert found is not None
    return int(found[1])


def _fill(pipe: int) -> None:
    writes = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(writes, b"\n")
    os.close(writes)


def _until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.1)


@pytest.mark.parametrize("way", WAYS)
def test_a_pipe_that_nobody_reads_and_then_nobody_can(way: str, tmp_path: Path) -> None:
    """It is full before the start, if nothing of mitmproxy's is written before ours has come."""
    source, sink = os.pipe()
    if not way.startswith("mitm"):
        _fill(sink)
    try:
        with _started(way, tmp_path, sink) as (process, client):
            _fill(source)
            _fail(client, 100)
            os.close(source)
            source = -1
            _fail(client, 10)
            _until(lambda: _lost(client) >= 10)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    finally:
        if source >= 0:
            os.close(source)


@pytest.mark.parametrize("way", WAYS)
def test_the_end_does_not_wait_for_a_reader(way: str, tmp_path: Path) -> None:
    source, sink = os.pipe()
    fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, 16 * 1024)
    more = os.dup(sink)
    try:
        with _started(way, tmp_path, sink) as (process, client):
            _fail(client, 100)
            _until(lambda: not select.select([], [more], [], 0)[1])  # it is full
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    finally:
        os.close(source)
        os.close(more)


@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk(way: str, tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with _started(way, tmp_path, log) as (process, client):
        _fail(client, 1)
        found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        for pid in (process.pid, *map(int, found.stdout.split())):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))  # as if the disk were full
        _fail(client, 10)
        _until(lambda: _lost(client) >= 10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
