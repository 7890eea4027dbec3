"""Logs and counts what becomes of requests, as the proxy and the hooks tell of it."""

import logging
from time import monotonic

from mitmproxy import http

from litellm_hybrid.errors import ErrorType, Failure
from litellm_hybrid.fallback.policy import Policy
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.flow.exchange import Exchange, timing
from litellm_hybrid.observability.health import LastSeen
from litellm_hybrid.observability.logging import logger as log
from litellm_hybrid.observability.request_counters import MALFORMED, RequestCounters
from litellm_hybrid.proxy.interfaces import ProxyObserver
from litellm_hybrid.routing.rules import Reason, Target


class Observer(ProxyObserver[JudgedResponse]):
    """Tells log, counters, health and the memory of fallbacks, each of them once."""

    def __init__(self, policy: Policy, counters: RequestCounters, last_seen: LastSeen) -> None:
        self._policy = policy
        self._counters = counters
        self._last_seen = last_seen

    # -- what the proxy tells ---------------------------------------------

    def request_begun(self, flow: http.HTTPFlow, host: str) -> None:
        """A request's head has come."""
        Exchange.begin(flow, host)

    def malformed(self, client: str, why: str) -> None:
        """A request that is not valid HTTP was refused before it became a flow."""
        self._counters.errors[MALFORMED, Target.NONE.value] += 1
        message = f"litellm: refused a malformed request: {why}"
        log.emit(logging.WARNING, message, event="refused", client_ip=client)

    def response_begun(self, flow: http.HTTPFlow, response: http.Response) -> None:
        """A server's response has begun, whatever becomes of it."""
        exchange = Exchange.of(flow)
        if exchange is None:
            return
        self._last_seen.answered(exchange.outcome.target)
        if exchange.attempts:
            attempt = exchange.attempts[-1]
            attempt.first_byte, attempt.status = monotonic(), response.status_code

    def hold_limit_reached(self, flow: http.HTTPFlow, held: JudgedResponse) -> None:
        """A response was held as long as may be."""
        self._policy.hold_limit_reached(flow, held)

    def replay_failed(self, flow: http.HTTPFlow, why: str, held: JudgedResponse | None) -> None:
        """A replay failed: the client gets the first response."""
        if (exchange := Exchange.of(flow)) is not None:
            self._last_seen.replay_failed(exchange.outcome.target, why, monotonic())
        self._policy.replay_failed(flow, why, held)

    def failed(self, flow: http.HTTPFlow, failure: Failure, *, response_begun: bool) -> None:
        """A server gave no response, or it or the client broke off."""
        exchange = Exchange.of(flow) or Exchange.begin(flow)
        if response_begun and exchange.tail is not None and exchange.tail.is_complete:
            exchange.served = True
            return
        target = exchange.outcome.target
        exchange.failure = failure
        self._last_seen.failed(target, failure.cause, monotonic())
        self._counters.errors[failure.error_type.value, target.value] += 1
        _log_failure(exchange, failure)
        if not response_begun:
            exchange.outcome.reason = Reason.ERROR

    # -- what the hooks tell ----------------------------------------------

    def count_request(self, exchange: Exchange) -> None:
        """A request is being served from now on."""
        exchange.counters = self._counters
        exchange.times.complete = monotonic()
        self._counters.in_flight += 1

    def passed_on(self, exchange: Exchange, *, streamed: bool) -> None:
        """The client begins to get a response; `streamed`: piece by piece."""
        counters, complete = exchange.counters, exchange.times.complete
        if counters is None or complete is None:
            return
        if streamed and not exchange.streaming:
            exchange.streaming = True
            counters.streaming += 1
        if exchange.outcome.reason is not Reason.ERROR:
            counters.first_byte[exchange.outcome.target].add(monotonic() - complete)

    def exchange_ended(self, flow: http.HTTPFlow, exchange: Exchange, *, whole: bool) -> None:
        """Nothing more will become of a request; `whole`: the client has got its response to the end."""
        status = flow.response.status_code if flow.response is not None else None
        if (
            exchange.outcome.reason is not Reason.OWN_PAGE
        ):  # a line for each health check would bury the others
            self._policy.exchange_ended(exchange, status if whole else None)
            if exchange.counters is not None:
                _count_end(exchange.counters, exchange, status, whole=whole)
            if whole:
                _log_answered(flow, exchange)
        exchange.end()


def _count_end(counters: RequestCounters, exchange: Exchange, status: int | None, *, whole: bool) -> None:
    outcome, complete = exchange.outcome, exchange.times.complete
    counters.in_flight -= 1
    counters.streaming -= exchange.streaming
    # Of a response that is not passed on piece by piece the client has got nothing before its end.
    reached = status if whole or exchange.streaming else None
    counters.request_ended(outcome.target, outcome.reason, exchange.model_name, reached)
    if whole and complete is not None and outcome.reason is not Reason.ERROR:
        counters.duration[outcome.target].add(monotonic() - complete)


def _log_answered(flow: http.HTTPFlow, exchange: Exchange) -> None:
    """The one line for each request that was answered to the end, by a server or here."""
    assert flow.response is not None
    status, outcome = flow.response.status_code, exchange.outcome
    log.emit(
        logging.INFO,
        f"{outcome.target} {status} {exchange.method} {exchange.path}",
        event="answered",
        status=status,
        reason=outcome.reason.value,
        **timing(flow),
        **exchange.log_fields(),
    )


def _log_failure(exchange: Exchange, failure: Failure) -> None:
    who = "litellm" if exchange.outcome.target is Target.LITELLM else "upstream"
    where = f"{exchange.method} {exchange.path}"
    if failure.error_type is ErrorType.CLIENT_DISCONNECT:
        level, message = logging.WARNING, f"{who}: client disconnected during {where}"
    else:
        level, message = logging.ERROR, f"{who} proxy error for {where}: {failure.detail}"
    log.emit(
        level,
        message,
        event="error" if level == logging.ERROR else "client-disconnected",
        error_type=failure.error_type.value,
        **exchange.log_fields(),
        error=failure.detail,
    )
