"""Which names LiteLLM does not know; and the requests that `doctor --live` sends, and what is said of them."""

import json
from collections.abc import Sequence

import pytest

from litellm_hybrid.config.parser import parse
from litellm_hybrid.config.settings import Address, Patterns, Secret, Settings
from litellm_hybrid.diagnostics.check_models import (
    KnownModels,
    LiveRequest,
    check_live,
    check_names,
    check_prices,
    plan_live,
    unasked,
)
from litellm_hybrid.diagnostics.probes import (
    FailureKind,
    ProbeResult,
    Results,
)
from litellm_hybrid.diagnostics.report import Finding, Severity
from support.probes import NO_KEY, REFUSED, failed, lists, models

LISTED = ("gpt-5", "claude-sonnet-4-5", "openai/o3", "gemini-2.5-pro")


def names_checked(
    settings: Settings, litellm: Sequence[str] | None, upstream: Sequence[str] | None
) -> list[Finding]:
    return check_names(settings, lists(litellm, upstream))


def live_planned(
    settings: Settings, litellm: Sequence[str], upstream: Sequence[str], *, runs: bool
) -> list[LiveRequest]:
    return plan_live(settings, lists(litellm, upstream), runs=runs)


def settings(rest: str, *, enabled: bool = True) -> Settings:
    head = f"litellm-hybrid-mode: {str(enabled).lower()}\nlitellm-base-url: http://h\nlitellm-api-key: k\n"
    return parse(head + rest, source="f", env={}).settings


@pytest.mark.parametrize(
    ("rest", "symptom", "fix"),
    [
        ("litellm-models: [GPT-5]", '"GPT-5": it knows gpt-5', "`GPT-5: gpt-5`"),
        ("litellm-models: [claude-sonet-4-5]", '"claude-sonet-4-5"', "`claude-sonet-4-5: claude-sonnet-4-5`"),
        ("litellm-models: [o3]", '"o3": it knows openai/o3', "`o3: openai/o3`"),
        (
            "litellm-models: [opus]\nlitellm-model-mappings: {opus: Gemini-2.5-pro}",
            '"Gemini-2.5-pro"',
            "`opus: gemini-2.5-pro`",
        ),
        ("litellm-model-mappings: {'a*': gemini-25-pro}", '"gemini-25-pro"', '`"a*": gemini-2.5-pro`'),
        ("litellm-models: [gpt-5-2025-08-07]", '"gpt-5-2025-08-07"', "`gpt-5-2025-08-07: gpt-5`"),
        ("litellm-models: ['claude-x[1m]']", '"claude-x[1m]": it knows gpt-5, ', '`"claude-x[1m]": NAME`'),
    ],
)
def test_an_unknown_name_comes_with_the_line_to_write(rest: str, symptom: str, fix: str) -> None:
    (finding,) = names_checked(settings(rest), LISTED, ())
    assert finding.severity is Severity.ERROR
    assert finding.symptom.startswith(f"LiteLLM does not know {symptom}")
    assert finding.fix.endswith(f"in `model-mappings` write {fix}")
    assert ("add `model_name: " in finding.fix) == ("NAME" in fix)


def test_it_is_a_warning_while_nothing_is_routed() -> None:
    (finding,) = names_checked(settings("litellm-models: [nope]", enabled=False), LISTED, ())
    assert finding.severity is Severity.WARNING


def test_what_it_knows_is_named_where_nothing_is_near() -> None:
    (finding,) = names_checked(settings("litellm-models: [nope]"), ("a", "b", "c", "d", "e", "f"), ())
    assert finding.symptom.endswith("it knows a, b, c, d, e, …")
    (finding,) = names_checked(settings("litellm-models: [nope]"), (), ())
    assert finding.symptom.endswith("it knows no model at all")


@pytest.mark.parametrize(
    ("listed", "name", "known"),
    [
        (("gpt-5",), "gpt-5", True),
        (("gpt-5",), "GPT-5", False),
        (("openai/*", "openai/gpt-4o"), "openai/gpt-99", True),
        (("openai/*", "openai/gpt-4o"), "gpt-4o", True),
        (("openai/*", "openai/gpt-4o"), "gpt-99", False),
        (("openai/*",), "OpenAI/gpt-4o", False),
        (("*",), "anything", True),
        (("gpt.*",), "gpt-5", False),
        (("openai/o3",), "o3", False),
    ],
)
def test_what_litellm_knows(listed: tuple[str, ...], name: str, known: bool) -> None:
    assert (name in KnownModels(listed)) is known


@pytest.mark.parametrize(
    ("rest", "listed", "warned"),
    [
        ("litellm-models: ['gpt-*']", LISTED, False),
        ("litellm-models: ['GPT-*']", LISTED, False),
        ("litellm-models: ['grok-*']", LISTED, True),
        ("litellm-models: ['grok-*']", ("*",), False),
        ("litellm-models: ['grok-*']", ("openai/*", "openai/gpt-4o"), True),
        ("litellm-models: ['grok-*']\nlitellm-model-mappings: {grok-4: gpt-5}", LISTED, False),
        ("litellm-models: ['grok-*']\nlitellm-model-mappings: {'grok-*': gpt-5}", LISTED, False),
    ],
)
def test_a_glob_has_to_fit_something(rest: str, listed: tuple[str, ...], warned: bool) -> None:
    findings = names_checked(settings(rest), listed, ())
    assert [finding.severity for finding in findings] == [Severity.WARNING if warned else Severity.OK]


LIMITED = (
    "litellm-fallback-enabled: true\nextensions: {litellm: {fallback: {max-cost-per-day: 5, except: [o3]}}}"
)
FALLBACK = "litellm-models: [gpt-5]\nlitellm-fallback-enabled: true\n"
MAPPED = FALLBACK + "litellm-model-mappings: {'claude-opus*': claude-sonnet-4-5}"


@pytest.mark.parametrize(
    ("rest", "upstream", "severity", "words"),
    [
        (FALLBACK, ("gpt-5", "claude-sonnet-4-5(high)"), "ok", "knows the 1 model that may fall back"),
        (
            FALLBACK,
            ("gpt-5", "claude-opus-4", "gemini-2.5-pro"),
            "warning",
            "lacks 1 of the 2 models that may fall back: claude-opus-4",
        ),
        (FALLBACK, ("claude-opus-4", "grok-4"), "error", "lacks 2 of the 2 models"),
        (FALLBACK, (), "not checked", "upstream has no model"),
        (FALLBACK, None, "not checked", "which models may fall back is not known"),
        (MAPPED, ("claude-opus-4",), "ok", "knows the 1 model"),
        (LIMITED, ("gpt-5", "o3", "o4"), "warning", "o4"),
        (LIMITED, ("gpt-5", "o3"), "ok", "knows the 1 model that may fall back; not o3"),
    ],
)
def test_each_model_that_may_fall_back_is_looked_up_in_both_lists(
    rest: str, upstream: tuple[str, ...] | None, severity: str, words: str
) -> None:
    (finding,) = [
        each for each in names_checked(settings(rest), LISTED, upstream) if each.check == "fallback"
    ]
    assert (finding.severity, words in finding.symptom) == (severity, True), finding


def test_what_a_missing_model_is_probably_called_is_said() -> None:
    upstream = ("GPT-5", "claude-sonnet-4-5-20250929", "o3", "grok-4")
    head = "litellm-fallback-enabled: true\n"
    (finding,) = [
        each for each in names_checked(settings(head), LISTED, upstream) if each.check == "fallback"
    ]
    for line in ("`GPT-5: gpt-5`", "4-5-20250929: claude-sonnet-4-5`", "`o3: openai/o3`", "`grok-4: NAME`"):
        assert line in finding.fix, finding


def test_an_entry_that_fits_no_model_of_upstreams() -> None:
    text = (
        "extensions: {litellm: {base-url: 'http://h', api-key: k, "
        "fallback: {enabled: true, models: [gpt-5, claud*]}}}"
    )
    found = names_checked(parse(text, source="f", env={}).settings, LISTED, ("gpt-5",))
    assert [(each.severity, '"claud*"' in each.symptom) for each in found] == [
        (Severity.WARNING, True),
        (Severity.OK, False),
    ]


def test_without_fallback_it_is_not_looked_at() -> None:
    found = names_checked(settings("litellm-models: [gpt-5]\n"), LISTED, ("claude-opus-4",))
    assert [each.check for each in found] == ["models"]


PRICED = {"input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6}


@pytest.mark.parametrize(
    ("rest", "status", "upstream", "severity", "words"),
    [
        ("litellm-fallback-enabled: true", 200, ("gpt-5", "local"), None, ""),
        (LIMITED, 200, ("gpt-5",), "ok", "a price for each model"),
        (LIMITED, 200, ("gpt-5", "o3"), "ok", "a price for each model"),
        (LIMITED, 200, ("gpt-5", "local", "gone"), "warning", "no price for gone, local,"),
        (LIMITED, 200, ("local",), "error", "no price for local,"),
        (LIMITED, 403, ("gpt-5",), "error", "nothing falls back"),
        (LIMITED, 200, None, "not checked", "which models may fall back"),
        (LIMITED, 200, (), "not checked", "which models may fall back"),
    ],
)
def test_what_has_no_price_does_not_fall_back_where_a_days_cost_is_limited(
    rest: str, status: int, upstream: Sequence[str] | None, severity: str | None, words: str
) -> None:
    """LiteLLM says 0 of a model that it has no price for."""
    info = {
        "data": [{"model_name": "gpt-5", "model_info": PRICED}, {"model_name": "local", "model_info": {}}]
    }
    asked = lists(LISTED, upstream)
    asked["litellm-info"] = ProbeResult(status, body=json.dumps(info).encode())
    found = check_prices(settings(rest, enabled=False), asked)
    assert [(each.check, each.severity) for each in found] == ([("prices", severity)] if severity else [])
    assert all(words in each.symptom and (severity == "ok" or each.fix) for each in found)


@pytest.mark.parametrize(
    ("rest", "checks"),
    [
        (FALLBACK, ["models", "fallback"]),
        ("litellm-models: [gpt-5]\n", ["models"]),
        ("litellm-passthrough-mode: true", []),
    ],
)
def test_what_cannot_be_looked_at_without_litellms_list(rest: str, checks: list[str]) -> None:
    found = names_checked(settings(rest), None, ("gpt-5",))
    assert [(each.check, each.severity) for each in found] == [
        (name, Severity.NOT_CHECKED) for name in checks
    ]


@pytest.mark.parametrize(
    ("upstream", "takes"), [(NO_KEY, "--key KEY"), (REFUSED, "see what is said of upstream above")]
)
def test_what_it_takes_to_know_upstreams_models(upstream: ProbeResult, takes: str) -> None:
    found = check_names(
        settings(FALLBACK), Results({"litellm-open": models(*LISTED), "upstream-open": upstream})
    )
    assert [takes in each.fix for each in found if each.severity is Severity.NOT_CHECKED] == [True]


def test_without_any_name_there_is_nothing_to_say() -> None:
    assert names_checked(settings("litellm-passthrough-mode: true"), LISTED, ()) == []
    assert names_checked(Settings(), None, None) == []


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
    planned = live_planned(settings, ("openai/*", "listed"), UPSTREAM, runs=runs)
    assert [(live.check, live.probe.address.port, live.model, live.expects) for live in planned] == expected
    for live in planned:
        body = json.loads(live.probe.body)
        assert (body["model"], body["max_tokens"], body["stream"]) == (live.model, 1, False)
        assert live.model in live.message
        sent = str(live.probe.headers)
        assert ("sk-litellm" in sent) == (live.probe.address == LITELLM and settings.api_key is not None)


def test_a_server_that_is_not_asked_is_named() -> None:
    assert live_planned(ROUTED, (), (), runs=False)[0].check == "live-litellm"
    assert [each.check for each in unasked(ROUTED, live_planned(ROUTED, (), (), runs=False))] == [
        "live-upstream"
    ]
    assert [each.check for each in unasked(Settings(base_url=LITELLM), [])] == [
        "live-upstream",
        "live-litellm",
    ]


def routed(header: str, status: int = 200) -> ProbeResult:
    return ProbeResult(status, (("x-hybrid-route", header),), b'{"error":{"message":"why"}}')


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
        (False, 0, ProbeResult(200, (("x-litellm-response-cost", "7e-05"),)), "ok", "for $7e-05"),
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
            ProbeResult(429, (), b'{"error":{"message":"used up"}}'),
            "error",
            "upstream did not serve claude-opus-4: 429 used up",
        ),
        (False, 1, ProbeResult(418), "error", "418"),
        (
            False,
            0,
            failed(FailureKind.TIMEOUT, "timed out"),
            "error",
            "no response from LiteLLM for GPT-5: timed out",
        ),
    ],
)
def test_what_its_answer_means(runs: bool, index: int, seen: ProbeResult, severity: str, words: str) -> None:
    live = live_planned(ROUTED, (), UPSTREAM, runs=runs)[index]
    finding = check_live(live, seen)
    assert (finding.severity, words in finding.symptom) == (severity, True), finding
    assert finding.severity == "ok" or finding.fix
