"""mitmproxy's `Flow._backup`: what mitmweb's "revert" goes back to, made where somebody edits or marks a row.

Flow files have it, credentials and all, and mitmproxy offers no other access to it. This is the only module
that touches it; proxy/compat.py checks at start that it is there.
"""

from typing import Any

from mitmproxy import http

from litellm_hybrid.message import redaction


def drop(flow: http.HTTPFlow) -> None:
    """Remove the state that "revert" goes back to; for a copy of another flow."""
    flow._backup = None  # noqa: SLF001


def request_before_edit(flow: http.HTTPFlow) -> http.Request | None:
    """Return the request as it was before somebody edited the row; None: nobody did."""
    backup = _backup(flow)
    return http.Request.from_state(dict(backup["request"])) if backup else None


def redact(flow: http.HTTPFlow) -> None:
    """Mask the credentials of the request that "revert" goes back to."""
    if backup := _backup(flow):
        request = backup["request"]
        request["headers"] = redaction.redact_headers(request["headers"])
        target = request["path"].decode("utf-8", "surrogateescape")
        request["path"] = redaction.redact_target(target).encode("utf-8", "surrogateescape")


def _backup(flow: http.HTTPFlow) -> dict[str, Any] | None:
    backup: Any = flow._backup  # noqa: SLF001  (a state, for all that mitmproxy declares)
    found: dict[str, Any] | None = backup
    return found
