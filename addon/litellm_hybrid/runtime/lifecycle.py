"""How the process starts, takes new settings, and ends: an addon of its own inside ours."""

import asyncio
import ctypes
import logging
import sys
from contextlib import suppress
from typing import Any

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader

from litellm_hybrid.config.parser import ConfigError
from litellm_hybrid.config.settings import Settings, SettingsStore
from litellm_hybrid.observability import log
from litellm_hybrid.observability.log import AppLog
from litellm_hybrid.proxy import compat
from litellm_hybrid.proxy.connection import Listeners, listeners
from litellm_hybrid.proxy.interfaces import HybridProxy
from litellm_hybrid.proxy.trust import TrustStore
from litellm_hybrid.runtime.admin import AdminPages
from litellm_hybrid.runtime.config_reloader import ConfigReloader, config_path
from litellm_hybrid.runtime.graceful_shutdown import GracefulShutdown

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT = 64 * 1024 * 1024
"""How much free memory, in bytes, the process keeps for the next body."""

_MAPPED = 16 * 1024 * 1024
"""A block of this length, in bytes, or longer goes back as soon as it is free."""


class Lifecycle:
    """Reads the configuration and keeps watching it, drains at the end."""

    name = "litellm_hybrid_lifecycle"

    def __init__(
        self,
        settings: SettingsStore,
        app_log: AppLog,
        admin: AdminPages,
        shutdown: GracefulShutdown,
        proxy: HybridProxy[Any],
    ) -> None:
        self._settings = settings
        self._app_log = app_log
        self._admin = admin
        self._shutdown = shutdown
        self._proxy = proxy
        self._reloader: ConfigReloader | None = None
        self._watching: asyncio.Task[None] | None = None
        self._running = False
        self._trust = TrustStore()
        settings.subscribe(self._apply)

    def load(self, loader: Loader) -> None:
        """Declare our option, and set those of mitmproxy that everything here depends on."""
        loader.add_option(
            "litellm_config",
            str,
            "",
            "litellm-hybrid's configuration, a YAML file. Unset: config.yaml in the current folder.",
        )
        # The terminal of mitmproxy's console is no place for lines; it has them in its event log.
        if "console_layout" not in ctx.options:
            self._app_log.install(ctx.master.addons.get("termlog"))
        # Lazy: with eager connections, upstream being down would break requests to LiteLLM too.
        ctx.options.update(connection_strategy="lazy")
        if "flow_detail" in ctx.options:
            # mitmdump's own lines show the query, and credentials in it.
            ctx.options.update(flow_detail=0)
        if "keep_alt_svc_header" in ctx.options:
            # mitmproxy would have it name our port, where no HTTP/3 is spoken.
            ctx.options.update(keep_alt_svc_header=True)

    def configure(self, updated: set[str]) -> None:
        """Read the configuration anew where an option that concerns it has changed."""
        if "connection_strategy" in updated and ctx.options.connection_strategy != "lazy":
            raise exceptions.OptionsError("litellm-hybrid needs connection_strategy=lazy")
        if not updated & {"litellm_config", "mode", "listen_host", "listen_port"}:
            return
        try:
            self._start()
        except (ConfigError, ValueError, compat.IncompatibleMitmproxyError) as e:
            self._refuse(e)
            self._settings.clear()
            self._reloader = None

    def running(self) -> None:
        """Begin to watch the file, and to wait for signals."""
        self._running = True
        tune_malloc()
        here = Listeners(ctx.master.addons.get("proxyserver"), self._proxy)
        self._shutdown.watch(here, ctx.master.shutdown)
        self._admin.running()
        self._watch()

    def done(self) -> None:
        """Stop watching it."""
        if self._watching is not None:
            self._watching.cancel()
        if self._running:
            log.emit(logging.INFO, "litellm: ended", event="ended")
        self._app_log.uninstall()
        self._trust.close()
        self._admin.done()

    def _start(self) -> None:
        compat.check()
        here = listeners(ctx.options.mode, ctx.options.listen_host, ctx.options.listen_port)
        path = config_path(ctx.options.litellm_config)
        self._reloader = ConfigReloader(path, here, self._settings, self._admin.reloads, self._app_log)
        if self._watching is not None:
            self._watching.cancel()
            self._watch()

    def _watch(self) -> None:
        if self._reloader is not None:
            self._watching = asyncio.get_running_loop().create_task(self._reloader.watch())

    def _apply(self, settings: Settings) -> None:
        self._app_log.use_format(settings.log_format)
        urls = (notifier.url for notifier in settings.notify)
        self._app_log.hide(filter(None, (settings.api_key, *settings.client_keys, *urls)))
        self._trust.apply(ctx.options, settings.tls_ca)

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


def tune_malloc() -> bool:
    """Keep freed memory for the next body, up to `_KEPT`; False where the C library is not glibc.

    glibc learns from the blocks it frees: after one body of 2 MB it takes such blocks from the heap, and
    gives the heap's end back each time it is free, only to fetch it again, page by page, for the next body:
    a third of the CPU time of a request with 2 MB. Source: man 3 mallopt.
    """
    if sys.platform != "linux":
        return False
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_M_TRIM_THRESHOLD, _KEPT) and mallopt(_M_MMAP_THRESHOLD, _MAPPED))
    return False
