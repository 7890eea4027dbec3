"""What processes remember together: the same tests for each kind of store, with two processes each."""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from time import monotonic

import pytest

from litellm_hybrid.fallback import shared_state
from litellm_hybrid.fallback.backends import Record, SqliteBackend, pack
from litellm_hybrid.fallback.shared_state import SharedState
from litellm_hybrid.fallback.state import CooldownState, FallbackState, cooldown_key
from support.stores import (
    NO_REDIS,
    PATIENCE,
    SECRET,
    RedisStore,
    SqliteStore,
    Store,
    has_redis,
    places,
    process,
    spend,
    until,
)

KEY = cooldown_key("gpt-5", ("sk-client",))

redis = pytest.param(RedisStore, id="redis", marks=pytest.mark.skipif(not has_redis, reason=NO_REDIS))


@pytest.fixture(params=[pytest.param(SqliteStore, id="sqlite"), redis])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = request.param(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["memory", "sqlite", redis])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store | None]:
    """A store, or none: what one process does must not depend on it."""
    if request.param == "memory":
        yield None
        return
    made: Store = SqliteStore(tmp_path) if request.param == "sqlite" else request.param(tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on how busy the machine is."""
    monkeypatch.setattr(shared_state, "RESERVED_WITHIN", PATIENCE)


# -- one process, whatever the store ---------------------------------------------------------


async def test_a_budget_is_spent_once(any_store: Store | None) -> None:
    async with process(any_store) as one:
        assert [await spend(one, 2) for _ in range(4)] == [True, True, False, False]
        assert one.budget.spent(monotonic()) == 2


async def test_an_hour_later_it_is_whole_again(any_store: Store | None) -> None:
    async with process(any_store) as one:
        assert await spend(one, 1)
        assert one.budget.spent(monotonic() + 3599) == 1
        assert one.budget.spent(monotonic() + 3601) == 0


async def test_what_is_remembered_is_read_at_once(any_store: Store | None) -> None:
    async with process(any_store) as one:
        now = monotonic()
        one.conversations.stick("a", "o3", 60.0, now)
        one.conversations.add_refused("a", "litellm", "tool-id", now)
        one.cooldowns.start(KEY, 90.0, now)
        one.costs.add(date(2026, 11, 27), 0.5, now)
        one.costs.add(date(2026, 11, 27), 0.25, now)
        assert one.conversations.is_sticky("a", "o3", now)
        assert one.conversations.refused("a", "litellm", now) == ("tool-id",)
        ((model, left),) = one.cooldowns.running(now)
        assert (model, round(left, 3)) == ("gpt-5", 90.0)
        assert one.costs.of(date(2026, 11, 27), now) == 0.75
        assert one.costs.of(date(2026, 11, 28), now) == 0.0


# -- two processes -----------------------------------------------------------------------------


async def test_a_budget_is_counted_once_over_all(store: Store) -> None:
    """Whoever asks, however many at a time: exactly so many get a place."""
    async with process(store) as one, process(store) as two:
        granted = await asyncio.gather(*(spend((one, two)[number % 2], 20) for number in range(60)))
        assert sum(granted) == 20
        await until(lambda: one.budget.spent(monotonic()) == two.budget.spent(monotonic()) == 20)


async def test_a_place_that_is_given_back_can_be_taken(store: Store) -> None:
    async with process(store) as one, process(store) as two:
        place = await one.budget.reserve(1, monotonic(), strict=False)
        assert not await spend(two, 1)
        await until(lambda: two.budget.spent(monotonic()))
        one.budget.release(place)
        await until(lambda: not two.budget.spent(monotonic()))
        assert await spend(two, 1)


async def test_a_restart_forgets_nothing(store: Store) -> None:
    async with process(store) as one:
        assert await spend(one, 1)
        now = monotonic()
        one.conversations.add_served("a", now)
        one.costs.add(date(2026, 11, 27), 0.5, now)
    async with process(store) as again:
        assert not await spend(again, 1)
        await until(lambda: again.conversations.was_served("a", monotonic()))
        again.costs.add(date(2026, 11, 27), 0.25, monotonic())
        assert again.costs.of(date(2026, 11, 27), monotonic()) == 0.75


async def test_who_starts_first_hears_what_the_store_knows(store: Store) -> None:
    """A request that came before would find the budget whole."""
    async with process(store) as one:
        assert await spend(one, 1)
    state = FallbackState()
    state.shared.start(store.kind, store.backend(), SECRET)
    await state.shared.met()
    assert state.budget.spent(monotonic()) == 1
    state.shared.stop()


async def test_a_start_waits_for_no_store_that_is_lost(store: Store) -> None:
    async with process(store):
        pass
    store.lose()
    state = FallbackState()
    state.shared.start(store.kind, store.backend(), SECRET)
    began = monotonic()
    await state.shared.met()
    assert not state.shared.is_loaded
    assert monotonic() - began < PATIENCE
    state.shared.stop()


async def test_what_one_remembers_all_know_within_a_second(store: Store) -> None:
    async with process(store) as one, process(store) as two:
        now = monotonic()
        one.conversations.stick("a", "o3", 60.0, now)
        one.conversations.add_refused("a", "upstream", "tool-id", now)
        one.litellm_responses.add(("client", "resp"), now + 60, now)
        one.cooldowns.start(KEY, 90.0, now)
        one.costs.add(date(2026, 11, 27), 0.5, now)
        await until(lambda: two.costs.of(date(2026, 11, 27), monotonic()) == 0.5)
        assert two.conversations.is_sticky("a", "o3", monotonic())
        assert not two.conversations.is_sticky("a", "o3", monotonic() + 61)
        assert two.conversations.refused("a", "upstream", monotonic()) == ("tool-id",)
        assert two.litellm_responses.has(("client", "resp"), monotonic())
        ((model, left),) = two.cooldowns.running(monotonic())
        assert model == "gpt-5"
        assert 80 < left <= 90
        two.cooldowns.clear(KEY, monotonic())
        two.conversations.stick("a", "o3", 0.0, monotonic())
        await until(lambda: not one.cooldowns.running(monotonic()))
        await until(lambda: not one.conversations.is_sticky("a", "o3", monotonic()))


async def test_a_cooldown_that_begins_again_is_told(store: Store) -> None:
    """As long as the one before it; a probe that fails begins one."""
    async with process(store) as one, process(store) as two:
        one.cooldowns.start(KEY, 0.0, monotonic())
        await until(lambda: two.cooldowns.state(KEY, monotonic()) is CooldownState.HALF_OPEN)
        later = monotonic() + 1.0
        one.cooldowns.start(KEY, 0.0, later)
        await until(lambda: two.cooldowns.state(KEY, later - 0.5) is CooldownState.OPEN)


async def test_one_probes_for_all(store: Store) -> None:
    async with process(store) as one, process(store) as two:
        now = monotonic()
        one.cooldowns.start(KEY, 0.0, now)
        await until(lambda: two.cooldowns.state(KEY, monotonic()) is CooldownState.HALF_OPEN)
        claims = await asyncio.gather(*(state.cooldowns.claim(KEY, now) for state in (one, two)))
        assert sorted(claims) == [False, True]
        states = [state.cooldowns.state(KEY, monotonic()) for state in (one, two)]
        assert states == [CooldownState.OPEN] * 2
        prober, other = (one, two) if claims[0] else (two, one)
        prober.cooldowns.release(KEY)
        later = monotonic() + 2
        await until(lambda: other.cooldowns.state(KEY, later) is CooldownState.HALF_OPEN)
        for _ in range(100):  # until the store knows that it is free
            if await other.cooldowns.claim(KEY, later):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("nobody probes")


async def test_workers_know_before_the_store_does(store: Store, tmp_path: Path) -> None:
    peers = tmp_path / "peers"
    async with process(store, peers, "1") as one, process(store, peers, "2") as two:
        one.conversations.add_served("a", monotonic())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert two.conversations.was_served("a", monotonic())


async def test_no_credential_and_no_text_is_stored(store: Store) -> None:
    async with process(store) as one:
        now = monotonic()
        one.cooldowns.start(KEY, 90.0, now)
        one.conversations.add_served("sk-client says hello", now)
        await spend(one, 5)
        await until(lambda: b"cooldown" in store.content())
    content = store.content()
    assert b"served" in content
    for secret in (b"sk-client", b"hello", KEY[1].encode(), SECRET):
        assert secret not in content


# -- a store that is gone ----------------------------------------------------------------------


async def test_a_store_that_is_lost_and_comes_back_empty(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Each goes on with what it knows, says so once, and tells the store when it is back."""
    caplog.set_level(logging.INFO)
    async with process(store) as one, process(store) as two:
        assert all([await spend(one, 5) for _ in range(3)])
        one.conversations.add_served("a", monotonic())
        await until(lambda: two.budget.spent(monotonic()) == 3)
        await until(lambda: two.conversations.was_served("a", monotonic()))
        store.lose()
        await until(lambda: one.shared.down_since and two.shared.down_since)
        started = monotonic()
        assert not await spend(one, 5, strict=True)
        assert await spend(one, 5)
        assert not await spend(two, 3)
        one.conversations.add_served("b", monotonic())
        two.cooldowns.start(KEY, 90.0, monotonic())
        assert monotonic() - started < 0.5
        store.give_back()
        await until(lambda: not (one.shared.down_since or two.shared.down_since))
        await until(lambda: two.conversations.was_served("b", monotonic()))
        await until(lambda: one.cooldowns.running(monotonic()))
        await until(lambda: two.budget.spent(monotonic()) == 4)
        for _ in range(100):
            if await spend(two, 5, strict=True):
                break
            await asyncio.sleep(0.05)
        assert not await spend(one, 5)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2, warnings
    async with process(store) as third:
        await until(lambda: third.conversations.was_served("a", monotonic()))
        await until(lambda: third.budget.spent(monotonic()) == 5)


async def test_a_slow_store_is_waited_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the process decides."""
    store = SqliteStore(tmp_path)
    async with process(store) as one:
        assert await spend(one, 5)
        with sqlite3.connect(store.path, isolation_level=None) as slow:
            slow.execute("BEGIN EXCLUSIVE")
            monkeypatch.setattr(shared_state, "RESERVED_WITHIN", 0.05)
            place = await one.budget.reserve(5, monotonic(), strict=True)
            assert place.granted is False
            assert await spend(one, 5)
            slow.execute("ROLLBACK")
        slow.close()
        await until(lambda: one.shared.down_since is None)
        await until(lambda: places(store) == 2)


async def test_nobody_waits_for_a_store_that_is_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would answer in the end; the request has gone on by then."""
    ended, backend, state = threading.Event(), SqliteBackend(tmp_path / "state.db"), FallbackState()
    monkeypatch.setattr(backend, "reserve", lambda *_: ended.wait(2 * PATIENCE))
    monkeypatch.setattr(shared_state, "RESERVED_WITHIN", 0.05)
    state.shared.start("sqlite", backend, SECRET)
    await until(lambda: state.shared.is_loaded)
    async with asyncio.timeout(PATIENCE):
        assert await spend(state, 5)
    assert not ended.is_set()
    ended.set()
    state.shared.stop()


def test_no_datagram_is_too_long(tmp_path: Path) -> None:
    """The longest key and model name fit; a folder whose name is too long is done without."""
    long = tmp_path / ("x" * 120)
    long.mkdir()

    async def meet() -> None:
        state = SharedState()
        state.start("sqlite", SqliteBackend(tmp_path / "s.db"), SECRET, long / "peers", "1")
        state.stop()

    asyncio.run(meet())
    assert (
        len(pack(Record("cooldown", "k" * 64, (60.0, "m" * 200), 1e12, 1))) < shared_state._LONGEST_DATAGRAM
    )
