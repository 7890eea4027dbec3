"""The mitmproxy hooks, thin: every decision is a call into another room.

One request's way: `request` reads the model's name, decides, checks access and
rewrites; the engine sends it; `responseheaders` puts the route on the answer;
`failed` logs and words what went wrong.
"""

import logging
from time import monotonic
from typing import override

from mitmproxy import connection, ctx, http

from litellm_hybrid import answers, decision, engine, exchange, log, rewrite, status
from litellm_hybrid.decision import Request, Routed
from litellm_hybrid.errors import Failure
from litellm_hybrid.exchange import Record
from litellm_hybrid.fallback import Fallbacks
from litellm_hybrid.hold import Held
from litellm_hybrid.routing import Reason, Target
from litellm_hybrid.settings import Settings, Timeouts
from litellm_hybrid.startup import Startup


class HybridAddon(Startup):
    """What mitmproxy calls. One for each process."""

    name = "litellm_hybrid"

    def __init__(self) -> None:
        super().__init__()
        self._in_flight: set[str] = set()
        self.sent = self._showing.sent
        self._last_seen = status.LastSeen()
        self._fallbacks = Fallbacks(self._settings, lambda: ctx.master.addons.get("view"))
        # The engine asks about fallbacks there.
        self.released_at_limit = self._fallbacks.released_at_limit
        self.fall_back = answers.or_none(self._fallbacks.fall_back)
        self.rescue = answers.or_none(self._fallbacks.rescue)
        self._hold = answers.or_none(self._fallbacks.hold)

    @override
    def settings_changed(self, settings: Settings) -> None:
        super().settings_changed(settings)
        self._fallbacks.replays.unknown.clear()
        self._last_seen.forget()

    # -- a connection -----------------------------------------------------

    def next_layer(self, next_layer: engine.NextLayer) -> None:
        """Put our HTTP layer in the place of mitmproxy's."""
        engine.choose_layer(ctx.master.addons.get("nextlayer"), next_layer, self)

    def client_connected(self, client: connection.Client) -> None:
        """Put our limits in the place of mitmproxy's."""
        engine.prepare_connection(ctx.master.addons.get("proxyserver"), client, self.limits())

    # -- a request --------------------------------------------------------

    def request(self, flow: http.HTTPFlow) -> None:
        """Decide where a complete request goes, and make it fit for there."""
        if flow.is_replay:
            self._showing.unmask(flow)
            return
        if flow.response or flow.error or not flow.live:
            return
        record = exchange.begin(flow)
        exchange.put(flow, record)
        self._in_flight.add(flow.id)
        try:
            if status.is_own(record["path"]):
                self._own_page(flow, record)
            else:
                self._decide(flow, record)
        except Exception as e:  # noqa: BLE001 (fail closed, whatever it was)
            flow.response = answers.our_fault(record, e)

    def _own_page(self, flow: http.HTTPFlow, record: Record) -> None:
        current = self._lifecycle
        settings = current.settings if current else None
        exchange.locate(flow, record, settings.trusted_proxies if settings else ())
        now = monotonic()
        state = status.State(
            settings,
            broken=current is not None and current.broken,
            leaving=self._leaving is not None and self._leaving.begun,
            down=frozenset(target for target in Target if self._last_seen.is_down(target, now)),
        )
        request = exchange.request(flow, record)
        page = status.answer(record["method"], record["path"], request.client, state)
        flow.response = answers.own_page(record, page)

    def _decide(self, flow: http.HTTPFlow, record: Record) -> None:
        _identify(flow.request, record)
        settings = self._settings()
        exchange.locate(flow, record, settings.trusted_proxies)
        request = exchange.request(flow, record)
        routed = decision.route(settings, request)
        _record(record, routed)
        if routed.reason is Reason.STATEFUL:
            self._fallbacks.stateful(flow, record)
        if 0 < settings.max_in_flight < len(self._in_flight):
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
        name = routed.route.sends
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
            request_id=record["request_id"],
            reason=routed.reason.value,
            sends=name,
        )

    # -- its answer -------------------------------------------------------

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Put the route on an answer, and pass it on piece by piece if it may be long."""
        record = exchange.get(flow)
        if record is None or flow.response is None:
            return
        exchange.mark(flow.response, record)
        flow.response.stream = exchange.may_stream(flow.response)
        if self._leaving is not None and self._leaving.begun and not flow.request.is_http2:
            flow.response.headers["connection"] = "close"

    def response(self, flow: http.HTTPFlow) -> None:
        """Log one line for a request that was answered."""
        self._showing.mask(flow)
        self._in_flight.discard(flow.id)
        record = exchange.get(flow)
        if record is None or flow.response is None or flow.is_replay:
            return
        if record["reason"] == Reason.OWN_PAGE:
            return  # a line for each health check would bury the others
        self._fallbacks.straight.ended(flow, flow.response.status_code)
        log.emit(
            logging.INFO,
            f"{record['target']} {flow.response.status_code} {record['method']} {record['path']}",
            reason=record["reason"],
            model=record["model"],
            request_id=record["request_id"],
        )

    def error(self, flow: http.HTTPFlow) -> None:
        """End one that was not answered, or not to the end."""
        self._showing.mask(flow)
        self._in_flight.discard(flow.id)
        self._fallbacks.straight.ended(flow, None)

    # -- what the engine asks ---------------------------------------------

    def limits(self) -> Timeouts:
        """The limits for a request that starts now."""
        return self._lifecycle.settings.timeouts if self._lifecycle else Timeouts()

    def hold(self, flow: http.HTTPFlow, response: http.Response) -> Held | None:
        """What to hold an answer in that has just begun."""
        if (record := exchange.get(flow)) is not None:
            self._last_seen.answered(record["target"])
        return self._hold(flow, response)

    def fall_back_failed(self, flow: http.HTTPFlow, why: str, held: Held | None) -> None:
        """A replay failed: the client gets the first answer."""
        if (record := exchange.get(flow)) is not None:
            self._last_seen.replay_failed(record["target"], why, monotonic())
        self._fallbacks.fall_back_failed(flow, why, held)

    def is_decided(self, flow: http.HTTPFlow) -> bool:
        """Whether `request` has run for this flow."""
        record = exchange.get(flow)
        return record is not None and record["target"] != Target.NONE.value

    def malformed(self, client: str, why: str) -> None:
        """Log a refused request that is not HTTP."""
        answers.malformed(client, why)

    def failed(self, flow: http.HTTPFlow, failure: Failure, *, answered: bool) -> http.Response:
        """Log a failure and word the answer to it."""
        record = exchange.get(flow) or exchange.begin(flow)
        self._last_seen.failed(record["target"], failure.cause, monotonic())
        return answers.failed(record, failure, answered=answered)


def _identify(request: http.Request, record: Record) -> None:
    """Let the servers see the id that was chosen for the request."""
    if request.headers.get("x-request-id", record["request_id"]) != record["request_id"]:
        log.emit(
            logging.WARNING,
            "litellm: the client's X-Request-ID was replaced: it is not 1 to 128 visible ASCII characters",
            request_id=record["request_id"],
            client_ip=record["client_ip"],
        )
    request.headers["X-Request-ID"] = record["request_id"]


def _record(record: Record, routed: Routed) -> None:
    record["target"] = routed.route.target.value
    record["reason"] = routed.reason.value
    record["model"] = routed.route.model
    record["sends"] = routed.route.sends
    record["may_fall_back"] = routed.route.may_fall_back
