"""What e2e/test_fallback_*.py cannot see from outside; replay.py and straight.py with it."""

from dataclasses import replace

import pytest
from mitmproxy import http
from mitmproxy.test import tflow, tutils

from litellm_hybrid.config.model_patterns import Patterns
from litellm_hybrid.config.settings import Address, Fallback, Secret, Settings
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.fallback import bypass as straight
from litellm_hybrid.fallback import controller as fallback
from litellm_hybrid.fallback import replay
from litellm_hybrid.fallback.controller import Fallbacks
from litellm_hybrid.fallback.response_hold import COLLECT_LIMIT, REPLAY_LIMIT, JudgedResponse
from litellm_hybrid.flow import exchange
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing.rules import Reason, Target

BASE = Settings(
    base_url=Address("http", "127.0.0.1", 4000),
    api_key=Secret("sk-litellm"),
    models=Patterns(["gpt-5", "o3-pro"]),
    fallback=Fallback(enabled=True, hold_max=30.0),
)
QUOTA = Verdict("quota", "code model_cooldown", retry_after=90)
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream"}


class Rows:
    """Mitmweb's list."""

    def __init__(self) -> None:
        self.rows: list[http.HTTPFlow] = []

    def add(self, flows: list[http.HTTPFlow]) -> None:
        self.rows += flows


class World:
    """Fallbacks, and what they ask for."""

    def __init__(self) -> None:
        self.settings = BASE
        self.rows = Rows()
        self.now = 1000.0
        self.fallbacks = Fallbacks(lambda: self.settings, lambda: self.rows)

    def fallback(self, **changes: object) -> None:
        """Change settings of fallback."""
        self.settings = replace(BASE, fallback=replace(BASE.fallback, **changes))  # type: ignore[arg-type]

    def flow(self, *, ip: str = "127.0.0.1", model: str = "o3", may_fall_back: bool = True) -> http.HTTPFlow:
        """A request that went to upstream."""
        request = tutils.treq(
            method=b"POST",
            path=b"/v1/chat/completions",
            headers=((b"content-type", b"application/json"),),
            content=b'{"model": "%s"}' % model.encode(),
        )
        flow = tflow.tflow(req=request)
        flow.client_conn.peername = (ip, 1)
        flow.metadata["hybrid_host"] = "127.0.0.1:8318"
        decision = exchange.begin(flow)
        decision["model"], decision["sends"], decision["may_fall_back"] = model, model, may_fall_back
        exchange.settle(decision, Target.UPSTREAM, Reason.NOT_LISTED)
        exchange.put(flow, decision)
        return flow

    def fails(self, flow: http.HTTPFlow, verdict: Verdict = QUOTA, status: int = 429) -> http.Request | None:
        """Upstream's answer fails."""
        held = self.hold(flow, status)
        assert held is not None
        held.verdict = verdict
        flow.response = http.Response.make(status, b"{}")
        return self.fallbacks.fall_back(flow, held)

    def hold(
        self,
        flow: http.HTTPFlow,
        status: int = 429,
        headers: dict[str, str] | None = None,
        *,
        replayed: bool = False,
    ) -> JudgedResponse | None:
        """Ask whether an answer is held."""
        response = http.Response.make(status, b"", headers or JSON)
        if replayed:
            settle(flow, Target.LITELLM, Reason.FALLBACK)
        return self.fallbacks.hold(flow, response)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    for room in (fallback, replay, straight):
        monkeypatch.setattr(room, "monotonic", lambda: world.now)
    return world


def settle(flow: http.HTTPFlow, target: Target, reason: Reason) -> None:
    record = exchange.get(flow)
    assert record is not None
    exchange.settle(record, target, reason)


def route(flow: http.HTTPFlow) -> str:
    decision = exchange.get(flow)
    assert decision is not None
    return f"{decision['target']}; {decision['reason']}{decision['note']}"


# -- what is held --------------------------------------------------------------------


def test_a_failure_is_held_for_hold_max(world: World) -> None:
    held = world.hold(world.flow())
    assert held is not None
    assert held.due == world.now + 30.0


@pytest.mark.parametrize(
    "changes", [{"enabled": False}, {"on": frozenset({"unreachable"})}, {"on": frozenset()}]
)
def test_settings_under_which_nothing_is_held(changes: dict[str, object], world: World) -> None:
    """As they are when the answer comes, not when the request did."""
    flow = world.flow()
    world.fallback(**changes)
    assert world.hold(flow) is None


def test_what_may_not_fall_back_is_not_held(world: World) -> None:
    assert world.hold(world.flow(may_fall_back=False)) is None
    assert world.hold(tflow.tflow()) is None
    assert world.hold(world.flow(), 200, {"content-type": "text/plain"}) is None


@pytest.mark.parametrize(
    ("status", "headers", "limit"),
    [
        (400, JSON, COLLECT_LIMIT),
        (503, SSE, COLLECT_LIMIT),
        (200, SSE, REPLAY_LIMIT),
        (200, JSON, None),
        (200, SSE | {"content-encoding": "gzip"}, None),
        (399, JSON, None),
    ],
)
def test_which_answers_of_litellm_are_held(
    status: int, headers: dict[str, str], limit: float | None, world: World
) -> None:
    held = world.hold(world.flow(), status, headers, replayed=True)
    assert (None if held is None else held.due) == (None if limit is None else world.now + limit)
    assert (held is not None and held.verdict is not None) is (status >= 400)


@pytest.mark.parametrize(
    ("event", "fails"),
    [
        (b'data: {"error":{"type":"invalid_request_error","message":"no"}}\n\n', True),
        (b'data: {"error":{"message":"quota"}}\n\n', True),
        (b'data: {"choices":[]}\n\n', False),
        (b'data: {"type":"ping"}\n\n', False),
    ],
)
def test_any_error_event_of_litellm_fails_a_replay(event: bytes, fails: bool, world: World) -> None:
    held = world.hold(world.flow(), 200, SSE, replayed=True)
    assert held is not None
    held.feed(event, now=0.0, clock=world.now)
    assert (held.verdict is not None) is fails


# -- what replaces a failure ---------------------------------------------------------------


def test_a_replay(world: World) -> None:
    flow = world.flow()
    request = world.fails(flow)

    assert request is not None
    assert request is not flow.request, "the original is kept as it was"
    assert (request.host, request.port, request.headers["authorization"]) == (
        "127.0.0.1",
        4000,
        "Bearer sk-litellm",
    )
    assert "authorization" not in flow.request.headers
    assert route(flow) == "litellm; fallback; upstream-status=429"
    assert flow.marked == ":arrow_right_hook:"
    assert "reason=fallback" in flow.comment
    (row,) = world.rows.rows
    assert row.response is not None
    assert row.response.status_code == 429
    assert row.marked == ":warning:"


@pytest.mark.parametrize(
    ("changes", "ip", "why"),
    [
        ({}, "203.0.113.9", "not-allowed"),
        ({"max_per_hour": 1}, "127.0.0.1", "budget"),
    ],
)
def test_a_replay_that_must_not_be(changes: dict[str, object], ip: str, why: str, world: World) -> None:
    world.fallback(**changes)
    if why == "budget":
        assert world.fails(world.flow()) is not None
        world.rows.rows.clear()
    flow = world.flow(ip=ip)
    assert world.fails(flow) is None
    assert route(flow) == f"upstream; fallback-failed; fallback-failed={why}"
    assert world.rows.rows == [], "nothing was replaced"


def test_a_refused_client_spends_no_budget(world: World) -> None:
    world.fallback(max_per_hour=1)
    assert world.fails(world.flow(ip="203.0.113.9")) is None
    assert world.fails(world.flow()) is not None


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        (b"Invalid model name passed in model=o3. Call /v1/models", True),
        (b'{"error":{"code":"model_not_found"}}', True),
        (b"No deployments available for selected model", True),
        (b"No deployment available", True),
        (b"the model is busy", False),
    ],
)
def test_a_model_that_litellm_does_not_know(words: bytes, unknown: bool, world: World) -> None:
    flow = world.flow()
    assert world.fails(flow) is not None
    held = world.hold(flow, 400, replayed=True)
    assert held is not None
    held.feed(words, now=0.0, clock=world.now)
    world.fallbacks.fall_back_failed(flow, "400", held)
    assert route(flow) == "upstream; fallback-failed; fallback-failed=400"
    assert flow.marked == ":warning:"

    again = world.flow()
    assert (world.fails(again) is None) is unknown
    assert world.fails(world.flow(model="o4")) is not None
    if unknown:
        assert route(again) == "upstream; fallback-failed; fallback-failed=unknown-model"
        world.now += 60
        assert world.fails(world.flow()) is not None


UNREACHABLE = (Cause.CONNECT_FAILED, Cause.CONNECT_LIMIT, Cause.FIRST_BYTE_LIMIT)


@pytest.mark.parametrize("cause", Cause)
def test_what_counts_as_unreachable(cause: Cause, world: World) -> None:
    world.fallback(on=frozenset({"unreachable"}))
    flow = world.flow()
    request = world.fallbacks.rescue(flow, Failure(cause, "words"))
    assert (request is not None) is (cause in UNREACHABLE)
    assert route(flow) == ("litellm; unreachable" if request else "upstream; not-listed")
    assert bool(flow.marked) is (request is not None)


@pytest.mark.parametrize(
    "case", ["not opted in", "disabled", "may not fall back", "was LiteLLM's", "not ours"]
)
def test_what_is_not_rescued(case: str, world: World) -> None:
    if case != "not opted in":
        world.fallback(on=frozenset({"unreachable"}), enabled=case != "disabled")
    flow = tflow.tflow() if case == "not ours" else world.flow(may_fall_back=case != "may not fall back")
    if case == "was LiteLLM's":
        settle(flow, Target.LITELLM, Reason.MODEL)
    assert world.fallbacks.rescue(flow, Failure(Cause.CONNECT_FAILED, "words")) is None


# -- cooldown --------------------------------------------------------------------------------


def cooling_down(world: World, flow: http.HTTPFlow) -> bool:
    decision = exchange.get(flow)
    assert decision
    return world.fallbacks.straight.request(flow, decision) is not None


@pytest.mark.parametrize(
    ("verdict", "longest", "skips_until"),
    [
        (QUOTA, 3600.0, 90.0),
        (QUOTA, 10.0, 10.0),
        (QUOTA, 0.0, 0.0),
        (replace(QUOTA, retry_after=None), 3600.0, 0.0),
        (replace(QUOTA, per_request=True), 3600.0, 0.0),
        (replace(QUOTA, kind="overload"), 3600.0, 0.0),
    ],
)
def test_how_long_upstream_is_skipped(
    verdict: Verdict, longest: float, skips_until: float, world: World
) -> None:
    world.fallback(cooldown_max=longest)
    world.fails(world.flow(), verdict)
    running = world.fallbacks.straight.cooldowns.running(world.now)
    assert running == ((("o3", skips_until),) if skips_until else ())
    assert cooling_down(world, world.flow()) is bool(skips_until)
    world.now += skips_until
    assert not cooling_down(world, world.flow()), "the first one probes"


def test_a_request_that_may_not_fall_back_is_not_cooled_down(world: World) -> None:
    world.fallback(cooldown_max=3600.0)
    world.fails(world.flow())
    assert not cooling_down(world, world.flow(may_fall_back=False))
    refused = world.flow(ip="203.0.113.9")
    assert not cooling_down(world, refused)
    assert route(refused) == "upstream; fallback-failed; fallback-failed=not-allowed"


ENDS: list[tuple[int | None, Target, bool]] = [
    # what the client was answered, by whom, and whether that ends the cooldown
    (200, Target.UPSTREAM, True),
    (429, Target.UPSTREAM, False),
    (None, Target.UPSTREAM, False),
    (200, Target.LITELLM, False),
    (None, Target.LITELLM, False),
]


@pytest.mark.parametrize(("status", "target", "ends"), ENDS)
def test_the_end_of_a_probe(status: int | None, target: Target, ends: bool, world: World) -> None:
    world.fallback(cooldown_max=3600.0)
    world.fails(world.flow())
    world.now += 90
    probe = world.flow()
    assert not cooling_down(world, probe)
    assert cooling_down(world, world.flow()), "one at a time"
    settle(probe, target, Reason.FALLBACK)
    world.fallbacks.straight.ended(probe, status)
    assert (world.fallbacks.straight.cooldowns.running(world.now) == ()) is ends
    assert not cooling_down(world, world.flow()), "the next one probes, or there is no cooldown any more"


@pytest.mark.parametrize(("status", "ends"), [(200, False), (500, True), (None, True)])
def test_the_end_of_a_request_that_skipped_upstream(status: int | None, ends: bool, world: World) -> None:
    """A cooldown ends where LiteLLM cannot help; else a running probe stays the only one."""
    world.fallback(cooldown_max=3600.0)
    world.fails(world.flow())
    world.now += 90
    probe, skips = world.flow(), world.flow()
    assert not cooling_down(world, probe)
    assert cooling_down(world, skips)
    world.fallbacks.straight.ended(skips, status)
    assert (world.fallbacks.straight.cooldowns.running(world.now) == ()) is ends
    if not ends:
        assert cooling_down(world, world.flow())


def test_nothing_is_kept_of_a_request_that_has_ended(world: World) -> None:
    world.fallback(cooldown_max=3600.0)
    world.fails(world.flow())
    flows = [world.flow() for _ in range(3)]
    assert all(cooling_down(world, flow) for flow in flows)
    for flow in flows:
        world.fallbacks.straight.ended(flow, 200)
        world.fallbacks.straight.ended(flow, 200)
    assert world.fallbacks.straight._waiting == {}


def test_a_probe_that_meets_the_quota_again_does_not_end_what_it_begins(world: World) -> None:
    """Even where LiteLLM cannot help and the client gets upstream's error, which may be a 200."""
    world.fallback(cooldown_max=3600.0)
    world.fails(world.flow())
    world.now += 90
    probe = world.flow()
    assert not cooling_down(world, probe)
    world.fails(probe, status=200)
    settle(probe, Target.UPSTREAM, Reason.FALLBACK_FAILED)
    world.fallbacks.straight.ended(probe, 200)
    assert world.fallbacks.straight.cooldowns.running(world.now) == (("o3", 90.0),)
