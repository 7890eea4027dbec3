"""A log that nobody reads stops nothing: no request, and not the end."""

import json
import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from support.processes import accepts, command_line, free_port

LONG = "m" * 150
"""A line for each request has it: 1,000 of them do not fit into a pipe."""


@pytest.mark.parametrize("program", ["mitmdump", "serve"])
def test_a_pipe_that_nobody_reads_stops_nothing(program: str, tmp_path: Path) -> None:
    """Every request fails, so every one writes a line of ERROR, which is never written together with others."""
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"extensions": {"litellm": {"fallback": {"enabled": False}}}}))
    port, nobody = free_port(), free_port()
    source, sink = os.pipe()
    command = command_line(program, config, f"http://127.0.0.1:{nobody}", port, folder=tmp_path)
    process = subprocess.Popen(command, stdout=sink, stderr=subprocess.DEVNULL)
    try:
        os.close(sink)
        while not accepts(port):
            assert process.poll() is None
        with httpx.Client(trust_env=False, timeout=60, base_url=f"http://127.0.0.1:{port}") as client:
            for _ in range(1000):
                answer = client.post("/v1/chat/completions", json={"model": LONG})
                assert answer.status_code == 502
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(source)
