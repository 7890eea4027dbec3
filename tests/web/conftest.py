"""A real mitmweb with the addon, and a real Chromium that looks at it."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.ports import free_port
from support.processes import Process, hybrid_config, mitmdump
from support.servers import in_thread
from web import traffic
from web.traffic import Servers

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: run scripts/setup")
from playwright.sync_api import Browser, Page, sync_playwright

SCREENSHOTS = os.environ.get("HYBRID_SCREENSHOTS")
"""A folder where the README's screenshots are to be saved; from the checkout: docs/images."""

_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
_SIZE = {"width": 1280, "height": 800}


@dataclass(frozen=True, slots=True)
class Rig:
    """mitmweb, and the servers that it stands between.

    Attributes:
        routes: by model, what a client was told about the route of its request.
    """

    web: Process
    servers: Servers
    page_url: str
    routes: dict[str, str]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; only one that the system has, none is downloaded."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("there is no Chromium: as root on Debian, scripts/setup system installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """mitmweb after an afternoon's requests."""
    # The README's screenshots show the addresses that its readers use.
    upstream, litellm, here = (8317, 4000, 8318) if SCREENSHOTS else (0, 0, 0)
    servers = Servers(upstream_port=upstream, litellm_port=litellm)
    folder, port = tmp_path_factory.mktemp("web"), free_port()
    options = ("--set", f"web_port={port}", "--set", "web_open_browser=false")
    program = Path(sys.executable).with_name("mitmweb")
    with in_thread(servers.upstream), in_thread(servers.litellm):
        config = hybrid_config(
            servers.litellm.url,
            models=traffic.MODELS,
            **{"model-mappings": traffic.MAPPINGS, "fallback": {"enabled": True}},
        )
        with mitmdump(config, servers.upstream.url, folder, *options, program=program, port=here) as web:
            _, _, listening = web.wait_for("?token=").partition("Web server listening at ")
            routes = traffic.send_one_of_each(web.port)
            if SCREENSHOTS:
                traffic.send_more(web.port)
            yield Rig(web, servers, listening.split()[0], routes)


@pytest.fixture
def page(browser: Browser, rig: Rig) -> Iterator[Page]:
    """The list of flows in a window of its own."""
    context = browser.new_context(viewport=_SIZE)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(rig.page_url)
    page.locator("tbody td").first.wait_for()
    yield page
    context.close()
