"""Marks and comments, on flows that did not come over a socket; a browser sees them in tests/web."""

import pytest
from mitmproxy import flow as flows
from mitmproxy import http
from mitmproxy.test import tflow
from mitmproxy.utils.emoji import emoji

from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.mitmweb import annotations as inspect
from litellm_hybrid.mitmweb.annotations import FAILED, FELL_BACK, LITELLM
from litellm_hybrid.routing.rules import Reason, Target


class Rows:
    """Mitmweb's list."""

    def __init__(self) -> None:
        self.rows: list[http.HTTPFlow] = []

    def add(self, flows: list[http.HTTPFlow]) -> None:
        self.rows += flows


@pytest.fixture
def flow() -> http.HTTPFlow:
    """One that fell back."""
    flow = tflow.tflow(resp=True)
    assert flow.response
    flow.response.status_code = 429
    flow.request.headers["x-request-id"] = "req-1"
    decision = exchange.begin(flow)
    decision["model"], decision["sends"] = "gpt-5", "gpt-5-of-litellm"
    exchange.put(flow, decision)
    exchange.settle(decision, Target.LITELLM, Reason.FALLBACK, "; upstream-status=429")
    return flow


def decided(flow: http.HTTPFlow) -> Record:
    decision = exchange.get(flow)
    assert decision is not None
    return decision


def test_a_comment_says_what_was_decided(flow: http.HTTPFlow) -> None:
    inspect.comment(flow)
    assert flow.comment == (
        "reason=fallback; target=litellm; upstream-status=429; gpt-5 → gpt-5-of-litellm; request id req-1"
    )


@pytest.mark.parametrize(
    ("target", "reason", "mark"),
    [
        (Target.LITELLM, Reason.MODEL, LITELLM),
        (Target.LITELLM, Reason.PASSTHROUGH, LITELLM),
        (Target.LITELLM, Reason.FALLBACK, FELL_BACK),
        (Target.LITELLM, Reason.UNREACHABLE, FELL_BACK),
        (Target.LITELLM, Reason.COOLDOWN, FELL_BACK),
        (Target.LITELLM, Reason.STICKY, FELL_BACK),
        (Target.LITELLM, Reason.ERROR, FAILED),
        (Target.UPSTREAM, Reason.ERROR, FAILED),
        (Target.UPSTREAM, Reason.FALLBACK_FAILED, FAILED),
        (Target.UPSTREAM, Reason.NOT_LISTED, ""),
        (Target.UPSTREAM, Reason.NOT_POST, ""),
        (Target.NONE, Reason.REFUSED, ""),
        (Target.NONE, Reason.OWN_PAGE, ""),
    ],
)
def test_marks(target: Target, reason: Reason, mark: str, flow: http.HTTPFlow) -> None:
    exchange.settle(decided(flow), target, reason)
    inspect.comment(flow)
    assert flow.marked == mark
    assert flow.comment.startswith(f"reason={reason}; target={target}; gpt-5")


@pytest.mark.parametrize("mark", [LITELLM, FELL_BACK, FAILED])
def test_marks_are_in_fonts_without_emoji(mark: str) -> None:
    """Those beyond the basic plane are in emoji fonts alone."""
    assert ord(emoji[mark]) < 0x10000


def test_a_comment_follows_the_decision(flow: http.HTTPFlow) -> None:
    inspect.comment(flow)
    exchange.settle(decided(flow), Target.UPSTREAM, Reason.FALLBACK_FAILED, "; fallback-failed=500")
    inspect.comment(flow)
    assert flow.marked == FAILED
    assert flow.comment == (
        "reason=fallback-failed; target=upstream; fallback-failed=500; gpt-5; request id req-1"
    )


def test_what_a_user_wrote_stays(flow: http.HTTPFlow) -> None:
    inspect.comment(flow)
    flow.comment, flow.marked = "look at this", ":grapes:"
    exchange.settle(decided(flow), Target.UPSTREAM, Reason.FALLBACK_FAILED)
    inspect.comment(flow)
    assert (flow.comment, flow.marked) == ("look at this", ":grapes:")


@pytest.mark.parametrize(
    ("cause", "detail", "mark", "says"),
    [
        (Cause.CLIENT_LEFT, "client disconnected", FELL_BACK, "client_disconnect: client disconnected"),
        (Cause.SERVER_CLOSED, "server closed", FAILED, "network_error: server closed"),
        (
            Cause.IDLE_LIMIT,
            "idle limit: nothing within 3 s",
            FAILED,
            "timeout: idle limit: nothing within 3 s",
        ),
    ],
)
def test_an_answer_that_broke_off(
    cause: Cause, detail: str, mark: str, says: str, flow: http.HTTPFlow
) -> None:
    inspect.note_failure(flow, Failure(cause, detail))
    flow.error = flows.Error(detail)
    inspect.comment(flow)
    assert flow.marked == mark
    assert flow.comment.endswith(f"; request id req-1; {says}")


def test_a_reduced_history_is_named(flow: http.HTTPFlow) -> None:
    decided(flow)["reduced"] = True
    assert "upstream-status=429; history=reduced; gpt-5" in inspect.describe(decided(flow))


def test_a_request_without_a_model() -> None:
    flow = tflow.tflow()
    flow.request.headers["x-request-id"] = "req-1"
    decision = exchange.begin(flow)
    exchange.settle(decision, Target.UPSTREAM, Reason.NO_MODEL)
    assert inspect.describe(decision) == "reason=no-model; target=upstream; no model; request id req-1"


def test_a_flow_of_somebody_elses_is_left_alone() -> None:
    flow, rows = tflow.tflow(resp=True), Rows()
    inspect.comment(flow)
    inspect.keep_failed_answer(flow, rows)
    assert (flow.marked, flow.comment, rows.rows) == ("", "", [])


def test_upstreams_failed_answer_is_a_row_of_its_own(flow: http.HTTPFlow) -> None:
    rows = Rows()
    assert flow.response
    flow.response.timestamp_end = None
    inspect.keep_failed_answer(flow, rows)
    flow.response = None

    (row,) = rows.rows
    assert row is not flow
    assert row.id != flow.id
    assert inspect.request_of(row) == inspect.request_of(flow) == flow.id
    assert row.response
    assert row.response.status_code == 429
    assert row.response.timestamp_end, "mitmweb shows no time without it"
    assert not row.live
    assert row.marked == FAILED
    assert row.comment == "replaced by a fallback: upstream's answer; request id req-1"
    assert (flow.marked, flow.comment) == ("", "")


def test_upstreams_failed_answer_has_no_credentials_of_an_earlier_state(flow: http.HTTPFlow) -> None:
    """Somebody has marked the row while the request was running."""
    flow.request.headers["authorization"] = "Bearer secret"
    flow.backup()
    rows = Rows()
    inspect.keep_failed_answer(flow, rows)
    assert "secret" not in str(rows.rows[0].get_state())


def test_outside_mitmweb_there_are_no_rows(flow: http.HTTPFlow) -> None:
    inspect.keep_failed_answer(flow, None)
    assert (flow.marked, flow.comment) == ("", "")
