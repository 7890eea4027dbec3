"""Hooks are called at once where that changes nothing for the addons."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import Mock

import pytest
from mitmproxy import exceptions, http, options
from mitmproxy.addons.onboarding import Onboarding
from mitmproxy.connection import Server
from mitmproxy.coretypes.multidict import MultiDict
from mitmproxy.log import LegacyLogEvents, LogEntry
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import NextLayer
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpRequestHook
from mitmproxy.proxy.server_hooks import ServerConnectedHook, ServerConnectionHookData
from mitmproxy.test import taddons, tflow, tutils

from litellm_hybrid.proxy.fast_path import (
    HookCalls,
    message_like,
    set_host,
    spare_addons_log_lines,
    speed_up_lookups,
)


class Addon:
    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls

    def request(self, flow: http.HTTPFlow) -> None:
        assert flow.request
        self.calls.append(self.name)


class Halts(Addon):
    def request(self, flow: http.HTTPFlow) -> None:
        super().request(flow)
        raise exceptions.AddonHalt


class Fails(Addon):
    def request(self, flow: http.HTTPFlow) -> None:
        super().request(flow)
        raise ZeroDivisionError


class Awaited(Addon):
    async def request(self, flow: http.HTTPFlow) -> None:  # type: ignore[override]
        super().request(flow)


class Watches(Addon):
    def update(self, flows: list[http.HTTPFlow]) -> None:
        assert flows


@pytest.fixture
async def master() -> AsyncIterator[Any]:
    with taddons.context() as tctx:
        yield tctx.master


def _called(master: Any, *kinds: type[Addon]) -> tuple[bool, list[str]]:
    calls: list[str] = []
    master.addons.add(*(kind(f"{number} {kind.__name__}", calls) for number, kind in enumerate(kinds)))
    return HookCalls().call(HttpRequestHook, tflow.tflow()), calls


@pytest.mark.parametrize(
    ("kinds", "calls"),
    [
        ((), []),
        ((Addon, Addon), ["0 Addon", "1 Addon"]),
        ((Halts, Addon), ["0 Halts"]),
        ((Fails, Addon), ["0 Fails", "1 Addon"]),
    ],
)
async def test_handlers_are_called_in_order(
    master: Any, kinds: tuple[type[Addon], ...], calls: object
) -> None:
    assert _called(master, *kinds) == (True, calls)


@pytest.mark.parametrize("kind", [Awaited, Watches])
async def test_mitmproxy_calls_those_that_want_more(master: Any, kind: type[Addon]) -> None:
    """A handler that is awaited, and mitmweb's, which is told about every update."""
    assert _called(master, Addon, kind) == (False, [])


@pytest.mark.parametrize(("host", "is_mitmproxys"), [("mitm.it", True), ("127.0.0.1:8318", False)])
async def test_only_what_is_for_mitmproxys_own_pages_is_awaited(
    master: Any, host: str, *, is_mitmproxys: bool
) -> None:
    master.addons.add(Onboarding())
    flow = tflow.tflow()
    flow.request.headers["Host"] = host
    assert HookCalls().call(HttpRequestHook, flow) is not is_mitmproxys


class Listens:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def add_log(self, entry: LogEntry) -> None:
        self.heard.append(entry.msg)


async def test_addons_are_asked_about_a_line_where_one_of_them_listens(
    master: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Mock(wraps=master.addons.trigger)
    monkeypatch.setattr(master.addons, "trigger", asked)
    events, logger, listens = LegacyLogEvents(master), logging.getLogger("to be heard"), Listens()
    monkeypatch.setattr(logging.getLogger(), "handlers", [events])

    spare_addons_log_lines()
    logger.warning("nobody listens")
    await asyncio.sleep(0)
    asked.assert_not_called()

    master.addons.add(listens)
    logger.warning("one listens")
    await asyncio.sleep(0)
    assert [line.rpartition("] ")[2] for line in listens.heard] == ["one listens"]


async def test_other_hooks_are_mitmproxys(master: Any) -> None:
    assert master
    assert not HookCalls().call(HttpErrorHook, tflow.tflow())


class Hears(Addon):
    def server_connected(self, data: ServerConnectionHookData) -> None:
        assert data.server.address
        self.calls.append(f"{self.name} {data.server.address[0]}")


class HearsLater(Hears):
    async def server_connected(self, data: ServerConnectionHookData) -> None:  # type: ignore[override]
        raise AssertionError(data)


class FailsToHear(Hears):
    def server_connected(self, data: ServerConnectionHookData) -> None:
        raise ValueError(data)


@pytest.mark.parametrize(
    ("kinds", "is_done", "calls"),
    [
        ((), True, []),
        ((Addon,), True, []),
        ((Hears, Addon, Hears), True, ["0 Hears 10.0.0.1", "2 Hears 10.0.0.1"]),
        ((FailsToHear, Hears), True, ["1 Hears 10.0.0.1"]),
        ((Hears, HearsLater), False, []),
        ((Hears, Watches), False, []),
    ],
)
async def test_who_hears_of_a_connection_is_told_at_once(
    master: Any, kinds: tuple[type[Addon], ...], is_done: bool, calls: list[str]
) -> None:
    heard: list[str] = []
    master.addons.add(*(kind(f"{number} {kind.__name__}", heard) for number, kind in enumerate(kinds)))
    data = ServerConnectionHookData(Server(address=("10.0.0.1", 1)), tflow.tclient_conn())

    assert HookCalls().tell(ServerConnectedHook(data)) is is_done
    assert heard == calls


async def test_other_hooks_are_not_told(master: Any) -> None:
    """Their flow may be held up, and somebody may wait for it."""
    assert master
    assert not HookCalls().tell(HttpErrorHook(tflow.tflow()))
    assert not HookCalls().tell(HttpRequestHook(tflow.tflow()))


async def test_an_addon_that_comes_later_is_called(master: Any) -> None:
    hooks, calls = HookCalls(), list[str]()
    hooks.call(HttpRequestHook, tflow.tflow())

    master.addons.add(Addon("late", calls))
    hooks.call(HttpRequestHook, tflow.tflow())

    assert calls == ["late"]


@pytest.mark.parametrize(
    "name", ["accept", "ACCEPT", b"Accept", "x-\xe4", "x-\udc80", "set-cookie", "not-there", ""]
)
def test_headers_are_looked_up_as_mitmproxy_does(name: str | bytes) -> None:
    fields = [
        (b"Accept", b"a/b"),
        (b"aCCept", b"c"),
        (b"X-\xc3\xa4", b"\xff"),
        (b"x-\x80", b""),
        (b"Set-Cookie", b"a=b, c"),
    ]
    headers = http.Headers(fields)
    key = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
    expected = [value.decode("utf-8", "surrogateescape") for value in MultiDict.get_all(headers, key)]
    speed_up_lookups()
    assert headers.get_all(name) == expected
    assert headers.get(name, "none") == (", ".join(expected) if expected else "none")
    assert (name in headers) is bool(expected)


def test_options_are_looked_up_as_mitmproxy_does() -> None:
    """What may be changed in place is a copy, as there."""
    opts = options.Options(listen_host="::1", mode=["regular"])
    before = {name: option.current() for name, option in opts.items()}
    speed_up_lookups()
    assert {name: getattr(opts, name) for name in before} == before
    opts.mode.append("socks5")
    assert opts.mode == ["regular"]


def test_a_context_is_forked_as_mitmproxy_does() -> None:
    """Its server connection and layers can be replaced without the other's."""
    context = Context(tflow.tclient_conn(), options.Options())
    top = NextLayer(context)
    context.layers.append(top)
    speed_up_lookups()

    forked = context.fork()
    same = (forked.client, forked.server, forked.options, forked.layers)
    forked.server = Server(address=("10.0.0.1", 1))
    forked.layers.append(top)

    assert type(forked) is Context
    assert same[:3] == (context.client, context.server, context.options)
    assert context.layers == [top]
    assert context.server is not forked.server


@pytest.mark.parametrize(
    "fields",
    [(), (b"Host",), (b"hOST",), (b"host", b"Host"), (b"X", b"HOST", b"Y")],
    ids=lambda names: b" ".join(names).decode() or "none",
)
def test_a_host_is_set_as_mitmproxy_does(fields: tuple[bytes, ...]) -> None:
    ours = http.Request.make("GET", "http://a/")
    ours.headers.fields = tuple((name, b"there") for name in fields)
    theirs = ours.copy()

    set_host(ours, "here:1")

    theirs.host_header = "here:1"
    assert ours.headers.fields == theirs.headers.fields


@pytest.mark.parametrize("template", [tutils.treq(), tutils.tresp(), tutils.treq(trailers=None)])
def test_a_message_like_another_is_the_one_that_its_constructor_makes(template: http.Message) -> None:
    template.stream = True
    before = template.get_state()
    headers = http.Headers([(b"a", b"b")])

    made = message_like(template, headers=headers, content=b"other", timestamp_end=None)

    state = before | {"headers": headers.get_state(), "content": b"other", "timestamp_end": None}
    assert made.get_state() == state == type(template).from_state(state).get_state()
    assert made.stream is False
    made.http_version = "HTTP/2.0"
    assert template.get_state() == before
