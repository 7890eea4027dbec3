"""The status as JSON and as a page; the page shows whatever a client sends as text."""

import json
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from typing import Any, cast, override

import pytest

from litellm_hybrid.config import schema
from litellm_hybrid.config.schema import KEYS
from litellm_hybrid.config.settings import Address, Secret, Settings
from litellm_hybrid.observability.counters import SpendKey, Totals
from litellm_hybrid.observability.history import (
    APPLIED,
    REJECTED,
    FallbackOutcome,
    FallbackRecord,
    FallingBack,
    Reload,
    RequestRecord,
)
from litellm_hybrid.observability.status import (
    CONTENT_SECURITY_POLICY,
    Status,
    as_json,
    as_page,
    dollars,
    timestamp,
    versions,
)

SECRET = "sk-nobody-may-see-this"
SETTINGS = Settings(
    enabled=True,
    base_url=Address("http", "127.0.0.1", 4000),
    api_key=Secret(SECRET),
    client_keys=(Secret(SECRET + "-client"),),
)
NOW = 1_750_000_000.0
REPLAYED = FallbackRecord(NOW - 60, "req-1", "o3", "quota", 429, 3600.0, FallbackOutcome.SERVED)
DAY = date(2025, 6, 15)
ASKED = RequestRecord(
    at=NOW - 12,
    request_id="req-7",
    method="POST",
    path="/v1/messages",
    model="claude-opus-4-5",
    litellm_model="anthropic/opus",
    target="litellm",
    reason="fallback",
    detail="; upstream-status=429",
    status=200,
    first_byte_ms=812.3,
    duration_ms=12300.0,
    input_tokens=5000,
    output_tokens=70,
    cost_usd=0.0213,
)
BROKEN = replace(
    ASKED,
    at=NOW - 3,
    request_id="req-8",
    method="GET",
    path="/v1/models",
    model="",
    litellm_model="",
    target="upstream",
    reason="error",
    detail="",
    status=None,
    first_byte_ms=None,
    duration_ms=None,
    input_tokens=None,
    output_tokens=None,
    cost_usd=None,
    error="connection reset",
)
STATUS = Status(
    now=NOW,
    started=NOW - 3725.6,
    pid=4711,
    worker="",
    versions={"litellm-hybrid": "0.1.0", "mitmproxy": "12.2.3", "Python": "3.13.1"},
    not_ready=(),
    file="/etc/config.yaml",
    since=NOW - 100,
    broken=False,
    last_reload=None,
    settings=schema.effective_settings(SETTINGS),
    in_flight=3,
    streams=2,
    held_bytes=2048,
    requests={
        ("litellm", "model", "2xx"): 1500,
        ("upstream", "error", "none"): 1,
        ("litellm", "model", "4xx"): 2,
    },
    fallbacks={("quota", "served"): 5, ("login", "failed"): 1},
    recent=(
        REPLAYED,
        replace(
            REPLAYED, request_id="req-2", upstream_status=None, outcome=FallbackOutcome.FAILED, why="503"
        ),
    ),
    cooldowns=(("gpt-5", 90.4), ("o3", 0.0)),
    falling_back=(FallingBack("claude-opus-4-5", NOW - 400, NOW - 100, "quota", 7),),
    quotas=(("o3", "5h", 0.29, NOW + 100),),
    recent_requests=(ASKED, BROKEN),
    spend=(
        (SpendKey(DAY, "litellm", "claude-opus-4-5", "fallback"), Totals(12, 1_200_000, 41_000, 7, 0.834, 0)),
        (SpendKey(DAY, "litellm", "new-one", "model"), Totals(2, 10, 5, 0, 0.0, 2)),
        (SpendKey(DAY, "upstream", "o3", "not-listed"), Totals(310, 9_800_000, 300, 0)),
        (SpendKey(DAY - timedelta(1), "upstream", "o3", "not-listed"), Totals(1, 1, 1, 0)),
    ),
    servers=(("CLIProxyAPI", "reachable"), ("LiteLLM", "not asked yet")),
)
IDLE = replace(
    STATUS,
    requests={},
    fallbacks={},
    recent=(),
    cooldowns=(),
    falling_back=(),
    quotas=(),
    recent_requests=(),
    servers=(),
    spend=(),
)


class _Page(HTMLParser):
    """Text by element, and every tag and attribute of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page.decode())

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    @override
    def handle_data(self, data: str) -> None:
        if text := " ".join(data.split()):
            self.texts.append(text)

    @property
    def text(self) -> str:
        return "|".join(self.texts)


def _page(status: Status) -> _Page:
    return _Page(as_page(status))


def test_json() -> None:
    said: Any = json.loads(json.dumps(as_json(STATUS)))

    assert (said["ready"], said["reasons"], said["worker"]) == (True, [], None)
    assert (said["time"], said["uptime_seconds"], said["pid"]) == ("2025-06-15T15:06:40Z", 3725.6, 4711)
    assert said["versions"] == STATUS.versions
    assert said["configuration"]["file"] == "/etc/config.yaml"
    assert said["configuration"]["in_force_since"] == timestamp(NOW - 100)
    assert said["configuration"]["settings"] == dict(STATUS.settings)
    assert said["configuration"]["last_reload"] is None
    assert (said["requests_in_flight"], said["streams_in_flight"], said["held_bytes"]) == (3, 2, 2048)
    assert {"target": "litellm", "reason": "model", "status_class": "2xx", "count": 1500} in said["requests"]
    assert {"kind": "login", "outcome": "failed", "count": 1} in said["fallbacks"]
    assert [one["request_id"] for one in said["recent_fallbacks"]] == ["req-2", "req-1"]
    assert said["recent_fallbacks"][1] == {
        "at": timestamp(NOW - 60),
        "request_id": "req-1",
        "model": "o3",
        "kind": "quota",
        "upstream_status": 429,
        "retry_after": 3600.0,
        "outcome": "served",
        "why": "",
    }
    assert [one["request_id"] for one in said["recent_requests"]] == ["req-8", "req-7"]
    assert said["recent_requests"][1]["at"] == timestamp(NOW - 12)
    assert said["spend"][0] == {
        "day": "2025-06-15",
        "target": "litellm",
        "model": "claude-opus-4-5",
        "reason": "fallback",
        "requests": 12,
        "input": 1_200_000,
        "output": 41_000,
        "cached": 7,
        "cost_usd": 0.834,
        "unpriced": 0,
    }
    assert said["servers"][0] == {"name": "CLIProxyAPI", "state": "reachable"}
    assert said["spend_in_words"]["2025-06-15"].startswith("12 fallbacks, 1.2 M in, 41 k out, $0.83; ")
    assert said["falling_back"] == [
        {
            "model": "claude-opus-4-5",
            "since": timestamp(NOW - 400),
            "last": timestamp(NOW - 100),
            "why": "quota",
            "requests": 7,
        }
    ]
    assert said["cooldowns"] == [
        {"model": "gpt-5", "seconds_left": 90.4},
        {"model": "o3", "seconds_left": 0.0},
    ]


def test_sums_are_written_without_the_rest_of_their_addition() -> None:
    totals = Totals(2, 1, 1, 0)
    totals.cost_usd = 0.1 + 0.2
    spend = ((SpendKey(DAY, "litellm", "o3", "fallback"), totals),)
    said: Any = as_json(replace(STATUS, spend=spend))["spend"]
    assert said[0]["cost_usd"] == 0.3


def test_json_of_a_reload_and_of_no_configuration() -> None:
    broken = replace(STATUS, broken=True, last_reload=Reload(NOW, REJECTED, ("config.yaml:1: bad",)))
    said: Any = as_json(broken)["configuration"]
    assert said["broken"] is True
    assert said["last_reload"] == {
        "at": timestamp(NOW),
        "result": "rejected",
        "lines": ("config.yaml:1: bad",),
    }

    nothing = replace(
        STATUS, file="", since=None, settings=(), not_ready=(("no-configuration", "There is none"),)
    )
    said = as_json(nothing)
    assert said["ready"] is False
    assert said["reasons"] == [{"reason": "no-configuration", "message": "There is none"}]
    assert (said["configuration"]["file"], said["configuration"]["in_force_since"]) == (None, None)


def test_no_secret_is_in_either() -> None:
    assert SECRET not in json.dumps(as_json(STATUS))
    assert SECRET not in as_page(STATUS).decode()


@pytest.mark.parametrize(
    "part",
    [
        *("ready", "1h2m5s", "1,503", "3|", "in flight, 2 streaming", "6|fallbacks, 5 served", "2 KiB"),
        *(
            "15:06:28|claude-opus-4-5 → anthropic/opus|litellm|200|0.81 s|12.30 s|5,000 + 70|$0.021|fallback; upstream-status=429",
        ),
        *("GET /v1/models|upstream|aborted|error: connection reset|req-8",),
        (
            "today: 12 fallbacks, 1.2 M in, 41 k out, $0.83; 2 routed, 10 in, 5 out, $0.00, 2 without a price; "
            "the subscription served 310 requests, 9.8 M in, 300 out"
        ),
        *("claude-opus-4-5|litellm: fallback|12|1,200,000|7|41,000|$0.83", "|5|not known"),
        "2025-06-14: 0 fallbacks; the subscription served 1 request, 1 in, 1 out|Model|Why",
        "claude-opus-4-5|quota|7|06-15 15:00:00|15:05:00",
        "o3|5h|29 %|2025-06-15 15:08:20 UTC",
        *("reachable|CLIProxyAPI", "not asked yet|LiteLLM", "Retry after|Outcome|Request id"),
        *("model", "no response", "1,500", "503", "req-1", "1h", "1m30s"),
        *("the next request tries upstream", "/etc/config.yaml", "2025-06-15 15:05:00 UTC", "failed (503)"),
        *("litellm-hybrid 0.1.0", "mitmproxy 12.2.3", "Python 3.13.1", "process 4711"),
        *(key.name for key in KEYS),
    ],
)
def test_what_the_page_shows(part: str) -> None:
    assert part in _page(STATUS).text


@pytest.mark.parametrize(
    ("reason", "detail", "why"),
    [("excepted", "", "fallback.except"), ("fallback-failed", "; fallback-failed=budget", "budget")],
)
def test_a_model_that_nobody_serves_shows_until_it_is_served_again(
    reason: str, detail: str, why: str
) -> None:
    unserved = replace(ASKED, model="o1", reason=reason, detail=detail, status=429)
    before = (FallingBack("o1", NOW - 400, NOW - 100, "quota", 7),)
    status = replace(IDLE, recent_requests=(ASKED, unserved), falling_back=before)

    (said,) = cast("Any", as_json(status))["unserved"]
    assert (said["model"], why in said["why"]) == ("o1", True)
    assert said["why"] in _page(status).text
    assert as_json(status)["falling_back"] == [], "LiteLLM serves it no longer"
    again = replace(status, recent_requests=(unserved, replace(ASKED, model="o1")))
    assert as_json(again)["unserved"] == []
    assert len(cast("Any", as_json(again))["falling_back"]) == 1


def test_what_today_has_cost_comes_first() -> None:
    text = _page(STATUS).text
    assert text.index("today: 12 fallbacks") < text.index("in flight")


@pytest.mark.parametrize(
    ("status", "part"),
    [
        (IDLE, "None yet."),
        (IDLE, "today: nothing yet"),
        (
            replace(IDLE, recent_requests=(replace(ASKED, request_id="req-1795364938636802834-2"),)),
            "…636802834-2",
        ),
        (IDLE, "Nothing: upstream has served the last request for each model that was asked for lately."),
        (IDLE, "The file has not changed since the start."),
        (replace(IDLE, worker="2"), "this is worker 2 of several"),
        (replace(IDLE, not_ready=(("draining", "It leaves"),)), "not ready"),
        (replace(IDLE, not_ready=(("draining", "It leaves"),)), "It leaves"),
        (replace(IDLE, last_reload=Reload(NOW, APPLIED, ("models: [] → [a]",))), "models: [] → [a]"),
        (replace(IDLE, last_reload=Reload(NOW, APPLIED, ())), "nothing has changed"),
        (replace(IDLE, last_reload=Reload(NOW, REJECTED, ("x:1: bad",))), "x:1: bad"),
        (replace(IDLE, last_reload=Reload(NOW, REJECTED, ("x:1: bad",))), "the last good ones"),
        (replace(IDLE, settings=(), since=None, file=""), "There is no valid configuration"),
    ],
)
def test_other_states(status: Status, part: str) -> None:
    assert part in _page(status).text


EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\x1b[31m\u202e\udcff"


def test_whatever_a_client_sends_is_text() -> None:
    plain = _page(STATUS)
    evil = _page(
        replace(
            STATUS,
            worker=EVIL,
            file=EVIL,
            not_ready=((EVIL, EVIL),),
            versions={EVIL: EVIL},
            last_reload=Reload(NOW, REJECTED, (EVIL,)),
            settings=((EVIL, EVIL),),
            requests={(EVIL, EVIL, EVIL): 1},
            fallbacks={(EVIL, EVIL): 1},
            recent=(replace(REPLAYED, model=EVIL, kind=EVIL, request_id=EVIL, why=EVIL),),
            cooldowns=((EVIL, 1.0),),
            falling_back=(FallingBack(EVIL, NOW, NOW, EVIL),),
            quotas=((EVIL, EVIL, 0.5, NOW),),
            recent_requests=(replace(ASKED, model=EVIL, target=EVIL, reason=EVIL, request_id=EVIL),),
            servers=((EVIL, EVIL),),
            spend=((SpendKey(DAY, EVIL, EVIL, EVIL), Totals(1)),),
        )
    )
    assert evil.tags - {"ul", "li"} <= plain.tags
    assert {name for name, _ in evil.attributes} <= {name for name, _ in plain.attributes}
    assert evil.text.count("<script>alert(1)</script>") >= 10
    assert not {"\x1b", "\u202e"} & set(evil.text)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = _page(STATUS)
    assert not page.tags & {"link", "img", "iframe", "object", "form"}
    assert not {name for name, _ in page.attributes} & {"style", "src", "srcset", "action"}
    links = {value for name, value in page.attributes if name == "href"}
    assert links == {"health", "metrics", "?format=json"}
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert not [part for part in ("url(", "@import", "unsafe") if part in page.text + CONTENT_SECURITY_POLICY]


def test_versions() -> None:
    assert set(versions()) == {"litellm-hybrid", "mitmproxy", "Python"}
    assert versions()["mitmproxy"].startswith("12.")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0.0, "$0.00"),
        (0.00037, "$0.00037"),
        (0.05, "$0.05"),
        (0.5, "$0.50"),
        (0.834, "$0.83"),
        (1234.5, "$1,234.50"),
    ],
)
def test_little_money_is_no_nothing(amount: float, shown: str) -> None:
    assert dollars(amount) == shown
