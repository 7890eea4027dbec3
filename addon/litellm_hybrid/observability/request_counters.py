"""What goes through the proxy, counted in plain numbers: it costs each request a microsecond or two.

metrics/ and status.py read them when somebody asks.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

from litellm_hybrid.config.model_patterns import Patterns
from litellm_hybrid.routing.rules import Reason, Target

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds in seconds: a cached response comes within the first, a long agent's turn ends in the last."""

OTHER = "other"
"""Stands for every model beyond those that are told apart."""

MOST_MODELS = 200
"""How many models are told apart in the life of a process, over all reloads; the rest are `other`."""

MALFORMED = "malformed"
"""The error class of what is not HTTP and never became a request."""

NO_STATUS = "none"
"""The status class of a request whose client was gone before a response began."""

_CLASSES = (NO_STATUS, *(f"{hundreds}xx" for hundreds in range(1, 10)))
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
        in_flight: how many requests are being served.
        streaming: how many of their responses have begun and are passed on piece by piece.
        requests: (target, reason, status class) → how many have ended.
        models: (model, target) → how many of those named one.
        errors: (error class, target) → how many failures, of attempts that were replaced by another too.
        first_byte: target → from the complete request to the beginning of its response.
        duration: target → from the complete request to the end of its response.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.streaming = 0
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

    def request_ended(self, target: Target, reason: Reason, model: str | None, status: int | None) -> None:
        """Count a request that has ended.

        Args:
            target: where it went.
            reason: why.
            model: that it names, as the client spells it.
            status: of its response, None if not a byte of one has reached the client.
        """
        status_class = NO_STATUS if status is None else _status_class(status)
        self.requests[target.value, reason.value, status_class] += 1
        if model is not None:
            self.models[self.label(model), target.value] += 1

    def label(self, model: str) -> str:
        """Return what a model counts as: the entry that lists it, its name, or `other` beyond the most."""
        return self._labels.get(model) or self._label(model)

    def _label(self, model: str) -> str:
        label = self._listed.match(model) or (model if len(model) <= _LONGEST_REMEMBERED else OTHER)
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
