"""What mitmweb shows of us: marks, comments, and upstream's failed answer as a row of its own.

The marks are symbols that ordinary text fonts have too: a machine without an
emoji font shows them as well.
"""

from collections.abc import Mapping
from time import time
from types import MappingProxyType
from typing import Protocol

from mitmproxy import http

from litellm_hybrid.errors import ErrorType, Failure
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow.exchange import Record
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

_SAID = "hybrid_comment"
_FAILURE = "hybrid_failure"
_REQUEST_OF = "hybrid_request_of"


class View(Protocol):
    """The part of mitmweb's list of flows that is used here."""

    def add(self, flows: list[http.HTTPFlow]) -> None:
        """Add rows."""
        ...


def comment(flow: http.HTTPFlow) -> None:
    """Mark a flow and write down what has been decided about it so far; what a user wrote there stays."""
    decision = exchange.get(flow)
    if decision is None:
        return
    if flow.comment == flow.metadata.get(_SAID, ""):
        flow.comment = flow.metadata[_SAID] = says(flow, decision)
    if flow.marked in _OURS:
        flow.marked = _mark(flow, decision)


def note_failure(flow: http.HTTPFlow, failure: Failure) -> None:
    """Keep what went wrong with a flow for its comment."""
    flow.metadata[_FAILURE] = [failure.error_type.value, failure.detail]


def keep_failed_answer(flow: http.HTTPFlow, view: View | None) -> None:
    """Keep a flow as it is now as a row of its own; it is about to be replaced by a replay."""
    decision = exchange.get(flow)
    if view is None or decision is None:
        return
    row = flow.copy()
    row.live = False
    row.intercepted = False
    flow_backup.drop(row)
    row.request = exchange.masked(row.request)
    row.metadata[_REQUEST_OF] = flow.id
    row.marked = FAILED
    row.comment = f"replaced by a fallback: upstream's answer; request id {decision['request_id']}"
    if row.response is not None and row.response.timestamp_end is None:
        row.response.timestamp_end = time()
    view.add([row])


def request_of(flow: http.HTTPFlow) -> str:
    """The id of the flow whose request this is: another's, for upstream's failed answer."""
    found: str = flow.metadata.get(_REQUEST_OF, flow.id)
    return found


def describe(decision: Record) -> str:
    """A decision in a line: reason, target, requested → sent model, request id.

    The reason comes first: mitmweb's column shows some twenty characters.
    """
    model = decision["model"] or "no model"
    if decision["target"] == Target.LITELLM and decision["sends"]:
        model = f"{model} → {decision['sends']}"
    history = "; history=reduced" if decision["reduced"] else ""
    return (
        f"reason={decision['reason']}; target={decision['target']}{decision['note']}{history}; {model}; "
        f"request id {decision['request_id']}"
    )


def says(flow: http.HTTPFlow, decision: Record) -> str:
    """What has been decided about a flow, and what went wrong with it, in a line."""
    failure = flow.metadata.get(_FAILURE)
    return f"{describe(decision)}; {failure[0]}: {failure[1]}" if failure else describe(decision)


def _mark(flow: http.HTTPFlow, decision: Record) -> str:
    error_type, _ = flow.metadata.get(_FAILURE, ("", ""))
    # One who presses Esc in the middle of an answer is no failure.
    if flow.error is not None and error_type != ErrorType.CLIENT_DISCONNECT:
        return FAILED
    return _MARKS.get(decision["reason"], "")
