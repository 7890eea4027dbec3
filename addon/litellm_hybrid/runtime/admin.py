"""Answers requests for the proxy's own pages, and gathers for them what the rest of the addon knows."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from socket import gethostname
from time import monotonic, time

from mitmproxy import http

from litellm_hybrid.config import schema
from litellm_hybrid.config.settings import Settings, SettingsStore
from litellm_hybrid.fallback.state import FallbackState
from litellm_hybrid.flow import local_replies
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.llm.replay.remedies import settings_for
from litellm_hybrid.observability import admin_endpoints, status
from litellm_hybrid.observability.admin_endpoints import (
    SERVER_NAMES,
    AdminRequest,
    AdminResponse,
    State,
    health,
    why_not_ready,
)
from litellm_hybrid.observability.counters import day_of
from litellm_hybrid.observability.history import FallbackOutcome, Records
from litellm_hybrid.observability.metrics import (
    CONTENT_TYPE,
    FLUSH_EVERY,
    Metrics,
    MetricSources,
    SharedMetrics,
)
from litellm_hybrid.observability.status import (
    CONTENT_SECURITY_POLICY,
    ReplayChanges,
    SharedStatus,
    Status,
)
from litellm_hybrid.routing.rules import Target

_TELL_EVERY = 5.0
"""Seconds after which the other processes of the state are told anew what this one does."""


class AdminPages:
    """Makes the pages.

    Attributes:
        records: what this process has seen.
    """

    def __init__(
        self,
        settings: SettingsStore,
        records: Records,
        fallbacks: FallbackState,
        *,
        is_draining: Callable[[], bool],
        lost_lines: Callable[[], int],
        worker_dir: Path | None = None,
    ) -> None:
        """Make them; `worker_dir`: where this worker and the others put their numbers; None: it is alone."""
        self.records = records
        self._settings = settings
        self._fallbacks = fallbacks
        self._is_draining = is_draining
        self._worker = worker_dir.name if worker_dir else ""
        self._started = time()
        self._told = -_TELL_EVERY
        self._versions = status.versions()
        sources = MetricSources(
            records,
            fallbacks=fallbacks.history.counts,
            events=fallbacks.counts,
            quotas=fallbacks.gauge.last,
            held_bytes=lambda: fallbacks.held_bytes,
            versions=(self._versions["litellm-hybrid"], self._versions["mitmproxy"]),
            shared=self.shared,
            lost_lines=lost_lines,
        )
        self._metrics = SharedMetrics(sources, worker_dir) if worker_dir else Metrics(sources)
        self._flushing: asyncio.Task[None] | None = None
        self._pages: dict[str, Callable[[AdminRequest], AdminResponse]] = {
            admin_endpoints.HEALTH: lambda _: health(self._state()),
            admin_endpoints.STATUS: self._status_page,
            admin_endpoints.METRICS: lambda _: AdminResponse(200, self._metrics.page(), CONTENT_TYPE),
        }

    def running(self) -> None:
        """Let other processes see this one's numbers from now on; needs a running loop."""
        if self._worker or not self._fallbacks.shared.is_alone:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    def done(self) -> None:
        """The process ends."""
        if self._flushing is not None:
            self._flushing.cancel()
        self._metrics.close()

    def response(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        """Return the response to a request for one of them."""
        store = self._settings
        settings = Settings() if store.is_empty else store.current
        exchange.receive(flow, settings.trusted_proxies)
        sent = exchange.request.sent
        request = AdminRequest(
            exchange.method, sent.path, sent.query, sent.header(b"accept"), exchange.client
        )
        return local_replies.own_page(exchange, admin_endpoints.respond(request, settings, self._pages))

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            self._metrics.flush()
            self._tell(monotonic())

    def _tell(self, now: float) -> None:
        """Tell the other processes of the state what this one does."""
        if now < self._told + _TELL_EVERY:
            return
        self._told = now
        counters, fallbacks = self.records.counters, self._fallbacks
        process = f"{gethostname()}:{os.getpid()}"
        does = {
            "process": process,
            "version": self._versions["litellm-hybrid"],
            "in_flight": counters.in_flight,
            "requests": counters.requests.total(),
            "replays": sum(
                count
                for (_, outcome), count in fallbacks.history.counts.items()
                if outcome != FallbackOutcome.NOT_ATTEMPTED
            ),
        }
        fallbacks.processes.put(process, does, now + 3 * _TELL_EVERY, now)

    def shared(self) -> SharedStatus:
        """What all processes know together."""
        fallbacks, now = self._fallbacks, monotonic()
        return SharedStatus(
            store=fallbacks.shared.kind,
            down_since=fallbacks.shared.down_since,
            failures=fallbacks.shared.failures,
            budget_spent=fallbacks.budget.spent(now),
            replays_cost_usd=fallbacks.costs.of(day_of(time()), now),
            processes=tuple(entry.value for _, entry in fallbacks.processes.alive(now)),
        )

    def _status_page(self, request: AdminRequest) -> AdminResponse:
        found = self.status()
        if not request.wants_html:
            return AdminResponse(200, admin_endpoints.as_json(status.as_json(found)))
        headers = (("Content-Security-Policy", CONTENT_SECURITY_POLICY),)
        return AdminResponse(200, status.as_page(found), "text/html; charset=utf-8", headers)

    def _state(self) -> State:
        store, now = self._settings, monotonic()
        return State(
            None if store.is_empty else store.current,
            broken=store.broken,
            draining=self._is_draining(),
            down=frozenset(target for target in Target if self.records.last_seen.is_down(target, now)),
        )

    def status(self) -> Status:
        """What the page `status` shows."""
        records, fallbacks, store = self.records, self._fallbacks, self._settings
        totals = self._metrics.totals()
        return Status(
            now=time(),
            started=self._started,
            pid=os.getpid(),
            worker=self._worker,
            versions=self._versions,
            not_ready=why_not_ready(self._state()),
            file=str(store.path) if store.path is not None else "",
            since=records.reloads.since,
            broken=store.broken,
            last_reload=records.reloads.last,
            settings=schema.effective_settings(store.current) if not store.is_empty else (),
            in_flight=records.counters.in_flight,
            streams=records.counters.streaming,
            held_bytes=fallbacks.held_bytes,
            requests=totals["requests"],
            fallbacks=totals["fallbacks"],
            recent=tuple(fallbacks.history.last),
            cooldowns=fallbacks.cooldowns.running(monotonic()),
            falling_back=records.falling_back.now(time()),
            replay_changes=_replay_changes(fallbacks, monotonic()),
            quotas=tuple((model, *window) for model, window in fallbacks.gauge.last()),
            recent_requests=tuple(records.requests),
            spend=tuple(records.spend.days()),
            shared=self.shared(),
            servers=tuple(
                (name, records.last_seen.state(target, monotonic())) for target, name in SERVER_NAMES.items()
            ),
        )


def _replay_changes(fallbacks: FallbackState, now: float) -> tuple[ReplayChanges, ...]:
    known = [(key, fallbacks.remedies.get(key, now) or ()) for key, _ in fallbacks.remedies.items()]
    return tuple(
        ReplayChanges(model, api, tuple(map(str, remedies)), settings_for(remedies))
        for (model, api), remedies in known
        if remedies
    )
