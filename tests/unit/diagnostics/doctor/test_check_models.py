"""Which configured names LiteLLM does not know, and the line to write instead."""

import pytest

from litellm_hybrid.config.parser import parse
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor.check_models import KnownModels, check
from litellm_hybrid.diagnostics.doctor.report import Severity

LISTED = ("gpt-5", "claude-sonnet-4-5", "openai/o3", "gemini-2.5-pro")


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
    (finding,) = check(settings(rest), LISTED, ())
    assert finding.severity is Severity.ERROR
    assert finding.symptom.startswith(f"LiteLLM does not know {symptom}")
    assert finding.fix.endswith(f"in `model-mappings` write {fix}")
    assert ("add `model_name: " in finding.fix) == ("NAME" in fix)


def test_it_is_a_warning_while_nothing_is_routed() -> None:
    (finding,) = check(settings("litellm-models: [nope]", enabled=False), LISTED, ())
    assert finding.severity is Severity.WARNING


def test_what_it_knows_is_named_where_nothing_is_near() -> None:
    (finding,) = check(settings("litellm-models: [nope]"), ("a", "b", "c", "d", "e", "f"), ())
    assert finding.symptom.endswith("it knows a, b, c, d, e, …")
    (finding,) = check(settings("litellm-models: [nope]"), (), ())
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
    findings = check(settings(rest), listed, ())
    assert [finding.severity for finding in findings] == [Severity.WARNING if warned else Severity.OK]


FALLBACK = "litellm-models: [gpt-5]\nlitellm-fallback-enabled: true\n"
MAPPED = FALLBACK + "litellm-model-mappings: {'claude-opus*': claude-sonnet-4-5}"


@pytest.mark.parametrize(
    ("rest", "upstream", "severity", "words"),
    [
        (FALLBACK, ("gpt-5", "claude-sonnet-4-5(high)"), "ok", "each of the 1 models that may fall back"),
        (
            FALLBACK,
            ("gpt-5", "claude-opus-4", "gemini-2.5-pro"),
            "warning",
            "lacks 1 of the 2 models that may fall back: claude-opus-4",
        ),
        (FALLBACK, ("claude-opus-4", "grok-4"), "error", "lacks 2 of the 2 models"),
        (FALLBACK, (), "not checked", "upstream has no model"),
        (FALLBACK, None, "not checked", "which models may fall back is not known"),
        (MAPPED, ("claude-opus-4",), "ok", "each of the 1"),
    ],
)
def test_each_model_that_may_fall_back_is_looked_up_in_both_lists(
    rest: str, upstream: tuple[str, ...] | None, severity: str, words: str
) -> None:
    (finding,) = [each for each in check(settings(rest), LISTED, upstream) if each.check == "fallback"]
    assert (finding.severity, words in finding.symptom) == (severity, True), finding


def test_what_a_missing_model_is_probably_called_is_said() -> None:
    upstream = ("GPT-5", "claude-sonnet-4-5-20250929", "o3", "grok-4")
    head = "litellm-fallback-enabled: true\n"
    (finding,) = [each for each in check(settings(head), LISTED, upstream) if each.check == "fallback"]
    for line in ("`GPT-5: gpt-5`", "4-5-20250929: claude-sonnet-4-5`", "`o3: openai/o3`", "`grok-4: NAME`"):
        assert line in finding.fix, finding


def test_an_entry_that_fits_no_model_of_upstreams() -> None:
    text = (
        "extensions: {litellm: {base-url: 'http://h', api-key: k, "
        "fallback: {enabled: true, models: [gpt-5, claud*]}}}"
    )
    found = check(parse(text, source="f", env={}).settings, LISTED, ("gpt-5",))
    assert [(each.severity, '"claud*"' in each.symptom) for each in found] == [
        (Severity.WARNING, True),
        (Severity.OK, False),
    ]


def test_without_fallback_it_is_not_looked_at() -> None:
    found = check(settings("litellm-models: [gpt-5]\n"), LISTED, ("claude-opus-4",))
    assert [each.check for each in found] == ["models"]


@pytest.mark.parametrize(
    ("rest", "checks"),
    [
        (FALLBACK, ["models", "fallback"]),
        ("litellm-models: [gpt-5]\n", ["models"]),
        ("litellm-passthrough-mode: true", []),
    ],
)
def test_what_cannot_be_looked_at_without_litellms_list(rest: str, checks: list[str]) -> None:
    found = check(settings(rest), None, ("gpt-5",))
    assert [(each.check, each.severity) for each in found] == [
        (name, Severity.NOT_CHECKED) for name in checks
    ]


def test_without_any_name_there_is_nothing_to_say() -> None:
    assert check(settings("litellm-passthrough-mode: true"), LISTED, ()) == []
    assert check(Settings(), None, None) == []
