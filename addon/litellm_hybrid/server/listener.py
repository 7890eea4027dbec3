"""How `serve` listens: a mode and a server instance of mitmproxy's kind, which it registers by themselves."""

import asyncio
import socket
from typing import Any, override

from mitmproxy import ctx, options
from mitmproxy.proxy import layer, layers, mode_servers, mode_specs
from mitmproxy.proxy.context import Context

from litellm_hybrid.config.settings import Address, host_port
from litellm_hybrid.proxy.connection import HybridConnectionHandler

_BACKLOG = 2048
"""How many connections may wait to be accepted; with asyncio's 100 a burst of clients waits a second."""

_SHARE_PORT = "hybrid_share_port"


class HybridMode(mode_specs.ReverseMode):
    """`hybrid:http://upstream@host:port`: a reverse proxy over TCP that listens in our way."""

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self.transport_protocol = mode_specs.TCP


class HybridInstance(mode_servers.AsyncioServerInstance[HybridMode]):
    """Listens for a `HybridMode`: with a long backlog, where wanted on a shared port."""

    @override
    def make_top_layer(self, context: Context) -> layer.Layer:
        return layers.modes.ReverseProxy(context)

    @override
    async def listen(self, host: str, port: int) -> list[Any]:
        shared: bool = getattr(ctx.options, _SHARE_PORT)
        server = await asyncio.start_server(
            self.handle_stream, host, port, reuse_port=shared or None, backlog=_BACKLOG
        )
        return [server]

    @override
    async def handle_stream(self, reader: Any, writer: Any = None) -> None:
        handler = HybridConnectionHandler(ctx.master, reader, writer, ctx.options, self.mode)  # type: ignore[no-untyped-call]
        handler.layer = self.make_top_layer(handler.layer.context)
        with self.manager.register_connection(handler.client.id, handler):
            await handler.handle_client()


def spec(upstream: Address, listen: tuple[str, int]) -> str:
    """Return mitmproxy's option `mode`."""
    return f"{HybridMode.type_name}:{upstream}@{host_port(*listen)}"


def shown(mode: str) -> str:
    """Return a mode as people know it, and as mitmproxy's own tools take it."""
    return mode_specs.ReverseMode.type_name + mode.removeprefix(HybridMode.type_name)


def share_port(opts: options.Options, *, shared: bool) -> None:
    """Say whether other processes listen on the same port, each with its own queue of new connections."""
    opts.add_option(_SHARE_PORT, bool, shared, "Whether several processes listen on one port.")


def check_sharing() -> None:
    """Make sure that several processes can listen on one port.

    Raises:
        OSError: the system has no SO_REUSEPORT.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise OSError("this system cannot share a port among processes (no SO_REUSEPORT): use workers: 1")
