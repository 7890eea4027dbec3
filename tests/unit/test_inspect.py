import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from litellm_hybrid import exchange, inspect
from litellm_hybrid.exchange import Record
from litellm_hybrid.routing import Reason, Target


class Rows:
    """Mitmweb's list."""

    def __init__(self) -> None:
        self.rows: list[http.HTTPFlow] = []

    def add(self, flows: list[http.HTTPFlow]) -> None:
        self.rows += flows


@pytest.fixture
def flow() -> http.HTTPFlow:
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


def test_a_fallback_is_marked_and_commented(flow: http.HTTPFlow) -> None:
    inspect.comment(flow)
    assert flow.marked == ":twisted_rightwards_arrows:"
    assert flow.comment == (
        "litellm; reason=fallback; upstream-status=429; gpt-5 → gpt-5-of-litellm; request id req-1"
    )


def test_a_failed_fallback_is_marked_otherwise(flow: http.HTTPFlow) -> None:
    exchange.settle(decided(flow), Target.UPSTREAM, Reason.FALLBACK_FAILED, "; fallback-failed=500")
    inspect.comment(flow, failed=True)
    assert flow.marked == ":warning:"
    assert flow.comment == "upstream; reason=fallback-failed; fallback-failed=500; gpt-5; request id req-1"


def test_a_request_without_a_model() -> None:
    flow = tflow.tflow()
    flow.request.headers["x-request-id"] = "req-1"
    decision = exchange.begin(flow)
    exchange.settle(decision, Target.UPSTREAM, Reason.NO_MODEL)
    assert inspect.describe(decision) == "upstream; reason=no-model; no model; request id req-1"


def test_a_flow_of_somebody_elses_is_left_alone() -> None:
    flow, rows = tflow.tflow(resp=True), Rows()
    inspect.comment(flow)
    inspect.keep_failed_answer(flow, rows)
    assert (flow.marked, flow.comment, rows.rows) == ("", "", [])


def test_upstreams_failed_answer_is_a_row_of_its_own(flow: http.HTTPFlow) -> None:
    rows = Rows()
    inspect.keep_failed_answer(flow, rows)
    flow.response = None

    (row,) = rows.rows
    assert row is not flow
    assert row.id != flow.id
    assert row.response
    assert row.response.status_code == 429
    assert not row.live
    assert row.marked == ":warning:"
    assert "req-1" in row.comment
    assert (flow.marked, flow.comment) == ("", "")


def test_outside_mitmweb_there_are_no_rows(flow: http.HTTPFlow) -> None:
    inspect.keep_failed_answer(flow, None)
    assert (flow.marked, flow.comment) == ("", "")
