"""LiteLLM's own file, which the doctor is shown."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from litellm_hybrid.cli.main import main
from support.ports import free_port

UNKNOWN = "http://127.0.0.1:{}"


def fixes(folder: Path, litellm: str) -> list[str]:
    ports = [UNKNOWN.format(free_port()) for _ in range(2)]
    own = {"enabled": True, "base-url": ports[0], "upstream-url": ports[1], "api-key": "k", "models": ["m"]}
    config, file = folder / "config.yaml", folder / "litellm.yaml"
    config.write_text(json.dumps({"extensions": {"litellm": own}}), "utf-8")
    file.write_text(litellm, "utf-8")
    command = ["doctor", "-c", str(config), "--json", "--litellm-config", str(file)]
    done = CliRunner().invoke(main, command)
    if done.exit_code == 2 and not done.stdout.startswith("{"):
        return [done.output]
    return [each["fix"] for each in json.loads(done.stdout)["findings"] if each["check"] == "backends"]


@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        ("anthropic/claude-sonnet-4-5", {}, ["in litellm_settings `modify_params: true`"]),
        ("anthropic/claude-sonnet-4-5", None, ["in litellm_settings `modify_params: true`"]),
        ("anthropic/claude-sonnet-4-5", {"modify_params": True}, []),
        ("azure/gpt-5", {}, ['in litellm_params `additional_drop_params: ["user"]`']),
    ],
)
def test_its_models_and_settings(
    tmp_path: Path, model: str, settings: dict[str, object] | None, expected: list[str]
) -> None:
    models = [{"model_name": "m", "litellm_params": {"model": model}}, 1]
    assert fixes(tmp_path, json.dumps({"model_list": models, "litellm_settings": settings})) == expected


def test_what_is_no_configuration(tmp_path: Path) -> None:
    assert fixes(tmp_path, "- a list") == []
    (said,) = fixes(tmp_path, "model_list: [")
    assert "litellm.yaml cannot be read" in said
