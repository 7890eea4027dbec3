"""Leave well: after SIGTERM or Ctrl-C accept nothing new, let running requests finish, then end.

mitmproxy's own handlers end the process at once, in the middle of every answer.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from litellm_hybrid.observability.logging import logger as log

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK_EVERY = 0.05


class Door(Protocol):
    """Where requests come in; the engine's."""

    async def close(self) -> None:
        """Accept no more connections."""
        ...

    def close_idle(self) -> int:
        """Close the client connections that have nothing running; how many have."""
        ...


class Leaving:
    """Waits for a signal, and then for the running requests.

    Attributes:
        begun: whether a signal has come.
    """

    def __init__(self, door: Door, shutdown: Callable[[], None], grace: Callable[[], float]) -> None:
        """Make one.

        Args:
            door: where requests come in.
            shutdown: ends the process, with what is still running in it.
            grace: gives the longest time, in seconds, to wait before that.
        """
        self.begun = False
        self._door = door
        self._shutdown = shutdown
        self._grace = grace
        self._task: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Take the signals over, where the system lets us; needs a running loop."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            # Not on Windows, and not outside the main thread.
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self.signalled)

    def signalled(self) -> None:
        """The first signal begins, the second ends at once."""
        if self.begun:
            self._shutdown()
            return
        self.begun = True
        self._task = asyncio.get_running_loop().create_task(self._leave())

    async def _leave(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace()
        await self._door.close()
        running = self._door.close_idle()
        if running:
            log.emit(
                logging.INFO,
                f"litellm: draining: waiting up to {self._grace():g} s for {running} running requests; "
                "a second signal ends at once",
                event="draining",
            )
        while (running := self._door.close_idle()) and loop.time() < deadline:  # noqa: ASYNC110
            # Nothing tells when the last byte has left a socket's buffer.
            await asyncio.sleep(_LOOK_EVERY)
        if running:
            message = f"litellm: drain timeout: {running} requests were cut off"
            log.emit(logging.WARNING, message, event="drain-timeout")
        self._shutdown()
