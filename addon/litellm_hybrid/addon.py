"""The mitmproxy hooks, thin: every decision is a call into another room.

One request's way: `request` reads the model's name, decides, checks access and
rewrites; the engine sends it; `responseheaders` puts the route on the answer;
`failed` logs and words what went wrong.
"""

import asyncio
import logging
from pathlib import Path

from mitmproxy import connection, ctx, exceptions, http
from mitmproxy.addonmanager import Loader

from litellm_hybrid import (
    access,
    engine,
    errors,
    exchange,
    log,
    model_name,
    paths,
    request_id,
    rewrite,
    routing,
)
from litellm_hybrid.config import ConfigError
from litellm_hybrid.errors import ErrorType, Failure
from litellm_hybrid.exchange import Decision
from litellm_hybrid.fallback import Fallbacks
from litellm_hybrid.lifecycle import Lifecycle
from litellm_hybrid.routing import Reason, Route, Target
from litellm_hybrid.settings import Settings, Timeouts

_WEBSOCKET_REFUSED = errors.body(
    "websocket_not_supported", "This proxy routes by request: use HTTP instead of a websocket"
)
_OUR_FAULT = errors.body("litellm_hybrid_error", "The proxy failed on this request; its log says why")


class HybridAddon:
    """What mitmproxy calls. One for each process."""

    name = "litellm_hybrid"

    def __init__(self) -> None:
        self._lifecycle: Lifecycle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._running = False
        self._fallbacks = Fallbacks(self._settings, lambda: ctx.master.addons.get("view"))
        # The engine asks about fallbacks there.
        self.hold = self._fallbacks.hold
        self.released_at_limit = self._fallbacks.released_at_limit
        self.fall_back = self._fallbacks.fall_back
        self.rescue = self._fallbacks.rescue
        self.fall_back_failed = self._fallbacks.fall_back_failed

    def _settings(self) -> Settings:
        """Those in force. No property: mitmproxy reads every attribute of an addon before there are any."""
        if self._lifecycle is None:
            raise RuntimeError("there is no valid configuration")
        return self._lifecycle.settings

    # -- start, reload, end -----------------------------------------------

    def load(self, loader: Loader) -> None:
        """Declare our option, and set those of mitmproxy that everything here depends on."""
        loader.add_option(
            "litellm_config",
            str,
            "",
            "litellm-hybrid's configuration, a YAML file. Unset: config.yaml in the current folder.",
        )
        log.install(ctx.master.addons.get("termlog"))
        # Lazy: with eager connections, upstream being down would break requests to LiteLLM too.
        ctx.options.update(connection_strategy="lazy")
        if "flow_detail" in ctx.options:
            # mitmdump's own lines show the query, and credentials in it.
            ctx.options.update(flow_detail=0)

    def configure(self, updated: set[str]) -> None:
        """Read the configuration anew where an option that concerns it has changed."""
        if "connection_strategy" in updated and ctx.options.connection_strategy != "lazy":
            raise exceptions.OptionsError("litellm-hybrid needs connection_strategy=lazy")
        if not updated & {"litellm_config", "mode", "listen_host", "listen_port"}:
            return
        try:
            self._start()
        except (ConfigError, ValueError, engine.EngineError) as e:
            if self._running:
                raise exceptions.OptionsError(str(e)) from e
            # At start mitmproxy would add a traceback; an ERROR is enough for it to end with rc 1.
            self._lifecycle = None
            for line in str(e).splitlines():
                log.emit(logging.ERROR, f"litellm config: {line}")

    def running(self) -> None:
        """Begin to watch the file."""
        self._running = True
        if self._lifecycle is not None:
            self._watching = asyncio.get_running_loop().create_task(self._lifecycle.watch(self._changed))

    def done(self) -> None:
        """Stop watching it."""
        if self._watching is not None:
            self._watching.cancel()
        log.uninstall()

    def _start(self) -> None:
        engine.check()
        listeners = engine.listeners(ctx.options.mode, ctx.options.listen_host, ctx.options.listen_port)
        self._lifecycle = Lifecycle(_config_path(ctx.options.litellm_config), listeners)
        self._changed(self._lifecycle.settings)
        if self._watching is not None:
            self._watching.cancel()
            self.running()

    def _changed(self, settings: Settings) -> None:
        log.use_format(settings.log_format)
        self._fallbacks.unknown.clear()
        limits = settings.timeouts
        longest = int(max(limits.first_byte, limits.idle, limits.connect)) + 60
        if ctx.options.tcp_timeout < longest:
            # mitmproxy's own limit would end a request before ours do, as if the client had left.
            ctx.options.update(tcp_timeout=longest)

    # -- a connection -----------------------------------------------------

    def next_layer(self, next_layer: engine.NextLayer) -> None:
        """Put our HTTP layer in the place of mitmproxy's."""
        engine.choose_layer(ctx.master.addons.get("nextlayer"), next_layer, self)

    def client_connected(self, client: connection.Client) -> None:
        """Lift mitmproxy's limit on parallel requests."""
        engine.lift_connection_limit(ctx.master.addons.get("proxyserver"), client)

    # -- a request --------------------------------------------------------

    def request(self, flow: http.HTTPFlow) -> None:
        """Decide where a complete request goes, and make it fit for there."""
        if flow.response or flow.error or not flow.live or flow.is_replay:
            return
        decision = exchange.begin(flow, request_id.generate())
        try:
            self._decide(flow, decision)
        except Exception as e:  # noqa: BLE001 (fail closed, whatever it was)
            _blame_ourselves(flow, decision, e)
        exchange.put(flow, decision)

    def _decide(self, flow: http.HTTPFlow, decision: Decision) -> None:
        settings = self._settings()
        _identify(flow.request, decision)
        sent = exchange.incoming(flow.request)
        websocket = flow.request.headers.get("upgrade", "").lower() == "websocket"
        own_via = rewrite.VIA.decode() in sent.header(b"via")
        named = None
        route = routing.by_head(
            settings, flow.request.method, sent.path, websocket=websocket, own_via=own_via
        )
        if route is None:
            content_type, coding = sent.header(b"content-type"), sent.header(b"content-encoding")
            named = model_name.read(sent.path, content_type, coding, sent.body)
            route = routing.decide(settings, sent.path, named)
        _record(decision, route)
        if route.target is Target.UPSTREAM:
            request = self._fallbacks.cooling_down(flow, decision)
            if request is not None:
                flow.request = request
            elif route.reason is Reason.WEBSOCKET and _downgrades(settings, sent.path):
                flow.response = exchange.answer(426, _WEBSOCKET_REFUSED, decision)
            elif settings.strip_provider_prefix:
                flow.request.path = rewrite.target_for_upstream(settings, flow.request.path)
            return
        refusal = access.check(settings, exchange.client(flow, sent))
        if refusal is not None:
            decision["reason"] = Reason.REFUSED.value
            flow.response = exchange.answer(refusal.status, refusal.body(), decision)
            message = f"litellm: access refused: {refusal.message}"
            log.emit(logging.WARNING, message, **exchange.fields(decision))
            return
        assert named is not None
        assert route.sends is not None
        outgoing = rewrite.for_litellm(settings, sent, named, route.sends, decision["request_id"])
        exchange.send_to(flow.request, outgoing)
        log.emit(
            logging.INFO,
            f"litellm routing: {route.model} → LiteLLM",
            request_id=decision["request_id"],
            reason=route.reason.value,
            sends=route.sends,
        )

    # -- its answer -------------------------------------------------------

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Put the route on an answer, and pass it on piece by piece if it may be long."""
        decision = exchange.get(flow)
        if decision is None or flow.response is None:
            return
        exchange.mark(flow.response, decision)
        flow.response.stream = exchange.may_stream(flow.response)

    def response(self, flow: http.HTTPFlow) -> None:
        """Log one line for a request that was answered."""
        decision = exchange.get(flow)
        if decision is None or flow.response is None or flow.is_replay:
            return
        self._fallbacks.ended(flow, flow.response.status_code)
        log.emit(
            logging.INFO,
            f"{decision['target']} {flow.response.status_code} {decision['method']} {decision['path']}",
            reason=decision["reason"],
            model=decision["model"],
            request_id=decision["request_id"],
        )

    def error(self, flow: http.HTTPFlow) -> None:
        """End one that was not answered, or not to the end."""
        self._fallbacks.ended(flow, None)

    # -- what the engine asks ---------------------------------------------

    def limits(self) -> Timeouts:
        """The limits for a request that starts now."""
        return self._lifecycle.settings.timeouts if self._lifecycle else Timeouts()

    def is_decided(self, flow: http.HTTPFlow) -> bool:
        """Whether `request` has run for this flow."""
        return exchange.get(flow) is not None

    def failed(self, flow: http.HTTPFlow, failure: Failure, *, answered: bool) -> http.Response:
        """Log a failure and word the answer to it."""
        decision = exchange.get(flow) or exchange.begin(flow, request_id.generate())
        who = "litellm" if decision["target"] == Target.LITELLM.value else "upstream"
        where = f"{decision['method']} {decision['path']}"
        fields = exchange.fields(decision) | {"error": failure.detail}
        if failure.error_type is ErrorType.CLIENT_DISCONNECT:
            message = f"{who}: client disconnected during {where}"
            log.emit(logging.WARNING, message, error_type=failure.error_type.value, **fields)
        else:
            message = f"{who} proxy error for {where}: {failure.detail}"
            log.emit(logging.ERROR, message, error_type=failure.error_type.value, **fields)
        if not answered:
            decision["reason"] = Reason.ERROR.value
        body = errors.LITELLM_UNREACHABLE if who == "litellm" else errors.UPSTREAM_UNREACHABLE
        return exchange.answer(502, body, decision)


def _config_path(option: str) -> Path:
    if option:
        return Path(option).expanduser()
    default = Path("config.yaml")
    if not default.exists():
        raise ConfigError(
            ("no config.yaml in this folder: say where it is with --set litellm_config=/path/to/config.yaml",)
        )
    return default


def _identify(request: http.Request, decision: Decision) -> None:
    """Keep the client's request id if it is a good one, else put ours in its place."""
    given = request.headers.get("x-request-id")
    if given is not None and request_id.is_valid(given):
        decision["request_id"] = given
        return
    if given is not None:
        log.emit(
            logging.WARNING,
            "litellm: the client's X-Request-ID was replaced: it is not 1 to 128 visible ASCII characters",
            request_id=decision["request_id"],
            client_ip=decision["client_ip"],
        )
    request.headers["X-Request-ID"] = decision["request_id"]


def _record(decision: Decision, route: Route) -> None:
    decision["target"] = route.target.value
    decision["reason"] = route.reason.value
    decision["model"] = route.model
    decision["sends"] = route.sends
    decision["may_fall_back"] = route.may_fall_back


def _downgrades(settings: Settings, path: str) -> bool:
    return settings.websocket == "downgrade" and paths.takes_websocket(path)


def _blame_ourselves(flow: http.HTTPFlow, decision: Decision, error: Exception) -> None:
    decision["target"], decision["reason"] = Target.NONE.value, Reason.ERROR.value
    flow.response = exchange.answer(500, _OUR_FAULT, decision)
    log.emit(
        logging.ERROR,
        f"litellm proxy error for {decision['method']} {decision['path']}: {type(error).__name__}: {error}",
        error_type=ErrorType.PROXY_ERROR.value,
        **exchange.fields(decision),
    )
    log.logger.debug("traceback", exc_info=error)
