"""The real thing: `mitmdump -s`, from the checkout and from an installed wheel."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest

from e2e.harness import LITELLM_502, Stub
from litellm_hybrid import addon
from support.ports import free_port
from support.processes import MASTER_KEY, ROOT, SCRIPT, accepts, hybrid_config, mitmdump, running
from support.servers import in_thread

CLIENT_KEY = "client-secret-4711"


def _ask(url: str, model: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {CLIENT_KEY}", "x-api-key": CLIENT_KEY}
    with httpx.Client(trust_env=False, timeout=60) as client:
        target = f"{url}/v1/chat/completions?key={CLIENT_KEY}"
        return client.post(target, json={"model": model}, headers=headers)


@pytest.mark.parametrize(
    "options", [(), ("-q",), ("-v", "--set", "flow_detail=4")], ids=["", "quiet", "verbose"]
)
def test_it_routes_and_logs_without_secrets(
    options: tuple[str, ...], servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    """Our lines stay with `-q`; no key is in the output, however much of it there is."""
    upstream, litellm = servers
    with mitmdump(hybrid_config(litellm.url), upstream.url, tmp_path, *options) as process:
        assert _ask(process.url, "gpt-5").headers["x-hybrid-route"] == "litellm; reason=model; model=gpt-5"
        assert _ask(process.url, "o3").headers["x-hybrid-route"] == "upstream; reason=not-listed"
        output = process.wait_for("upstream 200 POST /v1/chat/completions")

    assert f"LiteLLM routing enabled for: {litellm.url}" in output
    assert "litellm routing: gpt-5 → LiteLLM" in output
    assert litellm.last.values("authorization") == [f"Bearer {MASTER_KEY}"]
    assert upstream.last.values("authorization") == [f"Bearer {CLIENT_KEY}"]
    assert MASTER_KEY not in output
    if "flow_detail=4" not in options:  # which someone has asked for
        assert CLIENT_KEY not in output


def _start(config: object, folder: Path, **env: str) -> tuple[int, str]:
    """Start a mitmdump that is expected to refuse; its code and output."""
    file = folder / "config.yaml"
    file.write_text(json.dumps(config))
    command: list[str | Path] = [Path(sys.executable).with_name("mitmdump"), "-s", SCRIPT]
    options = [f"litellm_config={file}", f"confdir={folder}"]
    mode = ["--mode", f"reverse:http://127.0.0.1:1@127.0.0.1:{free_port()}"]
    done = subprocess.run(
        [*command, *mode, *(word for option in options for word in ("--set", option))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | env,
    )
    return done.returncode, done.stdout


def test_a_wrong_file_ends_it(tmp_path: Path) -> None:
    code, output = _start(hybrid_config("http://127.0.0.1:4000", modles=["x"]), tmp_path)

    assert code == 1
    assert re.search(
        r"config\.yaml:\d+: extensions\.litellm\.modles: unknown key; did you mean `models`", output
    )
    assert "Traceback" not in output


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent("""
            import sys

            class Missing:
                def find_spec(self, name, path=None, target=None):
                    if name == "yaml":
                        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

            sys.meta_path.insert(0, Missing())
        """)
    )

    code, output = _start({}, tmp_path, PYTHONPATH=str(tmp_path))

    assert code == 1
    (line,) = [line for line in output.splitlines() if "missing" in line]
    assert f"the module yaml is missing in {sys.executable}" in line
    assert "pipx inject mitmproxy PyYAML" in line
    assert "Traceback" not in output


_STAND_IN = f"""#!/bin/sh
case "$1 $2" in
    "--version ") exit 0 ;;
    "python find") echo {sys.executable}; exit 0 ;;
esac
echo "$1 $2 certs=$UV_SYSTEM_CERTS native=$UV_NATIVE_TLS venv=${{VIRTUAL_ENV-}}" >>"$UV_SEEN"
mkdir -p .venv .venv-litellm .venv-oldest
"""


@pytest.mark.parametrize("what", ["", "litellm", "oldest"])
@pytest.mark.parametrize(
    ("given", "used"), [({}, "1"), ({"UV_SYSTEM_CERTS": "0", "UV_NATIVE_TLS": "0"}, "0")]
)
def test_setup_trusts_what_the_machine_trusts(
    what: str, given: dict[str, str], used: str, tmp_path: Path
) -> None:
    """Behind a company's proxy the index is known by its certificate alone; somebody's own setting stays."""
    for name in (
        "scripts/setup",
        "pyproject.toml",
        "uv.lock",
        "tests/litellm/requirements.txt",
        "tests/support/oldest.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (uv := tmp_path / "bin" / "uv").parent.mkdir()
    uv.write_text(_STAND_IN)
    uv.chmod(0o755)
    seen = tmp_path / "seen"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UV_")}
    path = f"{uv.parent}{os.pathsep}{os.environ['PATH']}"
    environment = kept | {"PATH": path, "UV_SEEN": str(seen), "VIRTUAL_ENV": "/another"} | given
    command = [str(tmp_path / "scripts" / "setup"), *([what] if what else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=110)

    assert done.returncode == 0, done.stderr
    calls = seen.read_text().splitlines()
    assert any(call.startswith(("sync", "pip sync")) for call in calls)
    assert {call.partition("certs=")[2] for call in calls} == {f"{used} native={used} venv="}


def _uv() -> str:
    local = ROOT / ".tools" / "bin" / "uv"
    # A pyenv shim may run in one folder and fail in another; where it did, scripts/setup has made its own.
    for uv in (str(local), shutil.which("uv")):
        if uv and shutil.which(uv) and _run([uv, "--version"], check=False).returncode == 0:
            return uv
    pytest.skip("there is no uv on PATH; scripts/setup puts one into .tools where that is so")


def _run(command: list[str | Path], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False, timeout=110)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel, and the versions of this environment as constraints: nothing is looked up anew."""
    uv, folder = _uv(), tmp_path_factory.mktemp("wheel")
    _run([uv, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", folder, ROOT])
    (wheel,) = folder.glob("*.whl")
    pins = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={v}\n" for name, v in pins.items() if name != "litellm-hybrid"))
    return wheel, constraints


@pytest.fixture(scope="module")
def tool(wheel: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that `uv tool install` leaves on the PATH."""
    folder = tmp_path_factory.mktemp("tool")
    own = os.environ | {"UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    command = [_uv(), "tool", "install", "--quiet", "--python", sys.executable, "--constraints"]
    done = subprocess.run(
        [*command, wheel[1], wheel[0]], env=own, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr
    (program,) = (folder / "bin").iterdir()
    return program


@pytest.fixture(scope="module")
def installed(wheel: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, and none of the checkout."""
    uv, venv = _uv(), tmp_path_factory.mktemp("installed") / "venv"
    _run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, venv])
    python = venv / "bin" / "python"
    _run([uv, "pip", "install", "--quiet", "--python", python, "--constraint", wheel[1], wheel[0]])
    return venv


def test_from_an_installed_wheel(installed: Path, servers: tuple[Stub, Stub], tmp_path: Path) -> None:
    """`mitmdump -s "$(litellm-hybrid script)"`, outside the checkout."""
    upstream, litellm = servers
    script = Path(_run([installed / "bin" / "litellm-hybrid", "script"]).stdout.strip())
    assert script.name == "hybrid.py"
    assert installed in script.parents
    environment = {name: value for name, value in os.environ.items() if name == "PATH"} | {"PYTHONPATH": ""}

    with mitmdump(
        hybrid_config(litellm.url),
        upstream.url,
        tmp_path,
        script=script,
        program=installed / "bin" / "mitmdump",
        env=environment,
    ) as process:
        assert _ask(process.url, "gpt-5").headers["x-hybrid-route"] == "litellm; reason=model; model=gpt-5"
        assert _ask(process.url, "o3").headers["x-hybrid-route"] == "upstream; reason=not-listed"


def test_the_commands_of_an_installed_wheel(installed: Path, tmp_path: Path) -> None:
    """check, explain and migrate, on a file of the fork's and on what migrate made of it."""
    program, flat, migrated = (
        installed / "bin" / "litellm-hybrid",
        tmp_path / "flat.yaml",
        tmp_path / "new.yaml",
    )
    settings = "litellm-hybrid-mode: true\nlitellm-base-url: http://127.0.0.1:4000\nlitellm-models: [gpt-5]\n"
    flat.write_text(f"port: 8316 # moved\n{settings}")

    migrated.write_text(_run([program, "migrate", flat]).stdout)

    assert migrated.read_text().startswith("port: 8316 # moved\nextensions:\n  litellm:\n    enabled: true\n")
    for file in (flat, migrated):
        assert "routing: the listed models to http://127.0.0.1:4000" in _run([program, "check", file]).stdout
        explained = json.loads(_run([program, "explain", "gpt-5", "--json", "--config", file]).stdout)
        assert (explained["target"], explained["reason"]) == ("litellm", "model")
    flat.write_text("litellm-modles: [gpt-5]\n")
    for command in ("check", "migrate"):
        wrong = _run([program, command, flat], check=False)
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert wrong.stderr == f"{flat}:1: litellm-modles: unknown key; did you mean `litellm-models`?\n"


def test_the_wheel_holds_the_package_and_the_script_alone(installed: Path) -> None:
    code = "import litellm_hybrid; print(litellm_hybrid.__path__[0])"
    package = Path(_run([installed / "bin" / "python", "-c", code]).stdout.strip())
    here = Path(addon.__file__).parent

    assert {file.name for file in here.glob("*.py")} == {file.name for file in package.glob("*.py")}
    assert (package / "script" / "hybrid.py").read_text() == (here.parent / "hybrid.py").read_text()
    assert (package / "py.typed").exists()
    example = _run([installed / "bin" / "litellm-hybrid", "init", "--example"]).stdout
    assert example == (ROOT / "config.example.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [("serve",), ("dump",), ("web", "--no-web-open-browser", "--web-port")])
def test_uv_tool_install_is_all_that_is_needed(
    command: tuple[str, ...], tool: Path, servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    """As `pipx install`: one program, in an environment of its own, with mitmproxy's tools inside."""
    upstream, litellm = servers
    file = tmp_path / "own.yaml"
    own: dict[str, object] = {"upstream-url": upstream.url, "base-url": litellm.url, "api-key": MASTER_KEY}
    port = free_port()
    own |= {"enabled": True, "models": ["gpt-5"], "listen": f"127.0.0.1:{port}"}
    file.write_text(json.dumps({"extensions": {"litellm": own}}))
    name, *options = command
    if name == "web":
        options.append(str(free_port()))
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    whole: list[str | Path] = [tool, name, "-c", file, *options]
    log = tmp_path / "log"
    with running(whole, name=name, log=log, port=port, ready=accepts, env=environment) as process:
        assert _ask(process.url, "gpt-5").headers["x-hybrid-route"] == "litellm; reason=model; model=gpt-5"
        assert _ask(process.url, "o3").headers["x-hybrid-route"] == "upstream; reason=not-listed"


def test_scripts_run_takes_cliproxyapis_address_from_its_file(
    servers: tuple[Stub, Stub], tmp_path: Path
) -> None:
    """Host, port and tls, as `serve` does; scripts/web starts the same with mitmweb."""
    upstream, litellm = servers
    port = free_port()
    keys = {"base-url": litellm.url, "api-key": MASTER_KEY, "listen": f"127.0.0.1:{port}"}
    theirs = {"host": "127.0.0.1", "port": upstream.port, "tls": {"enable": False}}
    (tmp_path / "config.yaml").write_text(json.dumps(theirs | {"extensions": {"litellm": keys}}))
    own = {name: value for name, value in os.environ.items() if not name.startswith("HYBRID_")}
    whole = [ROOT / "scripts" / "run"]
    with running(
        whole, name="run", log=tmp_path / "log", port=port, ready=accepts, env=own | {"HOME": str(tmp_path)}
    ) as process:
        assert _ask(process.url, "o3").status_code == 200
        assert len(upstream.requests) == 1


def test_litellm_comes_and_goes(tmp_path: Path) -> None:
    """A keep-alive client of a real process, with LiteLLM stopped and started again."""
    upstream, litellm = Stub(), Stub()
    with in_thread(upstream), httpx.Client(trust_env=False, timeout=60) as client:
        with in_thread(litellm):
            config = hybrid_config(litellm.url)
        with mitmdump(config, upstream.url, tmp_path) as process:
            url = f"{process.url}/v1/chat/completions"
            stopped = client.post(url, json={"model": "gpt-5"})
            with in_thread(Stub(port=litellm.port)):
                started = client.post(url, json={"model": "gpt-5"})
            output = process.wait_for("error_type=network_error")

    assert (stopped.status_code, stopped.content) == (502, LITELLM_502)
    assert started.status_code == 200
    assert "litellm proxy error for POST /v1/chat/completions: " in output
