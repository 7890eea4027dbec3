"""`scripts/web` as somebody types it."""

import os
import signal
from pathlib import Path

import httpx

from support.ports import free_port
from support.processes import ROOT, accepts, hybrid_config, running


def test_it_serves_the_page_and_says_what_to_type(tmp_path: Path) -> None:
    config, port, page = tmp_path / "my config.yaml", free_port(), free_port()
    config.write_text(str(hybrid_config("http://127.0.0.1:9")), encoding="utf-8")
    env = os.environ | {"HYBRID_LISTEN": f"127.0.0.1:{port}", "HYBRID_UPSTREAM": "http://127.0.0.1:19"}
    options = (
        "--set",
        f"web_port={page}",
        "--set",
        "web_open_browser=false",
        "--set",
        "litellm_view_limit=7",
    )
    command: list[str | Path] = [ROOT / "scripts" / "web", config, *options]
    log = tmp_path / "web.log"
    with running(command, name="scripts/web", log=log, port=port, ready=accepts, env=env) as web:
        output = web.wait_for(f"Web server listening at http://127.0.0.1:{page}/?token=")
        url = output.partition("Web server listening at ")[2].split()[0]
        with httpx.Client(trust_env=False, timeout=60) as client:
            assert client.get(url).status_code == 200
            assert client.get(f"http://127.0.0.1:{page}/options").json()["litellm_view_limit"]["value"] == "7"
        web.popen.send_signal(signal.SIGINT)
        assert web.popen.wait(60) == 0
    assert f"http://127.0.0.1:{port} in front of http://127.0.0.1:19, configured by {config}" in output
    for typed in ("~comment fallback", "litellm.status", "litellm.explain"):
        assert typed in output
