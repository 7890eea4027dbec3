"""The files in deploy/, each checked by a tool of its own kind; tests/e2e/test_deploy.py runs what can be run."""

import configparser
import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from litellm_hybrid.config import parser as config
from litellm_hybrid.config.converters import parse_duration
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.check_models import KnownModels
from litellm_hybrid.routing.rules import name_for_litellm
from support.cliproxyapi import CLIProxyAPI
from support.ports import free_port
from support.servers import Reply, Server, in_thread
from support.wire import Request

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
UNIT = DEPLOY / "litellm-hybrid.service"
ENVIRONMENT = {
    "HYBRID_CLIENT_KEY": "sk-client",
    "LITELLM_API_KEY": "sk-litellm",
    "LITELLM_MASTER_KEY": "sk-master",
    "DATABASE_PASSWORD": "of-the-database",
    "OPENAI_API_KEY": "sk-openai",
    "ANTHROPIC_API_KEY": "sk-anthropic",
    "GEMINI_API_KEY": "sk-gemini",
    "CLIPROXYAPI_CONFIG": "/srv/cliproxyapi/config.yaml",
    "CLIPROXYAPI_AUTHS": "/srv/cliproxyapi/auths",
}
BILLED = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
"""Any of them will do."""

EXPOSURE = 1.5
"""The most that `systemd-analyze security` may find, of 10."""


def _run(
    *command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: {package})")
    return found


def _settings() -> Settings:
    text = (DEPLOY / "compose.config.yaml").read_text(encoding="utf-8")
    return config.parse(text, source="compose.config.yaml", env=ENVIRONMENT).settings


# -- the image ----------------------------------------------------------------------


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not in this environment: it is in the development dependencies")
    done = _run(hadolint, "--failure-threshold", "style", DEPLOY / "Dockerfile")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_image_is_pinned_and_runs_as_nobody() -> None:
    assert re.search(r"^ARG PYTHON=3\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:${PYTHON}"}
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    (user,) = re.findall(r"^USER (\d+):(\d+)$", final, re.MULTILINE)
    assert all(int(number) >= 10000 for number in user)
    assert not re.search(r"^RUN ", final, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", final, re.MULTILINE)


def test_the_image_is_built_with_the_uv_of_the_checkout() -> None:
    (ours,) = re.findall(r"^uv_version=(\S+)$", (ROOT / "scripts" / "setup").read_text(), re.MULTILINE)
    assert re.findall(r"\buv==(\S+)", DOCKERFILE) == [ours]


def test_only_what_the_image_copies_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    ignored = [line for line in lines if line and not line.startswith("#")]
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == {
        name for names in copied for name in names.split()
    }


# -- compose --------------------------------------------------------------------------


@functools.cache
def _services() -> dict[str, Any]:
    """The services as docker-compose reads them, or PyYAML where it is not installed."""
    file = DEPLOY / "compose.yaml"
    if shutil.which("docker-compose") is None:
        found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
        return found
    done = _run("docker-compose", "-f", file, "config", cwd=DEPLOY, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return services


def test_docker_compose_takes_it() -> None:
    """Debian's docker-compose 1.29: its schema, interpolation and references; no daemon is asked."""
    _tool("docker-compose", "docker-compose")
    services = _services()
    assert set(services) == {"litellm-hybrid", "cli-proxy-api", "litellm", "litellm-key", "database"}
    assert services["litellm-hybrid"]["environment"] == {
        name: ENVIRONMENT[name] for name in ("HYBRID_CLIENT_KEY", "LITELLM_API_KEY")
    }


@pytest.mark.parametrize("missing", [name for name in ENVIRONMENT if name not in BILLED])
def test_a_missing_secret_is_said(missing: str) -> None:
    _tool("docker-compose", "docker-compose")
    env = {name: value for name, value in ENVIRONMENT.items() if name != missing}
    done = _run("docker-compose", "-f", DEPLOY / "compose.yaml", "config", cwd=DEPLOY, env=env)
    assert done.returncode == 1
    assert "set it in .env" in done.stderr
    assert missing in done.stderr


def test_the_example_names_every_variable() -> None:
    used = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    example = (DEPLOY / "compose.env.example").read_text()
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    assert named - {"COMPOSE_PROJECT_NAME"} == used
    # None of them has a value that somebody could leave there.
    assert set(re.findall(r"^([A-Z_]+)=$", example, re.MULTILINE)) == set(ENVIRONMENT)


def test_only_ours_can_be_reached_and_only_from_this_machine() -> None:
    services = _services()
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    (port,) = published.pop("litellm-hybrid")
    text = port if isinstance(port, str) else json.dumps(port)
    assert "127.0.0.1" in text
    assert not published
    assert not any("network_mode" in service for service in services.values())


def test_every_container_is_confined_and_ours_most() -> None:
    services = _services()
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
    ours = services["litellm-hybrid"]
    assert ours["read_only"] is True
    assert "cap_add" not in ours
    assert all("docker.sock" not in str(service.get("volumes", "")) for service in services.values())


def test_ours_waits_for_the_others_to_be_healthy() -> None:
    services = _services()
    assert services["litellm-hybrid"]["depends_on"] == {
        "cli-proxy-api": {"condition": "service_healthy"},
        "litellm": {"condition": "service_healthy"},
        "litellm-key": {"condition": "service_completed_successfully"},
    }
    assert services["litellm-key"]["depends_on"] == {"litellm": {"condition": "service_healthy"}}
    assert services["litellm"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name in ("cli-proxy-api", "litellm", "database"):
        assert services[name]["healthcheck"]["test"][0] == "CMD", name


def test_cliproxyapis_check_needs_bash_alone() -> None:
    """Its image has neither wget nor curl; what it asks is answered by CLIProxyAPI only."""
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["cli-proxy-api"]
    kind, *command = service["healthcheck"]["test"]
    assert (kind, command[0]) == ("CMD", "bash")

    def is_healthy(port: int) -> bool:
        script = command[-1].replace("$$", "$").replace("/8317 ", f"/{port} ")
        assert script != command[-1]
        return _run(shutil.which("bash") or "bash", *command[1:-1], script, env={"PATH": ""}).returncode == 0

    with in_thread(CLIProxyAPI()) as running:
        assert is_healthy(running.port)
    assert not is_healthy(free_port())


def test_the_configuration_fits_the_other_files() -> None:
    settings, services = _settings(), _services()
    port = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert settings.listen == ("0.0.0.0", int(port[0]))  # noqa: S104 (all addresses of the container)
    assert f"127.0.0.1:{port[0]}/_hybrid/health" in DOCKERFILE
    assert settings.base_url is not None
    assert {settings.upstream.host, settings.base_url.host} == {"cli-proxy-api", "litellm"}
    # Beyond loopback it starts only because of these.
    assert [key.value for key in settings.client_keys] == [ENVIRONMENT["HYBRID_CLIENT_KEY"]]
    assert not settings.listen_without_keys
    assert parse_duration(services["litellm-hybrid"]["stop_grace_period"]) > settings.grace_period
    mounted = [str(volume) for volume in services["litellm-hybrid"]["volumes"]]
    assert any(
        "compose.config.yaml" in volume and "/etc/litellm-hybrid/config.yaml" in volume for volume in mounted
    )
    assert '"/etc/litellm-hybrid/config.yaml"' in DOCKERFILE


def test_litellm_knows_the_models_that_are_routed_or_fall_back() -> None:
    litellm = yaml.safe_load((DEPLOY / "compose.litellm.yaml").read_text())
    known = {model["model_name"] for model in litellm["model_list"]}
    settings = _settings()
    assert set(settings.models.entries) <= known
    # Each that may fall back, by the names of which CLIProxyAPI's catalogue is full.
    assert set(settings.fallback.models.entries) <= known
    upstream = ("gpt-5.5", "claude-sonnet-4-5-20250929", "gemini-2.5-pro", "grok-4.3")
    covered = [name for name in upstream if settings.fallback.covers(name)]
    assert covered == list(upstream[:3])
    assert all(name_for_litellm(settings, name, None) in KnownModels(known) for name in covered)
    wanted = {f"os.environ/{name}" for name in BILLED}
    assert {model["litellm_params"]["api_key"] for model in litellm["model_list"]} == wanted
    assert set(BILLED) <= set(_services()["litellm"]["environment"])
    assert litellm["general_settings"]["master_key"] == "os.environ/LITELLM_MASTER_KEY"
    assert set(_services()["litellm-key"]["environment"]["LITELLM_MODELS"].split()) == known


def test_only_litellm_and_the_step_that_makes_keys_have_the_master_key() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    holders = {name for name, service in services.items() if "LITELLM_MASTER_KEY" in json.dumps(service)}
    assert holders == {"litellm", "litellm-key"}
    assert services["litellm"]["environment"]["LITELLM_MASTER_KEY"].startswith("${LITELLM_MASTER_KEY:")


@pytest.mark.parametrize("there", [False, True])
def test_the_key_is_made_once_and_good_for_models_alone(there: bool) -> None:
    asked: list[tuple[str, str, str | None, bytes]] = []

    async def litellm(request: Request, reply: Reply) -> None:
        asked.append((request.method, request.target, request.header("authorization"), request.body))
        await reply.json(404 if request.method == "GET" and not there else 200, {})

    step = _services()["litellm-key"]
    environment = {**step["environment"], "LITELLM_MASTER_KEY": "sk-master", "LITELLM_API_KEY": "sk-litellm"}
    program: tuple[str | Path, ...] = (sys.executable, DEPLOY / "compose.key.py")
    with in_thread(Server(litellm)) as server:
        done = _run(*program, env=environment | {"LITELLM_URL": server.url})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {authorization for _, _, authorization, _ in asked} == {"Bearer sk-master"}
    first, *then = asked
    assert first[:2] == ("GET", "/key/info?key=sk-litellm")
    assert [one[:2] for one in then] == ([] if there else [("POST", "/key/generate")])
    if then:
        models = step["environment"]["LITELLM_MODELS"].split()
        assert json.loads(then[0][3]) == {"key": "sk-litellm", "key_type": "llm_api", "models": models}
    gone = _run(*program, env=environment | {"LITELLM_URL": f"http://127.0.0.1:{free_port()}"})
    assert gone.returncode == 1
    assert "LiteLLM did not make the key" in gone.stderr


# -- systemd ----------------------------------------------------------------------------


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there: `verify` looks for it."""
    copy = tmp_path / UNIT.name
    program = Path(sys.executable).with_name("litellm-hybrid")
    copy.write_text(UNIT.read_text().replace("/opt/litellm-hybrid/bin/litellm-hybrid", str(program)))
    return copy


def test_systemd_takes_the_unit(unit: Path) -> None:
    done = _run(_tool("systemd-analyze", "systemd"), "verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_hardened(unit: Path) -> None:
    analyze = _tool("systemd-analyze", "systemd")
    done = _run(analyze, "security", "--no-pager", "--offline=yes", f"--threshold={EXPOSURE * 10:.0f}", unit)
    assert done.returncode == 0, done.stdout


def test_the_unit_fits_the_configuration() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    service = parser["Service"]
    assert float(service["TimeoutStopSec"]) > Settings().grace_period
    assert (service["KillMode"], service["KillSignal"]) == ("mixed", "SIGTERM")
    assert service["Restart"] == "on-failure"


# -- what may not be in any of them ------------------------------------------------------


@pytest.mark.parametrize("file", sorted(DEPLOY.iterdir()), ids=lambda file: file.name)
def test_no_secret_is_written_down(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"\bsk-[A-Za-z0-9]{8,}", text)
    assert not re.search(r"(?i)(password|secret|token)\s*[:=]\s*['\"]?[a-z0-9]{6,}", text)
