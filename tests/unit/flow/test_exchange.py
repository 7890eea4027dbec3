"""A flow's request and answer as plain data, and back."""

import json

import pytest
from mitmproxy import http
from mitmproxy.test import tflow, tutils

from litellm_hybrid.config.settings import Address
from litellm_hybrid.flow import exchange
from litellm_hybrid.routing.rewrite import Outgoing
from litellm_hybrid.routing.rules import Reason, Target

KEY = "sk-litellm"


def _flow(path: str = "/v1/chat/completions?key=secret") -> http.HTTPFlow:
    headers = http.Headers([(b"Host", b"upstream"), (b"Authorization", b"Bearer secret")])
    return tflow.tflow(req=tutils.treq(method=b"POST", path=path.encode(), headers=headers, content=b"{}"))


def test_a_record_holds_plain_data_and_no_credential() -> None:
    flow = _flow()
    record = exchange.begin(flow)
    exchange.put(flow, record)

    assert exchange.get(flow) == record
    assert json.loads(json.dumps(record)) == record
    assert (record["method"], record["path"]) == ("POST", "/v1/chat/completions")
    assert "secret" not in json.dumps(flow.metadata)
    # Until it is decided on, it is nobody's.
    assert (record["target"], record["reason"]) == ("none", "error")


def test_a_copied_flow_has_a_record_of_its_own() -> None:
    flow = _flow()
    exchange.put(flow, exchange.begin(flow))
    copy = flow.copy()
    record = exchange.get(copy)
    assert record is not None
    exchange.settle(record, Target.LITELLM, Reason.FALLBACK)

    untouched = exchange.get(flow)
    assert untouched is not None
    assert untouched["target"] == "none"


def test_an_undecided_flow_has_none() -> None:
    assert exchange.get(_flow()) is None


def test_the_request_as_it_came() -> None:
    sent = exchange.incoming(_flow("/a%20b?x=%20&y").request)

    assert (sent.path, sent.query, sent.body) == ("/a%20b", "x=%20&y", b"{}")
    assert sent.headers[0] == (b"Host", b"upstream")


def test_a_request_without_a_body() -> None:
    flow = _flow()
    flow.request.raw_content = None

    assert exchange.incoming(flow.request).body == b""


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2.0"])
def test_turned_into_litellms(version: str) -> None:
    flow = _flow()
    flow.request.http_version = version
    flow.request.authority = "client.example.com"
    headers = ((b"Host", b"litellm:4000"), (b"Authorization", b"Bearer " + KEY.encode()))

    exchange.send_to(
        flow.request, Outgoing(Address("https", "litellm", 4000, "/base"), "/base/v1/x?a=b", headers, b"new")
    )

    request = flow.request
    assert (request.scheme, request.host, request.port) == ("https", "litellm", 4000)
    assert request.path == "/base/v1/x?a=b"
    assert request.headers.fields == headers
    assert request.raw_content == b"new"
    assert request.authority == ("litellm:4000" if version == "HTTP/2.0" else "")


REVEALING = [(b"X-LiteLLM-Model-Id", b"x"), (b"llm_provider-date", b"x"), (b"X-Other", b"kept")]


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (Target.LITELLM, ["X-Other", "x-hybrid-route", "x-request-id"]),
        (
            Target.UPSTREAM,
            ["X-LiteLLM-Model-Id", "llm_provider-date", "X-Other", "x-hybrid-route", "x-request-id"],
        ),
    ],
)
def test_what_is_put_on_an_answer(target: Target, names: list[str]) -> None:
    record = exchange.begin(_flow())
    record["request_id"] = "id-1"
    exchange.settle(record, target, Reason.MODEL, "; upstream-status=429")
    response = http.Response.make(200, b"", http.Headers(REVEALING))
    del response.headers["content-length"]

    exchange.mark(response, record)
    exchange.mark(response, record)

    assert [name.decode() for name, _ in response.headers.fields] == names
    assert response.headers["x-hybrid-route"] == f"{target}; reason=model; upstream-status=429"
    assert response.headers["x-request-id"] == "id-1"


def test_an_id_that_the_answer_has_stays() -> None:
    response = http.Response.make(200, b"", {"X-Request-Id": "theirs"})

    exchange.mark(response, exchange.begin(_flow()))

    assert response.headers.get_all("x-request-id") == ["theirs"]


def test_an_answer_of_ours() -> None:
    record = exchange.begin(_flow())
    exchange.settle(record, Target.NONE, Reason.REFUSED)

    answer = exchange.answer(401, b'{"a":1}', record)

    assert (answer.status_code, answer.raw_content) == (401, b'{"a":1}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-hybrid-route"] == "none; reason=refused"


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
def test_what_may_stream(headers: dict[str, str], streams: bool) -> None:
    response = http.Response.make(200)
    response.headers = http.Headers([(name.encode(), value.encode()) for name, value in headers.items()])

    assert exchange.may_stream(response) is streams
