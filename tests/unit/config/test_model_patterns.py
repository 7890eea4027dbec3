import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hybrid.config.model_patterns import Patterns, bare, is_glob


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-5", "gpt-5"),
        (" gpt-5 ", "gpt-5"),
        ("gpt-5(high)", "gpt-5"),
        ("gpt-5 (8192) ", "gpt-5"),
        ("gpt-5(a)(b)", "gpt-5(a)"),
        ("claude-opus-4-5[1m]", "claude-opus-4-5"),
        ("claude-opus-4-5[1M] (high)", "claude-opus-4-5"),
        ("claude[2m]", "claude[2m]"),
        ("[1m]", "[1m]"),
        ("gpt-5()", "gpt-5"),
        ("gpt(5)-mini", "gpt(5)-mini"),
        ("(high)", "(high)"),
        ("", ""),
    ],
)
def test_bare(name: str, expected: str) -> None:
    assert bare(name) == expected


@pytest.mark.parametrize(
    ("entries", "name", "expected"),
    [
        (["gpt-5"], "gpt-5", "gpt-5"),
        (["gpt-5"], "gpt-5-mini", None),
        (["gpt-5"], "my-gpt-5", None),
        ([" GPT-5 "], "\tgpt-5 ", "GPT-5"),
        (["gpt-5"], "GPT-5(high)", "gpt-5"),
        (["gpt-5(high)", "gpt-5"], "gpt-5(high)", "gpt-5(high)"),
        (["gpt-5(high)"], "gpt-5(low)", None),
        (["gpt-*"], "gpt-5", "gpt-*"),
        (["gpt-*"], "gpt-", "gpt-*"),
        (["*mini"], "GPT-5-Mini(low)", "*mini"),
        (["gpt-?"], "gpt-5", "gpt-?"),
        (["gpt-?"], "gpt-55", None),
        (["*"], "", "*"),
        (["*", "gpt-*", "gpt-5*"], "gpt-5-mini", "gpt-5*"),
        (["gpt-5*", "gpt-5-mini"], "gpt-5-mini", "gpt-5-mini"),
        (["a*", "*b"], "ab", "a*"),
        (["gpt-5*", "gpt-5"], "gpt-5(high)", "gpt-5"),
        (["gpt-?*", "gpt-5"], "gpt-6(high)", "gpt-?*"),
        (["*", "*-5"], "gpt-5(high)", "*-5"),
        (["*-5", "*(high)"], "gpt-5(high)", "*(high)"),
        (["claude[1m]"], "claude[1m]", "claude[1m]"),
        (["claude[1m]"], "claude[1m](high)", "claude[1m]"),
        (["claude"], "claude[1m](high)", "claude"),
        (["claude[1m]"], "claude", None),
        (["claude[1m]*"], "claude1", None),
        (["claude*[1m]"], "claude-sonnet-4-5[1m]", "claude*[1m]"),
        (["gpt.5*"], "gpt-5", None),
        (["GPT-5", "gpt-5"], "Gpt-5", "GPT-5"),
        (["x*"], "x\ny", "x*"),
        ([], "gpt-5", None),
    ],
)
def test_match(entries: list[str], name: str, expected: str | None) -> None:
    assert Patterns(entries).match(name) == expected


def test_entries_are_kept_as_they_were_written_but_trimmed() -> None:
    assert Patterns([" GPT-5 ", "a*"]).entries == ("GPT-5", "a*")


def test_equality_and_truth_go_by_the_entries() -> None:
    assert Patterns(["a", "b*"]) == Patterns([" a", "b* "])
    assert Patterns(["a"]) != Patterns(["b"])
    assert Patterns(["a"])
    assert not Patterns()


@pytest.mark.parametrize(("entry", "glob"), [("gpt-5", False), ("gpt-[5]", False), ("*", True), ("a?", True)])
def test_is_glob(entry: str, *, glob: bool) -> None:
    assert is_glob(entry) is glob


@given(st.text(alphabet="aB5-.[]()!", min_size=1, max_size=12))
def test_every_exact_entry_matches_itself_in_any_case(name: str) -> None:
    trimmed = name.strip()
    assert Patterns([name]).match(name) == trimmed
    assert Patterns([name]).match(name.upper()) == trimmed


def test_a_hostile_glob_is_matched_in_no_time() -> None:
    assert Patterns(["*a" * 30 + "b"]).match("a" * 400) is None
