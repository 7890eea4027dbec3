"""The proxy's own pages: what belongs to them, who may see them, and when the process is ready."""

import json
from dataclasses import replace
from typing import Any

import pytest

from litellm_hybrid.access import Client, Refusal
from litellm_hybrid.errors import Cause
from litellm_hybrid.routing import Target
from litellm_hybrid.settings import Address, Fallback, Secret, Settings
from litellm_hybrid.status import FAILED_FOR, PAGES, LastSeen, Page, State, answer, health, is_own

HEALTH = "/_hybrid/health"
KEY = "sk-client"
LITELLM = Address("http", "127.0.0.1", 4000)
ROUTED = Settings(enabled=True, base_url=LITELLM, client_keys=(Secret(KEY),))
FALLBACK = Settings(base_url=LITELLM, fallback=Fallback(enabled=True))
GOOD = State(ROUTED, broken=False, leaving=False)
LOCAL = Client("127.0.0.1", "localhost:8318", origin=False, keys=())
BOTH_DOWN = frozenset({Target.UPSTREAM, Target.LITELLM})


@pytest.mark.parametrize(
    ("path", "own"),
    [
        (HEALTH, True),
        ("/_hybrid", True),
        ("/_hybrid/", True),
        ("/_hybrid/v1/chat/completions", True),
        ("/_hybridx", False),
        ("/v1/_hybrid/health", False),
        ("/_HYBRID/health", False),
        ("/", False),
        ("", False),
    ],
)
def test_what_is_our_own(path: str, own: bool) -> None:
    assert is_own(path) is own


def _said(page: Page | Refusal) -> tuple[int, Any]:
    assert isinstance(page, Page)
    return page.status, json.loads(page.body)


@pytest.mark.parametrize(
    ("state", "reasons"),
    [
        (GOOD, []),
        (replace(GOOD, leaving=True), ["leaving"]),
        (replace(GOOD, settings=None), ["no-configuration"]),
        (replace(GOOD, broken=True), ["broken-configuration"]),
        (replace(GOOD, down=frozenset({Target.UPSTREAM})), ["upstream-unreachable"]),
        (replace(GOOD, down=frozenset({Target.LITELLM})), ["litellm-unreachable"]),
        (replace(GOOD, settings=FALLBACK, down=BOTH_DOWN), ["upstream-unreachable", "litellm-unreachable"]),
        # nothing is routed there
        (replace(GOOD, settings=Settings(base_url=LITELLM), down=BOTH_DOWN), ["upstream-unreachable"]),
        (replace(GOOD, settings=Settings(enabled=True), down=frozenset({Target.LITELLM})), []),
        (
            State(None, broken=True, leaving=True, down=BOTH_DOWN),
            ["leaving", "no-configuration", "broken-configuration", "upstream-unreachable"],
        ),
    ],
)
def test_ready_and_why_not(state: State, reasons: list[str]) -> None:
    status, said = _said(health(state))

    assert status == (503 if reasons else 200)
    assert (said["live"], said["ready"]) == (True, not reasons)
    assert [reason["reason"] for reason in said["reasons"]] == reasons
    assert all(reason["message"] for reason in said["reasons"])


@pytest.mark.parametrize(
    ("client", "allowed"),
    [
        (LOCAL, True),
        (replace(LOCAL, ip="::1", host="[::1]:8318"), True),
        (replace(LOCAL, ip="192.0.2.1"), False),
        (replace(LOCAL, ip="192.0.2.1", keys=("sk-wrong",)), False),
        (replace(LOCAL, ip="192.0.2.1", keys=("sk-wrong", KEY)), True),
        (replace(LOCAL, forwarded=True), False),
        (replace(LOCAL, forwarded=True, keys=(KEY,)), True),
        # web pages
        (replace(LOCAL, origin=True), False),
        (replace(LOCAL, host="evil.example"), False),
        (replace(LOCAL, host=""), False),
    ],
)
def test_who_may_see_them(client: Client, allowed: bool) -> None:
    for path in (HEALTH, "/_hybrid/nothing"):
        for settings in (ROUTED, replace(ROUTED, api_key=Secret("x")), replace(ROUTED, no_auth=True)):
            page = answer("GET", path, client, replace(GOOD, settings=settings))
            assert isinstance(page, Page) is allowed
            assert isinstance(page, Page) or page.status == 403


@pytest.mark.parametrize("keys", [(), (KEY,), ("",)])
def test_without_a_configuration_no_key_is_known(keys: tuple[str, ...]) -> None:
    """Neither does a proxy without client keys take an empty one."""
    stranger = replace(LOCAL, ip="192.0.2.1", keys=keys)
    for settings in (None, Settings()):
        assert isinstance(answer("GET", HEALTH, stranger, replace(GOOD, settings=settings)), Refusal)
    assert _said(answer("GET", HEALTH, LOCAL, replace(GOOD, settings=None)))[0] == 503


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", HEALTH, 200, ""),
        ("HEAD", HEALTH, 200, ""),
        ("POST", HEALTH, 405, "GET, HEAD"),
        ("OPTIONS", HEALTH, 405, "GET, HEAD"),
        ("get", HEALTH, 405, "GET, HEAD"),
        ("GET", "/_hybrid", 404, ""),
        ("POST", "/_hybrid/nothing", 404, ""),
        ("GET", HEALTH + "/", 404, ""),
        ("GET", "/_hybrid/Health", 404, ""),
    ],
)
def test_methods_and_pages(method: str, path: str, status: int, allow: str) -> None:
    page = answer(method, path, LOCAL, GOOD)

    got, said = _said(page)
    assert isinstance(page, Page)
    assert (got, page.allow) == (status, allow)
    if status == 404:
        assert said["error"] == "not_found"
        assert said["pages"] == list(PAGES)
        assert HEALTH in said["message"]


@pytest.mark.parametrize("cause", list(Cause))
def test_only_a_connection_that_failed_speaks_against_a_server(cause: Cause) -> None:
    seen = LastSeen()
    seen.failed("upstream", cause, 100.0)

    down = cause in {Cause.CONNECT_FAILED, Cause.CONNECT_LIMIT}
    assert (seen.is_down("upstream", 100.0), seen.is_down("litellm", 100.0)) == (down, False)


@pytest.mark.parametrize(
    ("why", "down"),
    [
        ("network_error", True),
        ("network_timeout", True),
        ("timeout", False),
        ("proxy_error", False),
        ("503", False),
        ("error-event", False),
    ],
)
def test_a_replay_that_failed(why: str, down: bool) -> None:
    seen = LastSeen()
    seen.replay_failed("litellm", why, 100.0)
    assert seen.is_down("litellm", 100.0) is down


def test_a_server_is_seen_anew() -> None:
    """By an answer, by time, and by a configuration that may name another one."""
    seen = LastSeen()
    assert not seen.is_down("upstream", 100.0)
    for target in ("upstream", "litellm"):
        seen.failed(target, Cause.CONNECT_FAILED, 100.0)

    assert seen.is_down("upstream", 100.0 + FAILED_FOR - 0.1)
    assert not seen.is_down("upstream", 100.0 + FAILED_FOR)

    seen.answered("upstream")
    assert (seen.is_down("upstream", 100.0), seen.is_down("litellm", 100.0)) == (False, True)
    seen.forget()
    assert not seen.is_down("litellm", 100.0)
