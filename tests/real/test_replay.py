"""What three versions of CLIProxyAPI wrote, replayed end to end: what falls back, and that all else is untouched."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from e2e.conftest import Start
from e2e.harness import Proxy, Stub
from real.apis import APIS, question
from real.corpus import CAPTURED, Captured, captured, provider_errors, shared
from real.meaning import meaning
from support.servers import Reply
from support.wire import Request

CLIENTS = 8
LITELLM = b'{"id": "from LiteLLM", "choices": [{"message": {"role": "assistant", "content": "yes"}}]}'
LITELLM_STREAM = (
    b'data: {"id": "from LiteLLM", "choices": [{"delta": {"content": "yes"}}]}\n\ndata: [DONE]\n\n'
)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One captured answer at one place."""

    number: int
    answer: Captured
    api: str
    stream: bool

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.answer.name}/{self.api}{'~' if self.stream else ''} of {self.answer.at}"


def replayed(answers: Sequence[Captured]) -> Iterator[Replayed]:
    """Each answer once whole and once streamed, in turn on the client APIs that got it."""
    number = 0
    for answer in answers:
        for streamed in (False, True):
            places = [place for place in answer.at if ("~" in place) is streamed]
            if places:
                yield Replayed(number, answer, places[number % len(places)].rstrip("~+"), streamed)
                number += 1


ALL = list(replayed([*captured(CAPTURED), *shared()]))


async def answers(request: Request, reply: Reply) -> None:
    """Answer as CLIProxyAPI did, a stream event by event."""
    one = ALL[int(request.header("x-number") or 0)]
    body = one.answer.body.encode()
    headers = {name: value for name, value in one.answer.headers.items() if value}
    if not headers.get("Content-Type", "").startswith("text/event-stream"):
        await reply.send(one.answer.status, body, headers)
        return
    await reply.head(one.answer.status, headers)
    for event in filter(None, body.replace(b"\n\n", b"\n\n\0").split(b"\0")):
        await reply.chunk(event)
    await reply.end()


async def fallback(request: Request, reply: Reply) -> None:
    """LiteLLM answers in the style of the request."""
    if b'"stream": true' in request.body or "stream" in request.path:
        await reply.events([LITELLM_STREAM])
    else:
        await reply.send(200, LITELLM, {"content-type": "application/json"})


async def wrong(proxy: Proxy, ones: Sequence[Replayed]) -> list[str]:
    """Ask for each on one connection, and tell what went wrong."""
    client = await proxy.client()
    found = []
    for one in ones:
        asked = question(one.api, f"model-{one.number}", stream=one.stream, text=f"question {one.number}")
        headers = [*asked.headers, ("X-Number", str(one.number))]
        got = await client.ask("POST", asked.target, asked.body, headers)
        replayed_body = LITELLM_STREAM if one.stream else LITELLM
        expected = (200, replayed_body) if one.answer.want else (one.answer.status, one.answer.body.encode())
        if (got.status, got.body) != expected or not got.whole:
            found.append(
                f"{one.name}: {one.answer.kind}, {got.route}: {one.answer.status} {one.answer.body[:90]!r}"
            )
            client = await proxy.client() if not got.whole else client
    return found


async def test_the_captured_answers(start: Start, upstream: Stub, litellm: Stub) -> None:
    upstream.does, litellm.does = answers, fallback
    proxy = await start(models=[], fallback={"enabled": True})
    lists = await asyncio.gather(*(wrong(proxy, ALL[begin::CLIENTS]) for begin in range(CLIENTS)))
    found = [line for lines in lists for line in lines]
    assert not found, "\n".join([f"{len(found)} of {len(ALL)} went wrong:", *found])
    assert len(litellm.requests) == sum(one.answer.want for one in ALL), "something was sent twice"


def test_the_corpus_is_what_it_says() -> None:
    """Every client API, whole and streamed, behind keep-alives, of three versions; nothing twice, all judged alike."""
    entries = captured(CAPTURED)
    cases = {case.name: case for case in provider_errors()}
    for entry in entries:
        if case := cases.get(entry.name):
            assert meaning(case, entry.status, entry.body) == (entry.kind, entry.want), entry.name
    assert {place.rstrip("~+") for entry in entries for place in entry.at} == set(APIS)
    versions = {version for entry in entries for places in entry.at.values() for version in places}
    assert {"v6.10.9", "v7.1.76", "v7.2.140"} <= versions
    assert len({json.dumps([*entry.key]) for entry in entries}) == len(entries)
    assert len(ALL) > 1500
    assert {one.api for one in ALL} == set(APIS)


pytestmark = pytest.mark.timeout(240)
