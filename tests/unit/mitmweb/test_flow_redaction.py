"""What is kept of requests for those who see flows, and that nothing is kept for nobody."""

from io import BytesIO

import pytest
from mitmproxy import http, io
from mitmproxy.test import tflow

from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.mitmweb.annotations import Annotations
from litellm_hybrid.mitmweb.flow_redaction import FlowRedactor, redacted


@pytest.fixture
def flow() -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    flow.request.headers["authorization"] = "Bearer secret"
    return flow


@pytest.fixture
def redactor(flow: http.HTTPFlow) -> FlowRedactor:
    Exchange.begin(flow).decided = True
    return FlowRedactor(Annotations().settled)


def test_where_nobody_sees_flows_nothing_is_done(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    redactor.enabled = False
    request = flow.request
    assert redactor.redacted(flow) is request
    redactor.finish(flow)
    assert flow.request is request
    assert (flow.comment, flow.marked, list(flow.metadata)) == ("", "", [])


def test_a_flow_that_is_saved_is_masked_and_commented(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    assert redactor.redacted(flow).headers["authorization"] == "Bearer ***"
    redactor.finish(flow)
    assert flow.request.headers["authorization"] == "Bearer ***"
    assert flow.comment.startswith("/path ⚠ error; reason=error; target=none; ")


def test_a_replay_is_no_request_of_a_client(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    flow.request = redactor.redacted(flow)
    flow.is_replay = "request"
    redactor.prepare_replay(flow)
    assert flow.request.headers["authorization"] == "Bearer secret"
    assert "fallback" not in flow.comment


def test_a_replay_says_so_once(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    flow.is_replay = "request"
    for _ in range(2):
        redactor.prepare_replay(flow)
    assert flow.comment.count("replayed by mitmproxy") == 1


def test_the_state_before_an_edit_is_masked_too(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    """mitmweb keeps it when somebody marks or edits a row, and a flow file has it."""
    flow.request.path = "/?key=secret&a=b"
    flow.backup()
    flow.request = redactor.redacted(flow)
    flow.marked = "x"
    saved = BytesIO()
    io.FlowWriter(saved).add(flow)
    assert b"secret" not in saved.getvalue()
    flow.revert()
    assert (flow.request.headers["authorization"], flow.request.path) == ("Bearer ***", "/?key=***&a=b")


def test_the_state_before_an_edit_of_one_that_was_not_sent_is_masked_too(
    flow: http.HTTPFlow, redactor: FlowRedactor
) -> None:
    flow.backup()
    flow.comment = "mine"
    redactor.finish(flow)
    saved = BytesIO()
    io.FlowWriter(saved).add(flow)
    assert b"secret" not in saved.getvalue()


@pytest.mark.parametrize(
    ("part", "value"),
    [("scheme", "https"), ("host", "example.com"), ("port", 8000), ("host", "address.example")],
)
def test_credentials_are_for_the_server_that_had_them(
    part: str, value: object, flow: http.HTTPFlow, redactor: FlowRedactor
) -> None:
    flow.request = redactor.redacted(flow)
    flow.is_replay, flow.response = "request", None
    setattr(flow.request, part, value)
    redactor.prepare_replay(flow)
    answer: http.Response | None = flow.response
    assert answer
    assert (answer.status_code, answer.json()["error"]) == (409, "other_server")
    assert "secret" not in str(flow.get_state())


def test_a_request_without_credentials_goes_anywhere(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    flow.request = redactor.redacted(flow)
    flow.is_replay, flow.response = "request", None
    flow.request.host = "example.com"
    flow.request.headers["authorization"] = "Bearer mine"
    redactor.prepare_replay(flow)
    assert flow.response is None
    assert flow.request.headers["authorization"] == "Bearer mine"


def test_what_was_edited_is_replayed(flow: http.HTTPFlow, redactor: FlowRedactor) -> None:
    flow.request.path = "/path?key=secret&a=b"
    flow.request.headers["x-api-key"] = "secret"
    flow.request = redactor.redacted(flow)
    flow.is_replay = "request"
    flow.request.path = flow.request.path.replace("a=b", "a=c")
    flow.request.headers["x-new"] = "new"
    flow.request.headers["x-api-key"] = "mine"
    del flow.request.headers["header"]
    redactor.prepare_replay(flow)
    assert flow.request.path == "/path?key=secret&a=c"
    headers = flow.request.headers
    assert [headers.get(name) for name in ("authorization", "x-api-key", "x-new", "header")] == [
        *("Bearer secret", "mine", "new", None)
    ]


def test_only_what_was_replayed_here_is_masked_in_the_end(
    flow: http.HTTPFlow, redactor: FlowRedactor
) -> None:
    """A file may hold a replay, whose hooks are called as it is opened."""
    redactor.finish_replay(flow)
    assert flow.request.headers["authorization"] == "Bearer secret"
    redactor.prepare_replay(flow)
    redactor.finish_replay(flow)
    assert flow.request.headers["authorization"] == "Bearer ***"


def test_a_redacted_request_has_no_credentials_and_the_same_body(flow: http.HTTPFlow) -> None:
    request = flow.request
    request.path = "/v1/chat/completions?key=secret"
    shown = redacted(request)
    assert "secret" not in str(shown.get_state())
    assert (shown.raw_content, shown.headers["authorization"]) == (b"content", "Bearer ***")
    assert request.headers["authorization"] == "Bearer secret"
