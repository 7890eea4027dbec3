"""The status page in a real Chromium: its Content-Security-Policy lets its own style through, and nothing is missing."""

from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import Browser

from support.processes import free_port, hybrid_config, mitmdump


def _background(browser: Browser, url: str, scheme: Literal["light", "dark"]) -> tuple[str, list[str]]:
    """The page's background colour, and everything that the browser complains about."""
    page = browser.new_page(color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    answer = page.goto(url)
    assert answer
    assert (answer.status, page.title()) == (200, "litellm-hybrid: status")
    assert page.get_by_role("heading", name="Configuration").is_visible()
    assert page.get_by_text("not ready").is_visible()
    assert page.get_by_role("row", name="upstream error").is_visible()
    color: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.close()
    return color, complaints


def test_it_looks_as_it_should(browser: Browser, tmp_path: Path) -> None:
    upstream, litellm = (f"http://127.0.0.1:{free_port()}" for _ in "ab")  # nobody is there
    with mitmdump(hybrid_config(litellm), upstream, tmp_path) as proxy:
        asked = httpx.post(f"{proxy.url}/v1/messages", json={"model": "o3"}, trust_env=False)
        assert asked.status_code == 502
        light, complaints = _background(browser, f"{proxy.url}/_hybrid/status", "light")
        dark, more = _background(browser, f"{proxy.url}/_hybrid/status", "dark")

    assert (light, dark) == ("rgb(246, 247, 249)", "rgb(16, 20, 27)")
    # Browsers ask for an icon; upstream, where such a request goes, is not there.
    assert [line for line in (*complaints, *more) if "favicon" not in line and "502" not in line] == []
