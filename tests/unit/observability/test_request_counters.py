"""What is counted of a request, and what is not."""

from typing import cast

import pytest

from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.observability.request_counters import BUCKETS, MOST_MODELS, Histogram, RequestCounters


def _record(target: str = "litellm", reason: str = "model", model: str | None = "gpt-5") -> Record:
    return cast("Record", {"target": target, "reason": reason, "model": model})  # all that is read of it


def _run(
    traffic: RequestCounters, record: Record, status: int = 200, *, first: float = 1, whole: float = 2
) -> None:
    traffic.in_flight["f"] = 0.0
    traffic.response_begun("f", record, first, streamed=True)
    traffic.completed("f", record, status, whole)


@pytest.mark.parametrize(
    ("status", "status_class"),
    [(101, "1xx"), (200, "2xx"), (299, "2xx"), (429, "4xx"), (999, "9xx"), (1000, "9xx"), (-1, "none")],
)
def test_a_request_is_counted_once(status: int, status_class: str) -> None:
    traffic = RequestCounters()
    _run(traffic, _record(), status)
    traffic.completed("f", _record(), status, 3.0)
    traffic.aborted("f", _record(), None)

    assert traffic.requests == {("litellm", "model", status_class): 1}
    assert (traffic.in_flight, traffic.streaming) == ({}, set())


def test_a_status_that_is_none_breaks_off_too() -> None:
    """With mitmproxy's checks of answers switched off, any number comes through."""
    traffic = RequestCounters()
    traffic.in_flight["f"] = 0.0
    traffic.response_begun("f", _record(), 1.0, streamed=True)

    traffic.aborted("f", _record(), 12345)

    assert traffic.requests == {("litellm", "model", "9xx"): 1}


def test_what_never_ran_is_not_counted() -> None:
    """An own page, a replay of mitmweb's."""
    traffic = RequestCounters()
    traffic.response_begun("f", _record(), 1.0, streamed=True)
    traffic.completed("f", _record(), 200, 1.0)
    traffic.aborted("f", _record(), 200)

    assert not traffic.requests
    assert not traffic.streaming
    assert sum(traffic.first_byte["litellm"].counts) == 0


@pytest.mark.parametrize(
    ("streamed", "status", "status_class"),
    [(True, 200, "2xx"), (False, 200, "none"), (None, None, "none"), (None, 429, "none")],
)
def test_one_that_broke_off(streamed: bool | None, status: int | None, status_class: str) -> None:
    """An answer counts with its status once the client has some of it."""
    traffic = RequestCounters()
    traffic.in_flight["f"] = 0.0
    if streamed is not None:
        traffic.response_begun("f", _record(), 1.0, streamed=streamed)
    assert traffic.streaming == ({"f"} if streamed else set())

    traffic.aborted("f", _record(), status)

    assert traffic.requests == {("litellm", "model", status_class): 1}
    assert sum(traffic.duration["litellm"].counts) == 0
    assert (traffic.in_flight, traffic.streaming) == ({}, set())


@pytest.mark.parametrize(
    ("target", "reason", "timed"),
    [("litellm", "fallback", True), ("upstream", "not-listed", True), ("upstream", "error", False)],
)
def test_servers_are_timed(target: str, reason: str, timed: bool) -> None:
    traffic = RequestCounters()
    _run(traffic, _record(target, reason), first=1.5, whole=40.0)

    first, whole = traffic.first_byte[target], traffic.duration[target]
    assert (sum(first.counts), first.total) == ((1, 1.5) if timed else (0, 0.0))
    assert (sum(whole.counts), whole.total) == ((1, 40.0) if timed else (0, 0.0))


def test_our_own_answers_are_not_timed() -> None:
    """Whichever server the request was for."""
    traffic = RequestCounters()
    for target in ("litellm", "upstream", "none"):
        traffic.in_flight["f"] = None
        traffic.response_begun("f", _record(target, "refused"), 1.0, streamed=False)
        traffic.completed("f", _record(target, "refused"), 401, 1.0)

    assert traffic.requests == {(target, "refused", "4xx"): 1 for target in ("litellm", "upstream", "none")}
    assert not traffic.in_flight
    for histogram in (*traffic.duration.values(), *traffic.first_byte.values()):
        assert sum(histogram.counts) == 0


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0.0, 0), (0.05, 0), (0.0501, 1), (600.0, len(BUCKETS) - 1), (601.0, len(BUCKETS))],
)
def test_a_bucket_includes_its_bound(seconds: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.add(seconds)
    assert histogram.counts.index(1) == bucket


def test_models_are_those_of_the_configuration() -> None:
    traffic = RequestCounters()
    traffic.list_models(["gpt-5", "claude-*"])
    for model in ("GPT-5", "gpt-5(high)", "claude-opus-4", "o3", "x" * 300, None):
        _run(traffic, _record(model=model))

    assert traffic.models == {("gpt-5", "litellm"): 2, ("claude-*", "litellm"): 1, ("other", "litellm"): 2}
    assert "x" * 300 not in traffic._labels


def test_a_reload_lists_others() -> None:
    traffic = RequestCounters()
    traffic.list_models(["gpt-5"])
    _run(traffic, _record())
    traffic.list_models(["o3"])
    _run(traffic, _record())
    _run(traffic, _record(model="o3"))

    assert traffic.models == {("gpt-5", "litellm"): 1, ("other", "litellm"): 1, ("o3", "litellm"): 1}


def test_the_number_of_models_is_bounded_over_reloads() -> None:
    traffic = RequestCounters()
    for number in range(MOST_MODELS + 10):
        traffic.list_models([f"m-{number}"])
        _run(traffic, _record(model=f"m-{number}"))
    # one that has its label already keeps it
    traffic.list_models(["m-0"])
    _run(traffic, _record(model="m-0"))

    assert len(traffic.models) == MOST_MODELS + 1
    assert traffic.models["other", "litellm"] == 10
    assert traffic.models["m-0", "litellm"] == 2


def test_clients_cannot_fill_the_memory() -> None:
    traffic = RequestCounters()
    for number in range(3000):
        _run(traffic, _record(model=f"m-{number}"))
    assert len(traffic._labels) <= 1000
    assert traffic.models == {("other", "litellm"): 3000}
