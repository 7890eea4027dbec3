"""Marks and comments, on flows that did not come over a socket; a browser sees them in tests/web."""

import gzip
import json
import re

import pytest
from mitmproxy import flow as flows
from mitmproxy.test import tflow
from mitmproxy.utils.emoji import emoji

from litellm_hybrid.config.settings import Secret, Settings, SettingsStore
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.fallback.response_hold import JudgedResponse, ResponseHead
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.outcome import METADATA, REPLACED_MOST
from litellm_hybrid.mitmweb.annotations import FAILED, REPLACED, Annotations, describe, summary
from litellm_hybrid.observability.history import FallbackRecord
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rules import Reason, Target


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
