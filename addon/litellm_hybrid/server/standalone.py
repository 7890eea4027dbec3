"""`litellm-hybrid serve`: the same addon on a lean mitmproxy, in one process or several.

mitmdump runs about 45 built-in addons and asks every one of them about every event; here are the five that
a reverse proxy needs, and whom an event concerns is worked out once.
"""

import asyncio
import ctypes
import gc
import inspect
import logging
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast, override

from mitmproxy import addonmanager, ctx, exceptions, hooks, master, options
from mitmproxy.addons import core, disable_h2c, errorcheck, proxyserver, termlog, tlsconfig
from mitmproxy.flow import Flow
from mitmproxy.proxy import layer, layers, mode_servers, mode_specs
from mitmproxy.proxy.context import Context

from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.config.settings import Address, host_port
from litellm_hybrid.observability import log
from litellm_hybrid.observability.log import AppLog
from litellm_hybrid.proxy.connection import HybridConnectionHandler
from litellm_hybrid.proxy.fast_path import skip_self_checks
from litellm_hybrid.runtime.lifecycle import prepare_confdir
from litellm_hybrid.server.supervisor import CANNOT_START, check_sharing

_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG (man 2 prctl)."""

_CHECK_EVERY = 1.0
"""Seconds between two looks at whether the supervisor is there."""

_BACKLOG = 2048
"""How many connections may wait to be accepted; with asyncio's 100 a burst of clients waits a second."""

_COLLECT_AFTER = 10_000
"""New objects between two garbage collections; Python's is 2,000."""

_SHARE_PORT = "hybrid_share_port"

type _Handler = Callable[..., Awaitable[None] | None]


# -- how it listens: a mode and a server instance, which mitmproxy registers by themselves ---------


class HybridMode(mode_specs.ReverseMode):
    """`hybrid:http://upstream@host:port`: a reverse proxy over TCP that listens in our way."""

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self.transport_protocol = mode_specs.TCP


class HybridNextLayer(layer.NextLayer):
    """Has ours built at once: mitmproxy starts a task for the hook, and nobody else is there to be asked."""

    @override
    def _ask(self) -> layer.CommandGenerator[None]:
        for command in super()._ask():  # type: ignore[no-untyped-call]
            if isinstance(command, layer.NextLayerHook):
                cast("LeanMaster", ctx.master).hybrid.next_layer(self)
            else:
                yield command


class HybridReverseProxy(layers.modes.ReverseProxy):
    """mitmproxy's, above our `HybridNextLayer`."""

    @override
    def finish_start(self) -> layer.CommandGenerator[str | None]:
        self.child_layer = HybridNextLayer(self.context)
        return super().finish_start()


class HybridInstance(mode_servers.AsyncioServerInstance[HybridMode]):
    """Listens for a `HybridMode`: with a long backlog, where wanted on a shared port."""

    @override
    def make_top_layer(self, context: Context) -> layer.Layer:
        return HybridReverseProxy(context)

    @override
    async def listen(self, host: str, port: int) -> list[Any]:
        shared: bool = getattr(ctx.options, _SHARE_PORT)
        server = await asyncio.start_server(
            self.handle_stream, host, port, reuse_port=shared or None, backlog=_BACKLOG
        )
        return [server]

    @override
    async def handle_stream(self, reader: Any, writer: Any = None) -> None:
        await cast("LeanMaster", ctx.master).started.wait()
        handler = HybridConnectionHandler(ctx.master, reader, writer, ctx.options, self.mode)  # type: ignore[no-untyped-call]
        handler.layer = self.make_top_layer(handler.layer.context)
        with self.manager.register_connection(handler.client.id, handler):
            await handler.handle_client()


def spec(upstream: Address, listen: tuple[str, int]) -> str:
    """Return mitmproxy's option `mode`; it takes an IPv6 address without brackets."""
    return f"{HybridMode.type_name}:{upstream}@{listen[0]}:{listen[1]}"


def shown(mode: str) -> str:
    """Return a mode as people know it, and as mitmproxy's own tools take it."""
    return mode_specs.ReverseMode.type_name + mode.removeprefix(HybridMode.type_name)


def share_port(opts: options.Options, *, shared: bool) -> None:
    """Say whether other processes listen on the same port, each with its own queue of new connections."""
    opts.add_option(_SHARE_PORT, bool, shared, "Whether several processes listen on one port.")


# -- how it runs -------------------------------------------------------------------


class LeanAddonManager(addonmanager.AddonManager):
    """Remembers which handlers an event has, instead of asking every addon every time.

    On one core and tiny bodies the asking is a third of the whole cost of a request.
    """

    def __init__(self, lean: master.Master) -> None:
        super().__init__(lean)  # type: ignore[no-untyped-call]
        self._handlers: dict[str, list[_Handler]] = {}

    @override
    def register(self, addon: object) -> object:
        self._handlers = {}
        return super().register(addon)  # type: ignore[no-untyped-call]

    @override
    def remove(self, addon: object) -> None:
        self._handlers = {}
        super().remove(addon)  # type: ignore[no-untyped-call]

    @override
    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        await self.trigger_event(event)
        if self._find("update") and isinstance(event.args()[0], Flow):
            await self.trigger_event(hooks.UpdateHook([event.args()[0]]))

    @override
    async def trigger_event(self, event: hooks.Hook) -> None:
        for handler in self._find(event.name):
            try:
                with addonmanager.safecall():
                    result = handler(*event.args())
                    if result is not None and inspect.isawaitable(result):
                        await result
            except exceptions.AddonHalt:
                return

    def _find(self, name: str) -> list[_Handler]:
        found = self._handlers.get(name)
        if found is None:
            addons = addonmanager.traverse(self.chain)
            found = [handler for addon in addons if callable(handler := getattr(addon, name, None))]
            self._handlers[name] = found
        return found


class _TlsConfig(tlsconfig.TlsConfig):
    """Without its list of revoked certificates: where to get it, upstream's certificates say."""

    request = None  # type: ignore[assignment]


class _StartCheck(errorcheck.ErrorCheck):
    """Ends the process where an error was logged at start, without a text of its own: the log has said it."""

    name = "errorcheck"  # where mitmproxy looks for it

    def __init__(self, finished: Callable[[], None]) -> None:
        super().__init__()
        self._finished = finished

    @override
    async def shutdown_if_errored(self) -> None:
        await asyncio.sleep(0)  # as in mitmproxy: logging tasks finish first
        if self.logger.has_errored:
            sys.exit(1)

    @override
    def finish(self) -> None:
        super().finish()  # type: ignore[no-untyped-call]
        self._finished()


class LeanMaster(master.Master):
    """mitmproxy with our addon and the five others that a reverse proxy needs.

    Attributes:
        hybrid: our addon.
        started: the start is over. Connections wait for it: it begins to listen before that, and an ERROR
            about a request, such as a budget that is spent, would be taken for one of the start and end it.
    """

    def __init__(self, opts: options.Options, app_log: AppLog, worker_dir: Path | None = None) -> None:
        super().__init__(opts, with_termlog=False)
        self._app_log = app_log
        self.started = asyncio.Event()
        self.hybrid = HybridAddon(worker_dir, app_log, alone=True)
        self.addons = LeanAddonManager(self)
        self._termlog = termlog.TermLog()
        self.addons.add(  # type: ignore[no-untyped-call]
            self._termlog,
            core.Core(),
            disable_h2c.DisableH2C(),
            proxyserver.Proxyserver(),
            self.hybrid,
            _TlsConfig(),
            _StartCheck(self.started.set),
        )

    @override
    async def running(self) -> None:
        await super().running()
        await self.hybrid.met()
        # A hundred thousand objects of the start stay for good: each full collection would look at all of
        # them, for 80 ms in which no request goes on.
        gc.collect()
        gc.freeze()
        # A running stream has hundreds of objects, which a collection finds in use; one that is over lets go
        # of its own without it (`HybridStream._break_cycles`).
        gc.set_threshold(_COLLECT_AFTER)
        # Not before: until here an ERROR has to reach mitmproxy's check of the start.
        self._app_log.batch(asyncio.get_running_loop())
        for host, port, *_ in self.addons.get("proxyserver").listen_addrs():
            message = f"litellm: serving on {host_port(host, port)} ({shown(self.options.mode[0])})"
            log.emit(logging.INFO, message, event="serving")

    @override
    async def done(self) -> None:
        await super().done()
        self._termlog.uninstall()


async def serve(
    config: Path,
    upstream: Address,
    listen: tuple[str, int],
    *,
    worker_dir: Path | None,
    app_log: AppLog,
    confdir: str,
) -> None:
    """Run one process until it is told to end; see `run`."""
    logging.getLogger().setLevel(logging.INFO)
    for noisy in ("asyncio", "hpack", "mitmproxy.proxy.server"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # mitmproxy warns where its own choice of layers is missing; ours builds them all.
    proxyserver_log = logging.getLogger("mitmproxy.addons.proxyserver")
    proxyserver_log.addFilter(lambda record: "without nextlayer" not in record.getMessage())
    opts = options.Options(confdir=confdir)
    lean = LeanMaster(opts, app_log, worker_dir)
    share_port(opts, shared=worker_dir is not None)
    opts.update(litellm_config=str(config), mode=[spec(upstream, listen)], termlog_verbosity="warn")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Until the addon runs, which lets running requests finish first.
        loop.add_signal_handler(number, lean.shutdown)
    supervisor = None
    if worker_dir is not None:
        supervisor = loop.create_task(_drain_without(os.getppid()))
        with suppress(OSError, AttributeError):  # Linux's, which needs no look
            ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    await lean.run()
    if supervisor is not None:
        supervisor.cancel()


@contextmanager
def shared_confdir(confdir: str) -> Iterator[str]:
    """Have the certificate authority made once for all workers, in `confdir` or a temporary folder."""
    opts = options.Options(confdir=confdir)
    temporary = prepare_confdir(opts)
    try:
        yield opts.confdir
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


async def _drain_without(parent: int) -> None:
    """Drain once the supervisor is gone: nobody would end this worker, and it would keep the port."""
    while os.getppid() == parent:  # noqa: ASYNC110 (nothing tells)
        await asyncio.sleep(_CHECK_EVERY)
    signal.raise_signal(signal.SIGTERM)


def run(
    config: Path,
    upstream: Address,
    listen: tuple[str, int],
    *,
    shared: Path | None,
    app_log: AppLog,
    confdir: str,
) -> int:
    """One process; its exit code.

    `shared`: where it shares its numbers with the others on the same port; None: there are no others.
    `confdir`: of the certificate authority.
    """
    if shared is not None:
        check_sharing()
    skip_self_checks()
    try:
        asyncio.run(serve(config, upstream, listen, worker_dir=shared, app_log=app_log, confdir=confdir))
    except SystemExit:  # mitmproxy's way to end where an error was logged at start
        return 1 if shared is None else CANNOT_START
    finally:
        # Another Ctrl-C could only have the interpreter print a traceback while it ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return 0
