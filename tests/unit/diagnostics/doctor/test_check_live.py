"""The requests that `doctor --live` sends, and what their answers mean."""

import json

import pytest

from litellm_hybrid.config.model_patterns import Patterns
from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.diagnostics.doctor.check_live import check, plan, unasked
from litellm_hybrid.diagnostics.doctor.probes import ConnectFailure, FailureKind, ProbeResponse, ProbeResult

LITELLM = Address("http", "127.0.0.1", 4000)
ROUTED = Settings(
    enabled=True,
    base_url=LITELLM,
    api_key=Secret("sk-litellm"),
    client_keys=(Secret("sk-client"),),
    models=Patterns(["gpt*", "GPT-5"]),
)
UPSTREAM = ("gpt-5", "claude-opus-4")


@pytest.mark.parametrize(
    ("settings", "runs", "expected"),
    [
        (
            ROUTED,
            True,
            [
                ("live-litellm", 8318, "GPT-5", "litellm;"),
                ("live-upstream", 8318, "claude-opus-4", "upstream;"),
            ],
        ),
        (ROUTED, False, [("live-litellm", 4000, "GPT-5", ""), ("live-upstream", 8317, "claude-opus-4", "")]),
        (Settings(), False, [("live-upstream", 8317, "gpt-5", "")]),
        (
            Settings(base_url=LITELLM),
            True,
            [("live-litellm", 4000, "listed", ""), ("live-upstream", 8318, "gpt-5", "upstream;")],
        ),
        (
            Settings(enabled=True, base_url=LITELLM, passthrough=True),
            True,
            [("live-litellm", 4000, "listed", ""), ("live-upstream", 8317, "gpt-5", "")],
        ),
    ],
)
def test_one_request_each_way(
    settings: Settings, runs: bool, expected: list[tuple[str, int, str, str]]
) -> None:
    planned = plan(settings, ("openai/*", "listed"), UPSTREAM, runs=runs)
    assert [(live.check, live.probe.address.port, live.model, live.expects) for live in planned] == expected
    for live in planned:
        body = json.loads(live.probe.body)
        assert (body["model"], body["max_tokens"], body["stream"]) == (live.model, 1, False)
        assert live.model in live.message
        sent = str(live.probe.headers)
        assert ("sk-litellm" in sent) == (live.probe.address == LITELLM and settings.api_key is not None)


def test_a_server_that_is_not_asked_is_named() -> None:
    assert plan(ROUTED, (), (), runs=False)[0].check == "live-litellm"
    assert [each.check for each in unasked(ROUTED, plan(ROUTED, (), (), runs=False))] == ["live-upstream"]
    assert [each.check for each in unasked(Settings(base_url=LITELLM), [])] == [
        "live-upstream",
        "live-litellm",
    ]


def routed(header: str, status: int = 200) -> ProbeResponse:
    return ProbeResponse(status, (("x-hybrid-route", header),), b'{"error":{"message":"why"}}')


FELL_BACK = "litellm; reason=fallback; upstream-status=429"


@pytest.mark.parametrize(
    ("runs", "index", "seen", "severity", "words"),
    [
        (
            True,
            0,
            routed("litellm; reason=model"),
            "ok",
            "LiteLLM served GPT-5 in 0.00 s (litellm; reason=model)",
        ),
        (False, 0, ProbeResponse(200, (("x-litellm-response-cost", "7e-05"),)), "ok", "for $7e-05"),
        (
            True,
            0,
            routed("upstream; reason=not-listed"),
            "warning",
            "went elsewhere: upstream; reason=not-listed",
        ),
        (True, 1, routed("upstream; reason=not-listed"), "ok", "upstream served claude-opus-4"),
        (True, 1, routed(FELL_BACK), "warning", f"LiteLLM served claude-opus-4 in 0.00 s ({FELL_BACK})"),
        (True, 0, routed("litellm; reason=error", 502), "error", "LiteLLM did not serve GPT-5: 502 why"),
        (
            False,
            1,
            ProbeResponse(429, (), b'{"error":{"message":"used up"}}'),
            "error",
            "upstream did not serve claude-opus-4: 429 used up",
        ),
        (False, 1, ProbeResponse(418), "error", "418"),
        (
            False,
            0,
            ConnectFailure(FailureKind.TIMEOUT, "timed out"),
            "error",
            "no response from LiteLLM for GPT-5: timed out",
        ),
    ],
)
def test_what_its_answer_means(runs: bool, index: int, seen: ProbeResult, severity: str, words: str) -> None:
    live = plan(ROUTED, (), UPSTREAM, runs=runs)[index]
    finding = check(live, seen)
    assert (finding.severity, words in finding.symptom) == (severity, True), finding
    assert finding.severity == "ok" or finding.fix
