"""What is kept of requests for those who see flows, and that nothing is kept for nobody."""

from io import BytesIO

import pytest
from mitmproxy import http, io
from mitmproxy.test import tflow

from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.flow import exchange
from litellm_hybrid.message.redaction import MOST_KEPT
from litellm_hybrid.mitmweb.flow_redaction import Originals, Showing


@pytest.fixture
def flow() -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    flow.request.headers["authorization"] = "Bearer secret"
    exchange.put(flow, exchange.begin(flow))
    return flow


def test_where_nobody_sees_flows_nothing_is_done(flow: http.HTTPFlow) -> None:
    showing = Showing()
    showing.enabled = False
    request = flow.request
    assert showing.received(flow)
    assert showing.redacted(flow) is request
    showing.failed(flow, Failure(Cause.OTHER, "x"))
    showing.over(flow)
    assert flow.request is request
    assert (flow.comment, flow.marked, list(flow.metadata)) == ("", "", ["hybrid"])


def test_a_flow_that_is_saved_is_masked_and_commented(flow: http.HTTPFlow) -> None:
    showing = Showing()
    showing.received(flow)
    assert showing.redacted(flow).headers["authorization"] == "Bearer ***"
    showing.over(flow)
    assert flow.request.headers["authorization"] == "Bearer ***"
    assert flow.comment.startswith("reason=error; target=none; ")


def test_a_replay_is_no_request_of_a_client(flow: http.HTTPFlow) -> None:
    showing = Showing()
    showing.originals = Originals()
    showing.received(flow)
    flow.request = showing.redacted(flow)
    flow.is_replay = "request"
    assert not showing.received(flow)
    assert flow.request.headers["authorization"] == "Bearer secret"
    assert "fallback" not in flow.comment


def test_a_replay_says_so_once(flow: http.HTTPFlow) -> None:
    showing = Showing()
    flow.is_replay = "request"
    for _ in range(2):
        showing.received(flow)
    assert flow.comment.count("replayed by mitmproxy") == 1


def test_the_state_before_an_edit_is_masked_too(flow: http.HTTPFlow) -> None:
    """mitmweb keeps it when somebody marks or edits a row, and a flow file has it."""
    flow.request.path = "/?key=secret&a=b"
    flow.backup()
    showing = Showing()
    flow.request = showing.redacted(flow)
    flow.marked = "x"
    saved = BytesIO()
    io.FlowWriter(saved).add(flow)
    assert b"secret" not in saved.getvalue()
    flow.revert()
    assert (flow.request.headers["authorization"], flow.request.path) == ("Bearer ***", "/?key=***&a=b")


def test_the_state_before_an_edit_of_one_that_was_not_sent_is_masked_too(flow: http.HTTPFlow) -> None:
    flow.backup()
    flow.comment = "mine"
    Showing().over(flow)
    saved = BytesIO()
    io.FlowWriter(saved).add(flow)
    assert b"secret" not in saved.getvalue()


@pytest.mark.parametrize(
    ("part", "value"),
    [("scheme", "https"), ("host", "example.com"), ("port", 8000), ("host", "address.example")],
)
def test_credentials_are_for_the_server_that_had_them(part: str, value: object, flow: http.HTTPFlow) -> None:
    showing = Showing()
    flow.request = showing.redacted(flow)
    flow.is_replay, flow.response = "request", None
    setattr(flow.request, part, value)
    showing.received(flow)
    answer: http.Response | None = flow.response
    assert answer
    assert (answer.status_code, answer.json()["error"]) == (409, "other_server")
    assert "secret" not in str(flow.get_state())


def test_a_request_without_credentials_goes_anywhere(flow: http.HTTPFlow) -> None:
    showing = Showing()
    flow.request = showing.redacted(flow)
    flow.is_replay, flow.response = "request", None
    flow.request.host = "example.com"
    flow.request.headers["authorization"] = "Bearer mine"
    showing.received(flow)
    assert flow.response is None
    assert flow.request.headers["authorization"] == "Bearer mine"


def test_what_was_edited_is_replayed(flow: http.HTTPFlow) -> None:
    flow.request.path = "/path?key=secret&a=b"
    flow.request.headers["x-api-key"] = "secret"
    showing = Showing()
    flow.request = showing.redacted(flow)
    flow.is_replay = "request"
    flow.request.path = flow.request.path.replace("a=b", "a=c")
    flow.request.headers["x-new"] = "new"
    flow.request.headers["x-api-key"] = "mine"
    del flow.request.headers["header"]
    showing.received(flow)
    assert flow.request.path == "/path?key=secret&a=c"
    headers = flow.request.headers
    assert [headers.get(name) for name in ("authorization", "x-api-key", "x-new", "header")] == [
        *("Bearer secret", "mine", "new", None)
    ]


def test_of_the_proxys_own_pages_no_request_is_kept(flow: http.HTTPFlow) -> None:
    """A health check every few seconds would push out those that somebody wants to send again."""
    showing = Showing()
    showing.originals = Originals()
    flow.request.path = "/_hybrid/health?a=b"
    assert showing.received(flow)
    assert showing.originals.get(flow.id) is None


def _request(body: bytes = b"") -> http.Request:
    return http.Request.make("POST", "http://127.0.0.1/", body)


def test_of_many_requests_the_oldest_are_forgotten() -> None:
    originals = Originals()
    for number in range(MOST_KEPT + 1):
        originals.put(str(number), _request())
    assert originals.get("0") is None
    assert originals.get("1")


def test_requests_are_forgotten_with_their_rows() -> None:
    originals = Originals()
    for key in "abc":
        originals.put(key, _request())
    originals.drop("a")
    originals.drop("never there")
    originals.keep_only({"b": 1}.get)
    assert [key for key in "abc" if originals.get(key)] == ["b"]


def test_a_body_that_the_flow_has_too_takes_nothing(flow: http.HTTPFlow) -> None:
    originals = Originals()
    assert originals.beside(flow) == 0
    originals.put(flow.id, flow.request.copy())
    assert originals.beside(flow) == 0
    originals.put(flow.id, _request(b"12345"))
    assert originals.beside(flow) == 5
