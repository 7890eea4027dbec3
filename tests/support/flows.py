"""Flows as the packages see them behind the `request` hook, without a running mitmproxy."""

from dataclasses import replace

from mitmproxy import http
from mitmproxy.test import tflow, tutils

from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.routing import requested_model
from litellm_hybrid.routing.rules import Reason, Route, Routed, Target

type Fields = tuple[tuple[bytes, bytes], ...]

JSON: Fields = ((b"content-type", b"application/json"),)
HOST = "127.0.0.1:8318"


def upstream_flow(
    body: bytes,
    *,
    path: str = "/v1/responses",
    headers: Fields = (),
    model: str = "o3",
    litellm_model: str = "",
    may_fall_back: bool = True,
    ip: str = "127.0.0.1",
) -> tuple[http.HTTPFlow, Exchange]:
    """A request that was decided to go to upstream, and its exchange.

    Args:
        litellm_model: what LiteLLM would be sent as the model; `model` itself if it is "".
    """
    request = tutils.treq(method=b"POST", path=path.encode(), headers=(*JSON, *headers), content=body)
    flow = tflow.tflow(req=request)
    flow.client_conn.peername = (ip, 1)
    exchange = Exchange.begin(flow, HOST)
    exchange.receive(flow, ())
    sent = exchange.request.sent
    named = requested_model.read(sent.path, "application/json", sent.header(b"content-encoding"), sent.body)
    route = Route(
        Target.UPSTREAM, Reason.NOT_LISTED, model, litellm_model or model, may_fall_back=may_fall_back
    )
    exchange.decide(Routed(replace(named, model=model), route))
    exchange.begin_attempt(flow.request)
    return flow, exchange
