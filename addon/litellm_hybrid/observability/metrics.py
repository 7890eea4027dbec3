# mypy: untyped-calls-exclude="prometheus_client"
"""`/_hybrid/metrics` in Prometheus' text format, of one process or of all workers.

`FAMILIES` is every metric there is. The numbers are plain ones that other modules
count; here they only get names.
Workers write theirs into files of a folder that the supervisor makes, one place
for each worker, in the format of prometheus_client's multiprocess mode, and any
of them reads all. A worker that replaces a dead one goes on with the numbers it
finds, so that counters never fall. prometheus_client's own counters are not used:
each of them is a lock and a write to a file, several microseconds, for every request.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from litellm_hybrid.config.settings import FALLBACK_KINDS
from litellm_hybrid.errors import ErrorType
from litellm_hybrid.observability.counters import BUCKETS, MALFORMED, Histogram, rounded
from litellm_hybrid.observability.history import FallbackOutcome, Records
from litellm_hybrid.observability.status import SharedStatus
from litellm_hybrid.quota.gauge import Window
from litellm_hybrid.routing.rules import Target

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FILE_SIZE = 512 * 1024
"""In bytes; more than 200 models take."""

FLUSH_EVERY = 1.0
"""Seconds after which a worker's numbers are in its files at the latest."""


PREFIX = "litellm_hybrid_"

type Labels = tuple[str, ...]
type Values = Mapping[Any, float | Histogram]
"""Label values, a tuple of strings, → number."""


@dataclass(frozen=True, slots=True)
class MetricSources:
    """Where the numbers are: of fallbacks by (kind, outcome), their events by name, quotas by model.

    `versions` are those of litellm-hybrid and of mitmproxy.
    """

    records: Records
    fallbacks: Mapping[tuple[str, str], int]
    events: Mapping[str, int]
    quotas: Callable[[], Iterable[tuple[str, Window]]]
    held_bytes: Callable[[], int]
    versions: tuple[str, str]
    shared: Callable[[], SharedStatus] = SharedStatus
    lost_lines: Callable[[], int] = lambda: 0


class Family(NamedTuple):
    """One metric.

    Attributes:
        name: behind `PREFIX`; a counter's without `_total`.
        read: label values → number.
        over_workers: how a gauge's numbers are put together, one of prometheus_client's modes.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: Labels
    help: str
    read: Callable[[MetricSources], Values]
    over_workers: Literal["livesum", "livemax"] = "livesum"

    @property
    def full_name(self) -> str:
        """As on the page."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


_SERVERS = (Target.LITELLM.value, Target.UPSTREAM.value)
_OUTCOMES = tuple(outcome.value for outcome in FallbackOutcome if outcome is not FallbackOutcome.RUNNING)
_ERRORS = tuple(error.value for error in ErrorType)

# Known from the start, so that `increase()` sees the first one too.
_NO_FALLBACKS = dict.fromkeys(product(FALLBACK_KINDS, _OUTCOMES), 0)
_NO_ERRORS = dict.fromkeys([*product(_ERRORS, _SERVERS), (MALFORMED, Target.NONE.value)], 0)


def _one(value: float) -> Values:
    return {(): value}


def _unclassified(events: Mapping[str, int]) -> Values:
    return {
        ("limit",): events.get("hold-limit-reached", 0),
        ("too-many",): events.get("hold-capacity-reached", 0),
    }


def _family(
    kind: Literal["counter", "gauge", "histogram"], over_workers: Literal["livesum", "livemax"] = "livesum"
) -> Callable[[str, str, Callable[[MetricSources], Values]], Family]:
    def make(spec: str, described: str, read: Callable[[MetricSources], Values]) -> Family:
        name, _, labels = spec.removesuffix("}").partition("{")
        return Family(name, kind, tuple(filter(None, labels.split(","))), described, read, over_workers)

    return make


_counter, _histogram = _family("counter"), _family("histogram")
_gauge, _maximum = _family("gauge"), _family("gauge", "livemax")

FAMILIES = (
    _counter(
        "requests{target,reason,status_class}",
        "Requests that have ended, by where they went, why, and the class of the status the client got.",
        lambda s: s.records.counters.requests,
    ),
    _counter(
        "model_requests{model,target}",
        "The same for requests that name a model, by the entry of the configuration that it matches.",
        lambda s: s.records.counters.models,
    ),
    _counter(
        "tokens{target,model,kind}",
        "Tokens that responses say they took: input, cached, which is a part of the input, and output.",
        lambda s: s.records.spend.tokens,
    ),
    _counter(
        "cost_usd{reason}",
        "US dollars that LiteLLM's responses cost, by its own header or prices.",
        lambda s: {labels: rounded(cost) for labels, cost in s.records.spend.cost_usd.items()},
    ),
    _counter(
        "unpriced_responses{model}",
        "LiteLLM's responses whose cost is not known.",
        lambda s: s.records.spend.unpriced,
    ),
    _counter(
        "fallbacks{kind,outcome}",
        "Upstream failures that were to be replayed to LiteLLM, and what became of that.",
        lambda s: {**_NO_FALLBACKS, **s.fallbacks},
    ),
    _counter(
        "errors{error_class,target}",
        "Failures between the client, this proxy and a server, by class and server.",
        lambda s: {**_NO_ERRORS, **s.records.counters.errors},
    ),
    _histogram(
        "time_to_first_byte_seconds{target}",
        "From the complete request to the beginning of a server's response to it, as the client sees it.",
        lambda s: {(name,): one for name, one in s.records.counters.first_byte.items()},
    ),
    _histogram(
        "request_duration_seconds{target}",
        "From the complete request to the end of a server's response to it, as the client sees it.",
        lambda s: {(name,): one for name, one in s.records.counters.duration.items()},
    ),
    _gauge("requests_in_flight", "Requests being served.", lambda s: _one(s.records.counters.in_flight)),
    _gauge(
        "streams_in_flight",
        "Of these, those whose response has begun and is passed on piece by piece.",
        lambda s: _one(s.records.counters.streaming),
    ),
    _gauge(
        "held_bytes",
        "Bytes of upstream's responses that are held until it is clear whether they are failures.",
        lambda s: _one(s.held_bytes()),
    ),
    _maximum(
        "quota_used_ratio{model,window}",
        "The share of upstream's quota that is used, as a model's last response said (passthrough-headers).",
        lambda s: {(model, window.name): window.used for model, window in s.quotas()},
    ),
    _maximum(
        "quota_resets_timestamp_seconds{model,window}",
        "When that quota begins anew, in seconds since 1970, where upstream says it.",
        lambda s: {(model, w.name): w.resets_at for model, w in s.quotas() if w.resets_at is not None},
    ),
    _counter(
        "unclassified_responses{why}",
        "Responses that went to the client before it was clear whether they are failures: held as long as "
        "may be (limit), or not held because too many were (too-many).",
        lambda s: _unclassified(s.events),
    ),
    _counter(
        "undecided_answers{why}",
        "The old name of unclassified_responses; the next release drops it.",
        lambda s: _unclassified(s.events),
    ),
    _counter(
        "history_retries",
        "Requests that were sent again without what another account had sealed in their history.",
        lambda s: _one(s.events.get("history-reduced", 0)),
    ),
    _counter(
        "history_retries_failed",
        "Of these, those that were refused again.",
        lambda s: _one(s.events.get("history-retry-failed", 0)),
    ),
    _counter(
        "reloads{result}",
        "Changes of the configuration file: applied, or rejected because it has an error.",
        lambda s: {(result,): count for result, count in s.records.reloads.counts.items()},
    ),
    _counter(
        "log_lines_lost",
        "Lines of the log that could not be written, or that nobody read in time.",
        lambda s: _one(s.lost_lines()),
    ),
    _gauge(
        "state_lost",
        "Processes that cannot use the store of the state at the moment, and go on with what they know.",
        lambda s: _one(s.shared().down_since is not None),
    ),
    _counter(
        "state_failures",
        "Times that the store of the state could not be used.",
        lambda s: _one(s.shared().failures),
    ),
    _maximum(
        "state_processes",
        "Processes that share the state, on all machines; 0 with `state: memory`.",
        lambda s: _one(len(s.shared().processes)),
    ),
    _maximum(
        "budget_spent",
        "Replays of the last hour, which max-per-hour limits, over all processes that share the state.",
        lambda s: _one(s.shared().budget_spent),
    ),
    _maximum(
        "replays_cost_usd",
        "US dollars that the replays of this day (UTC) have cost, over all processes that share the state.",
        lambda s: _one(s.shared().replays_cost_usd),
    ),
    _maximum(
        "build_info{version,mitmproxy}",
        "Always 1; the versions are in the labels.",
        lambda s: {s.versions: 1.0},
    ),
)
"""Name and labels, what it is, and where its numbers are."""


# -- their page -------------------------------------------------------------------


class _Value(NamedTuple):
    """A number with its full name, as prometheus_client wants it; of a histogram's buckets, not added up."""

    name: str
    labels: tuple[tuple[str, str], ...]
    number: float


_BOUNDS = tuple(floatToGoString(bound) for bound in (*BUCKETS, float("inf")))


def _values(family: Family, sources: MetricSources) -> Iterator[_Value]:
    for values, number in family.read(sources).items():
        labels = tuple(zip(family.labels, values, strict=True))
        if isinstance(number, Histogram):
            for bound, count in zip(_BOUNDS, number.counts, strict=True):
                yield _Value(f"{PREFIX}{family.name}_bucket", (*labels, ("le", bound)), count)
            yield _Value(f"{PREFIX}{family.name}_sum", labels, rounded(number.total))
        else:
            yield _Value(family.full_name, labels, number)


class Metrics(Collector):
    """The numbers of one process."""

    def __init__(self, sources: MetricSources) -> None:
        self._sources = sources

    def collect(self) -> Iterable[Metric]:
        """Every metric with its samples."""
        for family in FAMILIES:
            metric = Metric(PREFIX + family.name, family.help, family.kind)
            if family.kind == "histogram":
                self._add_histograms(metric, family)
            else:
                for value in _values(family, self._sources):
                    metric.add_sample(value.name, dict(value.labels), value.number)
            yield metric

    def _add_histograms(self, metric: Metric, family: Family) -> None:
        for values, histogram in family.read(self._sources).items():
            assert isinstance(histogram, Histogram)
            labels = dict(zip(family.labels, values, strict=True))
            for bound, count in zip(_BOUNDS, accumulate(histogram.counts), strict=True):
                metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, count)
            metric.add_sample(f"{metric.name}_count", labels, sum(histogram.counts))
            metric.add_sample(f"{metric.name}_sum", labels, rounded(histogram.total))

    def page(self) -> bytes:
        """The page."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def totals(self) -> dict[str, dict[Labels, int]]:
        """Name of each counter → label values → its number, where it is not 0."""
        found = {metric.name: metric.samples for metric in self.collect()}
        return {
            family.name: {
                tuple(sample.labels[label] for label in family.labels): int(sample.value)
                for sample in found.get(PREFIX + family.name, ())
                if sample.value
            }
            for family in FAMILIES
            if family.kind == "counter"
        }

    def flush(self) -> None:
        """Let other workers see the numbers; no-op for a single process."""

    def close(self) -> None:
        """Release resources; no-op for a single process."""


class SharedMetrics(Metrics):
    """The numbers of all workers."""

    def __init__(self, sources: MetricSources, worker_dir: Path) -> None:
        """Make one; `worker_dir`: the folder that the workers share, and in it this one's name."""
        super().__init__(sources)
        self._all = MultiProcessCollector(None, path=str(worker_dir.parent))
        self._files = {
            kind: _open(worker_dir, kind) for kind in ("counter", "histogram", "livesum", "livemax")
        }
        # What the worker that had this place before has counted.
        self._before = {
            key: value
            for kind in ("counter", "histogram")
            for key, value, _ in self._files[kind].read_all_values()
        }

    def collect(self) -> Iterable[Metric]:
        """Every metric with its samples: this worker's of now, the others' a second old at the most."""
        self.flush()
        metrics: Iterable[Metric] = self._all.collect()
        return metrics

    def flush(self) -> None:
        """Write this worker's numbers into its files."""
        for family in FAMILIES:
            file = self._files[family.over_workers if family.kind == "gauge" else family.kind]
            for value in _values(family, self._sources):
                key = _key(family.name, value.name, value.labels, family.help)
                file.write_value(key, self._before.get(key, 0.0) + value.number, 0.0)

    def close(self) -> None:
        """Write the last numbers, and close the files."""
        self.flush()
        for file in self._files.values():
            file.close()


def mark_worker_dead(worker_dir: Path) -> None:
    """Forget what a worker that has died was doing; what it has counted stays."""
    mark_process_dead(worker_dir.name, str(worker_dir.parent))


def _open(worker_dir: Path, kind: str) -> MmapedDict:
    prefix = f"gauge_{kind}" if kind.startswith("live") else kind
    file = worker_dir.parent / f"{prefix}_{worker_dir.name}.db"
    if file.exists():
        return MmapedDict(str(file))
    # Under another name until it is whole: a scrape by another worker may come at any time.
    unfinished = file.with_suffix(".new")
    # Written in full: a disk that is full later would end the process at a write to mapped memory.
    unfinished.write_bytes(bytes(_FILE_SIZE))
    opened = MmapedDict(str(unfinished))
    unfinished.rename(file)
    return opened


@cache
def _key(family: str, name: str, labels: tuple[tuple[str, str], ...], help_text: str) -> str:
    return mmap_key(
        PREFIX + family, name, [key for key, _ in labels], [value for _, value in labels], help_text
    )
