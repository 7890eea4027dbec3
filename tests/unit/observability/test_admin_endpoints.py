"""The proxy's own pages: what belongs to them, who may see them, and in which form."""

import json
from dataclasses import replace
from typing import Any

import pytest

from litellm_hybrid.config.settings import Secret, Settings
from litellm_hybrid.observability.admin_endpoints import (
    HEALTH,
    PAGES,
    AdminRequest,
    AdminResponse,
    is_own,
    respond,
)
from litellm_hybrid.routing.access import AccessDenied, Client

KEY = "sk-client"
KEYED = Settings(client_keys=(Secret(KEY),))
LOCAL = Client("127.0.0.1", "localhost:8318", origin=False, keys=())
STRANGER = replace(LOCAL, ip="192.0.2.1")
MADE = {path: lambda asked: AdminResponse(200, asked.path.encode()) for path in PAGES}


def _ask(
    path: str = HEALTH, client: Client = LOCAL, method: str = "GET", settings: Settings = KEYED
) -> AdminResponse | AccessDenied:
    return respond(AdminRequest(method, path, "", "", client), settings, MADE)


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
    for path in (*PAGES, "/_hybrid/nothing"):
        for settings in (KEYED, replace(KEYED, api_key=Secret("x")), replace(KEYED, no_auth=True)):
            page = _ask(path, client, settings=settings)
            assert isinstance(page, AdminResponse) is allowed
            assert isinstance(page, AdminResponse) or page.status == 403


@pytest.mark.parametrize("keys", [(), (KEY,), ("",)])
def test_without_client_keys_none_is_known(keys: tuple[str, ...]) -> None:
    """Neither does a proxy without client keys take an empty one."""
    assert isinstance(_ask(client=replace(STRANGER, keys=keys), settings=Settings()), AccessDenied)
    assert isinstance(_ask(settings=Settings()), AdminResponse)


@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_made_by_its_own(path: str) -> None:
    assert _ask(path) == AdminResponse(200, path.encode())


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
    page = _ask(path, method=method)

    assert isinstance(page, AdminResponse)
    assert (page.status, dict(page.headers).get("Allow", "")) == (status, allow)
    if status == 404:
        said: Any = json.loads(page.body)
        assert said["error"] == "not_found"
        assert said["pages"] == list(PAGES)
        assert all(one in said["message"] for one in PAGES)


CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "query", "html"),
    [
        (CHROMIUM, "", True),
        (CHROMIUM, "format=json", False),
        (CHROMIUM, "x=1&format=json", False),
        (CHROMIUM, "format=jsonx", True),
        ("", "", False),
        ("*/*", "", False),
        ("application/json", "", False),
        ("*/*", "format=html", True),
    ],
)
def test_a_browser_gets_html(accept: str, query: str, html: bool) -> None:
    assert AdminRequest("GET", PAGES[1], query, accept, LOCAL).wants_html is html
