"""The table of reasons: each has a meaning, a fix and a command, and the command is one of ours."""

import shlex

import pytest

from litellm_hybrid.diagnostics.explain.reason_catalog import MEANINGS
from litellm_hybrid.routing.rules import Reason, Target

FROM = {
    Target.LITELLM: list(Reason)[: list(Reason).index(Reason.DISABLED)],
    Target.UPSTREAM: list(Reason)[list(Reason).index(Reason.DISABLED) : list(Reason).index(Reason.OWN_PAGE)],
    Target.NONE: list(Reason)[list(Reason).index(Reason.OWN_PAGE) :],
}
"""Who answers, by the order of the enum, which is grouped by it."""


def test_every_reason_has_a_meaning_in_the_order_of_the_enum() -> None:
    assert list(MEANINGS) == list(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_says_who_answered(reason: Reason) -> None:
    assert reason in FROM[MEANINGS[reason].target]


@pytest.mark.parametrize("reason", Reason)
def test_the_command_can_be_typed_and_the_words_are_sentences(reason: Reason) -> None:
    said = MEANINGS[reason]
    assert shlex.split(said.look)[0] in {"litellm-hybrid", "curl"}
    for text in (said.means, said.fix):
        assert text
        assert not text.endswith((".", " "))
        assert "  " not in text
        assert "|" not in text, "it stands in a table of the docs"
