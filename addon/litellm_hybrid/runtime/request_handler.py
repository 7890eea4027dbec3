"""Acts on a decision: makes a request fit for the server that it goes to, or answers it here."""

import logging
from collections.abc import Callable

from mitmproxy import http

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.fallback.controller import Fallbacks
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow import local_replies as answers
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.observability.logging import logger as log
from litellm_hybrid.observability.request_counters import RequestCounters
from litellm_hybrid.routing import rewrite
from litellm_hybrid.routing import router as decision
from litellm_hybrid.routing.router import Request, Routed
from litellm_hybrid.routing.rules import Reason, Target


class Dispatch:
    """Sends requests on their way."""

    def __init__(
        self, settings: Callable[[], Settings], fallbacks: Fallbacks, traffic: RequestCounters
    ) -> None:
        """Make one for the life of the process.

        Args:
            settings: gives those in force.
            fallbacks: knows what goes straight to LiteLLM.
            traffic: knows how many requests are running.
        """
        self._settings = settings
        self._fallbacks = fallbacks
        self._traffic = traffic

    def request(self, flow: http.HTTPFlow, record: Record) -> None:
        """Decide where a request goes, and change it or answer it accordingly."""
        _identify(flow.request, record)
        settings = self._settings()
        exchange.locate(flow, record, settings.trusted_proxies)
        request = exchange.request(flow, record)
        routed = decision.route(settings, request)
        _record(record, routed)
        if routed.reason is Reason.STATEFUL:
            self._fallbacks.stateful(flow, record)
        if 0 < settings.max_in_flight < len(self._traffic.in_flight):
            flow.response = answers.too_busy(record, settings.max_in_flight)
            return
        if routed.refusal is not None:
            flow.response = answers.refused(record, routed.refusal)
        elif routed.route.target is Target.LITELLM:
            self._send_to_litellm(flow, record, request, routed)
        elif (instead := self._fallbacks.straight.request(flow, record)) is not None:
            flow.request = instead
        elif routed.downgrade:
            flow.response = answers.upgrade_refused(record)
        elif settings.strip_provider_prefix:
            flow.request.path = rewrite.target_for_upstream(settings, flow.request.path)

    def _send_to_litellm(self, flow: http.HTTPFlow, record: Record, request: Request, routed: Routed) -> None:
        name = routed.route.litellm_model
        assert routed.named is not None
        assert name is not None
        self._fallbacks.straight.to_litellm(flow, routed=True)
        outgoing = rewrite.for_litellm(
            self._settings(), request.sent, routed.named, name, record["request_id"]
        )
        exchange.send_to(flow.request, outgoing)
        log.emit(
            logging.INFO,
            f"litellm routing: {routed.route.model} → LiteLLM",
            event="routed",
            reason=routed.reason.value,
            litellm_model=name,
            **exchange.fields(record),
        )


def _identify(request: http.Request, record: Record) -> None:
    """Let the servers see the id that was chosen for the request."""
    if request.headers.get("x-request-id", record["request_id"]) != record["request_id"]:
        log.emit(
            logging.WARNING,
            "litellm: the client's X-Request-ID was replaced: it is not 1 to 128 visible ASCII characters",
            event="request-id-replaced",
            **exchange.fields(record),
        )
    request.headers["X-Request-ID"] = record["request_id"]


def _record(record: Record, routed: Routed) -> None:
    record["target"] = routed.route.target.value
    record["reason"] = routed.reason.value
    record["model"] = routed.route.model
    record["sends"] = routed.route.litellm_model
    record["may_fall_back"] = routed.route.may_fall_back
