"""Bodies that once kept everybody waiting: they are no work, or are read while others are served."""

import asyncio
import gzip
import threading
from typing import Any

import brotli
import pytest
import zstandard
from mitmproxy import http

from e2e.conftest import Start
from e2e.fallback_support import FELL_BACK, ON, OUT_OF_QUOTA
from e2e.harness import PATIENCE, Stub, hello, until
from litellm_hybrid.fallback import conversations
from litellm_hybrid.llm.history import reduce
from litellm_hybrid.message import json_edit
from litellm_hybrid.message.decoders import MAX_DECODED
from litellm_hybrid.proxy.waits import Waits
from litellm_hybrid.routing import requested_model, rules
from litellm_hybrid.routing.paths import Api

CHAT = "/v1/chat/completions"
MEMBERS = b'{"m":NaN,"model":"gpt-5",' + b'"":0,' * 800_000 + b'"x":1}'
LARGE = b'{"model":"gpt-5","a":"' + b"a" * 2_000_000 + b'"}'
THRICE = zstandard.compress(zstandard.compress(zstandard.compress(LARGE)))
TWICE = gzip.compress(gzip.compress(MEMBERS))
TURNS = b'{"model":"gpt-5","messages":[' + b'{"role":"user","content":"a"},' * 2_000_000 + b"{}]}"
ATTACKS = {
    "zstd thrice": (THRICE, "zstd, zstd, zstd", 15),
    "gzip twice": (TWICE, "gzip, gzip", 50),
    "a short one, gzip twice": (gzip.compress(gzip.compress(b'{"model":"gpt-5"}')), "gzip, gzip", 50),
    "800,000 members": (MEMBERS.replace(b"NaN", b"1"), "", 4.6),
    "800,000 of no JSON": (MEMBERS, "", 4.6),
    "two million turns": (brotli.compress(TURNS, quality=1), "br", 15),
}


@pytest.mark.parametrize("keys", [[], ["sk-client"]], ids=["without keys", "with a key"])
@pytest.mark.parametrize(("body", "coding", "took"), ATTACKS.values(), ids=ATTACKS)
async def test_others_do_not_wait(
    body: bytes, coding: str, took: float, keys: list[str], start: Start, upstream: Stub
) -> None:
    """`took`: seconds that everybody waited for one of them."""
    upstream.does = hello
    proxy = await start(client_api_keys=keys, fallback=ON)
    attacker, other = await proxy.client(), await proxy.client()
    headers = [("X-Api-Key", key) for key in keys] + ([("Content-Encoding", coding)] if coding else [])

    attack = asyncio.create_task(attacker.ask("POST", CHAT, body, headers))
    async with asyncio.timeout(10 * took):
        while not attack.done():
            assert (await other.ask("GET", "/_hybrid/health")).status in {200, 503}

    assert (await attack).route == "upstream; reason=unreadable-body"
    assert upstream.last.body == body


LONG: dict[str, tuple[bytes, str]] = {
    "plain": (b'{"model":"%b","messages":[{"role":"user","content":"' + b"a" * 9_000_000 + b'"}]}', ""),
    "gzip": (b'{"model":"%b","messages":[{"role":"user","content":"' + b"a" * 3_000_000 + b'"}]}', "gzip"),
}


@pytest.mark.parametrize("keys", [[], ["sk-client"]], ids=["without keys", "with a key"])
@pytest.mark.parametrize("model", ["gpt-5", "o3"])
@pytest.mark.parametrize(("body", "coding"), LONG.values(), ids=LONG)
async def test_a_long_body_is_read_beside_the_others(
    body: bytes,
    coding: str,
    model: str,
    keys: list[str],
    start: Start,
    upstream: Stub,
    litellm: Stub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it is read health is answered; then it goes where a short one goes, and may fall back."""
    upstream.does = OUT_OF_QUOTA
    begun, answered, read = threading.Event(), threading.Event(), rules.Request.read

    def slowly(request: rules.Request, limit: int = MAX_DECODED) -> Any:
        if limit == MAX_DECODED and len(request.sent.body) > 100:
            begun.set()
            assert answered.wait(PATIENCE)
        return read(request, limit)

    monkeypatch.setattr(rules.Request, "read", slowly)
    proxy = await start(client_api_keys=keys, fallback=ON)
    attacker, other = await proxy.client(), await proxy.client()
    named = body.replace(b"%b", model.encode())
    sent = gzip.compress(named) if coding else named
    headers = [("X-Api-Key", key) for key in keys] + ([("Content-Encoding", coding)] if coding else [])

    attack = asyncio.create_task(attacker.ask("POST", CHAT, sent, headers))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    assert (await other.ask("GET", "/_hybrid/health")).status in {200, 503}
    assert not attack.done()
    answered.set()

    assert (await attack).route == ("litellm; reason=model" if model == "gpt-5" else FELL_BACK)
    assert len(litellm.last.body) >= len(named)


async def test_a_long_body_that_cannot_be_read_goes_nowhere(
    start: Start, upstream: Stub, litellm: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails beside the event loop ends as what fails in it."""
    read = rules.Request.read

    def fails(request: rules.Request, limit: int = MAX_DECODED) -> Any:
        if limit == MAX_DECODED:
            raise RuntimeError("a fault of our own")
        return read(request, limit)

    monkeypatch.setattr(rules.Request, "read", fails)
    proxy = await start(fallback=ON)
    answer = await proxy.ask("POST", CHAT, LONG[next(iter(LONG))][0])

    assert answer.status == 500
    assert answer.header("x-request-id")
    assert answer.json()["error"]
    assert (upstream.requests, litellm.requests) == ([], [])
    assert proxy.log("a fault of our own")


async def test_one_whose_client_leaves_while_its_body_is_read(
    start: Start, upstream: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answered, read = threading.Event(), threading.Event(), rules.Request.read

    def slowly(request: rules.Request, limit: int = MAX_DECODED) -> Any:
        if limit == MAX_DECODED:
            begun.set()
            assert answered.wait(PATIENCE)
        return read(request, limit)

    monkeypatch.setattr(rules.Request, "read", slowly)
    proxy = await start()
    leaver = await proxy.client()
    await leaver.request("POST", CHAT, LONG["plain"][0].replace(b"%b", b"o3"))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    await leaver.close()
    answered.set()

    assert (await proxy.post("o3")).status == 200
    assert [request.body for request in upstream.requests if len(request.body) > 100] == []
    assert (await proxy.ask("GET", "/_hybrid/status")).json()["requests_in_flight"] == 0


@pytest.mark.parametrize("length", [1_000_000, 9_000_000], ids=["read at once", "read beside"])
async def test_long_bodies_take_turns(
    length: int, start: Start, upstream: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve at once, of one client, kept everybody waiting for ten seconds: all were put together in one go.

    One is worked on at a time; what is short, and the own pages, wait for none of them, and nobody for one
    whose client has left.
    """
    queued, begun, go_on = list[http.HTTPFlow](), list[bytes](), threading.Event()
    read, long_body = rules.Request.read, Waits.hybrid_long_body

    async def queue(waits: Waits, flow: http.HTTPFlow) -> None:
        queued.append(flow)
        await long_body(waits, flow)

    def slowly(request: rules.Request, limit: int = MAX_DECODED) -> Any:
        if len(request.sent.body) > 100:
            begun.append(request.sent.body)
            assert limit < MAX_DECODED or go_on.wait(PATIENCE)
        return read(request, limit)

    monkeypatch.setattr(Waits, "hybrid_long_body", queue)
    monkeypatch.setattr(rules.Request, "read", slowly)
    proxy = await start()
    first, *others = (
        b'{"model":"o3","a":"%d%b"}' % (at, b"a" * (length if at else 9_000_000)) for at in range(6)
    )
    one, *clients = [await proxy.client() for _ in range(6)]
    asked = [asyncio.create_task(one.ask("POST", CHAT, first))]
    await until(lambda: len(begun) == 2)  # at once, which it is too long for, and beside
    for client, body in zip(clients, others, strict=True):
        await client.request("POST", CHAT, body)
    await until(lambda: len(queued) == 6)

    small = await proxy.client()
    assert (await small.ask("GET", "/_hybrid/health")).status in {200, 503}
    assert (await small.post("o3")).status == 200
    assert begun == [first, first]
    assert [request for request in upstream.requests if len(request.body) > 100] == []

    leaver, left = clients.pop(2), others.pop(2)
    await leaver.close()
    go_on.set()
    assert {(await answer).status for answer in [*asked, *(client.answer() for client in clients)]} == {200}
    assert left not in begun
    assert sorted(request.body for request in upstream.requests if len(request.body) > 100) == [
        first,
        *others,
    ]


@pytest.mark.parametrize("at", ["before", "after"])
async def test_what_a_user_holds_is_not_released(at: str, start: Start, upstream: Stub) -> None:
    """A filter of mitmweb's holds a request whose body is read beside the loop, before our hook or after it."""
    held: list[http.HTTPFlow] = []

    class Hold:
        def request(self, flow: http.HTTPFlow) -> None:
            flow.intercept()
            held.append(flow)

    proxy = await start()
    addons = proxy.master.addons
    addons.add(hold := Hold())
    if at == "before":
        addons.chain.insert(0, addons.chain.pop(addons.chain.index(hold)))
    client = await proxy.client()
    await client.request("POST", CHAT, LONG["plain"][0].replace(b"%b", b"o3"))
    await until(lambda: held and "litellm_hybrid" in held[0].metadata)
    assert held[0].intercepted
    assert upstream.requests == []
    held[0].resume()

    assert (await client.answer()).status == 200


CAPPED = {
    "brackets": (b'{"model":"m","a":[', b"[" * 500 + b"]" * 500 + b",", 3_990, b"0]}"),
    "members and elements": (b'{"model":"m","messages":[', b"0,", 1_990_000, b"0]}"),
    "between members": (b'{"model":"m",', b"/**/", 450_000, b'"a":1}'),
    "before the object": (b"", b"    ", 450_000, b'{"model":"m",}'),
    "not strictly JSON": (b'{"model":"m",,"a":"', b"a" * 64, 250_000, b'"}'),
}


@pytest.mark.parametrize(("before", "repeated", "most", "behind"), CAPPED.values(), ids=CAPPED)
def test_what_is_not_read(before: bytes, repeated: bytes, most: int, behind: bytes) -> None:
    """Readers took seconds for it. What is a little less is read."""
    read, not_read = (
        requested_model.read(CHAT, "application/json", "", before + repeated * times + behind)
        for times in (most, most * 6 // 5)
    )
    assert read.model == "m"
    assert not_read.content is None


def test_a_character_cut_in_two_is_not_looked_for_among_a_million_escapes() -> None:
    cut, escapes = b"\\ud800", b"\\n"
    assert json_edit.readable(cut + escapes * 900_000).startswith(b"\\ufffd")
    with pytest.raises(json_edit.TooManyError):
        json_edit.readable(cut + escapes * 1_100_000)


def test_a_history_of_very_many_parts_is_left_alone() -> None:
    turn = b'{"role":"assistant","content":"a","reasoning_content":"b"},'
    fine, too_many = (b'{"messages":[' + turn * times + b"{}]}" for times in (100, 60_000))
    assert reduce(fine, Api.CHAT).body != fine
    assert reduce(too_many, Api.CHAT).body == too_many
    assert conversations.history(fine)
    assert conversations.history(too_many) is None


def test_a_conversation_is_told_by_the_beginning_of_its_first_turn() -> None:
    """All of a turn was searched for marks, which took six seconds for one of 60 MB."""

    def told(words: str, mark: str = "") -> str | None:
        turn = f'{{"role":"user","content":[{{"type":"text","text":"{words}"{mark}}}]}}'
        body = f'{{"model":"m","messages":[{turn}]}}'
        return conversations.key((), (), body.encode())

    mark = ',"cache_control":{"type":"ephemeral"}'
    long = "a" * 100_000
    assert told(long) == told(long + "b") == told(long, mark) == told(long + "b" * 100_000, mark)
    assert told("b" + long) != told(long)
    assert told("a") == told("a", mark) != told("b")


SEVERAL = [("Content-Encoding", "gzip, gzip")]


@pytest.mark.parametrize(
    ("path", "keys", "refused"),
    [
        ("/v1beta/models/gpt-5:generateContent", {}, True),
        ("/v1beta/models/o3:generateContent", {}, False),
        (CHAT, {}, False),
        (CHAT, {"passthrough_mode": True}, True),
    ],
)
@pytest.mark.parametrize("coding", ["gzip, gzip", "identity, gzip", "gzip"])
async def test_several_codings_are_refused_where_it_would_be_refused_anyway(
    path: str, keys: dict[str, Any], refused: bool, coding: str, start: Start, upstream: Stub
) -> None:
    """That is where LiteLLM's key would be spent by somebody who may not, whatever the body says."""
    proxy = await start(client_api_keys=["sk-client"], **keys)
    headers = [("Content-Encoding", coding)]

    stranger = await proxy.ask("POST", path, TWICE, headers)
    known = await proxy.ask("POST", path, TWICE, [*headers, ("X-Api-Key", "sk-client")])

    if refused and coding == "gzip, gzip":
        assert stranger.status == 415
        assert stranger.json()["error"] == "unsupported_content_coding"
        assert "gzip" in str(stranger.header("accept-encoding"))
    else:
        assert stranger.status == 200
        assert stranger.route == "upstream; reason=unreadable-body"
    assert (known.status, known.route) == (200, "upstream; reason=unreadable-body")
    assert upstream.last.body == TWICE


HEADS = {
    "another machine's, without a key": ("POST", CHAT, [("X-Forwarded-For", "192.0.2.7")], 401),
    "another machine's, with a wrong one": ("POST", CHAT, [("Via", "1.1 p"), ("X-Api-Key", "no")], 403),
    "for this machine alone": ("POST", "/v1internal:generateContent", [("X-Real-IP", "127.0.0.1")], 403),
    "a page's": ("POST", "/v0/management/config", [("Origin", "https://evil.example")], 403),
    "an own page": ("POST", "/_hybrid/health", [], 405),
    "an own page, from elsewhere": ("POST", "/_hybrid/health", [("Forwarded", "for=a")], 403),
    "LiteLLM's administration": ("POST", "/key/generate", [("X-Api-Key", "sk-client")], 200),
    "no POST": ("PUT", CHAT, [], 200),
}


@pytest.mark.parametrize(("method", "path", "headers", "status"), HEADS.values(), ids=HEADS)
async def test_what_the_head_decides_costs_no_reading(
    method: str,
    path: str,
    headers: list[tuple[str, str]],
    status: int,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither decoded nor parsed: a reader that is called ends with 500."""
    proxy = await start(client_api_keys=["sk-client"], fallback=ON)
    with monkeypatch.context() as patched:
        for where in ("decode", "json", "forms"):
            patched.setattr(requested_model, where, None)
        headers = [*headers, ("Content-Encoding", "gzip")]
        answer = await proxy.ask(method, path, gzip.compress(MEMBERS), headers)

    assert answer.status == status
