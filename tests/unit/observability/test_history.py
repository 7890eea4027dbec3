"""What is remembered of fallbacks, and of the configuration file."""

from litellm_hybrid.observability.history import (
    APPLIED,
    LATELY,
    MOST,
    REJECTED,
    FallbackHistory,
    FallbackOutcome,
    FallbackRecord,
    FallingBack,
    FallingBackModels,
    Reload,
    ReloadHistory,
)


def _replayed(number: int = 0) -> FallbackRecord:
    return FallbackRecord(100.0 + number, f"req-{number}", "o3", "quota", 429, None)


def test_what_becomes_of_one() -> None:
    history = FallbackHistory()
    served, aborted, failed = (_replayed(number) for number in range(3))
    for one in (served, aborted, failed):
        history.started(one)
    assert [one.outcome for one in history.last] == [FallbackOutcome.RUNNING] * 3
    assert not history.counts

    history.ended(served, FallbackOutcome.SERVED)
    history.ended(aborted, FallbackOutcome.ABORTED)
    history.ended(failed, FallbackOutcome.FAILED, "503")
    history.ended(failed, FallbackOutcome.SERVED)  # with upstream's response
    history.not_attempted(_replayed(), "budget")

    assert [(one.outcome, one.why) for one in history.last] == [
        (FallbackOutcome.SERVED, ""),
        (FallbackOutcome.ABORTED, ""),
        (FallbackOutcome.FAILED, "503"),
        (FallbackOutcome.NOT_ATTEMPTED, "budget"),
    ]
    assert history.counts == {("quota", what): 1 for what in ("served", "aborted", "failed", "not-attempted")}


def test_only_the_last_are_kept() -> None:
    """One that was forgotten while it ran still counts."""
    history = FallbackHistory()
    every = [_replayed(number) for number in range(MOST + 10)]
    for one in every:
        history.started(one)
    for one in every:
        history.ended(one, FallbackOutcome.SERVED)

    assert [one.request_id for one in history.last] == [f"req-{number}" for number in range(10, MOST + 10)]
    assert history.counts["quota", "served"] == MOST + 10


def test_reloads() -> None:
    reloads = ReloadHistory()
    assert (reloads.since, reloads.last) == (None, None)
    reloads.since = 50.0

    reloads.note(APPLIED, ["models: [a] → [b]"], 100.0)
    reloads.note(REJECTED, ["config.yaml:3: unknown key"], 200.0)

    assert reloads.since == 100.0
    assert reloads.last == Reload(200.0, "rejected", ("config.yaml:3: unknown key",))
    assert reloads.counts == {"applied": 1, "rejected": 1}


def test_what_falls_back_now() -> None:
    """From the first request that LiteLLM serves in upstream's place to the first that upstream serves."""
    models = FallingBackModels()
    assert not models.served("o3")
    assert models.fell_back("o3", "quota", 10.0)
    assert models.fell_back("o1", "login", 20.0)
    assert not models.fell_back("o3", "cooldown", 30.0)
    assert models.now(40.0) == (
        FallingBack("o3", 10.0, 30.0, "cooldown", 2),
        FallingBack("o1", 20.0, 20.0, "login", 1),
    )
    assert models.served("o3")
    assert not models.served("o3")
    assert [one.model for one in models.now(40.0)] == ["o1"]


def test_what_nobody_asks_for_falls_back_no_longer() -> None:
    """Its quota may be there again; that upstream serves it is news all the same."""
    models = FallingBackModels()
    models.fell_back("o3", "quota", 10.0)
    assert models.now(10.0 + LATELY - 1)
    assert models.now(10.0 + LATELY) == ()
    assert models.served("o3")


def test_clients_choose_names_and_fill_no_memory() -> None:
    models = FallingBackModels()
    for number in range(3000):
        models.fell_back(f"m-{number}", "quota", 0.0)
    assert len(models.now(0.0)) == 1000
