"""What is remembered for a while."""

from time import monotonic

import pytest

from litellm_hybrid.fallback.backends import Record, pack, unpack
from litellm_hybrid.fallback.expiring import ExpiringDict, ExpiringSet, SharedDict, SharedSet
from litellm_hybrid.fallback.shared_state import SharedState
from litellm_hybrid.fallback.state import FallbackState


def test_an_entry_ends_at_its_time() -> None:
    entries: ExpiringDict[str, int] = ExpiringDict(10)
    entries.put("a", 1, until=60.0)
    entries.put("b", 2)
    assert [entries.get("a", now) for now in (0.0, 59.9, 60.0)] == [1, 1, None]
    assert entries.get("b", 1e9) == 2
    assert entries.get("c") is None


def test_beyond_its_size_the_one_put_longest_ago_goes() -> None:
    entries: ExpiringDict[int, str] = ExpiringDict(3)
    for number in range(3):
        entries.put(number, "old")
    entries.put(0, "new")
    entries.put(3, "new")
    assert dict(entries.items()) == {2: "old", 0: "new", 3: "new"}
    assert len(entries) == 3


def test_entries_can_be_forgotten() -> None:
    entries: ExpiringDict[str, int] = ExpiringDict(10)
    entries.put("a", 1)
    entries.put("b", 2)
    entries.pop("a")
    entries.pop("never there")
    assert dict(entries.items()) == {"b": 2}
    entries.clear()
    assert len(entries) == 0


def test_a_set() -> None:
    names: ExpiringSet[str] = ExpiringSet(2)
    assert not names
    names.add("a", until=60.0)
    assert [names.has("a", now) for now in (59.9, 60.0)] == [True, False]
    assert not names.has("A", 0.0)
    names.add("b")
    names.add("c")
    assert [names.has(name, 0.0) for name in "abc"] == [False, True, True]
    names.clear()
    assert not names


def test_a_key_longer_than_a_name_is_not_kept() -> None:
    """Clients choose the names of models."""
    names: ExpiringDict[str, int] = ExpiringDict(10)
    names.put("m" * 201, 1)
    names.put("m" * 200, 2)
    pairs: ExpiringSet[tuple[str, str]] = ExpiringSet(10)
    pairs.add(("m" * 10**6, "key"))
    assert (len(names), len(pairs)) == (1, 0)


def test_the_later_change_holds_in_any_order() -> None:
    """A clock that is behind does not matter: a stamp is higher than all that were seen before it."""
    shared = SharedState()
    table: SharedDict[int] = SharedDict("numbers", shared, 10)
    first, second = (Record("numbers", "k", number, 0.0, number) for number in (1, 2))
    for records in ((first, second), (second, first), (second, first, second)):
        for record in records:
            table.apply(record, 100.0)
        entry = dict(table.alive(0.0))["k"]
        assert entry.value == 2


def test_a_stamp_is_higher_than_all_that_were_seen() -> None:
    shared = SharedState()
    ahead = shared.stamp() + 10**12  # some minutes
    shared._take([Record("nobody's", "k", None, 0.0, ahead)])
    assert shared.stamp() > ahead


def test_what_another_version_writes_is_passed_over() -> None:
    known = Record("served", "k", True, 5.0, 1)
    more = b'["served", "k", true, 5.0, 1, "new"]'
    assert unpack([pack(known), more, b'["served"]', b"{}", b"\xff"]) == [known, known]
    shared = SharedState()
    state = FallbackState(shared=shared)
    shared._take([Record("cooldown", "k", "another form", 1e12, 1), Record("later", "k", None, 1e12, 2)])
    assert state.cooldowns.running(monotonic()) == ()


def test_a_turn_that_changes_little_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Record] = []
    monkeypatch.setattr(SharedState, "tell", lambda _, record: told.append(record))
    shared = SharedState()
    table = SharedSet("served", shared, 10)
    for now in (0.0, 1.0, 4.0, 50.0):
        table.add("a", now + 100.0, now)
    assert len(told) == 2
    assert table.has("a", 149.0)
