"""Requests of flows, made fit for LiteLLM and fit to be shown."""

import pytest
from mitmproxy import http
from mitmproxy.test import tflow, tutils

from litellm_hybrid.config.settings import Address
from litellm_hybrid.flow.request import redacted, to_litellm
from litellm_hybrid.routing.rewrite import Outgoing

KEY = "sk-litellm"


def _flow() -> http.HTTPFlow:
    headers = http.Headers([(b"Host", b"upstream"), (b"Authorization", b"Bearer secret")])
    path = b"/v1/chat/completions?key=secret"
    return tflow.tflow(req=tutils.treq(method=b"POST", path=path, headers=headers, content=b"{}"))


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2.0"])
def test_turned_into_litellms(version: str) -> None:
    flow = _flow()
    flow.request.http_version = version
    flow.request.authority = "client.example.com"
    headers = ((b"Host", b"litellm:4000"), (b"Authorization", b"Bearer " + KEY.encode()))

    to_litellm(
        flow.request, Outgoing(Address("https", "litellm", 4000, "/base"), "/base/v1/x?a=b", headers, b"new")
    )

    request = flow.request
    assert (request.scheme, request.host, request.port) == ("https", "litellm", 4000)
    assert request.path == "/base/v1/x?a=b"
    assert request.headers.fields == headers
    assert request.raw_content == b"new"
    assert request.authority == ("litellm:4000" if version == "HTTP/2.0" else "")


def test_a_redacted_request_has_no_credentials_and_the_same_body() -> None:
    request = _flow().request
    shown = redacted(request)
    assert "secret" not in str(shown.get_state())
    assert (shown.raw_content, shown.headers["authorization"]) == (b"{}", "Bearer ***")
    assert request.headers["authorization"] == "Bearer secret"
