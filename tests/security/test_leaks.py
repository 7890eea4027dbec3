"""What a server says of LiteLLM's key reaches nobody; what is saved has no cookies and no tokens."""

import gzip
import json
import zlib
from pathlib import Path
from urllib.parse import quote

import brotli
import pytest
import zstandard

from e2e.conftest import Start
from e2e.harness import Stub, until
from e2e.test_shown import _view
from litellm_hybrid.config.parser import ConfigError, parse
from litellm_hybrid.message.decoders import decode
from support.ports import free_port
from support.processes import MASTER_KEY
from support.servers import Reply
from support.wire import Request

STARS = "*" * len(MASTER_KEY)
WORDS = json.dumps({"error": {"message": f"No such key: {MASTER_KEY}, and {MASTER_KEY}", "key": MASTER_KEY}})


async def whole(status: int, reply: Reply) -> None:
    await reply.send(
        status, WORDS.encode(), {"content-type": "application/json", "x-said": f"a {MASTER_KEY}"}
    )


async def in_pieces(status: int, reply: Reply) -> None:
    await reply.head(status, {"content-type": "text/event-stream"})
    event = f"data: {WORDS}\n\ndata: sk-litellm-mas\n\n: {MASTER_KEY[:5]}".encode()
    for at in range(0, len(event), 7):
        await reply.chunk(event[at : at + 7])
        await reply.pause(0.001)
    await reply.end()


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
@pytest.mark.parametrize("how", [whole, in_pieces])
async def test_litellms_key_in_litellms_words(status: int, how: object, start: Start, litellm: Stub) -> None:
    async def quoting(_: Request, reply: Reply) -> None:
        await how(status, reply)  # type: ignore[operator]

    litellm.does = quoting
    proxy = await start()

    answer = await proxy.post("gpt-5")

    assert answer.status == status
    assert answer.whole
    assert MASTER_KEY not in str(answer)
    assert answer.body.count(STARS.encode()) == 3
    if how is in_pieces:
        assert answer.body.endswith(f"data: sk-litellm-mas\n\n: {MASTER_KEY[:5]}".encode())
    else:
        assert answer.header("x-said") == "a ***"
    assert not [line for line in proxy.lines if MASTER_KEY in str(line)]


@pytest.mark.parametrize("how", [whole, in_pieces])
async def test_litellms_key_in_an_error_of_upstreams(
    how: object, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """Of upstream's own, and where LiteLLM could not help: its words went to the client as they were."""

    async def quoting(_: Request, reply: Reply) -> None:
        await how(429, reply)  # type: ignore[operator]

    upstream.does = litellm.does = quoting
    proxy = await start(fallback={"enabled": True})

    answer = await proxy.post("o3")

    assert answer.status == 429
    assert MASTER_KEY not in str(answer)
    assert STARS.encode() in answer.body
    assert not [line for line in proxy.lines if MASTER_KEY in str(line)]


PACKED = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
UPSTREAMS_KEY = "a-key-of-cliproxyapi/1"


@pytest.mark.parametrize("pieces", [0, 7])
@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize(("model", "status"), [("gpt-5", 200), ("gpt-5", 401), ("o3", 429)])
async def test_keys_in_what_is_compressed(
    model: str, status: int, coding: str, pieces: int, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """It keeps its coding; without a key in it, and sent whole, it is as it came."""
    said = [f"data: {WORDS}\n\n", "data: nothing\n\n"]
    packed: list[bytes] = []

    async def answer(_: Request, reply: Reply) -> None:
        body = PACKED[coding](said.pop(0).encode())
        packed.append(body)
        headers = {
            "content-type": "text/event-stream" if pieces else "text/plain",
            "content-encoding": coding,
        }
        if not pieces:
            await reply.send(status, body, headers)
            return
        await reply.head(status, headers)
        for at in range(0, len(body), pieces):
            await reply.chunk(body[at : at + pieces])
        await reply.end()

    upstream.does = litellm.does = answer
    proxy = await start(fallback={"enabled": False})

    quoting, other = await proxy.post(model), await proxy.post(model)

    for got in (quoting, other):
        assert (got.status, got.whole, got.header("content-encoding")) == (status, True, coding)
    assert decode(quoting.body, coding).decode() == f"data: {WORDS}\n\n".replace(MASTER_KEY, STARS)
    assert decode(other.body, coding) == b"data: nothing\n\n"
    assert pieces or other.body == packed[1]


async def test_the_other_servers_keys_in_litellms_words(start: Start, litellm: Stub) -> None:
    async def answer(_: Request, reply: Reply) -> None:
        words = f"No such key: {UPSTREAMS_KEY}"
        await reply.send(400, words, {"location": f"/?key={quote(UPSTREAMS_KEY, safe='')}&k={UPSTREAMS_KEY}"})

    litellm.does = answer
    proxy = await start(client_api_keys=[UPSTREAMS_KEY])

    got = await proxy.post("gpt-5", headers=[("x-api-key", UPSTREAMS_KEY)])

    assert (got.status, got.header("location")) == (400, "/?key=***&k=***")
    assert got.body.decode() == f"No such key: {'*' * len(UPSTREAMS_KEY)}"


async def test_a_key_in_an_error_that_is_cut_off(start: Start, upstream: Stub) -> None:
    async def answer(_: Request, reply: Reply) -> None:
        await reply.head(429, {"content-type": "application/json"})
        await reply.chunk(WORDS)
        await reply.pause(0.05)
        await reply.reset()

    upstream.does = answer
    proxy = await start(litellm_url=f"http://127.0.0.1:{free_port()}", fallback={"enabled": True})

    got = await proxy.post("o3")

    assert (got.status, got.whole) == (429, False)
    assert STARS.encode() in got.body
    assert MASTER_KEY.encode() not in got.body


async def test_other_answers_are_left_as_they_are(start: Start, upstream: Stub) -> None:
    """CLIProxyAPI's management gives its file back, and takes it again: a masked key would be written into it."""

    async def quoting(_: Request, reply: Reply) -> None:
        await whole(200, reply)

    upstream.does = quoting
    proxy = await start()

    assert (await proxy.ask("GET", "/v0/management/config.yaml")).body.decode() == WORDS
    assert (await proxy.post("o3")).body.decode() == WORDS


TOKEN = "the-token-of-an-mcp-server"
TOLD = {
    "model": "gpt-5",
    "mcp_servers": [{"type": "url", "url": "https://mcp", "authorization_token": TOKEN}, {"name": "b"}],
    "tools": [
        {
            "type": "mcp",
            "authorization": TOKEN,
            "headers": {"X-Key": TOKEN, "Authorization": f"Bearer {TOKEN}"},
        },
        {
            "type": "function",
            "function": {"parameters": {"properties": {"authorization": {"type": "string"}}}},
        },
    ],
}


async def test_saved_flows_have_no_cookies_and_no_tokens(
    start: Start, upstream: Stub, litellm: Stub, tmp_path: Path
) -> None:
    async def cookies(_: Request, reply: Reply) -> None:
        headers = {"set-cookie": f"session={TOKEN}; Path=/", "location": f"https://a/b?code={TOKEN}"}
        await reply.json(201, {"served": "x"}, headers)

    upstream.does = litellm.does = cookies
    file = tmp_path / "flows"
    proxy = await start()
    view = _view(proxy)
    proxy.master.options.update(save_stream_file=str(file))

    answers = [
        await proxy.ask("POST", "/v1/chat/completions", TOLD | {"model": model}) for model in ("gpt-5", "o3")
    ]
    answers.append(await proxy.ask("GET", "/v1/models"))
    proxy.master.options.update(save_stream_file=None)

    saved = file.read_bytes()
    assert b"authorization_token" in saved
    assert b"https://a/b?***" in saved
    assert TOKEN.encode() not in saved
    assert TOKEN not in str([flow.get_state() for flow in view])
    assert [json.loads(request.body)["tools"] for request in (litellm.last, upstream.requests[0])] == [
        TOLD["tools"]
    ] * 2
    for answer in answers:
        assert answer.header("set-cookie") == f"session={TOKEN}; Path=/"
        assert answer.header("location") == f"https://a/b?code={TOKEN}"

    routed = next(iter(view))
    proxy.master.commands.call("replay.client", [routed])
    await until(lambda: len(litellm.requests) == 2)
    assert json.loads(litellm.last.body)["mcp_servers"] == TOLD["mcp_servers"]
    await until(lambda: TOKEN not in str(routed.get_state()))


SECRET = "sk-verySECRETvalue"
WRITTEN = [
    *(
        f"{sign}{SECRET}"
        for sign in ("*", "&", "!", "[", "{", '"', "'", "%", "@", "`", "|", "> ", "- ", "? ", "<<: ")
    ),
    *(f"!!{tag} {SECRET}" for tag in ("int", "binary", "timestamp", "float", "bool", "null", "set")),
    *(f"${{{SECRET}}}", f"${{NOPE:-{SECRET}}}", f"${{NOPE-{SECRET}}}", f"[{SECRET}, ${{NOPE}}]"),
    *(f"{SECRET}: {SECRET}", f"{{a: {SECRET}}}", f"[{SECRET}, [{SECRET}]]", f"[{{a: {SECRET}}}]"),
    *(
        f'["{SECRET}\\q"]',
        f'"{SECRET}\\n"',
        f'"{SECRET}\\x01"',
        f"{SECRET}\n  x",
        f"[your-api-key-1, {SECRET}]",
    ),
    *(f"https://u:{SECRET}@h:99999999", f"[ftp://{SECRET}]", f"[{{url: {SECRET}, x: 1}}]"),
]


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("key", ["api-key", "client-api-keys", "notify"])
def test_a_configuration_error_never_quotes_a_key(key: str, written: str) -> None:
    """An alias was quoted that is a key which begins with `*`."""
    for file in (
        f"extensions:\n  litellm:\n    {key}: {written}\n",
        f"litellm-{key}: {written}\n",
        f"api-keys: {written}\n",
        f"extensions: {{litellm: {{{key}: {written}}}}}\n",
    ):
        said = ""
        try:
            said = str(parse(file, source="config.yaml", env={}).warnings)
        except ConfigError as e:
            said = str(e)
        assert SECRET not in said, file
