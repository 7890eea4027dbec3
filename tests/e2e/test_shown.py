"""What mitmweb shows and `-w` saves carries no credential, and a replay from there works all the same."""

from pathlib import Path

import pytest
from mitmproxy.addons.view import View

from e2e.conftest import Start
from e2e.fallback_support import quota_where_asked
from e2e.harness import Proxy, Stub, said_hello, until
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

OAUTH = "sk-ant-oat01-the-secret-of-a-subscription"
CLIENT_KEY = "the-client-key-of-this-test"
HEADERS = [("Authorization", f"Bearer {OAUTH}"), ("X-Api-Key", CLIENT_KEY), ("Cookie", f"a={OAUTH}")]
QUOTA = {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}


def _view(proxy: Proxy) -> View:
    """mitmweb's list of flows."""
    view = View()
    proxy.master.addons.add(view)
    proxy.addon.display.configure(set())
    return view


async def _ask_all(proxy: Proxy) -> None:
    """A routed request, one that upstream serves, one that falls back, one that is refused, one that fails."""
    target = f"/v1/chat/completions?key={CLIENT_KEY}&a=b"
    for model in ("gpt-5", "o3", "exhausted"):
        await proxy.ask("POST", target, {"model": model}, HEADERS)
    await proxy.ask("POST", target, {"model": "gpt-5"}, [*HEADERS[2:], ("Origin", "https://x")])


@pytest.mark.parametrize("litellm_helps", [True, False])
async def test_saved_flows_have_no_credentials(
    litellm_helps: bool, start: Start, upstream: Stub, litellm: Stub, tmp_path: Path
) -> None:
    file = tmp_path / "flows"
    upstream.does = quota_where_asked
    if not litellm_helps:

        async def refuse(_: Request, reply: Reply) -> None:
            await reply.json(500, {})

        litellm.does = refuse
    proxy = await start(fallback={"enabled": True}, client_api_keys=[CLIENT_KEY])
    proxy.master.options.update(save_stream_file=str(file))

    await _ask_all(proxy)
    proxy.master.options.update(save_stream_file=None)

    saved = file.read_bytes()
    assert b"chat/completions" in saved
    assert [secret for secret in (OAUTH, CLIENT_KEY, MASTER_KEY) if secret.encode() in saved] == []
    assert b"a=b" in saved


async def test_what_mitmweb_shows_has_no_credentials(start: Start, upstream: Stub, litellm: Stub) -> None:
    """While a request runs, once it is sent, and as upstream's failed answer."""
    upstream.does = quota_where_asked
    seen: list[str] = []

    async def look(_: Request, reply: Reply) -> None:
        seen.extend(str(flow.request.get_state()) for flow in view)
        await reply.json(200, said_hello("x"))

    litellm.does = look
    proxy = await start(fallback={"enabled": True}, client_api_keys=[CLIENT_KEY])
    view = _view(proxy)

    await _ask_all(proxy)

    shown = [*seen, *(str(flow.get_state()) for flow in view)]
    assert len(view) == 4
    assert [secret for secret in (OAUTH, CLIENT_KEY, MASTER_KEY) if any(secret in s for s in shown)] == []
    assert [flow.marked for flow in view] == ["", "", ":arrow_right_hook:", ""]


async def test_a_replay_has_its_credentials_again(start: Start, litellm: Stub) -> None:
    proxy = await start()
    view = _view(proxy)
    await proxy.post("gpt-5", HEADERS)
    (flow,) = view

    proxy.master.commands.call("replay.client", [flow])
    await until(lambda: len(litellm.requests) == 2 and flow.response)

    assert litellm.last.values("authorization") == [f"Bearer {MASTER_KEY}"]
    assert "replayed by mitmproxy" in flow.comment
    await until(lambda: MASTER_KEY not in str(flow.get_state()))


async def test_a_replay_of_a_stranger_is_answered_here(start: Start, litellm: Stub) -> None:
    """One from a file, say: its credentials were never kept."""
    proxy = await start()
    view = _view(proxy)
    await proxy.post("gpt-5")
    flow = view[0].copy()

    proxy.master.commands.call("replay.client", [flow])
    await until(lambda: flow.response and flow.response.status_code == 409)

    assert len(litellm.requests) == 1
