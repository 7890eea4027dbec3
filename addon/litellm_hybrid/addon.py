"""The mitmproxy hooks, thin: every decision is a call into another package.

One request's way: `request` lets runtime/request_handler.py read the model's name, decide, check access and
rewrite; the proxy sends it; `responseheaders` puts the route on the response; runtime/observer.py logs and
counts its end.
"""

from collections.abc import Callable, Coroutine
from datetime import date
from functools import partial
from pathlib import Path
from time import monotonic, time

from mitmproxy import connection, ctx, http

from litellm_hybrid.config.settings import Settings, SettingsStore
from litellm_hybrid.errors import ErrorType
from litellm_hybrid.fallback.policy import Policy
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.fallback.shared_state import share
from litellm_hybrid.fallback.state import FallbackState
from litellm_hybrid.flow import local_replies
from litellm_hybrid.flow.exchange import Exchange, add_response_headers
from litellm_hybrid.mitmweb.annotations import Annotations, Commands
from litellm_hybrid.mitmweb.flow_list import Display
from litellm_hybrid.mitmweb.flow_redaction import FlowRedactor
from litellm_hybrid.observability import admin_endpoints
from litellm_hybrid.observability.history import Records
from litellm_hybrid.observability.log import AppLog
from litellm_hybrid.proxy.connection import NextLayer, build_layer, configure_connection
from litellm_hybrid.proxy.interfaces import HybridProxy
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rules import Target
from litellm_hybrid.runtime.admin import AdminPages
from litellm_hybrid.runtime.lifecycle import GracefulShutdown, Lifecycle
from litellm_hybrid.runtime.model_lists import ModelLists
from litellm_hybrid.runtime.notices import Notices
from litellm_hybrid.runtime.observer import Observer
from litellm_hybrid.runtime.prices import Prices
from litellm_hybrid.runtime.request_handler import RequestHandler


class HybridAddon:
    """What mitmproxy calls for a request. One for each process; `addons` are its parts, called after it."""

    name = "litellm_hybrid"

    def __init__(
        self, worker_dir: Path | None = None, app_log: AppLog | None = None, *, alone: bool = False
    ) -> None:
        """Make one.

        `worker_dir`: where a worker shares its numbers with others, see metrics.py; `alone`: no other addon
        sees the flows.
        """
        app_log = app_log or AppLog()
        self._alone = alone
        self._settings = settings = SettingsStore()
        self._records = records = Records()
        self._fallbacks = FallbackState()
        self._shutdown = GracefulShutdown(settings)
        annotations = Annotations(settings)
        self._redactor = FlowRedactor(annotations.settled)
        self._policy = Policy(settings, self._fallbacks, annotations)
        if worker_dir is not None:
            self._policy.bypass.loops.share(worker_dir)
        self._worker_dir = worker_dir
        self._prices = Prices(settings, records.spend, self._fallbacks.costs)
        records.spend.replayed = self._count_replay
        self._fallbacks.cost_refusal = self._prices.refusal
        self._fallbacks.leads_to = self._prices.leads_to
        self._fallbacks.backends = self._prices.backends
        notices = Notices(settings, records.falling_back, self._prices.lacks)
        self._observer = Observer(self._policy, records, self._prices, notices, self._redactor.priced)
        self._proxy = HybridProxy[JudgedResponse](
            policy=self._policy, view=self._redactor, observer=self._observer
        )
        self._handler = RequestHandler(settings, self._policy, records.counters, self._proxy.waits)
        self._model_lists = ModelLists(settings, self._fallbacks, self._proxy.waits)
        self._admin = AdminPages(
            settings,
            records,
            self._fallbacks,
            is_draining=lambda: self._shutdown.is_draining,
            lost_lines=lambda: app_log.lost,
            worker_dir=worker_dir,
        )
        settings.subscribe(self._apply)
        self.lifecycle = Lifecycle(settings, app_log, self._admin, self._shutdown, self._proxy)
        self.display = Display(annotations, self._redactor)
        commands = Commands(settings, self._admin.status, self._fallbacks.cooldowns)
        self.addons = [self.lifecycle, self.display, commands, self._proxy.waits]

    def _apply(self, settings: Settings) -> None:
        """Forget what may be different with new settings."""
        self._fallbacks.unknown_models.clear()
        self._fallbacks.remedies.clear()
        self._fallbacks.reasons.clear()
        self._fallbacks.losing.clear()
        self._records.last_seen.forget()
        self._prices.forget()
        self._records.counters.list_models((*settings.models.entries, *settings.mapping_patterns.entries))

    def _count_replay(self, day: date, cost_usd: float) -> None:
        self._fallbacks.costs.add(day, cost_usd, monotonic())

    def running(self) -> None:
        """Have LiteLLM asked for what is needed from the first request on, and share what is remembered."""
        self._prices.running()
        if not self._settings.is_empty:
            share(self._fallbacks.shared, self._settings.current, self._worker_dir)

    async def met(self) -> None:
        """Wait, for a second at most, for what others remember."""
        await self._fallbacks.shared.met()

    def done(self) -> None:
        """Tell others what is left to be told."""
        self._fallbacks.shared.stop()

    # -- a connection -----------------------------------------------------

    def next_layer(self, next_layer: NextLayer) -> None:
        """Put our HTTP layer in the place of mitmproxy's."""
        build_layer(next_layer, self._proxy)

    def client_connected(self, client: connection.Client) -> None:
        """Put our limits in the place of mitmproxy's."""
        configure_connection(ctx.master.addons.get("proxyserver"), client, self._proxy)

    # -- a request --------------------------------------------------------

    def request(self, flow: http.HTTPFlow) -> None:
        """Decide where a complete request goes, and make it fit for there."""
        if not flow.live:
            return
        if flow.is_replay == "request":
            self._redactor.prepare_replay(flow)
            return
        if flow.response or flow.error:
            return
        exchange = Exchange.of(flow) or Exchange.begin(flow)
        exchange.decided = True
        try:
            if admin_endpoints.is_own(exchange.path):
                flow.response = self._admin.response(flow, exchange)
                return
            self._observer.count_request(exchange)
            if (waits := self._handler.handle(flow, exchange)) is not None:
                if isinstance(waits, Coroutine):
                    self._wait(waits, flow, exchange)
                else:
                    self._proxy.waits.read(flow, waits, partial(self._body_read, flow, exchange))
                return
        except Exception as e:  # noqa: BLE001 (whatever it was)
            self._fail(flow, exchange, e)
        self._send(flow, exchange)

    def _body_read(self, flow: http.HTTPFlow, exchange: Exchange, read: Callable[[], Named]) -> None:
        if flow.error:
            return  # its client has left, or it was killed
        try:
            if (reserving := self._handler.handle_read(flow, exchange, read())) is not None:
                self._wait(reserving, flow, exchange)
                return
        except Exception as e:  # noqa: BLE001 (whatever it was)
            self._fail(flow, exchange, e)
        self._send(flow, exchange)

    def _wait(self, reserving: Coroutine[None, None, None], flow: http.HTTPFlow, exchange: Exchange) -> None:
        """Have a request wait for what processes share."""
        self._proxy.waits.until(flow, self._wait_for(reserving, flow, exchange))

    async def _wait_for(
        self, reserving: Coroutine[None, None, None], flow: http.HTTPFlow, exchange: Exchange
    ) -> None:
        try:
            await reserving
        except Exception as e:  # noqa: BLE001 (whatever it was)
            self._fail(flow, exchange, e)
        if not exchange.ended:
            self._send(flow, exchange)

    def _send(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if flow.response is None:
            try:
                self._model_lists.prepare(flow, exchange)
            except Exception as e:  # noqa: BLE001 (whatever it was)
                self._fail(flow, exchange, e)
        if flow.response is None:
            exchange.begin_attempt(flow.request)
        else:
            exchange.complete_at = None
        if not self._alone:
            exchange.publish(flow)

    def _fail(self, flow: http.HTTPFlow, exchange: Exchange, error: Exception) -> None:
        """Answer a request where our own code fails: it goes to no server."""
        self._records.counters.errors[ErrorType.PROXY_ERROR.value, Target.NONE.value] += 1
        flow.response = local_replies.internal_error(exchange, error)

    # -- its response -----------------------------------------------------

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Put the route on a response, and pass it on piece by piece if it may be long."""
        exchange = Exchange.of(flow)
        if exchange is None or not exchange.decided or flow.response is None or not flow.live:
            return
        exchange.mask(flow.response, self._settings.current)
        streamed = not self._model_lists.take(exchange, flow.response) and exchange.stream(flow.response)
        if exchange.outcome.target is Target.LITELLM and 300 <= flow.response.status_code < 400:
            local_replies.hide_redirect(flow.response, exchange)
        add_response_headers(flow.response, exchange)
        self._observer.passed_on(exchange, streamed=streamed)
        if self._shutdown.is_draining and not flow.request.is_http2:
            flow.response.headers["connection"] = "close"

    def response(self, flow: http.HTTPFlow) -> None:
        """End a request that was answered; a list of models is not sent yet."""
        exchange = Exchange.of(flow)
        if exchange is not None and exchange.decided and flow.response is not None:
            self._model_lists.merge(exchange, flow.response)
            if exchange.body_mask is not None and (exchange.tap is None or exchange.tap.is_empty):
                exchange.body_mask.response(flow.response)
        self._end(flow, exchange, whole=True)

    def error(self, flow: http.HTTPFlow) -> None:
        """End one that was not answered, or not to the end."""
        self._end(flow, Exchange.of(flow), whole=False)

    def _end(self, flow: http.HTTPFlow, exchange: Exchange | None, *, whole: bool) -> None:
        if flow.is_replay == "request":
            self._redactor.finish_replay(flow)
        elif exchange is not None and not exchange.ended:
            if exchange.served and flow.response is not None:
                flow.error, flow.response.timestamp_end = None, time()
                whole = True
            if exchange.decided:
                self._observer.exchange_ended(flow, exchange, whole=whole)
            self._redactor.finish(flow)  # only now it is known what it cost
            if not self._alone:
                exchange.publish(flow)
