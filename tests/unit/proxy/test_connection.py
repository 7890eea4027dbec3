"""What is mended of mitmproxy's connection handler (the rest: tests/faults), where it listens, what stands there."""

import asyncio
import os
import subprocess
import sys
from typing import Any, cast
from unittest.mock import patch

import pytest
from mitmproxy import http, options
from mitmproxy.addons import next_layer as builtin
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy import commands, events, layer, layers, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.test import taddons, tflow

from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.config.settings import Address
from litellm_hybrid.proxy.connection import HybridConnectionHandler, build_layer, listeners
from litellm_hybrid.proxy.layer import HybridLayer
from unit.proxy.playbook import Clock
from unit.proxy.wires import REQUEST, Wires, connected


class Writer:
    """Of a connection that was reset before anybody asked for its address."""

    closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default if name != "peername" else None

    def close(self) -> None:
        self.closed = True


async def connect_to_what_is_reset() -> None:
    """The stream that waits is told, and the socket closed."""
    writer, seen = Writer(), list[events.Event]()

    async def open_connection(*_: object, **__: object) -> tuple[Any, Any]:
        return asyncio.StreamReader(), writer

    async def note(event: events.Event) -> None:
        seen.append(event)

    mode = mode_specs.ProxyMode.parse("reverse:http://127.0.0.1:1")
    with taddons.context() as tctx, patch.object(asyncio, "open_connection", open_connection):
        handler = HybridConnectionHandler(tctx.master, None, Writer(), options.Options(), mode)  # type: ignore[no-untyped-call]
        cast("Any", handler).server_event = note
        command = commands.OpenConnection(Server(address=("127.0.0.1", 1)))
        await handler.open_connection(command)
    if not (writer.closed and command.connection.state is ConnectionState.CLOSED and len(seen) == 1):
        pytest.fail(f"{writer.closed=}, {command.connection.state=}, {seen=}")
    if cast("Any", seen[0]).reply != "Connection reset by peer":
        pytest.fail(repr(seen))


async def test_a_connection_without_an_address_has_failed() -> None:
    await connect_to_what_is_reset()


def test_so_it_has_without_assertions() -> None:
    """With `PYTHONOPTIMIZE` mitmproxy does not assert that there is an address: it takes it apart."""
    program = (
        "import asyncio; from unit.proxy.test_connection import *; asyncio.run(connect_to_what_is_reset())"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    done = subprocess.run(
        [sys.executable, "-O", "-c", program], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


async def test_a_head_goes_out_in_one_write_with_its_body() -> None:
    async with connected(Clock(), relays=True, ends=True) as wires:
        wires.tap = False
        wires.client.feed(REQUEST % 1)
        await wires.settle()
        wires.server.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
        await wires.settle()

        assert wires.server.sent.endswith(b"\r\n\r\n{}")
        assert wires.client.sent.endswith(b"\r\n\r\nfine")
        assert (wires.server.writes, wires.client.writes) == (1, 1)


async def test_a_long_body_is_not_copied_to_be_joined() -> None:
    body = b"x" * 100_000
    async with connected(Clock(), relays=True, ends=True) as wires:
        wires.tap = False
        wires.client.feed(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await wires.settle()

        assert wires.server.sent.endswith(body)
        assert wires.server.writes == 2


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def serve_one(wires: Wires) -> None:
    """The first request of a connection, whose layers are built meanwhile."""
    wires.call_hooks_at_once()
    wires.client.feed(REQUEST % 1)
    await wires.settle()
    wires.server.feed(WHOLE)
    await wires.settle()
    wires.server.sent.clear()
    wires.client.sent.clear()


@pytest.mark.parametrize("relays", [True, False])
async def test_what_comes_is_taken_where_it_is_read(relays: bool) -> None:
    """Without waking a task, unless that is turned off."""
    async with connected(Clock(), relays=relays, ends=True) as wires:
        await serve_one(wires)

        wires.client.feed(REQUEST % 1)

        assert bool(wires.server.sent) is relays
        await wires.settle()
        wires.server.feed(WHOLE)
        assert bool(wires.client.sent) is relays
        await wires.settle()
        assert wires.server.sent.endswith(b"{}")
        assert wires.client.sent.endswith(b"{}")


@pytest.mark.parametrize("relays", [True, False])
async def test_a_replay_is_written_before_anything_else_is_done_about_it(
    relays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said and remembered of it takes no time of its client's, but where a connection is waited for."""
    async with connected(Clock(), relays=relays, ends=True) as wires:
        await serve_one(wires)
        upstream, written = wires.server, list[bool]()
        monkeypatch.setattr(
            wires.rest, "replay_begun", lambda _: written.append(wires.server.sent.endswith(b"again"))
        )
        for expected in ([False, True], [True]):  # the second time its connection is there
            replay = http.Request.make("POST", "http://10.0.0.3:4000/v1", b"again")
            wires.rest.replacements = [replay]
            wires.client.feed(REQUEST % 1)
            await wires.settle()
            upstream.feed(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n\r\nquota")
            await wires.settle()
            assert written == expected
            wires.server.feed(WHOLE)
            await wires.settle()
            assert wires.client.sent.endswith(b"{}")
            wires.server.sent.clear()
            written.clear()


async def test_hundreds_of_requests_that_come_at_once_are_answered() -> None:
    """Each in the end of the one before: not in one call."""

    def answer(flow: http.HTTPFlow) -> None:
        flow.response = http.Response.make(204)

    async with connected(Clock(), relays=True, ends=True) as wires:
        wires.call_hooks_at_once()
        wires.hooks["request"] = answer

        wires.client.feed(REQUEST % 1 * 500)
        await wires.settle()

        assert wires.client.sent.count(b"HTTP/1.1 204 ") == 500


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_request_waits_for_what_its_hook_has_begun(at_once: bool) -> None:
    done = asyncio.Event()
    async with connected(Clock(), relays=True, ends=True) as wires:
        if at_once:
            wires.call_hooks_at_once()
        wires.hooks["request"] = lambda flow: wires.proxy.waits.until(flow, done.wait())
        wires.client.feed(REQUEST % 1)
        await wires.settle()
        assert not wires.servers

        done.set()
        await wires.settle()

        assert wires.server.sent


class Counts(layer.Layer):
    """Of another addon, above ours: what comes goes through it."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.child_layer = layer.NextLayer(context)
        self.seen = 0

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        self.seen += isinstance(event, events.DataReceived)
        yield from self.child_layer.handle_event(event)


async def test_a_layer_of_another_addon_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(Clock(), relays=True, ends=True) as wires:
        counts, ours = list[Counts](), wires.hook

        def hook(called: commands.StartHook) -> None:
            if isinstance(called, layer.NextLayerHook) and not counts:
                called.data.layer = Counts(called.data.context)
                counts.append(called.data.layer)
            else:
                ours(called)

        monkeypatch.setattr(wires, "hook", hook)
        await serve_one(wires)
        wires.client.feed(REQUEST % 1)

        assert wires.server.sent
        assert counts[0].seen == wires.events == 3


async def test_what_comes_waits_for_an_event_that_is_being_taken() -> None:
    async with connected(Clock(), relays=True, ends=True) as wires:
        await serve_one(wires)
        lock = wires.handler._server_event_lock
        await lock.acquire()

        wires.client.feed(REQUEST % 1)
        await wires.settle()
        assert not wires.server.sent

        lock.release()
        assert lock._waiters
        wires.server.feed(WHOLE)  # it is not this one's turn
        await wires.settle()
        assert wires.server.sent.endswith(b"{}")


async def test_what_comes_waits_until_what_was_written_is_sent() -> None:
    async with connected(Clock(), relays=True, ends=True) as wires:
        await serve_one(wires)
        wires.server.is_stuck = True
        long = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 300000\r\n\r\n"
        wires.client.feed(long)
        await wires.settle()
        for _ in range(3):
            wires.client.feed(b"x" * 100_000)
            await wires.settle()
        wires.client.feed(REQUEST[:9])
        await wires.settle()
        taken = wires.events

        wires.client.feed(REQUEST[9:])
        await wires.settle()
        assert wires.events == taken, "one read more, and no other"

        wires.server.unstick()
        await wires.settle()
        assert wires.events > taken


async def test_a_write_that_fails_ends_a_client_that_had_half_closed() -> None:
    async with connected(Clock(), relays=True, ends=True) as wires:
        await serve_one(wires)
        wires.left = False
        wires.client.feed(REQUEST % 1)
        await wires.settle()
        wires.client.end()
        await wires.settle()
        wires.client.fails = True

        wires.server.feed(WHOLE)
        await wires.settle()

        assert wires.client.is_closing()
        assert wires.task.done()


@pytest.mark.parametrize("turns", range(6), ids="{} turns later".format)
async def test_a_client_that_has_just_come_is_closed(turns: int) -> None:
    """When the proxy stops: at whatever moment of the connection's beginning."""
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # as mitmproxy does
    async with connected(Clock(), relays=True, settled=False) as wires:
        io = wires.handler.transports[wires.handler.client]
        while io.handler is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)

        wires.handler.close_connection(wires.handler.client)

        await wires.settle()
        assert wires.client.is_closing()
        assert wires.task.done()


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
    assert listeners([mode], host, port) == [found]


def test_several_listeners() -> None:
    modes = ["reverse:http://a:1@2", "reverse:http://b:3@4"]

    assert [(here, there.host) for _, here, there in listeners(modes, "", None)] == [
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
        listeners(["reverse:http://a:1", mode], None, None)


def test_an_ipv6_address_is_written_in_mitmproxys_way() -> None:
    with pytest.raises(ValueError, match="an IPv6 address without brackets: @::1:8318"):
        listeners(["reverse:http://a:1@[::1]:8318"], None, None)
    assert listeners(["reverse:http://a:1@::1:8318"], None, None)[0][:2] == ("::1", 8318)


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

        build_layer(ours, HybridAddon()._proxy)

    assert _stack(theirs.layer) == [*stack, "HttpLayer"]
    assert _stack(ours.layer) == [*stack, "JoiningLayer"]


def test_a_layer_that_is_chosen_stays() -> None:
    asked = _first_bytes("reverse:http://a:1", b"GET /")
    asked.layer = chosen = layers.TCPLayer(asked.context)

    build_layer(asked, HybridAddon()._proxy)

    assert asked.layer is chosen


def test_mitmproxys_own_addon_leaves_ours_alone() -> None:
    asked = _first_bytes("reverse:http://a:1", b"GET /")
    build_layer(asked, HybridAddon()._proxy)

    builtin.NextLayer().next_layer(asked)

    assert isinstance(asked.layer, HybridLayer)
