"""Real processes for tests and the demo: mitmdump with the addon, and LiteLLM.

Each is a context manager that waits until the process serves, keeps its output
in a file, and ends it (TERM, then KILL) whatever happens inside the `with`.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from support.ports import free_port

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "addon" / "hybrid.py"
LITELLM = ROOT / ".venv-litellm" / "bin" / "litellm"
MASTER_KEY = "sk-litellm-master-key-of-the-tests"
"""The key that the addon knows and no client may ever see."""

BACKEND_KEY = "sk-key-of-the-model-server"
"""What LiteLLM sends its backend."""

MODELS = {
    "gpt-5": ("openai/gpt-5", "/v1"),
    "claude-sonnet-4-5": ("anthropic/claude-sonnet-4-5", ""),
    "gemini-2.5-pro": ("gemini/gemini-2.5-pro", ""),
}
"""LiteLLM's models: name → its name for the backend, and the backend's path."""

PATIENCE = 240.0
"""Seconds that a process may take to start, on however busy a machine; nothing is ever waited for in full."""


class ProcessError(RuntimeError):
    """A process ended, or did not serve in time; the message has the end of its output."""


@dataclass(slots=True)
class Process:
    """A process that was started, and the file with its output."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    port: int
    stopped: bool = field(default=False)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        """Everything it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self, lines: int = 60) -> str:
        """The end of its output, for messages."""
        return "\n".join(self.output().splitlines()[-lines:])

    def wait_for(self, text: str, *, within: float = PATIENCE) -> str:
        """Wait until its output has `text`; returns the output, raises ProcessError after `within` s."""
        deadline = time.monotonic() + within
        while text not in (output := self.output()):
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} has not written {text!r} in {within:g} s:\n{self.tail()}")
            time.sleep(0.02)
        return output

    def stop(self, *, patience: float = 60) -> int:
        """End it: TERM, and KILL after `patience` seconds. Returns its code; again does nothing."""
        if self.popen.poll() is None:
            self.popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(patience)
        # It leads a group of its own: nothing that it started may outlive it.
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        return self.popen.wait()


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    name: str,
    log: Path,
    port: int,
    ready: Callable[[int], bool],
    within: float = PATIENCE,
    env: Mapping[str, str] | None = None,
    waiting: Callable[[float], None] | None = None,
) -> Iterator[Process]:
    """Start a process and wait until `ready(port)`; end it afterwards.

    Args:
        waiting: called about four times a second with the seconds waited, to show progress.

    Raises:
        ProcessError: it ended before it was ready, or was not ready `within` seconds.
    """
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=log.parent,
            start_new_session=True,
        )
    process = Process(name, popen, log, port)
    try:
        _await(process, ready, within, waiting)
        yield process
    finally:
        process.stop()


def _await(
    process: Process, ready: Callable[[int], bool], within: float, waiting: Callable[[float], None] | None
) -> None:
    start = time.monotonic()
    while not ready(process.port):
        waited = time.monotonic() - start
        if (code := process.popen.poll()) is not None:
            raise ProcessError(f"{process.name} ended with code {code}:\n{process.tail()}")
        if waited > within:
            raise ProcessError(f"{process.name} did not serve within {within:g} s:\n{process.tail()}")
        if waiting:
            waiting(waited)
        time.sleep(0.25 if waiting else 0.05)


def accepts(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _litellm_ready(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/readiness")  # never /health: it calls the models
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def hybrid_config(litellm: str, **extra: Any) -> dict[str, Any]:
    """The addon's configuration for a LiteLLM at this URL; `extra` are more keys of `extensions.litellm`."""
    keys = {"enabled": True, "base-url": litellm, "api-key": MASTER_KEY, "models": list(MODELS)}
    return {"extensions": {"litellm": keys | extra}}


def command_line(
    program: str, config: Path, upstream: str, port: int, *, folder: Path, script: str | Path = SCRIPT
) -> list[str | Path]:
    """How `serve`, or a mitmproxy with the addon, is started in front of `upstream`, a URL.

    Args:
        program: "serve", or mitmdump or mitmweb: the one beside this interpreter, or a path.
        config: the configuration file.
        folder: for mitmproxy's own files.
    """
    beside = Path(sys.executable)
    if program == "serve":
        where: list[str | Path] = ["-c", config, "--upstream", upstream, "--listen", f"127.0.0.1:{port}"]
        return [beside.with_name("litellm-hybrid"), "serve", *where]
    return [
        program if "/" in program else beside.with_name(program),
        *("-s", script),
        *("--set", f"litellm_config={config}"),
        *("--set", f"confdir={folder / 'mitmproxy'}"),
        *("--mode", f"reverse:{upstream}@127.0.0.1:{port}"),
    ]


def _written(config: Mapping[str, Any] | Path, folder: Path) -> Path:
    if isinstance(config, Path):
        return config
    # JSON is YAML, and needs no library here.
    file = folder / "config.yaml"
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return file


@contextmanager
def serve(
    config: Mapping[str, Any] | Path,
    upstream: str,
    folder: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run `litellm-hybrid serve` in front of `upstream`; arguments as of `mitmdump`, output in `serve.log`."""
    port = free_port()
    command = [*command_line("serve", _written(config, folder), upstream, port, folder=folder), *options]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | dict(env or {})
    log = folder / "serve.log"
    with running(command, name="serve", log=log, port=port, ready=accepts, env=environment) as process:
        yield process


@contextmanager
def mitmdump(
    config: Mapping[str, Any] | Path,
    upstream: str,
    folder: Path,
    *options: str,
    port: int = 0,
    script: str | Path = SCRIPT,
    program: str | Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run `mitmdump -s addon/hybrid.py` in front of `upstream`, a URL.

    Args:
        config: the addon's configuration, or a file with it. A dict becomes `folder/config.yaml`.
        folder: for its files: configuration, certificates, output (`mitmdump.log`).
        options: more arguments for mitmdump.
        port: where to listen; 0 takes a free one.
        program: another mitmdump than the one beside this interpreter.
        env: added to the environment.
    """
    port = port or free_port()
    config = _written(config, folder)
    command = [
        *command_line(str(program or "mitmdump"), config, upstream, port, folder=folder, script=script),
        *options,
    ]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | dict(env or {})
    log = folder / "mitmdump.log"
    with running(command, name="mitmdump", log=log, port=port, ready=accepts, env=environment) as process:
        yield process


@contextmanager
def litellm(
    backend: str,
    folder: Path,
    *,
    port: int = 0,
    waiting: Callable[[float], None] | None = None,
    models: Mapping[str, Mapping[str, Any]] | None = None,
    deployments: int = 1,
    settings: Mapping[str, object] | None = None,
) -> Iterator[Process]:
    """Run a real LiteLLM proxy whose models are all served by `backend`, a model server's URL.

    It is ready after 7 to 40 s; its own environment is made by `scripts/setup litellm`.

    Args:
        models: other models than MODELS: name → `litellm_params`.
        deployments: how many equal ones each model has.
        settings: more `litellm_settings`.
    """
    if not LITELLM.exists():
        raise ProcessError("LiteLLM is not installed: run scripts/setup litellm")
    models = models or {
        name: {"model": model, "api_key": BACKEND_KEY, "api_base": backend + path}
        for name, (model, path) in MODELS.items()
    }
    config = {
        "model_list": [{"model_name": name, "litellm_params": params} for name, params in models.items()]
        * deployments,
        "litellm_settings": {"telemetry": False, "num_retries": 0, **(settings or {})},
        "general_settings": {"master_key": MASTER_KEY},
    }
    file = folder / "litellm.yaml"
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
    port = port or free_port()
    command: list[str | Path] = [LITELLM, "--config", file, "--host", "127.0.0.1", "--port", str(port)]
    # Nothing inherited that it could read as a key, a proxy or a setting.
    environment = {
        "PATH": f"{LITELLM.parent}:{os.defpath}",
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
        "LITELLM_LOG": "ERROR",
        "NO_DOCS": "True",
        "PYTHONUNBUFFERED": "1",
    }
    with running(
        command,
        name="LiteLLM",
        log=folder / "litellm.log",
        port=port,
        ready=_litellm_ready,
        env=environment,
        waiting=waiting,
    ) as process:
        yield process
