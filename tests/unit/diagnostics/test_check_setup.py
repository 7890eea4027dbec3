"""What is said of this machine (file, access, address, clock, Python), and of the two servers."""

import errno
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from litellm_hybrid.config.parser import ConfigError, parse
from litellm_hybrid.config.settings import Address, Fallback, Secret, Settings
from litellm_hybrid.diagnostics import check_setup
from litellm_hybrid.diagnostics.check_setup import (
    UPSTREAM,
    Server,
    access,
    broken,
    check_litellm,
    check_upstream,
    clock,
    file,
    listen,
    litellm_version,
    not_there,
    surroundings,
)
from litellm_hybrid.diagnostics.probes import (
    FailureKind,
    ProbeResult,
    Results,
)
from litellm_hybrid.diagnostics.report import Finding, Severity
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


def findings_of(text: str) -> list[Finding]:
    return file(parse(text, source="f.yaml", env={}), "f.yaml")


@pytest.mark.parametrize(
    ("text", "severity", "fix"),
    [
        (
            "litellm-base-url: http://h\nlitellm-fallback-enabled: false\n",
            "ok",
            "fallback: {enabled: true}",
        ),
        ("litellm-hybrid-mode: true\n", "warning", "`base-url: "),
        ("litellm-passthrough-mode: true\n", "warning", "`enabled: true`"),
        ("litellm-hybrid-mode: true\nlitellm-base-url: http://h\n", "warning", "`models: "),
        ("port: 1\n", "warning", "doctor -c FILE"),
        ("litellm-models: [a]\napi-keys: [1, [2]]\n", "warning", "quote it"),
    ],
)
def test_a_warning_of_the_file_has_a_fix(text: str, severity: str, fix: str) -> None:
    assert any(found.severity == severity and fix in found.fix for found in findings_of(text)), findings_of(
        text
    )


def test_a_v1_at_the_end_is_fine() -> None:
    found = findings_of("litellm-base-url: http://h/v1\n")
    assert [(each.severity, each.fix) for each in found if "/v1" in each.symptom] == [
        (Severity.OK, "write base-url without it")
    ]


def test_where_cliproxyapis_own_settings_are_not_known_it_says_how_they_can_be() -> None:
    falls_back = "litellm-base-url: http://h\nlitellm-api-key: k\nlitellm-fallback-enabled: true\n"

    def named(text: str) -> bool:
        return any("--upstream-config FILE" in each.fix for each in findings_of(text))

    assert named(falls_back)
    assert not named(falls_back + "port: 8317\n")
    assert not named("litellm-base-url: http://h\n")


def test_servers_that_are_one_and_the_same_are_an_error() -> None:
    found = findings_of("litellm-base-url: http://localhost:8317\nlitellm-api-key: k\n")
    assert [each.fix for each in found if each.severity is Severity.ERROR] == [
        "give the address of LiteLLM, for example http://127.0.0.1:4000"
    ]


def test_authorities_that_a_start_refuses_are_an_error(tmp_path: Path) -> None:
    (file := tmp_path / "ca.pem").write_text("no certificate")
    found = findings_of(f"extensions: {{litellm: {{base-url: http://h, tls-ca: {file}}}}}\n")
    assert [each.symptom for each in found if each.severity is Severity.ERROR and "tls-ca" in each.symptom]


def test_an_error_of_the_file_says_what_to_write() -> None:
    with pytest.raises(ConfigError) as error:
        parse("litellm-modles: [a]\nlitellm-hybrid-mode: perhaps\n", source="f.yaml", env={})
    first, second = broken(error.value.problems)
    assert (first.severity, first.symptom) == (Severity.ERROR, "f.yaml:1: litellm-modles: unknown key")
    assert first.fix == "did you mean `litellm-models`?"
    assert (second.symptom, second.fix) == (
        'f.yaml:2: litellm-hybrid-mode: expected true or false, got "perhaps"',
        "correct that line",
    )


@pytest.mark.parametrize(
    ("settings", "severity", "words"),
    [
        (Settings(), "ok", "this machine's programs may use"),
        (WITH_KEY, "ok", "programs with a client key may use"),
        (replace(WITH_KEY, local_without_key=True), "ok", "this machine's programs and clients with a key"),
        (Settings(listen=("0.0.0.0", 8318)), "error", "will not listen on 0.0.0.0"),  # noqa: S104
        (Settings(listen=("10.0.0.1", 1), listen_without_keys=True), "warning", "may use LiteLLM"),
        (
            Settings(
                listen=("10.0.0.1", 1),
                listen_without_keys=True,
                enabled=True,
                base_url=LITELLM,
                api_key=Secret(KEY),
            ),
            "warning",
            "may use LiteLLM",
        ),
        (Settings(listen=("10.0.0.1", 1), client_keys=(Secret("k"),)), "ok", "need a client key"),
    ],
)
def test_access(settings: Settings, severity: str, words: str) -> None:
    finding = access(settings)
    assert finding.severity == severity
    assert words in finding.symptom
    assert finding.severity is Severity.OK or "client-api-keys" in finding.fix


def test_surroundings() -> None:
    versions = {"python": "3.12.1", "mitmproxy": "12.2.3"}
    assert summary(surroundings(versions, "")) == [("python", "ok"), ("mitmproxy", "ok")]
    lacking = (
        'mitmproxy 13.0 does not have X.y as litellm-hybrid needs it; install one: pip install "mitmproxy<13"'
    )
    _, broken = surroundings(versions, lacking)
    assert broken.severity is Severity.ERROR
    assert (broken.symptom[:22], broken.fix) == (
        "mitmproxy 13.0 does no",
        'install one: pip install "mitmproxy<13"',
    )


def dated(seconds_ahead: float) -> ProbeResult:
    at = 1795734000.0
    date = format_datetime(datetime.fromtimestamp(at + seconds_ahead, UTC), usegmt=True)
    return ProbeResult(200, (("date", date),), at=at)


@pytest.mark.parametrize(
    ("ahead", "severity", "words"),
    [
        (0, "ok", "agree"),
        (60, "ok", "agree"),
        (61, "warning", "LiteLLM's clock is 61 s ahead of"),
        (-3600, "warning", "3600 s behind"),
    ],
)
def test_the_clocks(ahead: float, severity: str, words: str) -> None:
    (finding,) = clock(Results({"upstream-root": dated(0), "litellm-alive": dated(ahead)}))
    assert (finding.severity, words in finding.symptom) == (severity, True), finding


def test_without_a_date_nothing_is_said_of_the_clocks() -> None:
    assert clock(Results({"upstream-root": REFUSED, "litellm-alive": ALIVE})) == []


def test_hints_about_cliproxyapis_own_settings() -> None:
    found = findings_of(
        "port: 8317\nmax-retry-interval: 30\n"
        "litellm-base-url: http://h\nlitellm-api-key: k\nlitellm-fallback-enabled: true\n"
    )
    waits, headers = sorted(found, key=lambda each: "headers" in each.symptom)
    assert (waits.severity, waits.fix.startswith("`max-retry-interval: 0`")) == (Severity.WARNING, True)
    assert (headers.severity, headers.fix) == (Severity.OK, "`passthrough-headers: true`")


def health(**value: object) -> dict[str, ProbeResult]:
    return {
        "listen-health": response(value, x_hybrid_route="none; reason=own-page"),
        "listen-root": NOT_FOUND,
    }


def other(seen: ProbeResult) -> dict[str, ProbeResult]:
    return {"listen-health": NOT_FOUND, "listen-root": seen}


IN_USE = OSError(errno.EADDRINUSE, "Address already in use")
DOWN = {"reason": "upstream-unreachable", "message": "CLIProxyAPI could not be reached"}


@pytest.mark.parametrize(
    ("seen", "bound", "severity", "symptom", "fix"),
    [
        (other(REFUSED), None, "ok", "is free", ""),
        (health(live=True, ready=True, reasons=[]), None, "ok", "and is ready", ""),
        (
            health(live=True, ready=False, reasons=[DOWN]),
            None,
            "warning",
            "upstream-unreachable",
            "/_hybrid/health",
        ),
        (health(error="litellm_access_refused"), None, "ok", "to others only", ""),
        (other(CLIPROXYAPI), IN_USE, "error", "is taken by CLIProxyAPI", "`listen: 127.0.0.1:8319`"),
        (other(PAGE), IN_USE, "error", "is taken by another program", "ss -ltnp 'sport = :8318'"),
        (
            other(failed(FailureKind.TIMEOUT)),
            IN_USE,
            "error",
            "which does not answer",
            "ss -ltnp",
        ),
        (other(REFUSED), OSError(errno.EACCES, "denied"), "error", "nothing can listen on", "8318`"),
        (
            other(REFUSED),
            OSError(errno.EADDRNOTAVAIL, "Cannot assign"),
            "error",
            "nothing can listen",
            "ip -brief",
        ),
    ],
)
def test_the_address_to_listen_on(
    seen: dict[str, ProbeResult], bound: OSError | None, severity: str, symptom: str, fix: str
) -> None:
    (finding,) = listen(Settings(), Results(seen), bound)
    assert (finding.severity, symptom in finding.symptom, fix in finding.fix) == (severity, True, True), (
        finding
    )


def said(
    server: Server, seen: ProbeResult, other: ProbeResult = NOT_FOUND, at: Address = LITELLM
) -> Finding | None:
    return not_there(server, at, "/health/liveliness", seen, other)


@pytest.mark.parametrize("kind", list(FailureKind))
@pytest.mark.parametrize("server", [UPSTREAM, check_setup.LITELLM])
def test_every_kind_has_a_fix_that_names_what_to_do(kind: FailureKind, server: Server) -> None:
    finding = said(server, failed(kind, "the system's words"))
    assert finding is not None
    assert finding.severity is Severity.ERROR
    assert server.key in finding.fix
    assert "the system's words" in finding.symptom
    assert "{" not in finding.symptom + finding.fix


def test_the_other_scheme_is_written_out() -> None:
    finding = said(check_setup.LITELLM, failed(FailureKind.NO_TLS), at=Address("https", "::1", 4000, "/llm"))
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
    finding = said(check_setup.LITELLM, seen, other)
    assert finding is not None
    assert (finding.severity, symptom in finding.symptom, fix in finding.fix) == (severity, True, True), (
        finding
    )
    assert "secret" not in finding.symptom + finding.fix


def test_the_right_one() -> None:
    assert said(check_setup.LITELLM, ALIVE) is None
    assert said(check_setup.LITELLM, PAGE, ALIVE) is None


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
