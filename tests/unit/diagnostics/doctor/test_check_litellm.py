"""What is said of LiteLLM."""

import pytest

from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.diagnostics.doctor.check_litellm import check, version_of
from litellm_hybrid.diagnostics.doctor.probes import (
    ProbeResponse,
    ProbeResult,
)
from litellm_hybrid.diagnostics.doctor.probes import models as listed
from support.probes import ALIVE, CLIPROXYAPI, NO_KEY, NOT_FOUND, PAGE, REFUSED, models, response, summary

LITELLM = Address("http", "127.0.0.1", 4000)
KEY = "sk-key-of-litellm"
WITH_KEY = Settings(client_keys=(Secret("sk-client"),))
ROUTED = Settings(enabled=True, base_url=LITELLM, api_key=Secret(KEY))
NO_AUTH = Settings(enabled=True, base_url=LITELLM, no_auth=True)


ROUTED = Settings(enabled=True, base_url=LITELLM, api_key=Secret(KEY))
NO_AUTH = Settings(enabled=True, base_url=LITELLM, no_auth=True)
UP: dict[str, ProbeResult] = {
    "litellm-alive": ALIVE,
    "litellm-root": response("LiteLLM: RUNNING"),
    "litellm-ready": response({"status": "healthy"}),
    "litellm-open": NO_KEY,
    "litellm-models": models("gpt-5"),
    "litellm-details": response({"litellm_version": "1.106.2"}),
}
NO_DB = response({"error": {"message": "No connected db.", "type": "no_db_connection"}}, 400)


@pytest.mark.parametrize(
    ("settings", "changed", "expected", "fix"),
    [
        (ROUTED, {}, [("litellm", "ok"), ("api-key", "ok")], ""),
        (Settings(), {}, [("litellm", "warning")], "`base-url: http://127.0.0.1:4000`"),
        (ROUTED, {"litellm-alive": REFUSED}, [("litellm", "error")], "litellm --config"),
        (
            ROUTED,
            {"litellm-ready": ProbeResponse(503)},
            [("litellm", "error"), ("api-key", "ok")],
            "health/readiness",
        ),
        (
            ROUTED,
            {"litellm-models": NO_KEY},
            [("litellm", "ok"), ("api-key", "error")],
            "`api-key: ${LITELLM",
        ),
        (ROUTED, {"litellm-models": NO_DB}, [("litellm", "ok"), ("api-key", "error")], "`api-key: ${LITELLM"),
        (ROUTED, {"litellm-models": REFUSED}, [("litellm", "ok"), ("api-key", "warning")], "log"),
        (ROUTED, {"litellm-open": models()}, [("litellm", "ok"), ("api-key", "ok")], "`api-key: none`"),
        (NO_AUTH, {"litellm-open": models()}, [("litellm", "ok"), ("api-key", "ok")], ""),
        (NO_AUTH, {}, [("litellm", "ok"), ("api-key", "error")], "`api-key: ${LITELLM"),
        (
            Settings(enabled=True, base_url=LITELLM),
            {},
            [("litellm", "ok"), ("api-key", "ok")],
            "`api-key: none`",
        ),
        (ROUTED, {"litellm-alive": PAGE, "litellm-root": PAGE}, [("litellm", "error")], "`base-url: "),
        (
            ROUTED,
            {"litellm-alive": NOT_FOUND, "litellm-root": CLIPROXYAPI},
            [("litellm", "error")],
            "`base-url: ",
        ),
        (
            ROUTED,
            {"litellm-alive": NOT_FOUND, "litellm-root": NOT_FOUND},
            [("litellm", "warning"), ("api-key", "ok")],
            "",
        ),
        (
            Settings(enabled=True, base_url=Address("http", "h", 4000, "/ui"), api_key=Secret(KEY)),
            {"litellm-alive": PAGE, "litellm-bare": ALIVE},
            [("litellm", "error")],
            "`base-url: http://h:4000`",
        ),
    ],
)
def test_litellm(
    settings: Settings, changed: dict[str, ProbeResult], expected: list[tuple[str, str]], fix: str
) -> None:
    findings = check(settings, UP | changed)
    assert summary(findings) == expected
    assert any(fix in finding.fix for finding in findings)


def test_its_version() -> None:
    assert version_of(UP) == "1.106.2"
    assert version_of({"litellm-ready": response({"litellm_version": "1.50"})}) == "1.50"
    assert version_of({"litellm-ready": response([])}) == ""


def test_which_models_litellm_lists() -> None:
    assert listed("litellm", UP) == ("gpt-5",)
    assert listed("litellm", {"litellm-models": NO_DB, "litellm-open": models("a")}) == ("a",)
    assert listed("litellm", {"litellm-open": NO_KEY}) is None


def backends(*params: dict[str, object]) -> ProbeResponse:
    return response(
        {"data": [{"model_name": f"m{n}", "litellm_params": one} for n, one in enumerate(params)]}
    )


ELSEWHERE: dict[str, object] = {"model": "openai/gpt-5", "api_base": "https://api.openai.example/v1"}
CLAUDE: dict[str, object] = {"model": "anthropic/claude-sonnet-4-5"}
REFUSES = response({"error": "litellm.UnsupportedParamsError: anthropic does not support …"})
DROPS = response({"raw_request_body": {}, "error": None})


@pytest.mark.parametrize(
    ("info", "severity", "words"),
    [
        (backends(ELSEWHERE), "ok", "none of LiteLLM's models"),
        (backends(ELSEWHERE, {"api_base": "http://localhost:8318/v1"}), "error", "m1 back to this proxy"),
        (backends({"api_base": "http://127.0.0.1:8317"}), "warning", "m0 to CLIProxyAPI"),
        (backends({"api_base": "os.environ/BASE"}), "ok", ""),
        (ProbeResponse(403), "not checked", "status 403 from /model/info"),
        (REFUSED, "not checked", "status 0 from /model/info"),
    ],
)
def test_a_loop_is_found(info: ProbeResult, severity: str, words: str) -> None:
    found = check(ROUTED, UP | {"litellm-info": info, "litellm-transform": DROPS})
    (loops,) = [each for each in found if each.check == "loops"]
    assert (loops.severity, words in loops.symptom) == (severity, True), loops


@pytest.mark.parametrize(
    ("info", "transform", "severity"),
    [
        (backends(ELSEWHERE), REFUSES, "ok"),
        (backends(ELSEWHERE, CLAUDE), REFUSES, "warning"),
        (backends(CLAUDE), DROPS, "ok"),
        (backends({**CLAUDE, "drop_params": True}), REFUSES, "ok"),
        (backends(CLAUDE), NOT_FOUND, "not checked"),
        (backends(CLAUDE), REFUSED, "not checked"),
        (ProbeResponse(403), REFUSES, "warning"),
        (ProbeResponse(403), DROPS, "ok"),
    ],
)
def test_parameters_that_a_backend_does_not_know(
    info: ProbeResult, transform: ProbeResult, severity: str
) -> None:
    found = check(ROUTED, UP | {"litellm-info": info, "litellm-transform": transform})
    (drops,) = [each for each in found if each.check == "drop-params"]
    assert drops.severity == severity, drops
    assert severity == "ok" or "drop_params" in drops.fix


def test_nothing_is_said_of_backends_where_nothing_goes_to_litellm_or_the_key_is_wrong() -> None:
    more: dict[str, ProbeResult] = {"litellm-info": backends(CLAUDE), "litellm-transform": REFUSES}
    idle = Settings(base_url=LITELLM, api_key=Secret(KEY))
    assert [each.check for each in check(idle, UP | more)] == ["litellm", "api-key", "loops"]
    refused = UP | more | {"litellm-models": NO_KEY}
    assert [each.check for each in check(ROUTED, refused)] == ["litellm", "api-key"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model": "openai/qwen", "api_base": "http://127.0.0.1:8000/v1"}, True),
        ({"model": "hosted_vllm/qwen", "api_base": "http://127.0.0.1:8000/v1"}, False),
        ({"model": "openai/gpt-5"}, False),
        ({"model": "openai/gpt-5", "api_base": "https://eu.api.openai.com/v1"}, False),
    ],
)
def test_a_server_that_only_speaks_like_openais(params: dict[str, object], said: bool) -> None:
    found = check(ROUTED, UP | {"litellm-info": backends(params), "litellm-transform": DROPS})
    named = [each for each in found if each.check == "backends"]
    assert [each.severity for each in named] == ["ok"] * said
    assert all("m0" in each.symptom and "hosted_vllm/" in each.fix for each in named)
