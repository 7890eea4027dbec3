"""Graceful shutdown: after SIGTERM or Ctrl-C stop accepting, drain, end.

mitmproxy's own handlers end the process at once, in the middle of every response.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress

from litellm_hybrid.config.settings import SettingsStore
from litellm_hybrid.observability import log
from litellm_hybrid.proxy.connection import Listeners

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LOOK_EVERY = 0.05


class GracefulShutdown:
    """Waits for a signal, and then for the running requests.

    Attributes:
        is_draining: whether a signal has come.
    """

    def __init__(self, settings: SettingsStore) -> None:
        """Make one for the life of the process.

        Args:
            settings: have the longest time to wait for running requests.
        """
        self.is_draining = False
        self._settings = settings
        self._task: asyncio.Task[None] | None = None

    def watch(self, listeners: Listeners, shutdown: Callable[[], None]) -> None:
        """Take the signals over, where the system lets us; needs a running loop.

        Args:
            listeners: where requests come in.
            shutdown: ends the process, with what is still running in it.
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
                f"litellm: draining: waiting up to {grace:g} s for {running} running requests; "
                "Ctrl-C ends at once",
                event="draining",
            )
        while (running := self._listeners.close_idle()) and loop.time() < deadline:  # noqa: ASYNC110
            # Nothing tells when the last byte has left a socket's buffer.
            await asyncio.sleep(_LOOK_EVERY)
        if running:
            message = f"litellm: drain timeout: {running} requests were cut off"
            log.emit(logging.WARNING, message, event="drain-timeout")
        self._shutdown()
