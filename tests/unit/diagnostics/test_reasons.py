"""The catalogue of reasons, and a reason out of whatever text the user has."""

import shlex

import pytest

from litellm_hybrid.diagnostics.reasons import FALLBACK_FAILURES, REASONS, RouteHeader, parse
from litellm_hybrid.routing.rules import Reason, Target

FROM = {
    Target.LITELLM: list(Reason)[: list(Reason).index(Reason.DISABLED)],
    Target.UPSTREAM: list(Reason)[list(Reason).index(Reason.DISABLED) : list(Reason).index(Reason.OWN_PAGE)],
    Target.NONE: list(Reason)[list(Reason).index(Reason.OWN_PAGE) :],
}
"""Who answers, by the order of the enum, which is grouped by it."""


def test_every_reason_has_a_meaning_in_the_order_of_the_enum() -> None:
    assert list(REASONS) == list(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_says_who_answered(reason: Reason) -> None:
    assert reason in FROM[REASONS[reason].target]


@pytest.mark.parametrize("reason", Reason)
def test_the_command_can_be_typed_and_the_words_are_sentences(reason: Reason) -> None:
    said = REASONS[reason]
    assert shlex.split(said.more)[0] in {"litellm-hybrid", "curl"}
    for text in (said.means, said.fix):
        assert text
        assert not text.endswith((".", " "))
        assert "  " not in text
        assert "|" not in text, "it stands in a table of the docs"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        *((reason.value, RouteHeader(reason)) for reason in Reason),
        (" Not-Listed\n", RouteHeader(Reason.NOT_LISTED)),
        ("reason=not-listed", RouteHeader(Reason.NOT_LISTED)),
        ("upstream; reason=not-listed", RouteHeader(Reason.NOT_LISTED, Target.UPSTREAM)),
        ("x-hybrid-route: none; reason=error\r\n", RouteHeader(Reason.ERROR, Target.NONE)),
        ("litellm;reason=error", RouteHeader(Reason.ERROR, Target.LITELLM)),
        (
            "< x-hybrid-route: litellm; reason=fallback; upstream-status=429; history=reduced; model=openai/gpt-5",
            RouteHeader(Reason.FALLBACK, Target.LITELLM),
        ),
        (
            "upstream; reason=fallback-failed; fallback-failed=not-allowed",
            RouteHeader(Reason.FALLBACK_FAILED, Target.UPSTREAM, "not-allowed"),
        ),
        (
            "[12:00:00.123] litellm routing: reason → LiteLLM request_id=req-1 reason=passthrough sends=reason",
            RouteHeader(Reason.PASSTHROUGH),
        ),
        (
            '{"message": "…", "target": "litellm", "reason": "error"}',
            RouteHeader(Reason.ERROR, Target.LITELLM),
        ),
    ],
)
def test_a_reason_is_found_in_a_header_or_a_log_line(text: str, seen: RouteHeader) -> None:
    assert parse(text) == seen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not-lsted", "'not-lsted' is no reason: did you mean not-listed?"),
        ("reason=zzz", "'zzz' is no reason: there are model, passthrough, "),
        ("", "'' is no reason: there are model, "),
    ],
)
def test_what_is_no_reason_is_an_error_that_names_the_nearest(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="is no reason") as caught:
        parse(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("why", [*FALLBACK_FAILURES, "502", "unknown"])
def test_a_failed_fallback_is_explained_by_what_failed(why: str) -> None:
    said = parse(f"upstream; reason=fallback-failed; fallback-failed={why}").meaning
    assert said.means.startswith("upstream failed, and ")
    assert said != REASONS[Reason.FALLBACK_FAILED]
    assert (FALLBACK_FAILURES[why][1] if why in FALLBACK_FAILURES else "log line") in said.fix


@pytest.mark.parametrize(
    ("target", "fix"), [("litellm", "`base-url`"), ("upstream", "CLIProxyAPI"), ("none", "log")]
)
def test_an_error_is_explained_by_whose_it_is(target: str, fix: str) -> None:
    assert fix in parse(f"{target}; reason=error").meaning.fix


def test_the_lines_and_the_json_say_the_same() -> None:
    seen = parse("upstream; reason=not-listed")
    shown = {line.label: line.text for line in seen.lines()}
    said = seen.as_json()
    assert shown == {
        "reason": "not-listed: upstream answered",
        "means": said["means"],
        "fix": said["fix"],
        "more": "litellm-hybrid explain MODEL",
    }
    assert (said["reason"], said["target"]) == ("not-listed", "upstream")
