"""Other people's gateways in front of the same stub, each in an environment of its own.

LiteLLM's is made by `scripts/setup litellm`; the others are installed here, the
first time they are asked for: Node's below `.run/peers`, Python's below
`.venv-peers`. One that cannot be installed or started is left out.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench import programs
from bench.programs import Subject
from bench.work import CHAT, STREAM, Headers
from support.ports import free_port
from support.processes import LITELLM, MASTER_KEY, ROOT, ProcessError, accepts

NODE = ROOT / ".run" / "peers"
VENV = ROOT / ".venv-peers"
MODELS = ("plain", "sse-5-1", STREAM)
TLS_HOST = "127.0.0.88"
"""ai-ccproxy only talks to port 443 by TLS; this address keeps out of everybody's way."""


class CannotRunError(RuntimeError):
    """A peer cannot be installed or started here; its text says why."""


def _run(command: Sequence[str | Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True, timeout=600)
    if done.returncode:
        words = " ".join(Path(word).name for word in map(str, command[:3]))
        raise CannotRunError(f"`{words} …` failed: {(done.stderr or done.stdout).strip()[-300:]}")


def _npm(name: str, package: str, overrides: Mapping[str, str]) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise CannotRunError("npm is not installed")
    folder = NODE / name
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps({"private": True, "overrides": overrides}))
        _run([npm, "install", "--no-audit", "--no-fund", package], folder)
    return folder


def venv(name: str, *requirements: str) -> Path:
    """The interpreter of an environment below .venv-peers, made with pip if it is not there."""
    folder = VENV / name
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        _run([sys.executable, "-m", "venv", "--clear", folder], VENV)
        _run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], folder
        )
        (folder / "installed").touch()
    return python


def _environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing inherited that a gateway could read as a key, a proxy or a setting."""
    home.mkdir(parents=True, exist_ok=True)
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def _subject(
    name: str,
    folder: Path,
    command: Sequence[str | Path],
    port: int,
    env: dict[str, str],
    *,
    path: str = CHAT,
    headers: Headers = (),
    models: str = "",
) -> Iterator[Subject]:
    try:
        with programs.started(name, folder, command, port, ready=accepts, within=90, env=env) as process:
            yield Subject(name, port, (process.popen.pid,), path, headers, models, process.log)
    except ProcessError as e:
        raise CannotRunError(str(e)) from e


@contextmanager
def litellm(upstream: int, folder: Path) -> Iterator[Subject]:
    """One worker of LiteLLM's proxy."""
    if not LITELLM.exists():
        raise CannotRunError("not installed: scripts/setup litellm")
    home, port, api = folder / "litellm-home", free_port(), f"http://127.0.0.1:{upstream}/v1"
    env = _environment(home, LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR", NO_DOCS="True")
    env["PATH"] = f"{LITELLM.parent}{os.pathsep}{env['PATH']}"
    parameters = [{"model": f"openai/{model}", "api_key": "sk-backend", "api_base": api} for model in MODELS]
    models = zip(MODELS, parameters, strict=True)
    config = {
        "model_list": [{"model_name": model, "litellm_params": parameter} for model, parameter in models],
        "litellm_settings": {"telemetry": False, "num_retries": 0},
        "general_settings": {"master_key": MASTER_KEY},
    }
    (home / "config.yaml").write_text(json.dumps(config))
    command: list[str | Path] = [
        LITELLM,
        "--config",
        home / "config.yaml",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    headers = (("Authorization", f"Bearer {MASTER_KEY}"),)
    with _subject("LiteLLM", folder, command, port, env, headers=headers) as subject:
        yield subject


@contextmanager
def claude_code_router(upstream: int, folder: Path) -> Iterator[Subject]:
    """It translates from Claude's Messages API to the stub's chat completions."""
    installed = _npm("claude-code-router", "@musistudio/claude-code-router@2.0.0", {})
    home, port = folder / "ccr-home", free_port()
    api = f"http://127.0.0.1:{upstream}/v1/chat/completions"
    provider = {"name": "stub", "api_base_url": api, "api_key": "k", "models": [*MODELS]}
    config = {"PORT": port, "HOST": "127.0.0.1", "LOG": False, "Providers": [provider]}
    (home / ".claude-code-router").mkdir(parents=True, exist_ok=True)
    (home / ".claude-code-router" / "config.json").write_text(
        json.dumps(config | {"Router": {"default": f"stub,{MODELS[0]}"}})
    )
    command: list[str | Path] = [installed / "node_modules" / ".bin" / "ccr", "start"]
    env, path = _environment(home), "/v1/messages"
    with _subject("claude-code-router", folder, command, port, env, path=path, models="stub,") as subject:
        yield subject


@contextmanager
def portkey(upstream: int, folder: Path) -> Iterator[Subject]:
    """Portkey's gateway; the provider is named in each request's headers."""
    overrides = {"@hono/node-server": "1.13.5", "hono": "4.9.7"}
    installed = _npm("portkey", "@portkey-ai/gateway@1.15.2", overrides)
    port = free_port()
    script = installed / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    command: list[str | Path] = [str(shutil.which("node")), script, f"--port={port}", "--headless"]
    host = ("x-portkey-custom-host", f"http://127.0.0.1:{upstream}/v1")
    headers = (("x-portkey-provider", "openai"), host)
    env = _environment(folder / "portkey-home")
    with _subject("Portkey gateway", folder, command, port, env, headers=headers) as subject:
        yield subject


@contextmanager
def ccproxy(_: int, folder: Path) -> Iterator[Subject]:
    """ai-ccproxy, in front of a stub of its own that speaks TLS."""
    if os.geteuid():
        raise CannotRunError("needs root: it only talks to port 443")
    pins = ("pydantic-ai-slim[anthropic,google,openai]==1.99.0", "pydantic-graph==1.99.0")
    python = venv("ccproxy", "ai-ccproxy==2.0.0", *pins)
    home, port = folder / "ccproxy-home", free_port()
    env = _environment(home, CCPROXY_CONFIG_DIR=str(home), CCPROXY_VERIFY_READINESS_ON_STARTUP="false")
    rule = {"match_path": ".*", "action": "redirect", "dest_provider": "stub"}
    provider = {"host": TLS_HOST, "path": CHAT, "type": "openai", "auth": None}
    config = {
        "host": "127.0.0.1",
        "port": port,
        "inspector": {"port": free_port(), "cert_dir": str(home / "certificates"), "transforms": [rule]},
        "mcp": {"http": {"enabled": False}},
        "providers": {"stub": provider},
        "shaping": {"enabled": False},
    }
    (home / "ccproxy.yaml").write_text(json.dumps({"ccproxy": config}))
    pem = home / "stub.pem"
    command: list[str | Path] = [python.with_name("ccproxy"), "start"]
    _certify(pem)
    with (
        programs.stub("upstream", home, "--host", TLS_HOST, "--tls", str(pem), port=443),
        _subject("ai-ccproxy", folder, command, port, env) as subject,
    ):
        yield subject


def _certify(pem: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise CannotRunError("openssl is not installed")
    subject = ["-subj", f"/CN={TLS_HOST}", "-addext", f"subjectAltName=IP:{TLS_HOST}"]
    make = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    _run([*make, *subject, "-keyout", pem, "-out", pem.with_suffix(".crt")], pem.parent)
    pem.write_bytes(pem.read_bytes() + pem.with_suffix(".crt").read_bytes())


type Start = Callable[[int, Path], AbstractContextManager[Subject]]

ALL: dict[str, Start] = {
    "LiteLLM": litellm,
    "claude-code-router": claude_code_router,
    "Portkey gateway": portkey,
    "ai-ccproxy": ccproxy,
}
