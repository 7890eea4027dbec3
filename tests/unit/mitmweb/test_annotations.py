"""What mitmweb says of requests: marks, comments and commands."""

import gzip
import json
import re
from collections.abc import Iterator

import pytest
from mitmproxy import exceptions, hooks, http
from mitmproxy import flow as flows
from mitmproxy.test import taddons, tflow
from mitmproxy.utils.emoji import emoji

from litellm_hybrid.config.settings import Secret, Settings, SettingsStore
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.fallback.response_hold import JudgedResponse, ResponseHead
from litellm_hybrid.fallback.shared_state import SharedState
from litellm_hybrid.fallback.state import Cooldowns
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.outcome import METADATA, REPLACED_MOST
from litellm_hybrid.llm.replay.remedies import Action, Remedy
from litellm_hybrid.mitmweb.annotations import (
    FAILED,
    REPLACED,
    Annotations,
    Commands,
    describe,
    status_lines,
    summary,
)
from litellm_hybrid.observability.history import FallbackRecord, Reload
from litellm_hybrid.observability.status import Status
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rules import Reason, Target

# -- marks and comments ----------------------------------------------------------


class World:
    """A flow that fell back, and those who show it."""

    def __init__(self) -> None:
        self.annotations = Annotations(SettingsStore(Settings(api_key=Secret("sk-of-litellm"))))
        self.flow = tflow.tflow(resp=True)
        assert self.flow.response
        self.flow.request.headers["x-request-id"] = "req-1"
        self.exchange = Exchange.begin(self.flow)
        self.decide("gpt-5")
        self.exchange.outcome.litellm_model = "gpt-5-of-litellm"
        self.exchange.set_outcome(Target.LITELLM, Reason.FALLBACK, upstream_status=429)
        self.exchange.fallback = FallbackRecord(0.0, "req-1", "gpt-5", "quota", 429, None)

    def decide(self, model: str | None) -> None:
        """Let the request name a model."""
        self.exchange.decided = True
        self.exchange.model = Named(model)


@pytest.fixture
def world() -> World:
    return World()


def test_a_comment_says_what_was_decided(world: World) -> None:
    world.annotations.settled(world.flow)
    assert world.flow.comment.partition("\n")[0] == (
        "gpt-5 ↪ LiteLLM after 429 usage limit; reason=fallback; target=litellm; upstream-status=429; "
        "gpt-5 → gpt-5-of-litellm; request id req-1"
    )


@pytest.mark.parametrize(
    ("target", "reason", "status", "mark", "happened"),
    [
        (Target.LITELLM, Reason.MODEL, 200, "", "gpt-5 → LiteLLM"),
        (Target.LITELLM, Reason.MODEL, 400, FAILED, "gpt-5 → LiteLLM ⚠ 400"),
        (Target.LITELLM, Reason.PASSTHROUGH, 200, "", "gpt-5 → LiteLLM"),
        (Target.LITELLM, Reason.UNREACHABLE, 200, "", "gpt-5 ↪ LiteLLM, upstream is unreachable"),
        (Target.LITELLM, Reason.COOLDOWN, 200, "", "gpt-5 ↪ LiteLLM, upstream is cooling down"),
        (Target.LITELLM, Reason.STICKY, 503, FAILED, "gpt-5 ↪ LiteLLM, the conversation is there ⚠ 503"),
        (Target.LITELLM, Reason.ERROR, 502, FAILED, "gpt-5 ⚠ error"),
        (Target.UPSTREAM, Reason.ERROR, 502, FAILED, "gpt-5 ⚠ error"),
        (Target.UPSTREAM, Reason.NOT_LISTED, 200, "", "gpt-5 → upstream"),
        (Target.UPSTREAM, Reason.NOT_LISTED, 400, FAILED, "gpt-5 → upstream ⚠ 400"),
        (Target.UPSTREAM, Reason.NOT_POST, 500, FAILED, "gpt-5 → upstream ⚠ 500"),
        (
            *(Target.UPSTREAM, Reason.EXCEPTED, 429, FAILED),
            "gpt-5 ⚠ upstream 429, excepted: not served by LiteLLM",
        ),
        (Target.UPSTREAM, Reason.WEBSOCKET, 426, "", "gpt-5 → upstream"),
        (Target.NONE, Reason.REFUSED, 401, FAILED, "gpt-5 ⚠ refused"),
    ],
)
def test_marks_are_what_went_wrong(
    target: Target, reason: Reason, status: int, mark: str, happened: str, world: World
) -> None:
    world.exchange.set_outcome(target, reason)
    assert world.flow.response
    world.flow.response.status_code = status
    world.annotations.settled(world.flow)
    assert world.flow.marked == mark
    assert world.flow.comment.startswith(f"{happened}; reason={reason}; target={target}; gpt-5")


def test_before_there_is_a_response_nothing_is_wrong(world: World) -> None:
    world.flow.response = None
    world.exchange.set_outcome(Target.UPSTREAM, Reason.NOT_LISTED)
    world.annotations.settled(world.flow)
    assert world.flow.marked == ""


def test_the_mark_is_in_fonts_without_emoji() -> None:
    """Those beyond the basic plane are in emoji fonts alone."""
    assert max(map(ord, emoji[FAILED] + emoji[REPLACED])) < 0x10000


def test_a_comment_follows_the_decision(world: World) -> None:
    world.annotations.settled(world.flow)
    world.exchange.set_outcome(Target.UPSTREAM, Reason.FALLBACK_FAILED, fallback_failed="500")
    assert world.flow.response
    world.flow.response.status_code = 429
    world.annotations.settled(world.flow)
    assert world.flow.marked == FAILED
    assert world.flow.comment.partition("\n")[0] == (
        "gpt-5 ⚠ upstream 429 usage limit, LiteLLM could not help: 500; "
        "reason=fallback-failed; target=upstream; fallback-failed=500; gpt-5; request id req-1"
    )


def test_what_a_user_wrote_stays(world: World) -> None:
    world.annotations.settled(world.flow)
    world.flow.comment, world.flow.marked = "look at this", ":grapes:"
    world.exchange.set_outcome(Target.UPSTREAM, Reason.FALLBACK_FAILED)
    world.annotations.settled(world.flow)
    assert (world.flow.comment, world.flow.marked) == ("look at this", ":grapes:")


@pytest.mark.parametrize(
    ("cause", "detail", "mark", "says"),
    [
        (Cause.CLIENT_LEFT, "client disconnected", REPLACED, "client_disconnect: client disconnected"),
        (Cause.SERVER_CLOSED, "server closed", FAILED, "network_error: server closed"),
        (
            Cause.IDLE_LIMIT,
            "idle limit: nothing within 3 s",
            FAILED,
            "timeout: idle limit: nothing within 3 s",
        ),
    ],
)
def test_an_answer_that_broke_off(cause: Cause, detail: str, mark: str, says: str, world: World) -> None:
    world.exchange.failure = Failure(cause, detail)
    world.flow.error = flows.Error(detail)
    world.annotations.settled(world.flow)
    assert world.flow.marked == mark
    assert f"; request id req-1; {says}\n" in world.flow.comment


def test_a_reduced_history_is_named(world: World) -> None:
    world.exchange.outcome.reduced = True
    assert "upstream-status=429; history=reduced; gpt-5" in describe(world.flow, world.exchange.snapshot())


def test_a_request_without_a_model(world: World) -> None:
    world.decide(None)
    world.exchange.set_outcome(Target.UPSTREAM, Reason.NO_MODEL)
    said = summary(world.flow, world.exchange.snapshot())
    assert said == "/path → upstream; reason=no-model; target=upstream; no model; request id req-1"


def test_a_flow_of_somebody_elses_is_left_alone(world: World) -> None:
    flow = tflow.tflow(resp=True)
    world.annotations.settled(flow)
    world.annotations.replaced(flow, "quota", None)
    assert (flow.marked, flow.comment, flow.metadata) == ("", "", {})


def _held(status: int, body: object, **headers: str) -> JudgedResponse:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    held = JudgedResponse(ResponseHead(status, names), since=0, hold_max=1, fails=lambda _: True)
    held.body += body if isinstance(body, bytes) else json.dumps(body).encode()
    return held


def _asked(world: World, target: Target, status: int | None) -> None:
    """A server is asked, and has answered with a status."""
    world.exchange.set_outcome(target, Reason.NOT_LISTED)
    world.exchange.begin_attempt(world.flow.request)
    world.exchange.attempts[-1].status = status


def test_what_no_client_has_seen_is_kept_and_said(world: World) -> None:
    """Upstream's failed response, and LiteLLM's refusal, marked as what they are; without secrets."""
    flow, exchange = world.flow, world.exchange
    _asked(world, Target.UPSTREAM, 429)
    words = {"error": {"message": "out of\nquota", "type": "rate_limit_error"}}
    world.annotations.replaced(flow, "quota", _held(429, words, retry_after="60", set_cookie="secret"))
    _asked(world, Target.LITELLM, 400)
    world.annotations.replaced(flow, "400", _held(400, {"error": {"message": "no sk-of-litellm"}}))
    _asked(world, Target.LITELLM, 200)
    exchange.set_outcome(Target.LITELLM, Reason.FALLBACK, upstream_status=429)
    world.annotations.settled(flow)

    upstream, litellm, last = flow.metadata[METADATA]["attempts"]
    assert upstream["replaced"]["headers"] == [["retry-after", "60"], ["set-cookie", "***"]]
    assert json.loads(upstream["replaced"]["body"]) == words
    assert (litellm["server"], litellm["status"], last["replaced"]) == ("litellm", 400, None)
    _, *said = (re.sub(r"after [\d,]+ ms", "after 1 ms", line) for line in flow.comment.split("\n• "))
    assert said[:3] == [
        "upstream failed: 429 usage limit after 1 ms, not seen by the client: out of quota",
        "LiteLLM refused: 400 after 1 ms, not seen by the client: no ***",
        "LiteLLM answered: 200 after 1 ms",
    ]
    assert [line.partition(":")[0] for line in said[3:]] == ["means", "fix"]
    assert flow.marked == REPLACED
    assert "secret" not in str(flow.get_state())


def test_a_server_that_gave_no_response_is_said(world: World) -> None:
    _asked(world, Target.UPSTREAM, None)
    world.annotations.replaced(world.flow, "unreachable", None, "connection refused")
    world.exchange.set_outcome(Target.LITELLM, Reason.UNREACHABLE)
    world.annotations.settled(world.flow)
    assert ", not seen by the client: connection refused" in world.flow.comment


def test_where_nobody_looks_nothing_is_kept(world: World) -> None:
    _asked(world, Target.UPSTREAM, 429)
    world.annotations.enabled = False
    world.annotations.replaced(world.flow, "quota", _held(429, {}))
    assert world.exchange.attempts[0].replaced is None


def test_what_is_kept_is_bounded(world: World) -> None:
    """Also of what is small only while it is compressed."""
    for body, coding in ((b"x" * 10**6, ""), (gzip.compress(b"x" * 10**7), "gzip")):
        _asked(world, Target.UPSTREAM, 429)
        world.annotations.replaced(world.flow, "quota", _held(429, body, content_encoding=coding))
        kept = world.exchange.attempts[-1].replaced
        assert kept is not None
        assert kept["body"] == "x" * REPLACED_MOST


def test_the_words_of_the_response_that_the_client_got(world: World) -> None:
    _asked(world, Target.LITELLM, 400)
    world.exchange.set_outcome(Target.LITELLM, Reason.MODEL)
    world.exchange.words = "no such tool"
    assert world.flow.response
    world.flow.response.status_code = 400
    world.annotations.settled(world.flow)
    assert (
        "ms: no such tool\n• means: the 400 is the server's own, which was asked because "
        in world.flow.comment
    )


def test_the_other_direction(world: World) -> None:
    """Upstream's response says what it replaced."""
    assert world.flow.response
    world.exchange.set_outcome(Target.UPSTREAM, Reason.LITELLM_FAILED, litellm_status=503)
    world.annotations.settled(world.flow)
    assert world.flow.comment.startswith("gpt-5 ↩ upstream after LiteLLM 503; reason=litellm-failed; ")


# -- commands --------------------------------------------------------------------

STATUS = Status(
    now=1000.0,
    started=0.0,
    pid=1,
    worker="",
    versions={"litellm-hybrid": "1", "mitmproxy": "12"},
    not_ready=(("litellm-unreachable", "LiteLLM could not be reached"),),
    file="/etc/config.yaml",
    since=900.0,
    broken=True,
    last_reload=Reload(950.0, "rejected", ("line 3",)),
    settings=(("enabled", "true"), ("api-key", "***")),
    in_flight=2,
    streams=1,
    held_bytes=0,
    requests={("upstream", "not-listed", "2xx"): 3, ("litellm", "model", "5xx"): 1},
    fallbacks={("quota", "served"): 4},
    recent=(),
    cooldowns=(("o3", 0.0), ("gpt-5", 61.4)),
)


@pytest.fixture
async def tctx() -> Iterator[taddons.context]:  # type: ignore[misc]
    with taddons.context(loadcore=False) as tctx:
        yield tctx


def _commands(settings: Settings | None = None) -> Commands:
    return Commands(SettingsStore(settings), lambda: STATUS, Cooldowns(SharedState()))


def _decided(name: str) -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    flow.request.headers["x-request-id"] = name
    exchange = Exchange.begin(flow)
    exchange.set_outcome(Target.UPSTREAM, Reason.NO_MODEL)
    flow.metadata[METADATA] = exchange.snapshot()
    return flow


def test_they_cost_a_request_nothing() -> None:
    """mitmproxy, and our engine, call every handler there is for each hook."""
    commands = _commands()
    assert [name for name in hooks.all_hooks if hasattr(commands, name) and name != "load"] == []


async def test_mitmproxy_takes_them(tctx: taddons.context) -> None:
    tctx.master.addons.add(_commands())
    known = tctx.master.commands.commands
    ours = {name: command.signature_help() for name, command in known.items() if name.startswith("litellm.")}
    assert ours == {
        "litellm.status": "litellm.status  -> str[]",
        "litellm.explain": "litellm.explain flows -> str[]",
        "litellm.cooldowns": "litellm.cooldowns  -> str[]",
        "litellm.cooldowns.clear": "litellm.cooldowns.clear  -> str",
    }
    assert all(known[name].help for name in ours)


def test_status_in_lines() -> None:
    lines = status_lines(STATUS)
    assert lines[:6] == [
        "not ready: LiteLLM could not be reached",
        "in flight: 2 requests, 1 of them streaming",
        "requests: litellm; reason=model, 5xx: 1",
        "requests: upstream; reason=not-listed, 2xx: 3",
        "fallbacks: quota, served: 4",
        "cooldown: o3: over; the next request finds out whether upstream serves it again",
    ]
    assert lines[6].startswith("cooldown: gpt-5: 61 s left, until ")
    assert lines[7:] == [
        "configuration: /etc/config.yaml, in force since 1970-01-01T00:15:00Z; the file has an error now",
        "enabled: true",
        "api-key: ***",
        "litellm-hybrid 1, mitmproxy 12",
    ]


async def test_without_a_list_there_is_nothing_to_explain(tctx: taddons.context) -> None:
    assert tctx
    commands = _commands(Settings())
    with pytest.raises(exceptions.CommandError, match="none of these flows"):
        commands.explain()


def test_without_a_configuration_they_say_so() -> None:
    with pytest.raises(exceptions.CommandError, match="no valid configuration"):
        _commands().cooldowns()


def test_a_flow_from_a_file_is_explained_by_its_reason() -> None:
    flow = _decided("req-1").copy()
    decided, means, fix = _commands(Settings()).explain([flow])
    assert decided == "/path → upstream; reason=no-model; target=upstream; no model; request id req-1"
    assert means.startswith("means: neither the body nor the path names a model")
    assert fix.startswith("fix: have the client name the model")


def test_what_was_changed_of_a_replay_is_explained() -> None:
    flow = _decided("req-1")
    exchange = Exchange.of(flow)
    assert exchange is not None
    exchange.remedies += [Remedy(Action.OMIT, "user"), Remedy(Action.LIMIT, limit=100)]
    lines = _commands(Settings()).explain([flow])
    assert "changed for the backend: omit user, max_tokens at most 100" in lines
    assert "needless with, in LiteLLM's configuration: litellm_settings: modify_params: true" in lines


def test_not_more_is_explained_than_can_be_read() -> None:
    lines = _commands(Settings()).explain([tflow.tflow(), *(_decided(f"req-{n}") for n in range(12))])
    assert sum("; reason=no-model; " in line for line in lines) == 10
    assert lines[-1] == "and 2 more: name fewer flows"


def test_what_a_request_puts_into_an_explanation_cannot_move_the_cursor() -> None:
    flow = _decided("req-1")
    flow.comment = "\x1b[2J"
    assert _commands(Settings()).explain([flow])[0] == "\\x1b[2J"
