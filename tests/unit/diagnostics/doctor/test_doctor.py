"""The doctor's judgement: from what was met to symptom, cause and fix."""

import errno
import json

import pytest

from litellm_hybrid.config.parser import ConfigError, parse
from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.diagnostics.doctor import check_config as doctor_file
from litellm_hybrid.diagnostics.doctor import check_listen as doctor_listen
from litellm_hybrid.diagnostics.doctor import check_litellm as doctor_litellm
from litellm_hybrid.diagnostics.doctor import check_upstream as doctor_upstream
from litellm_hybrid.diagnostics.doctor import probes
from litellm_hybrid.diagnostics.doctor import report as doctor_finding
from litellm_hybrid.diagnostics.doctor import server_errors as doctor_server
from litellm_hybrid.diagnostics.doctor.probes import (
    ConnectFailure,
    FailureKind,
    ProbeResponse,
    ProbeResult,
    Program,
    identify,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, Report, Severity

LITELLM = Address("http", "127.0.0.1", 4000)
KEY = "sk-key-of-litellm"
ALIVE = ProbeResponse(200, (("content-type", "application/json"),), b'"I\'m alive!"')
PAGE = ProbeResponse(
    200, (("content-type", "text/html; charset=utf-8"),), b"<!doctype html><title>Hello</title>"
)
REFUSED = ConnectFailure(FailureKind.REFUSED, "Connection refused")
NOT_FOUND = ProbeResponse(404, (), b"404 page not found")
NO_KEY = ProbeResponse(401, (), b'{"error":{"message":"No api key passed in.","type":"auth_error"}}')


def models(*names: str) -> ProbeResponse:
    return ProbeResponse(200, (), json.dumps({"data": [{"id": name} for name in names]}).encode())


def answer(value: object, status: int = 200, **headers: str) -> ProbeResponse:
    fields = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return ProbeResponse(status, fields, json.dumps(value).encode())


def said(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.severity.value) for finding in findings]


# -- severity -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("severities", "code"),
    [
        ((), 0),
        ((Severity.OK, Severity.NOTE), 0),
        ((Severity.NOTE, Severity.WARNING, Severity.OK), 1),
        ((Severity.ERROR, Severity.WARNING), 2),
    ],
)
def test_the_worst_finding_decides_the_exit_code(severities: tuple[Severity, ...], code: int) -> None:
    report = Report("f", [Finding("file", severity, "s") for severity in severities])
    assert report.exit_code == code
    assert doctor_finding.as_json(report)["exit_code"] == code


def test_findings_as_lines() -> None:
    report = Report(
        "f",
        [
            Finding("file", Severity.OK, "fine"),
            Finding("litellm", Severity.ERROR, "broken", "because", "mend it"),
            Finding("listen", Severity.WARNING, "odd", "", "look"),
        ],
    )
    assert [f"{line.label}|{line.text}" for line in doctor_finding.lines(report)] == [
        "file|ok       fine",
        "litellm|error    broken",
        "|cause    because",
        "|fix      mend it",
        "listen|warning  odd",
        "|fix      look",
        "|",
        "result|1 error, 1 warning",
    ]


def test_the_json_has_fixed_names() -> None:
    report = Report("f", [Finding("file", Severity.NOTE, "s", "c", "x")], {"python": "3.13"})
    assert doctor_finding.as_json(report) == {
        "file": "f",
        "severity": "note",
        "exit_code": 0,
        "versions": {"python": "3.13"},
        "findings": [{"check": "file", "severity": "note", "symptom": "s", "cause": "c", "fix": "x"}],
    }


# -- who answers --------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ((answer({"message": "CLI Proxy API Server"}),), Program.CLIPROXYAPI),
        (
            (ProbeResponse(200, (("access-control-expose-headers", "Location, X-CPA-VERSION"),), PAGE.body),),
            "CLIProxyAPI",
        ),
        ((NOT_FOUND, ALIVE), Program.LITELLM),
        ((answer("LiteLLM: RUNNING"),), Program.LITELLM),
        ((answer({}, x_hybrid_route="upstream; reason=not-post"), ALIVE), Program.OURSELVES),
        ((PAGE,), Program.WEB_PAGE),
        ((REFUSED, NOT_FOUND), Program.UNKNOWN),
        ((REFUSED, None), None),
        ((answer({"message": 7}), answer([]), ProbeResponse(200, (), b"[" * 100_000)), Program.UNKNOWN),
    ],
)
def test_who_answers(seen: tuple[ProbeResult | None, ...], expected: Program | None) -> None:
    assert identify(*seen) == expected


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":{"message":"a\\n  b"}}', "a b"),
        (b'{"error":"Invalid API key"}', "Invalid API key"),
        (b'{"error":7}', ""),
        (b"no JSON", ""),
        (b"[]", ""),
    ],
)
def test_what_an_error_says(body: bytes, error: str) -> None:
    assert ProbeResponse(400, (), body).error == error


# -- no answer, or another one's ----------------------------------------------


@pytest.mark.parametrize("trouble", list(FailureKind))
@pytest.mark.parametrize(
    "server", [doctor_server.upstream(Settings().upstream), doctor_server.litellm(LITELLM)]
)
def test_every_trouble_has_a_fix_that_names_what_to_do(
    trouble: FailureKind, server: doctor_server.Server
) -> None:
    finding = doctor_server.unreached(server, ConnectFailure(trouble, "the system's words"))
    assert finding.severity is Severity.ERROR
    assert finding.cause
    assert "`" in finding.fix
    assert "{" not in finding.symptom + finding.cause + finding.fix


def test_the_other_scheme_is_written_out() -> None:
    server = doctor_server.litellm(Address("https", "::1", 4000, "/llm"))
    assert (
        doctor_server.unreached(server, ConnectFailure(FailureKind.NO_TLS)).fix
        == "`base-url: http://[::1]:4000/llm`"
    )


@pytest.mark.parametrize(
    ("seen", "who", "symptom", "fix"),
    [
        (
            answer({}, 308, location="https://llm.example/health/liveliness?key=secret"),
            Program.UNKNOWN,
            "http://127.0.0.1:4000 redirects to https://llm.example",
            "`base-url: https://llm.example`",
        ),
        (answer({}, 302, location="/login"), Program.UNKNOWN, "answers with a web page", "base-url"),
        (PAGE, Program.WEB_PAGE, "answers with a web page", "base-url"),
        (answer({}), Program.CLIPROXYAPI, "is CLIProxyAPI, not LiteLLM", "base-url"),
        (answer({}), Program.OURSELVES, "is litellm-hybrid, not LiteLLM", "base-url"),
        (
            ProbeResponse(400, (), b"Client sent an HTTP request to an HTTPS server.\n"),
            Program.UNKNOWN,
            "wants https",
            "`base-url: https://127.0.0.1:4000`",
        ),
    ],
)
def test_somebody_else_answers(seen: ProbeResponse, who: Program, symptom: str, fix: str) -> None:
    finding = doctor_server.somebody_else(doctor_server.litellm(LITELLM), who, seen, "/health/liveliness")
    assert finding is not None
    assert (symptom in finding.symptom, fix in finding.fix) == (True, True), finding
    assert "secret" not in finding.symptom + finding.fix


@pytest.mark.parametrize("who", [Program.LITELLM, Program.UNKNOWN])
def test_the_right_one_or_perhaps_the_right_one(who: Program) -> None:
    assert doctor_server.somebody_else(doctor_server.litellm(LITELLM), who, answer({}), "/") is None


# -- upstream -----------------------------------------------------------------

ROOT = answer({"message": "CLI Proxy API Server"})
UPSTREAM: dict[str, ProbeResult] = {
    "upstream-root": ROOT,
    "upstream-alive": NOT_FOUND,
    "upstream-open": ProbeResponse(401, (), b'{"error":"Missing API key"}'),
    "upstream-provider": ProbeResponse(401),
    "upstream-version": NOT_FOUND,
}
WITH_KEY = Settings(client_keys=(Secret("sk-client"),))


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
            {"upstream-version": ProbeResponse(403, (("x-cpa-version", "6.10.9"),))},
            [("upstream", "ok")],
            "CLIProxyAPI (6.10.9) answers",
        ),
        (
            Settings(),
            {"upstream-provider": NOT_FOUND},
            [("upstream", "ok"), ("provider-prefix", "note")],
            "(7.2 or newer)",
        ),
        (Settings(strip_provider_prefix=True), {"upstream-provider": NOT_FOUND}, [("upstream", "ok")], "7.2"),
        (Settings(), {"upstream-provider": REFUSED}, [("upstream", "ok")], "(unknown)"),
        (Settings(), {"upstream-root": REFUSED}, [("upstream", "error")], "nothing listens at"),
        (Settings(), {"upstream-root": answer("LiteLLM: RUNNING")}, [("upstream", "error")], "is LiteLLM"),
        (Settings(), {"upstream-alive": ALIVE, "upstream-root": PAGE}, [("upstream", "error")], "is LiteLLM"),
        (
            Settings(),
            {"upstream-root": answer({"hello": 1})},
            [("upstream", "warning")],
            "does not say that it is",
        ),
        (
            Settings(),
            {"upstream-open": answer({}, 403, x_cpa_safe_mode="example-api-key")},
            [("upstream", "ok"), ("upstream", "error")],
            "CLIProxyAPI (",
        ),
        (WITH_KEY, {"upstream-models": models("m")}, [("upstream", "ok")], ""),
        (
            WITH_KEY,
            {"upstream-models": ProbeResponse(401)},
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
    findings = doctor_upstream.judge(settings, UPSTREAM | changed)
    assert said(findings) == expected
    assert words in findings[0].symptom


def test_the_models_of_upstream_come_from_whoever_is_shown_them() -> None:
    assert doctor_upstream.models({"upstream-models": ProbeResponse(401), "upstream-open": models("a")}) == (
        "a",
    )
    assert doctor_upstream.models({"upstream-models": models("b"), "upstream-open": models("a")}) == ("b",)
    assert doctor_upstream.models(UPSTREAM) == ()


# -- LiteLLM ------------------------------------------------------------------

ROUTED = Settings(enabled=True, base_url=LITELLM, api_key=Secret(KEY))
NO_AUTH = Settings(enabled=True, base_url=LITELLM, no_auth=True)
UP: dict[str, ProbeResult] = {
    "litellm-alive": ALIVE,
    "litellm-root": answer("LiteLLM: RUNNING"),
    "litellm-ready": answer({"status": "healthy"}),
    "litellm-open": NO_KEY,
    "litellm-models": models("gpt-5"),
    "litellm-details": answer({"litellm_version": "1.106.2"}),
}
NO_DB = answer({"error": {"message": "No connected db.", "type": "no_db_connection"}}, 400)


@pytest.mark.parametrize(
    ("settings", "changed", "expected", "fix"),
    [
        (ROUTED, {}, [("litellm", "ok"), ("api-key", "ok")], ""),
        (Settings(), {}, [("litellm", "note")], "`base-url: http://127.0.0.1:4000`"),
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
        (ROUTED, {"litellm-open": models()}, [("litellm", "ok"), ("api-key", "note")], "`api-key: none`"),
        (NO_AUTH, {"litellm-open": models()}, [("litellm", "ok"), ("api-key", "ok")], ""),
        (NO_AUTH, {}, [("litellm", "ok"), ("api-key", "error")], "`api-key: ${LITELLM"),
        (
            Settings(enabled=True, base_url=LITELLM),
            {},
            [("litellm", "ok"), ("api-key", "note")],
            "`api-key: none`",
        ),
        (ROUTED, {"litellm-alive": PAGE, "litellm-root": PAGE}, [("litellm", "error")], "`base-url: "),
        (ROUTED, {"litellm-alive": NOT_FOUND, "litellm-root": ROOT}, [("litellm", "error")], "`base-url: "),
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
    findings = doctor_litellm.judge(settings, UP | changed)
    assert said(findings) == expected
    assert any(fix in finding.fix for finding in findings)


def test_its_version() -> None:
    assert doctor_litellm.version_of(UP) == "1.106.2"
    assert doctor_litellm.version_of({"litellm-ready": answer({"litellm_version": "1.50"})}) == "1.50"
    assert doctor_litellm.version_of({"litellm-ready": answer([])}) == ""


def test_which_models_litellm_lists() -> None:
    assert doctor_litellm.models(UP) == ("gpt-5",)
    assert doctor_litellm.models({"litellm-models": NO_DB, "litellm-open": models("a")}) == ("a",)
    assert doctor_litellm.models({"litellm-open": NO_KEY}) is None


# -- the file, the address, the surroundings ----------------------------------


def findings_of(text: str) -> list[Finding]:
    return doctor_file.judge(parse(text, source="f.yaml", env={}), "f.yaml")


@pytest.mark.parametrize(
    ("text", "severity", "fix"),
    [
        (
            "litellm-base-url: http://h\nlitellm-fallback-enabled: false\n",
            "note",
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


def test_a_v1_at_the_end_is_a_note() -> None:
    found = findings_of("litellm-base-url: http://h/v1\n")
    assert [(each.severity, each.fix) for each in found if "/v1" in each.symptom] == [
        (Severity.NOTE, "write base-url without it")
    ]


def test_an_error_of_the_file_says_what_to_write() -> None:
    with pytest.raises(ConfigError) as error:
        parse("litellm-modles: [a]\nlitellm-hybrid-mode: perhaps\n", source="f.yaml", env={})
    first, second = doctor_file.broken(error.value)
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
        (WITH_KEY, "ok", "and clients with a key"),
        (Settings(listen=("0.0.0.0", 8318)), "error", "will not listen on 0.0.0.0"),  # noqa: S104
        (Settings(listen=("10.0.0.1", 1), listen_without_keys=True), "warning", "may use it"),
        (
            Settings(
                listen=("10.0.0.1", 1),
                listen_without_keys=True,
                enabled=True,
                base_url=LITELLM,
                api_key=Secret(KEY),
            ),
            "warning",
            "may spend LiteLLM's key",
        ),
        (Settings(listen=("10.0.0.1", 1), client_keys=(Secret("k"),)), "ok", "need a client key"),
    ],
)
def test_access(settings: Settings, severity: str, words: str) -> None:
    (finding,) = doctor_file.access(settings)
    assert finding.severity == severity
    assert words in finding.symptom
    assert finding.severity is Severity.OK or "client-api-keys" in finding.fix


def test_surroundings() -> None:
    assert said(doctor_file.surroundings((3, 12), "12.2.3", "")) == [("python", "ok"), ("mitmproxy", "ok")]
    lacking = (
        'mitmproxy 13.0 does not have X.y as litellm-hybrid needs it; install one: pip install "mitmproxy<13"'
    )
    old, broken = doctor_file.surroundings((3, 11), "13.0", lacking)
    assert (old.severity, broken.severity) == (Severity.ERROR, Severity.ERROR)
    assert "--python 3.12" in old.fix
    assert (broken.symptom[:22], broken.fix) == (
        "mitmproxy 13.0 does no",
        'install one: pip install "mitmproxy<13"',
    )


def health(**value: object) -> dict[str, ProbeResult]:
    return {"listen-health": answer(value, x_hybrid_route="none; reason=own-page"), "listen-root": NOT_FOUND}


def other(seen: ProbeResult) -> dict[str, ProbeResult]:
    return {"listen-health": NOT_FOUND, "listen-root": seen}


IN_USE = OSError(errno.EADDRINUSE, "Address already in use")
DOWN = {"reason": "upstream-unreachable", "message": "CLIProxyAPI could not be reached"}


@pytest.mark.parametrize(
    ("seen", "bound", "severity", "symptom", "fix"),
    [
        (other(REFUSED), None, "ok", "is free", ""),
        (health(live=True, ready=True, reasons=[]), None, "ok", "and is ready", ""),
        (health(live=True, ready=False, reasons=[DOWN]), None, "warning", "upstream-unreachable", "below"),
        (health(error="litellm_access_refused"), None, "ok", "to others only", ""),
        (other(ROOT), IN_USE, "error", "is taken by CLIProxyAPI", "`listen: 127.0.0.1:8319`"),
        (other(PAGE), IN_USE, "error", "is taken by another program", "ss -ltnp 'sport = :8318'"),
        (
            other(ConnectFailure(FailureKind.TIMEOUT)),
            IN_USE,
            "error",
            "by a program that does not answer",
            "ss -ltnp",
        ),
        (other(REFUSED), OSError(errno.EACCES, "denied"), "error", "nothing can listen on", "8318"),
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
    (finding,) = doctor_listen.judge(Settings(), seen, bound)
    assert (finding.severity, symptom in finding.symptom, fix in finding.fix) == (severity, True, True), (
        finding
    )


# -- what is asked ------------------------------------------------------------


@pytest.mark.parametrize("settings", [Settings(), ROUTED, NO_AUTH, WITH_KEY])
def test_nothing_that_is_asked_costs_or_changes_anything(settings: Settings) -> None:
    for name, ask in probes.plan(settings).items():
        assert ask.method == "GET", name
        assert ask.path != "/health", name
        assert ask.within <= 5, name
        if ask.path.startswith("/v0/management"):
            assert ("X-Forwarded-For", "192.0.2.1") in ask.headers


def test_keys_go_only_where_they_belong() -> None:
    settings = Settings(base_url=LITELLM, api_key=Secret(KEY), client_keys=(Secret("sk-client"),))
    for ask in probes.plan(settings).values():
        sent = str(ask.headers)
        assert KEY not in sent or ask.address == LITELLM
        assert "sk-client" not in sent or ask.address == settings.upstream


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.1", "10.0.0.1")],  # noqa: S104
)
def test_where_this_machine_reaches_the_proxy(host: str, reached: str) -> None:
    assert probes.proxy_address(Settings(listen=(host, 1))).host == reached
