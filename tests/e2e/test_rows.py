"""What mitmweb's list is told about requests, and its commands, on mitmproxy's own list."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, override

import pytest
from mitmproxy import exceptions, http, options
from mitmproxy.flow import Flow
from mitmproxy.master import Master
from mitmproxy.tools.web.master import WebMaster

from e2e.harness import PATIENCE, Answer, Client, Stub, settings, until
from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.mitmweb import annotations as inspect
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

OAUTH = "sk-ant-oat01-the-secret-of-a-subscription"
HEADERS = [("Authorization", f"Bearer {OAUTH}"), ("X-Request-ID", "req-1"), ("User-Agent", "claude-cli/2")]
QUOTA = {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}
CHAT = "/v1/chat/completions"


class PagelessMaster(WebMaster):
    """mitmweb without the server of its page, which mitmproxy never closes."""

    @override
    async def running(self) -> None:
        await Master.running(self)


class Web:
    """mitmweb; what its page would have been told is in `told`."""

    def __init__(self, master: WebMaster) -> None:
        self.master = master
        self.told: list[str] = []
        self.comments: list[str] = []
        for signal in (master.view.sig_view_add, master.view.sig_view_update):
            signal.connect(self._tell)

    def _tell(self, flow: Flow) -> None:
        self.told.append(str(flow.get_state()))
        self.comments.append(flow.comment)

    @property
    def rows(self) -> list[http.HTTPFlow]:
        """The oldest first."""
        return list(self.master.view.resolve("@all"))

    def command(self, text: str) -> Any:
        """What somebody types into the command bar."""
        return self.master.commands.execute(text)

    async def ask(self, target: str, body: object, headers: Any = HEADERS, method: str = "POST") -> Answer:
        """One request on a connection of its own."""
        client = await self.client()
        answer = await client.ask(method, target, body, headers)
        await client.close()
        return answer

    async def client(self) -> Client:
        """A new connection."""
        return await Client.connect(self.master.proxyserver.listen_addrs()[0][1])


@asynccontextmanager
async def web(
    upstream: Stub, litellm: Stub, folder: Path, confdir: Path, *, limit: str = "", **keys: Any
) -> AsyncIterator[Web]:
    """mitmweb with the addon where a script's is: before mitmproxy's list."""
    file = folder / "config.yaml"
    file.write_text(json.dumps(settings(litellm.url, **keys)), encoding="utf-8")
    mode = f"reverse:{upstream.url}@127.0.0.1:0"
    master = PagelessMaster(options.Options(mode=[mode], confdir=str(confdir)), with_termlog=False)
    master.addons.remove(master.addons.get("errorcheck"))
    addon = HybridAddon()
    master.addons.chain.insert(0, master.addons.register(addon))
    master.options.update(litellm_config=str(file), web_open_browser=False)
    if limit:
        master.options.update(litellm_view_limit=limit)
    task = asyncio.create_task(master.run())
    try:
        await until(lambda: task.done() or master.proxyserver.listen_addrs())
        yield Web(master)
    finally:
        await master.proxyserver.servers.update([])
        await until(lambda: not master.proxyserver.connections)
        master.should_exit.set()
        async with asyncio.timeout(PATIENCE):
            await task


async def _quota(request: Request, reply: Reply) -> None:
    exhausted = b"exhausted" in request.body
    await reply.json(429 if exhausted else 200, QUOTA if exhausted else {})


async def test_the_comment_is_there_before_the_answer(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """And the page has been told, without the credentials that the request has by then."""
    seen: list[str] = []

    async def look(_: Request, reply: Reply) -> None:
        seen.append(house.comments[-1])
        await reply.json(200, {})

    upstream.does = litellm.does = look
    async with web(upstream, litellm, tmp_path, confdir) as house:
        for model in ("gpt-5", "o3"):
            await house.ask(CHAT, {"model": model})
    assert seen == [
        "reason=model; target=litellm; gpt-5 → gpt-5; request id req-1",
        "reason=not-listed; target=upstream; o3; request id req-1",
    ]


async def test_the_page_is_told_no_credential(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """Not while a request comes in, is decided on, is sent, falls back, is replayed; nor when it is over."""
    upstream.does = _quota
    async with web(upstream, litellm, tmp_path, confdir, fallback={"enabled": True}) as house:
        for model in ("gpt-5", "o3", "exhausted"):
            await house.ask(f"{CHAT}?key={OAUTH}", {"model": model})
        house.master.commands.call("replay.client", [house.rows[0]])
        await until(lambda: len(litellm.requests) == 3 and house.rows[0].response)
        assert len(house.rows) == 4
        told = house.told

    assert litellm.last.values("authorization") == [f"Bearer {MASTER_KEY}"]
    assert any("req-1" in state for state in told)
    assert [secret for secret in (OAUTH, MASTER_KEY) if any(secret in state for state in told)] == []


async def test_a_client_that_leaves_is_no_failure(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async def begin(_: Request, reply: Reply) -> None:
        await reply.head(200, {"content-type": "text/event-stream"})
        await reply.chunk("data: 1\n\n")
        await reply.stall()

    litellm.does = begin
    async with web(upstream, litellm, tmp_path, confdir) as house:
        client = await house.client()
        await client.request("POST", CHAT, {"model": "gpt-5"}, HEADERS)
        await client.head()
        await client.chunk()
        await client.close()
        (row,) = house.rows
        await until(lambda: row.error)
        assert "; client_disconnect: " in row.comment
        assert row.marked == inspect.LITELLM


async def test_a_server_that_is_not_there_is_a_failure(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async with web(upstream, litellm, tmp_path, confdir) as house:
        await litellm.stop()
        await house.ask(CHAT, {"model": "gpt-5"})
        (row,) = house.rows
        assert row.comment.startswith(
            "reason=error; target=litellm; gpt-5 → gpt-5; request id req-1; network_error: "
        )
        assert row.marked == inspect.FAILED


async def test_the_list_is_bounded(upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path) -> None:
    """A marked row outlives those that came after it; what was kept for the others is forgotten."""
    async with web(upstream, litellm, tmp_path, confdir, limit="3") as house:
        for number, model in enumerate(("gpt-5", "o3", "o3", "o3", "o3"), 1):
            await house.ask(CHAT, {"model": model}, [("X-Request-ID", f"req-{number}")])
        ids = [row.comment.rpartition(" ")[2] for row in house.rows]
        originals = house.master.addons.get("litellm_hybrid")._showing.originals
        assert [row.id for row in house.rows] == list(originals._kept)
    assert ids == ["req-1", "req-4", "req-5"]


async def test_the_proxys_own_pages_are_no_rows(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """Health checks would push the conversations out; where one can be intercepted, its row is needed."""
    async with web(upstream, litellm, tmp_path, confdir) as house:
        client = await house.client()
        for _ in range(2):
            assert (await client.ask("GET", "/_hybrid/health", b"", HEADERS)).status == 200
        assert house.rows == []
        house.master.options.update(intercept="~u _hybrid")
        asked = asyncio.create_task(client.ask("GET", "/_hybrid/health", b"", HEADERS))
        for _ in ("the request", "its answer"):
            await until(lambda: house.rows and house.rows[0].intercepted)
            house.rows[0].resume()
        assert (await asked).status == 200
        assert len(house.rows) == 1
        await client.close()


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_an_intercepted_request_that_is_edited_keeps_its_credentials(
    elsewhere: bool, upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """The page gives back all headers as it was told them, the masked ones too; never to another server."""
    async with web(upstream, litellm, tmp_path, confdir) as house:
        client = await house.client()
        house.master.options.update(intercept="~q")
        asked = asyncio.create_task(client.ask("POST", f"{CHAT}?key={OAUTH}&a=b", {"model": "o3"}, HEADERS))
        await until(lambda: house.rows and house.rows[0].intercepted)
        row = house.rows[0]
        row.backup()
        row.request.headers["authorization"] = "Bearer ***"
        row.request.headers["user-agent"] = "edited"
        row.request.path = f"{CHAT}?key=***&a=c"
        if elsewhere:
            row.request.port = int(litellm.url.rpartition(":")[2])
        row.resume()
        await asked
        await client.close()
    sent = (litellm if elsewhere else upstream).last
    shown = "***" if elsewhere else OAUTH
    assert sent.values("authorization") == [f"Bearer {shown}"]
    assert (sent.target, sent.values("user-agent")) == (f"{CHAT}?key={shown}&a=c", ["edited"])


@pytest.mark.parametrize("bad", ["none at all", "2000,2000"])
async def test_a_bad_limit_is_refused_while_running(
    bad: str, upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async with web(upstream, litellm, tmp_path, confdir) as house:
        with pytest.raises(exceptions.OptionsError, match="litellm_view_limit"):
            house.master.options.update(litellm_view_limit=bad)


# -- commands ---------------------------------------------------------------------------------------


async def test_a_request_is_rerouted_to_litellm(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    mappings = {"o3": "openai/o3"}
    async with web(upstream, litellm, tmp_path, confdir, model_mappings=mappings) as house:
        await house.ask(f"/api/provider/openai{CHAT}?key={OAUTH}&a=b", {"model": "o3", "n": 1})
        said = house.command("litellm.reroute '~comment req-1'")
        first, second = house.rows
        await until(lambda: second.response)

    sent = litellm.last
    assert (sent.target, json.loads(sent.body)) == (f"{CHAT}?a=b", {"model": "openai/o3", "n": 1})
    assert sent.values("authorization") == [f"Bearer {MASTER_KEY}"]
    assert OAUTH not in str(sent)
    assert sent.values("x-request-id") != ["req-1"]
    assert said == f"sent: {second.comment.partition('; replayed')[0]}"
    assert second.comment.startswith(
        "rerouted from req-1; reason=rerouted; target=litellm; o3 → openai/o3; request id req-"
    )
    assert len(upstream.requests) == 1
    assert first.response, "the first row stays as it was"


async def test_a_request_is_rerouted_to_upstream_as_its_client_sent_it(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    mappings = {"gpt-5": "openai/gpt-5"}
    body = b'{ "model":\t"GPT-5",  "n": 1 }'
    async with web(upstream, litellm, tmp_path, confdir, model_mappings=mappings) as house:
        await house.ask(f"{CHAT}?key={OAUTH}", body)
        house.command("litellm.reroute '~comment req-1'")
        await until(lambda: house.rows[1].response)
        assert house.rows[1].comment.startswith(
            "rerouted from req-1; reason=rerouted; target=upstream; GPT-5; "
        )

    sent = upstream.last
    assert (sent.target, sent.body) == (f"{CHAT}?key={OAUTH}", body)
    assert sent.values("authorization") == [f"Bearer {OAUTH}"]
    assert sent.values("user-agent") == ["claude-cli/2"]
    assert sent.values("host") == [upstream.url.removeprefix("http://")]
    assert sent.values("via") == []
    assert MASTER_KEY not in str(sent)
    assert litellm.last.values("authorization") == [f"Bearer {MASTER_KEY}"]


async def test_a_rerouted_request_is_not_held_nor_edited(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """Even if its row is."""
    async with web(upstream, litellm, tmp_path, confdir) as house:
        await house.ask(CHAT, {"model": "o3"})
        house.rows[0].backup()
        house.rows[0].intercepted = True
        house.rows[0].comment += "; mine"
        house.command("litellm.reroute '~comment req-1'")
        await until(lambda: house.rows[1].response)
        house.rows[1].revert()
        house.rows[0].intercepted = False
        assert house.rows[1].comment.startswith("rerouted from req-1; ")
    assert len(litellm.requests) == 1


async def test_a_rerouted_request_can_be_rerouted_back(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async with web(upstream, litellm, tmp_path, confdir) as house:
        await house.ask(CHAT, {"model": "o3"})
        for _ in range(2):
            house.command(f"litellm.reroute @{house.rows[-1].id}")
            await until(lambda: house.rows[-1].response)
    assert (len(litellm.requests), len(upstream.requests)) == (1, 2)
    assert upstream.last.values("authorization") == [f"Bearer {OAUTH}"]


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "why"),
    [
        ("GET", "/v1/models", b"", [], "only a POST is routed"),
        ("POST", "/v1/chat/completions", {"messages": []}, [], "neither the body nor the path names a model"),
        ("POST", "/v1/chat/completions", b"{", [], "the body is not what its headers say"),
        ("GET", "/v1/responses", b"", [("Upgrade", "websocket"), ("Connection", "Upgrade")], "a websocket"),
        ("GET", "/_hybrid/status", b"", [("X-Forwarded-For", "192.0.2.1")], "went to neither server"),
        ("POST", "/v1/videos", {"model": "o3"}, [], "only upstream can serve it"),
    ],
)
async def test_what_cannot_be_rerouted_says_why(
    method: str,
    target: str,
    body: object,
    headers: list[tuple[str, str]],
    why: str,
    upstream: Stub,
    litellm: Stub,
    tmp_path: Path,
    confdir: Path,
) -> None:
    async with web(upstream, litellm, tmp_path, confdir) as house:
        await house.ask(target, body, headers, method)
        with pytest.raises(exceptions.CommandError, match=f"cannot be rerouted: .*{why}"):
            house.command("litellm.reroute @all")
        assert len(house.rows) == 1
    assert not litellm.requests


async def test_without_litellm_nothing_is_rerouted_there(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async with web(upstream, litellm, tmp_path, confdir, enabled=False, base_url=None, api_key=None) as house:
        await house.ask(CHAT, {"model": "o3"})
        with pytest.raises(exceptions.CommandError, match="set `base-url`"):
            house.command("litellm.reroute @all")


async def test_a_client_that_may_not_spend_the_key_is_not_rerouted(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async with web(upstream, litellm, tmp_path, confdir) as house:
        await house.ask(CHAT, {"model": "o3"}, [("Origin", "https://a.example")])
        with pytest.raises(exceptions.CommandError, match="it has an Origin header"):
            house.command("litellm.reroute @all")
    assert not litellm.requests


async def test_a_flow_from_a_file_is_not_rerouted(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async with web(upstream, litellm, tmp_path, confdir) as house:
        await house.ask(CHAT, {"model": "o3"})
        copy = house.rows[0].copy()
        house.master.view.add([copy])
        with pytest.raises(exceptions.CommandError, match="credentials of this request are not kept"):
            house.command(f"litellm.reroute @{copy.id}")


async def test_a_request_is_explained(upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path) -> None:
    """The last one, one that is named, upstream's failed answer, one that was rerouted."""
    upstream.does = _quota
    async with web(upstream, litellm, tmp_path, confdir, fallback={"enabled": True}) as house:
        await house.ask(CHAT, {"model": "gpt-6"})
        last = house.command("litellm.explain")
        await house.ask(CHAT, {"model": "exhausted"}, [("X-Request-ID", "req-2")])
        fell_back, failed = house.command("litellm.explain '~comment req-2'"), house.rows[-1]
        of_failed = house.command(f"litellm.explain @{failed.id}")
        house.command("litellm.reroute '~comment req-1'")
        await until(lambda: house.rows[-1].response)
        rerouted = house.command("litellm.explain")
        with pytest.raises(exceptions.CommandError, match="none of these"):
            house.command("litellm.explain '~comment nothing'")

    assert last[0] == "reason=not-listed; target=upstream; gpt-6; request id req-1"
    assert 'models: no entry matches "gpt-6"; nearest: gpt-5' in last
    assert 'fix: add "gpt-6" to `models`, or set `passthrough-mode: true`' in last
    assert fell_back[0].startswith("reason=fallback; target=litellm; upstream-status=429; exhausted → ")
    assert fell_back[1].startswith("means: upstream's answer")
    assert of_failed[0].startswith("replaced by a fallback")
    assert any(line.startswith("answer: 429 means quota") for line in of_failed)
    assert "as things are now: reason=fallback; target=litellm" in of_failed
    assert rerouted[1] == "means: `litellm.reroute` sent it"
    assert [secret for secret in (OAUTH, MASTER_KEY) if secret in str([last, fell_back, of_failed])] == []


async def test_cooldowns_are_listed_and_cleared(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async def exhausted(_: Request, reply: Reply) -> None:
        await reply.json(429, QUOTA, {"retry-after": "60"})

    upstream.does = exhausted
    fallback = {"enabled": True, "cooldown-max": "1h"}
    async with web(upstream, litellm, tmp_path, confdir, fallback=fallback) as house:
        assert house.command("litellm.cooldowns") == ["nothing is cooling down"]
        for number in (1, 2):
            await house.ask(CHAT, {"model": "o3"}, [("X-Request-ID", f"req-{number}")])
        (line,) = house.command("litellm.cooldowns")
        assert house.rows[-1].comment == "reason=cooldown; target=litellm; o3 → o3; request id req-2"
        assert house.rows[-1].marked == inspect.FELL_BACK
        assert line in house.command("litellm.status")
        assert house.command("litellm.cooldowns.clear") == "1 cleared; upstream is asked again"
        assert house.command("litellm.cooldowns") == ["nothing is cooling down"]
        await house.ask(CHAT, {"model": "o3"})
    assert line.startswith("cooldown: o3: ")
    assert " s left, until " in line
    assert len(upstream.requests) == 2


async def test_without_cooldowns_it_says_so(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async with web(upstream, litellm, tmp_path, confdir) as house:
        assert house.command("litellm.cooldowns") == [
            "nothing is cooling down; `fallback.cooldown-max` is 0s, so nothing ever is"
        ]


async def test_status(upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path) -> None:
    async with web(upstream, litellm, tmp_path, confdir) as house:
        await house.ask(CHAT, {"model": "gpt-5"})
        said = house.command("litellm.status")
    assert said[0] == "ready"
    assert "requests: litellm; reason=model, 2xx: 1" in said
    assert "models: [gpt-5]" in said
    assert any(line.startswith(f"configuration: {tmp_path}") for line in said)
    assert MASTER_KEY not in str(said)
