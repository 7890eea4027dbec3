"""An address on this machine, and the server there, which a test may take away or replace."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import override

from e2e.harness import Stub
from support.ports import bound
from support.servers import Handler, Reply, Server
from support.wire import Connection, Request

HI = [{"message": {"role": "assistant", "content": "Hi"}}]
"""What makes an answer one of a model's."""

type Answers = Callable[[Connection], Awaitable[None]]
"""What a server does on a connection, from its first byte."""


async def healthy(request: Request, reply: Reply) -> None:
    """Answer with the request's id."""
    await reply.json(200, {"served": request.header("x-request-id"), "choices": HI})


class Raw(Server):
    """A server that need not speak HTTP."""

    def __init__(self, answers: Answers, port: int) -> None:
        super().__init__(_unused, port=port)
        self._answers = answers

    @override
    async def _serve(self, connection: Connection) -> None:
        await self._answers(connection)


async def _unused(request: Request, reply: Reply) -> None:
    raise NotImplementedError(request, reply)


class Place:
    """A port that stays ours, with a `Stub` at work there most of the time.

    Attributes:
        stub: the server; a test sets its `does`.
        now: whichever server is there.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        # Bound for as long as this lives and never listening: nobody else is given the port.
        self._reserved = bound(0)
        self._tls = tls
        self.port: int = self._reserved.getsockname()[1]
        self.now: Server | None = None
        self.stub: Stub

    @property
    def url(self) -> str:
        """`http://127.0.0.1:port`, or https."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> list[Connection]:
        """Those that neither side has closed."""
        return self.now.open_connections if self.now else []

    async def open(self) -> None:
        """Begin to serve."""
        self.stub = Stub(healthy, port=self.port, tls=self._tls)
        self.now = await self.stub.__aenter__()

    async def close(self) -> None:
        """Serve no more; connecting is refused."""
        server, self.now = self.now, None
        if server is not None:
            await server.__aexit__(None, None, None)

    async def leave(self) -> None:
        """Give the port back."""
        await self.close()
        self._reserved.close()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Nobody is there meanwhile."""
        await self.close()
        try:
            yield
        finally:
            await self.open()

    @asynccontextmanager
    async def instead(self, answers: Answers | ssl.SSLContext) -> AsyncIterator[None]:
        """Another server is there meanwhile: one that says something else, or has another certificate."""
        async with self.away():
            if isinstance(answers, ssl.SSLContext):
                other: Server = Stub(healthy, port=self.port, tls=answers)
            else:
                other = Raw(answers, self.port)
            async with other:
                self.now = other
                yield
                self.now = None

    @asynccontextmanager
    async def black_hole(self) -> AsyncIterator[None]:
        """Connecting takes for ever: Linux drops a SYN while the queue of connections is full."""
        async with self.away():
            with bound(self.port) as listening:
                listening.listen(0)
                waiting = [socket.socket() for _ in range(4)]
                for one in waiting:
                    one.setblocking(False)
                    with suppress(BlockingIOError):
                        one.connect(listening.getsockname())
                await asyncio.sleep(0)
                try:
                    yield
                finally:
                    for one in waiting:
                        one.close()


__all__ = ["Answers", "Handler", "Place", "Raw", "healthy"]
