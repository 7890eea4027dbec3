"""Which configured names LiteLLM does not know, and the line to write instead."""

import pytest

from litellm_hybrid.config.parser import parse
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.doctor.check_models import Known, judge
from litellm_hybrid.diagnostics.doctor.report import Severity

LISTED = ("gpt-5", "claude-sonnet-4-5", "openai/o3", "gemini-2.5-pro")


def settings(rest: str, *, enabled: bool = True) -> Settings:
    head = f"litellm-hybrid-mode: {str(enabled).lower()}\nlitellm-base-url: http://h\nlitellm-api-key: k\n"
    return parse(head + rest, source="f", env={}).settings


@pytest.mark.parametrize(
    ("rest", "symptom", "fix"),
    [
        (
            "litellm-models: [GPT-5]",
            '"GPT-5", which `models`',
            "in `models` write `- gpt-5` instead of `- GPT-5`",
        ),
        (
            "litellm-models: [claude-sonet-4-5]",
            '"claude-sonet-4-5"',
            (
                "in `models` write `- claude-sonnet-4-5` instead of `- claude-sonet-4-5`; if clients really ask for it: "
                "in `model-mappings` write `claude-sonet-4-5: claude-sonnet-4-5`"
            ),
        ),
        ("litellm-models: [o3]", '"o3"', "in `model-mappings` write `o3: openai/o3`"),
        (
            "litellm-models: [opus]\nlitellm-model-mappings: {opus: Gemini-2.5-pro}",
            '"Gemini-2.5-pro", which `model-mappings`',
            "in `model-mappings` write `opus: gemini-2.5-pro`",
        ),
        (
            "litellm-model-mappings: {'a*': gemini-25-pro}",
            '"gemini-25-pro"',
            'in `model-mappings` write `"a*": gemini-2.5-pro`',
        ),
        (
            "litellm-models: ['claude-x[1m]']",
            '"claude-x[1m]"',
            (
                "add `model_name: \"claude-x[1m]\"` to LiteLLM's model_list, or write LiteLLM's name for it: "
                'in `model-mappings` write `"claude-x[1m]": NAME`'
            ),
        ),
    ],
)
def test_an_unknown_name_comes_with_the_line_to_write(rest: str, symptom: str, fix: str) -> None:
    (finding,) = judge(settings(rest), LISTED, ())
    assert finding.severity is Severity.ERROR
    assert finding.symptom.startswith(f"LiteLLM does not know {symptom}")
    assert finding.fix == fix


def test_it_is_a_warning_while_nothing_is_routed() -> None:
    (finding,) = judge(settings("litellm-models: [nope]", enabled=False), LISTED, ())
    assert finding.severity is Severity.WARNING


def test_what_it_knows_is_named_where_nothing_is_near() -> None:
    (finding,) = judge(settings("litellm-models: [nope]"), ("a", "b", "c", "d", "e", "f"), ())
    assert finding.cause.endswith("it knows a, b, c, d, e, …")
    (finding,) = judge(settings("litellm-models: [nope]"), (), ())
    assert finding.cause.endswith("it knows no model at all")


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
    assert (name in Known(listed)) is known


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
    findings = judge(settings(rest), listed, ())
    assert [finding.severity for finding in findings] == [Severity.WARNING if warned else Severity.OK]


FALLBACK = "litellm-models: [gpt-5]\nlitellm-fallback-enabled: true\n"


@pytest.mark.parametrize(
    ("rest", "upstream", "missing"),
    [
        (FALLBACK, ("gpt-5", "claude-sonnet-4-5(high)"), ""),
        (FALLBACK, ("gpt-5", "claude-opus-4", "gemini-2.5-pro"), "lacks 1 of the 2 upstream models"),
        (FALLBACK + "litellm-model-mappings: {'claude-opus*': claude-sonnet-4-5}", ("claude-opus-4",), ""),
        ("litellm-models: [gpt-5]\n", ("claude-opus-4",), ""),
    ],
)
def test_which_models_could_not_fall_back(rest: str, upstream: tuple[str, ...], missing: str) -> None:
    findings = [each for each in judge(settings(rest), LISTED, upstream) if each.check == "fallback"]
    assert [missing in finding.symptom for finding in findings] == [True] * bool(missing)
    assert all(finding.severity is Severity.NOTE for finding in findings)


def test_without_any_name_there_is_nothing_to_say() -> None:
    assert judge(settings("litellm-passthrough-mode: true"), LISTED, ()) == []
