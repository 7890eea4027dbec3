import copy
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hybrid.config.settings import (
    DEFAULT_FALLBACK_KINDS,
    Address,
    Fallback,
    NoSettingsError,
    Patterns,
    Secret,
    Settings,
    SettingsStore,
    bare,
    is_glob,
)

LITELLM = Address("http", "127.0.0.1", 4000)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("http", "127.0.0.1", 4000), "http://127.0.0.1:4000"),
        (Address("http", "example.com", 80), "http://example.com"),
        (Address("https", "example.com", 443, "/llm"), "https://example.com/llm"),
        (Address("https", "example.com", 80), "https://example.com:80"),
        (Address("http", "::1", 8317), "http://[::1]:8317"),
    ],
)
def test_an_address_prints_as_its_url(address: Address, text: str) -> None:
    assert str(address) == text


def test_a_secret_never_prints_itself() -> None:
    settings = Settings(api_key=Secret("sk-1"), client_keys=(Secret("sk-2"),))
    for text in (str(settings), repr(settings), f"{settings.api_key}", f"{settings.api_key!r}"):
        assert "sk-" not in text
        assert "***" in text


@pytest.mark.parametrize(
    ("settings", "routing", "active"),
    [
        (Settings(), False, False),
        (Settings(enabled=True), False, False),
        (Settings(base_url=LITELLM), False, False),
        (Settings(enabled=True, base_url=LITELLM), True, True),
        (Settings(base_url=LITELLM, fallback=Fallback(enabled=True)), False, True),
    ],
)
def test_what_is_on(settings: Settings, *, routing: bool, active: bool) -> None:
    assert (settings.routing, settings.active) == (routing, active)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("GPT-5", "openai/gpt-5"),
        ("gpt-5(high)", "openai/gpt-5"),
        ("gpt-5-mini", "openai/mini"),
        ("gpt-4", "openai/other"),
        ("o3", None),
    ],
)
def test_mapped(model: str, target: str | None) -> None:
    settings = Settings(
        mappings={"gpt-*": "openai/other", "gpt-5": "openai/gpt-5", "gpt-5*": "openai/mini"},
        mapping_patterns=Patterns(["gpt-*", "GPT-5", "gpt-5*"]),
    )
    assert settings.mapped(model) == target


@pytest.mark.parametrize(
    ("fallback", "model", "covered"),
    [
        (Fallback(), "anything", True),
        (Fallback(models=Patterns(["gpt-*"])), "claude", False),
        (Fallback(excluded=Patterns(["gpt-5"])), "GPT-5(high)", False),
        (Fallback(excluded=Patterns(["gpt-5"])), "gpt-5-mini", True),
    ],
)
def test_fallback_covers(fallback: Fallback, model: str, *, covered: bool) -> None:
    assert fallback.covers(model) is covered


def test_the_default_kinds_are_what_an_exhausted_account_looks_like() -> None:
    assert {"quota", "overload", "no-credential", "login", "account", "no-answer"} == DEFAULT_FALLBACK_KINDS


def test_settings_are_frozen_and_can_be_copied() -> None:
    settings = Settings(models=Patterns(["gpt-*"]))
    with pytest.raises(FrozenInstanceError):
        settings.enabled = True  # type: ignore[misc]
    assert copy.deepcopy(settings) == settings


def test_without_settings_there_are_none() -> None:
    store = SettingsStore()
    assert store.is_empty
    with pytest.raises(NoSettingsError, match="no valid configuration"):
        _ = store.current


def test_listeners_are_told_of_what_is_in_force() -> None:
    store = SettingsStore(Settings())
    told: list[tuple[Settings, bool]] = []
    store.subscribe(lambda settings: told.append((settings, store.current is settings)))
    new = Settings(enabled=True)
    store.broken = True
    assert store.publish(new) == []
    assert told == [(new, True)]
    assert not store.broken


def test_a_listener_that_raises_keeps_nobody_from_being_told() -> None:
    store = SettingsStore()
    told: list[Settings] = []
    error = ZeroDivisionError("on purpose")

    def broken(_: Settings) -> None:
        raise error

    store.subscribe(broken)
    store.subscribe(told.append)
    assert store.publish(Settings()) == [error]
    assert told == [store.current]


def test_they_can_be_taken_away() -> None:
    store = SettingsStore(Settings())
    store.clear()
    assert store.is_empty


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
