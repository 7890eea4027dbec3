"""A log that nobody reads stops nothing: no request, and not the end."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from support.processes import SCRIPT, accepts, free_port

LONG = "m" * 150
"""A line for each request has it: 1,000 of them do not fit into a pipe."""


def _command(program: str, port: int, upstream: int, config: Path) -> list[str | Path]:
    if program == "serve":
        urls = ["--upstream", f"http://127.0.0.1:{upstream}", "--listen", f"127.0.0.1:{port}"]
        return [sys.executable, "-m", "litellm_hybrid", "serve", "--config", config, *urls]
    mode = f"reverse:http://127.0.0.1:{upstream}@127.0.0.1:{port}"
    options = ["--set", f"litellm_config={config}", "--set", f"confdir={config.parent}"]
    return [Path(sys.executable).with_name("mitmdump"), "-s", SCRIPT, "--mode", mode, *options]


@pytest.mark.parametrize("program", ["mitmdump", "serve"])
def test_a_pipe_that_nobody_reads_stops_nothing(program: str, tmp_path: Path) -> None:
    """Every request fails, so every one writes a line of ERROR, which is never written together with others."""
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"extensions": {"litellm": {"fallback": {"enabled": False}}}}))
    port, nobody = free_port(), free_port()
    source, sink = os.pipe()
    command = _command(program, port, nobody, config)
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent)}
    process = subprocess.Popen(command, stdout=sink, stderr=subprocess.DEVNULL, env=environment)
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
