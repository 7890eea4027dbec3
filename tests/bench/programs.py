"""What is measured: the stub itself, nginx, mitmdump without and with the addon, and `serve`.

Everything listens on 127.0.0.1, at ports that the system picks, writes to its
own folder and ends with the `with`.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import procfs
from bench.work import CHAT, Headers
from support import processes
from support.ports import free_port
from support.processes import MASTER_KEY, SCRIPT, Process, accepts

ADDON = SCRIPT.parent
TESTS = Path(__file__).parents[1]

STUB, NGINX, BARE, STREAMING, ADDED, ONE, TWO = (
    "stub, direct",
    "nginx",
    "mitmdump -q",
    "mitmdump -q, streaming",
    "mitmdump -q, addon",
    "serve",
    "serve, 2 workers",
)
OURS = (ADDED, ONE, TWO)

type Ready = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that is measured.

    Attributes:
        port: of 127.0.0.1.
        pids: its processes; what they start counts too.
        headers: that its requests have on top of everybody's.
        models: what stands before the name of a model.
        log: the file with its output; None for the stub behind everything.
    """

    name: str
    port: int
    pids: tuple[int, ...]
    path: str = CHAT
    headers: Headers = ()
    models: str = ""
    log: Path | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it has the addon."""
        return self.name in OURS


def python_environment() -> dict[str, str]:
    """For Python programs of this checkout."""
    return os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": f"{ADDON}{os.pathsep}{TESTS}"}


@contextmanager
def started(
    name: str,
    folder: Path,
    command: Sequence[str | Path],
    port: int,
    *,
    ready: Ready = accepts,
    within: float = 30,
    env: dict[str, str] | None = None,
) -> Iterator[Process]:
    """Start a program in a folder of its own."""
    home = folder / name.replace(" ", "-").replace(",", "")
    home.mkdir(parents=True, exist_ok=True)
    log = home / "log"
    env = env or python_environment()
    with processes.running(
        command, name=name, log=log, port=port, ready=ready, within=within, env=env
    ) as process:
        yield process


@contextmanager
def stub(name: str, folder: Path, *options: str, port: int = 0) -> Iterator[Subject]:
    """A stub; `upstream` answers some models with a used-up account."""
    port = port or free_port()
    command = [sys.executable, "-m", "bench.stub", "--name", name, "--port", str(port), *options]
    ready: Ready = (lambda _: True) if options else accepts
    with started(f"stub {name}", folder, command, port, ready=ready) as process:
        yield Subject(STUB, port, (process.popen.pid,))


@contextmanager
def nginx(upstream: int, folder: Path) -> Iterator[Subject]:
    """One worker of nginx, with a pool of connections to the stub."""
    home = folder / "nginx"
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    file = home / "nginx.conf"
    file.write_text(
        f"""
daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_max_body_size 100m; client_body_buffer_size 40m; keepalive_requests 10000000;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  upstream stub {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""
    )
    command = [str(shutil.which("nginx")), "-p", str(home), "-e", str(home / "start.log"), "-c", str(file)]
    with started("nginx", folder, command, port) as process:
        yield Subject(NGINX, port, (process.popen.pid,), log=process.log)


@contextmanager
def mitmdump(
    upstream: int, folder: Path, config: Path | None = None, *, streaming: bool = False
) -> Iterator[Subject]:
    """`mitmdump -q` as a reverse proxy, with the addon if it is given a configuration.

    Args:
        streaming: pass every body on as it comes; bare, it keeps a stream back until its end.
    """
    name = ADDED if config else STREAMING if streaming else BARE
    port = free_port()
    command: list[str | Path] = [
        Path(sys.executable).with_name("mitmdump"),
        "-q",
        *("--mode", f"reverse:http://127.0.0.1:{upstream}@127.0.0.1:{port}"),
        *("--set", f"confdir={folder / 'mitmproxy'}"),
    ]
    if streaming:
        command += ["--set", "stream_large_bodies=1"]
    if config:
        command += ["-s", SCRIPT, "--set", f"litellm_config={config}"]
    with started(name, folder, command, port) as process:
        yield Subject(name, port, (process.popen.pid,), log=process.log)


@contextmanager
def serve(upstream: int, folder: Path, config: Path, workers: int = 1) -> Iterator[Subject]:
    """`litellm-hybrid serve`."""
    name = ONE if workers == 1 else TWO
    port = free_port()
    program = Path(sys.executable).with_name("litellm-hybrid")
    command: list[str | Path] = [program, "serve", "--config", config, "--workers", str(workers)]
    command += ["--upstream", f"http://127.0.0.1:{upstream}", "--listen", f"127.0.0.1:{port}"]
    ready: Ready = lambda port: procfs.listeners(port) >= workers  # noqa: E731
    with started(name, folder, command, port, ready=ready) as process:
        yield Subject(name, port, (process.popen.pid,), log=process.log)


def write_config(litellm: int, file: Path) -> Path:
    """The addon's configuration: everything on that costs anything."""
    config = {
        "enabled": True,
        "base-url": f"http://127.0.0.1:{litellm}",
        "api-key": MASTER_KEY,
        "models": ["gpt-4.1", "openrouter/*", "routed/*", "renamed/*"],
        "model-mappings": {"renamed/plain": "elsewhere/plain"},
        "fallback": {"enabled": True},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"extensions": {"litellm": config}}, indent=2))
    return file
