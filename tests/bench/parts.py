"""The parts of the benchmark that compare: every subject at the same work, in rounds.

A part is a function from `Bench` to its works; a work's name is what the table shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import zstandard

from bench import measure, work
from bench.load import Load
from bench.measure import Sample, Samples
from bench.programs import ADDED, BARE, NGINX, ONE, STREAMING, STUB, TWO, Subject
from bench.scale import Scale
from bench.work import CHAT, KIB, MIB, RESPONSES

type Works = dict[str, Samples]

UPSTREAM, ROUTED, RENAMED = "upstream", "LiteLLM", "LiteLLM, renamed"

_MODELS = {UPSTREAM: "plain", ROUTED: "routed/plain", RENAMED: "renamed/plain"}
_ROUTES = {
    UPSTREAM: "x-hybrid-route: upstream; reason=not-listed",
    ROUTED: "reason=model",
    RENAMED: "reason=model",
}
_SIZES = {"1 KB": (KIB, 8), "90 KB": (90 * KIB, 8), "2 MB": (2 * MIB, 4)}
"""Name → bytes, and clients at once."""

_QUICK = {"1 KB": (UPSTREAM, ROUTED), "90 KB": (UPSTREAM,), "2 MB": (UPSTREAM, RENAMED)}
"""What a quick run does of each size."""


@dataclass(slots=True)
class Bench:
    """A run: what is measured, how much, and where its files are."""

    subjects: dict[str, Subject]
    scale: Scale
    folder: Path
    peers: list[str] = field(default_factory=list)

    def pick(self, *names: str) -> list[Subject]:
        """The subjects of these names that run."""
        return [self.subjects[name] for name in names if name in self.subjects]

    def load(
        self,
        subject: Subject,
        content: bytes,
        *,
        route: str = "",
        path: str = "",
        headers: work.Headers = (),
        clients: int = 1,
        count: int = 0,
        keep_alive: bool = True,
        status: int = 200,
    ) -> Load:
        """What to send to a subject; `route` is only looked for where there is the addon."""
        file = self.folder / "request"
        fields = (*subject.headers, *headers)
        file.write_bytes(work.request(path or subject.path, content, fields, keep_alive=keep_alive))
        seconds = 60.0 if count else self.scale.seconds
        expect = route if subject.is_ours else ""
        return Load(subject.port, str(file), clients, count, seconds, keep_alive, status, expect)

    def rounds(self, subjects: Sequence[Subject], of: measure.Measure) -> Samples:
        """As `measure.rounds`, as often as the scale says."""
        return measure.rounds(self.scale.rounds, subjects, of)


def plain(bench: Bench) -> Works:
    """POSTs over kept connections, by size and by where they go."""
    limits, ours = bench.pick(STUB, NGINX, BARE), bench.pick(ADDED, ONE, TWO)
    found: Works = {}
    for size, (length, clients) in _SIZES.items():
        for goes in _MODELS if bench.scale.works else _QUICK[size]:
            subjects = [*limits, *ours] if goes == UPSTREAM else [*bench.pick(BARE), *ours]
            found[f"{size}, {goes}"] = bench.rounds(
                subjects, partial(_post, bench, length=length, goes=goes, clients=clients)
            )
    return found


def _post(bench: Bench, subject: Subject, length: int, goes: str, clients: int) -> Sample:
    content = work.body(length, _MODELS[goes])
    load = bench.load(subject, content, route=_ROUTES[goes], clients=clients)
    if not measure.has_wrk() or bench.scale.seconds < 1:
        return measure.sample(subject, load)
    # wrk does not look at the answers' heads.
    looked_at = measure.sample(subject, replace(load, count=clients))
    return looked_at if looked_at["errors"] else measure.wrk(subject, load, bench.folder)


def peers(bench: Bench) -> Works:
    """The same POSTs through other people's gateways, beside `serve`."""
    subjects = [*bench.pick(BARE, ADDED, ONE, TWO), *bench.pick(*bench.peers)]

    def one(subject: Subject, length: int) -> Sample:
        return measure.sample(
            subject, bench.load(subject, work.body(length, f"{subject.models}plain"), clients=8)
        )

    def stream(subject: Subject) -> Sample:
        content = work.body(KIB, f"{subject.models}sse-5-1", stream=True)
        return measure.sample(subject, bench.load(subject, content, count=max(10, bench.scale.singles // 5)))

    for subject in subjects:
        stream(subject)  # the first request to some takes seconds
    return {
        "1 KB": measure.rounds(bench.scale.few, subjects, partial(one, length=KIB)),
        "90 KB": measure.rounds(bench.scale.few, subjects, partial(one, length=90 * KIB)),
        "SSE, first event": measure.rounds(bench.scale.few, subjects, stream),
    }


def connections(bench: Bench) -> Works:
    """A connection for each request."""
    subjects = bench.pick(STUB, NGINX, BARE, ADDED, ONE, TWO)

    def one(subject: Subject) -> Sample:
        content = work.body(KIB, "plain")
        return measure.sample(subject, bench.load(subject, content, clients=8, keep_alive=False))

    return {"1 KB, new connection": measure.rounds(bench.scale.few, subjects, one)}


def zstd(bench: Bench) -> Works:
    """Bodies compressed as Codex compresses them."""

    def one(subject: Subject, goes: str) -> Sample:
        content = zstandard.compress(work.body(90 * KIB, _MODELS[goes]))
        headers = (("Content-Encoding", "zstd"),)
        load = bench.load(subject, content, route=_ROUTES[goes], headers=headers, clients=8)
        return measure.sample(subject, load)

    subjects = bench.pick(BARE, ADDED, ONE, TWO)
    return {
        f"90 KB zstd, {goes}": measure.rounds(bench.scale.few, subjects, partial(one, goes=goes))
        for goes in (UPSTREAM, ROUTED)
    }


def sse(bench: Bench) -> Works:
    """Streams: the first event's delay alone, and events a second over 200 streams."""
    subjects = bench.pick(STUB, NGINX, STREAMING, ADDED, ONE, TWO)
    events = 50 * bench.scale.stream_seconds

    def first(subject: Subject, path: str, model: str) -> Sample:
        content = work.body(KIB, model, stream=True)
        return measure.sample(subject, bench.load(subject, content, path=path, count=bench.scale.singles))

    many_subjects = subjects if bench.scale.works else bench.pick(STREAMING, ADDED, ONE, TWO)

    def many(subject: Subject) -> Sample:
        content = work.body(KIB, f"sse-{events}-20", stream=True)
        return measure.sample(subject, bench.load(subject, content, clients=200, count=200))

    return {
        "first event": bench.rounds(subjects, partial(first, path=CHAT, model="sse-3-1")),
        "first event, held": bench.rounds(subjects, partial(first, path=RESPONSES, model="held-3-1")),
        "200 streams of 50 events a second": measure.rounds(bench.scale.few, many_subjects, many),
    }


def fallback(bench: Bench) -> Works:
    """One client: a plain request, a 429 that LiteLLM answers, a 200 stream that fails and LiteLLM answers."""
    cases = {
        "plain": (CHAT, "plain", "reason=not-listed"),
        "429, then LiteLLM": (CHAT, "limited", "reason=fallback; upstream-status=429"),
        "200 stream, whole": (RESPONSES, "held-1-0", "reason=not-listed"),
        "200 stream with an error, then LiteLLM": (
            RESPONSES,
            "broken-1-0",
            "reason=fallback; upstream-status=200",
        ),
    }
    subjects = bench.pick(STUB, BARE, ADDED, ONE)

    def one(subject: Subject, case: tuple[str, str, str]) -> Sample:
        path, model, route = case
        content = work.body(KIB, model, stream=path == RESPONSES)
        status = 429 if model == "limited" and not subject.is_ours else 200
        load = bench.load(subject, content, path=path, route=route, count=bench.scale.singles, status=status)
        return measure.sample(subject, load)

    works = {name: partial(one, case=case) for name, case in cases.items()}
    return measure.interleaved(5 * bench.scale.rounds, subjects, works)
