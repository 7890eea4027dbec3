"""Logs and counts what becomes of requests, as the proxy and the hooks tell of it."""

import logging
import math
from collections.abc import Callable
from time import monotonic, time

from mitmproxy import http

from litellm_hybrid.errors import Cause, ErrorType, Failure
from litellm_hybrid.fallback.policy import Policy
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.flow import local_replies
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.response import ResponseTap, Timing, timing
from litellm_hybrid.observability import log
from litellm_hybrid.observability.counters import MALFORMED, RequestCounters, rounded
from litellm_hybrid.observability.history import LONGEST, Records, RequestRecord, is_ordinary
from litellm_hybrid.proxy.interfaces import ProxyObserver
from litellm_hybrid.quota import gauge
from litellm_hybrid.routing.paths import Api, identify_api
from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.runtime.notices import Notices
from litellm_hybrid.runtime.prices import Prices

_UNKNOWN_KEY = frozenset({"Invalid API key", "Missing API key"})
"""CLIProxyAPI's words to a client whose key is none of its `api-keys` (sdk/access)."""


class Observer(ProxyObserver[JudgedResponse]):
    """Tells log, counters, health and the memory of fallbacks, each of them once."""

    def __init__(
        self,
        policy: Policy,
        records: Records,
        prices: Prices,
        notices: Notices,
        priced: Callable[[http.HTTPFlow], None] = lambda _: None,
    ) -> None:
        """Make it; `priced`: is told of a flow whose cost is known only after its end."""
        self._policy, self._priced = policy, priced
        self._counters, self._last_seen, self._spend = records.counters, records.last_seen, records.spend
        self._last_requests = records.requests
        self._prices = prices
        self._notices = notices

    # -- what the proxy tells ---------------------------------------------

    def request_begun(self, flow: http.HTTPFlow, host: str) -> None:
        """A request's head has come."""
        Exchange.announce(flow, host)

    def malformed(self, client: str, why: str) -> None:
        """A request that is not valid HTTP was refused before it became a flow."""
        self._counters.errors[MALFORMED, Target.NONE.value] += 1
        message = f"litellm: refused a malformed request: {why}"
        log.emit(logging.WARNING, message, event="refused", client_ip=client)

    def response_begun(self, flow: http.HTTPFlow, response: http.Response) -> None:
        """A server's response has begun, whatever becomes of it."""
        exchange, status = Exchange.of(flow), response.data.status_code
        if exchange is None:
            return
        self._last_seen.answered(exchange.outcome.target)
        if exchange.outcome.target is Target.UPSTREAM and exchange.model_name:
            self._read_gauge(exchange, response)
        if exchange.attempts:
            attempt = exchange.attempts[-1]
            attempt.first_byte, attempt.status = monotonic(), status
            if attempt.target is Target.LITELLM:
                headers = response.data.headers
                attempt.deployment = headers.get("x-litellm-model-id", "")
                cost = headers.get("x-litellm-response-cost", "")
                attempt.cost_usd = _cost(cost) if cost else None
                if attempt.cost_usd is None and status == 200:
                    self._prices.expect()

    def _read_gauge(self, exchange: Exchange, response: http.Response) -> None:
        windows = gauge.read_headers(response.headers.fields, time())
        if windows:
            self._policy.state.gauge.note(exchange.model_name or "", windows, time())

    def hold_limit_reached(self, flow: http.HTTPFlow, held: JudgedResponse) -> None:
        """A response was held as long as may be."""
        self._policy.hold_limit_reached(flow, held)

    def request_sent(self, flow: http.HTTPFlow) -> None:
        """A request has gone out for the first time."""
        self._policy.request_sent(flow)

    def replay_begun(self, flow: http.HTTPFlow) -> None:
        """A request that replaces one is on its way."""
        self._policy.replay_begun(flow)

    def replay_failed(self, flow: http.HTTPFlow, why: str, held: JudgedResponse | None) -> None:
        """A replay failed: the client gets the first response."""
        if (exchange := Exchange.of(flow)) is not None:
            self._last_seen.replay_failed(exchange.outcome.target, why, monotonic())
        self._policy.replay_failed(flow, why, held)

    def sent_again(self, flow: http.HTTPFlow) -> None:
        """A request was lost with a kept connection."""
        if (exchange := Exchange.of(flow)) is not None:
            what = f"{exchange.method} {exchange.path}"
            message = f"litellm: {what} was lost with a kept connection, and is sent again"
            exchange.log(logging.INFO, message, event="sent-again")

    def failed(self, flow: http.HTTPFlow, failure: Failure, *, response_begun: bool) -> None:
        """A server gave no response, or it or the client broke off."""
        exchange = Exchange.of(flow) or Exchange.begin(flow)
        if response_begun and exchange.tap is not None and exchange.tap.is_complete:
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
        exchange.complete_at = monotonic()
        self._counters.in_flight += 1

    def passed_on(self, exchange: Exchange, *, streamed: bool) -> None:
        """The client begins to get a response; `streamed`: piece by piece."""
        exchange.draft = None
        counters, complete = exchange.counters, exchange.complete_at
        if counters is None or complete is None:
            return
        if streamed and not exchange.streaming:
            exchange.streaming = True
            counters.streaming += 1
        if exchange.outcome.reason is not Reason.ERROR:
            counters.first_byte[exchange.outcome.target].add(monotonic() - complete)

    def exchange_ended(self, flow: http.HTTPFlow, exchange: Exchange, *, whole: bool) -> None:
        """Nothing more will become of a request; `whole`: the client has got its response to the end."""
        try:
            self._account(flow, exchange, whole=whole)
        except Exception as e:  # noqa: BLE001 (a response that cannot be counted must not keep its exchange open)
            local_replies.log_internal_error(exchange, e)
        if exchange.counters is not None:
            exchange.counters.in_flight -= 1
            exchange.counters.streaming -= exchange.streaming
        self._policy.bypass.loops.leave(exchange)
        exchange.end()

    def _account(self, flow: http.HTTPFlow, exchange: Exchange, *, whole: bool) -> None:
        if exchange.outcome.reason is Reason.OWN_PAGE:
            return  # a line for each health check would bury the others
        status = flow.response.status_code if flow.response is not None else None
        is_success = status is not None and status < 400
        outcome = exchange.outcome
        end = _end_of_response(flow, exchange)
        late = end.late_error() if end is not None and whole else None
        if late is not None:  # its client had got some of it already
            exchange.failure = Failure(Cause.LATE_ERROR, late)
            self._counters.errors[ErrorType.LATE_ERROR.value, outcome.target.value] += 1
        self._policy.exchange_ended(exchange, status if whole and late is None else None)
        self._notices.exchange_ended(
            exchange,
            served=whole and late is None and is_success,
            litellm_is_down=self._last_seen.is_down(Target.LITELLM, monotonic()),
        )
        if exchange.counters is not None:
            _count_end(exchange.counters, exchange, status, whole=whole)
        if end is not None and _stores_response(exchange):
            self._policy.bypass.remember_responses(exchange, end.response_ids())
        if end is not None and status is not None and status >= 400:
            exchange.words = end.words(status)
        model = exchange.model_name if is_success else None
        if end is not None and model is not None:
            exchange.usage = end.usage()
            if outcome.target is Target.UPSTREAM and (said := end.rate_limits()) is not None:
                # Of a stream that was not held, or only later.
                self._policy.state.gauge.note_event(model, said, time())
        times = timing(flow) if flow.response is not None else None
        record = _record(flow, exchange, times, status if whole else None)
        self._last_requests.append(record)
        if end is not None and model is not None:
            self._charge(flow, exchange, record, model)
        if whole and times is not None:
            _log_answered(flow, exchange, times, end, late)

    def _charge(self, flow: http.HTTPFlow, exchange: Exchange, record: RequestRecord, model: str) -> None:
        """Count what a response took and cost: by LiteLLM's own header, else by its prices."""

        def tell(cost: float) -> None:
            exchange.cost_usd = record.cost_usd = rounded(cost)
            if exchange.ended:
                self._priced(flow)

        outcome, usage, attempt = exchange.outcome, exchange.usage, exchange.attempts[-1]
        label = self._counters.label(model)
        key = self._spend.key(time(), str(outcome.target), label, str(outcome.reason))
        self._spend.answered(key)
        if usage is not None:
            self._spend.add(
                key,
                input_tokens=usage.input,
                output_tokens=usage.output,
                cached_tokens=usage.cached,
            )
        if outcome.target is not Target.LITELLM:
            return
        if attempt.cost_usd is None and usage is not None:
            self._prices.charge(key, usage, outcome.litellm_model or model, attempt.deployment, tell)
            return
        self._spend.add_cost(key, attempt.cost_usd)
        if attempt.cost_usd is not None:
            tell(attempt.cost_usd)


def _stores_response(exchange: Exchange) -> bool:
    """Whether LiteLLM may keep the response, so that another request can be about it."""
    request = exchange.request
    by_litellm = exchange.outcome.target is Target.LITELLM and request.method == "POST"
    return by_litellm and identify_api(request.sent.path) is Api.RESPONSES


def _cost(header: str) -> float | None:
    try:
        cost = float(header)
    except ValueError:
        return None
    return cost if cost > 0 and math.isfinite(cost) else None  # at the head of a stream it is not known


def _count_end(counters: RequestCounters, exchange: Exchange, status: int | None, *, whole: bool) -> None:
    outcome, complete = exchange.outcome, exchange.complete_at
    # Of a response that is not passed on piece by piece the client has got nothing before its end.
    reached = status if whole or exchange.streaming else None
    counters.request_ended(outcome.target, outcome.reason, exchange.model_name, reached)
    if whole and complete is not None and outcome.reason is not Reason.ERROR:
        counters.duration[outcome.target].add(monotonic() - complete)


def _end_of_response(flow: http.HTTPFlow, exchange: Exchange) -> ResponseTap | None:
    """Return what is known of a server's response; None: it was made here, or there is none."""
    if flow.response is None or not exchange.is_from_server:
        return None
    if exchange.tap is not None and not exchange.tap.is_empty:
        return exchange.tap
    tap = ResponseTap(flow.response.headers.get("content-encoding", ""))
    tap(flow.response.raw_content or b"")
    return tap


def _record(
    flow: http.HTTPFlow, exchange: Exchange, times: Timing | None, status: int | None
) -> RequestRecord:
    request, outcome, failure, usage = exchange.request, exchange.outcome, exchange.failure, exchange.usage
    return RequestRecord(
        at=flow.request.timestamp_end or flow.request.timestamp_start,
        request_id=exchange.id,
        method=request.method,
        path=request.sent.path[:LONGEST],
        model=(exchange.model_name or "")[:LONGEST],
        litellm_model=(exchange.served_as or "")[:LONGEST],
        target=str(outcome.target),
        reason=str(outcome.reason),
        detail=outcome.detail,
        status=status,
        first_byte_ms=times["first_byte_ms"] if times else None,
        duration_ms=times["duration_ms"] if times else None,
        input_tokens=usage.input if usage else None,
        output_tokens=usage.output if usage else None,
        error=f"{failure.error_type}: {failure.detail}" if failure else "",
    )


def _log_answered(
    flow: http.HTTPFlow, exchange: Exchange, times: Timing, end: ResponseTap | None, late: str | None
) -> None:
    """The one line for each request that was answered to the end, by a server or here.

    `late`: the words of an error event that its stream has ended with.
    """
    assert flow.response is not None
    status, outcome, reason = flow.response.status_code, exchange.outcome, str(exchange.outcome.reason)
    method, path = exchange.request.method, exchange.request.sent.path
    message = f"{outcome.target} {status} {method} {path}"
    by_litellm = outcome.target is Target.LITELLM
    words = exchange.words if end is not None and status >= 400 else None
    if not by_litellm and status == 401 and words in _UNKNOWN_KEY:
        message += ": CLIProxyAPI does not know the client's key, see `api-keys` in its config.yaml"
    is_fine = words is None or is_ordinary(method, reason, status)
    level = logging.INFO if is_fine else logging.WARNING
    if late is not None:
        level, message = logging.ERROR, f"{message}: the stream ended with an error"
    usage = exchange.usage
    exchange.log(
        level,
        message,
        event="answered" if late is None else "error",
        error_type=None if late is None else ErrorType.LATE_ERROR.value,
        error=late,
        status=status,
        reason=reason,
        litellm_model=exchange.served_as,
        server=f"{flow.request.host}:{flow.request.port}" if words is not None else None,
        upstream_message=None if by_litellm else words or None,
        litellm_message=words or None if by_litellm else None,
        input_tokens=usage.input if usage else None,
        output_tokens=usage.output if usage else None,
        cached_tokens=usage.cached if usage else None,
        cost_usd=exchange.cost_usd,
        duration_ms=times["duration_ms"],
        first_byte_ms=times["first_byte_ms"],
        bytes=times["bytes"],
        upstream_ms=exchange.time_at(Target.UPSTREAM),
        litellm_ms=exchange.time_at(Target.LITELLM),
    )


def _log_failure(exchange: Exchange, failure: Failure) -> None:
    who = "litellm" if exchange.outcome.target is Target.LITELLM else "upstream"
    where = f"{exchange.method} {exchange.path}"
    if failure.error_type is ErrorType.CLIENT_DISCONNECT:
        level, message = logging.WARNING, f"{who}: client disconnected during {where}"
    else:
        level, message = logging.ERROR, f"{who} proxy error for {where}: {failure.detail}"
    exchange.log(
        level,
        message,
        event="error" if level == logging.ERROR else "client-disconnected",
        error_type=failure.error_type.value,
        error=failure.detail,
    )
