"""A request once more, for the server that did not get it: what the command `litellm.reroute` sends.

It is made from the request as its client sent it: neither server gets what was
made for the other. mitmproxy's replay then sends it, without the rules and
limits of this addon.
"""

from dataclasses import replace
from time import time

from mitmproxy import http

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.diagnostics.explain.reasons import FALLBACK_FAILURES, REASONS
from litellm_hybrid.fallback.replay import Replays
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.message import forwarded as client_address
from litellm_hybrid.message import ids
from litellm_hybrid.mitmweb import annotations as inspect
from litellm_hybrid.routing import rewrite
from litellm_hybrid.routing import router as decision
from litellm_hybrid.routing.rules import Target

REASON = "rerouted"
"""Stands for the reason of a route: somebody wanted it."""

_DECIDED_BY = "hybrid_host", "hybrid"


class RerouteError(ValueError):
    """It cannot be sent to the other server; the message says why, and what helps."""


def to_other_side(
    flow: http.HTTPFlow, original: http.Request | None, settings: Settings, replays: Replays
) -> http.HTTPFlow:
    """A new flow with the request for the other server, credentials and all.

    Args:
        flow: one that litellm-hybrid has decided on.
        original: its request as the client sent it; None: it is not kept.
        settings: those in force.
        replays: makes requests for LiteLLM.

    Raises:
        RerouteError: it cannot be done.
    """
    record = exchange.get(flow)
    if record is None or record["target"] not in (Target.LITELLM, Target.UPSTREAM):
        raise RerouteError("this request went to neither server, so it has no other side")
    if original is None:
        raise RerouteError(
            "the credentials of this request are not kept (any more): send it again from the client"
        )
    if flow.websocket is not None or original.headers.get("upgrade", "").lower() == "websocket":
        raise RerouteError("a websocket cannot be sent again")
    new = _copy(flow, original, record)
    if record["target"] == Target.LITELLM:
        new.request.path = rewrite.target_for_upstream(settings, new.request.path)
    else:
        new.request = _for_litellm(new, settings, replays)
    return new


def _copy(flow: http.HTTPFlow, original: http.Request, record: Record) -> http.HTTPFlow:
    """A flow of the same client's with the same request and an id of its own, as if for upstream."""
    new: http.HTTPFlow = flow.copy()
    new.request = original.copy()
    new.response = new.error = new.is_replay = None
    # Those are of the row that it was made from.
    new.intercepted, new._backup = False, None  # noqa: SLF001 (mitmproxy offers nothing else)
    new.marked = ""
    new.timestamp_created = time()
    new.metadata = {key: value for key, value in new.metadata.items() if key in _DECIDED_BY}
    to_litellm = record["target"] == Target.UPSTREAM
    ours = record.copy()
    ours["request_id"] = ids.generate()
    ours["target"] = (Target.LITELLM if to_litellm else Target.UPSTREAM).value
    ours["reason"], ours["note"], ours["reduced"] = REASON, "", False
    exchange.put(new, ours)
    headers = new.request.headers
    headers.fields = client_address.put(headers.fields, record["client_ip"])
    headers["X-Request-ID"] = ours["request_id"]
    return new


def _for_litellm(new: http.HTTPFlow, settings: Settings, replays: Replays) -> http.Request:
    record = exchange.get(new)
    assert record is not None
    # As if everything were routed: what says no even so cannot be served by LiteLLM.
    routed = decision.route(replace(settings, enabled=True, passthrough=True), exchange.request(new, record))
    if routed.refusal is not None:
        raise RerouteError(routed.refusal.message)
    if routed.route.target is not Target.LITELLM:
        said = REASONS[routed.route.reason]
        raise RerouteError(f"LiteLLM cannot serve it: {said.means}; {said.fix}")
    record["model"], record["sends"] = routed.route.model, routed.route.sends
    request = replays.to_litellm(new, record)
    if request is None:
        why = record["note"].rpartition("=")[2]
        means, fix = FALLBACK_FAILURES[why]
        raise RerouteError(f"{means}; {fix}")
    return request


def comment(new: http.HTTPFlow, old: http.HTTPFlow) -> str:
    """What the new flow's row says."""
    record, before = exchange.get(new), exchange.get(old)
    assert record is not None
    assert before is not None
    return f"rerouted from {before['request_id']}; {inspect.describe(record)}"
