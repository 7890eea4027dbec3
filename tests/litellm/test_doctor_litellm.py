"""`litellm-hybrid doctor` against a real LiteLLM."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cliproxyapi import CLIProxyAPI
from support.models import ModelServer
from support.ports import free_port
from support.processes import MASTER_KEY, Process, hybrid_config
from support.servers import in_thread

pytestmark = pytest.mark.litellm

PROGRAM = Path(sys.executable).with_name("litellm-hybrid")


@pytest.fixture(scope="module")
def cliproxyapi() -> Iterator[CLIProxyAPI]:
    with in_thread(CLIProxyAPI(version="6.10.9")) as server:
        yield server


def findings(
    folder: Path, litellm: Process, upstream: CLIProxyAPI, *args: str, **keys: Any
) -> tuple[int, list[dict[str, str]]]:
    more = {name.replace("_", "-"): value for name, value in keys.items()}
    own = {"upstream-url": upstream.url, "listen": f"127.0.0.1:{free_port()}"}
    file = folder / "config.yaml"
    file.write_text(json.dumps(hybrid_config(litellm.url, **(own | more))), encoding="utf-8")
    done = subprocess.run(
        [PROGRAM, "doctor", "-c", file, "--json", *args],
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert MASTER_KEY not in done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)["findings"]


def shown(found: list[dict[str, str]], check: str) -> list[tuple[str, str]]:
    return [(each["severity"], each["fix"] or each["symptom"]) for each in found if each["check"] == check]


def test_a_good_litellm(
    tmp_path: Path, real_litellm: Process, cliproxyapi: CLIProxyAPI, backend: ModelServer
) -> None:
    code, found = findings(tmp_path, real_litellm, cliproxyapi)
    assert code == 1, found  # because of drop_params alone
    wrong = {each["check"]: each["severity"] for each in found if each["severity"] != "ok"}
    assert wrong == {"drop-params": "warning"}
    ((_, drops),) = shown(found, "drop-params")
    assert "drop_params: true" in drops
    assert shown(found, "loops") == [("ok", "none of LiteLLM's models leads back here")]
    (litellm,) = shown(found, "litellm")
    assert litellm[0] == "ok"
    assert litellm[1].startswith("LiteLLM (1.")
    assert shown(found, "api-key") == [("ok", "LiteLLM accepts the key")]
    assert shown(found, "models") == [("ok", "LiteLLM knows every configured model and mapping target")]
    assert not backend.requests


@pytest.mark.parametrize(
    ("keys", "check", "fix"),
    [
        (
            {"api_key": "sk-not-the-master-key"},
            "api-key",
            "`api-key: ${LITELLM_API_KEY}`, with the `master_key`",
        ),
        ({"api_key": "none"}, "api-key", "`api-key: ${LITELLM_API_KEY}`"),
        ({"models": ["GPT-5"]}, "models", "in `model-mappings` write `GPT-5: gpt-5`"),
        (
            {"models": ["claude-sonet-4-5"]},
            "models",
            "in `model-mappings` write `claude-sonet-4-5: claude-sonnet-4-5`",
        ),
        (
            {"models": ["opus"], "model_mappings": {"opus": "Claude-Sonnet-4-5"}},
            "models",
            "in `model-mappings` write `opus: claude-sonnet-4-5`",
        ),
    ],
)
def test_a_wrong_key_and_wrong_names(
    tmp_path: Path,
    real_litellm: Process,
    cliproxyapi: CLIProxyAPI,
    keys: dict[str, Any],
    check: str,
    fix: str,
) -> None:
    code, found = findings(tmp_path, real_litellm, cliproxyapi, **keys)
    (wrong,) = [each for each in found if each["severity"] == "error"]
    assert (code, wrong["check"]) == (2, check)
    assert wrong["fix"].startswith(fix)


def test_base_url_with_a_path(tmp_path: Path, real_litellm: Process, cliproxyapi: CLIProxyAPI) -> None:
    _, found = findings(tmp_path, real_litellm, cliproxyapi, base_url=f"{real_litellm.url}/llm")
    assert shown(found, "litellm") == [("error", f"`base-url: {real_litellm.url}`")]


def test_live_costs_one_token(
    tmp_path: Path, real_litellm: Process, cliproxyapi: CLIProxyAPI, backend: ModelServer
) -> None:
    code, found = findings(tmp_path, real_litellm, cliproxyapi, "--live")
    (live,) = shown(found, "live-litellm")
    assert code < 2, found
    assert live[1].startswith("LiteLLM served gpt-5 in ")
    assert ", for $" in live[1]
    (request,) = backend.requests
    assert request.json()["max_completion_tokens"] == 1


def test_replay_asks_in_each_agents_form(
    tmp_path: Path, real_litellm: Process, cliproxyapi: CLIProxyAPI, backend: ModelServer
) -> None:
    _, found = findings(tmp_path, real_litellm, cliproxyapi, "--replay", "gpt-5")
    asked = [each["symptom"] for each in found if each["check"] == "replay"]
    assert [each.partition(":")[0] for each in asked] == ["Claude Code", "Codex", "Gemini CLI", "opencode"]
    assert all("gpt-5 takes its requests" in each for each in asked), asked
    assert len(backend.requests) >= 4
