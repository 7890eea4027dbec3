"""Responses that are made here, always in JSON, and the log line that goes with each."""

import json
import logging

from mitmproxy import http

from litellm_hybrid import errors
from litellm_hybrid.errors import Cause, ErrorType, Failure
from litellm_hybrid.flow.exchange import Exchange, add_response_headers
from litellm_hybrid.observability.admin_endpoints import AdminResponse, is_own
from litellm_hybrid.routing.access import AccessDenied
from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.terminal import counted

_WEBSOCKET = errors.body(
    "websocket_not_supported", "This proxy routes by request: use HTTP instead of a websocket"
)

_OF_PAGES = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CODINGS = "gzip, deflate, br, zstd"

_TOO_BUSY = errors.body(
    "too_many_requests_in_flight", "The proxy is serving as many requests as it may: try again"
)


def refused(exchange: Exchange, refusal: AccessDenied) -> http.Response:
    """401 or 403 for a client that may not, 413 or 415 for a body that is not read, 508 for a loop."""
    what = "request" if refusal.status in {413, 415, 508} else "access"
    message = f"litellm: {what} refused: {refusal.message}"
    exchange.log(logging.WARNING, message, event="refused")
    response = _final(_response(refusal.status, refusal.body(), exchange))
    if refusal.status == 415:
        response.headers["Accept-Encoding"] = _CODINGS  # RFC 9110, 15.5.16
    return response


def too_busy(exchange: Exchange, most: int) -> http.Response:
    """503 for a request above `max-in-flight`."""
    exchange.set_outcome(Target.NONE, Reason.REFUSED)
    message = f"litellm: refused, {counted(most, 'request')} running"
    exchange.log(logging.WARNING, message, event="refused")
    response = _response(503, _TOO_BUSY, exchange)
    response.headers["Retry-After"] = "1"  # in seconds, for which clients are silent
    return response


def upgrade_refused(exchange: Exchange) -> http.Response:
    """426 for Codex's websocket; it comes again by HTTP, which can be routed."""
    return _response(426, _WEBSOCKET, exchange)


def own_page(exchange: Exchange, page: AdminResponse | AccessDenied) -> http.Response:
    """One of the proxy's own pages; there is a log line only where it is refused."""
    if isinstance(page, AccessDenied):
        exchange.set_outcome(Target.NONE, Reason.REFUSED)
        return refused(exchange, page)
    exchange.set_outcome(Target.NONE, Reason.OWN_PAGE)
    response = _response(page.status, page.body, exchange)
    response.headers.update({**_OF_PAGES, "Content-Type": page.content_type, **dict(page.headers)})
    return response


def internal_error(exchange: Exchange, error: Exception) -> http.Response:
    """500 for a request that our own code has failed on: it goes nowhere."""
    exchange.set_outcome(Target.NONE, Reason.ERROR)
    log_internal_error(exchange, error)
    return _internal_error(exchange)


def log_internal_error(exchange: Exchange, error: Exception) -> None:
    """Log that our own code has failed, and where."""
    exchange.log(
        logging.ERROR,
        f"litellm proxy error for {exchange.method} {exchange.path}: {type(error).__name__}: {error}",
        exc_info=error,
        event="error",
        error_type=ErrorType.PROXY_ERROR.value,
    )


def server_unreachable(exchange: Exchange, failure: Failure) -> http.Response:
    """502 for a request without a response of a server; 500 where our own code has failed.

    It may be made before it is decided whether the client gets it: the observer's `failed` says that.
    """
    if failure.cause is Cause.INTERNAL_ERROR:
        exchange.set_outcome(Target.NONE, Reason.ERROR)
        return _internal_error(exchange)
    by_litellm = exchange.outcome.target is Target.LITELLM
    body = errors.LITELLM_UNREACHABLE if by_litellm else errors.UPSTREAM_UNREACHABLE
    response = _response(502, body, exchange)
    return _final(response) if failure.is_lasting else response


def hide_redirect(response: http.Response, exchange: Exchange) -> None:
    """Turn LiteLLM's redirect into 502: it names an address that the client has no business at."""
    exchange.outcome.reason = Reason.ERROR
    where = f"{exchange.method} {exchange.path}"
    exchange.log(
        logging.ERROR,
        f"litellm proxy error for {where}: LiteLLM redirects (status {response.status_code})",
        event="error",
        error_type=ErrorType.PROXY_ERROR.value,
    )
    body = errors.LITELLM_UNREACHABLE
    ours = _final(_response(502, body, exchange))
    response.status_code, response.reason, response.headers = 502, ours.reason, ours.headers
    # Whatever comes is left out, and at its end, which is called with b"", ours goes.
    response.stream = lambda data: b"" if data else body


def _internal_error(exchange: Exchange) -> http.Response:
    message = "The proxy failed on this request; its log says why"
    body = {"error": "litellm_hybrid_error", "message": message, "request_id": exchange.id}
    return _final(_response(500, json.dumps(body).encode(), exchange))


def _final(response: http.Response) -> http.Response:
    """Keep Claude Code, and the SDKs of OpenAI and Anthropic, from asking again (seen: docs/clients.md)."""
    response.headers["x-should-retry"] = "false"
    return response


def _response(status: int, body: bytes, exchange: Exchange) -> http.Response:
    cors = {} if is_own(exchange.path) else errors.CORS
    response = http.Response.make(status, body, {"Content-Type": "application/json", **cors})
    if exchange.method == "HEAD":
        # RFC 9110, 9.3.2; the next response would be read behind a body. Content-Length stays.
        response.data.content = b""
    add_response_headers(response, exchange)
    return response
