"""A reason out of whatever text the user has, and what it means there."""

import pytest

from litellm_hybrid.diagnostics.explain import reason_lookup as explain_reason
from litellm_hybrid.diagnostics.explain.reason_catalog import MEANINGS
from litellm_hybrid.diagnostics.explain.reason_lookup import FALLBACK_FAILURES, Seen, parse
from litellm_hybrid.routing.rules import Reason, Target


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        *((reason.value, Seen(reason)) for reason in Reason),
        (" Not-Listed\n", Seen(Reason.NOT_LISTED)),
        ("reason=not-listed", Seen(Reason.NOT_LISTED)),
        ("upstream; reason=not-listed", Seen(Reason.NOT_LISTED, Target.UPSTREAM)),
        ("x-hybrid-route: none; reason=error\r\n", Seen(Reason.ERROR, Target.NONE)),
        ("litellm;reason=error", Seen(Reason.ERROR, Target.LITELLM)),
        (
            "< x-hybrid-route: litellm; reason=fallback; upstream-status=429; history=reduced",
            Seen(Reason.FALLBACK, Target.LITELLM),
        ),
        (
            "upstream; reason=fallback-failed; fallback-failed=not-allowed",
            Seen(Reason.FALLBACK_FAILED, Target.UPSTREAM, "not-allowed"),
        ),
        (
            "[12:00:00.123] litellm routing: reason → LiteLLM request_id=req-1 reason=passthrough sends=reason",
            Seen(Reason.PASSTHROUGH),
        ),
        ('{"message": "…", "target": "litellm", "reason": "error"}', Seen(Reason.ERROR, Target.LITELLM)),
    ],
)
def test_a_reason_is_found_in_a_header_or_a_log_line(text: str, seen: Seen) -> None:
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
    said = explain_reason.meaning(parse(f"upstream; reason=fallback-failed; fallback-failed={why}"))
    assert said.means.startswith("upstream failed, and ")
    assert said != MEANINGS[Reason.FALLBACK_FAILED]
    assert (FALLBACK_FAILURES[why][1] if why in FALLBACK_FAILURES else "log line") in said.fix


@pytest.mark.parametrize(
    ("target", "fix"), [("litellm", "`base-url`"), ("upstream", "CLIProxyAPI"), ("none", "log")]
)
def test_an_error_is_explained_by_whose_it_is(target: str, fix: str) -> None:
    assert fix in explain_reason.meaning(parse(f"{target}; reason=error")).fix


def test_the_lines_and_the_json_say_the_same() -> None:
    seen = parse("upstream; reason=not-listed")
    shown = {line.label: line.text for line in explain_reason.lines(seen)}
    said = explain_reason.as_json(seen)
    assert shown == {
        "reason": "not-listed: upstream answered",
        "means": said["means"],
        "fix": said["fix"],
        "more": "litellm-hybrid explain MODEL",
    }
    assert (said["reason"], said["target"]) == ("not-listed", "upstream")
