"""Requests of flows: made fit for LiteLLM, and fit to be shown."""

from mitmproxy import http

from litellm_hybrid.message import redaction
from litellm_hybrid.routing.rewrite import Outgoing


def to_litellm(request: http.Request, outgoing: Outgoing) -> None:
    """Turn a flow's request into the one that LiteLLM gets."""
    data = request.data
    data.scheme = outgoing.address.scheme.encode()
    data.host = outgoing.address.host
    data.port = outgoing.address.port
    data.path = outgoing.target.encode("utf-8", "surrogateescape")
    data.headers = http.Headers(outgoing.headers)
    data.content = outgoing.body
    data.trailers = None
    # HTTP/2 names the server in a pseudo-header, HTTP/1 in Host.
    host = request.headers["host"]
    data.authority = host.encode() if request.is_http2 else b""


def redacted(request: http.Request) -> http.Request:
    """A copy of a request without credentials; the body is shared."""
    data = request.data
    return http.Request(
        host=data.host,
        port=data.port,
        method=data.method,
        scheme=data.scheme,
        authority=data.authority,
        path=redaction.redact_target(request.path).encode("utf-8", "surrogateescape"),
        http_version=data.http_version,
        headers=http.Headers(redaction.redact_headers(data.headers.fields)),
        content=data.content,
        trailers=data.trailers,
        timestamp_start=data.timestamp_start,
        timestamp_end=data.timestamp_end,
    )
