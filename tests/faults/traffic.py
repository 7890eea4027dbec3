"""The soak's traffic: kinds of requests, what the servers do with each, and what its client must get.

The client names the kind in a header, and both servers act on it; every piece
of every answer carries the id of the request that it answers.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from e2e.fallback_support import QUOTA
from e2e.harness import Answer, Client
from faults.rig import PATH, ids, new_id
from support.servers import Reply
from support.wire import ClientGoneError, Connection, Request

KIND = "x-soak"
_SSE = {"content-type": "text/event-stream"}
_JSON = {"content-type": "application/json"}
_BIG = 1_500_000

type Act = Callable[[bytes, Reply], Awaitable[None]]


def served(name: str) -> dict[str, object]:
    """An answer of a model's that says which request it is for."""
    return {"served": name, "choices": [{"message": {"role": "assistant", "content": name}}]}


async def plain(request: bytes, reply: Reply) -> None:
    """A short JSON."""
    await reply.json(200, served(request.decode()))


async def stream(request: bytes, reply: Reply) -> None:
    """Events, some hundredths of a second apart."""
    await reply.head(200, _SSE)
    for _ in range(10):
        await reply.chunk(b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % request)
        await reply.pause(0.02)
    await reply.end()


async def big(request: bytes, reply: Reply) -> None:
    """More than is ever held."""
    await reply.send(200, request * (_BIG // len(request)), {"content-type": "application/octet-stream"})


async def quota(_: bytes, reply: Reply) -> None:
    """The account is exhausted."""
    await reply.send(429, QUOTA, _JSON)


async def quota_in_stream(_: bytes, reply: Reply) -> None:
    """The same, in a 200."""
    await reply.head(200, _SSE)
    await reply.chunk(b'event: message_start\ndata: {"type":"message_start"}\n\n')
    await reply.chunk(b"event: error\ndata: " + QUOTA + b"\n\n")
    await reply.end()


async def close(_: bytes, reply: Reply) -> None:
    """Nothing, and the end."""
    await reply.close()


async def reset(_: bytes, reply: Reply) -> None:
    """Nothing, and a broken connection."""
    await reply.reset()


async def garbage(_: bytes, reply: Reply) -> None:
    """What is no HTTP."""
    await reply.raw(b"\x00garbage\r\n\r\n")
    await reply.close()


async def break_off(request: bytes, reply: Reply) -> None:
    """The beginning of a stream."""
    await reply.head(200, _SSE)
    await reply.chunk(b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % request)
    await reply.pause(0.02)
    await reply.reset()


async def opening(_: bytes, reply: Reply) -> None:
    """What is held, and then nothing."""
    await reply.head(200, _SSE)
    await reply.chunk(b'event: message_start\ndata: {"type":"message_start"}\n\n')
    await reply.stall()


async def stall(_: bytes, reply: Reply) -> None:
    """Nothing at all."""
    await reply.stall()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request.

    Attributes:
        weight: how often it comes, relative to the others.
        model: `gpt-5` goes to LiteLLM, `o3` to upstream.
        upstream: what upstream does with it.
        litellm: what LiteLLM does.
        gets: the status, or how else it ends: in a broken answer, or the client leaves before or in one, or
            before it has sent all of its own.
        reaches: the servers that see it, each once.
        size: of the request's body, in bytes.
    """

    weight: int
    model: str
    gets: int | Literal["broken", "leaves", "leaves in it", "leaves in its head", "leaves in its body"]
    reaches: tuple[str, ...]
    upstream: Act = plain
    litellm: Act = plain
    size: int = 100


_PARTS = {"leaves in its head", "leaves in its body"}
UPSTREAM, LITELLM, BOTH = ("upstream",), ("litellm",), ("upstream", "litellm")

KINDS: dict[str, Kind] = {
    "plain, upstream": Kind(20, "o3", 200, UPSTREAM),
    "plain, routed": Kind(20, "gpt-5", 200, LITELLM),
    "streamed, upstream": Kind(10, "o3", 200, UPSTREAM, upstream=stream),
    "streamed, routed": Kind(10, "gpt-5", 200, LITELLM, litellm=stream),
    "large request": Kind(4, "o3", 200, UPSTREAM, size=200_000),
    "large request, routed": Kind(4, "gpt-5", 200, LITELLM, size=200_000),
    "large answer": Kind(2, "o3", 200, UPSTREAM, upstream=big),
    "fallback": Kind(8, "o3", 200, BOTH, upstream=quota),
    "fallback, streamed": Kind(6, "o3", 200, BOTH, upstream=quota_in_stream, litellm=stream),
    "fallback that fails": Kind(2, "o3", 429, BOTH, upstream=quota, litellm=close),
    "fault: closed": Kind(2, "o3", 502, UPSTREAM, upstream=close),
    "fault: reset": Kind(2, "gpt-5", 502, LITELLM, litellm=reset),
    "fault: garbage": Kind(2, "gpt-5", 502, LITELLM, litellm=garbage),
    "fault: stream broken": Kind(2, "o3", "broken", UPSTREAM, upstream=break_off),
    "fault: replay broken": Kind(2, "o3", "broken", BOTH, upstream=quota, litellm=break_off),
    "client leaves": Kind(2, "o3", "leaves", UPSTREAM, upstream=stall),
    "client leaves a replay": Kind(2, "o3", "leaves", BOTH, upstream=quota, litellm=stall),
    "client leaves in its head": Kind(2, "o3", "leaves in its head", ()),
    "client leaves in its body": Kind(2, "gpt-5", "leaves in its body", (), size=200_000),
    "client leaves what is held": Kind(2, "o3", "leaves", UPSTREAM, upstream=opening),
    "client leaves a stream": Kind(2, "gpt-5", "leaves in it", LITELLM, litellm=stream),
    "client leaves a replayed stream": Kind(
        2, "o3", "leaves in it", BOTH, upstream=quota_in_stream, litellm=stream
    ),
}


@dataclass(slots=True)
class Tally:
    """What has become of the requests.

    Attributes:
        asked: by kind.
        lost: what was not answered, or not as it must be.
        doubled: what was answered, or has reached a server, more than once.
        mixed: answers with another request's bytes.
        sent_again: how many came a second time, as they may where a kept connection died without a byte.
        latencies: when, and the seconds to the whole of a plain answer.
        pending: the servers that are still to see a request, by its id.
    """

    asked: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    sent_again: int = 0
    latencies: list[tuple[float, float]] = field(default_factory=list)
    pending: dict[str, list[str]] = field(default_factory=dict)
    _seen: dict[tuple[str, str], Connection | None] = field(default_factory=dict)

    def server(self, name: str) -> Callable[[Request, Reply], Awaitable[None]]:
        """A server's handler."""

        async def handler(request: Request, reply: Reply) -> None:
            if request.path != PATH:  # the proxy's own questions
                await reply.json(404, {})
                return
            number, kind = request.header("x-request-id") or "", KINDS[request.header(KIND) or ""]
            act = kind.upstream if name == "upstream" else kind.litellm
            connection = request.connection
            is_fresh = len(connection.requests) == 1
            if (name, number) not in self._seen:
                # Lost without a byte on a connection that was kept, it may come once more: RFC 9112, 9.3.1.
                may_repeat = act in (close, reset) and not is_fresh
                self._seen[name, number] = connection if may_repeat else None
                if name in self.pending.get(number, ()):
                    self.pending[number].remove(name)
                else:
                    self.doubled.append(f"{name} has seen {number}, which was not for it")
            else:
                before, self._seen[name, number] = self._seen[name, number], None
                if before is None or before.open or not is_fresh:
                    self.doubled.append(f"{name} has seen {number} again")
                else:
                    self.sent_again += 1
            await act(number.encode(), reply)

        return handler


async def work(port: int, tally: Tally, until: float, pause: float, seed: int) -> None:
    """One client after another, each with some requests, until the clock says so.

    Args:
        until: on the monotonic clock.
        pause: mean seconds between two requests.
        seed: of what comes when.
    """
    chance = random.Random(seed)  # noqa: S311
    names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
    while monotonic() < until:
        client = await Client.connect(port)
        try:
            for _ in range(chance.randint(1, 30)):
                await asyncio.sleep(chance.uniform(0, 2 * pause))
                (name,) = chance.choices(names, weights)
                if monotonic() >= until or not await _exchange(client, name, tally):
                    break
        finally:
            await client.close()


async def _exchange(client: Client, name: str, tally: Tally) -> bool:
    """One request and its answer; whether the connection may be used again."""
    kind, request = KINDS[name], new_id()
    tally.asked[name] += 1
    tally.pending[request.decode()] = list(kind.reaches)
    begun = monotonic()
    body = {"model": kind.model, "stream": True, "padding": "x" * kind.size}
    fields = [("X-Request-ID", request.decode()), (KIND, name)]
    try:
        if kind.gets in _PARTS:
            whole = json.dumps(body).encode()
            head = f"POST {PATH} HTTP/1.1\r\nHost: h\r\nX-Request-ID: {request.decode()}\r\n".encode()
            head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(whole)
            client.wire.writer.write(head[:-4] if "head" in kind.gets else head + whole[: len(whole) // 2])
            del tally.pending[request.decode()]
            return False
        await client.request("POST", PATH, body, fields)
        if isinstance(kind.gets, str) and kind.gets.startswith("leaves"):
            await _leave(client, kind, request, tally)
            return False
        answer = await client.answer()
        _judge(client, name, request, answer, tally)
    except (OSError, TimeoutError) as e:
        tally.lost.append(f"{name}: {type(e).__name__}: {request.decode()}")
        return False
    if name.startswith("plain"):
        tally.latencies.append((begun, monotonic() - begun))
    if not tally.pending[request.decode()]:
        del tally.pending[request.decode()]
    return answer.whole


async def _leave(client: Client, kind: Kind, request: bytes, tally: Tally) -> None:
    """Once every server has it, or once the answer has begun."""
    while tally.pending[request.decode()]:  # noqa: ASYNC110  (the server's handler knows of no event)
        await asyncio.sleep(0.01)
    if kind.gets == "leaves in it":
        with suppress(ClientGoneError):
            await client.head()
            await client.chunk()
    del tally.pending[request.decode()]


def _judge(client: Client, name: str, request: bytes, answer: Answer, tally: Tally) -> None:
    kind, where = KINDS[name], f"{name}: {request.decode()}"
    if answer.values("x-request-id") != [request.decode()] or not ids(answer.body) <= {request}:
        tally.mixed.append(where)
    got = answer.status if answer.whole else "broken"
    if got != kind.gets:
        tally.lost.append(f"{where}: {got} instead of {kind.gets}: {answer.body[:200]!r}")
    elif got == 200 and ids(answer.body) != {request}:
        tally.lost.append(f"{where}: not its own answer: {answer.body[:200]!r}")
    if left := client.wire.take():
        tally.doubled.append(f"{where}: {left[:100]!r} behind its answer")
    if answer.status == 502 and set(json.loads(answer.body)) != {"error", "message"}:
        tally.lost.append(f"{where}: {answer.body[:200]!r}")
