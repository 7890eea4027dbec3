"""LiteLLM's own file, which the doctor is shown; and that it has findings and no fault of its own, whatever a server answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from litellm_hybrid.cli.main import main
from litellm_hybrid.config.settings import Fallback, Settings
from litellm_hybrid.diagnostics import (
    check_models,
    check_setup,
    probes,
)
from litellm_hybrid.diagnostics.probes import (
    FailureKind,
    ProbeResult,
    Results,
)
from litellm_hybrid.diagnostics.report import CHECKS, Report
from support.ports import free_port
from support.probes import KEY, LITELLM, failed

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


SETTINGS = Settings(
    enabled=True,
    base_url=LITELLM,
    api_key=KEY,
    client_keys=(KEY,),
    fallback=Fallback(enabled=True),
)
NAMES = sorted(probes.plan(SETTINGS))
KEYS = st.sampled_from(
    [
        "data",
        "id",
        "error",
        "message",
        "model_name",
        "litellm_params",
        "api_base",
        "model",
        "reasons",
        "ready",
    ]
)
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.sampled_from(["", "*", "gpt-5", "http://[", "x" * 300])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "location", "date", "x-hybrid-route", "x-cpa-version"]),
        st.sampled_from(
            ["", "text/html", "http://[", "/x", "https://h:99999/", "Thu, 99 Nov 2026", "\ud800"]
        ),
    ),
    max_size=3,
).map(tuple)
BODIES = st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=20))
RESPONSES = st.builds(
    ProbeResult, st.sampled_from([200, 301, 400, 401, 403, 404, 503]), HEADERS, BODIES, at=st.just(1.0)
)
RESULTS = st.one_of(RESPONSES, st.builds(failed, st.sampled_from(FailureKind)))


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(NAMES, RESULTS)))
@example(dict.fromkeys(NAMES, ProbeResult(302, (("location", "http://["),), b"")))
def test_any_response_has_findings(results: dict[str, Any]) -> None:
    seen = Results(results)
    found = [
        *check_setup.listen(SETTINGS, seen, None),
        *check_setup.clock(seen),
        *check_setup.check_upstream(SETTINGS, seen),
        *check_setup.check_litellm(SETTINGS, seen),
        *check_models.check_names(SETTINGS, seen),
    ]
    assert {each.check for each in found} <= set(CHECKS)
    assert all(each.symptom for each in found)
    json.dumps(Report("f", found).as_json())
