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

from e2e.fallback_support import quota_where_asked
from e2e.harness import PATIENCE, Answer, Client, Started, Stub, said_hello, settings, until
from litellm_hybrid.addon import HybridAddon
from litellm_hybrid.mitmweb import annotations
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
    master.addons.add(started := Started())
    task = asyncio.create_task(master.run())
    try:
        await until(lambda: task.done() or started.is_running)
        yield Web(master)
    finally:
        await master.proxyserver.servers.update([])
        await until(lambda: not master.proxyserver.connections)
        master.should_exit.set()
        async with asyncio.timeout(PATIENCE):
            await task


async def test_the_comment_is_there_before_the_answer(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """And the page has been told, without the credentials that the request has by then."""
    seen: list[str] = []

    async def look(_: Request, reply: Reply) -> None:
        seen.append(rig.comments[-1].partition("\n")[0])
        await reply.json(200, {})

    upstream.does = litellm.does = look
    async with web(upstream, litellm, tmp_path, confdir) as rig:
        for model in ("gpt-5", "o3"):
            await rig.ask(CHAT, {"model": model})
    assert seen == [
        "gpt-5 → LiteLLM; reason=model; target=litellm; gpt-5 → gpt-5; request id req-1",
        "o3 → upstream; reason=not-listed; target=upstream; o3; request id req-1",
    ]


async def test_the_page_is_told_no_credential(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """Not while a request comes in, is decided on, is sent, falls back, is replayed; nor when it is over."""
    upstream.does = quota_where_asked
    async with web(upstream, litellm, tmp_path, confdir, fallback={"enabled": True}) as rig:
        for model in ("gpt-5", "o3", "exhausted"):
            await rig.ask(f"{CHAT}?key={OAUTH}", {"model": model})
        rig.master.commands.call("replay.client", [rig.rows[0]])
        await until(lambda: len(litellm.requests) == 3 and rig.rows[0].response)
        assert len(rig.rows) == 3
        told = rig.told

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
    async with web(upstream, litellm, tmp_path, confdir) as rig:
        client = await rig.client()
        await client.request("POST", CHAT, {"model": "gpt-5"}, HEADERS)
        await client.head()
        await client.chunk()
        await client.close()
        (row,) = rig.rows
        await until(lambda: row.error)
        assert "; client_disconnect: " in row.comment
        assert row.marked == ""


async def test_a_server_that_is_not_there_is_a_failure(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async with web(upstream, litellm, tmp_path, confdir) as rig:
        await litellm.stop()
        await rig.ask(CHAT, {"model": "gpt-5"})
        (row,) = rig.rows
        assert row.comment.startswith(
            "gpt-5 ⚠ network_error; reason=error; target=litellm; gpt-5 → gpt-5; request id req-1; network_error: "
        )
        assert row.marked == annotations.FAILED


async def test_the_list_is_bounded(upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path) -> None:
    """A marked row outlives those that came after it."""
    async with web(upstream, litellm, tmp_path, confdir, limit="3") as rig:
        for number, model in enumerate(("gpt-5", "o3", "o3", "o3", "o3"), 1):
            await rig.ask(CHAT, {"model": model}, [("X-Request-ID", f"req-{number}")])
            if number == 1:
                rig.rows[0].marked = annotations.FAILED
        ids = [row.comment.partition("\n")[0].rpartition(" ")[2] for row in rig.rows]
    assert ids == ["req-1", "req-4", "req-5"]


async def test_the_proxys_own_pages_are_no_rows(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """Health checks would push the conversations out; where one can be intercepted, its row is needed."""
    async with web(upstream, litellm, tmp_path, confdir) as rig:
        client = await rig.client()
        for _ in range(2):
            assert (await client.ask("GET", "/_hybrid/health", b"", HEADERS)).status == 200
        assert rig.rows == []
        rig.master.options.update(intercept="~u _hybrid")
        asked = asyncio.create_task(client.ask("GET", "/_hybrid/health", b"", HEADERS))
        for _ in ("the request", "its answer"):
            await until(lambda: rig.rows and rig.rows[0].intercepted)
            rig.rows[0].resume()
        assert (await asked).status == 200
        assert len(rig.rows) == 1
        await client.close()


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_an_intercepted_request_that_is_edited_keeps_its_credentials(
    elsewhere: bool, upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """The page gives back all headers as it was told them, the masked ones too; never to another server."""
    async with web(upstream, litellm, tmp_path, confdir) as rig:
        client = await rig.client()
        rig.master.options.update(intercept="~q")
        asked = asyncio.create_task(client.ask("POST", f"{CHAT}?key={OAUTH}&a=b", {"model": "o3"}, HEADERS))
        await until(lambda: rig.rows and rig.rows[0].intercepted)
        row = rig.rows[0]
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
    async with web(upstream, litellm, tmp_path, confdir) as rig:
        with pytest.raises(exceptions.OptionsError, match="litellm_view_limit"):
            rig.master.options.update(litellm_view_limit=bad)


# -- commands ---------------------------------------------------------------------------------------


async def test_a_request_is_explained(upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path) -> None:
    """The last one, one that is named, upstream's failed answer."""
    upstream.does = quota_where_asked
    async with web(upstream, litellm, tmp_path, confdir, fallback={"enabled": True}) as rig:
        await rig.ask(CHAT, {"model": "gpt-6"})
        last = rig.command("litellm.explain")
        await rig.ask(CHAT, {"model": "exhausted"}, [("X-Request-ID", "req-2")])
        fell_back = rig.command("litellm.explain '~comment req-2'")
        with pytest.raises(exceptions.CommandError, match="none of these"):
            rig.command("litellm.explain '~comment req-3'")

    assert last[0] == "gpt-6 → upstream; reason=not-listed; target=upstream; gpt-6; request id req-1"
    assert 'models: no entry matches "gpt-6"; nearest: gpt-5' in last
    assert 'fix: add "gpt-6" to `models`, or set `passthrough-mode: true`' in last
    assert fell_back[0].startswith(
        "exhausted ↪ LiteLLM after 429 usage limit; reason=fallback; target=litellm; "
    )
    assert fell_back[1].startswith("upstream failed: 429 usage limit after ")
    assert fell_back[3].startswith("means: ")
    assert any(line.startswith("response: 429 means quota") for line in fell_back)
    assert "as things are now: reason=fallback; target=litellm" in fell_back
    assert [secret for secret in (OAUTH, MASTER_KEY) if secret in str([last, fell_back])] == []


async def test_every_server_that_was_asked_is_in_the_row(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """Upstream's failure, LiteLLM's refusal that a change has helped, and the response that the client got."""

    async def takes_no_user(request: Request, reply: Reply) -> None:
        words = "litellm.BadRequestError: OpenAIException - Unsupported parameter: 'user'"
        if "user" in request.json():
            await reply.json(400, {"error": {"message": f"{words} {MASTER_KEY}"}})
        else:
            await reply.json(200, said_hello("exhausted"))

    upstream.does, litellm.does = quota_where_asked, takes_no_user
    async with web(upstream, litellm, tmp_path, confdir, fallback={"enabled": True}) as rig:
        await rig.ask(CHAT, {"model": "exhausted", "user": "me"})
        (row,) = rig.rows
        told = rig.told
    asked = row.metadata["litellm_hybrid"]["attempts"]
    assert [(each["server"], each["status"], each["replaced"] is None) for each in asked] == [
        ("upstream", 429, False),
        ("litellm", 400, False),
        ("litellm", 200, True),
    ]
    assert "Unsupported parameter" in asked[1]["replaced"]["body"]
    assert "• LiteLLM refused: 400" in row.comment
    assert [secret for secret in (OAUTH, MASTER_KEY) if any(secret in state for state in told)] == []


async def test_litellms_refusal_is_in_the_row_of_a_failed_fallback(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    """Upstream's own response is the client's, and not among those that nobody has seen."""

    async def refuses(_: Request, reply: Reply) -> None:
        await reply.json(403, {"error": {"message": "not your model"}})

    upstream.does, litellm.does = quota_where_asked, refuses
    async with web(upstream, litellm, tmp_path, confdir, fallback={"enabled": True}) as rig:
        await rig.ask(CHAT, {"model": "exhausted"})
        (row,) = rig.rows
    first, second = row.metadata["litellm_hybrid"]["attempts"]
    assert (first["status"], first["replaced"]) == (429, None)
    assert (second["status"], second["replaced"]["words"]) == (403, "not your model")
    assert row.marked == annotations.FAILED


async def test_cooldowns_are_listed_and_cleared(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async def exhausted(_: Request, reply: Reply) -> None:
        await reply.json(429, QUOTA, {"retry-after": "60"})

    upstream.does = exhausted
    fallback = {"enabled": True, "cooldown-max": "1h"}
    async with web(upstream, litellm, tmp_path, confdir, fallback=fallback) as rig:
        assert rig.command("litellm.cooldowns") == ["nothing is cooling down"]
        for number in (1, 2):
            await rig.ask(CHAT, {"model": "o3"}, [("X-Request-ID", f"req-{number}")])
        (line,) = rig.command("litellm.cooldowns")
        assert rig.rows[-1].comment.partition("\n")[0] == (
            "o3 ↪ LiteLLM, upstream is cooling down; reason=cooldown; target=litellm; o3 → o3; request id req-2"
        )
        assert rig.rows[-1].marked == ""
        assert line in rig.command("litellm.status")
        assert rig.command("litellm.cooldowns.clear") == "1 cleared; upstream is asked again"
        assert rig.command("litellm.cooldowns") == ["nothing is cooling down"]
        await rig.ask(CHAT, {"model": "o3"})
    assert line.startswith("cooldown: o3: ")
    assert " s left, until " in line
    assert len(upstream.requests) == 2


async def test_without_cooldowns_it_says_so(
    upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path
) -> None:
    async with web(upstream, litellm, tmp_path, confdir, fallback={"cooldown-max": "0s"}) as rig:
        assert rig.command("litellm.cooldowns") == [
            "nothing is cooling down; `fallback.cooldown-max` is 0s, so nothing ever is"
        ]


async def test_status(upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path) -> None:
    async with web(upstream, litellm, tmp_path, confdir) as rig:
        await rig.ask(CHAT, {"model": "gpt-5"})
        said = rig.command("litellm.status")
    assert said[0] == "ready"
    assert "requests: litellm; reason=model, 2xx: 1" in said
    assert "models: [gpt-5]" in said
    assert any(line.startswith(f"configuration: {tmp_path}") for line in said)
    assert MASTER_KEY not in str(said)
