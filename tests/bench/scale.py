"""How much of everything a run does."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything.

    Attributes:
        rounds: of each comparison.
        few: rounds of what takes long, or is far from its bound.
        works: whether every work is done, or those alone that the checklist needs.
        seconds: of each measurement of requests a second.
        singles: requests of a measurement of one client's latency.
        stream_seconds: how long each of many streams is.
        streams: at once, in the growth of streams.
        stream_rounds: of the growth of streams.
        run: requests in the growth over a long run.
    """

    rounds: int = 4
    few: int = 3
    works: bool = False
    seconds: float = 1.0
    singles: int = 100
    stream_seconds: int = 2
    streams: tuple[int, ...] = (10, 50, 200, 1000)
    stream_rounds: int = 3
    run: int = 20_000
    looks: int = 5


LONG = Scale(rounds=5, few=5, works=True, seconds=2.0, singles=300, stream_seconds=5, run=200_000, looks=20)
QUICK = Scale(
    rounds=5,
    seconds=0.3,
    singles=60,
    stream_seconds=1,
    streams=(50, 200, 1000),
    stream_rounds=1,
    run=3000,
    looks=3,
)
