"""The settings in force, and who is told of new ones."""

import pytest

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.config.store import NoSettingsError, SettingsStore


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
