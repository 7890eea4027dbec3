"""What is said of the two servers: CLIProxyAPI and LiteLLM."""

import pytest

from litellm_hybrid.config.settings import Address, Fallback, Secret, Settings
from litellm_hybrid.diagnostics.doctor import check_servers
from litellm_hybrid.diagnostics.doctor.check_servers import (
    UPSTREAM,
    Server,
    check_litellm,
    check_upstream,
    litellm_version,
    not_there,
)
from litellm_hybrid.diagnostics.doctor.probes import (
    FailureKind,
    ProbeResult,
    Results,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, Severity
from support.probes import (
    ALIVE,
    CLIPROXYAPI,
    NO_KEY,
    NOT_FOUND,
    PAGE,
    REFUSED,
    failed,
    models,
    response,
    summary,
)

LITELLM = Address("http", "127.0.0.1", 4000)
KEY = "sk-key-of-litellm"
WITH_KEY = Settings(client_keys=(Secret("sk-client"),))
ROUTED = Settings(enabled=True, base_url=LITELLM, api_key=Secret(KEY))
NO_AUTH = Settings(enabled=True, base_url=LITELLM, no_auth=True)


def said(
    server: Server, seen: ProbeResult, other: ProbeResult = NOT_FOUND, at: Address = LITELLM
) -> Finding | None:
    return not_there(server, at, "/health/liveliness", seen, other)


@pytest.mark.parametrize("kind", list(FailureKind))
@pytest.mark.parametrize("server", [UPSTREAM, check_servers.LITELLM])
def test_every_kind_has_a_fix_that_names_what_to_do(kind: FailureKind, server: Server) -> None:
    finding = said(server, failed(kind, "the system's words"))
    assert finding is not None
    assert finding.severity is Severity.ERROR
    assert server.key in finding.fix
    assert "the system's words" in finding.symptom
    assert "{" not in finding.symptom + finding.fix


def test_the_other_scheme_is_written_out() -> None:
    finding = said(
        check_servers.LITELLM, failed(FailureKind.NO_TLS), at=Address("https", "::1", 4000, "/llm")
    )
    assert finding is not None
    assert finding.fix == "`base-url: http://[::1]:4000/llm`"


@pytest.mark.parametrize(
    ("seen", "other", "severity", "symptom", "fix"),
    [
        (
            response({}, 308, location="https://llm.example/health/liveliness?key=secret"),
            NOT_FOUND,
            "error",
            "http://127.0.0.1:4000 redirects to https://llm.example",
            "`base-url: https://llm.example`",
        ),
        (
            response({}, 308, location="http://me:secret@[::1]:4000/llm/health/liveliness"),
            NOT_FOUND,
            "error",
            "redirects to http://[::1]:4000/llm",
            "`base-url: http://[::1]:4000/llm`",
        ),
        (response({}, 302, location="/login"), NOT_FOUND, "error", "answers with a web page", "base-url"),
        (PAGE, NOT_FOUND, "error", "answers with a web page", "base-url"),
        (response({}), CLIPROXYAPI, "error", "is CLIProxyAPI, not LiteLLM", "base-url"),
        (
            response({}, x_hybrid_route="upstream; reason=not-post"),
            NOT_FOUND,
            "error",
            "is litellm-hybrid, not LiteLLM: a request would go round in a circle",
            "base-url",
        ),
        (
            ProbeResult(400, (), b"Client sent an HTTP request to an HTTPS server.\n"),
            NOT_FOUND,
            "error",
            "wants https",
            "`base-url: https://127.0.0.1:4000`",
        ),
        (response({}), NOT_FOUND, "warning", "(status 200) does not say that it is LiteLLM", "base-url"),
    ],
)
def test_somebody_else_answers(
    seen: ProbeResult, other: ProbeResult, severity: str, symptom: str, fix: str
) -> None:
    finding = said(check_servers.LITELLM, seen, other)
    assert finding is not None
    assert (finding.severity, symptom in finding.symptom, fix in finding.fix) == (severity, True, True), (
        finding
    )
    assert "secret" not in finding.symptom + finding.fix


def test_the_right_one() -> None:
    assert said(check_servers.LITELLM, ALIVE) is None
    assert said(check_servers.LITELLM, PAGE, ALIVE) is None


UPSTREAM_UP: dict[str, ProbeResult] = {
    "upstream-root": CLIPROXYAPI,
    "upstream-alive": NOT_FOUND,
    "upstream-open": ProbeResult(401, (), b'{"error":"Missing API key"}'),
    "upstream-provider": ProbeResult(401),
    "upstream-version": NOT_FOUND,
}


@pytest.mark.parametrize(
    ("settings", "changed", "expected", "words"),
    [
        (
            Settings(),
            {},
            [("upstream", "ok")],
            "CLIProxyAPI (older than 7.2) answers at http://127.0.0.1:8317",
        ),
        (
            Settings(),
            {"upstream-version": ProbeResult(403, (("x-cpa-version", "6.10.9"),))},
            [("upstream", "ok")],
            "CLIProxyAPI (6.10.9) answers",
        ),
        (
            Settings(strip_provider_prefix=False),
            {"upstream-provider": NOT_FOUND},
            [("upstream", "ok"), ("provider-prefix", "ok")],
            "(7.2 or newer)",
        ),
        (Settings(), {"upstream-provider": NOT_FOUND}, [("upstream", "ok")], "7.2"),
        (Settings(strip_provider_prefix=True), {"upstream-provider": NOT_FOUND}, [("upstream", "ok")], "7.2"),
        (Settings(strip_provider_prefix=False), {}, [("upstream", "ok")], "older than 7.2"),
        (Settings(strip_provider_prefix=True), {}, [("upstream", "ok"), ("provider-prefix", "ok")], ""),
        (Settings(), {"upstream-provider": REFUSED}, [("upstream", "ok")], "(unknown)"),
        (Settings(), {"upstream-root": REFUSED}, [("upstream", "error")], "cannot be reached"),
        (Settings(), {"upstream-root": response("LiteLLM: RUNNING")}, [("upstream", "error")], "is LiteLLM"),
        (Settings(), {"upstream-alive": ALIVE, "upstream-root": PAGE}, [("upstream", "error")], "is LiteLLM"),
        (
            Settings(),
            {"upstream-root": response({"hello": 1})},
            [("upstream", "warning")],
            "does not say that it is",
        ),
        (
            Settings(),
            {"upstream-open": response({}, 403, x_cpa_safe_mode="example-api-key")},
            [("upstream", "error")],
            "is in safe mode",
        ),
        (WITH_KEY, {"upstream-models": models("m")}, [("upstream", "ok")], ""),
        (
            WITH_KEY,
            {"upstream-models": ProbeResult(401)},
            [("upstream", "ok"), ("client-keys", "warning")],
            "",
        ),
        (WITH_KEY, {"upstream-models": models(), "upstream-open": models()}, [("upstream", "ok")], ""),
        (
            Settings(listen=("0.0.0.0", 8318), client_keys=(Secret("sk-client"),)),  # noqa: S104
            {"upstream-open": models()},
            [("upstream", "ok"), ("client-keys", "warning")],
            "",
        ),
    ],
)
def test_upstream(
    settings: Settings, changed: dict[str, ProbeResult], expected: list[tuple[str, str]], words: str
) -> None:
    findings = check_upstream(settings, Results(UPSTREAM_UP | changed))
    assert [each for each in summary(findings) if each[0] != "accounts"] == expected
    assert words in findings[0].symptom


def test_the_models_of_upstream_come_from_whoever_is_shown_them() -> None:
    assert Results({"upstream-models": ProbeResult(401), "upstream-open": models("a")}).models(
        "upstream"
    ) == ("a",)
    assert Results({"upstream-models": models("b"), "upstream-open": models("a")}).models("upstream") == (
        "b",
    )
    assert Results(UPSTREAM_UP).models("upstream") is None


@pytest.mark.parametrize(
    ("changed", "severity", "words"),
    [
        ({}, "not checked", "wants a client key"),
        ({"upstream-open": models("a", "b")}, "ok", "has accounts for 2 models"),
        ({"upstream-open": models()}, "error", "no account"),
        ({"upstream-models": models()}, "error", "no account"),
        ({"upstream-models": ProbeResult(401)}, "not checked", "accepts none"),
    ],
)
def test_its_accounts(changed: dict[str, ProbeResult], severity: str, words: str) -> None:
    """An upstream with no model serves nobody; one that shows its models to nobody here is a gap."""
    found = check_upstream(WITH_KEY, Results(UPSTREAM_UP | changed))
    (accounts,) = [each for each in found if each.check == "accounts"]
    assert (accounts.severity, words in accounts.symptom) == (severity, True), accounts
    assert severity != "not checked" or "--key KEY" in accounts.fix


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
            {"litellm-ready": ProbeResult(503)},
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
    findings = check_litellm(settings, Results(UP | changed))
    assert summary(findings) == expected
    assert any(fix in finding.fix for finding in findings)


def test_its_version() -> None:
    assert litellm_version(Results(UP)) == "1.106.2"
    assert litellm_version(Results({"litellm-ready": response({"litellm_version": "1.50"})})) == "1.50"
    assert litellm_version(Results({"litellm-ready": response([])})) == ""


def test_which_models_litellm_lists() -> None:
    assert Results(UP).models("litellm") == ("gpt-5",)
    assert Results({"litellm-models": NO_DB, "litellm-open": models("a")}).models("litellm") == ("a",)
    assert Results({"litellm-open": NO_KEY}).models("litellm") is None


def backends(*params: dict[str, object]) -> ProbeResult:
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
        (ProbeResult(403), "not checked", "status 403 from /model/info"),
        (REFUSED, "not checked", "no response ("),
    ],
)
def test_a_loop_is_found(info: ProbeResult, severity: str, words: str) -> None:
    found = check_litellm(ROUTED, Results(UP | {"litellm-info": info, "litellm-transform": DROPS}))
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
        (ProbeResult(403), REFUSES, "warning"),
        (ProbeResult(403), DROPS, "ok"),
    ],
)
def test_parameters_that_a_backend_does_not_know(
    info: ProbeResult, transform: ProbeResult, severity: str
) -> None:
    found = check_litellm(ROUTED, Results(UP | {"litellm-info": info, "litellm-transform": transform}))
    (drops,) = [each for each in found if each.check == "drop-params"]
    assert drops.severity == severity, drops
    assert severity == "ok" or "drop_params" in drops.fix


@pytest.mark.parametrize(("drops", "severity"), [(True, "ok"), (False, "warning")])
def test_replays_tell_litellm_themselves_to_drop_parameters(*, drops: bool, severity: str) -> None:
    """Where nothing else goes there, LiteLLM's own setting does not matter."""
    more: dict[str, ProbeResult] = {"litellm-info": backends(CLAUDE), "litellm-transform": REFUSES}
    fallback = Fallback(enabled=True, drop_params=drops)
    settings = Settings(base_url=LITELLM, api_key=Secret(KEY), fallback=fallback)
    (found,) = [each for each in check_litellm(settings, Results(UP | more)) if each.check == "drop-params"]
    assert found.severity == severity


def test_nothing_is_said_of_backends_where_nothing_goes_to_litellm_or_the_key_is_wrong() -> None:
    more: dict[str, ProbeResult] = {"litellm-info": backends(CLAUDE), "litellm-transform": REFUSES}
    idle = Settings(base_url=LITELLM, api_key=Secret(KEY))
    assert [each.check for each in check_litellm(idle, Results(UP | more))] == ["litellm", "api-key", "loops"]
    refused = UP | more | {"litellm-models": NO_KEY}
    assert [each.check for each in check_litellm(ROUTED, Results(refused))] == ["litellm", "api-key"]
