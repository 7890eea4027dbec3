"""Responses that are made here."""

import json
import logging

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from litellm_hybrid.errors import CORS, LITELLM_UNREACHABLE, UPSTREAM_UNREACHABLE, Cause, Failure
from litellm_hybrid.flow import local_replies
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.routing.access import AccessDenied
from litellm_hybrid.routing.rules import Reason, Target


@pytest.fixture
def exchange() -> Exchange:
    return Exchange.begin(tflow.tflow())


def test_a_refusal(exchange: Exchange) -> None:
    exchange.set_outcome(Target.LITELLM, Reason.REFUSED)
    response = local_replies.refused(exchange, AccessDenied(401, "no", "oops"))
    assert (response.status_code, json.loads(response.content or b"")) == (
        401,
        {"error": "oops", "message": "no"},
    )
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-hybrid-route"] == "litellm; reason=refused"
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", ["/v1/messages", "/_hybrid/status"])
def test_web_clients_can_read_what_is_made_here(path: str) -> None:
    flow = tflow.tflow()
    flow.request.path = path
    exchange = Exchange.begin(flow)
    made = [
        local_replies.refused(exchange, AccessDenied(403, "no", "oops")),
        local_replies.too_busy(exchange, 5),
        local_replies.internal_error(exchange, ValueError("x")),
        local_replies.server_unreachable(exchange, Failure(Cause.CONNECT_FAILED, "refused")),
    ]
    for response in made:
        names = {name.lower() for name in response.headers if name.lower().startswith("access-control-")}
        whole = {"allow-origin", "allow-methods", "allow-headers", "expose-headers"}
        assert names == ({f"access-control-{name}" for name in whole} if path.startswith("/v1") else set())


def test_one_request_too_many(exchange: Exchange) -> None:
    response = local_replies.too_busy(exchange, 5)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.headers["x-hybrid-route"] == "none; reason=refused"
    assert "x-should-retry" not in response.headers


@pytest.mark.parametrize(
    ("target", "body"), [(Target.LITELLM, LITELLM_UNREACHABLE), (Target.UPSTREAM, UPSTREAM_UNREACHABLE)]
)
def test_an_unreachable_server(target: Target, body: bytes, exchange: Exchange) -> None:
    exchange.set_outcome(target, Reason.ERROR)
    response = local_replies.server_unreachable(exchange, Failure(Cause.CONNECT_FAILED, "refused"))
    assert (response.status_code, response.raw_content) == (502, body)
    assert response.headers["x-hybrid-route"] == f"{target}; reason=error"


@pytest.mark.parametrize(
    ("cause", "detail", "status", "final"),
    [
        (Cause.CONNECT_FAILED, "[Errno 111] Connect call failed ('127.0.0.1', 4000)", 502, False),
        (Cause.CONNECT_FAILED, "Multiple exceptions: [Errno 111] …, [Errno 111] …", 502, False),
        (Cause.CONNECT_FAILED, "[Errno -2] Name or service not known", 502, False),
        (Cause.CONNECT_LIMIT, "10 s", 502, False),
        (Cause.SERVER_CLOSED, "closed", 502, False),
        (Cause.CONNECT_FAILED, "Certificate verify failed: self-signed certificate", 502, True),
        (Cause.FIRST_BYTE_LIMIT, "nothing within 600 s", 502, True),
        (Cause.INTERNAL_ERROR, "KeyError", 500, True),
    ],
)
def test_clients_are_told_where_asking_again_is_useless(
    cause: Cause, detail: str, status: int, *, final: bool, exchange: Exchange
) -> None:
    """A server that is being started again is worth another try; ten more minutes of silence are not."""
    response = local_replies.server_unreachable(exchange, Failure(cause, detail))
    assert response.status_code == status
    assert response.headers.get("x-should-retry") == ("false" if final else None)


def test_what_would_be_said_of_a_slow_server_does_not_decide(exchange: Exchange) -> None:
    """It is made beforehand, and the server may respond after all."""
    exchange.set_outcome(Target.UPSTREAM, Reason.NOT_LISTED)
    local_replies.server_unreachable(exchange, Failure(Cause.FIRST_BYTE_LIMIT, "nothing within 10 s"))
    assert exchange.outcome.reason is Reason.NOT_LISTED


def _fail() -> None:
    raise ZeroDivisionError("on purpose")


def test_our_own_error_is_logged_with_its_traceback(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        _fail()
    except ZeroDivisionError as e:
        response = local_replies.internal_error(exchange, e)

    assert response.status_code == 500
    assert json.loads(response.content or b"")["request_id"] == exchange.id
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "litellm proxy error for GET /path: ZeroDivisionError: on purpose"
    assert record.exc_info
    assert record.exc_info[2]


def test_a_redirect_of_litellms_is_hidden(exchange: Exchange) -> None:
    exchange.set_outcome(Target.LITELLM, Reason.MODEL)
    headers = {"location": "http://10.0.0.1/secret", "transfer-encoding": "chunked"}
    response = http.Response.make(307, b"gone there", headers)
    local_replies.hide_redirect(response, exchange)
    assert (response.status_code, exchange.route) == (502, "litellm; reason=error")
    assert {name.lower(): value for name, value in response.headers.items()} == {
        "content-type": "application/json",
        "content-length": str(len(LITELLM_UNREACHABLE)),
        "x-should-retry": "false",
        "x-hybrid-route": exchange.route,
        "x-request-id": exchange.id,
        **{name.lower(): value for name, value in CORS.items()},
    }
    assert callable(response.stream)
    assert [response.stream(b"gone there"), response.stream(b"")] == [b"", LITELLM_UNREACHABLE]
