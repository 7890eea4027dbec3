"""Long sessions in front of a real CLIProxyAPI with its example settings: how often, and how long, a client waits.

    python -m real.sessions --binary PATH [--minutes 10] [one two]

`one`: the only account is exhausted, its provider says no time; CLIProxyAPI retries for 8 to 30 s before it says so.
`two`: of two accounts of a model, one is exhausted: upstream has to go on serving.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

from real.apis import Seen, ask, question
from real.cliproxyapi import cliproxyapi
from real.corpus import ProviderError
from real.providers import SERVED, Providers
from real.rig import REPLAYED, LiteLLM, Product, product
from real.upstream_waits import EXAMPLE
from support.servers import in_thread

TURNS = 20
MODEL = "session-claude"
KEYS = ("sk-ant-first-account", "sk-ant-second-account")
EXHAUSTED = ProviderError(
    "exhausted",
    "anthropic",
    "quota",
    429,
    {"Content-Type": "application/json"},
    ('{"type":"error","error":{"type":"rate_limit_error","message":"This would exceed your rate limit."}}',),
)
WAITS = 2.0
"""A first byte later than this, in seconds, has waited for upstream's retries."""

ADDED = 0.05
"""What we may add to the first byte of a turn that does not wait, in seconds; LiteLLM's own takes no time here."""


@dataclass(frozen=True, slots=True)
class Result:
    """A session's turns, and what is not as promised."""

    turns: Sequence[Seen]
    problems: Sequence[str]

    def lines(self) -> Iterator[str]:
        """A sum, and one a turn."""
        others = _others(self.turns)
        waited = ", ".join(f"{seen.first_byte:.1f} s" for seen in self.turns if seen.first_byte > WAITS)
        yield f"  waited: {waited or 'none'}; the other turns: {median(others):.3f} s, {max(others):.3f} s at most"
        for number, seen in enumerate(self.turns, 1):
            yield f"  turn {number}: {seen.first_byte:6.2f} s  {seen.status} {seen.header('x-hybrid-route')}"


def _others(seen: Sequence[Seen]) -> list[float]:
    return [answer.first_byte for answer in seen if answer.first_byte <= WAITS] or [WAITS]


@contextmanager
def serving(binary: Path, folder: Path, accounts: int) -> Iterator[tuple[Providers, LiteLLM, Product]]:
    """CLIProxyAPI with some accounts of one model, and us in front."""
    with in_thread(Providers()) as providers, in_thread(LiteLLM()) as litellm:
        entries = [
            {
                "api-key": key,
                "base-url": f"{providers.url}/anthropic",
                "models": [{"name": MODEL, "alias": MODEL}],
            }
            for key in KEYS[:accounts]
        ]
        extra = {**EXAMPLE, "claude-api-key": entries}
        with (
            cliproxyapi(
                binary, providers, {"anthropic": [MODEL]}, folder / "upstream", extra=extra
            ) as upstream,
            product(upstream.process.url, litellm.url, folder / "product") as hybrid,
        ):
            yield providers, litellm, hybrid


async def turns(port: int, count: int, every: float) -> list[Seen]:
    """A session's turns, streamed, one begun each `every` seconds or when the last has ended."""
    seen = []
    for number in range(count):
        asked = question("messages", MODEL, stream=True, text=f"turn {number}", request_id=f"turn-{number}")
        _, answer = await asyncio.gather(asyncio.sleep(every), ask(port, asked, within=110))
        seen.append(answer)
    return seen


async def until_served(port: int, every: float, within: float) -> list[Seen]:
    """Turns until upstream serves one; the longest cooldown is ten minutes."""
    seen: list[Seen] = []
    deadline = monotonic() + within
    while monotonic() < deadline and not any(SERVED in answer.text for answer in seen):
        seen += await turns(port, 1, every)
    return seen


def one(binary: Path, folder: Path, minutes: float) -> Result:
    """The only account is exhausted for all of the session, and is back after it."""
    every = minutes * 60 / TURNS
    with serving(binary, folder, 1) as (providers, litellm, hybrid):
        providers.exhausted = {key.encode(): EXHAUSTED for key in KEYS}
        seen = asyncio.run(turns(hybrid.port, TURNS, every))
        providers.exhausted = {}
        back = asyncio.run(until_served(hybrid.port, every, within=660))
        # It is also asked where its models lead, once in a while.
        asked = sum(path == "/v1/messages" for _, path, _ in litellm.asked)
    waited = [answer.first_byte for answer in seen if answer.first_byte > WAITS]
    problems = []
    if len(waited) > 4:
        problems.append(f"{len(waited)} turns waited for upstream, not at most four")
    if any(seconds > 11 for seconds in waited[1:]):
        problems.append(f"a later turn waited {max(waited[1:]):.1f} s, not at most 11")
    # The median: a machine that does other things holds up a turn or two.
    if median(_others(seen)) > ADDED:
        problems.append(f"the other turns took {median(_others(seen)):.3f} s, not at most {ADDED:g}")
    if not all(REPLAYED in answer.text for answer in seen):
        problems.append("LiteLLM has not served each turn")
    if not any(SERVED in answer.text for answer in back):
        problems.append("upstream does not serve again")
    served = sum(REPLAYED in answer.text for answer in (*seen, *back))
    if asked != served:
        problems.append(f"LiteLLM was asked {asked} times for {served} turns")
    return Result([*seen, *back], problems)


def two(binary: Path, folder: Path, minutes: float) -> Result:
    """One of two accounts is exhausted."""
    with serving(binary, folder, 2) as (providers, _litellm, hybrid):
        providers.exhausted = {KEYS[0].encode(): EXHAUSTED}
        seen = asyncio.run(turns(hybrid.port, TURNS, minutes * 60 / TURNS))
    away = sum(REPLAYED in answer.text for answer in seen)
    problems = [f"{away} of {TURNS} turns were served by LiteLLM"] if away > TURNS // 10 else []
    if not all(SERVED in answer.text or REPLAYED in answer.text for answer in seen):
        problems.append("a turn was not served")
    return Result(seen, problems)


SESSIONS = {"one": one, "two": two}


def main() -> int:
    """Run them; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m real.sessions", description=__doc__)
    parser.add_argument("session", nargs="*", help=f"which, of {', '.join(SESSIONS)}; default: all")
    parser.add_argument("--binary", type=Path, required=True, help="a CLIProxyAPI")
    parser.add_argument("--minutes", type=float, default=10, help="how long a session of 20 turns takes")
    arguments = parser.parse_args()
    failed = False
    for name in arguments.session or list(SESSIONS):
        with tempfile.TemporaryDirectory(prefix="sessions-", ignore_cleanup_errors=True) as folder:
            result = SESSIONS[name](arguments.binary, Path(folder), arguments.minutes)
        failed = failed or bool(result.problems)
        lines = [f"{name}: {'; '.join(result.problems) or 'ok'}", *result.lines()]
        sys.stdout.write("\n".join([*lines, ""]))
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
