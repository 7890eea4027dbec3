"""How the process starts, takes new settings while it runs, and ends: an addon of its own inside ours."""

import asyncio
import ctypes
import errno
import logging
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, time
from typing import Any

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.certs import CertStore
from mitmproxy.options import CONF_BASENAME, Options

from litellm_hybrid.config.file_watcher import Watcher
from litellm_hybrid.config.parser import ConfigError, Parsed
from litellm_hybrid.config.schema import diff
from litellm_hybrid.config.settings import Settings, SettingsStore, host_port
from litellm_hybrid.diagnostics.report import Listener, start_problems
from litellm_hybrid.observability import log
from litellm_hybrid.observability.history import APPLIED, REJECTED, ReloadHistory
from litellm_hybrid.observability.log import AppLog
from litellm_hybrid.proxy import compat, fast_path, trust
from litellm_hybrid.proxy.connection import Listeners, listeners
from litellm_hybrid.proxy.interfaces import HybridProxy
from litellm_hybrid.proxy.trust import TrustStore
from litellm_hybrid.runtime.admin import AdminPages
from litellm_hybrid.terminal import counted

LOOK_EVERY = 0.5
"""Seconds between two looks at the file; a change is taken at the second that finds it unchanged."""


_ANY = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 (all addresses, of which this machine's is one)


class ConfigReloader:
    """Reads the file into the store, and again whenever it changes."""

    def __init__(
        self,
        path: Path,
        listeners: Sequence[Listener],
        settings: SettingsStore,
        reloads: ReloadHistory,
        app_log: AppLog,
    ) -> None:
        """Read the file, which first of all says in which format the log is.

        Raises:
            ConfigError: the file, or what it says together with the addresses that we listen on, is wrong.
        """
        self._watcher = Watcher(path, os.environ)
        self._path = path
        self._listeners = tuple(listeners)
        self._settings = settings
        self._reloads = reloads
        parsed = self._watcher.load()
        app_log.use_format(parsed.settings.log_format)
        self._check(parsed.settings)
        self._reloads.since = time()
        settings.path = path
        self._announce(parsed)
        self._publish(parsed.settings)

    async def watch(self) -> None:
        """Look at the file until cancelled."""
        stopped = threading.Event()
        try:
            while True:
                found = await asyncio.to_thread(self._changed, stopped)
                if isinstance(found, Parsed):
                    self._apply(found)
                elif found is not None:
                    self._reject(found)
        finally:
            stopped.set()

    def _changed(self, stopped: threading.Event) -> Parsed | ConfigError | None:
        """Wait in a thread of its own: to come back from each look takes the loop longer than to look."""
        while not stopped.wait(LOOK_EVERY):
            if (found := self._watcher.look()) is not None:
                return found
        return None

    def _apply(self, parsed: Parsed) -> None:
        try:
            self._check(parsed.settings)
        except ConfigError as e:
            self._reject(ConfigError([*e.problems, "the last good settings stay in force"]))
            return
        changes = diff(self._settings.current, parsed.settings)
        for warning in parsed.warnings:
            log.emit(logging.WARNING, f"litellm config: {warning}", event="config-warning")
        for change in changes:
            log.emit(logging.INFO, f"litellm config: {change}", event="config-changed")
        if not changes:
            log.emit(logging.INFO, "litellm config: read again, nothing has changed", event="config-changed")
        self._reloads.note(APPLIED, changes, time())
        self._publish(parsed.settings)

    def _publish(self, settings: Settings) -> None:
        for error in self._settings.publish(settings):
            message = f"litellm config: part of the change has failed: {type(error).__name__}: {error}"
            log.emit(logging.ERROR, message, exc_info=error, event="error")

    def _reject(self, error: ConfigError) -> None:
        self._settings.broken = True
        self._reloads.note(REJECTED, error.problems, time())
        for problem in error.problems:
            log.emit(logging.ERROR, f"litellm config: {problem}", event="config-broken")

    def _announce(self, parsed: Parsed) -> None:
        for warning in parsed.warnings:
            log.emit(logging.WARNING, f"litellm config: {warning}", event="config-warning")
        settings = parsed.settings
        if settings.listen_without_keys:
            log.emit(
                logging.WARNING,
                "litellm config: listen-without-keys is on: "
                "WHOEVER REACHES THIS PROXY MAY SPEND THE LITELLM KEY",
                event="config-warning",
            )
        if settings.routing:
            log.emit(logging.INFO, f"LiteLLM routing enabled for: {settings.base_url}", event="config-loaded")
        if settings.fallback.enabled:
            log.emit(logging.INFO, self._fallback(settings), event="config-loaded")

    def _fallback(self, settings: Settings) -> str:
        """Say which models fall back, and where to look."""
        listed, excepted = settings.fallback.models.entries, len(settings.fallback.excluded.entries)
        models = "all models" if "*" in listed else counted(len(listed), "model")
        models += f" but {excepted} (`fallback.except`)" if excepted else ""
        host, port, _ = self._listeners[0] if self._listeners else (*settings.listen, "")
        page = f"http://{host_port('127.0.0.1' if host in _ANY else host, port)}/_hybrid/status"
        return (
            f"litellm: fallback to {settings.base_url} for {models}; status page: {page}; file: {self._path}"
        )

    def _check(self, settings: Settings) -> None:
        """What the file says must fit where we listen and what is behind us.

        Raises:
            ConfigError: with what to do.
        """
        problems = start_problems(str(self._path), settings, self._listeners)
        if problems:
            raise ConfigError(tuple(problems))


def config_path(option: str) -> Path:
    """Where the configuration file is, by mitmproxy's option `litellm_config`, "" if it is not set.

    Raises:
        ConfigError: it is not set, and there is no config.yaml in the current folder.
    """
    if option:
        return Path(option).expanduser()
    default = Path("config.yaml")
    if not default.exists():
        raise ConfigError(
            ("no config.yaml in this folder: say where it is with --set litellm_config=/path/to/config.yaml",)
        )
    return default


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_DRAIN_LOOK_EVERY = 0.05


class GracefulShutdown:
    """Waits for a signal, and then for the running requests.

    Attributes:
        is_draining: whether a signal has come.
    """

    def __init__(self, settings: SettingsStore) -> None:
        """Make one for the life of the process; `settings` say how long running requests are waited for."""
        self.is_draining = False
        self._settings = settings
        self._task: asyncio.Task[None] | None = None

    def watch(self, listeners: Listeners, shutdown: Callable[[], None]) -> None:
        """Take the signals over, where the system lets us; needs a running loop.

        `shutdown` ends the process, with what is still running in it.
        """
        self._listeners, self._shutdown = listeners, shutdown
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            # Not on Windows, and not outside the main thread.
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self.on_signal, number)

    def on_signal(self, number: int) -> None:
        """Begin to drain; after that a Ctrl-C ends the process at once.

        No other second signal does, as in uvicorn: service managers send SIGTERM to every process, and a
        supervisor sends it once more.
        """
        if self.is_draining:
            if number == signal.SIGINT:
                self._shutdown()
            return
        self.is_draining = True
        self._task = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        grace = 0.0 if self._settings.is_empty else self._settings.current.grace_period
        deadline = loop.time() + grace
        await self._listeners.close()
        if running := self._listeners.close_idle():
            log.emit(
                logging.INFO,
                f"litellm: draining: waiting up to {grace:g} s for {counted(running, 'running request')}; "
                "Ctrl-C ends at once",
                event="draining",
            )
        while (running := self._listeners.close_idle()) and loop.time() < deadline:  # noqa: ASYNC110
            # Nothing tells when the last byte has left a socket's buffer.
            await asyncio.sleep(_DRAIN_LOOK_EVERY)
        if running:
            message = f"litellm: drain timeout: {counted(running, 'request')} cut off"
            log.emit(logging.WARNING, message, event="drain-timeout")
        self._shutdown()


_ENOUGH = 4096
"""A request takes two, and an agent has some dozens at once."""

_NO_MORE = frozenset({errno.EMFILE, errno.ENFILE})

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
        self._confdir: Path | None = None
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
            self._app_log.never_wait()
            self._app_log.take_over(ctx.master.addons.get("dumper"))
        fast_path.spare_addons_log_lines()
        self._confdir = prepare_confdir(ctx.options)
        if (tls := ctx.master.addons.get("tlsconfig")) is not None:
            # mitmproxy's own comes after it listens, and a client that came first would end the start.
            tls.configure({"confdir"})
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
        raise_file_limit()
        survive_file_exhaustion(asyncio.get_running_loop())
        tune_malloc()
        trust.remove_leftovers()
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
        if self._confdir is not None:
            shutil.rmtree(self._confdir, ignore_errors=True)
        self._admin.done()

    def _start(self) -> None:
        compat.check()
        here = listeners(ctx.options.mode, ctx.options.listen_host, ctx.options.listen_port)
        path, reloads = config_path(ctx.options.litellm_config), self._admin.records.reloads
        self._reloader = ConfigReloader(path, here, self._settings, reloads, self._app_log)
        if self._watching is not None:
            self._watching.cancel()
            self._watch()

    def _watch(self) -> None:
        if self._reloader is not None:
            self._watching = asyncio.get_running_loop().create_task(self._reloader.watch())

    def _apply(self, settings: Settings) -> None:
        self._app_log.use_format(settings.log_format)
        urls = (notifier.url for notifier in settings.notify)
        self._app_log.hide(
            filter(None, (settings.api_key, *settings.client_keys, *settings.upstream_keys, *urls))
        )
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


def prepare_confdir(options: Options) -> Path | None:
    """Have mitmproxy's certificate authority where it looks for it, or in the temporary folder returned.

    It is for TLS towards clients alone; but mitmproxy makes it at every start, and would not start without.
    """
    folder = Path(options.confdir).expanduser()
    ca = folder / f"{CONF_BASENAME}-ca.pem"
    try:
        if not ca.exists():
            CertStore.create_store(folder, CONF_BASENAME, options.key_size)
        ca.read_bytes()  # whether it can be read: to check its key as well takes 30 ms, and mitmproxy does
    except OSError as e:
        temporary = Path(tempfile.mkdtemp(prefix=trust.temporary_prefix()))
        options.update(confdir=str(temporary))
        why = f"{folder} cannot be used ({e.strerror})"
        message = f"litellm: {why}: this run has a certificate authority of its own"
        log.emit(logging.WARNING, message, event="config-warning")
        return temporary
    return None


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


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one, and say so where that is not much."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    except (OSError, ValueError):  # macOS takes less than it says
        pass
    if soft != resource.RLIM_INFINITY and soft < _ENOUGH:
        message = f"litellm: only {soft} files may be open at once, two a request: raise the hard limit"
        log.emit(logging.WARNING, message, event="few-files")


def survive_file_exhaustion(loop: asyncio.AbstractEventLoop) -> None:
    """Say once a second, in one line, that no more connections can be taken.

    asyncio tries again a second later, but tells of each of the connections that it could not take, some
    hundred times with a traceback.
    """
    usual = loop.get_exception_handler()
    said = -1.0

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_MORE and "socket" in context:
            if monotonic() - said >= 1:
                said = monotonic()
                message = f"litellm: no connection can be taken for a second: {error.strerror}"
                log.emit(logging.ERROR, message, event="few-files")
        elif usual is not None:
            usual(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
