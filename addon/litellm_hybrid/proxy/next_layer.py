"""What stands on a new client connection, and for which modes of mitmproxy."""

from collections.abc import Sequence
from typing import Any

from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import layer, mode_specs, tunnel
from mitmproxy.proxy.layers import ClientQuicLayer, ClientTLSLayer, ServerQuicLayer, ServerTLSLayer

from litellm_hybrid.config.settings import Address
from litellm_hybrid.proxy.layer import HybridLayer
from litellm_hybrid.proxy.shared import HybridProxy

NextLayer = layer.NextLayer


def build_layer(next_layer: NextLayer, proxy: HybridProxy[Any]) -> None:
    """Build the layers of a client connection of which the first bytes have come.

    As mitmproxy's own addon does for `reverse:http` and `reverse:https`
    (`addons/next_layer.py:_setup_reverse_proxy`); that one is called later and leaves a chosen layer alone.
    """
    context = next_layer.context
    mode = context.client.proxy_mode
    if next_layer.layer is not None or not isinstance(mode, mode_specs.ReverseMode):
        return
    stack = tunnel.LayerStack()
    if context.client.transport_protocol == "udp":
        stack /= ServerQuicLayer(context)
        stack /= ClientQuicLayer(context)
    else:
        if mode.scheme == "https":
            stack /= ServerTLSLayer(context)
        if starts_like_tls_record(next_layer.data_client()):
            stack /= ClientTLSLayer(context)
    stack /= HybridLayer(context, proxy)
    next_layer.layer = stack[0]


def listeners(
    modes: Sequence[str], listen_host: str | None, listen_port: int | None
) -> list[tuple[str, int, Address]]:
    """Where mitmproxy listens (host, port) and the upstream that stands behind.

    Args:
        modes: mitmproxy's option `mode`.
        listen_host: mitmproxy's option of that name.
        listen_port: mitmproxy's option of that name.

    Raises:
        ValueError: one of them is no reverse proxy for HTTP; its text says what to write instead.
    """
    found = []
    for spec in modes:
        mode = mode_specs.ProxyMode.parse(spec)
        if not isinstance(mode, mode_specs.ReverseMode) or mode.scheme not in ("http", "https"):
            raise ValueError(
                f"mode {spec!r}: litellm-hybrid only works as a reverse proxy for HTTP; start mitmproxy with "
                "--mode reverse:http://127.0.0.1:8317@127.0.0.1:8318 (CLIProxyAPI's address, then ours)"
            )
        host, port = mode.address
        here = mode.listen_host(listen_host), mode.listen_port(listen_port) or 0
        found.append((*here, Address(mode.scheme, host, port)))
    return found
