"""Every route that CLIProxyAPI 6.10.9, 7.1.76 and 7.2.140 register, and who gets through to it.

The table is cliproxyapi_routes.txt; it is played over a real proxy from this machine and from another one, a
network namespace, and by spellings, hosts and origins without sockets.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from litellm_hybrid.config.settings import Address, Patterns, Secret, Settings
from litellm_hybrid.message.forwarded import find
from litellm_hybrid.routing.rewrite import Incoming
from litellm_hybrid.routing.rules import Request, Target, route
from security.conftest import BY_KEY, PLACES, RIGHT, Site, site
from support import networks
from support.processes import PATIENCE, ROOT
from support.registered_routes import LISTED, table
from support.servers import Reply
from support.wire import Request as Wire

KEY = "client-key"
OPEN = Settings(enabled=True, base_url=Address("http", "litellm", 4000), api_key=Secret("sk-litellm"))
KEYED = replace(OPEN, client_keys=(Secret(KEY),))
HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"

ROWS = table()
PUBLIC, MODEL_APIS, ITS_MACHINE_ONLY = (
    list(dict.fromkeys(f"{row.method} {row.path}" for row in ROWS if row.who in who))
    for who in (("anybody",), ("litellm", "upstream"), ("machine",))
)
MODEL_APIS += [
    # what Amp's one route passes to a model, and other paths of theirs that LiteLLM and Google's SDKs have
    "POST /api/provider/google/v1beta1/publishers/google/models/g:streamGenerateContent",
    "POST /v1beta/models/veo:predictLongRunning",
]
ITS_MACHINE_ONLY += [
    "GET /v0/management",
    "GET /v0/management/",
    "POST /v1internal:streamGenerateContent",
    "GET /ws",
    "GET /debug/pprof/heap",
    "GET /api/provider/google/v1beta1/publishers/google/models",
    "POST /api/provider/google/v1beta1/models/x",
    # nothing that is registered
    "POST /key/generate",
    "POST /healthz",
    "POST /a/b/callback",
]
DISGUISES: list[Callable[[str], str]] = [
    lambda path: f"/{path}",
    lambda path: f"/v1/messages/..{path}",
    lambda path: f"/v1/models/%2e%2e/..{path}",
    lambda path: f"/v1/models/%2E%2E%2F..{path}",
    lambda path: f"/healthz/..{path}",
    lambda path: f"/api/provider/openai{path}",
    lambda path: f"/v1beta/models/../..{path}:generateContent",
    lambda path: "/" + "".join(f"%{ord(letter):02X}" for letter in path[1:]),
    lambda path: path.replace("/", "%2f"),
    lambda path: path.upper(),
    lambda path: path + "%00",
    lambda path: path + "//",
]


def denied(
    settings: Settings,
    line: str,
    peer: str,
    keys: Iterable[str] = (),
    host: str = "127.0.0.1:8318",
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> int:
    """The status with which a request is refused before its body is looked at, 0 if it is not."""
    method, _, path = line.partition(" ")
    fields = tuple((b"X-Api-Key", key.encode()) for key in keys) + headers
    address = find(peer, fields, settings.trusted_proxies)
    routed = route(settings, Request(method, Incoming(path, "", fields, b""), address, host))
    if routed.refusal is None:
        return 0
    assert routed.named is None
    assert routed.route.target is Target.NONE
    return routed.refusal.status


@pytest.mark.parametrize("settings", [OPEN, KEYED, Settings(client_keys=KEYED.client_keys)])
@pytest.mark.parametrize("line", PUBLIC)
def test_what_anybody_may_reach(settings: Settings, line: str) -> None:
    assert denied(settings, line, ELSEWHERE) == denied(settings, line, HERE) == 0


@pytest.mark.parametrize("line", MODEL_APIS)
def test_the_model_apis(line: str) -> None:
    assert denied(OPEN, line, ELSEWHERE) == 0
    assert denied(KEYED, line, ELSEWHERE) == 401
    assert denied(KEYED, line, ELSEWHERE, ["wrong"]) == 403
    assert denied(KEYED, line, ELSEWHERE, ["wrong", KEY]) == 403, "the first decides, as in CLIProxyAPI"
    assert denied(KEYED, line, ELSEWHERE, ["", KEY]) == 401, "an empty one counts as given"
    assert denied(KEYED, line, ELSEWHERE, [KEY, "wrong"]) == denied(KEYED, line, ELSEWHERE, [KEY]) == 0
    assert denied(KEYED, line, HERE) == 0, "upstream itself asks for a key"
    assert denied(KEYED, line.replace("POST", "OPTIONS").replace("GET", "OPTIONS"), ELSEWHERE) in (0, 403)


def test_cliproxyapis_own_keys_open_its_model_apis_and_spend_nothing() -> None:
    both = replace(KEYED, upstream_keys=(Secret("upstreams"),), models=Patterns(["g"]))
    assert denied(both, "POST /v1/messages", ELSEWHERE, ["upstreams"]) == 0
    assert denied(both, "GET /v0/management/config", ELSEWHERE, ["upstreams"]) == 403
    fields = ((b"X-Api-Key", b"upstreams"),)
    sent = Incoming("/v1beta/models/g:generateContent", "", fields, b"")
    routed = route(both, Request("POST", sent, find(ELSEWHERE, fields, ()), "proxy"))
    assert routed.refusal is not None
    assert routed.refusal.status == 403


@pytest.mark.parametrize("line", ITS_MACHINE_ONLY)
def test_what_is_for_this_machine(line: str) -> None:
    for settings in (OPEN, KEYED):
        assert denied(settings, line, ELSEWHERE) == denied(settings, line, ELSEWHERE, [KEY]) == 403
        assert denied(settings, line, HERE) == denied(settings, line, HERE, host="localhost:8318") == 0
        assert denied(settings, line, HERE, host="evil.example") == 403
        assert denied(settings, line, HERE, headers=((b"Origin", b"https://evil.example"),)) == 403
        assert denied(settings, line, HERE, headers=((b"Origin", b"null"),)) == 403
        assert denied(settings, line, HERE, headers=((b"Sec-Fetch-Site", b"cross-site"),)) == 403
        assert denied(settings, line, HERE, headers=((b"X-Forwarded-For", b"127.0.0.1"),)) == 403
        own = ((b"Origin", b"http://127.0.0.1:8318"), (b"Sec-Fetch-Site", b"same-origin"))
        assert denied(settings, line, HERE, headers=own) == 0


@pytest.mark.parametrize("line", [line for line in ITS_MACHINE_ONLY if "/api/provider" not in line])
def test_no_spelling_opens_it(line: str) -> None:
    method, _, path = line.partition(" ")
    for disguise in DISGUISES:
        if disguise(path) == "/healthz" or method == "POST":
            continue
        spelt = disguise(path)
        assert denied(KEYED, f"{method} {spelt}", ELSEWHERE, [KEY]) == 403, spelt


def test_upstream_paths_opens_more_by_name() -> None:
    opened = replace(KEYED, upstream_paths=("/v1/ws", "/api/internal/*"))
    for line in ("GET /v1/ws", "GET /v1/ws/", "POST /api/internal/x", "POST /api/internal/x/y"):
        assert denied(opened, line, ELSEWHERE) == 0
    for line in (
        "GET /v1/ws/x",
        "GET /v1/wsx",
        "POST /api/internal",
        "POST /api/internal/../user",
        "POST /api/internal/%2e%2e/user",
        "GET /v0/management/config",
    ):
        assert denied(opened, line, ELSEWHERE) == 403


# -- over a real proxy --------------------------------------------------------------

_MISSING = networks.missing()
needs_a_neighbour = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("routes")) as running:

        async def fine(_: Wire, reply: Reply) -> None:
            await reply.send(200)

        running.upstream.does = running.litellm.does = fine
        yield running


@needs_a_neighbour
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("keys", BY_KEY)
@pytest.mark.parametrize("model", ["gpt-5", "not-listed"])
def test_every_route_by_place_and_key(model: str, keys: str, place: str, proxy: Site) -> None:
    headers, asked_for = BY_KEY[keys]
    body = json.dumps({"model": model})
    rows = ROWS if model == LISTED else [row for row in ROWS if row.who == "litellm"]
    asks = [
        (row.method, row.path.replace(LISTED, model), body if row.method == "POST" else "", headers)
        for row in rows
    ]
    before = len(proxy.litellm.requests)

    told = proxy.ask(place, *asks)

    to_litellm = 0
    for row, one in zip(rows, told, strict=True):
        routed = row.who == "litellm" and model == LISTED
        target, status = ("litellm" if routed else "upstream"), 200
        if row.who == "machine":
            status = 200 if place == "here" else 403
        elif row.who != "anybody" and (place == "elsewhere" or routed):
            status = asked_for
        assert (row, one.status) == (row, status)
        route = one.headers["x-hybrid-route"]
        assert route.startswith(target) if status == 200 else "reason=refused" in route
        to_litellm += routed and status == 200
    assert len(proxy.litellm.requests) - before == to_litellm


@needs_a_neighbour
def test_local_routes_are_no_web_pages(proxy: Site) -> None:
    """A page of another site in a browser of this machine, and a name that was pointed at it."""
    rows = [row for row in ROWS if row.who == "machine"]
    for header in (
        ("Origin", "https://evil.example"),
        ("Host", "evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
    ):
        told = proxy.ask("here", *((row.method, row.path, "", (RIGHT, header)) for row in rows))
        assert {one.status for one in told} == {403}


def test_where_there_can_be_no_neighbour_a_full_run_passes(tmp_path: Path) -> None:
    """It says why, and that reason is one that no installing mends."""
    (ip := tmp_path / "ip").write_text(
        "#!/bin/sh\necho 'mount --make-shared /run/netns failed' >&2; exit 1\n"
    )
    ip.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    options = ["-q", "-rs", "--strict-skips", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [sys.executable, "-m", "pytest", *options, "tests/security/test_two_machines.py"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "network namespace" in done.stdout
    assert " passed" not in done.stdout
