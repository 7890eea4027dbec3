"""Flows as the rooms see them behind the `request` hook, without a running mitmproxy."""

from mitmproxy import http
from mitmproxy.test import tflow, tutils

from litellm_hybrid.flow import exchange
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.routing.rules import Reason, Target

type Fields = tuple[tuple[bytes, bytes], ...]

JSON: Fields = ((b"content-type", b"application/json"),)


def upstream_flow(
    body: bytes,
    *,
    path: str = "/v1/responses",
    headers: Fields = (),
    model: str = "o3",
    sends: str = "",
    may_fall_back: bool = True,
) -> tuple[http.HTTPFlow, Record]:
    """A request that was decided to go to upstream, and its record.

    Args:
        sends: what LiteLLM would be sent as the model; `model` itself if it is "".
    """
    request = tutils.treq(method=b"POST", path=path.encode(), headers=(*JSON, *headers), content=body)
    flow = tflow.tflow(req=request)
    flow.client_conn.peername = ("127.0.0.1", 1)
    flow.metadata["hybrid_host"] = "127.0.0.1:8318"
    record = exchange.begin(flow)
    record["model"], record["sends"], record["may_fall_back"] = model, sends or model, may_fall_back
    exchange.settle(record, Target.UPSTREAM, Reason.NOT_LISTED)
    exchange.put(flow, record)
    return flow, record
