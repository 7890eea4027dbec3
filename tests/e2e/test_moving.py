"""The move from the fork, as docs/from-the-fork.md tells it: its own file, `serve`, scripts/integration, migrate."""

import os
import subprocess
import sys
from pathlib import Path

from e2e.harness import Stub
from support.ports import free_port
from support.processes import MASTER_KEY, ROOT, accepts, running

PROGRAM = Path(sys.executable).with_name("litellm-hybrid")
CLIENT_KEY = "client-secret-4711"


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"HYBRID_CLIENT_KEY": CLIENT_KEY}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)


def test_moving(servers: tuple[Stub, Stub], tmp_path: Path) -> None:
    """The clients' requests go the same ways before and after the file has its new form, without a restart."""
    upstream, litellm = servers
    file, log = tmp_path / "config.yaml", tmp_path / "serve.log"
    file.write_text(
        f'# CLIProxyAPI\'s own\nport: {upstream.port}\napi-keys: ["{CLIENT_KEY}"]\n\n# ── the fork ──\n'
        f"litellm-hybrid-mode: true\nlitellm-base-url: {litellm.url}  # LiteLLM\n"
        f"litellm-api-key: {MASTER_KEY}\nlitellm-models:\n- gpt-5\n"
    )
    before = file.read_text()
    assert _run(PROGRAM, "check", file).returncode == 0
    port = free_port()
    command: list[str | Path] = [PROGRAM, "serve", "-c", file, "--listen", f"127.0.0.1:{port}"]

    with running(command, name="serve", log=log, port=port, ready=accepts) as process:
        integration: list[str | Path] = [ROOT / "scripts" / "integration", process.url, log]
        first = _run(*integration)
        migrated = _run(PROGRAM, "migrate", file, "--write")
        process.wait_for("nothing has changed")
        second = _run(*integration)

    assert first.returncode == 0, first.stdout + first.stderr
    assert migrated.returncode == 0, migrated.stderr
    assert second.returncode == 0, second.stdout + second.stderr
    assert "\nextensions:\n  litellm:\n    # ── the fork ──\n    enabled: true\n" in file.read_text()
    assert (tmp_path / "config.yaml.bak").read_text() == before
    assert [request.json()["model"] for request in litellm.requests] == ["gpt-5"] * 2
    # It is also asked whether it has Amp's routes (`strip-provider-prefix: auto`).
    asked = [request.json()["model"] for request in upstream.requests if request.method == "POST"]
    assert asked == ["claude-3-opus"] * 2
