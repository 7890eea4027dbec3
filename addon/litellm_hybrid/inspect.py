"""What mitmweb shows of us: marks, comments, and upstream's failed answer as a row of its own."""

from typing import Protocol

from mitmproxy import http

from litellm_hybrid import exchange
from litellm_hybrid.exchange import Record

_FELL_BACK = ":twisted_rightwards_arrows:"
_FAILED = ":warning:"


class View(Protocol):
    """The part of mitmweb's list of flows that is used here."""

    def add(self, flows: list[http.HTTPFlow]) -> None:
        """Add rows."""
        ...


def comment(flow: http.HTTPFlow, *, failed: bool = False) -> None:
    """Mark a flow as a fallback and write down what became of it."""
    decision = exchange.get(flow)
    if decision is None:
        return
    flow.marked = _FAILED if failed else _FELL_BACK
    flow.comment = describe(decision)


def keep_failed_answer(flow: http.HTTPFlow, view: View | None) -> None:
    """Keep a flow as it is now as a row of its own; it is about to be replaced by a replay."""
    decision = exchange.get(flow)
    if view is None or decision is None:
        return
    row = flow.copy()
    row.live = False
    row.request = exchange.masked(row.request)
    row.marked = _FAILED
    row.comment = f"upstream's answer, replaced by a fallback; request id {decision['request_id']}"
    view.add([row])


def describe(decision: Record) -> str:
    """A decision in a line: route, reason, requested → sent model, request id."""
    model = decision["model"] or "no model"
    if decision["target"] == "litellm" and decision["sends"]:
        model = f"{model} → {decision['sends']}"
    return (
        f"{decision['target']}; reason={decision['reason']}{decision['note']}; {model}; "
        f"request id {decision['request_id']}"
    )
