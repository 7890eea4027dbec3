"""Where mitmproxy listens, and what stands on a client connection."""

import pytest
from mitmproxy import options
from mitmproxy.addons import next_layer as builtin
from mitmproxy.proxy import events, layer, layers, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.test import taddons, tflow

from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.config.settings import Address
from litellm_hybrid.proxy import next_layer
from litellm_hybrid.proxy.layer import HybridLayer

# -- listeners --------------------------------------------------------------

UPSTREAM = Address("http", "127.0.0.1", 8317)


@pytest.mark.parametrize(
    ("mode", "host", "port", "found"),
    [
        ("reverse:http://127.0.0.1:8317@127.0.0.1:8318", None, None, ("127.0.0.1", 8318, UPSTREAM)),
        ("reverse:http://127.0.0.1:8317@8318", "127.0.0.1", None, ("127.0.0.1", 8318, UPSTREAM)),
        ("reverse:http://127.0.0.1:8317", None, None, ("", 8080, UPSTREAM)),
        ("reverse:http://127.0.0.1:8317", "::1", 9000, ("::1", 9000, UPSTREAM)),
        ("reverse:https://cli.example.com@0", "", None, ("", 0, Address("https", "cli.example.com", 443))),
    ],
)
def test_listeners(mode: str, host: str | None, port: int | None, found: object) -> None:
    assert next_layer.listeners([mode], host, port) == [found]


def test_several_listeners() -> None:
    modes = ["reverse:http://a:1@2", "reverse:http://b:3@4"]

    assert [(here, there.host) for _, here, there in next_layer.listeners(modes, "", None)] == [
        (2, "a"),
        (4, "b"),
    ]


@pytest.mark.parametrize(
    "mode", ["regular", "socks5", "transparent", "reverse:tcp://a:1", "upstream:http://a:1"]
)
def test_another_mode_is_refused(mode: str) -> None:
    with pytest.raises(
        ValueError, match="only works as a reverse proxy for HTTP; start mitmproxy with --mode"
    ):
        next_layer.listeners(["reverse:http://a:1", mode], None, None)


# -- layers -----------------------------------------------------------------

TLS = b"\x16\x03\x01\x02\x00"


def _first_bytes(mode: str, data: bytes) -> layer.NextLayer:
    client = tflow.tclient_conn()
    client.proxy_mode = mode_specs.ProxyMode.parse(mode)
    context = Context(client, options.Options())
    layers.modes.ReverseProxy(context)
    context.server.address = ("a", 1)
    asked = layer.NextLayer(context)
    asked.events.append(events.DataReceived(client, data))
    return asked


def _stack(top: layer.Layer | None) -> list[str]:
    names = []
    while top is not None:
        names.append(type(top).__name__)
        top = getattr(top, "child_layer", None)
    return names


@pytest.mark.parametrize(
    ("mode", "data", "stack"),
    [
        ("reverse:http://a:1", b"GET /", []),
        ("reverse:http://a:1", TLS, ["ClientTLSLayer"]),
        ("reverse:https://a:1", b"GET /", ["ServerTLSLayer"]),
        ("reverse:https://a:1", TLS, ["ServerTLSLayer", "ClientTLSLayer"]),
    ],
)
async def test_the_layers_are_mitmproxys_with_ours_at_the_end(
    mode: str, data: bytes, stack: list[str]
) -> None:
    ours, theirs = _first_bytes(mode, data), _first_bytes(mode, data)
    with taddons.context(addon := builtin.NextLayer()):
        addon.next_layer(theirs)

        next_layer.build_layer(ours, HybridAddon()._proxy)

    assert _stack(theirs.layer) == [*stack, "HttpLayer"]
    assert _stack(ours.layer) == [*stack, "HybridLayer"]


def test_a_layer_that_is_chosen_stays() -> None:
    asked = _first_bytes("reverse:http://a:1", b"GET /")
    asked.layer = chosen = layers.TCPLayer(asked.context)

    next_layer.build_layer(asked, HybridAddon()._proxy)

    assert asked.layer is chosen


def test_mitmproxys_own_addon_leaves_ours_alone() -> None:
    asked = _first_bytes("reverse:http://a:1", b"GET /")
    next_layer.build_layer(asked, HybridAddon()._proxy)

    builtin.NextLayer().next_layer(asked)

    assert isinstance(asked.layer, HybridLayer)
