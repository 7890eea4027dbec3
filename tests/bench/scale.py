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
        run: requests in the growth over a long run.
    """

    rounds: int = 5
    few: int = 5
    works: bool = True
    seconds: float = 2.0
    singles: int = 300
    stream_seconds: int = 5
    streams: tuple[int, ...] = (1, 10, 50, 100, 200, 500, 1000)
    run: int = 200_000
    looks: int = 20


QUICK = Scale(
    few=3, works=False, seconds=0.3, singles=60, stream_seconds=1, streams=(1, 200, 1000), run=3000, looks=3
)
