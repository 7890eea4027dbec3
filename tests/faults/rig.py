"""The processes that the fault suite runs against, each started once, and what can be seen of them.

    steady   limits that no row reaches
    hasty    limits of a second
    tls      both servers speak TLS, and their certificates are checked
    lost     LiteLLM's name cannot be resolved

`steady` and `hasty` have a second listener each: in front of an upstream whose
name cannot be resolved, and of one that should speak TLS.
"""

import asyncio
import json
import re
import secrets
import ssl
import textwrap
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mitmproxy import certs

from e2e.harness import Client, until
from faults import certificates
from faults.places import Place
from support.ports import free_port
from support.processes import Process, hybrid_config, mitmdump

type Where = Literal["upstream", "litellm", "replay"]
"""At which server a fault is: at upstream, at LiteLLM, or at LiteLLM while it replaces a failed answer."""

WHERE: tuple[Where, ...] = ("upstream", "litellm", "replay")

MODEL: Mapping[Where, str] = {"upstream": "o3", "litellm": "gpt-5", "replay": "o3"}
PATH = "/v1/chat/completions"

WRONG = re.compile(r"Traceback|crashed|Addon error|[Uu]nhandled|never retrieved|never awaited")
_ID = re.compile(rb"id-[0-9a-f]{32}")

_NO_SUCH_NAME = textwrap.dedent("""
    import socket

    resolve = socket.getaddrinfo

    def resolver(host, *args, **kwargs):
        # What a real one says, without depending on the network's.
        if host in ("nowhere.invalid", b"nowhere.invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *args, **kwargs)

    socket.getaddrinfo = resolver
""")

_LONG = {"connect": "5m", "first-byte": "10m", "idle": "10m"}
_SHORT = {"connect": "1s", "first-byte": "1s", "idle": "1s"}


@dataclass(slots=True)
class Running:
    """One process, and the servers behind it.

    Attributes:
        ports: of its listeners.
        sockets: how many it has open while nothing is going on.
    """

    process: Process
    upstream: Place
    litellm: Place
    ports: tuple[int, int]
    sockets: int = 0
    clients: list[Client] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    _read: int = 0

    def place(self, where: Where) -> Place:
        """The server that has the fault."""
        return self.upstream if where == "upstream" else self.litellm

    async def client(self, listener: int = 0) -> Client:
        """A new connection to it."""
        client = await Client.connect(self.ports[listener])
        self.clients.append(client)
        return client

    def logged(self, request: bytes) -> list[dict[str, Any]]:
        """What its log says of a request, by its id."""
        self.read()
        return [json.loads(line) for line in self.output if request.decode() in line and line[0] == "{"]

    def read(self) -> list[str]:
        """The lines that it has written since the last call; `output` has them all."""
        with self.process.log.open("rb") as log:
            log.seek(self._read)
            whole, _, _ = log.read().rpartition(b"\n")
        self._read += len(whole) + bool(whole)
        lines = whole.decode().splitlines() if whole else []
        self.output += lines
        return lines

    def open_sockets(self) -> int:
        """How many sockets it holds, listening ones too."""
        folder = Path(f"/proc/{self.process.popen.pid}/fd")
        return sum(_is_socket(link) for link in folder.iterdir())

    async def at_rest(self) -> None:
        """Every client has left, and nothing is left behind: no socket here or there, nothing in the log."""
        for client in self.clients:
            await client.close()
        self.clients.clear()
        await until(lambda: not (self.upstream.open_connections or self.litellm.open_connections))
        if self.sockets:
            await until(lambda: self.open_sockets() <= self.sockets)
        self.read()
        wrong = [line for line in self.output if WRONG.search(line)]
        self.output.clear()
        assert wrong == []
        assert self.process.popen.poll() is None


@dataclass(frozen=True, slots=True)
class Rig:
    """All of them.

    Attributes:
        folder: for what a test writes.
        authority: what `tls` trusts, a folder.
    """

    running: Mapping[str, Running]
    folder: Path
    authority: Path

    def certificate(self, kind: str) -> ssl.SSLContext:
        """A bad one."""
        if kind == "unknown authority":
            return certificates.context(self.folder / "unknown", self.folder)
        if kind == "another name":
            return certificates.context(self.authority, self.folder, host="elsewhere.invalid")
        return certificates.context(self.authority, self.folder, days=-1)


def new_id() -> bytes:
    """A request's id that is found wherever it turns up."""
    return f"id-{secrets.token_hex(16)}".encode()


def ids(data: bytes) -> set[bytes]:
    """The requests whose bytes these are."""
    return set(_ID.findall(data))


@asynccontextmanager
async def rig(folder: Path, env: Mapping[str, str]) -> AsyncIterator[Rig]:
    """Start everything, and end it; `env` is added to the processes' environment."""
    authority = folder / "authority"
    certs.CertStore.from_store(authority, "mitmproxy", 2048)
    resolver = folder / "resolver"
    resolver.mkdir()
    (resolver / "sitecustomize.py").write_text(_NO_SUCH_NAME)

    good = certificates.context(authority, folder)
    places = {
        name: (Place(tls), Place(tls))
        for name, tls in (("steady", None), ("hasty", None), ("tls", good), ("lost", None))
    }
    for pair in places.values():
        for place in pair:
            await place.open()

    def start(name: str) -> tuple[str, Running, ExitStack]:
        upstream, litellm = places[name]
        own = folder / name
        own.mkdir()
        address = "http://nowhere.invalid:4000" if name == "lost" else litellm.url
        config = hybrid_config(
            address,
            **{
                "models": ["gpt-5"],
                # A slow machine makes upstream slow to say that a quota is used up, which begins a cooldown.
                "fallback": {"enabled": True, "cooldown-max": "0s"},
                "timeouts": _SHORT if name == "hasty" else _LONG,
                "log-format": "json",
            },
        )
        second = free_port()
        behind = f"https://127.0.0.1:{upstream.port}" if name == "hasty" else "http://nowhere.invalid:8317"
        stack = ExitStack()
        process = stack.enter_context(
            mitmdump(
                config,
                upstream.url,
                own,
                *("--mode", f"reverse:{behind}@127.0.0.1:{second}"),
                *("--set", f"ssl_verify_upstream_trusted_ca={certificates.authority_file(authority)}"),
                env={"PYTHONPATH": str(resolver), **env},
            )
        )
        return name, Running(process, upstream, litellm, (process.port, second)), stack

    stacks: list[ExitStack] = []
    running: dict[str, Running] = {}
    try:
        async with asyncio.TaskGroup() as group:
            starting = [group.create_task(asyncio.to_thread(start, name)) for name in places]
        for task in starting:
            name, one, stack = task.result()
            running[name] = one
            stacks.append(stack)
        for one in running.values():
            await _warm_up(one)
        yield Rig(running, folder, authority)
    finally:
        for stack in stacks:
            await asyncio.to_thread(stack.close)
        for pair in places.values():
            for place in pair:
                await place.leave()


async def _warm_up(one: Running) -> None:
    client = await one.client()
    for model in ("o3", "gpt-5"):
        await client.post(model)
    await one.at_rest()
    # Two looks that agree: a socket of the warm-up may still be closing.
    before = -1
    while (now := one.open_sockets()) != before:
        before = now
        await asyncio.sleep(0.1)
    one.sockets = now


def _is_socket(link: Path) -> bool:
    try:
        return str(link.readlink()).startswith("socket:")
    except OSError:  # closed meanwhile
        return False
