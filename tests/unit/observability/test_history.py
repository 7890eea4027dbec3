"""What is remembered of fallbacks, and of the configuration file."""

from litellm_hybrid.observability.history import (
    MOST,
    FallbackHistory,
    FallbackRecord,
    Outcome,
    Reload,
    ReloadHistory,
)


def _replayed(number: int = 0) -> FallbackRecord:
    return FallbackRecord(100.0 + number, f"req-{number}", "o3", "quota", 429, None)


def test_what_becomes_of_one() -> None:
    recent = FallbackHistory()
    for key in "abc":
        recent.started(key, _replayed())
    assert [one.outcome for one in recent.last] == [Outcome.RUNNING] * 3
    assert not recent.counts

    recent.ended("a", whole=True)
    recent.ended("b", whole=False)
    recent.failed("c", "503")
    recent.ended("c", whole=True)  # with upstream's answer
    recent.not_attempted(_replayed(), "budget")
    recent.ended("nobody", whole=True)
    recent.failed("nobody", "503")

    assert [(one.outcome, one.why) for one in recent.last] == [
        (Outcome.SERVED, ""),
        (Outcome.ABORTED, ""),
        (Outcome.FAILED, "503"),
        (Outcome.NOT_ATTEMPTED, "budget"),
    ]
    assert recent.counts == {("quota", what): 1 for what in ("served", "aborted", "failed", "not-attempted")}


def test_only_the_last_are_kept() -> None:
    """One that was forgotten while it ran still counts."""
    recent = FallbackHistory()
    for number in range(MOST + 10):
        recent.started(str(number), _replayed(number))
    for number in range(MOST + 10):
        recent.ended(str(number), whole=True)

    assert [one.request_id for one in recent.last] == [f"req-{number}" for number in range(10, MOST + 10)]
    assert recent.counts["quota", "served"] == MOST + 10
    assert not recent._running


def test_reloads() -> None:
    reloads = ReloadHistory()
    assert (reloads.since, reloads.last) == (None, None)
    reloads.since = 50.0

    reloads.applied(["models: [a] → [b]"], 100.0)
    reloads.rejected(["config.yaml:3: unknown key"], 200.0)

    assert reloads.since == 100.0
    assert reloads.last == Reload(200.0, "rejected", ("config.yaml:3: unknown key",))
    assert reloads.counts == {"applied": 1, "rejected": 1}
