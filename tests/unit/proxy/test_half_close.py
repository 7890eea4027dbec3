"""What this machine knows of a client's socket."""

import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mitmproxy.connection import Client

from litellm_hybrid.proxy import half_close

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux has that table")


@pytest.fixture(params=["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's socket, and ours."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as listening:
        try:
            if family is socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listening.bind((request.param.replace("::ffff:127.0.0.1", "::"), 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        listening.listen()
        host = request.param.removeprefix("::ffff:")
        client = socket.create_connection((host, listening.getsockname()[1]))
        server, _ = listening.accept()
        with client, server:
            yield client, server


def _client(server: socket.socket) -> Client:
    return Client(peername=server.getpeername(), sockname=server.getsockname(), timestamp_start=0)


def test_one_that_half_closes_is_there(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""

    assert half_close.has_left(_client(server)) is False


def test_one_that_closes_is_not(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.close()
    assert server.recv(1) == b""

    assert half_close.has_left(_client(server)) is True


def test_one_that_half_closes_first(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.shutdown(socket.SHUT_WR)
    client.close()

    assert half_close.has_left(_client(server)) is True


def test_one_that_resets(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    who = _client(server)
    client.close()
    with pytest.raises(ConnectionResetError):
        server.recv(1)

    assert half_close.has_left(who) is True


def test_nothing_is_known_of_one_on_another_machine(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only our own end is in this machine's table."""
    port = f":{pair[0].getsockname()[1]:04X}"
    for name in ("tcp", "tcp6"):
        lines = Path("/proc/net", name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(line for line in lines if port not in line.split()[1]))
    monkeypatch.setattr(half_close, "_PROC", tmp_path)

    assert half_close.has_left(_client(pair[1])) is None


def test_nothing_is_known_of_what_is_no_address() -> None:
    who = Client(peername=("a socket", 1), sockname=("a socket", 2), timestamp_start=0)

    assert half_close.has_left(who) is None


def test_nothing_is_known_where_there_is_no_such_table(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half_close, "_PROC", Path(sys.executable))

    assert half_close.has_left(_client(pair[1])) is None
