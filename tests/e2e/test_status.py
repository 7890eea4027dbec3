"""`/_hybrid/status` over sockets: what has happened shows, for a program and for a browser."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.harness import PATIENCE, Proxy, Stub, settings, until
from litellm_hybrid.observability.status import CONTENT_SECURITY_POLICY
from support.ports import free_port
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

STATUS = "/_hybrid/status"
KEY = "sk-key-of-a-client"
BROWSER = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"), ("Sec-Fetch-Mode", "navigate")]
QUOTA = {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}


async def _exhausted(_: Request, reply: Reply) -> None:
    await reply.json(429, QUOTA, [("Retry-After", "60")])


async def _status(proxy: Proxy) -> Any:
    got = await proxy.ask("GET", STATUS)
    assert (got.status, got.header("content-type")) == (200, "application/json")
    return got.json()


async def test_what_has_happened(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does = _exhausted
    proxy = await start(
        fallback={"enabled": True, "cooldown-max": "1h"}, client_api_keys=[KEY], local_without_key=True
    )
    before = await _status(proxy)
    await proxy.post("gpt-5")
    await proxy.post("o3", [("X-Request-ID", "the-one")])
    await proxy.post("o3")

    after = await _status(proxy)

    assert (before["requests"], before["recent_fallbacks"], before["cooldowns"]) == ([], [], [])
    assert {(row["target"], row["reason"]): row["count"] for row in after["requests"]} == {
        ("litellm", "model"): 1,
        ("litellm", "fallback"): 1,
        ("litellm", "cooldown"): 1,
    }
    (fallback,) = after["recent_fallbacks"]
    assert (fallback["request_id"], fallback["model"], fallback["kind"]) == ("the-one", "o3", "quota")
    assert (fallback["upstream_status"], fallback["retry_after"]) == (429, 60.0)
    assert fallback["outcome"] == "served"
    (cooldown,) = after["cooldowns"]
    assert cooldown["model"] == "o3"
    assert 0 < cooldown["seconds_left"] <= 60
    assert after["configuration"]["file"] == str(proxy.config)
    assert after["configuration"]["settings"]["base-url"] == litellm.url
    assert after["configuration"]["settings"]["fallback.enabled"] == "true"
    assert (after["ready"], after["worker"], after["requests_in_flight"]) == (True, None, 0)
    assert after["uptime_seconds"] >= before["uptime_seconds"] >= 0


async def test_what_falls_back_now_without_a_cooldown(start: Start, upstream: Stub) -> None:
    """Upstream says it at once, so it is asked each time; until it serves the model again."""
    upstream.does = _exhausted
    proxy = await start(fallback={"enabled": True})
    for _ in range(2):
        await proxy.post("o3")
    (now,) = (await _status(proxy))["falling_back"]

    async def serves(_: Request, reply: Reply) -> None:
        await reply.json(200, {"choices": [{"message": {"content": "Hi"}}]})

    upstream.does = serves
    await proxy.post("o3")

    assert (now["model"], now["why"], now["requests"]) == ("o3", "quota", 2)
    assert (await _status(proxy))["falling_back"] == []


async def test_a_browser_gets_a_page(start: Start, upstream: Stub) -> None:
    upstream.does = _exhausted
    proxy = await start(fallback={"enabled": True}, client_api_keys=[KEY])
    await proxy.post("<script>alert(1)</script>", [("X-Request-ID", "<b>id</b>")])

    page = await proxy.ask("GET", STATUS, headers=BROWSER)
    as_json = await proxy.ask("GET", STATUS + "?format=json", headers=BROWSER)

    assert (page.status, page.header("content-type")) == (200, "text/html; charset=utf-8")
    assert page.header("content-security-policy") == CONTENT_SECURITY_POLICY
    assert (page.header("cache-control"), page.header("x-content-type-options")) == ("no-store", "nosniff")
    assert page.header("cross-origin-resource-policy") == "same-origin"
    assert page.route == "none; reason=own-page"
    text = page.body.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;b&gt;id&lt;/b&gt;" in text
    assert text.count("<script") == 1  # the one that keeps the page up to date
    assert as_json.header("content-type") == "application/json"
    assert not any(secret in text + as_json.body.decode() for secret in (KEY, MASTER_KEY))


async def test_reloads_show(start: Start, litellm: Stub) -> None:
    proxy = await start()
    assert (await _status(proxy))["configuration"]["last_reload"] is None

    proxy.config.write_text("extensions: {litellm: {modles: []}}")
    await until(lambda: proxy.log("modles"))
    broken = await _status(proxy)
    proxy.write(settings(litellm.url, models=["o3"]))
    await until(lambda: proxy.log("models: [gpt-5] → [o3]"))
    mended = await _status(proxy)

    assert (broken["ready"], broken["configuration"]["broken"]) == (False, True)
    assert [reason["reason"] for reason in broken["reasons"]] == ["broken-configuration"]
    assert broken["configuration"]["last_reload"]["result"] == "rejected"
    assert "unknown key; did you mean `models`?" in broken["configuration"]["last_reload"]["lines"][0]
    assert broken["configuration"]["settings"]["models"] == "[gpt-5]"
    assert (mended["ready"], mended["configuration"]["broken"]) == (True, False)
    assert mended["configuration"]["last_reload"]["result"] == "applied"
    assert "models: [gpt-5] → [o3]" in mended["configuration"]["last_reload"]["lines"]
    assert mended["configuration"]["settings"]["models"] == "[o3]"


async def test_who_may_see_it(start: Start) -> None:
    proxy = await start(client_api_keys=[KEY])
    stranger = [("X-Forwarded-For", "192.0.2.1")]
    for path in (STATUS, "/_hybrid/metrics"):
        assert (await proxy.ask("GET", path, headers=stranger)).status == 403
        assert (await proxy.ask("GET", path, headers=[("Origin", "http://evil.example")])).status == 403
        keyed = await proxy.ask("GET", path, headers=[*stranger, ("Authorization", f"Bearer {KEY}")])
        assert keyed.status == 200
        head = await proxy.ask("HEAD", path)
        assert (head.status, head.body) == (200, b"")
        assert int(head.header("content-length") or 0) > 100


async def _refused_piece_by_piece(_: Request, reply: Reply) -> None:
    await reply.head(400, [("Content-Type", "application/json")])
    for piece in ('{"error": {"mess', 'age": "no such tool"}}'):
        await reply.chunk(piece)
    await reply.end()


async def _streamed(_: Request, reply: Reply) -> None:
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}\n\n'
    await reply.events(
        [b'data: {"choices": [{"delta": {"content": "hello"}}]}\n\n', usage, b"data: [DONE]\n\n"]
    )


async def test_the_last_requests_with_their_tokens(start: Start, upstream: Stub, litellm: Stub) -> None:
    """Also of what is passed on piece by piece; a refusal's words stand in the log."""
    upstream.does, litellm.does = _refused_piece_by_piece, _streamed
    proxy = await start()
    await proxy.post("gpt-5")
    await proxy.post("o3")

    found = (await _status(proxy))["recent_requests"]
    assert [(one["model"], one["status"], one["input_tokens"], one["output_tokens"]) for one in found] == [
        ("o3", 400, None, None),
        ("gpt-5", 200, 7, 3),
    ]
    assert {server["name"]: server["state"] for server in (await _status(proxy))["servers"]} == {
        "CLIProxyAPI": "reachable",
        "LiteLLM": "reachable",
    }
    (refused,) = proxy.log("upstream 400")
    assert (refused.fields["upstream_message"], refused.fields["server"]) == (
        "no such tool",
        upstream.url.removeprefix("http://"),
    )


PRICED = {
    "model_name": "spare",
    "model_info": {"id": "x", "input_cost_per_token": 1e-3, "output_cost_per_token": 2e-3},
}


async def test_what_was_spent(start: Start, upstream: Stub, litellm: Stub) -> None:
    """By LiteLLM's header where it is whole, by its prices where it is streamed."""

    async def bills(request: Request, reply: Reply) -> None:
        if request.json().get("stream"):
            await _streamed(request, reply)
        else:
            usage = {"prompt_tokens": 100, "completion_tokens": 20}
            await reply.json(200, {"choices": [], "usage": usage}, {"x-litellm-response-cost": "0.25"})

    async def uses(_: Request, reply: Reply) -> None:
        await reply.json(200, {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})

    upstream.does, litellm.does, litellm.deployments = uses, bills, [PRICED]
    proxy = await start(model_mappings={"gpt-5": "spare"})
    await proxy.post("o3")
    await proxy.post("gpt-5")
    await proxy.ask("POST", "/v1/chat/completions", {"model": "gpt-5", "stream": True})

    async def spent() -> dict[str, Any]:
        return {row["target"]: row for row in (await _status(proxy))["spend"]}

    async with asyncio.timeout(PATIENCE):
        while (await spent())["litellm"]["cost_usd"] == 0.25:  # noqa: ASYNC110  it is known once LiteLLM was asked
            await asyncio.sleep(0.1)
    found = await spent()
    assert (found["upstream"]["input"], found["upstream"]["output"], found["upstream"]["cost_usd"]) == (
        9,
        1,
        0,
    )
    paid = found["litellm"]
    assert (paid["model"], paid["reason"], paid["requests"]) == ("gpt-5", "model", 2)
    assert (paid["input"], paid["output"], paid["unpriced"]) == (107, 23, 0)
    assert paid["cost_usd"] == pytest.approx(0.25 + 7e-3 + 6e-3)
    (line,) = [line for line in proxy.log("litellm 200") if "cost_usd" in line.fields]
    assert (line.fields["input_tokens"], line.fields["cost_usd"]) == (100, 0.25)


async def _command(*args: str, **env: str) -> tuple[int, str]:
    own = {name: value for name, value in os.environ.items() if name != "HYBRID_CLIENT_KEY"}
    program = Path(sys.executable).with_name("litellm-hybrid")
    done = await asyncio.create_subprocess_exec(
        *(str(program), "status", *args), env=own | env, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await done.communicate()
    assert KEY not in output.decode()
    assert done.returncode is not None
    return done.returncode, output.decode()


async def test_the_command_shows_it(start: Start, upstream: Stub, litellm: Stub) -> None:
    """On one screen, on one line, and for programs."""
    usage = {"prompt_tokens": 1200, "completion_tokens": 30}
    answer = {"choices": [{"message": {"content": "Hi"}}], "usage": usage}
    upstream.does = _exhausted

    async def served(_: Request, reply: Reply) -> None:
        await reply.json(200, answer, [("x-litellm-response-cost", "0.42")])

    litellm.does = served
    proxy = await start(fallback={"enabled": True, "cooldown-max": "1h"}, client_api_keys=[KEY])
    own = [("Authorization", f"Bearer {KEY}")]
    await proxy.post("o3", own)
    await proxy.post("o3", own)

    code, screen = await _command("--url", proxy.url, HYBRID_CLIENT_KEY=KEY)
    line = await _command("--url", proxy.url, "--line", HYBRID_CLIENT_KEY=KEY)
    as_json = await _command("--url", proxy.url, "--json", HYBRID_CLIENT_KEY=KEY)

    assert code == 0
    for said in (
        "2 fallbacks, 2.4 k in, 60 out, $0.84; the subscription served 0 requests",
        "o3 ↪ LiteLLM (cooldown), 2 requests since ",
        "o3: LiteLLM for",
        "o3 after 429",
    ):
        assert said in screen
    assert line[0] == 0
    assert line[1].count("\n") == 1
    assert all(said in line[1] for said in ("o3 ↪ LiteLLM", "today 2 ↪ $0.84"))
    assert json.loads(as_json[1])["ready"] is True


async def test_the_command_without_a_proxy(upstream: Stub) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert (await _command("--url", nowhere, "--line")) == (1, "litellm-hybrid: not running\n")
    code, said = await _command("--url", nowhere)
    assert (code, nowhere in said) == (1, True)
    code, said = await _command("--url", upstream.url)  # another program
    assert (code, upstream.url in said) == (1, True)
    assert (await _command("--url", "nonsense"))[0] == 2

    async def refuses(_: Request, reply: Reply) -> None:
        await reply.json(401, {"error": "unauthorized"})

    upstream.does = refuses
    code, said = await _command("--url", upstream.url)
    assert (code, "HYBRID_CLIENT_KEY" in said) == (1, True)
