"""Acts on a decision: makes a request fit for the server that it goes to, or answers it here."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from time import monotonic

from mitmproxy import http

from litellm_hybrid.config.settings import Address, Settings, SettingsStore
from litellm_hybrid.diagnostics import probes
from litellm_hybrid.diagnostics.probes import PROVIDER_MODELS, Probe, lacks_provider_routes
from litellm_hybrid.fallback.policy import Policy
from litellm_hybrid.flow import local_replies
from litellm_hybrid.flow.exchange import Exchange, to_litellm
from litellm_hybrid.observability.counters import RequestCounters
from litellm_hybrid.proxy.waits import Waits
from litellm_hybrid.routing import paths, rewrite, rules
from litellm_hybrid.routing.requested_model import Named
from litellm_hybrid.routing.rules import Reason, Routed, Target

_AT_ONCE = 4 * 1024 * 1024
"""The longest body, in bytes, that is read while everybody waits: that takes some hundredths of a second."""

_CODED_AT_ONCE = 256 * 1024
"""The same, decoded, of one in a content coding, which takes several times as long."""


class RequestHandler:
    """Sends requests on their way."""

    def __init__(
        self, settings: SettingsStore, policy: Policy, counters: RequestCounters, waits: Waits
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._counters = counters
        self._provider_routes = ProviderRoutes(waits)
        settings.subscribe(lambda _: self._provider_routes.forget())

    def handle(
        self, flow: http.HTTPFlow, exchange: Exchange
    ) -> Callable[[], Named] | Coroutine[None, None, None] | None:
        """Decide where a request goes, and change it or answer it accordingly.

        Returns what reads its body, where that may take long: then nothing is decided yet, and what it
        returns is for `handle_read`. Or what has to be awaited before it is done.
        """
        settings = self._settings.current
        if ":" in flow.request.host:
            _bracket_host(flow.request)
        if not exchange.receive(flow, settings.trusted_proxies):
            message = "the client's X-Request-ID was replaced: it is not 1 to 128 visible ASCII characters"
            exchange.log(logging.WARNING, f"litellm: {message}", event="request-id-replaced")
        if 0 < settings.max_in_flight < self._counters.in_flight:
            flow.response = local_replies.too_busy(exchange, settings.max_in_flight)
            return None
        request = exchange.request
        routed = rules.without_body(settings, request)
        if routed is None:
            named = request.read(_CODED_AT_ONCE if request.sent.has(b"content-encoding") else _AT_ONCE)
            if named.too_long:
                return partial(_read_all, request)
            routed = rules.with_body(settings, request, named)
        return self._act(flow, exchange, routed)

    def handle_read(
        self, flow: http.HTTPFlow, exchange: Exchange, named: Named
    ) -> Coroutine[None, None, None] | None:
        """The same, once the body has been read."""
        return self._act(flow, exchange, rules.with_body(self._settings.current, exchange.request, named))

    def _act(
        self, flow: http.HTTPFlow, exchange: Exchange, routed: Routed
    ) -> Coroutine[None, None, None] | None:
        settings = self._settings.current
        routed = self._policy.bypass.to_its_maker(exchange, routed)
        exchange.port = flow.client_conn.sockname[1]
        routed = self._policy.bypass.break_loop(exchange, routed)
        exchange.decide(routed)
        if routed.reason is Reason.STATEFUL:
            self._policy.replays.log_stateful(exchange)
        if routed.refusal is not None:
            flow.response = local_replies.refused(exchange, routed.refusal)
        elif routed.route.target is Target.LITELLM:
            self._send_to_litellm(settings, flow, exchange, routed)
        elif (reserving := self._policy.bypass.reservation(exchange)) is not None:
            return self._forward_after(reserving, flow, exchange, routed)
        else:
            self._forward(flow, exchange, routed)
        return None

    async def _forward_after(
        self,
        reserving: Coroutine[None, None, None],
        flow: http.HTTPFlow,
        exchange: Exchange,
        routed: Routed,
    ) -> None:
        await reserving
        if not exchange.ended:
            self._forward(flow, exchange, routed)

    def _forward(self, flow: http.HTTPFlow, exchange: Exchange, routed: Routed) -> None:
        """Send a request to upstream, unless LiteLLM is asked in its place at once."""
        if (replacement := self._policy.bypass.replacement(flow, exchange)) is not None:
            flow.request = replacement
        elif routed.downgrade:
            flow.response = local_replies.upgrade_refused(exchange)
        else:
            self._policy.bypass.adapt_history(flow.request, exchange)
            self._provider_routes.adapt(self._settings.current, flow, flow.request)

    def _send_to_litellm(
        self, settings: Settings, flow: http.HTTPFlow, exchange: Exchange, routed: Routed
    ) -> None:
        name = routed.route.litellm_model or ""  # a stored response is not asked for by a model
        assert routed.named is not None
        self._policy.bypass.enter_litellm(exchange)
        self._policy.bypass.remember_conversation(exchange, routed=True)
        may_return = settings.fallback.to_upstream and routed.route.reason is Reason.MODEL
        if may_return and not routed.named.stateful:
            exchange.unrouted = flow.request.copy()
            self._provider_routes.adapt(settings, flow, exchange.unrouted)
        stored = paths.stored_response(exchange.method, exchange.path)
        outgoing = rewrite.for_litellm(
            settings,
            exchange.forwarded,
            routed.named,
            name,
            exchange.id,
            stored_path=stored[1] if stored is not None else "",
        )
        to_litellm(flow.request, outgoing)
        self._policy.bypass.adapt_routed(flow.request, exchange, outgoing.body)
        exchange.log(
            logging.INFO,
            f"litellm routing: {exchange.model_name or exchange.path} → LiteLLM",
            event="routed",
            reason=routed.reason.value,
            litellm_model=name or None,
        )


def _read_all(request: rules.Request) -> Named:
    named = request.read()
    _ = named.stateful  # all of the body is searched, once
    return named


_HOLDS = 600.0
"""Seconds for which upstream's answer holds: it may be updated while this process runs."""

_PATIENCE = 3.0
"""Seconds that upstream has for its answer."""


class ProviderRoutes:
    """Strips Amp's `/api/provider/{p}` from requests to an upstream that does not serve it.

    With `auto` such a request waits until upstream has been asked.
    """

    def __init__(self, waits: Waits) -> None:
        self._waits = waits
        self._gone: dict[Address, tuple[bool, float]] = {}
        self._asking: dict[Address, asyncio.Task[bool | None]] = {}

    def forget(self) -> None:
        """Ask again."""
        self._gone.clear()

    def adapt(self, settings: Settings, flow: http.HTTPFlow, request: http.Request) -> None:
        """Put the path of a flow's request for upstream right, now or before the flow goes on."""
        if b"/api/provider/" not in request.data.path:
            return
        strip = settings.strip_provider_prefix
        stripped = rewrite.without_provider_prefix(request.path) if strip else request.path
        if stripped == request.path:
            return
        if strip == "auto":
            upstream = Address(request.scheme, request.host, request.port)
            gone, since = self._gone.get(upstream, (None, 0.0))
            if gone is None or monotonic() - since > _HOLDS:
                asked = self._asked(upstream, settings.tls_ca)
                self._waits.until(flow, _strip_if(asked, request, stripped))
                return
            strip = gone
        if strip:
            request.path = stripped

    def _asked(self, upstream: Address, tls_ca: Path | None) -> "asyncio.Task[bool | None]":
        if upstream not in self._asking:
            self._asking[upstream] = asyncio.create_task(self._ask(upstream, tls_ca))
        return self._asking[upstream]

    async def _ask(self, upstream: Address, tls_ca: Path | None) -> bool | None:
        try:
            probe = Probe(upstream, PROVIDER_MODELS, within=_PATIENCE)
            gone = lacks_provider_routes(await asyncio.to_thread(probes.send, probe, tls_ca))
            if gone is not None:
                self._gone[upstream] = gone, monotonic()
            return gone
        finally:
            del self._asking[upstream]


async def _strip_if(asked: "asyncio.Task[bool | None]", request: http.Request, stripped: str) -> None:
    path = request.path
    # Edited meanwhile: it is somebody's wish.
    if await asyncio.shield(asked) and request.path == path:
        request.path = stripped


def _bracket_host(request: http.Request) -> None:
    """Put an IPv6 address that mitmproxy has written into `Host` into brackets (RFC 9110, 7.2)."""
    for written in (request.host, f"{request.host}:{request.port}"):
        if request.host_header == written:
            request.host_header = f"[{request.host}]{written.removeprefix(request.host)}"
            return
