"""A flow seen as one exchange of ours: what was decided about it, and its request and answer as plain data.

What is decided is kept in `flow.metadata["hybrid"]`: it is copied and saved
with the flow, so it is plain data and never holds a credential.
"""

from typing import TypedDict

from mitmproxy import http

from litellm_hybrid.message import credentials, ids, redaction
from litellm_hybrid.message import forwarded as client_address
from litellm_hybrid.message.decoders import UndecodableError, decode
from litellm_hybrid.message.forwarded import ClientAddress
from litellm_hybrid.observability.logging.fields import OfRequest
from litellm_hybrid.routing.rewrite import Incoming, Outgoing
from litellm_hybrid.routing.router import Request
from litellm_hybrid.routing.rules import Reason, Target

_KEY = "hybrid"

# LiteLLM's answers name the provider behind it, its address and the price.
_REVEALING = (b"x-litellm-", b"llm_provider-")


class Record(TypedDict):
    """What is known about a request once it has been decided on.

    `path` is the client's, without its query; `local`: a program on this machine sent it; `note` goes
    behind the reason in the route header; `reduced`: what another account sealed in the history was
    left out; `trace_id`, `span_id`: the client's, if its `traceparent` is valid.
    """

    request_id: str
    method: str
    path: str
    client_ip: str
    local: bool
    target: str
    reason: str
    model: str | None
    sends: str | None
    may_fall_back: bool
    note: str
    reduced: bool
    trace_id: str | None
    span_id: str | None


def begin(flow: http.HTTPFlow) -> Record:
    """The record of a request that has not been decided on; it is not in the flow yet."""
    peer = _peer(flow)
    headers = flow.request.headers
    traced = ids.parse_traceparent(given) if (given := headers.get("traceparent")) else None
    return Record(
        request_id=ids.choose(headers.get("x-request-id")),
        method=flow.request.method,
        path=flow.request.path.partition("?")[0],
        client_ip=peer,
        local=client_address.is_loopback(peer),
        target=Target.NONE.value,
        reason=Reason.ERROR.value,
        model=None,
        sends=None,
        may_fall_back=False,
        note="",
        reduced=False,
        trace_id=traced.trace_id if traced else None,
        span_id=traced.span_id if traced else None,
    )


def settle(decision: Record, target: Target, reason: Reason, note: str = "") -> None:
    """Write down where a request goes after all, and why."""
    decision["target"] = target.value
    decision["reason"] = reason.value
    decision["note"] = note


def put(flow: http.HTTPFlow, decision: Record) -> None:
    """Make a decision the flow's."""
    flow.metadata[_KEY] = decision


def get(flow: http.HTTPFlow) -> Record | None:
    """What was decided about a flow, or None."""
    decision: Record | None = flow.metadata.get(_KEY)
    return decision


def fields(decision: Record) -> OfRequest:
    """What a log line about a request says of it."""
    return OfRequest(
        method=decision["method"],
        path=decision["path"],
        client_ip=decision["client_ip"],
        request_id=decision["request_id"],
        target=decision["target"],
        model=decision["model"],
        trace_id=decision["trace_id"],
        span_id=decision["span_id"],
    )


def incoming(request: http.Request) -> Incoming:
    """The request as the client sent it, apart from Host, which mitmproxy has overwritten."""
    path, _, query = request.path.partition("?")
    return Incoming(path, query, request.headers.fields, request.raw_content or b"")


def _peer(flow: http.HTTPFlow) -> str:
    return flow.client_conn.peername[0] if flow.client_conn.peername else ""


def keys(request: http.Request) -> tuple[str, ...]:
    """The client keys that a request presents."""
    return credentials.presented(request.headers.fields, request.path.partition("?")[2])


def content(request: http.Request) -> bytes:
    """A request's body without its content coding; b"" if it cannot be read."""
    try:
        return decode(request.raw_content or b"", request.headers.get("content-encoding", ""))
    except UndecodableError:
        return b""


def locate(flow: http.HTTPFlow, record: Record, trusted: client_address.Networks) -> None:
    """Find out where a request comes from, and let the servers see that and nothing else."""
    peer = _peer(flow)
    headers = flow.request.headers
    address = client_address.find(peer, headers.fields, trusted)
    record["client_ip"], record["local"] = address.ip, address.is_loopback
    headers.fields = client_address.put(headers.fields, address.ip)


def request(flow: http.HTTPFlow, record: Record) -> Request:
    """The request, for the rooms that decide. The engine has kept the client's own Host."""
    address = ClientAddress(record["client_ip"], record["local"])
    return Request(flow.request.method, incoming(flow.request), address, flow.metadata.get("hybrid_host", ""))


def send_to(request: http.Request, outgoing: Outgoing) -> None:
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


def masked(request: http.Request) -> http.Request:
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


def mark(response: http.Response, decision: Record) -> None:
    """Put the route and the request id on an answer; take out what LiteLLM says about what is behind it."""
    headers = response.headers
    if decision["target"] == Target.LITELLM.value:
        headers.fields = tuple(
            field for field in headers.fields if not field[0].lower().startswith(_REVEALING)
        )
    history = "; history=reduced" if decision["reduced"] else ""
    headers["x-hybrid-route"] = (
        f"{decision['target']}; reason={decision['reason']}{decision['note']}{history}"
    )
    if "x-request-id" not in headers:
        headers["x-request-id"] = decision["request_id"]


def answer(status: int, body: bytes, decision: Record) -> http.Response:
    """An answer of our own, in JSON."""
    response = http.Response.make(status, body, {"Content-Type": "application/json"})
    mark(response, decision)
    return response


def may_stream(response: http.Response) -> bool:
    """Whether an answer has to be passed on piece by piece.

    A short one of known length is not: it costs less to send it whole.
    """
    length = response.headers.get("content-length", "")
    return not (length.isdecimal() and int(length) <= _WHOLE) or "text/event-stream" in response.headers.get(
        "content-type", ""
    )


_WHOLE = 1024 * 1024
"""Answers of a known length up to this, in bytes, are passed on whole."""
