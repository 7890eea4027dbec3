"""What e2e/test_fallback_*.py cannot see from outside; replay.py and bypass.py with it."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from litellm_hybrid.config.settings import Address, Fallback, Patterns, Secret, Settings, SettingsStore
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.fallback import bypass, policy, replay
from litellm_hybrid.fallback.conversations import conversation_id
from litellm_hybrid.fallback.policy import Policy
from litellm_hybrid.fallback.replay import DRAFT_MOST
from litellm_hybrid.fallback.response_hold import COLLECT_LIMIT, MOST_IN_ALL, OPENING_LIMIT, JudgedResponse
from litellm_hybrid.fallback.state import FELL_BACK_FOR, FallbackState
from litellm_hybrid.flow import exchange as exchange_module
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.mitmweb.annotations import describe
from litellm_hybrid.quota.classifier import Verdict
from litellm_hybrid.routing import requested_model
from litellm_hybrid.routing.rules import Reason, Target
from support.flows import upstream_flow

BASE = Settings(
    base_url=Address("http", "127.0.0.1", 4000),
    api_key=Secret("sk-litellm"),
    models=Patterns(["gpt-5", "o3-pro"]),
    fallback=Fallback(enabled=True, hold_max=30.0),
)
QUOTA = Verdict("quota", "code model_cooldown", retry_after=90)
JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream"}


class Listener:
    """What the policy has said of flows."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def replaced(self, flow: http.HTTPFlow, why: str, held: object, error: str = "") -> None:
        assert (held is None) is bool(error)
        self.said.append(f"replaced {flow.response.status_code if flow.response else why}")

    def settled(self, flow: http.HTTPFlow) -> None:
        assert flow
        self.said.append("settled")


class World:
    """Fallbacks, and what they ask for."""

    def __init__(self) -> None:
        self.settings = SettingsStore(BASE)
        self.listener = Listener()
        self.now = 1000.0
        self.state = FallbackState()
        self.policy = Policy(self.settings, self.state, self.listener)

    def fallback(self, **changes: object) -> None:
        """Change settings of fallback."""
        fallback = replace(BASE.fallback, **changes)  # type: ignore[arg-type]
        self.settings.publish(replace(BASE, fallback=fallback))

    def flow(
        self,
        *,
        ip: str = "127.0.0.1",
        model: str = "o3",
        may_fall_back: bool = True,
        stream: bool = False,
    ) -> http.HTTPFlow:
        """A request that went to upstream."""
        body = json.dumps({"model": model, "stream": stream}).encode()
        flow, _ = upstream_flow(
            body,
            path="/v1/chat/completions",
            model=model,
            may_fall_back=may_fall_back,
            ip=ip,
        )
        return flow

    def exchange(self, flow: http.HTTPFlow) -> Exchange:
        """A flow's."""
        exchange = Exchange.of(flow)
        assert exchange is not None
        return exchange

    def route(self, flow: http.HTTPFlow) -> str:
        """As in the header."""
        return self.exchange(flow).route

    def fails(self, flow: http.HTTPFlow, verdict: Verdict = QUOTA, status: int = 429) -> http.Request | None:
        """Upstream's answer fails."""
        held = self.hold(flow, status)
        assert held is not None
        held.verdict = verdict
        flow.response = http.Response.make(status, b"{}")
        request = self.policy.on_failed_response(flow, held)
        self.policy.replay_begun(flow)
        return request

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
            self.exchange(flow).set_outcome(Target.LITELLM, Reason.FALLBACK)
        return self.policy.on_response(flow, response)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    for module in (policy, replay, bypass, exchange_module):
        monkeypatch.setattr(module, "monotonic", lambda: world.now)
    return world


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
    assert world.hold(world.flow(), 200, {"content-type": "text/html"}) is None


@pytest.mark.parametrize(
    ("status", "headers", "limit"),
    [
        (400, JSON, COLLECT_LIMIT),
        (503, SSE, COLLECT_LIMIT),
        (307, JSON, COLLECT_LIMIT),
        (200, SSE, OPENING_LIMIT),
        (200, JSON, OPENING_LIMIT),
        (200, SSE | {"content-encoding": "gzip"}, None),
        (399, JSON, COLLECT_LIMIT),
        (200, {"content-type": "text/html"}, COLLECT_LIMIT),
    ],
)
def test_which_answers_of_litellm_are_held(
    status: int, headers: dict[str, str], limit: float | None, world: World
) -> None:
    held = world.hold(world.flow(), status, headers, replayed=True)
    assert (None if held is None else held.due) == (None if limit is None else world.now + limit)
    assert (held is not None and held.verdict is not None) is (limit == COLLECT_LIMIT)


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
    assert world.route(flow) == "litellm; reason=fallback; upstream-status=429; model=o3"
    assert world.listener.said == ["replaced 429", "settled"]
    assert world.exchange(flow).attempts[-1].request is request


@pytest.mark.parametrize("is_served", [True, False])
@pytest.mark.parametrize("is_refused", [True, False])
def test_a_history_that_upstream_has_refused_is_not_sent_again(
    is_served: bool, is_refused: bool, world: World
) -> None:
    """Of a conversation that LiteLLM has served, though nothing in its body looks like what is refused."""
    body = {
        "model": "claude(high)",
        "messages": [{"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "c", "content": ""}],
    }
    sent = json.dumps(body).encode()
    flow, exchange = upstream_flow(sent, path="/v1/chat/completions")
    conversation = conversation_id(exchange)
    assert conversation is not None
    if is_served:
        world.state.conversations.add_served(conversation, world.now)
    else:
        world.state.conversations.add_served("another", world.now)
    if is_refused:
        world.state.conversations.add_refused(conversation, "upstream", "thinking-missing", world.now)

    world.policy.bypass.adapt_history(flow.request, exchange)

    assert (flow.request.content != sent) is (is_served and is_refused)


def drafted(world: World, flow: http.HTTPFlow) -> bool:
    """Whether its replay is being prepared while upstream works on it."""
    world.policy.request_sent(flow)
    return world.exchange(flow).draft is not None


def test_a_replay_is_prepared_where_the_model_fell_back_a_moment_ago(world: World) -> None:
    first = world.flow()
    assert not drafted(world, first)
    world.fails(first)

    flow = world.flow()
    assert drafted(world, flow)
    assert not drafted(world, world.flow(model="o4"))
    assert not drafted(world, world.flow(may_fall_back=False))
    request = world.fails(flow)
    assert request is not None
    assert request.content == b'{"model": "o3", "stream": false,"drop_params":true}'
    assert request.headers["content-length"] == str(len(request.content))
    assert request.headers["x-request-id"] == world.exchange(flow).id
    assert world.exchange(flow).draft is None

    world.now += FELL_BACK_FOR
    assert not drafted(world, world.flow())


def test_a_replay_that_was_prepared_by_other_settings_is_made_anew(world: World) -> None:
    world.fails(world.flow())
    flow = world.flow()
    assert drafted(world, flow)
    world.settings.publish(replace(BASE, api_key=Secret("sk-another")))
    request = world.fails(flow)
    assert request is not None
    assert request.headers["authorization"] == "Bearer sk-another"


@pytest.mark.parametrize("case", ["long", "stateful", "unreadable", "to LiteLLM", "another machine's"])
def test_a_replay_that_is_not_prepared(case: str, world: World) -> None:
    world.fails(world.flow())
    flow = world.flow()
    if case == "another machine's":
        flow = world.flow(ip="203.0.113.9")
    elif case == "stateful":
        flow, _ = upstream_flow(b'{"model": "o3", "previous_response_id": "resp_1"}', model="o3")
    exchange = world.exchange(flow)
    assert exchange.model is not None
    assert exchange.model.stateful is (case == "stateful")
    match case:
        case "long":
            exchange.model = replace(exchange.model, content=bytes(DRAFT_MOST + 1))
        case "unreadable":
            exchange.model = replace(exchange.model, content=None)
        case "to LiteLLM":
            exchange.set_outcome(Target.LITELLM, Reason.MODEL)
    assert not drafted(world, flow)


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
        world.listener.said.clear()
    flow = world.flow(ip=ip)
    assert world.fails(flow) is None
    assert world.route(flow) == f"upstream; reason=fallback-failed; fallback-failed={why}"
    assert world.listener.said == [], "nothing was replaced"


def test_a_refused_client_spends_no_budget(world: World) -> None:
    world.fallback(max_per_hour=1)
    assert world.fails(world.flow(ip="203.0.113.9")) is None
    assert world.fails(world.flow()) is not None


@pytest.mark.parametrize(
    ("changes", "is_replayed"),
    [
        ({"max_cost_per_day": Decimal(5)}, True),
        ({"max_cost_per_day": Decimal(5), "budget_strict": True}, False),
        ({"budget_strict": True}, True),
    ],
)
def test_dollars_while_nobody_knows_what_others_spend(
    changes: dict[str, object], is_replayed: bool, world: World
) -> None:
    world.fallback(**changes)
    world.policy.state.shared.down_since = 1.0
    assert (world.fails(world.flow()) is not None) is is_replayed


LITELLM_COOLS = (
    b'{"error":{"message":"No deployments available for selected model, Try again in 5 seconds. Passed model=o3. '
    b'pre-call-checks=False, cooldown_list=[...]","type":"None","code":"429"}}'
)


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
    world.policy.replay_failed(flow, "400", held)
    assert world.route(flow) == "upstream; reason=fallback-failed; fallback-failed=400"
    assert world.listener.said[-1] == "settled"

    again = world.flow()
    assert (world.fails(again) is None) is unknown
    assert world.fails(world.flow(model="o4")) is not None
    if unknown:
        assert world.route(again) == "upstream; reason=fallback-failed; fallback-failed=unknown-model"
        world.now += 60
        assert world.fails(world.flow()) is not None


def test_a_cooldown_of_litellms_is_waited_for(world: World) -> None:
    """It knows the model, and says when it serves it again."""
    flow = world.flow()
    assert world.fails(flow) is not None
    held = world.hold(flow, 429, replayed=True)
    assert held is not None
    held.feed(LITELLM_COOLS, now=0.0, clock=world.now)
    world.policy.replay_failed(flow, "429", held)

    again = world.flow()
    assert world.fails(again) is None
    assert world.route(again) == "upstream; reason=fallback-failed; fallback-failed=litellm-cooldown"
    world.now += 5
    assert world.fails(world.flow()) is not None


UNREACHABLE = (Cause.CONNECT_FAILED, Cause.CONNECT_LIMIT, Cause.FIRST_BYTE_LIMIT)


@pytest.mark.parametrize("cause", Cause)
def test_what_counts_as_unreachable(cause: Cause, world: World) -> None:
    world.fallback(on=frozenset({"unreachable"}))
    flow = world.flow()
    request = world.policy.on_failure(flow, Failure(cause, "words"))
    world.policy.replay_begun(flow)
    assert (request is not None) is (cause in UNREACHABLE)
    assert world.route(flow) == (
        "litellm; reason=unreachable; model=o3" if request else "upstream; reason=not-listed"
    )
    assert world.listener.said == (["replaced unreachable", "settled"] if request else [])


@pytest.mark.parametrize(
    "case", ["not opted in", "disabled", "may not fall back", "was LiteLLM's", "not ours"]
)
def test_what_is_not_rescued(case: str, world: World) -> None:
    if case != "not opted in":
        world.fallback(on=frozenset({"unreachable"}), enabled=case != "disabled")
    flow = tflow.tflow() if case == "not ours" else world.flow(may_fall_back=case != "may not fall back")
    if case == "was LiteLLM's":
        world.exchange(flow).set_outcome(Target.LITELLM, Reason.MODEL)
    assert world.policy.on_failure(flow, Failure(Cause.CONNECT_FAILED, "words")) is None


# -- cooldown --------------------------------------------------------------------------------


def cooling_down(world: World, flow: http.HTTPFlow) -> bool:
    return world.policy.bypass.replacement(flow, world.exchange(flow)) is not None


@pytest.mark.parametrize(
    ("verdict", "longest", "skips_until"),
    [
        (QUOTA, 3600.0, 90.0),
        (QUOTA, 10.0, 10.0),
        (QUOTA, 0.0, 0.0),
        (
            replace(QUOTA, reason="phrase 'cooling down'", message="All credentials … are cooling down"),
            3600.0,
            90.0,
        ),
        (replace(QUOTA, reason="phrase 'usage limit'"), 3600.0, 60.0),
        (replace(QUOTA, reason="phrase 'usage limit'", retry_after=5), 3600.0, 5.0),
        (replace(QUOTA, reason="phrase 'usage limit'"), 10.0, 10.0),
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
    running = world.state.cooldowns.running(world.now)
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
    assert world.route(refused) == "upstream; reason=fallback-failed; fallback-failed=not-allowed"


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
    world.exchange(probe).set_outcome(target, Reason.FALLBACK)
    world.policy.bypass.exchange_ended(world.exchange(probe), status)
    assert (world.state.cooldowns.running(world.now) == ()) is ends
    assert not cooling_down(world, world.flow()), "the next one probes, or there is no cooldown any more"


@pytest.mark.parametrize(
    ("status", "ends"), [(200, False), (400, False), (429, True), (500, True), (None, True)]
)
def test_the_end_of_a_request_that_skipped_upstream(status: int | None, ends: bool, world: World) -> None:
    """A cooldown ends where LiteLLM cannot help; else a running probe stays the only one."""
    world.fallback(cooldown_max=3600.0)
    world.fails(world.flow())
    world.now += 90
    probe, skips = world.flow(), world.flow()
    assert not cooling_down(world, probe)
    assert cooling_down(world, skips)
    world.policy.bypass.exchange_ended(world.exchange(skips), status)
    assert (world.state.cooldowns.running(world.now) == ()) is ends
    if not ends:
        assert cooling_down(world, world.flow())


def test_a_probe_that_meets_the_quota_again_does_not_end_what_it_begins(world: World) -> None:
    """Even where LiteLLM cannot help and the client gets upstream's error, which may be a 200."""
    world.fallback(cooldown_max=3600.0)
    world.fails(world.flow())
    world.now += 90
    probe = world.flow()
    assert not cooling_down(world, probe)
    world.fails(probe, status=200)
    world.exchange(probe).set_outcome(Target.UPSTREAM, Reason.FALLBACK_FAILED)
    world.policy.bypass.exchange_ended(world.exchange(probe), 200)
    assert world.state.cooldowns.running(world.now) == (("o3", 90.0),)


def test_a_client_that_leaves_ends_no_cooldown(world: World) -> None:
    world.fallback(cooldown_max=3600.0)
    world.fails(world.flow())
    skips = world.flow()
    assert cooling_down(world, skips)
    world.exchange(skips).failure = Failure(Cause.CLIENT_LEFT, "client disconnected")
    world.policy.exchange_ended(world.exchange(skips), None)
    assert cooling_down(world, world.flow())


# -- cooldown: auto ----------------------------------------------------------------------------


def slow(world: World, seconds: float = 2.5, verdict: Verdict = QUOTA) -> http.HTTPFlow:
    """Upstream takes so long to say that a quota is used up."""
    flow = world.flow(stream=True)
    assert not cooling_down(world, flow)
    world.now += seconds
    assert world.fails(flow, verdict) is not None
    return flow


def running(world: World) -> float:
    """Seconds for which upstream is skipped."""
    return dict(world.state.cooldowns.running(world.now)).get("o3", 0.0)


@pytest.mark.parametrize(
    ("seconds", "verdict", "skips"),
    [
        (2.5, QUOTA, 60.0),
        (2.5, replace(QUOTA, retry_after=None), 60.0),
        (2.5, replace(QUOTA, retry_after=15), 15.0),
        (2.5, replace(QUOTA, retry_after=3600), 60.0),
        (1.5, QUOTA, 0.0),
        (2.5, replace(QUOTA, per_request=True), 0.0),
        (2.5, replace(QUOTA, kind="overload"), 0.0),
    ],
)
def test_only_a_slow_upstream_is_skipped(
    seconds: float, verdict: Verdict, skips: float, world: World
) -> None:
    slow(world, seconds, verdict)
    assert running(world) == skips


def test_each_probe_that_meets_the_quota_again_doubles_it(world: World) -> None:
    slow(world)
    lengths = []
    for _ in range(5):
        world.now += running(world)
        slow(world, 0.5)
        lengths.append(running(world))
    assert lengths == [120.0, 240.0, 480.0, 600.0, 600.0]


def test_a_probe_that_upstream_serves_ends_it(world: World) -> None:
    slow(world)
    world.now += 60
    probe = world.flow()
    assert not cooling_down(world, probe)
    world.policy.exchange_ended(world.exchange(probe), 200)
    slow(world)
    assert running(world) == 60.0, "it begins anew"


def test_requests_at_the_same_time_do_not_lengthen_it(world: World) -> None:
    flows = [world.flow() for _ in range(3)]
    assert not any(cooling_down(world, flow) for flow in flows)
    world.now += 10
    for flow in flows:
        world.now += 10
        assert world.fails(flow) is not None
    assert running(world) == 40.0


def test_a_streamed_probe_has_ten_seconds(world: World) -> None:
    slow(world)
    world.now += 60
    probe, whole = world.flow(stream=True), world.flow()
    assert world.policy.first_byte_limit(probe) is None
    assert not cooling_down(world, probe)
    assert world.policy.first_byte_limit(probe) == 10.0
    world.now += 10
    request = world.policy.on_failure(probe, Failure(Cause.FIRST_BYTE_LIMIT, "nothing within 10 s"))
    assert request is not None
    assert world.route(probe) == "litellm; reason=cooldown; model=o3"
    assert world.policy.first_byte_limit(probe) is None, "LiteLLM has as long as it needs"
    assert running(world) == 120.0

    world.now += 120
    assert not cooling_down(world, whole)
    assert world.policy.first_byte_limit(whole) is None, "a whole response begins only at its end"


def test_a_probe_that_has_timed_out_lets_nobody_probe_beside_the_next(world: World) -> None:
    slow(world)
    world.now += 60
    first, second = world.flow(stream=True), world.flow(stream=True)
    assert not cooling_down(world, first)
    assert world.policy.on_failure(first, Failure(Cause.FIRST_BYTE_LIMIT, "nothing within 10 s")) is not None
    world.now += 120
    assert not cooling_down(world, second), "it probes"
    world.policy.exchange_ended(world.exchange(first), 200)
    assert cooling_down(world, world.flow())


def test_litellm_fails_a_request_that_upstream_has_not_begun_in_time(world: World) -> None:
    slow(world)
    world.now += 60
    probe = world.flow(stream=True)
    assert not cooling_down(world, probe)
    assert world.policy.on_failure(probe, Failure(Cause.FIRST_BYTE_LIMIT, "nothing within 10 s")) is not None
    probe.response = http.Response.make(502)
    world.policy.replay_failed(probe, "500", None)
    assert world.route(probe) == "upstream; reason=fallback-failed; fallback-failed=500"
    assert world.state.history.counts["unreachable", "failed"] == 1


def test_the_time_to_the_first_byte_can_be_limited(world: World) -> None:
    world.fallback(first_byte=3.0)
    flow = world.flow()
    assert world.policy.first_byte_limit(flow) == 3.0
    assert world.policy.first_byte_limit(world.flow(may_fall_back=False)) is None
    assert world.policy.on_failure(flow, Failure(Cause.FIRST_BYTE_LIMIT, "nothing within 3 s")) is not None
    assert world.route(flow) == "litellm; reason=unreachable; model=o3"
    assert running(world) == 0.0
    assert world.policy.on_failure(world.flow(), Failure(Cause.CONNECT_FAILED, "refused")) is None


# -- an account that is suspended --------------------------------------------------------------

SUSPENDED = Verdict("no-credential", "type auth_unavailable", message="auth_unavailable: no auth available")


def passes(world: World, status: int, body: bytes) -> None:
    """A failure of a kind that is not replayed reaches the client."""
    flow = world.flow()
    held = world.hold(flow, status)
    assert held is not None
    held.feed(body, now=0.0, clock=world.now)
    held.end(now=0.0)
    assert held.verdict is None
    world.policy.exchange_ended(world.exchange(flow), status)


def test_a_suspension_names_the_failure_before_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    passes(world, 500, b'{"error":{"type":"server_error","message":"Internal provider fault"}}')
    flow = world.flow()
    assert world.fails(flow, SUSPENDED, 503) is not None
    assert world.exchange(flow).first_failure == "500 Internal provider fault"
    fields: dict[str, object] = caplog.records[-1].__dict__["fields"]
    assert fields["first_failure"] == "500 Internal provider fault"
    assert "; after 500 Internal provider fault" in describe(flow, world.exchange(flow).snapshot())

    other = world.flow(model="o4")
    assert world.fails(other, SUSPENDED, 503) is not None
    assert world.exchange(other).first_failure is None


def test_a_failure_is_forgotten_once_upstream_serves_again(world: World) -> None:
    passes(world, 500, b'{"error":{"type":"server_error","message":"Internal provider fault"}}')
    world.policy.exchange_ended(world.exchange(world.flow()), 200)
    flow = world.flow()
    assert world.fails(flow, SUSPENDED, 503) is not None
    assert world.exchange(flow).first_failure is None


# -- the rest of it --------------------------------------------------------------------------


def test_a_response_is_counted_as_held_until_it_is_closed(world: World) -> None:
    held = world.hold(world.flow())
    assert held is not None
    held.feed(b"12345", now=0.0, clock=world.now)
    assert (len(world.state.held), world.state.held_bytes) == (1, 5)
    held.close()
    assert (len(world.state.held), world.state.held_bytes) == (0, 0)


def test_where_our_own_code_fails_the_client_gets_the_servers_response(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(world.policy.bypass, "cool_down", broken)
    assert world.fails(world.flow()) is None
    (record,) = caplog.records
    assert record.getMessage().endswith("ZeroDivisionError: on purpose")
    assert record.exc_info


def test_a_body_is_decoded_and_parsed_once_also_on_a_fallback(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = world.flow()
    read: list[object] = []
    for module, name in ((requested_model, "read"), (requested_model, "decode"), (exchange_module, "decode")):
        monkeypatch.setattr(module, name, read.append)
    world.fallback(sticky=60.0)
    request = world.fails(flow)
    assert request is not None
    world.policy.exchange_ended(world.exchange(flow), 200)
    assert read == []


def test_a_model_that_upstream_has_served_before_has_lost_its_account(world: World) -> None:
    """CLIProxyAPI forgets a model with its last account."""
    body = b'{"error":{"message":"unknown provider for model o3"}}'
    verdicts = []
    for _ in range(2):
        held = world.hold(world.flow(), 400, JSON)
        assert held is not None
        held.feed(body, now=0.0, clock=world.now)
        held.end(now=0.0)
        verdicts.append(held.verdict and held.verdict.kind)
        world.policy.exchange_ended(world.exchange(world.flow()), 200)
    assert verdicts == [None, "no-credential"]


def test_so_many_bytes_are_held_at_once(world: World) -> None:
    first = world.hold(world.flow(), 200, SSE)
    assert first is not None
    first.body += bytes(MOST_IN_ALL)
    assert world.hold(world.flow(), 200, SSE) is None
    first.close()
    assert world.hold(world.flow(), 200, SSE) is not None
