"""Where no more files may be open, nothing is served for a while, the log stays short, and it is served again."""

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from support.processes import SCRIPT, accepts, free_port


def _start(program: str, folder: Path, port: int, soft: int, hard: int) -> subprocess.Popen[bytes]:
    config = folder / "config.yaml"
    config.write_text(json.dumps({"extensions": {"litellm": {}}}))
    upstream = f"http://127.0.0.1:{free_port()}"
    command: list[str | Path]
    if program == "serve":
        command = [
            sys.executable,
            "-m",
            "litellm_hybrid",
            "serve",
            "--config",
            config,
            "--upstream",
            upstream,
        ]
        command += ["--listen", f"127.0.0.1:{port}"]
    else:
        command = [Path(sys.executable).with_name("mitmdump"), "-s", SCRIPT, "--set", f"confdir={folder}"]
        command += ["--mode", f"reverse:{upstream}@127.0.0.1:{port}", "--set", f"litellm_config={config}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": str(SCRIPT.parent)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),  # noqa: PLW1509
        )
    while not accepts(port):
        assert process.poll() is None, (folder / "log").read_text()
    return process


@pytest.mark.parametrize("program", ["mitmdump", "serve"])
def test_connections_without_end(program: str, tmp_path: Path) -> None:
    port = free_port()
    process = _start(program, tmp_path, port, 80, 80)
    try:
        with httpx.Client(trust_env=False, timeout=60) as client:  # mitmdump listens before it has started
            assert client.get(f"http://127.0.0.1:{port}/_hybrid/health").status_code == 200
        with contextlib.ExitStack() as silent:
            for _ in range(150):
                silent.enter_context(socket.create_connection(("127.0.0.1", port), 60))
            while "no connection can be taken" not in (tmp_path / "log").read_text():
                time.sleep(0.1)
            time.sleep(2)
            assert (tmp_path / "log").stat().st_size < 10_000
        with httpx.Client(trust_env=False, timeout=60) as client:
            assert client.get(f"http://127.0.0.1:{port}/_hybrid/health").status_code == 200
    finally:
        process.kill()
        process.wait()


def test_the_soft_limit_is_raised(tmp_path: Path) -> None:
    port = free_port()
    process = _start("serve", tmp_path, port, 80, 4000)
    try:
        with httpx.Client(trust_env=False, timeout=60) as client:
            assert client.get(f"http://127.0.0.1:{port}/_hybrid/health").status_code == 200
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
        assert line.split()[3:5] == ["4000", "4000"]
        assert "only 4000 files may be open" in (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
