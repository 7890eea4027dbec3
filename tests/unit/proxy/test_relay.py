"""What passes through proxy/relay.py is what mitmproxy's layers would have sent, and ends as it does there."""

import os
import random
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from litellm_hybrid.proxy.fast_path import SWITCH, relays
from unit.proxy.playbook import Clock
from unit.proxy.wires import REQUEST, Wires, connected

STREAMS = 500 if os.environ.get("HYPOTHESIS_PROFILE") == "quick" else 10_000
BLOCKS = 1 if STREAMS < 10_000 else 20

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
            # h11's errors quote what is there, which is more where a task has slept meanwhile.
            "said": wires.rest.lines if exact else [_QUOTED.sub("", line) for line in wires.rest.lines],
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


_QUOTED = re.compile(r"bytearray\(.*?\) ")


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
    assert through[True] < through[False]


# -- each row of the table ----------------------------------------------------


async def begin(wires: Wires, head: bytes = CHUNKED) -> None:
    """A response has begun, and is relayed from now on."""
    wires.call_hooks_at_once()
    wires.client.feed(REQUEST % 1)
    await wires.settle()
    wires.server.feed(head)
    await wires.settle()
    assert is_relayed(wires)
    wires.events = 0
    wires.client.sent.clear()


def is_relayed(wires: Wires) -> bool:
    (stream,) = wires.layer.streams.values()
    return stream.relay is not None  # type: ignore[attr-defined]


async def test_events_of_one_read_go_out_in_one_write(clock: Clock) -> None:
    async with connected(clock, relays=True) as wires:
        await begin(wires)
        writes = wires.client.writes

        wires.server.feed(chunk(b"one") + chunk(b"two") + chunk(b"three"))

        # At once: no task has run.
        assert bytes(wires.client.sent) == chunk(b"one") + chunk(b"two") + chunk(b"three")
        assert (wires.client.writes, wires.events) == (writes + 1, 0)


async def test_a_tap_gets_each_piece_and_may_change_it(clock: Clock) -> None:
    async with connected(clock, relays=True) as wires:
        wires.tap = tap = Tap("upper")
        await begin(wires)

        wires.server.feed(chunk(b"one") + chunk(b"two")[:5])
        wires.server.feed(chunk(b"two")[5:])

        assert tap.pieces == [b"one", b"tw", b"o"]
        assert bytes(wires.client.sent) == chunk(b"ONE") + chunk(b"TW") + chunk(b"O")
        assert wires.events == 0


@pytest.mark.parametrize(
    ("head", "data"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"a part"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"until the end"),
    ],
)
async def test_without_chunks_too(clock: Clock, head: bytes, data: bytes) -> None:
    async with connected(clock, relays=True) as wires:
        await begin(wires, head)

        wires.server.feed(data)

        assert (bytes(wires.client.sent), wires.events) == (data, 0)


@pytest.mark.parametrize(
    ("rest", "sent"),
    [
        (b"0\r\n\r\n", b"0\r\n\r\n"),
        (b"5;name=value\r\nthree\r\n", chunk(b"three")),
        (b"zz\r\n", b""),
    ],
)
async def test_what_is_not_plain_is_mitmproxys(clock: Clock, rest: bytes, sent: bytes) -> None:
    async with connected(clock, relays=True) as wires:
        await begin(wires)

        wires.server.feed(chunk(b"two") + rest)

        await wires.settle()
        assert bytes(wires.client.sent) == chunk(b"two") + sent
        assert wires.events == 1


async def test_it_is_relayed_again_behind_what_was_mitmproxys(clock: Clock) -> None:
    async with connected(clock, relays=True) as wires:
        await begin(wires)

        wires.server.feed(b"5;name=value\r\nthree\r\n")
        await wires.settle()
        assert (wires.events, is_relayed(wires)) == (1, True)

        wires.server.feed(chunk(b"four"))
        assert (wires.events, bytes(wires.client.sent)) == (1, chunk(b"three") + chunk(b"four"))


async def test_a_slow_client_slows_the_server(clock: Clock) -> None:
    """What waits here is bounded, and goes on once the client reads."""
    async with connected(clock, relays=True) as wires:
        await begin(wires)
        wires.client.is_stuck = True
        sent = 0
        while not wires.server.pauses:
            wires.server.feed(chunk(b"x" * 60_000))
            sent += 60_000
            await wires.settle()
            assert sent < 4 * 1024 * 1024

        wires.client.unstick()
        await wires.settle()

        assert wires.server.resumes == wires.server.pauses == 1
        assert is_relayed(wires)
        assert len(body_of(b"chunked\r\n\r\n" + bytes(wires.client.sent))[1]) == sent


async def test_a_client_that_leaves_ends_it(clock: Clock) -> None:
    async with connected(clock, relays=True) as wires:
        await begin(wires)
        wires.left = True

        wires.client.end()
        await wires.settle()
        wires.server.feed(chunk(b"late"))

        assert wires.server.is_closing()
        assert bytes(wires.client.sent) == b""
        assert "tell failed client left, begun" in wires.rest.lines


async def test_a_client_that_half_closes_gets_all(clock: Clock) -> None:
    async with connected(clock, relays=True) as wires:
        await begin(wires)
        wires.left = False

        wires.client.end()
        await wires.settle()
        wires.server.feed(chunk(b"more"))

        assert bytes(wires.client.sent) == chunk(b"more")
        assert wires.events == 0


async def test_a_write_that_fails_ends_a_client_that_has_half_closed(clock: Clock) -> None:
    async with connected(clock, relays=True) as wires:
        await begin(wires)
        wires.left = False
        wires.client.end()
        await wires.settle()
        wires.client.fails = True

        wires.server.feed(chunk(b"more"))
        await wires.settle()

        assert wires.server.is_closing()
        assert "tell failed client left, begun" in wires.rest.lines


async def test_silence_is_limited_from_the_last_piece(clock: Clock) -> None:
    async with connected(clock, relays=True) as wires:
        await begin(wires)
        await wires.wait(200)
        wires.server.feed(chunk(b"more"))
        await wires.settle()
        await wires.wait(200)
        assert is_relayed(wires)

        await wires.wait(101)

        assert "tell failed idle limit, begun" in wires.rest.lines
        assert wires.server.is_closing()


async def test_somebody_who_begins_to_look_gets_the_rest(clock: Clock) -> None:
    async with connected(clock, relays=True) as wires:
        await begin(wires)
        wires.server.feed(chunk(b"before"))
        wires.store_bodies()

        wires.server.feed(chunk(b"behind"))
        await wires.settle()
        wires.server.feed(b"0\r\n\r\n")
        await wires.settle()

        response = wires.flows[0].response
        assert response is not None
        assert response.raw_content == b"behind"


async def test_a_header_that_is_cut_is_handed_back(clock: Clock) -> None:
    async with connected(clock, relays=True) as wires:
        await begin(wires)
        wires.server.feed(b"1")
        wires.store_bodies()

        wires.server.feed(b"0\r\nsixteen bytes ok\r\n")
        await wires.settle()

        assert bytes(wires.client.sent) == chunk(b"sixteen bytes ok")


async def test_a_connection_is_kept_behind_it(clock: Clock) -> None:
    async with connected(clock, relays=True) as wires:
        for _ in range(3):
            await begin(wires)
            wires.server.feed(chunk(b"data") + b"0\r\n\r\n")
            await wires.settle()

        assert len(wires.servers) == 1


async def test_it_can_be_turned_off(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "off")
    assert not relays()
    async with connected(clock, relays=relays()) as wires:
        wires.client.feed(REQUEST % 1)
        await wires.settle()
        wires.server.feed(CHUNKED)
        await wires.settle()

        assert not is_relayed(wires)
