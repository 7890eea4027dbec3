"""What passes through proxy/relay.py is what mitmproxy's layers would have sent, and ends as it does there."""

import os
import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from unit.proxy.playbook import Clock
from unit.proxy.wires import REQUEST, Wires, connected

STREAMS = 500 if os.environ.get("HYPOTHESIS_PROFILE") == "quick" else 10_000
BLOCKS = 20

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture
def clock() -> Clock:
    return Clock()


# -- at random --------------------------------------------------------------


@dataclass
class Story:
    """One client connection at random.

    Attributes:
        reads: what comes from the server, read by read.
        is_settled: whether everything runs between two reads; else some come together in mitmproxy's way.
        tap: its name.
        end: how the server's connection ends, "" if it stays.
        then: what else happens, before which read.
        again: whether another request follows.
        direct: whether hooks are called at once.
    """

    version: int
    reads: list[bytes]
    is_settled: bool
    tap: str
    end: str
    then: dict[int, str]
    again: bool
    direct: bool


def tell(chance: random.Random) -> Story:
    bodies = [_text(chance) for _ in range(chance.choice((1, 2, 3, 8)))]
    framing = chance.choice(("chunked", "chunked", "chunked", "length", "end"))
    end = chance.choice(("", "", "", "close", "reset"))
    if framing == "chunked":
        wire = CHUNKED + b"".join(_chunk(chance, body) for body in bodies) + _last(chance)
    elif framing == "length":
        body = b"".join(bodies)
        said = max(0, len(body) + chance.choice((0, 0, 0, 1, -1, 100)))
        wire = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (said, body)
    else:
        wire, end = b"HTTP/1.1 200 OK\r\n\r\n" + b"".join(bodies), chance.choice(("close", "reset", ""))
    if end and chance.random() < 0.5:
        wire = wire[: chance.randint(1, len(wire))]
    # Most often the head comes first, as it does where a model thinks before it speaks.
    cuts = {wire.find(b"\r\n\r\n") + 4} if chance.random() < 0.8 else set[int]()
    cuts |= {chance.randrange(len(wire)) for _ in range(chance.choice((0, 1, 3, 10, 30)))}
    if framing == "chunked" and chance.random() < 0.5:
        at = 0
        while (at := wire.find(b"\r\n", at) + 2) > 1:
            cuts.add(at + chance.choice((-2, -1, 0, 0, 0)))
    marks = [0, *sorted(cut for cut in cuts if 0 < cut < len(wire)), len(wire)]
    reads = [wire[a:b] for a, b in pairwise(marks)]
    happens = ("leaves", "half-closes", "is reset", "is stuck", "fails", "limit", "wakeup", "stores", "sends")
    then = {chance.randrange(len(reads)): chance.choice(happens)} if chance.random() < 0.3 else {}
    # A write finds out that the client is gone: whether before the end depends on what came in one read.
    finds_out = bool({"fails", "is reset"} & set(then.values()))
    is_settled = finds_out or chance.random() < 0.7
    is_stuck = "is stuck" in then.values()
    taps = ["none", "same", "same", "upper", "split", "keeps"]
    return Story(
        version=chance.choice((1, 1, 1, 0)),
        reads=reads,
        is_settled=is_settled,
        tap=chance.choice([*taps, "raises", "empty"] if is_settled and not is_stuck else taps),
        # What mitmproxy has not read when a connection breaks is lost.
        end="close" if is_stuck and end else end,
        then=then,
        again=chance.random() < 0.3,
        direct=finds_out or chance.random() < 0.5,
    )


def _text(chance: random.Random) -> bytes:
    size = chance.choice((1, 5, 15, 16, 200, 4000))
    return bytes(chance.choices(b'data: {"a":1}\n\r!', k=size)) if chance.random() < 0.9 else b"x" * 70_000


def _chunk(chance: random.Random, body: bytes) -> bytes:
    kind = chance.random()
    if kind < 0.85:
        return chunk(body)
    size = b"%x" % len(body)
    odd = (
        b"%b\r\n%b\r\n" % (size.upper(), body),
        b"000%b\r\n%b\r\n" % (size, body),
        b"%b;name=value\r\n%b\r\n" % (size, body),
        b"%b \t\r\n%b\r\n" % (size, body),
        b"%b\r\n%b\n" % (size, body),
        b"%b\r\n%b\r." % (size, body),
        b"0x%b\r\n%b\r\n" % (size, body),
        b"%b\n%b\r\n" % (size, body),
        b"-%b\r\n%b\r\n" % (size, body),
        b"\r\n%b" % chunk(body),
        b"%b%b\r\n%b\r\n" % (b"0" * 30, size, body),
        b"1_0\r\n%b\r\n" % body,
        b";%b\r\n%b\r\n" % (b"x" * 200, body),
    )
    return chance.choice(odd)


def _last(chance: random.Random) -> bytes:
    if chance.random() < 0.75:
        return b"0\r\n\r\n"
    return chance.choice(
        (b"", b"000\r\n\r\n", b"0\r\nTrailer: 1\r\n\r\n", b"0\r\n\r\nmore", b"0;x\r\n\r\n", b"0\r\n")
    )


@dataclass
class Tap:
    """What stands in `response.stream`, and the pieces that it has seen."""

    kind: str
    pieces: list[bytes] = field(default_factory=list)
    kept: bytes = b""

    def __call__(self, piece: bytes) -> Any:
        if self.kind == "raises" and b"!" in piece:
            raise ValueError("!")
        self.pieces.append(piece)
        match self.kind:
            case "upper":
                return piece.upper()
            case "split":
                return [piece[:1], piece[1:]] if len(piece) > 1 else piece
            case "keeps":
                whole, self.kept = self.kept + piece, piece[-1:]
                return whole[: len(whole) - len(self.kept)] or () if piece else self.kept
            case "empty":
                return () if piece.startswith(b"d") else piece
        return piece


def body_of(wire: bytes) -> tuple[bytes, bytes, bytes]:
    """The head of a response, its body, and what is behind: chunks may be cut in any way."""
    head, _, rest = wire.partition(b"\r\n\r\n")
    if b"chunked" not in head.lower():
        return head, rest, b""
    body, at = b"", 0
    while (end := rest.find(b"\r\n", at)) >= 0:
        size = int(rest[at:end], 16)
        if size == 0:
            return head, body, rest[at:]
        body += rest[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
    return head, body, rest[at:]


async def play(story: Story, *, relays: bool) -> tuple[dict[str, object], int]:
    """What comes of it, and how many reads went through mitmproxy's layers."""
    async with connected(Clock(), relays=relays) as wires:
        tap = Tap(story.tap)
        wires.tap = True if story.tap == "none" else tap
        if story.direct:
            wires.call_hooks_at_once()
        exact = story.is_settled and "is stuck" not in story.then.values()
        wires.client.feed(REQUEST % story.version)
        await wires.settle()
        await _respond(wires, story)
        if story.again and not wires.client.is_closing():
            before = len(wires.client.sent)
            wires.client.feed(REQUEST % 1)
            await wires.settle()
            wires.server.feed(CHUNKED)
            await wires.settle()
            wires.server.feed(chunk(b"once more") + b"0\r\n\r\n")
            await wires.settle()
            again = bytes(wires.client.sent[before:])
        else:
            before, again = len(wires.client.sent), b""
        sent = bytes(wires.client.sent[:before])
        seen: dict[str, object] = {
            "client": sent if exact else body_of(sent),
            "again": again if exact else body_of(again),
            "taken": tap.pieces if exact else b"".join(tap.pieces),
            "servers": [bytes(one.sent) for one in wires.servers],
            "closed": [wires.client.is_closing(), *(one.is_closing() for one in wires.servers)],
            "said": wires.rest.lines,
            "streams": len(wires.layer.streams),
        }
        return seen, wires.events


async def _respond(wires: Wires, story: Story) -> None:
    for number, read in enumerate(story.reads):
        if number in story.then:
            await wires.settle()
            await _happen(wires, story.then[number])
        wires.server.feed(read)
        if story.is_settled:
            await wires.settle()
    await wires.settle()
    if story.end == "close":
        wires.server.end()
    elif story.end:
        wires.server.reset()
    await wires.settle()
    wires.client.unstick()
    await wires.settle()


async def _happen(wires: Wires, what: str) -> None:
    match what:
        case "leaves":
            wires.left = True
            wires.client.end()
        case "half-closes":
            wires.left = False
            wires.client.end()
        case "is reset":
            wires.client.reset()
        case "is stuck":
            wires.client.is_stuck = True
        case "fails":
            wires.client.fails = True
        case "limit":
            await wires.wait(301)
        case "wakeup":
            await wires.wait(1)
        case "stores":
            wires.store_bodies()
        case "sends":
            wires.client.feed(b"POST")
    await wires.settle()


@pytest.mark.parametrize("block", range(BLOCKS))
async def test_random_streams_are_the_same_both_ways(block: int) -> None:
    count = STREAMS // BLOCKS
    through = {True: 0, False: 0}
    for number in range(block * count, (block + 1) * count):
        story = tell(random.Random(number))  # noqa: S311
        relayed, reads = await play(story, relays=True)
        ordinary, all_reads = await play(story, relays=False)
        assert relayed == ordinary, (number, story)
        through[True] += reads
        through[False] += all_reads
    # What is compared has to have gone two ways.
    assert through[True] < 0.8 * through[False]
