"""Every answer of the corpora through the running proxy: what falls back, and that all else is untouched."""

import asyncio
import json
from collections.abc import Iterable, Iterator

import pytest

from corpus.answers import FIELD, OWN, OWN_FIELD, SHARED
from corpus.answers import Answer as Entry
from e2e.conftest import Start
from e2e.fallback_support import (
    CHAT,
    CONTENT,
    JSON,
    MESSAGES,
    ON,
    OPENING,
    OVERLOADED,
    SSE,
    ask,
    error,
    healthy,
    plain,
    says,
)
from e2e.harness import Answer, Client, Proxy, Stub
from litellm_hybrid.config.settings import DEFAULT_FALLBACK_KINDS
from support.servers import Reply
from support.wire import Request

__all__ = ["healthy"]

PATHS = {
    "claude": MESSAGES,
    "openai-responses": "/v1/responses",
    "gemini": "/v1beta/models/o3:generateContent",
}
HTTP = [entry for entry in [*SHARED, *OWN, *FIELD, *OWN_FIELD] if entry.status != 101]
LITELLM = b'{"id": "from LiteLLM", "choices": [{"message": {"role": "assistant", "content": "Hi"}}]}'


def _pieces(entry: Entry, size: int) -> Iterable[bytes]:
    body = entry.body.encode()
    return (body[at : at + size] for at in range(0, len(body), size))


@pytest.mark.parametrize("framing", ["whole", "in pieces"])
async def test_the_corpora(framing: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    """A default configuration replays the default kinds; every other answer is untouched."""
    by_name = {entry.name: entry for entry in HTTP}
    assert len(by_name) == len(HTTP) > 500

    async def answer(request: Request, reply: Reply) -> None:
        entry = by_name[request.header("x-entry") or ""]
        headers = entry.headers | {"X-Entry": entry.name, "x-request-id": "of upstream"}
        if framing == "whole" or not entry.body or entry.status in (204, 304):
            await reply.send(entry.status, entry.body, headers)
            return
        await reply.head(entry.status, headers)
        for piece in _pieces(entry, 29):
            await reply.chunk(piece)
        await reply.end()

    upstream.does = answer
    litellm.does = says(200, LITELLM)
    proxy = await start(fallback=ON)
    client = await proxy.client()
    wrong = []
    replays = 0
    for name, entry in by_name.items():
        path = PATHS.get(entry.protocol, CHAT)
        got = await client.ask("POST", path, {"model": "o3"}, [("x-entry", name), ("x-request-id", name)])
        # Upstream has served this model by then: it has lost its account, and not the model.
        falls_back = entry.kind in DEFAULT_FALLBACK_KINDS or "unknown provider for model" in entry.body
        replays += falls_back
        if falls_back:
            route = f"litellm; reason=fallback; upstream-status={entry.status}"
            expected = (200, route, LITELLM, dict(plain(got)))
        else:
            fields = dict(plain(got))
            sent = entry.headers | {"X-Entry": name}
            sent |= {k: v for k, v in fields.items() if k in ("content-length", "transfer-encoding")}
            expected = (entry.status, "upstream; reason=not-listed", entry.body.encode(), sent)
        if entry.status == 204:
            expected = (204, "upstream; reason=not-listed", b"", dict(plain(got)))
        if (got.status, got.route, got.body, dict(plain(got))) != expected or not got.whole:
            wrong.append((name, entry.kind, got))
    assert wrong == []
    assert len(litellm.requests) == replays
    assert len(upstream.requests) == len(by_name)
    assert len(upstream.connections) == 1, "an answer was not taken to its end"


WORDS = "quota exceeded, rate limit, billing, insufficient_quota, overloaded_error, resource_exhausted, 429"
QUOTED = json.dumps({"type": "error", "error": {"type": "rate_limit_error", "message": WORDS}})
INNOCENT = {
    "an answer": (200, JSON, {"choices": [{"message": {"role": "assistant", "content": WORDS}}]}),
    "quoted error": (200, JSON, {"type": "message", "content": [{"type": "text", "text": QUOTED}]}),
    "tool call": (
        200,
        JSON,
        {"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": QUOTED}}]}}]},
    ),
    "gemini": (200, JSON, {"candidates": [{"content": {"parts": [{"text": QUOTED}]}}], "error": None}),
    "responses": (
        200,
        JSON,
        {"output": [{"type": "message", "content": QUOTED}], "error": {"message": WORDS}},
    ),
    "400 with words": (
        400,
        JSON,
        {"error": {"type": "invalid_request_error", "message": f"Unknown parameter: {WORDS}"}},
    ),
    "400 that quotes": (
        400,
        JSON,
        {"error": {"type": "invalid_request_error", "message": f"messages.3: invalid JSON: {QUOTED}"}},
    ),
    "client key": (401, JSON, {"error": "Invalid API key"}),
}


@pytest.mark.parametrize("case", INNOCENT)
async def test_words_alone_do_not_trigger(case: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    status, headers, value = INNOCENT[case]
    body = json.dumps(value).encode()
    upstream.does = says(status, body, headers)
    proxy = await start(fallback=ON)

    answer = await ask(proxy)

    assert (answer.status, answer.body, answer.route) == (status, body, "upstream; reason=not-listed")
    assert litellm.requests == []


@pytest.mark.parametrize(
    "first",
    [CONTENT, b"data: " + json.dumps({"choices": [{"delta": {"content": QUOTED}}]}).encode() + b"\n\n"],
)
async def test_an_error_after_content_is_passed_on(
    first: bytes, start: Start, upstream: Stub, litellm: Stub
) -> None:
    """Once a content byte has gone to the client nothing is replayed."""
    body = OPENING + first + OVERLOADED
    upstream.does = says(200, body, SSE)
    proxy = await start(fallback=ON)

    answer = await ask(proxy, {"stream": True}, MESSAGES)

    assert (answer.status, answer.body, answer.route) == (200, body, "upstream; reason=not-listed")
    assert litellm.requests == []


STREAMS = {
    "claude error": (OPENING + OVERLOADED, True),
    "claude content": (OPENING + CONTENT + OVERLOADED, False),
    "CRLF": ((OPENING + OVERLOADED).replace(b"\n", b"\r\n"), True),
    "no blank line at the end": (OPENING + OVERLOADED[:-2], True),
    "bare error": (b"data: " + error("quota exceeded") + b"\n\n", True),
}


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_cut_anywhere(name: str, start: Start, upstream: Stub, litellm: Stub) -> None:
    """Where a stream is cut in two changes neither the decision nor a byte."""
    stream, falls_back = STREAMS[name]
    cuts: Iterator[int] = iter(range(1, len(stream)))

    async def answer(_: Request, reply: Reply) -> None:
        cut = next(cuts)
        await reply.head(200, SSE)
        await reply.chunk(stream[:cut])
        await asyncio.sleep(0)
        await reply.chunk(stream[cut:])
        await reply.end()

    upstream.does = answer
    litellm.does = says(200, CONTENT, SSE)
    proxy = await start(fallback=ON)
    client = await proxy.client()
    seen = set()
    for _ in range(1, len(stream)):
        got = await _stream(client)
        seen.add((got.body, (got.route or "").partition(";")[0]))
    assert seen == {(CONTENT, "litellm") if falls_back else (stream, "upstream")}
    assert len(upstream.connections) == 1


async def _stream(client: Client) -> Answer:
    return await client.ask("POST", MESSAGES, {"model": "o3", "stream": True})


async def test_nothing_is_held_up_by_a_single_byte_at_a_time(
    start: Start, upstream: Stub, litellm: Stub
) -> None:
    body = OPENING + OVERLOADED
    upstream.does = says(200, b"", SSE, chunks=[bytes([byte]) for byte in body])
    litellm.does = says(200, b"", SSE, chunks=[bytes([byte]) for byte in OPENING + CONTENT])
    proxy: Proxy = await start(fallback=ON)

    answer = await ask(proxy, {"stream": True}, MESSAGES)

    assert answer.body == OPENING + CONTENT
    assert answer.route == "litellm; reason=fallback; upstream-status=200"
