"""Marks and comments, on flows that did not come over a socket; a browser sees them in tests/web."""

import pytest
from mitmproxy import flow as flows
from mitmproxy import http
from mitmproxy.test import tflow
from mitmproxy.utils.emoji import emoji

from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.outcome import METADATA
from litellm_hybrid.mitmweb.annotations import FAILED, Annotations, describe
from litellm_hybrid.observability.history import FallbackRecord
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rules import Reason, Target


class Rows:
    """Mitmweb's list."""

    def __init__(self) -> None:
        self.rows: list[http.HTTPFlow] = []

    def add(self, flows: list[http.HTTPFlow]) -> None:
        self.rows += flows


class World:
    """A flow that fell back, and those who show it."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.annotations = Annotations()
        self.annotations.view = self.rows
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
    assert world.flow.comment == (
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
    world.annotations.settled(world.flow)
    assert world.flow.marked == ""


def test_the_mark_is_in_fonts_without_emoji() -> None:
    """Those beyond the basic plane are in emoji fonts alone."""
    assert ord(emoji[FAILED]) < 0x10000


def test_a_comment_follows_the_decision(world: World) -> None:
    world.annotations.settled(world.flow)
    world.exchange.set_outcome(Target.UPSTREAM, Reason.FALLBACK_FAILED, fallback_failed="500")
    assert world.flow.response
    world.flow.response.status_code = 429
    world.annotations.settled(world.flow)
    assert world.flow.marked == FAILED
    assert world.flow.comment == (
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
        (Cause.CLIENT_LEFT, "client disconnected", "", "client_disconnect: client disconnected"),
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
    assert world.flow.comment.endswith(f"; request id req-1; {says}")


def test_a_reduced_history_is_named(world: World) -> None:
    world.exchange.outcome.reduced = True
    assert "upstream-status=429; history=reduced; gpt-5" in describe(world.flow, world.exchange.snapshot())


def test_a_request_without_a_model(world: World) -> None:
    world.decide(None)
    world.exchange.set_outcome(Target.UPSTREAM, Reason.NO_MODEL)
    said = describe(world.flow, world.exchange.snapshot())
    assert said == "/path → upstream; reason=no-model; target=upstream; no model; request id req-1"


def test_a_flow_of_somebody_elses_is_left_alone(world: World) -> None:
    flow = tflow.tflow(resp=True)
    world.annotations.settled(flow)
    world.annotations.replaced(flow)
    assert (flow.marked, flow.comment, flow.metadata, world.rows.rows) == ("", "", {}, [])


def test_upstreams_failed_response_is_a_row_of_its_own(world: World) -> None:
    flow = world.flow
    assert flow.response
    flow.response.timestamp_end, flow.response.status_code = None, 429
    world.exchange.set_outcome(Target.UPSTREAM, Reason.NOT_LISTED)
    world.annotations.replaced(flow)
    flow.response = None

    (row,) = world.rows.rows
    assert row is not flow
    assert row.id != flow.id
    exchange = Exchange.of(row)
    assert exchange is not None
    assert exchange.superseded
    assert row.metadata[METADATA]["reason"] == "not-listed"
    assert row.response
    assert row.response.status_code == 429
    assert row.response.timestamp_end, "mitmweb shows no time without it"
    assert not row.live
    assert row.marked == FAILED
    assert row.comment == "gpt-5 ⚠ upstream 429 usage limit: replaced by a fallback; request id req-1"
    assert (flow.marked, flow.comment) == ("", "")


def test_upstreams_failed_response_has_no_credentials_of_an_earlier_state(world: World) -> None:
    """Somebody has marked the row while the request was running."""
    world.flow.request.headers["authorization"] = "Bearer secret"
    world.flow.backup()
    world.annotations.replaced(world.flow)
    assert "secret" not in str(world.rows.rows[0].get_state())


def test_outside_mitmweb_there_are_no_rows(world: World) -> None:
    Annotations().replaced(world.flow)
    assert (world.flow.marked, world.flow.comment) == ("", "")


def test_the_other_direction(world: World) -> None:
    """LiteLLM's failed response has a row of its own, and upstream's says what it replaced."""
    assert world.flow.response
    world.exchange.fallback = None
    world.exchange.set_outcome(Target.LITELLM, Reason.MODEL)
    world.flow.response.status_code = 503
    world.annotations.replaced(world.flow)
    assert world.rows.rows[0].comment == "gpt-5 ⚠ LiteLLM 503: upstream is asked; request id req-1"

    world.flow.response.status_code = 200
    world.exchange.set_outcome(Target.UPSTREAM, Reason.LITELLM_FAILED, litellm_status=503)
    world.annotations.settled(world.flow)
    assert world.flow.comment.startswith("gpt-5 ↩ upstream after LiteLLM 503; reason=litellm-failed; ")
