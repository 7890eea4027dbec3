"""What somebody sees who opens mitmweb: real requests, a real mitmweb, a real browser."""

import pytest
from playwright.sync_api import Locator, Page, expect

from support import conversations
from support.processes import MASTER_KEY, ROOT
from web import traffic
from web.conftest import SCREENSHOTS, Rig
from web.traffic import CODEX, FAILED, FELL_BACK, GEMINI_MODEL, IDS, ROUTED, SERVED

SENT_AS = traffic.MAPPINGS[FELL_BACK]


def _row(page: Page, comment: str) -> Locator:
    """The row whose comment has this text."""
    return page.locator("tbody tr").filter(has=page.locator("td.col-comment", has_text=comment))


def _command(page: Page, text: str) -> str:
    """Type a command into the command bar; what it answers."""
    bar = page.get_by_placeholder("Enter command")
    if not bar.is_visible():
        page.get_by_role("link", name="Options").click()
        page.get_by_text("Display Command Bar").click()
        page.get_by_role("link", name="Flow List").click()
    results = page.locator(".command-result > div")
    before = results.count()
    bar.fill(text)
    bar.press("Enter")
    expect(results).to_have_count(before + 1)
    return results.last.inner_text()


def _search(page: Page, text: str) -> None:
    page.get_by_placeholder("Search").fill(text)


def _statuses(page: Page) -> list[str]:
    return page.locator("tbody td.col-status").all_inner_texts()


def _save(page: Page, name: str) -> None:
    """Save what the page shows, if screenshots are wanted."""
    if SCREENSHOTS:
        folder = ROOT / SCREENSHOTS
        folder.mkdir(parents=True, exist_ok=True)
        page.evaluate("document.activeElement.blur()")
        page.add_style_tag(content=".connection-indicator { display: none }")
        page.screenshot(path=folder / name)


def test_the_requests_went_where_they_should(rig: Rig) -> None:
    assert rig.routes == {
        "": "upstream; reason=not-post",
        SERVED: "upstream; reason=not-listed",
        GEMINI_MODEL: "upstream; reason=not-listed",
        ROUTED: "litellm; reason=model",
        CODEX: "litellm; reason=model",
        FELL_BACK: "litellm; reason=fallback; upstream-status=429",
        FAILED: "upstream; reason=fallback-failed; fallback-failed=400",
    }


@pytest.mark.parametrize(
    ("request_id", "comment"),
    [
        (IDS[SERVED], f"{SERVED} → upstream; reason=not-listed; target=upstream; {SERVED}"),
        (IDS[ROUTED], f"{ROUTED} → LiteLLM, $0.00013; reason=model; target=litellm; {ROUTED} → {ROUTED}"),
        (
            IDS[FELL_BACK],
            (
                f"{FELL_BACK} ↪ LiteLLM after 429 usage limit, $0.0056; reason=fallback; target=litellm; "
                f"upstream-status=429; {FELL_BACK} → {SENT_AS}"
            ),
        ),
        (
            IDS[FAILED],
            f"{FAILED} ⚠ upstream 429 usage limit, LiteLLM could not help: 400; reason=fallback-failed",
        ),
    ],
)
def test_a_row_says_what_happened(request_id: str, comment: str, page: Page) -> None:
    expect(_row(page, comment).filter(has_text=f"request id {request_id}")).to_be_visible()


def test_the_comment_has_most_of_the_width(page: Page) -> None:
    """Model and what happened can be read without opening a row."""
    box = page.locator("tbody td.col-comment").first.bounding_box()
    assert box
    assert box["width"] > 600
    seen = page.evaluate(
        """text => {
            const context = document.createElement("canvas").getContext("2d");
            context.font = getComputedStyle(document.querySelector("tbody td.col-comment")).font;
            return context.measureText(text).width;
        }""",
        f"{FELL_BACK} ↪ LiteLLM after 429 usage limit, $0.0056; reason=fallback",
    )
    assert seen < box["width"]


def test_the_marks_can_be_drawn_here(page: Page) -> None:
    """A sign that no font has is drawn as wide as any other such sign."""
    width = """text => {
        const context = document.createElement("canvas").getContext("2d");
        context.font = getComputedStyle(document.body).font;
        const pixels = text => {
            context.clearRect(0, 0, 300, 150); context.fillText(text, 10, 50);
            return context.getImageData(0, 0, 60, 100).data.join();
        };
        return pixels(text) !== pixels("\\uffff") && pixels(text) !== pixels("\\u{10ffff}");
    }"""
    assert [page.evaluate(width, mark) for mark in "→↪⚠"] == [True] * 3


def test_a_filter_highlights_rows(page: Page) -> None:
    page.get_by_placeholder("Highlight").fill("~comment fallback")
    highlighted = page.locator("tbody tr.highlighted")
    expect(highlighted.filter(has_text=IDS[FAILED])).to_have_count(1)
    expect(highlighted.filter(has_text=IDS[SERVED])).to_have_count(0)
    _save(page, "mitmweb-list.png")


def test_a_streamed_fallback_is_shown_as_the_text_that_was_said(page: Page) -> None:
    _row(page, "reason=fallback; target=litellm").first.click()
    page.get_by_role("link", name="Response", exact=True).click()

    text = page.locator(".contentview")
    expect(text).to_contain_text(conversations.SAID)
    expect(text).to_contain_text("return []")
    _save(page, "mitmweb-conversation.png")


def _opened(page: Page, tab: str, comment: str) -> Locator:
    """What a row's tab shows."""
    _row(page, comment).first.click()
    page.get_by_role("link", name=tab, exact=True).click()
    return page.locator(".flow-detail section")


@pytest.mark.parametrize(
    ("comment", "shown"),
    [
        (
            "reason=fallback; target=litellm",
            ["upstream failed: 429 usage limit after ", traffic.QUOTA_MESSAGE],
        ),
        ("reason=fallback-failed", ["LiteLLM refused: 400 after ", traffic.NO_MODEL_MESSAGE]),
    ],
)
def test_what_no_client_has_seen_is_in_the_row(comment: str, shown: list[str], page: Page) -> None:
    """Behind the response that the client got, with its headers, marked as what it is; and in the comment."""
    of_response = _opened(page, "Response", comment)
    for text in (*shown, "not seen by the client", "content-type: application/json"):
        expect(of_response).to_contain_text(text)
    if "failed" in comment:
        _save(page, "mitmweb-failed.png")
    of_comment = _opened(page, "Comment", comment)
    for text in (*shown, "means: ", "fix: "):
        expect(of_comment).to_contain_text(text)


def test_the_newest_message_comes_first_and_every_line_fits(page: Page) -> None:
    _row(page, "reason=fallback; target=litellm").first.click()
    text = page.locator(".contentview .cm-content, .contentview pre").first
    expect(text).to_contain_text("Go on.")
    shown = text.inner_text()
    assert shown.index("Go on.") < shown.index("[thinking]")
    over = page.evaluate("""() => [...document.querySelectorAll(".contentview *")]
        .filter(one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0
            && ["auto", "scroll", "hidden"].includes(getComputedStyle(one).overflowX)).length""")
    assert over == 0


def test_a_request_is_shown_as_a_conversation(page: Page) -> None:
    _row(page, "reason=fallback; target=litellm").first.click()

    text = page.locator(".contentview")
    for part in (FELL_BACK, conversations.SYSTEM.splitlines()[0], "Go on.", "Bash"):
        expect(text).to_contain_text(part)


@pytest.mark.parametrize(
    ("search", "statuses"),
    [
        ("~comment fallback", ["200", "429"]),
        ('~comment "reason=fallback;"', ["200"]),
        ("~comment reason=fallback-failed", ["429"]),
        ("~comment reason=not-listed", ["200", "200"]),
        ('~comment "reason=not-listed"', ["200", "200"]),
        ("~comment target=litellm", ["200", "200", "200"]),
        (f"~comment {GEMINI_MODEL}", ["200"]),
        (f"~comment {IDS[FELL_BACK]}", ["200"]),
        ("~marked", ["200", "429"]),
        ("!~marked", ["200"] * 5),
        ("~marker warning", ["429"]),
        ("~c 429 & ~comment fallback-failed", ["429"]),
    ],
)
@pytest.mark.skipif(SCREENSHOTS is not None, reason="there are more rows for the screenshots")
def test_filters(search: str, statuses: list[str], page: Page) -> None:
    _search(page, search)
    expect(page.locator("tbody td.col-status")).to_have_count(len(statuses))
    assert _statuses(page) == statuses


def test_a_command_says_what_is_in_force(page: Page) -> None:
    answer = _command(page, "litellm.status")
    assert "ready" in answer
    assert "models: [gpt-5*]" in answer
    assert "requests: litellm; reason=fallback, 2xx" in answer
    assert MASTER_KEY not in answer


def test_a_command_explains_what_is_selected(page: Page) -> None:
    """The row that is open, and not the last one."""
    expect(_opened(page, "Response", "reason=fallback-failed")).to_contain_text("LiteLLM refused")
    answer = _command(page, "litellm.explain")
    assert f"request id {IDS[FAILED]}" in answer
    assert "have LiteLLM's model_list name it" in answer


def test_a_command_explains_a_request(page: Page) -> None:
    answer = _command(page, f"litellm.explain '~comment {IDS[SERVED]}'")
    assert f"reason=not-listed; target=upstream; {SERVED}" in answer
    assert f'fix: add \\"{SERVED}\\" to `models`, or set `passthrough-mode: true`' in answer


def test_the_page_never_gets_a_credential(rig: Rig, page: Page) -> None:
    """Neither while a request is being decided on and sent, nor afterwards, nor by any command."""
    got: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: got.append(str(frame))))
    page.on("response", lambda answer: got.append(answer.text()) if "/flows" in answer.url else None)
    page.reload()
    page.locator("tbody td").first.wait_for()

    traffic.send(
        rig.web.port, "POST", "/v1/chat/completions", {"model": ROUTED, "messages": []}, "req-secret-1"
    )
    expect(_row(page, "req-secret-1")).to_be_visible()
    _search(page, "~comment req-secret-1")
    _command(page, "litellm.explain '~comment \"request id req-secret-1\"'")

    everything = "".join(got)
    assert "req-secret-1" in everything
    assert [secret for secret in (MASTER_KEY, traffic.OAUTH) if secret in everything] == []
