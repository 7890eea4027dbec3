"""What is counted and logged of a request, and what is not."""

import json
import logging
from dataclasses import replace

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from litellm_hybrid.config.settings import Address, Settings, SettingsStore
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.fallback.policy import Policy
from litellm_hybrid.fallback.state import FallbackState
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.response import ResponseTap
from litellm_hybrid.mitmweb.annotations import Annotations
from litellm_hybrid.observability.history import FallingBackModels, Records
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rewrite import Outgoing
from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.runtime import observer as observer_module
from litellm_hybrid.runtime.notices import Notices
from litellm_hybrid.runtime.observer import Observer
from litellm_hybrid.runtime.prices import Prices


class World:
    """An observer, and a clock."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        patch.setattr(observer_module, "monotonic", lambda: self.now)
        records = Records()
        self.counters, self.history, self.spend = records.counters, records.requests, records.spend
        annotations = Annotations()
        state = FallbackState()
        policy = Policy(SettingsStore(Settings()), state, annotations)
        prices, notices = (
            Prices(SettingsStore(), self.spend, state.costs),
            Notices(SettingsStore(), FallingBackModels()),
        )
        self.observer = Observer(policy, records, prices, notices)

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


@pytest.mark.parametrize("leaves", [False, True])
def test_no_replay_is_kept_ready_for_who_gets_a_response_or_has_left(leaves: bool, world: World) -> None:
    flow, exchange = world.begin()
    exchange.draft = Settings(), Outgoing(Address("http", "127.0.0.1", 4000), "/", (), b"{}")
    if leaves:
        world.end(flow, exchange, None, whole=False)
    else:
        world.observer.passed_on(exchange, streamed=True)
    assert exchange.draft is None


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
    exchange.complete_at = None
    world.now = 1.0
    world.observer.passed_on(exchange, streamed=False)
    world.end(flow, exchange, 401, whole=True)
    assert world.counters.requests == {(target, "refused", "4xx"): 1}
    assert world.in_flight == (0, 0)
    assert world.timed("litellm") == world.timed("upstream") == (0.0, 0.0)


@pytest.mark.parametrize(
    ("target", "status", "body", "level", "says"),
    [
        (Target.UPSTREAM, 200, b'{"error": 1}', logging.INFO, {}),
        (
            Target.UPSTREAM,
            400,
            b'{"error": {"message": "no such tool"}}',
            logging.WARNING,
            {"upstream_message": "no such tool", "server": "address:22"},
        ),
        (
            Target.LITELLM,
            503,
            b"<html>",
            logging.WARNING,
            {"litellm_message": "<html>", "server": "address:22", "litellm_model": "openai/gpt-5"},
        ),
    ],
)
def test_a_servers_refusal_is_a_warning_with_its_words(
    target: Target,
    status: int,
    body: bytes,
    level: int,
    says: dict[str, str],
    world: World,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    _end_with(world, target, status, body)
    (record,) = caplog.records
    names = ("server", "upstream_message", "litellm_message", "litellm_model")
    fields = record.__dict__["fields"]
    assert (record.levelno, {name: fields[name] for name in names if name in fields}) == (level, says)


@pytest.mark.parametrize(
    ("words", "target", "hint"),
    [
        ("Invalid API key", Target.UPSTREAM, True),
        ("Missing API key", Target.UPSTREAM, True),
        ("Invalid API key", Target.LITELLM, False),
        ("token expired", Target.UPSTREAM, False),
    ],
)
def test_a_client_that_cliproxyapi_does_not_know(
    words: str, target: Target, *, hint: bool, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    _end_with(world, target, 401, json.dumps({"error": words}).encode())
    assert ("`api-keys`" in caplog.messages[0]) is hint


@pytest.mark.parametrize(
    ("method", "status", "level"),
    [("HEAD", 404, logging.INFO), ("HEAD", 500, logging.WARNING), ("POST", 404, logging.WARNING)],
)
def test_claude_codes_look_whether_somebody_is_there_is_no_warning(
    method: str, status: int, level: int, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    flow, exchange = world.begin(Target.UPSTREAM, Reason.NOT_POST)
    exchange.request = replace(exchange.request, method=method)
    exchange.begin_attempt(flow.request)
    flow.response = http.Response.make(status, b"no")
    world.observer.response_begun(flow, flow.response)
    world.observer.exchange_ended(flow, exchange, whole=True)
    assert [record.levelno for record in caplog.records] == [level]
    assert world.history[-1].tone == ("quiet" if level == logging.INFO else "bad")


def test_a_response_of_our_own_is_no_warning(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    flow, exchange = world.begin(Target.UPSTREAM, Reason.WEBSOCKET)
    world.end(flow, exchange, 426, whole=True)
    assert [record.levelno for record in caplog.records] == [logging.INFO]
    assert world.history[-1].tone == "quiet"


async def test_the_last_requests_are_remembered_with_their_tokens(world: World) -> None:
    body = b'{"usage": {"input_tokens": 3, "output_tokens": 4}}'
    _end_with(world, Target.LITELLM, 200, body)
    (record,) = world.history
    assert (record.model, record.litellm_model, record.target) == ("gpt-5", "openai/gpt-5", "litellm")
    assert (record.status, record.input_tokens, record.output_tokens) == (200, 3, 4)


def test_one_that_broke_off_is_remembered_as_such(world: World) -> None:
    flow, exchange = world.begin(Target.UPSTREAM, Reason.NOT_LISTED)
    world.observer.failed(flow, Failure(Cause.SERVER_CLOSED, "closed"), response_begun=True)
    world.end(flow, exchange, 200, whole=False)
    (record,) = world.history
    assert (record.status, record.error) == (None, "network_error: closed")


@pytest.mark.parametrize(
    ("target", "header", "cost", "unpriced"),
    [
        (Target.LITELLM, "0.0025", 0.0025, 0),
        (Target.LITELLM, "0.015000000000000001", 0.015, 0),
        (Target.LITELLM, "nan", None, 1),
        (Target.UPSTREAM, "0.0025", None, 0),
    ],
)
async def test_litellm_says_what_a_response_cost(
    target: Target, header: str, cost: float | None, unpriced: int, world: World
) -> None:
    flow, exchange = world.begin(target, Reason.FALLBACK)
    exchange.model = Named("gpt-5", "json", b"{}")
    exchange.begin_attempt(flow.request)
    flow.response = http.Response.make(200, b"{}", {"x-litellm-response-cost": header})
    world.observer.response_begun(flow, flow.response)
    world.observer.exchange_ended(flow, exchange, whole=True)
    assert world.history[-1].cost_usd == cost
    assert world.spend.cost_usd == ({} if cost is None else {("fallback",): pytest.approx(cost)})
    assert sum(world.spend.unpriced.values()) == unpriced


def _end_with(world: World, target: Target, status: int, body: bytes) -> None:
    flow, exchange = world.begin(target, Reason.MODEL)
    exchange.model = Named("gpt-5", "json", b"{}")
    exchange.outcome.litellm_model = "openai/gpt-5"
    exchange.begin_attempt(flow.request)
    flow.response = http.Response.make(status, body)
    world.observer.exchange_ended(flow, exchange, whole=True)


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
    exchange.tap = ResponseTap(is_event_stream=True)
    exchange.tap(b'data: {"type":"message_stop"}\n\n')
    world.observer.failed(flow, Failure(Cause.CLIENT_LEFT, "client disconnected"), response_begun=True)
    assert exchange.served
    assert exchange.failure is None
    assert not world.counters.errors
    assert caplog.messages == []


def test_an_error_after_output_is_a_late_failure(world: World, caplog: pytest.LogCaptureFixture) -> None:
    flow, exchange = world.begin(Target.UPSTREAM, Reason.NOT_LISTED)
    exchange.begin_attempt(flow.request)
    exchange.tap = ResponseTap(is_event_stream=True)
    exchange.tap(b'data: {"choices":[]}\n\ndata: {"error":{"message":"Overloaded"}}\n\n')
    world.end(flow, exchange, 200, whole=True)
    assert world.counters.errors == {("late_error", "upstream"): 1}
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == "upstream 200 GET /path: the stream ended with an error"
    fields: dict[str, object] = record.__dict__["fields"]
    assert (fields["event"], fields["error_type"], fields["error"]) == ("error", "late_error", "Overloaded")


@pytest.mark.parametrize("broken", ["_count_end", "_record", "_log_answered"])
def test_what_cannot_be_counted_ends_all_the_same(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the exchange would keep a body and credentials, and `max-in-flight` a place, for ever."""

    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError("on purpose")

    world = World(monkeypatch)
    monkeypatch.setattr(observer_module, broken, breaks)
    flow, exchange = world.begin()
    assert world.in_flight == (1, 0)
    world.end(flow, exchange, 200, whole=True)
    assert exchange.ended
    assert world.in_flight == (0, 0)
