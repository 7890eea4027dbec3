"""Every provider error on every client API, through a real CLIProxyAPI: directly, through the product, and,
where asked for, with CLIProxyAPI's own fallback. What was written directly says what should have become of it."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import batched
from pathlib import Path

from real.apis import Seen
from real.capture import Play, ask_all, ask_play, noted, plays
from real.cliproxyapi import CHANNELS, SECTIONS, cliproxyapi, version_of
from real.corpus import Captured, ProviderError
from real.providers import Providers
from real.rig import REPLAYED, LiteLLM, product
from real.waits import is_read, stated
from support.servers import in_thread

SLOW = 1.3
"""Seconds that a provider takes where `nonstream-keepalive-interval: 1` shall write its blank line first."""

SLOW_EVERY = 4
"""How many of the whole requests, one in so many, are asked a second time that way."""

CASES_AT_ONCE = 120
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
    """What was measured of one version."""

    version: str
    subscriptions: bool
    outcomes: list[Outcome]
    seconds: float


def measure(
    binary: Path,
    cases: Sequence[ProviderError],
    folder: Path,
    *,
    subscriptions: bool = False,
    own_fallback: bool = False,
    advance: Advance | None = None,
) -> Matrix:
    """Play them all."""
    began = time.monotonic()
    providers = set(CHANNELS if subscriptions else SECTIONS)
    known = [case for case in cases if case.provider in providers]
    bench = _Bench(binary, cases, folder, subscriptions, advance)
    outcomes: list[Outcome] = []
    for part in batched(known, CASES_AT_ONCE, strict=False):
        for slow in (False, True):
            asked = [play for play in plays(part) if not slow or not play.stream][
                :: SLOW_EVERY if slow else 1
            ]
            asked = [Play(play.case, play.api, play.stream, slow) for play in asked]
            outcomes += bench.compare(asked, slow=slow, own_fallback=own_fallback and not slow)
    return Matrix(version_of(binary), subscriptions, outcomes, time.monotonic() - began)


type Lines = Mapping[str, Mapping[str, object]]
"""What was logged of each request that fell back, by request id."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Who serves a round of questions."""

    port: int
    providers: Providers
    litellm: LiteLLM


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question: the answer, the log's line about its fallback, how often LiteLLM was asked."""

    seen: Seen
    line: Mapping[str, object]
    replays: int


@dataclass(slots=True)
class _Bench:
    binary: Path
    cases: Sequence[ProviderError]
    folder: Path
    subscriptions: bool
    advance: Advance | None
    runs: int = 0

    def compare(self, todo: Sequence[Play], *, slow: bool, own_fallback: bool) -> list[Outcome]:
        """Ask directly, through the product, and of CLIProxyAPI's own fallback."""
        words = " behind keep-alives" if slow else ""
        direct = self._ask(f"CLIProxyAPI alone{words}", todo, slow=slow)
        through = self._ask(f"through litellm-hybrid{words}", todo, slow=slow, hybrid=True)
        own = self._ask("CLIProxyAPI's own fallback", todo, own=True) if own_fallback else {}
        version = version_of(self.binary)
        return [
            _outcome(play, noted(play, direct[play].seen, version), through[play], _served(own.get(play)))
            for play in todo
            if play in direct and play in through
        ]

    def _ask(
        self, what: str, todo: Sequence[Play], *, slow: bool = False, hybrid: bool = False, own: bool = False
    ) -> dict[Play, Asked]:
        """Ask each until its provider has seen it, in a fresh process where an earlier case took the account."""
        answers: dict[Play, Asked] = {}
        left = list(todo)
        for _ in range(ROUNDS):
            if not left:
                break
            with self._serving(left, slow=slow, hybrid=hybrid, own=own) as (serving, hybrid_log):
                seen = asyncio.run(self._round(what, serving.port, left, len(todo) - len(left), len(todo)))
                lines = hybrid_log()
            replays = Counter(case for _, _, case in serving.litellm.asked)
            for play, answer in seen.items():
                if serving.providers.asked[play.case.name, play.place]:
                    replayed = replays[f"{play.case.name}-in-{play.place}"]
                    answers[play] = Asked(answer, lines.get(play.model, {}), replayed)
            # What states a short wait takes the account from all that follow: last.
            left = sorted(
                (play for play in left if play not in answers), key=lambda play: "RetryInfo" in play.case.text
            )
        return answers

    async def _round(
        self, what: str, port: int, todo: Sequence[Play], before: int, total: int
    ) -> dict[Play, Seen]:
        def advance(done: int) -> None:
            if self.advance:
                self.advance(what, before + done, total)

        async def one(play: Play) -> Seen:
            try:
                return await ask_play(port, play, request_id=play.model)
            except (OSError, TimeoutError) as e:
                return Seen(0, (), f"no response: {e}".encode(), whole=False, first_byte=0.0)

        return dict(zip(todo, await ask_all(todo, one, advance), strict=True))

    @contextmanager
    def _serving(
        self, todo: Iterable[Play], *, slow: bool, hybrid: bool, own: bool
    ) -> "Iterator[tuple[Serving, Callable[[], Lines]]]":
        models: dict[str, list[str]] = defaultdict(list)
        for play in todo:
            models[play.case.provider].append(play.model)
        self.runs += 1
        folder = self.folder / f"run-{self.runs}"
        folder.mkdir(parents=True)
        extra: dict[str, object] = {"nonstream-keepalive-interval": 1} if slow else {}
        with in_thread(Providers(self.cases)) as providers, in_thread(LiteLLM()) as litellm:
            providers.delay = SLOW if slow else 0.0
            second = _own(litellm.url, [name for names in models.values() for name in names]) if own else None
            with cliproxyapi(
                self.binary,
                providers,
                models,
                folder / "upstream",
                extra=extra,
                subscriptions=self.subscriptions,
                fallback=second,
            ) as upstream:
                if not hybrid:
                    yield Serving(upstream.port, providers, litellm), dict
                    return
                with product(upstream.process.url, litellm.url, folder / "product") as started:
                    yield Serving(started.port, providers, litellm), started.fallbacks


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
