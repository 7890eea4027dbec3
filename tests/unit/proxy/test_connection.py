"""What is mended of mitmproxy's connection handler; the rest is shown on sockets, in tests/faults."""

import asyncio
import os
import subprocess
import sys
from typing import Any, cast
from unittest.mock import patch

import pytest
from mitmproxy import options
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.proxy import commands, events, mode_specs
from mitmproxy.test import taddons

from litellm_hybrid.proxy.connection import HybridConnectionHandler


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
