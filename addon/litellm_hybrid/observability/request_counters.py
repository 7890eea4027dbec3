"""What goes through the proxy, counted in plain numbers: it costs each request a microsecond or two.

metrics.py and status.py read them when somebody asks. Times are seconds on a
monotonic clock that the caller passes in.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from litellm_hybrid.config.model_patterns import Patterns
from litellm_hybrid.routing.rules import Reason, Target

if TYPE_CHECKING:  # mitmproxy comes with it
    from litellm_hybrid.flow.exchange import Record

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds in seconds: a cached answer comes within the first, a long agent's turn ends in the last."""

OTHER = "other"
"""Stands for every model that the configuration does not list."""

MOST_MODELS = 200
"""How many models are told apart in the life of a process, over all reloads; the rest are `other`."""

MALFORMED = "malformed"
"""The error class of what is not HTTP and never became a request."""

NO_STATUS = "none"
"""The status class of a request whose client was gone before an answer began."""

_CLASSES = (NO_STATUS, *(f"{hundreds}xx" for hundreds in range(1, 10)))
_ERROR = Reason.ERROR.value
_MOST_REMEMBERED = 1000
_LONGEST_REMEMBERED = 200


def _status_class(status: int) -> str:
    # Without mitmproxy's validate_inbound_headers a server's status may be any number.
    return _CLASSES[max(0, min(status // 100, len(_CLASSES) - 1))]


class Histogram:
    """How many durations fell into which bucket.

    Attributes:
        counts: for each of `BUCKETS`, how many were longer than the bound before it and not longer than
            its own; at the end those beyond the last.
        total: the sum of all, in seconds.
    """

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


class RequestCounters:
    """Counts requests from when they are decided on until they have ended.

    The proxy's own pages never come here: a scrape every few seconds would hide what the clients do.

    Attributes:
        in_flight: the requests being served, and when each of them was complete; None for those that are
            answered here, which are not timed.
        streaming: those whose answer has begun and is passed on piece by piece.
        requests: (target, reason, status class) → how many have ended.
        models: (model, target) → how many of those named one.
        errors: (error class, target) → how many failures, of attempts that were replaced by another too.
        first_byte: target → from the complete request to the beginning of its answer.
        duration: target → from the complete request to the end of its answer.
    """

    def __init__(self) -> None:
        self.in_flight: dict[str, float | None] = {}
        self.streaming: set[str] = set()
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.models: Counter[tuple[str, str]] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.first_byte = {target.value: Histogram() for target in (Target.LITELLM, Target.UPSTREAM)}
        self.duration = {target.value: Histogram() for target in (Target.LITELLM, Target.UPSTREAM)}
        self._listed = Patterns()
        self._labels: dict[str, str] = {}
        self._distinct_models: set[str] = set()

    def list_models(self, entries: Iterable[str]) -> None:
        """Tell the models apart that these entries of the configuration match, names and globs."""
        self._listed = Patterns(entries)
        self._labels.clear()

    def response_begun(self, key: str, record: "Record", now: float, *, streamed: bool) -> None:
        """The answer to a request begins.

        Args:
            key: the flow's id, as in `in_flight`.
            record: what was decided about it.
            now: the time.
            streamed: whether the answer is passed on piece by piece.
        """
        if (since := self.in_flight.get(key)) is None:
            return
        if streamed:
            self.streaming.add(key)
        if record["reason"] != _ERROR:
            self.first_byte[record["target"]].add(now - since)

    def completed(self, key: str, record: "Record", status: int, now: float) -> None:
        """An answer has ended, whole."""
        if key not in self.in_flight:
            return
        since = self.in_flight.pop(key)
        self.streaming.discard(key)
        self._count(record, _status_class(status))
        if since is not None and record["reason"] != _ERROR:
            self.duration[record["target"]].add(now - since)

    def aborted(self, key: str, record: "Record", status: int | None) -> None:
        """A request has ended without an answer, or in the middle of it; `status` is the answer's, if any."""
        if key not in self.in_flight:
            return
        del self.in_flight[key]
        # Of an answer that is not passed on piece by piece the client has got nothing yet.
        begun = status if key in self.streaming else None
        self.streaming.discard(key)
        self._count(record, NO_STATUS if begun is None else _status_class(begun))

    def _count(self, record: "Record", status_class: str) -> None:
        target = record["target"]
        self.requests[target, record["reason"], status_class] += 1
        if (model := record["model"]) is not None:
            self.models[self._labels.get(model) or self._label(model), target] += 1

    def _label(self, model: str) -> str:
        label = self._listed.match(model) or OTHER
        if label not in self._distinct_models and label != OTHER:
            if len(self._distinct_models) < MOST_MODELS:
                self._distinct_models.add(label)
            else:
                label = OTHER
        if len(model) <= _LONGEST_REMEMBERED:
            if len(self._labels) >= _MOST_REMEMBERED:
                self._labels.clear()
            self._labels[model] = label
        return label
