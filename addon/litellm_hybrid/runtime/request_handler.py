"""Acts on a decision: makes a request fit for the server that it goes to, or answers it here."""

import logging

from mitmproxy import http

from litellm_hybrid.config.settings import Settings
from litellm_hybrid.config.store import SettingsStore
from litellm_hybrid.fallback.policy import Policy
from litellm_hybrid.flow import local_replies
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.flow.request import to_litellm
from litellm_hybrid.observability.logging import logger as log
from litellm_hybrid.observability.request_counters import RequestCounters
from litellm_hybrid.routing import rewrite, rules
from litellm_hybrid.routing.rules import Reason, Routed, Target


class RequestHandler:
    """Sends requests on their way."""

    def __init__(self, settings: SettingsStore, policy: Policy, counters: RequestCounters) -> None:
        """Make one for the life of the process.

        Args:
            settings: those in force.
            policy: knows what passes upstream by.
            counters: know how many requests are running.
        """
        self._settings = settings
        self._policy = policy
        self._counters = counters

    def handle(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        """Decide where a request goes, and change it or answer it accordingly."""
        settings = self._settings.current
        given = flow.request.headers.get("x-request-id", exchange.id)
        exchange.receive(flow, settings.trusted_proxies)
        if given != exchange.id:
            _log_replaced_id(exchange)
        routed = rules.route(settings, exchange.request)
        exchange.decide(routed)
        if routed.reason is Reason.STATEFUL:
            self._policy.log_stateful(exchange)
        if 0 < settings.max_in_flight < self._counters.in_flight:
            flow.response = local_replies.too_busy(exchange, settings.max_in_flight)
            return
        if routed.refusal is not None:
            flow.response = local_replies.refused(exchange, routed.refusal)
        elif routed.route.target is Target.LITELLM:
            self._send_to_litellm(settings, flow, exchange, routed)
        elif (replacement := self._policy.bypass.replacement(flow, exchange)) is not None:
            flow.request = replacement
        elif routed.downgrade:
            flow.response = local_replies.upgrade_refused(exchange)
        else:
            self._policy.bypass.adapt_history(flow, exchange)
            if settings.strip_provider_prefix:
                flow.request.path = rewrite.target_for_upstream(settings, flow.request.path)

    def _send_to_litellm(
        self, settings: Settings, flow: http.HTTPFlow, exchange: Exchange, routed: Routed
    ) -> None:
        name = routed.route.litellm_model
        assert routed.named is not None
        assert name is not None
        self._policy.bypass.remember_conversation(exchange, routed=True)
        outgoing = rewrite.for_litellm(settings, exchange.forwarded, routed.named, name, exchange.id)
        to_litellm(flow.request, outgoing)
        log.emit(
            logging.INFO,
            f"litellm routing: {exchange.model_name} → LiteLLM",
            event="routed",
            reason=routed.reason.value,
            litellm_model=name,
            **exchange.log_fields(),
        )


def _log_replaced_id(exchange: Exchange) -> None:
    log.emit(
        logging.WARNING,
        "litellm: the client's X-Request-ID was replaced: it is not 1 to 128 visible ASCII characters",
        event="request-id-replaced",
        **exchange.log_fields(),
    )
