# mypy: untyped-calls-exclude="prometheus_client"
"""`/_hybrid/metrics` in Prometheus' text format, of one process or of all workers.

The numbers are plain ones that other modules count; here they only get names.
Workers write theirs into files of a folder that the supervisor makes, one place
for each worker, in the format of prometheus_client's multiprocess mode, and any
of them reads all. A worker that replaces a dead one goes on with the numbers it
finds, so that counters never fall. prometheus_client's own counters are not used:
each of them is a lock and a write to a file, several microseconds, for every request.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from litellm_hybrid.observability.metrics.families import FAMILIES, PREFIX, Family, Labels, MetricSources
from litellm_hybrid.observability.request_counters import BUCKETS, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FILE_SIZE = 512 * 1024
"""In bytes; more than 200 models take."""

FLUSH_EVERY = 1.0
"""Seconds after which a worker's numbers are in its files at the latest."""


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
            yield _Value(f"{PREFIX}{family.name}_sum", labels, number.total)
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
            metric.add_sample(f"{metric.name}_sum", labels, histogram.total)

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
        """Make one.

        Args:
            sources: this worker's numbers.
            worker_dir: `folder/name`: the folder that the workers share, and this one's name in it.
        """
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
