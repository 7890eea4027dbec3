"""What is known of a request, and what of it everybody may see."""

import json
from dataclasses import replace

import pytest
from mitmproxy import http
from mitmproxy.test import tflow, tutils

from litellm_hybrid.config.settings import Address
from litellm_hybrid.errors import Cause, Failure
from litellm_hybrid.flow.exchange import Exchange, add_response_headers, to_litellm
from litellm_hybrid.flow.outcome import METADATA
from litellm_hybrid.routing.rewrite import Outgoing
from litellm_hybrid.routing.rules import Reason, Target


def _flow(path: str = "/v1/chat/completions?key=secret") -> http.HTTPFlow:
    headers = http.Headers([(b"Host", b"upstream"), (b"Authorization", b"Bearer secret")])
    return tflow.tflow(req=tutils.treq(method=b"POST", path=path.encode(), headers=headers, content=b"{}"))


def _exchange() -> Exchange:
    return Exchange.begin(_flow())


def test_a_snapshot_is_plain_data_without_a_credential() -> None:
    flow = _flow()
    exchange = Exchange.begin(flow)
    exchange.decided = True
    exchange.failure = Failure(Cause.CONNECT_FAILED, "refused")
    exchange.publish(flow)

    snapshot = flow.metadata[METADATA]
    assert json.loads(json.dumps(snapshot)) == snapshot
    assert type(snapshot["target"]) is type(snapshot["reason"]) is str
    assert (snapshot["method"], snapshot["path"]) == ("POST", "/v1/chat/completions")
    assert (snapshot["error_type"], snapshot["error"]) == ("network_error", "refused")
    assert "secret" not in json.dumps(flow.metadata)


def test_what_has_not_been_decided_is_not_published() -> None:
    """Another addon may answer it."""
    flow = _flow()
    Exchange.begin(flow).publish(flow)
    assert flow.metadata == {}


def test_an_exchange_is_found_by_its_flow_alone() -> None:
    flow = _flow()
    exchange = Exchange.begin(flow)
    assert Exchange.of(flow) is exchange
    assert Exchange.of(flow.copy()) is None
    assert Exchange.of(_flow()) is None


def test_the_request_is_kept_as_the_client_sent_it() -> None:
    flow = _flow("/a%20b?x=%20&y")
    exchange = Exchange.begin(flow, "localhost")
    exchange.receive(flow, ())

    sent = exchange.request.sent
    assert (sent.path, sent.query, sent.body, exchange.request.host) == (
        "/a%20b",
        "x=%20&y",
        b"{}",
        "localhost",
    )
    assert sent.headers == ((b"Host", b"upstream"), (b"Authorization", b"Bearer secret"))
    assert exchange.client.keys == ("secret",)
    assert flow.request.headers["x-request-id"] == exchange.id
    assert exchange.forwarded.headers == flow.request.headers.fields


@pytest.mark.parametrize(
    ("reduced", "detail"),
    [(False, "; fallback-failed=500"), (True, "; fallback-failed=500; history=reduced")],
)
def test_the_route(reduced: bool, detail: str) -> None:
    exchange = _exchange()
    exchange.set_outcome(Target.UPSTREAM, Reason.FALLBACK_FAILED, fallback_failed="500")
    exchange.outcome.reduced = reduced
    assert exchange.route == f"upstream; reason=fallback-failed{detail}"


def test_what_only_a_replay_needs_goes_in_the_end() -> None:
    flow = _flow()
    exchange = Exchange.begin(flow)
    exchange.begin_attempt(flow.request)
    exchange.end()
    assert (exchange.ended, exchange.attempts[0].request) == (True, None)


def test_a_request_without_a_body() -> None:
    flow = _flow()
    flow.request.raw_content = None

    exchange = Exchange.begin(flow)
    exchange.receive(flow, ())
    assert exchange.request.sent.body == b""


REVEALING = [(b"X-LiteLLM-Model-Id", b"x"), (b"llm_provider-date", b"x"), (b"X-Other", b"kept")]


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (Target.LITELLM, ["X-Other", "x-request-id", "x-hybrid-route"]),
        (
            Target.UPSTREAM,
            ["X-LiteLLM-Model-Id", "llm_provider-date", "X-Other", "x-request-id", "x-hybrid-route"],
        ),
    ],
)
def test_what_is_put_on_an_answer(target: Target, names: list[str]) -> None:
    exchange = replace(_exchange(), id="id-1")
    exchange.set_outcome(target, Reason.MODEL, upstream_status=429)
    response = http.Response.make(200, b"", http.Headers(REVEALING))
    del response.headers["content-length"]

    add_response_headers(response, exchange)
    add_response_headers(response, exchange)

    assert [name.decode() for name, _ in response.headers.fields] == names
    assert response.headers["x-hybrid-route"] == f"{target}; reason=model; upstream-status=429"
    assert response.headers["x-request-id"] == "id-1"


def test_an_id_that_the_answer_has_stays() -> None:
    response = http.Response.make(200, b"", {"X-Request-Id": "theirs"})

    add_response_headers(response, _exchange())

    assert response.headers.get_all("x-request-id") == ["theirs"]


@pytest.mark.parametrize(
    ("litellm_model", "route"),
    [
        ("openai/gpt-5", "litellm; reason=fallback; upstream-status=429; model=openai/gpt-5"),
        ("mine: ü; x=y", "litellm; reason=fallback; upstream-status=429; model=mine:%20%C3%BC%3B%20x=y"),
        (None, "litellm; reason=fallback; upstream-status=429"),
    ],
)
def test_the_route_names_litellms_model(litellm_model: str | None, route: str) -> None:
    exchange = _exchange()
    exchange.set_outcome(Target.LITELLM, Reason.FALLBACK, upstream_status=429)
    exchange.outcome.litellm_model = litellm_model
    exchange.begin_attempt(tflow.tflow().request)
    assert exchange.route == route


@pytest.mark.parametrize(
    ("target", "reason", "asked"),
    [
        (Target.UPSTREAM, Reason.FALLBACK_FAILED, True),
        (Target.LITELLM, Reason.ERROR, True),
        (Target.LITELLM, Reason.REFUSED, False),
    ],
)
def test_where_litellm_has_not_answered_its_model_is_not_named(
    target: Target, reason: Reason, *, asked: bool
) -> None:
    exchange = _exchange()
    exchange.set_outcome(target, reason)
    exchange.outcome.litellm_model = "openai/gpt-5"
    if asked:
        exchange.begin_attempt(tflow.tflow().request)
    assert exchange.route == f"{target}; reason={reason}"


@pytest.mark.parametrize(
    ("headers", "streams"),
    [
        ({}, True),
        ({"content-length": "0"}, False),
        ({"content-length": "1048576"}, False),
        ({"content-length": "1048577"}, True),
        ({"content-length": "x"}, True),
        ({"content-length": "10", "content-type": "text/event-stream; charset=utf-8"}, True),
        ({"transfer-encoding": "chunked", "content-type": "application/json"}, True),
    ],
)
def test_what_is_streamed(headers: dict[str, str], streams: bool) -> None:
    response = http.Response.make(200)
    response.headers = http.Headers([(name.encode(), value.encode()) for name, value in headers.items()])

    exchange = _exchange()
    assert exchange.stream(response) is streams
    assert bool(response.stream) is streams
    assert (exchange.tap is not None) is streams


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2.0"])
def test_turned_into_litellms(version: str) -> None:
    flow = _flow()
    flow.request.http_version = version
    flow.request.authority = "client.example.com"
    sent = ((b"Host", b"litellm:4000"), (b"Authorization", b"Bearer sk-litellm"))

    to_litellm(
        flow.request, Outgoing(Address("https", "litellm", 4000, "/base"), "/base/v1/x?a=b", sent, b"new")
    )

    request = flow.request
    assert (request.scheme, request.host, request.port) == ("https", "litellm", 4000)
    assert request.path == "/base/v1/x?a=b"
    assert request.headers.fields == sent
    assert request.raw_content == b"new"
    assert request.authority == ("litellm:4000" if version == "HTTP/2.0" else "")
