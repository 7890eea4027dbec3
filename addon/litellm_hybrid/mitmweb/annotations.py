"""What mitmweb shows of us: marks, comments, and upstream's failed response as a row of its own.

The marks are symbols that ordinary text fonts have too: a machine without an
emoji font shows them as well.
"""

from collections.abc import Mapping
from time import time
from types import MappingProxyType
from typing import Protocol

from mitmproxy import http

from litellm_hybrid.errors import ErrorType
from litellm_hybrid.fallback.policy import FallbackListener
from litellm_hybrid.flow.exchange import METADATA, Exchange, Snapshot
from litellm_hybrid.flow.request import redacted
from litellm_hybrid.mitmweb import flow_backup
from litellm_hybrid.routing.rules import Reason, Target

LITELLM = ":arrow_right:"
"""It went to LiteLLM by its route."""
FELL_BACK = ":arrow_right_hook:"
"""It was for upstream, and LiteLLM served it instead."""
FAILED = ":warning:"
"""It failed, or LiteLLM could not help."""

_OURS = ("", LITELLM, FELL_BACK, FAILED)

_MARKS: Mapping[str, str] = MappingProxyType(
    {
        Reason.MODEL: LITELLM,
        Reason.PASSTHROUGH: LITELLM,
        Reason.FALLBACK: FELL_BACK,
        Reason.UNREACHABLE: FELL_BACK,
        Reason.COOLDOWN: FELL_BACK,
        Reason.STICKY: FELL_BACK,
        Reason.FALLBACK_FAILED: FAILED,
        Reason.ERROR: FAILED,
    }
)


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
            flow.comment = exchange.comment = describe(snapshot)
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
        flow_backup.drop(row)
        row.request = redacted(row.request)
        row.metadata[METADATA] = exchange.snapshot()
        row.marked = FAILED
        row.comment = f"replaced by a fallback: upstream's answer; request id {exchange.id}"
        if row.response is not None and row.response.timestamp_end is None:
            row.response.timestamp_end = time()
        exchange.supersede(row)
        view.add([row])


def describe(snapshot: Snapshot) -> str:
    """An exchange in a line: reason, target, requested → sent model, request id, and what went wrong.

    The reason comes first: mitmweb's column shows some twenty characters.
    """
    model = snapshot["model"] or "no model"
    if snapshot["target"] == Target.LITELLM and snapshot["litellm_model"]:
        model = f"{model} → {snapshot['litellm_model']}"
    first = f"; after {snapshot['first_failure']}" if snapshot["first_failure"] else ""
    failure = f"; {snapshot['error_type']}: {snapshot['error']}" if snapshot["error_type"] else ""
    return (
        f"reason={snapshot['reason']}; target={snapshot['target']}{snapshot['detail']}; {model}; "
        f"request id {snapshot['request_id']}{first}{failure}"
    )


def _mark(flow: http.HTTPFlow, snapshot: Snapshot) -> str:
    # One who presses Esc in the middle of a response is no failure.
    if flow.error is not None and snapshot["error_type"] != ErrorType.CLIENT_DISCONNECT:
        return FAILED
    return _MARKS.get(snapshot["reason"], "")
