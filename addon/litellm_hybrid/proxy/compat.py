"""Whether the installed mitmproxy has what is overridden and used here, private names among it.

Checked at every start: a request that meets a name that is gone would hang, or go where nobody decided.

What is swapped or patched at run time, and why, stands where it is done:

- `http1.HybridHttp1Client.put_in_place_of`: the class of a server's HTTP/1 side;
- `connection.configure_connection`: the class of a connection's handler, in mitmdump and mitmweb;
- `fast_path.skip_self_checks`: `MessageData.__post_init__`, in `serve`;
- `fast_path.speed_up_lookups`: `Headers.get_all`, `get`, `in` and `bytes`, an option's `current`, and
  `Context.fork`;
- `connection.HybridConnectionHandler.handle_connection`: the limit of asyncio's readers;
- `connection._Reads`: `feed_data` of a reader, while mitmproxy waits for it;
- `relay.Relay`: `data_received` of a server's protocol, while its body is relayed;
- `connection.HybridConnectionHandler._http_layer`: the handler's `layer`, once those above ours are done.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from h2 import frame_buffer
from h11 import _readers
from mitmproxy import addonmanager, flow, http, optmanager, version
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.proxy import context, layer, mode_servers, mode_specs, server
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.http import HttpClient, HttpLayer, HttpStream, RegisterHttpConnection
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Connection, Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Server


class IncompatibleMitmproxyError(RuntimeError):
    """The installed mitmproxy is not one that proxy/ fits."""


OVERRIDDEN: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    (HttpStream, "state_wait_for_request_headers", ("self", "event")),
    (HttpStream, "state_consume_request_body", ("self", "event")),
    (HttpStream, "make_server_connection", ("self",)),
    (HttpStream, "state_wait_for_response_headers", ("self", "event")),
    (HttpStream, "start_response_stream", ("self",)),
    (HttpStream, "state_stream_response_body", ("self", "event")),
    (HttpStream, "state_consume_response_body", ("self", "event")),
    (HttpStream, "send_response", ("self", "already_streamed")),
    (HttpStream, "handle_protocol_error", ("self", "event")),
    (HttpStream, "check_killed", ("self", "emit_error_hook")),
    (HttpStream, "check_invalid", ("self", "request")),
    (HttpStream, "_handle_event", ("self", "event")),
    (HttpLayer, "_handle_event", ("self", "event")),
    (HttpLayer, "make_stream", ("self", "stream_id")),
    (HttpLayer, "event_to_child", ("self", "child", "event")),
    (HttpLayer, "get_connection", ("self", "event", "reuse")),
    (HttpLayer, "register_connection", ("self", "command")),
    (Http1Server, "_handle_event", ("self", "event")),
    (Http1Server, "send", ("self", "event")),
    (Http1Server, "read_headers", ("self", "event")),
    (Http1Server, "read_body", ("self", "event")),
    (Http1Server, "wait", ("self", "event")),
    (Http1Server, "mark_done", ("self", "request", "response")),
    (Http1Client, "_handle_event", ("self", "event")),
    (Http1Client, "send", ("self", "event")),
    (Http1Client, "read_headers", ("self", "event")),
    (Http1Client, "read_body", ("self", "event")),
    (Http1Client, "mark_done", ("self", "request", "response")),
    (layer.Layer, "handle_event", ("self", "event")),
    (layer.NextLayer, "_ask", ("self",)),
    (modes.ReverseProxy, "finish_start", ("self",)),
    (http.Headers, "get_all", ("self", "name")),
    (http.Headers, "__bytes__", ("self",)),
    (optmanager._Option, "current", ("self",)),  # noqa: SLF001
    (context.Context, "fork", ("self",)),
    (mode_servers.ProxyConnectionHandler, "handle_hook", ("self", "hook")),
    (mode_servers.ProxyConnectionHandler, "open_connection", ("self", "command")),
    (mode_servers.ProxyConnectionHandler, "handle_connection", ("self", "connection")),
    (mode_servers.ProxyConnectionHandler, "drain_writers", ("self",)),
    (mode_servers.AsyncioServerInstance, "listen", ("self", "host", "port")),
    (mode_servers.AsyncioServerInstance, "handle_stream", ("self", "reader", "writer")),
    (mode_servers.AsyncioServerInstance, "make_top_layer", ("self", "context")),
    (addonmanager.AddonManager, "register", ("self", "addon")),
    (addonmanager.AddonManager, "remove", ("self", "addon")),
    (addonmanager.AddonManager, "handle_lifecycle", ("self", "event")),
    (addonmanager.AddonManager, "trigger_event", ("self", "event")),
)
"""Methods that ours stand in for, or call in their own way, with the names of their arguments."""

USED: tuple[tuple[type, tuple[str, ...]], ...] = (
    (layer.Layer, ("_paused", "_paused_event_queue", "context")),
    (layer.NextLayer, ("layer", "events", "data_client")),
    (context.Context, ("client", "server", "options", "layers", "fork")),
    (HttpStream, ("client_state", "server_state", "child_layer", "flow", "stream_id")),
    (HttpStream, ("request_body_buf", "response_body_buf")),
    (HttpStream, ("state_errored", "state_done")),
    (HttpLayer, ("streams", "connections", "command_sources", "waiting_for_establishment", "mode")),
    (HttpClient, ("child_layer",)),
    (modes.ReverseProxy, ("child_layer",)),
    (RegisterHttpConnection, ("connection", "err")),
    (ReceiveHttp, ("event",)),
    (Http1Connection, ("buf", "body_reader", "conn", "state", "stream_id", "done")),
    (Http1Connection, ("request", "response", "request_done")),
    (Http2Server, ("h2_conn", "conn", "protocol_error")),
    (frame_buffer.FrameBuffer, ("_data", "_headers_buffer", "_preamble_len")),
    (server.ConnectionHandler, ("transports", "timeout_watchdog", "max_conns", "client", "layer")),
    (server.ConnectionHandler, ("server_event", "_server_event_lock", "close_connection", "handle_client")),
    (server.ConnectionIO, ("handler", "reader", "writer")),
    (server.TimeoutWatchdog, ("timeout",)),
    (Proxyserver, ("connections", "servers", "listen_addrs")),
    (mode_servers.ServerInstance, ("manager", "mode")),
    (mode_specs.ReverseMode, ("scheme", "address", "listen_host", "listen_port")),
    (addonmanager.AddonManager, ("lookup", "chain")),
    (optmanager._Option, ("value", "_default")),  # noqa: SLF001
    (flow.Flow, ("_backup", "live", "error", "intercepted")),
    (http.HTTPFlow, ("request", "response", "server_conn")),
    (optmanager.OptManager, ("_options",)),
    (_readers.ContentLengthReader, ("_remaining",)),
    (_readers.ChunkedReader, ("_bytes_in_chunk", "_bytes_to_discard", "_reading_trailer")),
    (asyncio.Lock, ("_waiters", "locked")),
    (asyncio.StreamReader, ("_limit", "_buffer", "_waiter", "read", "feed_data", "at_eof", "exception")),
    (asyncio.StreamReaderProtocol, ("_paused", "data_received")),
)
"""Attributes that are read or set here and are no part of a documented interface."""


def check() -> None:
    """Make sure that the installed mitmproxy has what is overridden and used here.

    Raises:
        IncompatibleMitmproxyError: with the names that it lacks, and what to do.
    """
    lacking = [f"{cls.__name__}.{name}" for cls, name, args in OVERRIDDEN if _arguments(cls, name) != args]
    lacking += [f"{cls.__name__}.{name}" for cls, names in USED for name in names if not _has(cls, name)]
    if __debug__ and not hasattr(http.MessageData, "__post_init__"):
        lacking.append("MessageData.__post_init__")
    if lacking:
        raise IncompatibleMitmproxyError(
            f"mitmproxy {version.VERSION} does not have {', '.join(lacking)} as litellm-hybrid needs it; "
            'install one that fits: pip install "mitmproxy>=12.2,<13"'
        )


def _arguments(cls: type, name: str) -> tuple[str, ...] | None:
    function = getattr(cls, name, None)
    return None if function is None else tuple(inspect.signature(function).parameters)


def _has(cls: type, name: str) -> bool:
    """Whether objects of a class have an attribute: it is the class's, annotated, or set by a constructor."""
    if hasattr(cls, name):
        return True
    declared = any(name in inspect.get_annotations(base) for base in cls.__mro__)
    return declared or any(name in code.co_names for code in _constructors(cls))


def _constructors(cls: type) -> Iterator[Any]:
    for base in cls.__mro__:
        constructor: Callable[..., None] | None = vars(base).get("__init__")
        code = getattr(constructor, "__code__", None)
        if code is not None:
            yield code
