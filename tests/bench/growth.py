"""The parts that grow: latency and memory against body size, number of streams, and length of run."""

import time
from functools import partial

from bench import measure, procfs, work
from bench.measure import Sample
from bench.parts import RENAMED, UPSTREAM, Bench, Works
from bench.programs import ADDED, BARE, NGINX, ONE, STREAMING, Subject
from bench.work import KIB, MIB

_BODIES = (KIB, 8 * KIB, 64 * KIB, 512 * KIB, 4 * MIB, 32 * MIB)
_QUICK = (KIB, 4 * MIB, 32 * MIB)
_MODELS = {UPSTREAM: "plain", RENAMED: "renamed/plain"}
_EACH = 5
_PEERS_MOST = 200
"""The most streams at once through other people's gateways: with 1,000 some take minutes."""
_REST = 0.2
"""Seconds for a process to be done with what it was asked before it is looked at."""


def bodies(bench: Bench) -> Works:
    """One client, bodies of 1 KB to 32 MB; `grown_mb` is the most that memory rose above where it was."""

    def one(subject: Subject, size: int, model: str) -> Sample:
        time.sleep(_REST)
        procfs.reset_peak(subject.pids)
        load = bench.load(subject, work.body(size, model), count=_EACH if size > MIB else 4 * _EACH)
        return measure.sample(subject, load) | {"x": float(size)}

    subjects = bench.pick(BARE, ADDED, ONE)
    return {
        f"{_size(size)}, {goes}": measure.rounds(
            bench.scale.few, subjects, partial(one, size=size, model=model)
        )
        for goes, model in _MODELS.items()
        for size in (_BODIES if bench.scale.works else _QUICK)
    }


def _size(size: int) -> str:
    return f"{size // MIB} MB" if size >= MIB else f"{size // KIB} KB"


def streams(bench: Bench) -> Works:
    """10 to 1,000 streams at once, each of 10 events a second; the other gateways up to 200, in one round."""

    def one(subject: Subject, count: int) -> Sample:
        time.sleep(_REST)
        procfs.reset_peak(subject.pids)
        content = work.body(KIB, f"{subject.models}{work.STREAM}", stream=True)
        return measure.sample(subject, bench.load(subject, content, clients=count, count=count)) | {
            "x": float(count)
        }

    found: Works = {}
    for count in bench.scale.streams:
        subjects, beside = bench.pick(NGINX, STREAMING, ADDED, ONE), bench.pick(*bench.peers)
        found[f"{count} streams"] = measure.rounds(
            bench.scale.stream_rounds, subjects, partial(one, count=count)
        )
        if beside and count <= _PEERS_MOST:
            found[f"{count} streams"] |= measure.rounds(1, beside, partial(one, count=count))
    return found


def length(bench: Bench) -> Works:
    """A long run on kept connections; a quarter goes to LiteLLM by route and a quarter by fallback."""
    subjects = bench.pick(ADDED, ONE)
    per_look = bench.scale.run // bench.scale.looks

    def one(subject: Subject, look: int) -> Sample:
        shares = (("plain", per_look // 2), ("routed/plain", per_look // 4), ("limited", per_look // 4))
        samples = [
            measure.sample(subject, bench.load(subject, work.body(KIB, model), clients=8, count=count))
            for model, count in shares
        ]
        return samples[-1] | {"x": float(look * per_look), "rps": samples[0]["rps"]}

    return {
        f"{look * per_look:,} requests": measure.rounds(1, subjects, partial(one, look=look))
        for look in range(1, bench.scale.looks + 1)
    }
