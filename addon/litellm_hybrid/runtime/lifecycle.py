"""How the addon starts, takes new settings, and ends: the hooks of mitmproxy that are about the process."""

import asyncio
import logging
from typing import Any

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader

from litellm_hybrid.config.parser import ConfigError
from litellm_hybrid.config.settings import Settings
from litellm_hybrid.mitmweb import retention as view_limit
from litellm_hybrid.mitmweb.annotations import Annotations
from litellm_hybrid.mitmweb.flow_list import FlowList
from litellm_hybrid.mitmweb.flow_redaction import FlowRedactor, StreamedBodies
from litellm_hybrid.observability.history import ReloadHistory
from litellm_hybrid.observability.logging import logger as log
from litellm_hybrid.observability.logging.logger import AppLog
from litellm_hybrid.proxy import compat
from litellm_hybrid.proxy.connection import Listeners
from litellm_hybrid.proxy.next_layer import listeners
from litellm_hybrid.proxy.shared import HybridProxy
from litellm_hybrid.runtime import config_reloader as lifecycle
from litellm_hybrid.runtime import malloc as allocator
from litellm_hybrid.runtime.config_reloader import Lifecycle
from litellm_hybrid.runtime.graceful_shutdown import Leaving


class Startup:
    """The part of the addon that outlives a request."""

    _proxy: HybridProxy[Any]

    def __init__(self, app_log: AppLog) -> None:
        self._app_log = app_log
        self._lifecycle: Lifecycle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._running = False
        self._leaving: Leaving | None = None
        self._annotations = Annotations(lambda: ctx.master.addons.get("view"))
        self._redactor = FlowRedactor(self._annotations)
        self._bodies = StreamedBodies()
        self._flow_list: FlowList | None = None
        self.addons: list[object] = []
        self._reloads = ReloadHistory()

    def _settings(self) -> Settings:
        """Those in force. No property: mitmproxy reads every attribute of an addon before there are any."""
        if self._lifecycle is None:
            raise RuntimeError("there is no valid configuration")
        return self._lifecycle.settings

    def settings_changed(self, settings: Settings) -> None:
        """New settings are in force."""
        self._app_log.use_format(settings.log_format)
        self._app_log.hide(filter(None, (settings.api_key, *settings.client_keys)))

    def load(self, loader: Loader) -> None:
        """Declare our option, and set those of mitmproxy that everything here depends on."""
        loader.add_option(
            "litellm_config",
            str,
            "",
            "litellm-hybrid's configuration, a YAML file. Unset: config.yaml in the current folder.",
        )
        loader.add_option(
            "litellm_view_limit",
            str,
            view_limit.DEFAULT,
            "How many flows, and how much of bodies, the list of mitmweb or of the console keeps. The oldest "
            "go first, marked ones last. A number, a size, both with a comma between them, or none.",
        )
        # The terminal of mitmproxy's console is no place for lines; it has them in its event log.
        if "console_layout" not in ctx.options:
            self._app_log.install(ctx.master.addons.get("termlog"))
        view = ctx.master.addons.get("view")
        if view is not None:
            self._flow_list = FlowList(view, self._annotations)
            self.addons.append(self._flow_list)
        # Lazy: with eager connections, upstream being down would break requests to LiteLLM too.
        ctx.options.update(connection_strategy="lazy")
        if "flow_detail" in ctx.options:
            # mitmdump's own lines show the query, and credentials in it.
            ctx.options.update(flow_detail=0)

    def configure(self, updated: set[str]) -> None:
        """Read the configuration anew where an option that concerns it has changed."""
        if "connection_strategy" in updated and ctx.options.connection_strategy != "lazy":
            raise exceptions.OptionsError("litellm-hybrid needs connection_strategy=lazy")
        self._redactor.enabled = _is_seen()
        self._bodies.configure(updated, seen=self._redactor.enabled)
        if self._redactor.enabled:
            _offer_views()
        if "litellm_view_limit" in updated:
            self._limit_view()
        if not updated & {"litellm_config", "mode", "listen_host", "listen_port"}:
            return
        try:
            self._start()
        except (ConfigError, ValueError, compat.IncompatibleMitmproxyError) as e:
            self._refuse(e)
            self._lifecycle = None

    def _limit_view(self) -> None:
        try:
            limit = view_limit.parse(ctx.options.litellm_view_limit)
        except ValueError as e:
            self._refuse(e)
            return
        if self._flow_list is not None:
            self._flow_list.keeper.limit = limit

    def _refuse(self, error: Exception) -> None:
        """Say what is wrong with the options or the file.

        Raises:
            OptionsError: while running. At start mitmproxy would add a traceback, and an ERROR is enough
                for it to end with rc 1.
        """
        if self._running:
            raise exceptions.OptionsError(str(error)) from error
        for line in str(error).splitlines():
            log.emit(logging.ERROR, f"litellm config: {line}", event="config-broken")

    def running(self) -> None:
        """Begin to watch the file, and to wait for signals."""
        self._running = True
        allocator.keep_for_reuse()
        self._leaving = Leaving(
            Listeners(ctx.master.addons.get("proxyserver"), self._proxy),
            ctx.master.shutdown,
            lambda: self._settings().grace_period,
        )
        self._leaving.watch()
        self._watch()

    def _watch(self) -> None:
        if self._lifecycle is not None:
            self._watching = asyncio.get_running_loop().create_task(
                self._lifecycle.watch(self.settings_changed)
            )

    def done(self) -> None:
        """Stop watching it."""
        if self._watching is not None:
            self._watching.cancel()
        if self._running:
            log.emit(logging.INFO, "litellm: ended", event="ended")
        self._app_log.uninstall()

    def _start(self) -> None:
        compat.check()
        here = listeners(ctx.options.mode, ctx.options.listen_host, ctx.options.listen_port)
        path = lifecycle.config_path(ctx.options.litellm_config)
        self._lifecycle = Lifecycle(path, here, self._reloads, self._app_log)
        self.settings_changed(self._lifecycle.settings)
        if self._watching is not None:
            self._watching.cancel()
            self._watch()


def _offer_views() -> None:
    from litellm_hybrid.mitmweb import contentview as views  # noqa: PLC0415  15 rooms that nobody else needs

    views.install()


def _is_seen() -> bool:
    """Whether anybody sees flows: mitmweb, or a file that they are saved to."""
    saved = any(getattr(ctx.options, name, None) for name in ("save_stream_file", "hardump"))
    return saved or ctx.master.addons.get("view") is not None
