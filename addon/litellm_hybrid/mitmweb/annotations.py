"""What mitmweb shows of us: marks, comments, and upstream's failed response as a row of its own.

The marks are symbols that ordinary text fonts have too: a machine without an
emoji font shows them as well.
"""

from collections.abc import Mapping
from time import time
from typing import Protocol

from mitmproxy import http

from litellm_hybrid.errors import ErrorType
from litellm_hybrid.fallback.policy import FallbackListener
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.outcome import METADATA, Snapshot
from litellm_hybrid.mitmweb.flow_redaction import drop_backup, redacted
from litellm_hybrid.routing.rules import Reason, Target

FAILED = ":warning:"
"""The mark of what went wrong, whoever is to blame: `~marked` finds it."""

_OURS = ("", FAILED)

_BYPASSED: Mapping[str, str] = {
    Reason.UNREACHABLE: "upstream is unreachable",
    Reason.COOLDOWN: "upstream is cooling down",
    Reason.STICKY: "the conversation is there",
    Reason.SPILL: "the quota is nearly used up",
}
"""Why LiteLLM serves what is upstream's, where upstream has not refused it."""

_KINDS = {
    "quota": "usage limit",
    "overload": "overloaded",
    "no-credential": "no account",
    "login": "login expired",
    "account": "account refused",
    "no-answer": "empty response",
    "unknown-model": "unknown model",
    "context-length": "too long",
    "server-error": "server error",
}
"""The kinds of `fallback.on` in two words."""

# What is as it should be, whatever its status: Codex comes again by HTTP.
_EXPECTED = frozenset({Reason.OWN_PAGE, Reason.WEBSOCKET})


class RowAdder(Protocol):
    """The part of mitmweb's list of flows that is used here."""

    def add(self, flows: list[http.HTTPFlow]) -> None:
        """Add rows."""
        ...


class Annotations(FallbackListener):
    """Marks and comments flows.

    Attributes:
        view: mitmweb's list of flows, None outside mitmweb.
    """

    def __init__(self) -> None:
        self.view: RowAdder | None = None

    def settled(self, flow: http.HTTPFlow) -> None:
        """Mark a flow and write down what has been decided about it; what a user wrote there stays."""
        exchange = Exchange.of(flow)
        if exchange is None or not exchange.decided:
            return
        exchange.publish(flow)
        snapshot: Snapshot = flow.metadata[METADATA]
        if flow.comment == exchange.comment:
            flow.comment = exchange.comment = describe(flow, snapshot)
        if flow.marked in _OURS:
            flow.marked = _mark(flow, snapshot)

    def replaced(self, flow: http.HTTPFlow) -> None:
        """Keep a flow as it is now as a row of its own; it is about to be replaced by a replay."""
        view, exchange = self.view, Exchange.of(flow)
        if view is None or exchange is None:
            return
        row = flow.copy()
        row.live = False
        row.intercepted = False
        drop_backup(row)
        row.request = redacted(row.request)
        row.metadata[METADATA] = exchange.snapshot()
        row.marked = FAILED
        kind = _KINDS.get(exchange.fallback.kind, "") if exchange.fallback is not None else ""
        if exchange.outcome.target is Target.LITELLM:
            what = f"LiteLLM {_status(flow)}: upstream is asked"
        else:
            what = f"upstream {_status(flow)} {kind}: replaced by a fallback"
        row.comment = f"{exchange.model_name} ⚠ {what}; request id {exchange.id}"
        if row.response is not None and row.response.timestamp_end is None:
            row.response.timestamp_end = time()
        exchange.supersede(row)
        view.add([row])


def describe(flow: http.HTTPFlow, snapshot: Snapshot) -> str:
    """Say in a line what became of a request: model and what happened first, that is what a list shows.

    Then reason, target, requested → sent model, request id, and what went wrong.
    """
    model = snapshot["model"] or "no model"
    if snapshot["target"] == Target.LITELLM and snapshot["litellm_model"]:
        model = f"{model} → {snapshot['litellm_model']}"
    first = f"; after {snapshot['first_failure']}" if snapshot["first_failure"] else ""
    failure = f"; {snapshot['error_type']}: {snapshot['error']}" if snapshot["error_type"] else ""
    return (
        f"{_headline(flow, snapshot)}; reason={snapshot['reason']}; target={snapshot['target']}"
        f"{snapshot['detail']}; {model}; request id {snapshot['request_id']}{first}{failure}"
    )


def _headline(flow: http.HTTPFlow, snapshot: Snapshot) -> str:
    """`claude-opus-4-5 ↪ LiteLLM after 429 usage limit, $0.02`."""
    reason, status = snapshot["reason"], _status(flow)
    kind = _KINDS.get(snapshot["kind"], "")
    if reason == Reason.FALLBACK_FAILED:
        refused = f"{status} {kind}".strip() if status else "no response"
        happened = f"⚠ upstream {refused}, LiteLLM could not help: {snapshot['fallback_failed']}"
    elif reason == Reason.ERROR:
        happened = f"⚠ {snapshot['error_type'] or 'error'}"
    elif reason == Reason.REFUSED:
        happened = "⚠ refused"
    elif snapshot["target"] == Target.LITELLM:
        happened = "→ LiteLLM"
        if reason == Reason.FALLBACK:
            happened = f"↪ LiteLLM after {snapshot['upstream_status']} {kind}".rstrip()
        elif reason in _BYPASSED:
            happened = f"↪ LiteLLM, {_BYPASSED[reason]}"
        happened += f" ⚠ {status}" if status >= 400 else ""
    else:
        happened = "→ upstream"
        if reason == Reason.LITELLM_FAILED:
            happened = f"↩ upstream after LiteLLM {snapshot['litellm_status'] or 'gave no response'}"
        happened += f" ⚠ {status}" if status >= 400 and reason not in _EXPECTED else ""
    cost = f", ${snapshot['cost_usd']:.2g}" if snapshot["cost_usd"] else ""
    return f"{snapshot['model'] or snapshot['path']} {happened}{cost}"


def _mark(flow: http.HTTPFlow, snapshot: Snapshot) -> str:
    # One who presses Esc in the middle of a response is no failure.
    if flow.error is not None and snapshot["error_type"] != ErrorType.CLIENT_DISCONNECT:
        return FAILED
    reason = snapshot["reason"]
    failed = reason in (Reason.FALLBACK_FAILED, Reason.ERROR)
    return FAILED if failed or (_status(flow) >= 400 and reason not in _EXPECTED) else ""


def _status(flow: http.HTTPFlow) -> int:
    return flow.response.status_code if flow.response is not None else 0
