"""The engine's outer side; what it does with requests is shown on sockets, in tests/e2e."""

import json

import pytest
from mitmproxy import options
from mitmproxy.addons import next_layer
from mitmproxy.proxy import commands, events, layer, layers
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode, HttpStream
from mitmproxy.test import tflow

from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.config.settings import Address
from litellm_hybrid.proxy import engine
from litellm_hybrid.proxy.engine import EngineError, HybridHttp1Server, HybridLayer

# -- check ------------------------------------------------------------------


def test_the_installed_mitmproxy_fits() -> None:
    engine.check()


@pytest.mark.parametrize(("cls", "name"), [entry[:2] for entry in engine._OVERRIDDEN])
def test_a_name_that_is_gone_is_named(cls: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cls, name, lambda: None)

    with pytest.raises(EngineError, match=f"{cls.__name__}.{name}"):
        engine.check()


def test_what_is_missing_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HttpStream, "send_response")
    monkeypatch.setattr(HttpLayer, "make_stream", lambda self, stream_id, more: None)  # noqa: ARG005

    with pytest.raises(EngineError) as e:
        engine.check()

    assert "does not have HttpStream.send_response, HttpLayer.make_stream as litellm-hybrid needs" in str(
        e.value
    )
    assert 'pip install "mitmproxy>=12.2,<13"' in str(e.value)


@pytest.mark.parametrize("ours", [engine.HybridStream, HybridLayer, HybridHttp1Server])
def test_all_that_is_overridden_is_checked(ours: type) -> None:
    """A method that replaces one of mitmproxy's must be in the list."""
    base = ours.__mro__[1]
    replaced = {
        name for name in vars(ours) if callable(getattr(base, name, None)) and not name.startswith("__")
    }

    assert replaced <= {name for cls, name, _ in engine._OVERRIDDEN if issubclass(base, cls)}


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
    assert engine.listeners([mode], host, port) == [found]


def test_several_listeners() -> None:
    modes = ["reverse:http://a:1@2", "reverse:http://b:3@4"]

    assert [(here, there.host) for _, here, there in engine.listeners(modes, "", None)] == [
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
        engine.listeners(["reverse:http://a:1", mode], None, None)


# -- layers -----------------------------------------------------------------


def _context() -> Context:
    return Context(tflow.tclient_conn(), options.Options())


class _Builtin:
    """Chooses what a test says."""

    def __init__(self, chosen: layer.Layer | None) -> None:
        self.chosen = chosen

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        nextlayer.layer = self.chosen


def test_a_plain_http_layer_becomes_ours() -> None:
    context = _context()
    plain = layers.HttpLayer(context, HTTPMode.transparent)

    engine.choose_layer(_Builtin(plain), next_ := layer.NextLayer(context), HybridAddon()._proxy)

    assert next_.layer is plain
    assert type(plain) is HybridLayer


def test_a_layer_below_another_becomes_ours() -> None:
    context = _context()
    tls = layers.ServerTLSLayer(context)
    tls.child_layer = below = layers.HttpLayer(context, HTTPMode.transparent)

    engine.choose_layer(_Builtin(tls), layer.NextLayer(context), HybridAddon()._proxy)

    assert isinstance(below, HybridLayer)


@pytest.mark.parametrize("chosen", [None, "tcp"])
def test_another_layer_stays(chosen: str | None) -> None:
    context = _context()
    tcp = layers.TCPLayer(context) if chosen else None

    engine.choose_layer(_Builtin(tcp), next_ := layer.NextLayer(context), HybridAddon()._proxy)

    assert next_.layer is tcp


def test_mitmproxys_own_addon_fits() -> None:
    assert callable(next_layer.NextLayer().next_layer)


# -- JSON in place of HTML --------------------------------------------------


def test_what_cannot_be_parsed_is_refused_in_json() -> None:
    context = _context()
    server = HybridHttp1Server(context, HybridAddon()._proxy)
    list(server.handle_event(events.Start()))

    sent = list(server.handle_event(events.DataReceived(context.client, b"GET / HTTP/9\r\n\r\n")))

    (data,) = [command.data for command in sent if isinstance(command, commands.SendData)]
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n")
    assert json.loads(body)["error"] == "bad_request"
    assert f"Content-Length: {len(body)}".encode() in head
    assert any(isinstance(command, commands.CloseConnection) for command in sent)
