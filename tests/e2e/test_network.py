"""From another machine: who may spend the LiteLLM key, who may manage upstream, directly and behind HAProxy.

The other machine is a network namespace with its own address; HAProxy is the
real one. Both are needed here: `scripts/setup system` installs them on Debian.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.harness import Stub, said_hello
from support import networks
from support.networks import Ask, Neighbour, Told
from support.processes import Process, hybrid_config, mitmdump
from support.servers import in_thread

KEY = "sk-key-of-a-client"
CHAT = "/v1/chat/completions"

_MISSING = networks.missing()
needs_haproxy = pytest.mark.skipif(
    shutil.which("haproxy") is None, reason="haproxy is not installed: scripts/setup system"
)
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)

MANAGEMENT = (
    "/v0/management",
    "/v0/management/config",
    "/management.html",
    "/V0/Management/config",
    "//v0/management/config",
    "/v0/./management/config",
    "/v0/%6danagement/config",
    "/x/../v0/management/config",
    "/api/provider/openai/v0/management/config",
)

KEYS = [
    ("Authorization", f"Bearer {KEY}"),
    ("x-api-key", KEY),
    ("x-goog-api-key", KEY),
]


@dataclass(frozen=True, slots=True)
class Site:
    """The addon on this machine, and its neighbour.

    Attributes:
        open: listens on the address that the neighbour sees.
        local: listens on 127.0.0.1 alone.
        trusting: the same, and believes 127.0.0.1 about whom it speaks for.
    """

    neighbour: Neighbour
    upstream: Stub
    litellm: Stub
    open: int
    local: int
    trusting: int
    folder: Path

    def reached(self) -> tuple[int, int]:
        """How many requests upstream and LiteLLM have seen."""
        return len(self.upstream.requests), len(self.litellm.requests)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("network")
    upstream, litellm = Stub(), Stub()
    with ExitStack() as stack:
        neighbour = stack.enter_context(networks.neighbour())
        stack.enter_context(in_thread(upstream))
        stack.enter_context(in_thread(litellm))
        keys = {"client-api-keys": [KEY], "fallback": {"enabled": True}}

        def start(name: str, *, listen: str = "", trusted: tuple[str, ...] = ()) -> Process:
            own = folder / name
            own.mkdir()
            config = hybrid_config(litellm.url, **keys, **{"trusted-proxies": trusted})
            options = ("--mode", f"reverse:{upstream.url}@{listen}:0") if listen else ()
            return stack.enter_context(mitmdump(config, upstream.url, own, *options))

        # Port 0 is the system's choice; the log says which.
        opened = start("open", listen=neighbour.here)
        line = opened.wait_for(f"at {neighbour.here}:")
        port = int(line.rpartition(f"at {neighbour.here}:")[2].split()[0].rstrip("."))
        local = start("local").port
        trusting = start("trusting", trusted=("127.0.0.1",)).port
        yield Site(neighbour, upstream, litellm, port, local, trusting, folder)


def chat(host: str, port: int, *headers: tuple[str, str], model: str = "gpt-5") -> Ask:
    fields = (("Content-Type", "application/json"), *headers)
    return Ask("POST", host, port, CHAT, json.dumps({"model": model}), fields)


def manage(host: str, port: int, *headers: tuple[str, str], path: str = "/v0/management/config") -> Ask:
    return Ask("GET", host, port, path, "", headers)


def _assert_refused(told: Told, status: int, *words: str) -> None:
    assert told.status == status
    assert told.headers["content-type"] == "application/json"
    assert told.headers["x-hybrid-route"].endswith("; reason=refused")
    assert told.json()["error"] == "litellm_access_refused"
    for word in words:
        assert word in told.json()["message"]


def _assert_served(told: Told, target: str) -> None:
    assert (told.status, told.headers["x-hybrid-route"].partition(";")[0]) == (200, target)
    assert told.json() == said_hello(CHAT)


# -- directly ------------------------------------------------------------------


def test_without_a_key(site: Site) -> None:
    """Nothing is served by LiteLLM, whatever the request claims about where it comes from."""
    claims = [
        (),
        (("Host", "127.0.0.1"),),
        (("X-Forwarded-For", "127.0.0.1"),),
        (("Forwarded", "for=127.0.0.1"), ("X-Real-IP", "127.0.0.1")),
        (("Authorization", "Bearer sk-wrong"),),
    ]
    before = site.reached()
    told = site.neighbour.ask(*(chat(site.neighbour.here, site.open, *claim) for claim in claims))

    for one, claim in zip(told, claims, strict=True):
        _assert_refused(one, 403 if dict(claim).get("Authorization") else 401, "client key")
    assert site.reached() == before


@pytest.mark.parametrize("key", KEYS, ids=[name for name, _ in KEYS])
def test_with_a_key(key: tuple[str, str], site: Site) -> None:
    (told,) = site.neighbour.ask(chat(site.neighbour.here, site.open, key))

    _assert_served(told, "litellm")
    assert KEY not in repr(site.litellm.last.headers)


def test_upstream_learns_the_true_address(site: Site) -> None:
    """It checks its own clients; what it must not be is deceived about where they are."""
    claims = (("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1"), ("Forwarded", "for=127.0.0.1"))
    (told,) = site.neighbour.ask(chat(site.neighbour.here, site.open, KEYS[0], *claims, model="o3"))

    _assert_served(told, "upstream")
    assert site.upstream.last.values("x-forwarded-for") == [site.neighbour.there]
    assert site.upstream.last.values("x-real-ip") == site.upstream.last.values("forwarded") == []


def test_management_is_refused(site: Site) -> None:
    """However it is written, and with a client key too."""
    here, port = site.neighbour.here, site.open
    before = site.reached()
    told = site.neighbour.ask(
        *(manage(here, port, path=path) for path in MANAGEMENT),
        manage(here, port, KEYS[0]),
        manage(here, port, ("X-Forwarded-For", "127.0.0.1"), ("Host", "localhost")),
    )

    for one in told:
        _assert_refused(one, 403, "own machine")
    assert site.reached() == before


# -- behind HAProxy --------------------------------------------------------------


@needs_haproxy
@pytest.mark.parametrize("trusted", [False, True], ids=["untrusted", "trusted"])
def test_behind_haproxy(trusted: bool, site: Site) -> None:
    """HAProxy connects from 127.0.0.1: without a key neither it nor its client is taken for local."""
    here = site.neighbour.here
    behind = site.trusting if trusted else site.local
    with networks.haproxy(here, behind, site.folder) as front:
        before = site.reached()
        refused = site.neighbour.ask(
            chat(here, front.port),
            chat(here, front.port, ("Host", "127.0.0.1")),
            chat(here, front.port, ("X-Forwarded-For", "127.0.0.1")),
            manage(here, front.port),
            manage(here, front.port, KEYS[0], ("X-Forwarded-For", "127.0.0.1")),
        )
        assert site.reached() == before
        (served, upstream) = site.neighbour.ask(
            chat(here, front.port, KEYS[0]), chat(here, front.port, KEYS[0], model="o3")
        )
        seen = site.upstream.last.values("x-forwarded-for")

    for one in refused[:3]:
        _assert_refused(one, 401, "client key")
    for one in refused[3:]:
        _assert_refused(one, 403, "own machine")
    _assert_served(served, "litellm")
    _assert_served(upstream, "upstream")
    # Not trusted, HAProxy itself is all that is known.
    assert seen == [site.neighbour.there if trusted else "127.0.0.1"]


@needs_haproxy
@pytest.mark.parametrize("trusted", [False, True], ids=["untrusted", "trusted"])
def test_this_machines_own_programs_behind_haproxy(trusted: bool, site: Site) -> None:
    """Whatever HAProxy says of them, they need a key: only who connects from here directly counts as local."""
    behind = site.trusting if trusted else site.local
    with networks.haproxy(site.neighbour.here, behind, site.folder) as front:
        (told, management) = networks.ask_from_here(
            chat("127.0.0.1", front.port), manage("127.0.0.1", front.port)
        )

    _assert_refused(told, 401, "client keys")
    _assert_refused(management, 403)


@needs_haproxy
def test_a_forward_that_adds_no_header(site: Site) -> None:
    """The limit that SECURITY.md states: `ssh -R` and TCP forwards look like this machine's own programs.

    Without client keys only a Host that is no loopback name gives them away.
    """
    here = site.neighbour.here
    with networks.haproxy(here, site.local, site.folder, mode="tcp") as front:
        (by_address, by_name) = site.neighbour.ask(
            chat(here, front.port), chat(here, front.port, ("Host", "localhost"))
        )

    _assert_refused(by_address, 401, "Host header")
    _assert_refused(by_name, 401, "this machine's programs need one too")
