"""The requests that replace a failed one: for LiteLLM, or for the same server with a reduced history.

Whatever the reason, a request for LiteLLM passes the same access check and the
same rewriting as a routed one.
"""

import logging
from time import monotonic
from typing import get_args

from mitmproxy import http

from litellm_hybrid.config.store import SettingsStore
from litellm_hybrid.fallback.state import FallbackState
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.request import to_litellm
from litellm_hybrid.llm.history import reduce as history
from litellm_hybrid.llm.history.reduce import Reduced, travels
from litellm_hybrid.llm.history.rejections import HistoryRejection
from litellm_hybrid.observability.logging import logger as log
from litellm_hybrid.routing import access, rewrite
from litellm_hybrid.routing.apis import identify
from litellm_hybrid.routing.rules import Reason, Target


class Replays:
    """Makes replacement requests, within what the configuration and LiteLLM allow."""

    def __init__(self, settings: SettingsStore, state: FallbackState) -> None:
        self._settings = settings
        self._state = state

    def build_fallback_request(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Request | None:
        """Return the client's request for LiteLLM; None, and why in the outcome, if it must not be sent."""
        settings, now = self._settings.current, monotonic()
        name = exchange.outcome.litellm_model
        assert name is not None
        assert exchange.model is not None
        refusal = access.check(settings, exchange.client)
        if refusal is not None:
            message = f"litellm: no fallback, access refused: {refusal.message}"
            log.emit(logging.WARNING, message, event="fallback-refused", **exchange.log_fields())
            mark_refused(exchange, "not-allowed")
            return None
        if self._state.unknown_models.has(name, now):
            mark_refused(exchange, "unknown-model")
            return None
        if self._state.litellm_cooldowns.has(name, now):
            mark_refused(exchange, "litellm-cooldown")
            return None
        if not self._spend(settings.fallback.max_per_hour, exchange, now):
            mark_refused(exchange, "budget")
            return None
        outgoing = rewrite.for_litellm(settings, exchange.forwarded, exchange.model, name, exchange.id)
        request = flow.request.copy()
        to_litellm(request, outgoing)
        api = identify(exchange.path)
        if api is not None and not travels(settings.fallback.history, api, name):
            reduced = history.reduce(outgoing.body, api)
            if reduced.body is not outgoing.body:
                _put_body(request, exchange, reduced)
        return request

    def build_reduced_retry(self, exchange: Exchange, rejection: str) -> http.Request | None:
        """Return the last request for the same server with a reduced history; None: that changes nothing."""
        sent = exchange.attempts[-1].request if exchange.attempts else None
        api = identify(exchange.path)
        if sent is None or api is None or exchange.outcome.reduced:
            return None
        as_sent = sent.raw_content is exchange.request.sent.body
        body = exchange.content if as_sent else sent.raw_content or b""
        reduced = history.reduce(body, api, rejection=_rejection(rejection))
        if reduced.body is body:
            return None
        request = sent.copy()
        _put_body(request, exchange, reduced)
        return request

    def _spend(self, most: int, exchange: Exchange, now: float) -> bool:
        budget = self._state.budget
        if budget.spend(most, now):
            return True
        if budget.should_log_exhausted(now):
            message = f"litellm: no fallback, all {most} of this hour are spent"
            log.emit(logging.ERROR, message, event="fallback-refused", **exchange.log_fields())
        return False


def mark_refused(exchange: Exchange, why: str) -> None:
    """Write down that upstream's response stands, and why."""
    exchange.set_outcome(Target.UPSTREAM, Reason.FALLBACK_FAILED, fallback_failed=why)


def _put_body(request: http.Request, exchange: Exchange, reduced: Reduced) -> None:
    request.data.content = reduced.body
    request.data.headers = http.Headers(rewrite.with_body(request.headers.fields, reduced.body))
    exchange.outcome.reduced = True
    dropped = ", ".join(f"{what} ({count})" for what, count in reduced.dropped)
    off = f"; switched off for this turn: {', '.join(reduced.switched_off)}" if reduced.switched_off else ""
    log.emit(
        logging.INFO,
        f"litellm: history reduced for {exchange.model_name}: {dropped or 'nothing dropped'}{off}",
        event="history-reduced",
        **exchange.log_fields(),
    )


def _rejection(reason: str) -> HistoryRejection | None:
    known: tuple[HistoryRejection, ...] = get_args(HistoryRejection.__value__)
    return next((rejection for rejection in known if rejection == reason), None)
