"""What is remembered for a while."""

from litellm_hybrid.fallback.expiring import ExpiringDict, ExpiringSet


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
