"""Which of two changes holds, and which are told."""

from time import monotonic

import pytest

from litellm_hybrid.fallback.backends import Record, pack, unpack
from litellm_hybrid.fallback.shared_dict import SharedDict, SharedSet
from litellm_hybrid.fallback.shared_state import SharedState
from litellm_hybrid.fallback.state import FallbackState


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
