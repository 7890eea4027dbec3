"""The servers and the proxy of the end-to-end tests, and a proxy that another machine reaches."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.conftest import clock, confdir, litellm, start, upstream
from e2e.harness import Stub
from support import networks
from support.networks import Ask, Neighbour, Told
from support.processes import hybrid_config, mitmdump
from support.servers import in_thread

__all__ = ["clock", "confdir", "litellm", "start", "upstream"]

KEY = "sk-key-of-a-client"
PLACES = ("here", "elsewhere")
RIGHT, WRONG, EMPTY = (("X-Api-Key", key) for key in (KEY, "sk-wrong", ""))
BY_KEY: dict[str, tuple[tuple[tuple[str, str], ...], int]] = {
    "no key": ((), 401),
    "a wrong key": ((WRONG,), 403),
    "the right key": ((RIGHT,), 200),
    "the right one first": ((RIGHT, WRONG), 200),
    "a wrong one first": ((WRONG, RIGHT), 403),
    "an empty one first": ((EMPTY, RIGHT), 401),
}
"""Headers, and the status with which a key is asked for."""


@dataclass(frozen=True, slots=True)
class Site:
    """A real proxy with client keys, its two servers, and a neighbour in a network namespace of its own."""

    neighbour: Neighbour
    upstream: Stub
    litellm: Stub
    local: int
    open: int

    def ask(self, place: str, *asks: tuple[str, str, str, tuple[tuple[str, str], ...]]) -> list[Told]:
        """Send (method, path, body, headers) from this machine by loopback, or from the other one."""
        if place == "here":
            return networks.ask_from_here(
                *(
                    Ask(method, "127.0.0.1", self.local, path, body, headers)
                    for method, path, body, headers in asks
                )
            )
        return self.neighbour.ask(
            *(
                Ask(method, self.neighbour.here, self.open, path, body, headers)
                for method, path, body, headers in asks
            )
        )


@contextmanager
def site(folder: Path, **keys: Any) -> Iterator[Site]:
    """Run one; `keys` are of `extensions.litellm`."""
    with ExitStack() as stack:
        neighbour = stack.enter_context(networks.neighbour())
        upstream, litellm = Stub(), Stub()
        stack.enter_context(in_thread(upstream))
        stack.enter_context(in_thread(litellm))
        config = hybrid_config(litellm.url, **{"client-api-keys": [KEY]}, **keys)
        second = ("--mode", f"reverse:{upstream.url}@{neighbour.here}:0")
        process = stack.enter_context(mitmdump(config, upstream.url, folder, *second))
        # Port 0 is the system's choice; the log says which.
        line = process.wait_for(f"at {neighbour.here}:")
        port = int(line.rpartition(f"at {neighbour.here}:")[2].split()[0].rstrip("."))
        yield Site(neighbour, upstream, litellm, process.port, port)
