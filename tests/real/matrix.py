"""Every provider error on every client API, through a real CLIProxyAPI: directly, through the product, and,
where asked for, with CLIProxyAPI's own fallback. What was written directly says what should have become of it."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import batched, chain
from pathlib import Path
from threading import Lock

from real.apis import Seen
from real.capture import Play, ask_all, ask_play, noted, plays
from real.cliproxyapi import CHANNELS, SECTIONS, ForwardProxy, cliproxyapi, forward_proxy, version_of
from real.corpus import Captured, ProviderError
from real.providers import Providers
from real.rig import REPLAYED, LiteLLM, Product, product
from real.waits import is_read, stated
from support.ports import free_port
from support.servers import in_thread

SLOW = 1.3
"""Seconds that a provider takes where `nonstream-keepalive-interval: 1` shall write its blank line first."""

SLOW_EVERY = 4
"""How many of the whole requests, one in so many, are asked a second time that way."""

CASES_AT_ONCE = 40
"""How many cases one process serves: its work for each request grows with the models that it has."""

ROUNDS = 4
"""How often what did not reach its provider, because an earlier case took the account away, is asked anew."""

type Advance = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and how much there is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question.

    Attributes:
        want: whether it has to fall back.
        fell_back: whether it did.
        kind: what the answer means; `took`: what the product took it for ("" where it left it alone).
        waits: every wait that the answer states; `read`: the one that was read.
        seconds: until the client's first byte.
        replays: how often LiteLLM was asked.
        own: whether CLIProxyAPI's own fallback served it; None where that was not measured.
    """

    play: Play
    direct: Captured
    want: bool
    fell_back: bool
    kind: str
    took: str
    waits: list[float]
    read: float | None
    seconds: float
    route: str
    replays: int
    own: bool | None = None

    @property
    def is_right(self) -> bool:
        """Whether it went where it should, and the wait was read."""
        return self.fell_back is self.want and self.wait_read and not self.is_doubled

    @property
    def is_doubled(self) -> bool:
        """Whether LiteLLM was asked more than once, or for nothing."""
        return self.replays > self.fell_back

    @property
    def wait_read(self) -> bool:
        """Whether a stated wait was read; only asked of what fell back for its quota."""
        return not (self.fell_back and self.took in {"quota", "overload"}) or is_read(self.waits, self.read)


@dataclass(frozen=True, slots=True)
class Matrix:
    """What was measured of one version.

    Attributes:
        lost: questions that got no response, of any way; they are asked again.
    """

    version: str
    subscriptions: bool
    outcomes: list[Outcome]
    seconds: float
    lost: list[str] = field(default_factory=list)


class Way(StrEnum):
    """Who is asked."""

    DIRECT = "CLIProxyAPI alone"
    THROUGH = "litellm-hybrid"
    OWN = "CLIProxyAPI's own fallback"


def measure(
    binary: Path,
    cases: Sequence[ProviderError],
    folder: Path,
    *,
    subscriptions: bool = False,
    own_fallback: bool = False,
    advance: Advance | None = None,
) -> Matrix:
    """Play them all, every way at the same time."""
    began = time.monotonic()
    providers = set(CHANNELS if subscriptions else SECTIONS)
    known = [case for case in cases if case.provider in providers]
    fast = [plays(part) for part in batched(known, CASES_AT_ONCE, strict=False)]
    whole = [play for play in plays(known) if not play.stream]
    slow = [replace(play, slow=True) for play in whole[::SLOW_EVERY]]
    parts = {
        way: fast if way is Way.OWN else [*fast, slow] for way in Way if own_fallback or way is not Way.OWN
    }
    total, lock = sum(len(part) for todo in parts.values() for part in todo), Lock()
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            if advance:
                advance("questions", done, total)

    def run(way: Way) -> tuple[dict[Play, Asked], list[str]]:
        place = folder / way.name.lower()
        place.mkdir(parents=True)
        with _serving(way, binary, cases, place, subscriptions=subscriptions) as line:
            answers = [line.ask(part, tick) for part in parts[way]]
        return {play: asked for part in answers for play, asked in part.items()}, line.lost

    with ThreadPoolExecutor(len(parts)) as threads:
        found = dict(zip(parts, threads.map(run, parts), strict=True))
    direct, through = found[Way.DIRECT][0], found[Way.THROUGH][0]
    own = found[Way.OWN][0] if own_fallback else {}
    version = version_of(binary)
    outcomes = [
        _outcome(play, noted(play, direct[play].seen, version), through[play], _served(own.get(play)))
        for play in (*chain.from_iterable(fast), *slow)
        if play in direct and play in through
    ]
    lost = [line for _, lines in found.values() for line in lines]
    return Matrix(version, subscriptions, outcomes, time.monotonic() - began, lost)


type Lines = Mapping[str, Mapping[str, object]]
"""What was logged of each request that fell back, by request id."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question: the answer, the log's line about its fallback, how often LiteLLM was asked."""

    seen: Seen
    line: Mapping[str, object]
    replays: int


@dataclass(slots=True)
class _Line:
    """One way from the questions to the providers; CLIProxyAPI is started anew for each part of the questions.

    Attributes:
        port: where CLIProxyAPI listens.
        proxy: what answers for the providers' hosts, with subscriptions.
        hybrid: the product, where it is in front.
        lost: questions without a response.
    """

    way: Way
    binary: Path
    folder: Path
    providers: Providers
    litellm: LiteLLM
    port: int
    proxy: ForwardProxy | None
    hybrid: Product | None
    lost: list[str] = field(default_factory=list)
    runs: int = 0

    def ask(self, todo: Sequence[Play], tick: Callable[[int], None]) -> dict[Play, Asked]:
        """Ask each until its provider has seen it, in a fresh process where an earlier case took the account."""
        answers: dict[Play, Asked] = {}
        left = list(todo)
        for _ in range(ROUNDS):
            before = len(left)
            answers |= self._round(left)
            # What states a short wait takes the account from all that follow: last.
            left = sorted(
                (play for play in left if play not in answers), key=lambda play: "RetryInfo" in play.case.text
            )
            tick(before - len(left))
            if not left or len(left) == before:
                break
        tick(len(left))
        return answers

    def _round(self, todo: Sequence[Play]) -> dict[Play, Asked]:
        models: dict[str, list[str]] = defaultdict(list)
        for play in todo:
            models[play.case.provider].append(play.model)
        slow = any(play.slow for play in todo)
        self.providers.delay = SLOW if slow else 0.0
        self.providers.asked.clear()
        self.litellm.asked.clear()
        self.runs += 1
        with cliproxyapi(
            self.binary,
            self.providers,
            models,
            self.folder / f"upstream-{self.runs}",
            extra={"nonstream-keepalive-interval": 1} if slow else {},
            subscriptions=self.proxy,
            fallback=_own(self.litellm.url, chain.from_iterable(models.values()))
            if self.way is Way.OWN
            else None,
            port=self.port,
        ):
            seen = asyncio.run(self._answers(todo))
        lines = self.hybrid.fallbacks() if self.hybrid else {}
        replays = Counter(case for _, _, case in self.litellm.asked)
        return {
            play: Asked(answer, lines.get(play.model, {}), replays[f"{play.case.name}-in-{play.place}"])
            for play, answer in seen.items()
            if answer.status and self.providers.asked[play.case.name, play.place]
        }

    async def _answers(self, todo: Sequence[Play]) -> dict[Play, Seen]:
        port = self.hybrid.port if self.hybrid else self.port

        async def one(play: Play) -> Seen:
            began = time.time()
            try:
                return await ask_play(port, play, request_id=play.model)
            except (OSError, TimeoutError) as e:
                at = time.strftime("%H:%M:%S", time.gmtime(began))
                self.lost.append(
                    f"{self.way}: {play.model}, asked at {at}, {time.time() - began:.2f} s: {e!r}"
                )
                return Seen(0, (), f"no response: {e}".encode(), whole=False, first_byte=0.0)

        return dict(zip(todo, await ask_all(todo, one), strict=True))


@contextmanager
def _serving(
    way: Way, binary: Path, cases: Sequence[ProviderError], folder: Path, *, subscriptions: bool
) -> Iterator[_Line]:
    """Start what stays for all of a way's questions."""
    port = free_port()
    with ExitStack() as stack:
        providers = stack.enter_context(in_thread(Providers(cases)))
        litellm = stack.enter_context(in_thread(LiteLLM()))
        proxy = stack.enter_context(forward_proxy(providers, folder)) if subscriptions else None
        hybrid = None
        if way is Way.THROUGH:
            upstream = f"http://127.0.0.1:{port}"
            hybrid = stack.enter_context(product(upstream, litellm.url, folder / "product"))
        yield _Line(way, binary, folder, providers, litellm, port, proxy, hybrid)


def _own(litellm: str, models: Iterable[str]) -> Mapping[str, object]:
    """CLIProxyAPI's own fallback: LiteLLM as a provider that is asked last."""
    return {
        "name": "litellm",
        "base-url": f"{litellm}/v1",
        "priority": -1,
        "api-key-entries": [{"api-key": "sk-own-fallback"}],
        "models": [{"name": model, "alias": model} for model in models],
    }


def _served(asked: Asked | None) -> bool | None:
    return None if asked is None else REPLAYED in asked.seen.text


def _outcome(play: Play, direct: Captured, asked: Asked, own: bool | None) -> Outcome:
    seen, line = asked.seen, asked.line
    route = seen.header("x-hybrid-route")
    read = line.get("retry_after")
    return Outcome(
        play=play,
        direct=direct,
        want=direct.want,
        fell_back=route.startswith("litellm") and REPLAYED in seen.text,
        kind=direct.kind,
        took=str(line.get("kind", "")),
        waits=stated(direct.body, direct.headers, seen.at),
        read=float(read) if isinstance(read, int | float) else None,
        seconds=seen.first_byte,
        route=route,
        replays=asked.replays,
        own=own,
    )
