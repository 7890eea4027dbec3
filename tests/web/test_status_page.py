"""The status page in a real Chromium: its Content-Security-Policy lets its own style through, and nothing is missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from support.ports import free_port
from support.processes import ROOT, hybrid_config, mitmdump
from web import traffic
from web.conftest import SCREENSHOTS, Rig
from web.traffic import FELL_BACK, IDS, SERVED


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


@pytest.fixture(params=[(1440, "light"), (390, "dark")], ids=["wide", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, rig: Rig) -> Iterator[Page]:
    """The status page of a busy proxy."""
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(f"http://127.0.0.1:{rig.web.port}/_hybrid/status")
    yield page
    page.close()


def test_it_fits_and_shows_the_last_requests(page: Page) -> None:
    last = page.locator("section", has_text="Last requests")
    expect(last.get_by_role("row").filter(has_text=FELL_BACK).first).to_be_visible()
    width: dict[str, int] = page.evaluate("({page: document.body.scrollWidth, window: innerWidth})")
    assert width["page"] <= width["window"]
    expect(page.locator("section", has_text="Spend").get_by_text("$0.0").first).to_be_visible(timeout=60_000)
    if SCREENSHOTS:
        page.screenshot(path=ROOT / SCREENSHOTS / f"status-{width['window']}.png")


def test_every_field_of_a_request_can_be_read(page: Page) -> None:
    """On a phone too, without moving the page sideways: time, route, status, both times, tokens, cost, why."""
    section = page.locator("section", has_text="Last requests")
    row = section.get_by_role("row").filter(has_text=FELL_BACK).first
    expect(row.get_by_text("$0.0056")).to_be_visible(timeout=60_000)
    cells = row.get_by_role("cell").all()
    shown = [cell.inner_text() for cell in cells if cell.is_visible()]
    assert shown[2:4] == ["litellm", "200"]
    assert shown[6] == "12,345 + 67"
    assert "upstream-status=429" in shown[8]
    right: float = page.evaluate(
        "Math.max(...[...document.querySelectorAll('section td')].map(cell => cell.getBoundingClientRect().right))"
    )
    assert right <= page.evaluate("innerWidth")


def test_what_falls_back_now_is_shown(page: Page) -> None:
    expect(page.locator("section", has_text="Falling back now").get_by_text(FELL_BACK)).to_be_visible()


def test_the_gauge_is_shown(page: Page) -> None:
    expect(page.get_by_role("row", name=f"{SERVED} 5h 82 %")).to_be_visible()


def test_it_keeps_itself_up_to_date(page: Page, rig: Rig) -> None:
    page.locator("summary").click()
    rows = page.locator("section", has_text="Last requests").get_by_role("row")
    before = rows.count()
    traffic.send_message(rig.web.port, SERVED, "Once more", IDS[SERVED])
    expect(rows).to_have_count(before + 1, timeout=60_000)
    expect(page.get_by_text("fallback.cooldown-max")).to_be_visible()
