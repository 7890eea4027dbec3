"""What is said of this machine: the file, who may use it, the address, the clock and Python."""

import errno
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from litellm_hybrid.config.parser import ConfigError, parse
from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.diagnostics.doctor.check_local import access, broken, clock, file, listen, surroundings
from litellm_hybrid.diagnostics.doctor.probes import (
    FailureKind,
    ProbeResult,
    Results,
)
from litellm_hybrid.diagnostics.doctor.report import Finding, Severity
from support.probes import ALIVE, CLIPROXYAPI, NOT_FOUND, PAGE, REFUSED, failed, response, summary

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
