"""A second machine on this one: a network namespace with its own address, and HAProxy in front of the addon.

Needs root and iproute2, and haproxy for that part; `missing` says what is not there.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.ports import free_port
from support.processes import Process, running

_CLIENT = textwrap.dedent("""
    import http.client, json, sys
    connection = None
    for method, host, port, path, body, headers in json.load(sys.stdin):
        if connection is None or (connection.host, connection.port) != (host, port):
            connection = http.client.HTTPConnection(host, port, timeout=60)
        names = {name.lower() for name, _ in headers}
        connection.putrequest(method, path, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode() or None)
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        print(json.dumps([answer.status, fields, answer.read().decode()]))
""")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to send from there."""

    method: str
    host: str
    port: int
    path: str
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another machine, as far as TCP can tell.

    Attributes:
        here: our address towards it.
        there: its own.
    """

    name: str
    here: str
    there: str

    def ask(self, *asks: Ask) -> list[Told]:
        """Send requests from there, one after the other."""
        return _ask(["ip", "netns", "exec", self.name, sys.executable, "-c", _CLIENT], asks)


def ask_from_here(*asks: Ask) -> list[Told]:
    """The same from this machine."""
    return _ask([sys.executable, "-c", _CLIENT], asks)


def _ask(command: list[str], asks: Sequence[Ask]) -> list[Told]:
    wanted = [[a.method, a.host, a.port, a.path, a.body, a.headers] for a in asks]
    done = subprocess.run(
        command, input=json.dumps(wanted), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [Told(*json.loads(line)) for line in done.stdout.splitlines()]


def missing() -> str:
    """Why there can be no namespace here; "" if there can."""
    if os.geteuid() != 0:
        return "a network namespace needs root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed: scripts/setup system"
    try:
        with neighbour():
            return ""
    except AssertionError as e:
        return f"no network namespaces here: {e}".splitlines()[0]


@contextmanager
def neighbour() -> Iterator[Neighbour]:
    """Make one, on a network of two addresses that nobody else on this machine uses."""
    number = random.randrange(64 * 256)  # noqa: S311
    network = f"198.18.{number // 64}.{number % 64 * 4}"  # RFC 2544: for tests between machines
    base, _, last = network.rpartition(".")
    here, there = f"{base}.{int(last) + 1}", f"{base}.{int(last) + 2}"
    name, inner, outer = f"hybrid-{os.getpid()}", f"hyi{os.getpid()}", f"hyo{os.getpid()}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        _ip("addr", "add", f"{here}/30", "dev", outer)
        _ip("link", "set", outer, "up")
        _ip("-n", name, "addr", "add", f"{there}/30", "dev", inner)
        _ip("-n", name, "link", "set", inner, "up")
        yield Neighbour(name, here, there)
    finally:
        _ip("netns", "del", name)  # and the pair of interfaces with it


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


@contextmanager
def haproxy(address: str, behind: int, folder: Path, *, mode: str = "http") -> Iterator[Process]:
    """Run HAProxy on an address of this machine, in front of a port of 127.0.0.1.

    Args:
        mode: `http`, with X-Forwarded-For, or `tcp`, which adds nothing, as `ssh -R` does not.
    """
    port = free_port()
    forward = "option forwardfor" if mode == "http" else ""
    file = folder / f"haproxy-{mode}.cfg"
    file.write_text(
        textwrap.dedent(f"""
            defaults
                mode {mode}
                timeout connect 10s
                timeout client 60s
                timeout server 60s
            listen hybrid
                bind {address}:{port}
                bind 127.0.0.1:{port}
                {forward}
                server hybrid 127.0.0.1:{behind}
        """)
    )
    command: list[str | Path] = ["haproxy", "-db", "-f", file]
    log = folder / f"haproxy-{mode}.log"
    with running(command, name="haproxy", log=log, port=port, ready=_accepts) as process:
        yield process


def _accepts(port: int) -> bool:
    # Its port is known to be open once a listener is there; a connection would go through to the addon.
    return any(
        f":{port:04X} 00000000:0000 0A" in line for line in Path("/proc/net/tcp").read_text().splitlines()
    )
