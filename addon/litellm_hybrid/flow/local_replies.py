"""What this proxy answers for itself, always in JSON, and the log line that goes with it."""

import json
import logging
from collections.abc import Callable
from typing import Concatenate

from mitmproxy import http

from litellm_hybrid import errors
from litellm_hybrid.errors import Cause, ErrorType, Failure
from litellm_hybrid.flow import exchange, timing
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.observability.admin_endpoints import AdminResponse
from litellm_hybrid.observability.logging import logger as log
from litellm_hybrid.routing.access import AccessDenied
from litellm_hybrid.routing.rules import Reason, Target

_WEBSOCKET = errors.body(
    "websocket_not_supported", "This proxy routes by request: use HTTP instead of a websocket"
)

_TOO_BUSY = errors.body(
    "too_many_requests_in_flight", "The proxy is serving as many requests as it may: try again"
)
_RETRY_AFTER = 1
"""In seconds; clients are silent for as long as this says."""


def refused(record: Record, refusal: AccessDenied) -> http.Response:
    """To a client that may not spend the LiteLLM key, or whose request is too much."""
    what = "request" if refusal.status == 413 else "access"
    message = f"litellm: {what} refused: {refusal.message}"
    log.emit(logging.WARNING, message, event="refused", **exchange.fields(record))
    return exchange.answer(refusal.status, refusal.body(), record)


def too_busy(record: Record, most: int) -> http.Response:
    """To a request that is one too many."""
    exchange.settle(record, Target.NONE, Reason.REFUSED)
    message = f"litellm: refused, {most} requests are running"
    log.emit(logging.WARNING, message, event="refused", **exchange.fields(record))
    response = exchange.answer(503, _TOO_BUSY, record)
    response.headers["Retry-After"] = str(_RETRY_AFTER)
    return response


def upgrade_refused(record: Record) -> http.Response:
    """To Codex's websocket; it comes again by HTTP, which can be routed."""
    return exchange.answer(426, _WEBSOCKET, record)


def own_page(record: Record, page: AdminResponse | AccessDenied) -> http.Response:
    """To a request for one of the proxy's own pages; there is a log line only where it is refused."""
    if isinstance(page, AccessDenied):
        exchange.settle(record, Target.NONE, Reason.REFUSED)
        return refused(record, page)
    exchange.settle(record, Target.NONE, Reason.OWN_PAGE)
    response = exchange.answer(page.status, page.body, record)
    response.headers["Content-Type"] = page.content_type
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    for name, value in page.headers:
        response.headers[name] = value
    if record["method"] == "HEAD":
        response.data.content = b""  # Content-Length stays
    return response


def our_fault(record: Record, error: Exception) -> http.Response:
    """To a request that our own code has failed on: it goes nowhere."""
    exchange.settle(record, Target.NONE, Reason.ERROR)
    where = f"{record['method']} {record['path']}"
    log.emit(
        logging.ERROR,
        f"litellm proxy error for {where}: {type(error).__name__}: {error}",
        exc_info=error,
        event="error",
        error_type=ErrorType.PROXY_ERROR.value,
        **exchange.fields(record),
    )
    return _our_fault(record)


def or_none[**P, T](
    rule: Callable[Concatenate[http.HTTPFlow, P], T | None],
) -> Callable[Concatenate[http.HTTPFlow, P], T | None]:
    """A rule that fails closed: where our own code is at fault, the client gets the answer of the server."""

    def guarded(flow: http.HTTPFlow, /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return rule(flow, *args, **kwargs)
        except Exception as e:  # noqa: BLE001 (in the engine it would leave the client without any answer)
            message = f"litellm: fallback failed by our own fault: {type(e).__name__}: {e}"
            record = exchange.get(flow) or exchange.begin(flow)
            log.emit(
                logging.ERROR,
                message,
                exc_info=e,
                event="error",
                error_type=ErrorType.PROXY_ERROR.value,
                **exchange.fields(record),
            )
            return None

    return guarded


def answered(flow: http.HTTPFlow, record: Record) -> None:
    """The one line for each request that was answered to the end, by a server or here."""
    assert flow.response is not None
    status = flow.response.status_code
    log.emit(
        logging.INFO,
        f"{record['target']} {status} {record['method']} {record['path']}",
        event="answered",
        status=status,
        reason=record["reason"],
        **timing.of(flow),
        **exchange.fields(record),
    )


def malformed(client: str, why: str) -> None:
    """A request that is not valid HTTP has been answered with 400 before it became a flow."""
    message = f"litellm: refused a malformed request: {why}"
    log.emit(logging.WARNING, message, event="refused", client_ip=client)


def failed(record: Record, failure: Failure, *, response_begun: bool) -> None:
    """Log a request whose server gave no answer, or that broke off.

    Args:
        record: what was decided about it.
        failure: what happened.
        response_begun: a byte of an answer has already gone to the client.
    """
    who = "litellm" if record["target"] == Target.LITELLM.value else "upstream"
    where = f"{record['method']} {record['path']}"
    if failure.error_type is ErrorType.CLIENT_DISCONNECT:
        level, message = logging.WARNING, f"{who}: client disconnected during {where}"
    else:
        level, message = logging.ERROR, f"{who} proxy error for {where}: {failure.detail}"
    log.emit(
        level,
        message,
        event="error" if level == logging.ERROR else "client-disconnected",
        error_type=failure.error_type.value,
        **exchange.fields(record),
        error=failure.detail,
    )
    if not response_begun:
        record["reason"] = Reason.ERROR.value


def error_response(record: Record, failure: Failure) -> http.Response:
    """To a request that no server answered."""
    if failure.cause is Cause.OUR_FAULT:
        exchange.settle(record, Target.NONE, Reason.ERROR)
        return _our_fault(record)
    by_litellm = record["target"] == Target.LITELLM.value
    return exchange.answer(
        502, errors.LITELLM_UNREACHABLE if by_litellm else errors.UPSTREAM_UNREACHABLE, record
    )


def _our_fault(record: Record) -> http.Response:
    message = "The proxy failed on this request; its log says why"
    body = {"error": "litellm_hybrid_error", "message": message, "request_id": record["request_id"]}
    return exchange.answer(500, json.dumps(body).encode(), record)
