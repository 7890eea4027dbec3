"""What is said of CLIProxyAPI."""

import pytest

from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.diagnostics.doctor.check_upstream import check
from litellm_hybrid.diagnostics.doctor.probes import (
    ProbeResponse,
    ProbeResult,
)
from litellm_hybrid.diagnostics.doctor.probes import (
    models as listed,
)
from support.probes import ALIVE, CLIPROXYAPI, NOT_FOUND, PAGE, REFUSED, models, response, summary

LITELLM = Address("http", "127.0.0.1", 4000)
KEY = "sk-key-of-litellm"
WITH_KEY = Settings(client_keys=(Secret("sk-client"),))
ROUTED = Settings(enabled=True, base_url=LITELLM, api_key=Secret(KEY))
NO_AUTH = Settings(enabled=True, base_url=LITELLM, no_auth=True)


UPSTREAM: dict[str, ProbeResult] = {
    "upstream-root": CLIPROXYAPI,
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
    findings = check(settings, UPSTREAM | changed)
    assert [each for each in summary(findings) if each[0] != "accounts"] == expected
    assert words in findings[0].symptom


def test_the_models_of_upstream_come_from_whoever_is_shown_them() -> None:
    assert listed("upstream", {"upstream-models": ProbeResponse(401), "upstream-open": models("a")}) == ("a",)
    assert listed("upstream", {"upstream-models": models("b"), "upstream-open": models("a")}) == ("b",)
    assert listed("upstream", UPSTREAM) is None


@pytest.mark.parametrize(
    ("changed", "severity", "words"),
    [
        ({}, "not checked", "wants a client key"),
        ({"upstream-open": models("a", "b")}, "ok", "has accounts for 2 models"),
        ({"upstream-open": models()}, "error", "no account"),
        ({"upstream-models": models()}, "error", "no account"),
        ({"upstream-models": ProbeResponse(401)}, "not checked", "accepts none"),
    ],
)
def test_its_accounts(changed: dict[str, ProbeResult], severity: str, words: str) -> None:
    """An upstream with no model serves nobody; one that shows its models to nobody here is a gap."""
    found = check(WITH_KEY, UPSTREAM | changed)
    (accounts,) = [each for each in found if each.check == "accounts"]
    assert (accounts.severity, words in accounts.symptom) == (severity, True), accounts
    assert severity != "not checked" or "--key KEY" in accounts.fix
