"""What keeps a request from going on: its turn, where its body is long, and what is asked or read meanwhile.

Apart from mitmproxy's interception, which is its user's: what he holds stays held until he lets it go.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mitmproxy import http
from mitmproxy.proxy import commands

LONG_BODY = 512 * 1024
"""A body of more bytes takes its turn: putting it together and reading it takes up to a tenth of a second."""

_PAUSE = 10
"""Passes of the event loop between two turns; a small request takes five."""


@dataclass
class HybridLongBodyHook(commands.StartHook):
    """A long body has come, and is about to be put together: waits for its turn."""

    flow: http.HTTPFlow


@dataclass
class HybridWaitHook(commands.StartHook):
    """The hook `request` has been called, and left something that the flow waits for."""

    flow: http.HTTPFlow


class Waits:
    """Makes flows wait; an addon that has the two hooks.

    Of all long bodies of a process one at a time has its turn: it is put together, read, and sent on its way.
    The turns go round by the clients' addresses; that of a client that has left ends at once.
    """

    def __init__(self) -> None:
        self._beside = ThreadPoolExecutor(1, "litellm-hybrid-bodies")
        self._works: dict[str, set[asyncio.Task[object]]] = {}
        self._queues: dict[str, deque[tuple[http.HTTPFlow, asyncio.Future[None]]]] = {}
        self._giving: asyncio.Task[None] | None = None
        self._whose: http.HTTPFlow | None = None
        self._reading: asyncio.Future[Any] | None = None

    def until(self, flow: http.HTTPFlow, work: Coroutine[Any, Any, object]) -> None:
        """Have a flow wait, in the hook `request`, until this has come to its end."""
        task = asyncio.get_running_loop().create_task(work)
        works = self._works.setdefault(flow.id, set())
        works.add(task)

        def ended(_: asyncio.Task[object]) -> None:
            works.discard(task)
            if not works:
                self._works.pop(flow.id, None)

        task.add_done_callback(ended)

    def has(self, flow: http.HTTPFlow) -> bool:
        """Whether a flow has to wait."""
        return flow.id in self._works

    async def hybrid_wait(self, flow: http.HTTPFlow) -> None:
        """Wait for all that keeps a flow."""
        while works := self._works.get(flow.id):
            await asyncio.wait(works)

    def read[T](
        self, flow: http.HTTPFlow, read: Callable[[], T], then: Callable[[Callable[[], T]], None]
    ) -> None:
        """Read a long body beside the event loop; then call `then` with what returns the result or raises."""
        self.until(flow, self._read(flow, read, then))

    async def _read[T](
        self, flow: http.HTTPFlow, read: Callable[[], T], then: Callable[[Callable[[], T]], None]
    ) -> None:
        if self._whose is not flow:  # it is long only without its content coding
            await self.hybrid_long_body(flow)
        reading = self._reading = asyncio.get_running_loop().run_in_executor(self._beside, read)
        await asyncio.wait([reading])
        then(reading.result)

    async def hybrid_long_body(self, flow: http.HTTPFlow) -> None:
        """Wait for a flow's turn."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        client = flow.client_conn.peername[0] if flow.client_conn.peername else ""
        self._queues.setdefault(client, deque()).append((flow, turn))
        self._giving = self._giving or loop.create_task(self._give_turns())
        await turn

    async def _give_turns(self) -> None:
        while self._queues:
            client = next(iter(self._queues))
            queue = self._queues.pop(client)
            self._whose, turn = queue.popleft()
            if queue:
                self._queues[client] = queue  # the last one again
            if not turn.done():
                turn.set_result(None)
            await _let_others_go_on()
            if self._reading is not None:
                await asyncio.wait([self._reading])
                self._reading = None
                await _let_others_go_on()
        self._giving = self._whose = None


async def _let_others_go_on() -> None:
    for _ in range(_PAUSE):
        await asyncio.sleep(0)
