"""Answers requests for the proxy's own pages, and gathers for them what the rest of the addon knows."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time

from mitmproxy import http

from litellm_hybrid.config import report as config_report
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.fallback.controller import Fallbacks
from litellm_hybrid.flow import exchange
from litellm_hybrid.flow import local_replies as answers
from litellm_hybrid.flow.exchange import Record
from litellm_hybrid.observability import admin_endpoints as pages
from litellm_hybrid.observability import status
from litellm_hybrid.observability import status_html as status_page
from litellm_hybrid.observability.admin_endpoints import Asked, Page
from litellm_hybrid.observability.health import LastSeen, State, health, why_not_ready
from litellm_hybrid.observability.metrics.exporter import CONTENT_TYPE, FLUSH_EVERY, Metrics, SharedMetrics
from litellm_hybrid.observability.metrics.families import Measured
from litellm_hybrid.observability.reload_history import Reloads
from litellm_hybrid.observability.request_counters import Traffic
from litellm_hybrid.observability.status import Status
from litellm_hybrid.observability.status_css import CONTENT_SECURITY_POLICY
from litellm_hybrid.routing.rules import Target
from litellm_hybrid.runtime.config_reloader import Lifecycle


@dataclass(frozen=True, slots=True)
class Known:
    """What the pages are made from.

    Attributes:
        lifecycle: gives the settings in force, None if there are none.
        draining: whether the process has been told to end.
    """

    lifecycle: Callable[[], Lifecycle | None]
    draining: Callable[[], bool]
    reloads: Reloads
    last_seen: LastSeen
    traffic: Traffic
    fallbacks: Fallbacks


class OwnPages:
    """Makes the pages."""

    def __init__(self, known: Known, place: Path | None = None) -> None:
        """Make them for the life of the process.

        Args:
            known: what they are made from.
            place: where this worker and the others put their numbers, None if there are no others.
        """
        self._known = known
        self._worker = place.name if place else ""
        self._started = time()
        self._versions = status.versions()
        fallbacks = known.fallbacks
        measured = Measured(
            traffic=known.traffic,
            fallbacks=fallbacks.recent.counts,
            events=fallbacks.counts,
            reloads=known.reloads.counts,
            held_bytes=lambda: fallbacks.held_bytes,
            versions=(self._versions["litellm-hybrid"], self._versions["mitmproxy"]),
        )
        self._metrics = SharedMetrics(measured, place) if place else Metrics(measured)
        self._flushing: asyncio.Task[None] | None = None
        self._pages: dict[str, Callable[[Asked], Page]] = {
            pages.HEALTH: lambda _: health(self._state()),
            pages.STATUS: self._status_page,
            pages.METRICS: lambda _: Page(200, self._metrics.page(), CONTENT_TYPE),
        }

    def running(self) -> None:
        """Let the other workers see this one's numbers from now on; needs a running loop."""
        if self._worker:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    def done(self) -> None:
        """The process ends."""
        if self._flushing is not None:
            self._flushing.cancel()
        self._metrics.close()

    def answer(self, flow: http.HTTPFlow, record: Record) -> http.Response:
        """The answer to a request for one of them."""
        lifecycle = self._known.lifecycle()
        settings = lifecycle.settings if lifecycle else Settings()
        exchange.locate(flow, record, settings.trusted_proxies)
        request = exchange.request(flow, record)
        asked = Asked(
            record["method"],
            record["path"],
            request.sent.query,
            request.sent.header(b"accept"),
            request.client,
        )
        return answers.own_page(record, pages.answer(asked, settings, self._pages))

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            self._metrics.flush()

    def _status_page(self, asked: Asked) -> Page:
        found = self.status()
        if not asked.wants_html:
            return Page(200, pages.as_json(status.as_json(found)))
        headers = (("Content-Security-Policy", CONTENT_SECURITY_POLICY),)
        return Page(200, status_page.page(found), "text/html; charset=utf-8", headers)

    def _state(self) -> State:
        lifecycle, now = self._known.lifecycle(), monotonic()
        return State(
            lifecycle.settings if lifecycle else None,
            broken=lifecycle is not None and lifecycle.broken,
            draining=self._known.draining(),
            down=frozenset(target for target in Target if self._known.last_seen.is_down(target, now)),
        )

    def status(self) -> Status:
        """What the page `status` shows."""
        known, lifecycle = self._known, self._known.lifecycle()
        totals = self._metrics.totals()
        return Status(
            now=time(),
            started=self._started,
            pid=os.getpid(),
            worker=self._worker,
            versions=self._versions,
            not_ready=why_not_ready(self._state()),
            file=str(lifecycle.path) if lifecycle else "",
            since=known.reloads.since,
            broken=lifecycle is not None and lifecycle.broken,
            last_reload=known.reloads.last,
            settings=config_report.effective_settings(lifecycle.settings) if lifecycle else (),
            in_flight=len(known.traffic.running),
            streams=len(known.traffic.streaming),
            held_bytes=known.fallbacks.held_bytes,
            requests=totals["requests"],
            fallbacks=totals["fallbacks"],
            recent=tuple(known.fallbacks.recent.last),
            cooldowns=known.fallbacks.straight.cooldowns.running(monotonic()),
        )
