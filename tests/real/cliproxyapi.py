"""A real CLIProxyAPI on loopback, with a configuration of its own in front of scripted providers."""

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from real.apis import CLIENT_KEY
from support.ports import free_port
from support.processes import ROOT, Process, accepts, running
from support.servers import Server

MANAGEMENT_KEY = "key-of-the-management"
NOWHERE = "http://127.0.0.1:1"
YEAR = 365 * 86400

SECTIONS = {
    "anthropic": ("claude-api-key", "/anthropic", "sk-ant-of-the-tests"),
    "codex": ("codex-api-key", "/codex", "sk-codex-of-the-tests"),
    "gemini": ("gemini-api-key", "/gemini", "AIza-of-the-tests"),
    "openai-compatible": ("openai-compatibility", "/compat", "sk-compat-of-the-tests"),
}
"""Provider → section of config.yaml, path at the scripted providers, key."""

CHANNELS = {
    "anthropic": "claude",
    "codex": "codex",
    "antigravity": "antigravity",
    "xai": "xai",
    "kimi": "kimi",
}
"""Provider → its name in `oauth-model-alias`, for subscriptions."""

SUBSCRIBED = {
    "anthropic": ("claude-sonnet-4-5-20250929",),
    "codex": ("gpt-5.5",),
    "antigravity": ("gemini-3-flash", "claude-sonnet-4-6"),
    "xai": ("grok-4.3",),
    "kimi": ("kimi-k2.5",),
}
"""Provider → models that CLIProxyAPI's catalogue has for its subscriptions; any other is an alias of the first."""

type Models = Mapping[str, Sequence[str]]
"""Provider → the models that clients may ask it for."""


@dataclass(frozen=True, slots=True)
class CLIProxyAPI:
    """One that serves."""

    process: Process
    folder: Path
    version: str

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self.process.port

    @property
    def config(self) -> Path:
        """Its config.yaml."""
        return self.folder / "config.yaml"

    @property
    def auth_dir(self) -> Path:
        """Where its accounts are."""
        return self.folder / "auth"


@cache
def version_of(binary: Path) -> str:
    """Its version, as its usage or its name tells it."""
    shown = subprocess.run(
        [binary, "-h"], capture_output=True, text=True, errors="replace", timeout=30, check=False
    )
    said = re.search(r"Version: (v?\d[\w.-]*)", shown.stdout + shown.stderr)
    named = re.search(r"v?\d+\.\d+\.\d+\S*$", binary.name)
    found = said or named
    return f"v{found[found.lastindex or 0].removeprefix('v')}" if found else binary.name


def settings(
    port: int, auth_dir: Path, providers: str, models: Models, extra: Mapping[str, object]
) -> dict[str, object]:
    """A config.yaml: providers by key, no retries, cooling off; `extra` replaces top-level keys."""
    config: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "auth-dir": str(auth_dir),
        "api-keys": [CLIENT_KEY],
        "request-retry": 0,
        "max-retry-interval": 0,
        "disable-cooling": True,
        "remote-management": {"secret-key": MANAGEMENT_KEY, "disable-control-panel": True},
    }
    for provider, (section, path, key) in SECTIONS.items():
        listed = [{"name": model, "alias": model} for model in models.get(provider, ())]
        entry: dict[str, object] = {"base-url": providers + path, "models": listed}
        if provider == "openai-compatible":
            entry |= {"name": "scripted", "api-key-entries": [{"api-key": key}]}
        else:
            entry["api-key"] = key
        if listed:
            config[section] = [entry]
    return config | dict(extra)


def with_entry(config: dict[str, object], entry: Mapping[str, object] | None) -> dict[str, object]:
    """The configuration with one more entry of `openai-compatibility`."""
    if entry is None:
        return config
    known = config.get("openai-compatibility")
    return config | {"openai-compatibility": [*(known if isinstance(known, list) else ()), entry]}


@contextmanager
def cliproxyapi(
    binary: Path,
    providers: Server,
    models: Models,
    folder: Path,
    *,
    extra: Mapping[str, object] | None = None,
    subscriptions: "ForwardProxy | None" = None,
    fallback: Mapping[str, object] | None = None,
    port: int = 0,
) -> Iterator[CLIProxyAPI]:
    """Run one.

    Args:
        folder: for its files; made if it is not there.
        extra: top-level keys of its config.yaml.
        fallback: one more entry of its `openai-compatibility`.
        subscriptions: accounts in auth files instead of keys, asked through this proxy.
        port: a fixed one to start again where one has stopped.
    """
    folder.mkdir(exist_ok=True)
    auth_dir = folder / "auth"
    auth_dir.mkdir(exist_ok=True)
    port = port or free_port()
    keys = dict(extra or {})
    # Nothing leaves this machine: what it looks up by itself finds no proxy. It lives for seconds: no need to
    # collect garbage, which takes a fifth of its time.
    environment = {"PATH": os.defpath, "HOME": str(folder), "HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE}
    environment["GOGC"] = "off"
    if subscriptions is not None:
        aliases = {
            CHANNELS[provider]: [
                {"name": SUBSCRIBED[provider][0], "alias": alias, "fork": True}
                for alias in listed
                if alias not in SUBSCRIBED[provider]
            ]
            for provider, listed in models.items()
        }
        every = accounts()
        for name in (f"{CHANNELS[provider]}.json" for provider in models):
            (auth_dir / name).write_text(json.dumps(every[name]), encoding="utf-8")
        keys = {"proxy-url": subscriptions.url, "oauth-model-alias": aliases, **keys}
        # Some of its own look-ups know nothing of `proxy-url`.
        environment |= {"HTTPS_PROXY": subscriptions.url, "HTTP_PROXY": subscriptions.url}
        environment["SSL_CERT_FILE"] = str(subscriptions.certificate)
    by_key = {} if subscriptions else models
    config = with_entry(settings(port, auth_dir, providers.url, by_key, keys), fallback)
    with _started(binary, config, folder, port, environment, models) as started:
        yield started


@contextmanager
def _started(
    binary: Path,
    config: Mapping[str, object],
    folder: Path,
    port: int,
    environment: Mapping[str, str],
    models: Models,
) -> Iterator[CLIProxyAPI]:
    # JSON is YAML.
    (folder / "config.yaml").write_text(json.dumps(config, indent=1), encoding="utf-8")
    wanted = {listed[0] for listed in models.values() if listed}
    with running(
        [binary.resolve(), "-local-model", "-config", "config.yaml"],
        name="CLIProxyAPI",
        log=folder / "cliproxyapi.log",
        port=port,
        ready=lambda port: wanted <= set(listed_models(port)),
        within=40,
        env=environment,
    ) as process:
        yield CLIProxyAPI(process, folder, version_of(binary))


def listed_models(port: int) -> list[str]:
    """What `GET /v1/models` lists; nothing while it does not serve."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {CLIENT_KEY}"})
        return [model["id"] for model in json.loads(connection.getresponse().read())["data"]]
    except (OSError, HTTPException, ValueError, KeyError):
        return []
    finally:
        connection.close()


# -- subscriptions ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ForwardProxy:
    """A proxy that answers for the providers' own hosts, and the file with its CA."""

    url: str
    certificate: Path


@contextmanager
def forward_proxy(providers: Server, folder: Path) -> Iterator[ForwardProxy]:
    """Run one."""
    port = free_port()
    confdir = folder / "mitmproxy"
    certificate = confdir / "mitmproxy-ca-cert.pem"
    with running(
        [sys.executable, "-m", "real.forward", str(port), confdir, str(providers.port)],
        name="the forward proxy",
        log=folder / "forward.log",
        port=port,
        ready=lambda port: certificate.exists() and accepts(port),
        within=30,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
    ) as process:
        yield ForwardProxy(process.url, certificate)


def accounts() -> dict[str, dict[str, object]]:
    """One account each, as its logins write them: file name → content. The tokens are made up."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    def token(claims: object) -> str:
        return f"{part({'alg': 'none'})}.{part(claims)}.c2ln"

    now = time.time()
    common = {"email": "someone@example.com", "refresh_token": "refresh"}
    common["expired"] = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(now + YEAR))
    common["last_refresh"] = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(now))
    claims = {"email": "someone@example.com", "exp": int(now) + YEAR}
    plan = {"chatgpt_account_id": "account", "chatgpt_plan_type": "plus"}
    codex = token(claims | {"https://api.openai.com/auth": plan})
    bearer = {"token_type": "Bearer"}
    return {
        "claude.json": {"type": "claude", "access_token": "sk-ant-oat01-tests", **common},
        "codex.json": {
            "type": "codex",
            "access_token": codex,
            "id_token": codex,
            "account_id": "account",
            **common,
        },
        "antigravity.json": {
            "type": "antigravity",
            "access_token": "ya29.tests",
            "expires_in": 3599,
            "timestamp": int(now * 1000),
            "project_id": "project",
            **common,
        },
        "xai.json": {
            "type": "xai",
            "access_token": "xai-tests",
            "auth_kind": "oauth",
            "base_url": "https://api.x.ai/v1",
            **bearer,
            **common,
        },
        "kimi.json": {
            "type": "kimi",
            "access_token": "kimi-tests",
            "device_id": "device",
            **bearer,
            **common,
        },
    }
