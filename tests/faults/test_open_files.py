"""Where no more files may be open, nothing is served for a while, the log stays short, and it is served again."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.ports import free_port
from support.processes import Process, accepts, command_line, running


@contextlib.contextmanager
def _limited(program: str, folder: Path, soft: int, hard: int) -> Iterator[Process]:
    """A program that may have so many files open."""
    config, port, upstream = folder / "config.yaml", free_port(), f"http://127.0.0.1:{free_port()}"
    config.write_text(json.dumps({"extensions": {"litellm": {}}}))
    limit = f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"'
    command = ["bash", "-c", limit, "bash", *command_line(program, config, upstream, port, folder=folder)]
    with running(command, name=program, log=folder / "log", port=port, ready=accepts) as process:
        yield process


def _health(process: Process) -> int:
    with httpx.Client(trust_env=False, timeout=60) as client:  # mitmdump listens before it has started
        return client.get(f"{process.url}/_hybrid/health").status_code


@pytest.mark.parametrize("program", ["mitmdump", "serve"])
def test_connections_without_end(program: str, tmp_path: Path) -> None:
    with _limited(program, tmp_path, 80, 80) as process:
        assert _health(process) == 200
        with contextlib.ExitStack() as silent:
            for _ in range(150):
                silent.enter_context(socket.create_connection(("127.0.0.1", process.port), 60))
            process.wait_for("no connection can be taken")
            time.sleep(2)  # a line for each attempt would fill the log meanwhile
            assert process.log.stat().st_size < 10_000
        assert _health(process) == 200


def test_the_soft_limit_is_raised(tmp_path: Path) -> None:
    with _limited("serve", tmp_path, 80, 4000) as process:
        assert _health(process) == 200
        limits = Path(f"/proc/{process.popen.pid}/limits").read_text()
        (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
        assert line.split()[3:5] == ["4000", "4000"]
        assert "only 4000 files may be open" in process.output()
