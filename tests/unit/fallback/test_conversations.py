import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_hybrid.fallback import conversations
from litellm_hybrid.fallback.conversations import CONVERSATIONS_MAX, SERVED_FOR, Conversations, key
from litellm_hybrid.fallback.shared_state import SharedState
from litellm_hybrid.message.credentials import Headers

KEYS = ("sk-client",)
USER = {"role": "user", "content": "Hello"}
ASSISTANT = {"role": "assistant", "content": "Hi"}
SYSTEM = {"role": "system", "content": "You are"}
PARTS = {"role": "user", "parts": [{"text": "Hello"}]}


def of(body: Any, headers: Headers = (), keys: tuple[str, ...] = KEYS) -> str | None:
    return key(headers, keys, body if isinstance(body, bytes) else json.dumps(body).encode())


# -- by its headers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [b"X-Claude-Code-Session-Id", b"session-id", b"session_id", b"X-Session-ID", b"x-client-request-id"],
)
def test_a_session_header_is_believed(name: bytes) -> None:
    session = ((name, b"s-1"),)
    assert of({"messages": [USER]}, session) == of({"messages": [ASSISTANT]}, ((name.upper(), b" s-1 "),))
    assert of({"messages": [USER]}, session) != of({"messages": [USER]}, ((name, b"s-2"),))
    assert of({"messages": [USER]}, session) != of({"messages": [USER]})
    assert of(b"not json", session) is not None


def test_the_surest_header_decides() -> None:
    claude, request = (b"x-claude-code-session-id", b"s-1"), (b"x-client-request-id", b"r-1")
    assert of({}, (request, claude)) == of({}, (claude,)) == of({}, ((request[0], b"r-2"), claude))


@pytest.mark.parametrize("value", [b"", b"  "])
def test_an_empty_header_is_none(value: bytes) -> None:
    assert of({"messages": [USER]}, ((b"session_id", value),)) == of({"messages": [USER]})


def test_another_client_key_is_another_conversation() -> None:
    session = ((b"session_id", b"s-1"),)
    answers = {of({}, session, keys) for keys in [("sk-a",), ("sk-b",), (), ("sk-a", "sk-b")]}
    assert len(answers) == 4
    assert None not in answers


# -- by how it begins ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["messages", "input"])
def test_a_lone_surrogate_hides_no_conversation(name: str) -> None:
    """JavaScript clients send one where they cut a text off, mostly in a tool's output."""
    cut = {"role": "user", "content": "Hello \ud83d"}
    assert of({name: [USER, ASSISTANT, cut]}) == of({name: [USER]})
    assert of({name: [cut, ASSISTANT]}) == of({name: [cut]}) != of({name: [USER]})


@pytest.mark.parametrize(
    ("name", "turns"),
    [
        ("messages", [USER, ASSISTANT, USER]),
        ("messages", [SYSTEM, USER, ASSISTANT]),
        ("input", [USER, {"type": "reasoning", "encrypted_content": "x"}, ASSISTANT]),
        ("input", [{"type": "message", "role": "developer", "content": "d"}, USER, ASSISTANT]),
        ("contents", [PARTS, {"role": "model", "parts": []}, PARTS]),
    ],
)
def test_every_turn_repeats_the_beginning(name: str, turns: list[Any]) -> None:
    first = next(n for n, turn in enumerate(turns) if turn.get("role") == "user") + 1
    begun = of({"model": "a", name: turns[:first]})

    assert begun is not None
    assert of({"model": "b", "x": 1, name: turns}) == begun
    assert of({name: [*turns[: first - 1], {**turns[first - 1], "content": "Goodbye"}]}) != begun


def test_what_stands_before_the_users_words_counts() -> None:
    assert of({"messages": [SYSTEM, USER]}) != of({"messages": [USER]})


def test_a_cache_mark_that_moves_on_changes_nothing() -> None:
    block = {"type": "text", "text": "Hello"}
    marked = block | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    first, later = ({"messages": [{"role": "user", "content": [one]}]} for one in (marked, block))
    assert of(first) == of(later) is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        {"messages": []},
        {"messages": "Hello"},
        {"input": "a mere prompt"},
        {"messages": [1]},
        {"messages": [{"role": None}]},
        b"[" * 100_000,
    ],
)
def test_what_shows_no_conversation(body: Any) -> None:
    assert of(body) is None


@given(st.text(string.printable), st.text(string.printable))
def test_two_clients_that_begin_with_the_same_words(one: str, other: str) -> None:
    body = {"messages": [USER]}
    assert (of(body, keys=(one,)) == of(body, keys=(other,))) is (one == other)


def test_a_key_holds_nothing_of_what_it_is_made_of() -> None:
    made = of({"messages": [USER]}, ((b"session_id", b"s-1"),))
    assert made is not None
    assert len(made) == 32
    assert set(made) <= set("0123456789abcdef")


# -- what is remembered -------------------------------------------------------------------


def test_a_conversation_is_remembered_for_a_day() -> None:
    known = Conversations(SharedState())
    assert not known
    known.add_served("a", 1000.0)
    assert known
    assert known.was_served("a", 1000.0 + SERVED_FOR - 1)
    assert not known.was_served("a", 1000.0 + SERVED_FOR)
    assert not known.was_served("b", 1000.0)
    assert not known.is_sticky("a", "o3", 1000.0)


def test_how_long_it_stays() -> None:
    known = Conversations(SharedState())
    known.stick("a", "o3", 60.0, 1000.0)
    assert known.is_sticky("a", "o3", 1059.0)
    assert not known.is_sticky("a", "o3", 1060.0)
    assert not known.is_sticky("a", "haiku", 1000.0)
    assert not known.is_sticky("b", "o3", 1000.0)
    known.stick("a", "o3", 60.0, 1059.0)
    assert known.is_sticky("a", "o3", 1118.0)
    known.stick("a", "o3", 0.0, 1059.0)
    assert not known.is_sticky("a", "o3", 1059.0)


def test_of_too_many_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CONVERSATIONS_MAX == 10_000
    monkeypatch.setattr(conversations, "CONVERSATIONS_MAX", 2)
    known = Conversations(SharedState())
    for name in ("a", "b", "a", "c"):
        known.add_served(name, 1000.0)
        known.stick(name, "o3", 60.0, 1000.0)
    assert [known.was_served(name, 1000.0) for name in "abc"] == [True, False, True]
    assert [known.is_sticky(name, "o3", 1000.0) for name in "abc"] == [True, False, True]
