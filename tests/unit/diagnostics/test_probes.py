"""What is asked, and what a response says of its program."""

import pytest

from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.diagnostics.probes import (
    TRANSFORM,
    ProbeResult,
    Program,
    identify,
    is_safe_mode,
    plan,
    proxy_address,
)
from support.probes import ALIVE, CLIPROXYAPI, NOT_FOUND, PAGE, REFUSED, response

LITELLM = Address("http", "127.0.0.1", 4000)
KEY = "sk-key-of-litellm"
WITH_KEY = Settings(client_keys=(Secret("sk-client"),))
ROUTED = Settings(enabled=True, base_url=LITELLM, api_key=Secret(KEY))
NO_AUTH = Settings(enabled=True, base_url=LITELLM, no_auth=True)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ((response({"message": "CLI Proxy API Server"}),), Program.CLIPROXYAPI),
        (
            (ProbeResult(200, (("access-control-expose-headers", "Location, X-CPA-VERSION"),), PAGE.body),),
            "CLIProxyAPI",
        ),
        ((NOT_FOUND, ALIVE), Program.LITELLM),
        ((response("LiteLLM: RUNNING"),), Program.LITELLM),
        ((response({}, x_hybrid_route="upstream; reason=not-post"), ALIVE), Program.OURSELVES),
        ((PAGE,), Program.UNKNOWN),
        ((REFUSED, NOT_FOUND), Program.UNKNOWN),
        ((REFUSED,), Program.UNKNOWN),
        ((response({"message": 7}), response([]), ProbeResult(200, (), b"[" * 100_000)), Program.UNKNOWN),
    ],
)
def test_who_answers(seen: tuple[ProbeResult, ...], expected: Program) -> None:
    assert identify(*seen) == expected


SAFE_PAGE = b'<!doctype html><html lang="en"><head><title>Example API key detected</title>'


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ((CLIPROXYAPI, response({"data": []})), False),
        ((CLIPROXYAPI, response({}, 403, x_cpa_safe_mode="example-api-key")), True),  # v7.2
        ((ProbeResult(200, (), SAFE_PAGE), NOT_FOUND), True),  # v7.1
        ((PAGE, REFUSED), False),
    ],
)
def test_safe_mode(results: tuple[ProbeResult, ...], expected: bool) -> None:
    assert is_safe_mode(*results) is expected
    if expected:
        assert identify(*results) is Program.CLIPROXYAPI


def test_how_far_a_clock_is_ahead() -> None:
    at = 1795734000.0
    date = ("date", "Thu, 26 Nov 2026 23:01:00 GMT")
    assert ProbeResult(200, (date,), at=at).clock_skew == 60
    assert ProbeResult(200, (date,)).clock_skew is None
    assert ProbeResult(200, (), at=at).clock_skew is None
    assert ProbeResult(200, (("date", "soon"),), at=at).clock_skew is None


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
    assert ProbeResult(400, (), body).error == error


@pytest.mark.parametrize("settings", [Settings(), ROUTED, NO_AUTH, WITH_KEY])
def test_nothing_that_is_asked_costs_or_changes_anything(settings: Settings) -> None:
    for name, probe in plan(settings).items():
        assert probe.method == ("POST" if probe.path == TRANSFORM else "GET"), name
        assert probe.path != "/health", name
        assert probe.within <= 5, name
        if probe.path.startswith("/v0/management"):
            assert ("X-Forwarded-For", "192.0.2.1") in probe.headers


def test_keys_go_only_where_they_belong() -> None:
    settings = Settings(base_url=LITELLM, api_key=Secret(KEY), client_keys=(Secret("sk-client"),))
    for probe in plan(settings).values():
        sent = str(probe.headers)
        assert KEY not in sent or probe.address == LITELLM
        assert "sk-client" not in sent or probe.address == settings.upstream


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.1", "10.0.0.1")],  # noqa: S104
)
def test_where_this_machine_reaches_the_proxy(host: str, reached: str) -> None:
    assert proxy_address(Settings(listen=(host, 1))).host == reached
