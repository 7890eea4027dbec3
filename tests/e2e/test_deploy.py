"""What deploy/ says, run as far as that goes without a container: its install steps, its commands, its check.

The Dockerfile's steps run in a folder of the test, with its paths put there;
so does the unit's command line, under the two of its restrictions that a
process can put on itself.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from e2e.harness import Stub
from e2e.test_process import _run, _uv
from support.ports import free_port
from support.processes import ROOT, Process, accepts, running

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
UNIT = (ROOT / "deploy" / "litellm-hybrid.service").read_text(encoding="utf-8")
PREFIX = "/opt/litellm-hybrid"
CLIENT_KEY = "sk-client-key-of-the-test"
RESTRICTED = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 38, 65, 1
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
if libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    sys.exit(77)
os.umask(0o077)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""What NoNewPrivileges and MemoryDenyWriteExecute do, as far as a process can do it to itself (Linux 6.3)."""


def _instructions(name: str) -> list[str]:
    """The arguments of an instruction, each on one line."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [" ".join(words.split()) for words in re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)]


def _exec_form(instruction: str) -> list[str]:
    """The words of an instruction in JSON form; the last one in the file counts."""
    words: list[str] = json.loads(_instructions(instruction)[-1].partition("[")[2].join(["[", ""]))
    return words


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Dockerfile's first stage leaves, made by its own steps."""
    uv, folder = _uv(), tmp_path_factory.mktemp("image")
    prefix, source = folder / "prefix", folder / "src"
    source.mkdir()
    for copied in _instructions("COPY")[:2]:
        *names, _ = copied.split()
        _run(["cp", "-r", *(ROOT / name for name in names), source])
    given = dict(pair.split("=", 1) for pair in _instructions("ENV")[0].split())
    assert given.pop("UV_NO_CACHE") == "1"  # here the cache may be used
    assert given.pop("UV_PROJECT_ENVIRONMENT") == PREFIX
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS") or not name.startswith(("UV_", "VIRTUAL"))
    }
    environment |= given | {"UV_PROJECT_ENVIRONMENT": str(prefix), "UV_PYTHON": sys.executable}
    pip, *steps = _instructions("RUN")
    assert pip.startswith("pip install")  # of uv, which is here already
    for step in steps:
        program, *words = shlex.split(step)
        assert program == "uv"
        done = subprocess.run(
            [uv, *words],
            cwd=source,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        assert done.returncode == 0, done.stderr
    # The sources stay behind in the first stage.
    source.rename(folder / "gone")
    return prefix


def test_the_image_holds_what_serves_and_nothing_else(installed: Path) -> None:
    listed = _run([_uv(), "pip", "list", "--format", "json", "--python", installed / "bin" / "python"]).stdout
    packages = {entry["name"]: entry for entry in json.loads(listed)}
    assert {"litellm-hybrid", "mitmproxy", "msgspec", "prometheus-client"} <= set(packages)
    assert not {"pytest", "mypy", "ruff", "hypothesis", "playwright", "openai", "litellm"} & set(packages)
    assert "editable_project_location" not in packages["litellm-hybrid"]
    assert _run([installed / "bin" / "litellm-hybrid", "--version"]).stdout.startswith("litellm-hybrid ")


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Stub, Stub]]:
    """CLIProxyAPI and LiteLLM."""
    async with Stub() as upstream, Stub() as litellm:
        yield upstream, litellm


def _config(folder: Path, upstream: Stub, litellm: Stub, port: int) -> Path:
    """The compose file's configuration, with this machine's addresses in the place of the network's."""
    text = (ROOT / "deploy" / "compose.config.yaml").read_text(encoding="utf-8")
    for name, here in (
        ("http://cli-proxy-api:8317", upstream.url),
        ("http://litellm:4000", litellm.url),
        ("0.0.0.0:8318", f"127.0.0.1:{port}"),
    ):
        assert text.count(name) == 1
        text = text.replace(name, here)
    file = folder / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@contextmanager
def _serving(command: list[str], folder: Path, port: int) -> Iterator[Process]:
    """A command as a container or a unit starts it: with a home and the keys, and nothing else."""
    home = folder / "home"
    home.mkdir()
    environment = {
        "PATH": os.defpath,
        "HOME": str(home),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LITELLM_API_KEY": "sk-litellm-key-of-the-test",
        "HYBRID_CLIENT_KEY": CLIENT_KEY,
    }
    log = folder / "serve.log"
    with running(command, name="serve", log=log, port=port, ready=accepts, env=environment) as process:
        yield process


async def _post(process: Process, model: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=60) as client:
        headers = {"Authorization": f"Bearer {CLIENT_KEY}"}
        return await client.post("/v1/chat/completions", json={"model": model}, headers=headers)


async def test_the_images_command_serves_and_its_check_tells(
    installed: Path, servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    upstream, litellm = servers
    port = free_port()
    config = _config(tmp_path, upstream, litellm, port)
    words = _exec_form("ENTRYPOINT") + _exec_form("CMD")
    assert words == ["litellm-hybrid", "serve", "--config", "/etc/litellm-hybrid/config.yaml"]
    command = [str(installed / "bin" / words[0]), *words[1:3], str(config)]
    check = [word.replace(":8318/", f":{port}/") for word in _exec_form("HEALTHCHECK")]
    check[0] = str(installed / "bin" / check[0])

    def is_healthy() -> bool:
        # A proxy in the environment is not asked about our own machine.
        environment = {"http_proxy": "http://127.0.0.1:9"}
        done = subprocess.run(check, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode in (0, 1)
        assert done.returncode == 0 or "HTTP Error 503" in done.stderr or "refused" in done.stderr
        return done.returncode == 0

    assert not is_healthy()
    with _serving(command, tmp_path, port) as process:
        assert is_healthy()
        assert (await _post(process, "gpt-4.1")).headers["x-hybrid-route"].startswith("litellm; reason=model")
        assert (await _post(process, "o3")).headers["x-hybrid-route"] == "upstream; reason=not-listed"
        assert litellm.last.values("authorization") == ["Bearer sk-litellm-key-of-the-test"]

        await upstream.stop()
        assert (await _post(process, "o3")).status_code == 502
        assert not is_healthy()
        async with Stub(port=upstream.port):
            assert (await _post(process, "o3")).status_code == 200
            assert is_healthy()

        assert process.stop() == 0
        entries = [json.loads(line) for line in process.output().splitlines()]
    assert entries[-1]["event"] == "ended"


def _need_restrictions() -> None:
    probe = subprocess.run([sys.executable, "-c", RESTRICTED, "/bin/true"], check=False)
    if probe.returncode == 77:
        pytest.skip("the kernel is older than 6.3: a process cannot deny itself writable code")


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_the_units_command_serves_under_its_restrictions(
    installed: Path, servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    """NoNewPrivileges, MemoryDenyWriteExecute and UMask; the others need a systemd that runs."""
    _need_restrictions()
    upstream, litellm = servers
    port = free_port()
    config = _config(tmp_path, upstream, litellm, port)
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT, re.MULTILINE)
    command = [
        word.replace(PREFIX, str(installed)).replace("/etc/litellm-hybrid/config.yaml", str(config))
        for word in shlex.split(line)
    ]
    assert command[0].startswith(str(installed))

    with _serving([sys.executable, "-c", RESTRICTED, *command], tmp_path, port) as process:
        for _ in range(2):
            assert (await _post(process, "gpt-4.1")).status_code == 200
            assert (await _post(process, "o3")).status_code == 200
        assert process.stop() == 0
    assert "Traceback" not in process.output()
    # All that it has written is below its home.
    assert _names(tmp_path) == {"home", "config.yaml", "serve.log"}


async def test_the_unit_survives_two_workers_being_told_to_end(
    installed: Path, servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    """KillMode=mixed: the signal goes to the main process alone, which tells its workers."""
    upstream, litellm = servers
    port = free_port()
    config = _config(tmp_path, upstream, litellm, port)
    command = [str(installed / "bin" / "litellm-hybrid"), "serve", "--config", str(config), "--workers", "2"]
    with _serving(command, tmp_path, port) as process:
        assert (await _post(process, "o3")).status_code == 200
        process.wait_for('"serving"')
        process.popen.terminate()
        assert process.popen.wait(60) == 0
