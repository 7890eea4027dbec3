"""`fallback.spill-at` over sockets: new conversations go to LiteLLM before upstream's quota is used up."""

import json
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.fallback_support import says
from e2e.harness import Proxy, Stub, hello
from litellm_hybrid.fallback import bypass, policy
from litellm_hybrid.runtime import observer
from support.servers import Reply
from support.wire import Request

ANSWER = {"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}
EVENTS = (
    b'event: codex.rate_limits\ndata: {"type":"codex.rate_limits","rate_limits":{"primary":{"used_percent":%d}}}\n\n'
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hi"}\n\n'
    b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"resp_1","output":[]}}\n\n'
)
ON = {"enabled": True, "spill-at": 0.95}


class Upstream:
    """Serves everything, and says how much of the quota is used."""

    def __init__(
        self, used: float = 0.99, header: str = "anthropic-ratelimit-unified-5h-utilization"
    ) -> None:
        self.used, self.header = used, header

    async def __call__(self, request: Request, reply: Reply) -> None:
        if request.path == "/v1/responses":
            await reply.send(200, EVENTS % int(self.used * 100), [("content-type", "text/event-stream")])
        else:
            await reply.json(200, ANSWER, [(self.header, str(self.used))])


async def _turn(
    proxy: Proxy, first: str, turns: int = 1, path: str = "/v1/chat/completions", **options: object
) -> str:
    """Where a conversation's turn goes, and why."""
    said: list[Any] = [{"role": "user", "content": first}]
    said += [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "go on"}] * (turns - 1)
    name = "input" if path == "/v1/responses" else "messages"
    body = {"model": "o3", name: said} | ({"stream": True} if name == "input" else {}) | options
    answer = await proxy.ask("POST", path, body)
    assert answer.status == 200
    return (answer.header("x-hybrid-route") or "").partition("; model=")[0]


SPILLED, UPSTREAM, STUCK = "litellm; reason=spill", "upstream; reason=not-listed", "litellm; reason=sticky"


async def test_new_ones_are_spilled_and_running_ones_stay(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    upstream.does, litellm.does = (quota := Upstream()), hello
    proxy = await start(fallback=ON)
    assert await _turn(proxy, "a") == UPSTREAM  # nothing is known yet

    assert await _turn(proxy, "b") == SPILLED
    assert await _turn(proxy, "a", 2) == UPSTREAM
    assert await _turn(proxy, "b", 2) == STUCK

    quota.used = 0.5
    assert await _turn(proxy, "a", 3) == UPSTREAM
    assert await _turn(proxy, "c") == UPSTREAM
    assert await _turn(proxy, "b", 3) == STUCK


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_by_header_and_by_event(path: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does, litellm.does = Upstream(header="x-unknown"), hello
    proxy = await start(fallback=ON)

    await _turn(proxy, "a", 2, path)

    assert await _turn(proxy, "b") == (SPILLED if path == "/v1/responses" else UPSTREAM)


async def test_litellm_cannot_serve_it(start: Start, upstream: Stub, litellm: Stub) -> None:
    """Then upstream does: nothing of its has failed."""
    upstream.does, litellm.does = Upstream(), says(500, b"{}")
    proxy = await start(fallback=ON)
    await _turn(proxy, "a", 2)

    assert await _turn(proxy, "b") == "upstream; reason=litellm-failed; litellm-status=500"


async def test_a_refusal_of_a_form_costs_an_attempt_and_not_the_spill(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    """The next new conversation is sent as the model takes it; what no change helps is upstream's."""

    async def strict(request: Request, reply: Reply) -> None:
        if "seed" in request.json():
            await reply.json(400, {"error": {"message": "Unknown parameter: 'seed'."}})
        else:
            await hello(request, reply)

    upstream.does, litellm.does = Upstream(), strict
    proxy = await start(fallback=ON)
    await _turn(proxy, "a", 2)

    for name, attempts in (("b", 2), ("c", 3)):
        assert await _turn(proxy, name, seed=1) == SPILLED
        assert len(litellm.requests) == attempts
    litellm.does = says(400, b'{"error": {"message": "Unknown parameter: \'tools\'."}}')
    assert await _turn(proxy, "d", seed=1) == "upstream; reason=litellm-failed; litellm-status=400"
    assert (len(litellm.requests), upstream.last.json()["seed"]) == (4, 1)
    litellm.does = strict
    assert await _turn(proxy, "e", seed=1) == SPILLED
    assert len(litellm.requests) == 6, "what was remembered had not helped"


async def test_who_may_not_spend_the_key_is_not_spilled(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does, litellm.does = Upstream(), hello
    proxy = await start(fallback=ON, client_api_keys=["sk-somebody-elses"])
    await _turn(proxy, "a", 2)

    assert await _turn(proxy, "b") == UPSTREAM
    assert proxy.log("access refused") == []


async def test_a_spent_budget_leaves_it_upstream(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does, litellm.does = Upstream(), hello
    proxy = await start(fallback=ON | {"max-per-hour": 1})
    await _turn(proxy, "a", 2)

    assert [await _turn(proxy, name) for name in "bc"] == [SPILLED, UPSTREAM]


RESETS_AT = 4102444800

CLAUDE = {
    **{
        f"anthropic-ratelimit-unified-5h-{what}": value
        for what, value in (("utilization", "0.99"), ("reset", RESETS_AT))
    },
    "anthropic-ratelimit-unified-7d-utilization": "0.25",
}
CODEX = {
    "x-codex-primary-used-percent": "99",
    "x-codex-primary-reset-at": RESETS_AT,
    "x-codex-secondary-used-percent": "25",
}
OTHERS = {
    "x-ratelimit-limit-requests": "100",
    "x-ratelimit-remaining-requests": "1",
    "x-ratelimit-limit-tokens": "1000",
    "x-ratelimit-remaining-tokens": "750",
}
OF_EVENT = {
    "primary": {"used_percent": 99, "reset_at": RESETS_AT},
    "secondary": {"used_percent": 25},
}


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(
    ("headers", "event", "windows", "resets"),
    [
        (CLAUDE, None, ("5h", "7d"), True),
        (CODEX, None, ("primary", "secondary"), True),
        (OTHERS, None, ("requests", "tokens"), False),
        ({}, OF_EVENT, ("primary", "secondary"), True),
    ],
    ids=["claude", "codex", "others", "event"],
)
async def test_the_gauge_of_each_window(
    headers: dict[str, object],
    event: dict[str, object] | None,
    windows: tuple[str, str],
    start: Start,
    upstream: Stub,
    *,
    resets: bool,
    enabled: bool,
) -> None:
    """On the status page and in metrics: window, used, when it begins anew; also where nothing falls back."""

    async def says_how_much(_: Request, reply: Reply) -> None:
        sent = [(name, str(value)) for name, value in headers.items()]
        if event is None:
            await reply.json(200, ANSWER, sent)
        else:
            limits = json.dumps({"type": "codex.rate_limits", "rate_limits": event}).encode()
            first = b"event: codex.rate_limits\ndata: " + limits + b"\n\n"
            await reply.events([first, EVENTS.partition(b"\n\n")[2]])

    upstream.does = says_how_much
    proxy = await start(fallback={"enabled": enabled})
    await _turn(proxy, "a", path="/v1/chat/completions" if event is None else "/v1/responses")

    status = json.loads((await proxy.ask("GET", "/_hybrid/status")).body)
    metrics = (await proxy.ask("GET", "/_hybrid/metrics")).body.decode()
    full, other = windows
    assert [(each["window"], each["used"]) for each in status["quotas"]] == [(full, 0.99), (other, 0.25)]
    assert [each["resets_at"] for each in status["quotas"]] == [
        "2100-01-01T00:00:00Z" if resets else None,
        None,
    ]
    assert f'litellm_hybrid_quota_used_ratio{{model="o3",window="{full}"}} 0.99' in metrics
    at = f'litellm_hybrid_quota_resets_timestamp_seconds{{model="o3",window="{full}"}} 4.1024448e+09'
    assert (at in metrics) is resets


@pytest.mark.parametrize("below", [True, False])
async def test_one_account_below_keeps_new_ones_upstream(
    start: Start, upstream: Stub, litellm: Stub, monkeypatch: pytest.MonkeyPatch, *, below: bool
) -> None:
    """A gauge is one account's: only answers of the last five minutes count, and the lowest of them."""
    now = [1_900_000_000.0]
    for module in (bypass, observer, policy):
        monkeypatch.setattr(module, "time", lambda: now[0])
    upstream.does, litellm.does = (quota := Upstream(0.5)), hello
    proxy = await start(fallback=ON)
    await _turn(proxy, "a")
    now[0] += 200 if below else 301
    quota.used = 0.99
    await _turn(proxy, "a", 2)

    assert await _turn(proxy, "b") == (UPSTREAM if below else SPILLED)
    now[0] += 301  # nobody has said anything since
    assert await _turn(proxy, "c") == UPSTREAM


async def test_off_by_default_but_shown(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does, litellm.does = Upstream(), hello
    proxy = await start(fallback={"enabled": True})
    await _turn(proxy, "a")

    assert await _turn(proxy, "b") == UPSTREAM
    status = json.loads((await proxy.ask("GET", "/_hybrid/status")).body)
    assert status["quotas"] == [{"model": "o3", "window": "5h", "used": 0.99, "resets_at": None}]
    metrics = (await proxy.ask("GET", "/_hybrid/metrics")).body.decode()
    assert 'litellm_hybrid_quota_used_ratio{model="o3",window="5h"} 0.99' in metrics
