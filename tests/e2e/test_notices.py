"""Webhooks and commands of `notify`: what they are told, and that no request waits for them."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Start
from e2e.fallback_support import OUT_OF_QUOTA, stalls
from e2e.harness import PATIENCE, Proxy, Stub, hello, until
from litellm_hybrid.runtime import notices as notices_module
from litellm_hybrid.runtime.notices import Notices
from support.ports import free_port
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

ANSWER = {"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}
ROOT = Path(__file__).parents[2]
ON = {"enabled": True, "cooldown-max": "0s"}


class Hook(Stub):
    """A webhook."""

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.requests]

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(each["event"], each["model"]) for each in self.told]


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with Hook() as server:
        yield server


other = hook
"""Another webhook."""


async def _login(_: Request, reply: Reply) -> None:
    await reply.json(401, {"error": {"type": "authentication_error", "message": "OAuth token has expired"}})


async def _ask(proxy: Proxy, model: str = "o3") -> None:
    await proxy.post(model)


async def test_falling_back_begins_and_ends(start: Start, upstream: Stub, litellm: Stub, hook: Hook) -> None:
    litellm.does = hello
    proxy = await start(fallback=ON, notify=[f"{hook.url}/services/T0/secret-token"])
    upstream.does = hello
    await _ask(proxy)

    upstream.does = OUT_OF_QUOTA
    await _ask(proxy)
    await _ask(proxy)
    await until(lambda: len(hook.told) == 1)
    upstream.does = hello
    await _ask(proxy)
    await _ask(proxy)
    await until(lambda: len(hook.told) == 2)

    assert hook.events == [("fallback-begun", "o3"), ("fallback-ended", "o3")]
    begun = hook.told[0]
    assert begun.keys() == {"event", "at", "model", "message", "text", "suppressed"}
    assert "quota" in begun["message"]
    assert hook.requests[0].path == "/services/T0/secret-token"
    assert proxy.log("secret-token") == []


async def test_what_needs_somebody(start: Start, upstream: Stub, litellm: Stub, hook: Hook) -> None:
    litellm.does = hello
    proxy = await start(fallback=ON | {"max-per-hour": 1}, notify=[hook.url])

    upstream.does = _login
    await _ask(proxy)  # the budget is used up by it
    upstream.does = OUT_OF_QUOTA
    await _ask(proxy)

    await until(lambda: len(hook.told) == 3)
    assert {event for event, _ in hook.events} == {"login-gone", "fallback-begun", "budget-reached"}
    (spent,) = [each["message"] for each in hook.told if each["event"] == "budget-reached"]
    assert "`fallback.max-per-hour`" in spent
    assert "max-cost-per-day" not in spent


async def test_a_login_that_is_gone_is_told_without_a_fallback(
    start: Start, upstream: Stub, litellm: Stub, hook: Hook
) -> None:
    """No budget is left for one: then somebody has to look all the sooner."""
    litellm.does = hello
    proxy = await start(fallback=ON | {"max-per-hour": 1}, notify=[hook.url])
    upstream.does = OUT_OF_QUOTA
    await _ask(proxy)
    upstream.does = _login
    await _ask(proxy, "o1")

    await until(lambda: len(hook.told) == 3)
    assert ("login-gone", "o1") in hook.events


async def test_a_model_that_a_setting_keeps_at_upstream(
    start: Start, upstream: Stub, litellm: Stub, hook: Hook
) -> None:
    """By its name, and by the kind of its failure; header, log, metrics and comment say so as well."""
    upstream.does = OUT_OF_QUOTA
    for number, setting in enumerate(
        ({"except": ["o*"]}, {"models": ["gpt*"]}, {"on": ["overload"]}), start=1
    ):
        proxy = await start(fallback=ON | setting, notify=[hook.url])
        answer = await proxy.post("o3")
        await until(lambda count=number: len(hook.told) == count)  # type: ignore[misc]

        assert (answer.status, answer.route) == (429, "upstream; reason=excepted")
        assert hook.events[-1] == ("fallback-excepted", "o3")
        assert proxy.log("upstream 429 POST")[0].fields["reason"] == "excepted"
        metrics = (await proxy.ask("GET", "/_hybrid/metrics")).body.decode()
        assert 'reason="excepted",status_class="4xx"' in metrics
        page = (await proxy.ask("GET", "/_hybrid/status")).json()
        assert page["recent_requests"][0]["reason"] == "excepted"
    assert litellm.requests == []


async def test_the_days_dollars_are_spent(start: Start, upstream: Stub, litellm: Stub, hook: Hook) -> None:
    async def bills(_: Request, reply: Reply) -> None:
        await reply.json(200, ANSWER, [("x-litellm-response-cost", "2")])

    prices = {"input_cost_per_token": 1e-3, "output_cost_per_token": 1e-3}
    litellm.deployments = [{"model_name": "o3", "model_info": prices}]
    upstream.does, litellm.does = OUT_OF_QUOTA, bills
    proxy = await start(fallback=ON | {"max-cost-per-day": 1}, notify=[hook.url])
    async with asyncio.timeout(PATIENCE):  # LiteLLM's prices may be a moment late
        while not litellm.requests:
            await _ask(proxy)
    await _ask(proxy)

    await until(lambda: {("budget-reached", "o3"), ("fallback-begun", "o3")} <= set(hook.events))
    (spent,) = [each["message"] for each in hook.told if each["event"] == "budget-reached"]
    assert "`fallback.max-cost-per-day`" in spent
    assert "max-per-hour" not in spent


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"except": ["o*"]}, "take o* out of `fallback.except`"),
        ({"models": ["gpt*"]}, 'add "{}" to `fallback.models`'),
        ({"on": ["overload"]}, "`fallback.on`"),
    ],
    ids=str,
)
async def test_an_excepted_model_is_told_with_what_helps(
    setting: dict[str, list[str]],
    named: str,
    start: Start,
    upstream: Stub,
    litellm: Stub,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The setting that keeps it, and a model of LiteLLM's where it has none."""
    minutes = count(step=61)
    monkeypatch.setattr(notices_module, "monotonic", lambda: next(minutes))
    upstream.does, litellm.deployments = OUT_OF_QUOTA, [{"model_name": "gpt-4.1", "model_info": {}}]
    mappings = {"o1": "gpt-4.1", "o3": "mine"}
    proxy = await start(fallback=ON | setting, notify=[hook.url], model_mappings=mappings)
    async with asyncio.timeout(PATIENCE):  # what LiteLLM has may be known a moment later
        while not any("LiteLLM has no mine" in each["message"] for each in hook.told):
            await _ask(proxy)
    lacking = hook.told[-1]["message"]
    await _ask(proxy, "o1")
    await until(lambda: hook.events[-1] == ("fallback-excepted", "o1"))

    assert named.format("o3") in lacking
    had = hook.told[-1]["message"]
    assert named.format("o1") in had
    assert "LiteLLM has no" not in had


async def test_litellm_is_down_and_back(start: Start, upstream: Stub, litellm: Stub, hook: Hook) -> None:
    upstream.does, litellm.does = OUT_OF_QUOTA, hello
    port = free_port()
    proxy = await start(fallback=ON, notify=[hook.url], litellm_url=f"http://127.0.0.1:{port}")
    await _ask(proxy)
    await until(lambda: hook.events == [("litellm-down", "")])

    async with Stub(hello, port=port):
        await _ask(proxy)
        await until(lambda: len(hook.told) == 3)

    assert hook.events[1:] == [("fallback-begun", "o3"), ("litellm-back", "")]


async def test_one_a_minute_and_kind(
    start: Start, upstream: Stub, litellm: Stub, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(notices_module, "monotonic", lambda: now[0])
    upstream.does, litellm.does = OUT_OF_QUOTA, hello
    proxy = await start(fallback=ON, notify=[hook.url])

    for model in ("o1", "o2", "o3"):
        await _ask(proxy, model)
        now[0] += 20
    await _ask(proxy, "o4")
    await until(lambda: len(hook.told) == 2)

    assert hook.events == [("fallback-begun", "o1"), ("fallback-begun", "o4, o2, o3")]
    assert [each["suppressed"] for each in hook.told] == [0, 2]


async def test_what_was_held_back_is_told_once_the_minute_is_over(
    start: Start, upstream: Stub, litellm: Stub, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which models fall back too, which no longer do, and which have begun and ended meanwhile."""
    loop, due = asyncio.get_running_loop(), dict[str, Callable[[], object]]()
    call_later, out = loop.call_later, {"o1", "o2", "o3", "o4"}
    now = [0.0]

    def wait(delay: float, call: Callable[..., object], *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        if isinstance(getattr(call, "__self__", None), Notices):
            due[args[0]] = partial(call, *args)
            delay = 3600
        return call_later(delay, call, *args, **kwargs)

    async def answers(request: Request, reply: Reply) -> None:
        exhausted = json.loads(request.body)["model"] in out
        await (OUT_OF_QUOTA if exhausted else hello)(request, reply)

    monkeypatch.setattr(loop, "call_later", wait)
    monkeypatch.setattr(notices_module, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(notices_module, "time", lambda: now[0])
    upstream.does, litellm.does = answers, hello
    proxy = await start(fallback=ON, notify=[hook.url])
    for model in ("o1", "o2", "o3", "o4"):
        now[0] += 1
        await _ask(proxy, model)
    now[0] = 60
    out.discard("o4")
    await _ask(proxy, "o4")
    await until(lambda: len(hook.told) == 1)
    due.pop("fallback-begun")()
    await until(lambda: len(hook.told) == 2)
    out.clear()
    for model in ("o1", "o2", "o3"):
        await _ask(proxy, model)
    out.add("o3")
    await _ask(proxy, "o3")
    await until(lambda: len(hook.told) == 3)
    due.pop("fallback-ended")()
    await until(lambda: len(hook.told) == 4)

    assert due == {}
    assert [(each["event"], each["model"], each["suppressed"]) for each in hook.told] == [
        ("fallback-begun", "o1", 0),
        ("fallback-begun", "o2, o3", 4),
        ("fallback-ended", "o1", 0),
        ("fallback-ended", "o2", 3),
    ]
    assert hook.told[1]["at"] == "1970-01-01T00:00:02Z"  # when o2 began, not when it was told
    also, ended = hook.told[1]["message"], hook.told[3]["message"]
    assert also.startswith("also: o2, o3: ")
    assert also.endswith("meanwhile begun and ended: o4")
    assert ended.startswith("also: o2: ")
    assert ended.endswith("meanwhile ended and begun again: o3")


async def test_the_same_again_is_only_counted(
    start: Start, upstream: Stub, litellm: Stub, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that retries makes no digest of its own model."""
    now = [1000.0]
    monkeypatch.setattr(notices_module, "monotonic", lambda: now[0])
    upstream.does = OUT_OF_QUOTA
    proxy = await start(fallback=ON | {"except": ["o*"]}, notify=[hook.url])
    for _ in range(3):
        await _ask(proxy, "o1")
    now[0] += 61
    await _ask(proxy, "o1")
    await until(lambda: len(hook.told) == 2)

    assert [(each["model"], each["suppressed"]) for each in hook.told] == [("o1", 0), ("o1", 2)]
    assert "also" not in hook.told[1]["message"]
    assert litellm.requests == []


async def test_notices_come_in_order_and_name_the_time_of_their_events(
    start: Start,
    upstream: Stub,
    litellm: Stub,
    hook: Hook,
    other: Hook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A webhook that is slow gets one after the other, and nobody else waits for it."""
    now, minutes, let_go = [0.0], [0.0], asyncio.Event()
    monkeypatch.setattr(notices_module, "time", lambda: now[0])
    monkeypatch.setattr(notices_module, "monotonic", lambda: minutes[0])

    async def slow(request: Request, reply: Reply) -> None:
        if len(hook.requests) == 1:
            await let_go.wait()
        await hello(request, reply)

    hook.does, litellm.does = slow, hello
    proxy = await start(fallback=ON, notify=[hook.url, other.url])
    for second, does, model in ((1, OUT_OF_QUOTA, "o1"), (2, OUT_OF_QUOTA, "o3"), (3, hello, "o1")):
        now[0], upstream.does = second, does
        await _ask(proxy, model)
    await until(lambda: hook.requests)
    now[0], minutes[0], upstream.does = 90, 90, OUT_OF_QUOTA
    await _ask(proxy, "o4")
    await until(lambda: len(other.told) == 3)
    assert len(hook.requests) == 1
    let_go.set()
    await until(lambda: len(hook.told) == 3)

    assert [(each["model"], each["at"]) for each in hook.told] == [
        ("o1", "1970-01-01T00:00:01Z"),
        ("o1", "1970-01-01T00:00:03Z"),
        ("o4, o3", "1970-01-01T00:01:30Z"),
    ]


async def test_a_command_finds_the_event_in_its_environment_and_no_key(
    start: Start, upstream: Stub, litellm: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_TESTS_KEY", MASTER_KEY)
    monkeypatch.setenv("HYBRID_TESTS_OTHER", "; ")
    upstream.does, litellm.does = OUT_OF_QUOTA, hello
    names = ("EVENT", "MODEL", "TESTS_KEY", "TESTS_OTHER")
    said = " + ".join(f"os.environ.get('HYBRID_{name}', '')" for name in names)
    code = f"import os, sys; open(sys.argv[1], 'a').write({said})"
    script, output = tmp_path / "hook.py", tmp_path / "out put"
    script.write_text(code)
    proxy = await start(fallback=ON, notify=[f"{sys.executable} {script} '{output}'"])

    await _ask(proxy, "o3; touch x")

    await until(lambda: output.exists() and output.read_text() == "fallback-beguno3; touch x; ")


async def test_the_command_in_the_readme_shows_the_message(
    start: Start, upstream: Stub, litellm: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = re.findall(r"^ +- (sh -c .*)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    program, output = tmp_path / "notify-send", tmp_path / "shown"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> {output}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    upstream.does, litellm.does = OUT_OF_QUOTA, hello
    proxy = await start(fallback=ON, notify=[command])

    await _ask(proxy)

    await until(lambda: output.exists() and "o3: served by LiteLLM" in output.read_text())


async def test_a_hook_that_fails_is_logged_once_and_holds_nobody_up(
    start: Start, upstream: Stub, litellm: Stub, hook: Hook
) -> None:
    """One that refuses, one that never answers, one that is not there; the last one is told all the same."""
    upstream.does, litellm.does = OUT_OF_QUOTA, hello

    async with Stub(OUT_OF_QUOTA) as refusing, Stub(stalls) as silent:
        hooks = [f"{refusing.url}/token-1", f"{silent.url}/token-2", "/no/such/program token-3", hook.url]
        proxy = await start(fallback=ON, notify=hooks)
        await _ask(proxy)
        upstream.does = hello
        await _ask(proxy)  # another event, while one is told still

        await until(lambda: len(hook.told) == 2 and len(proxy.log("`notify` fails")) == 3)
    assert not any(proxy.log(f"token-{number}") for number in (1, 2, 3))
