"""Asks a CLIProxyAPI every case on every client API, and notes what it wrote."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from real.apis import APIS, Seen, ask, question
from real.corpus import Captured, ProviderError
from real.meaning import meaning
from real.providers import mark

AT_ONCE = 24
"""Questions at the same time; eight times as many where the provider takes its time."""


@dataclass(frozen=True, slots=True)
class Play:
    """One question: a case on a client API.

    Attributes:
        slow: whether `nonstream-keepalive-interval` is on.
    """

    case: ProviderError
    api: str
    stream: bool
    slow: bool = False

    @property
    def where(self) -> str:
        """The client API, as a captured answer names it."""
        return self.api + ("~" if self.stream else "") + ("+" if self.slow else "")

    @property
    def place(self) -> str:
        """The same as a word."""
        return self.api + ("_streamed" if self.stream else "")

    @property
    def model(self) -> str:
        """The alias that is asked for: one of its own, so that no suspension reaches another question."""
        how = f"{'-s' if self.stream else ''}{'-k' if self.slow else ''}"
        return f"{self.case.name}-{self.api}{how}".replace("_", "-").lower()


def plays(cases: Iterable[ProviderError], apis: Sequence[str] = APIS) -> list[Play]:
    """Every question that makes sense: no provider streams unasked, or answers a streamed request well and whole."""
    always = {"codex", "xai", "antigravity"}

    def natural(case: ProviderError, stream: bool) -> bool:
        if case.is_stream:
            return stream or case.provider in always
        return not (stream and case.kind == "answer")

    return [
        Play(case, api, stream)
        for case in cases
        for api in apis
        for stream in (False, True)
        if natural(case, stream)
    ]


async def ask_all[T](
    todo: Sequence[Play],
    one: Callable[[Play], Awaitable[T]],
    advance: Callable[[int], None] | None = None,
) -> list[T]:
    """Do `one` for each, some at the same time."""
    gate = asyncio.Semaphore(AT_ONCE * 8 if any(play.slow for play in todo) else AT_ONCE)
    done = 0

    async def gated(play: Play) -> T:
        nonlocal done
        async with gate:
            result = await one(play)
        done += 1
        if advance:
            advance(done)
        return result

    return list(await asyncio.gather(*(gated(play) for play in todo)))


async def ask_play(port: int, play: Play, request_id: str = "") -> Seen:
    """Ask one."""
    text = f"{mark(play.case.name, play.place)} please"
    asked = question(play.api, play.model, stream=play.stream, text=text, request_id=request_id)
    return await ask(port, asked)


def noted(play: Play, seen: Seen, version: str) -> Captured:
    """What was written, without what is another at each run."""
    body = lasting(seen.text, play.model)
    kind, want = meaning(play.case, seen.status, body)
    headers = {"Content-Type": seen.header("content-type")}
    if wait := seen.header("retry-after"):
        headers["Retry-After"] = wait
    return Captured(play.case.name, seen.status, headers, body, kind, want, {play.where: [version]})


_IDS = re.compile(
    r"\b((?:msg|resp|chatcmpl|toolu|call|fc|rs|item)[_-])(?=[A-Za-z0-9]*\d)[A-Za-z0-9]{8,}(?:_\d+)?"
)
_NANOSECONDS = re.compile(r"\b1[789]\d{17}(?:-\d+)?")
_DATES = re.compile(r'(?<="createTime":")[^"]+')
_TIMES = re.compile(r"\b1[789]\d{8}\b")


def lasting(body: str, model: str) -> str:
    """The body with a fixed model, ids and times of now."""
    now = time.time()
    text = body.replace(model, "sub-model")
    text = _IDS.sub(r"\1own", text)
    text = _NANOSECONDS.sub("own", text)
    text = _DATES.sub("2026-11-26T00:00:00Z", text)
    return _TIMES.sub(lambda m: "1795700000" if abs(int(m[0]) - now) < 3600 else m[0], text)
