"""The mitmproxy hooks, thin: every decision is a call into another room.

One request's way: `request` has dispatch.py read the model's name, decide, check access and
rewrite; the engine sends it; `responseheaders` puts the route on the answer;
`failed` logs and words what went wrong.
"""

from pathlib import Path
from time import monotonic
from typing import override

from mitmproxy import connection, ctx, http
from mitmproxy.flow import Error

from litellm_hybrid.config.settings import Settings, Timeouts
from litellm_hybrid.errors import ErrorType, Failure
from litellm_hybrid.fallback.controller import Fallbacks
from litellm_hybrid.fallback.response_hold import JudgedResponse
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow import local_replies as answers
from litellm_hybrid.mitmweb.commands import Commands
from litellm_hybrid.observability import admin_endpoints as pages
from litellm_hybrid.observability.health import LastSeen
from litellm_hybrid.observability.logging.logger import AppLog
from litellm_hybrid.observability.request_counters import MALFORMED, RequestCounters
from litellm_hybrid.proxy import engine
from litellm_hybrid.routing.rules import Reason, Target
from litellm_hybrid.runtime.admin import AdminContext, AdminPages
from litellm_hybrid.runtime.lifecycle import Startup
from litellm_hybrid.runtime.request_handler import Dispatch


class HybridAddon(Startup):
    """What mitmproxy calls. One for each process."""

    name = "litellm_hybrid"

    def __init__(self, place: Path | None = None, app_log: AppLog | None = None) -> None:
        """Make one.

        Args:
            place: where a worker shares its numbers with others (see metrics/exporter.py).
            app_log: the process's log; None: nothing has written to it before.
        """
        super().__init__(app_log or AppLog())
        self._traffic = RequestCounters()
        self._last_seen = LastSeen()
        self._fallbacks = Fallbacks(self._settings, lambda: ctx.master.addons.get("view"))
        self._proxy = engine.HybridProxy[JudgedResponse](policy=self, view=self._redactor, observer=self)
        self.hold_limit_reached = self._fallbacks.released_at_limit
        self.on_failed_response = answers.or_none(self._fallbacks.fall_back)
        self.on_failure = answers.or_none(self._fallbacks.rescue)
        self._hold = answers.or_none(self._fallbacks.hold)
        self._dispatch = Dispatch(self._settings, self._fallbacks, self._traffic)
        self._own_pages = AdminPages(
            AdminContext(
                lambda: self._lifecycle,
                lambda: self._leaving is not None and self._leaving.begun,
                self._reloads,
                self._last_seen,
                self._traffic,
                self._fallbacks,
            ),
            place,
        )
        self.addons.append(Commands(self._settings, self._own_pages.status, self._fallbacks, self._redactor))

    @override
    def settings_changed(self, settings: Settings) -> None:
        super().settings_changed(settings)
        self._fallbacks.replays.unknown.clear()
        self._last_seen.forget()
        self._traffic.list_models((*settings.models.entries, *settings.mapping_patterns.entries))

    @override
    def running(self) -> None:
        super().running()
        self._own_pages.running()

    @override
    def done(self) -> None:
        super().done()
        self._own_pages.done()

    # -- a connection -----------------------------------------------------

    def next_layer(self, next_layer: engine.NextLayer) -> None:
        """Put our HTTP layer in the place of mitmproxy's."""
        engine.choose_layer(ctx.master.addons.get("nextlayer"), next_layer, self._proxy)

    def client_connected(self, client: connection.Client) -> None:
        """Put our limits in the place of mitmproxy's."""
        engine.prepare_connection(ctx.master.addons.get("proxyserver"), client, self.limits())

    # -- a request --------------------------------------------------------

    def request(self, flow: http.HTTPFlow) -> None:
        """Decide where a complete request goes, and make it fit for there."""
        if flow.live and flow.is_replay:
            self._redactor.prepare_replay(flow)
            return
        if not flow.live or flow.response or flow.error:
            return
        record = exchange.begin(flow)
        exchange.put(flow, record)
        try:
            if pages.is_own(record["path"]):
                flow.response = self._own_pages.answer(flow, record)
                return
            self._traffic.in_flight[flow.id] = monotonic()
            self._dispatch.request(flow, record)
            if flow.response is not None:
                self._traffic.in_flight[flow.id] = None
        except Exception as e:  # noqa: BLE001 (fail closed, whatever it was)
            self._traffic.errors[ErrorType.PROXY_ERROR.value, Target.NONE.value] += 1
            flow.response = answers.our_fault(record, e)  # its reason, error, is not timed

    # -- its answer -------------------------------------------------------

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Put the route on an answer, and pass it on piece by piece if it may be long."""
        record = exchange.get(flow)
        if record is None or flow.response is None or not flow.live:
            return
        exchange.mark(flow.response, record)
        flow.response.stream = streamed = exchange.may_stream(flow.response)
        self._traffic.response_begun(flow.id, record, monotonic(), streamed=streamed)
        if self._leaving is not None and self._leaving.begun and not flow.request.is_http2:
            flow.response.headers["connection"] = "close"

    def response(self, flow: http.HTTPFlow) -> None:
        """Log one line for a request that was answered."""
        if not self._is_ours(flow):
            return
        self._redactor.finish(flow)
        record = exchange.get(flow)
        if record is None or flow.response is None or flow.is_replay:
            return
        if record["reason"] == Reason.OWN_PAGE:
            return  # a line for each health check would bury the others
        status = flow.response.status_code
        self._fallbacks.ended(flow, status)
        self._traffic.completed(flow.id, record, status, monotonic())
        answers.answered(flow, record)

    def error(self, flow: http.HTTPFlow) -> None:
        """End one that was not answered, or not to the end."""
        if not self._is_ours(flow):
            return
        self._redactor.finish(flow)
        if (record := exchange.get(flow)) is not None:
            self._traffic.aborted(flow.id, record, flow.response.status_code if flow.response else None)
        self._fallbacks.ended(flow, None)

    def _is_ours(self, flow: http.HTTPFlow) -> bool:
        """Whether a flow has come in here; mitmproxy has hooks called for those of a file as well.

        They are not live, but one that was killed is not either.
        """
        killed = flow.error is not None and flow.error.msg == Error.KILLED_MESSAGE and flow.response is None
        return flow.live or flow.id in self._traffic.in_flight or killed

    # -- what the engine asks ---------------------------------------------

    def limits(self) -> Timeouts:
        """The limits for a request that starts now."""
        return self._lifecycle.settings.timeouts if self._lifecycle else Timeouts()

    def first_byte_limit(self, flow: http.HTTPFlow) -> float | None:  # noqa: ARG002
        """No other than the configured one."""
        return None

    def on_response(self, flow: http.HTTPFlow, response: http.Response) -> JudgedResponse | None:
        """What to hold an answer in that has just begun."""
        if (record := exchange.get(flow)) is not None:
            self._last_seen.answered(record["target"])
        return self._hold(flow, response)

    def replay_failed(self, flow: http.HTTPFlow, why: str, held: JudgedResponse | None) -> None:
        """A replay failed: the client gets the first answer."""
        if (record := exchange.get(flow)) is not None:
            self._last_seen.replay_failed(record["target"], why, monotonic())
        self._fallbacks.fall_back_failed(flow, why, held)

    def may_forward(self, flow: http.HTTPFlow) -> bool:
        """Whether `request` has run for this flow."""
        record = exchange.get(flow)
        return record is not None and record["target"] != Target.NONE.value

    def malformed(self, client: str, why: str) -> None:
        """Log a refused request that is not HTTP."""
        self._traffic.errors[MALFORMED, Target.NONE.value] += 1
        answers.malformed(client, why)

    def failed(self, flow: http.HTTPFlow, failure: Failure, *, response_begun: bool) -> None:
        """Log a failure."""
        record = exchange.get(flow) or exchange.begin(flow)
        self._last_seen.failed(record["target"], failure.cause, monotonic())
        self._traffic.errors[failure.error_type.value, record["target"]] += 1
        self._redactor.note_failure(flow, failure)
        answers.failed(record, failure, response_begun=response_begun)

    def error_response(self, flow: http.HTTPFlow, failure: Failure) -> http.Response:
        """What the client gets where no server has answered."""
        return answers.error_response(exchange.get(flow) or exchange.begin(flow), failure)
