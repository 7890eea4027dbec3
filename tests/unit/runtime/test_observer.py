"""What is counted and logged of a request, and what is not."""

import logging

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.fallback.policy import Policy
from litellm_hybrid.fallback.state import FallbackState
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.stream_tail import StreamTail
from litellm_hybrid.mitmweb.annotations import Annotations
from litellm_hybrid.observability.health import LastSeen
from litellm_hybrid.observability.request_counters import RequestCounters
from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.runtime import observer as observer_module
from litellm_hybrid.runtime.observer import Observer


class World:
    """An observer, and a clock."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        patch.setattr(observer_module, "monotonic", lambda: self.now)
        self.counters = RequestCounters()
        annotations = Annotations(lambda: None)
        policy = Policy(Settings, FallbackState(), annotations)
        self.observer = Observer(policy, self.counters, LastSeen())

    def begin(
        self, target: Target = Target.LITELLM, reason: Reason = Reason.MODEL, *, counted: bool = True
    ) -> tuple[http.HTTPFlow, Exchange]:
        """A request has been decided on."""
        flow = tflow.tflow()
        exchange = Exchange.begin(flow)
        exchange.set_outcome(target, reason)
        if counted:
            self.observer.count_request(exchange)
        return flow, exchange

    def end(self, flow: http.HTTPFlow, exchange: Exchange, status: int | None, *, whole: bool) -> None:
        """It is over."""
        flow.response = http.Response.make(status) if status is not None else None
        self.observer.exchange_ended(flow, exchange, whole=whole)

    @property
    def in_flight(self) -> tuple[int, int]:
        """Requests, and those that are streaming."""
        return self.counters.in_flight, self.counters.streaming

    def timed(self, target: str) -> tuple[float, float]:
        """Seconds until the first byte and until the end, of all requests."""
        return self.counters.first_byte[target].total, self.counters.duration[target].total


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.mark.parametrize(
    ("target", "reason", "timed"),
    [
        (Target.LITELLM, Reason.FALLBACK, True),
        (Target.UPSTREAM, Reason.NOT_LISTED, True),
        (Target.UPSTREAM, Reason.ERROR, False),
    ],
)
def test_a_request_is_counted_and_timed(target: Target, reason: Reason, *, timed: bool, world: World) -> None:
    flow, exchange = world.begin(target, reason)
    assert world.in_flight == (1, 0)
    world.now = 1.5
    world.observer.passed_on(exchange, streamed=True)
    assert world.in_flight == (1, 1)
    world.now = 40.0
    world.end(flow, exchange, 200, whole=True)

    assert world.counters.requests == {(target, reason, "2xx"): 1}
    assert world.in_flight == (0, 0)
    assert world.timed(target) == ((1.5, 40.0) if timed else (0.0, 0.0))


@pytest.mark.parametrize(
    ("streamed", "status", "status_class"),
    [(True, 200, "2xx"), (False, 200, "none"), (None, None, "none"), (None, 429, "none")],
)
def test_one_that_broke_off(
    streamed: bool | None, status: int | None, status_class: str, world: World
) -> None:
    """A response counts with its status once the client has some of it."""
    flow, exchange = world.begin()
    if streamed is not None:
        world.observer.passed_on(exchange, streamed=streamed)
    world.end(flow, exchange, status, whole=False)

    assert world.counters.requests == {("litellm", "model", status_class): 1}
    assert sum(world.counters.duration["litellm"].counts) == 0
    assert world.in_flight == (0, 0)


def test_an_own_page_is_neither_counted_nor_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    flow, exchange = world.begin(Target.NONE, Reason.OWN_PAGE, counted=False)
    world.observer.passed_on(exchange, streamed=False)
    world.end(flow, exchange, 200, whole=True)
    assert not world.counters.requests
    assert caplog.messages == []
    assert exchange.ended


@pytest.mark.parametrize("target", list(Target))
def test_responses_of_our_own_are_not_timed(target: Target, world: World) -> None:
    """Whichever server the request was for."""
    flow, exchange = world.begin(target, Reason.REFUSED)
    exchange.times.complete = None
    world.now = 1.0
    world.observer.passed_on(exchange, streamed=False)
    world.end(flow, exchange, 401, whole=True)
    assert world.counters.requests == {(target, "refused", "4xx"): 1}
    assert world.in_flight == (0, 0)
    assert world.timed("litellm") == world.timed("upstream") == (0.0, 0.0)


def test_a_failure_is_counted_and_remembered(world: World) -> None:
    flow, exchange = world.begin(Target.UPSTREAM, Reason.NOT_LISTED)
    failure = Failure(Cause.CONNECT_FAILED, "refused")
    world.observer.failed(flow, failure, response_begun=False)
    assert world.counters.errors == {("network_error", "upstream"): 1}
    assert (exchange.failure, exchange.outcome.reason) == (failure, Reason.ERROR)


def test_a_response_belongs_to_the_last_attempt(world: World) -> None:
    flow, exchange = world.begin()
    exchange.begin_attempt(flow.request)
    world.now = 2.0
    world.observer.response_begun(flow, http.Response.make(503))
    assert (exchange.attempts[-1].status, exchange.attempts[-1].first_byte) == (503, 2.0)


def test_one_who_hangs_up_behind_the_end_of_a_stream_was_served(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    flow, exchange = world.begin()
    exchange.tail = StreamTail()
    exchange.tail(b'data: {"type":"message_stop"}\n\n')
    world.observer.failed(flow, Failure(Cause.CLIENT_LEFT, "client disconnected"), response_begun=True)
    assert exchange.served
    assert exchange.failure is None
    assert not world.counters.errors
    assert caplog.messages == []
