"""Every metric there is: its name, labels and meaning, and where its numbers come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, NamedTuple

from litellm_hybrid.config.settings import FALLBACK_KINDS
from litellm_hybrid.errors import ErrorType
from litellm_hybrid.observability.history import APPLIED, REJECTED, FallbackOutcome
from litellm_hybrid.observability.request_counters import MALFORMED, Histogram, RequestCounters
from litellm_hybrid.observability.spend import Spend
from litellm_hybrid.routing.rules import Target

PREFIX = "litellm_hybrid_"

type Labels = tuple[str, ...]
type Values = Mapping[Any, float | Histogram]
"""Label values, a tuple of strings, → number."""


@dataclass(frozen=True, slots=True)
class MetricSources:
    """Where the numbers are.

    Attributes:
        counters: of the requests.
        spend: tokens and dollars.
        fallbacks: (kind, outcome) → how many.
        events: what else fallbacks did, by its name.
        reloads: result → how many.
        held_bytes: gives the bytes of responses that are held right now.
        versions: of litellm-hybrid and of mitmproxy.
    """

    counters: RequestCounters
    spend: Spend
    fallbacks: Mapping[tuple[str, str], int]
    events: Mapping[str, int]
    reloads: Mapping[str, int]
    held_bytes: Callable[[], int]
    versions: tuple[str, str]


class Family(NamedTuple):
    """One metric.

    Attributes:
        name: behind `PREFIX`; a counter's without `_total`.
        labels: their names.
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


FAMILIES = (
    Family(
        "requests",
        "counter",
        ("target", "reason", "status_class"),
        "Requests that have ended, by where they went, why, and the class of the status the client got.",
        lambda sources: sources.counters.requests,
    ),
    Family(
        "model_requests",
        "counter",
        ("model", "target"),
        "The same for requests that name a model, by the entry of the configuration that it matches.",
        lambda sources: sources.counters.models,
    ),
    Family(
        "tokens",
        "counter",
        ("target", "model", "kind"),
        "Tokens that responses say they took: input, cached, which is a part of the input, and output.",
        lambda sources: sources.spend.tokens,
    ),
    Family(
        "cost_usd",
        "counter",
        ("reason",),
        "US dollars that LiteLLM's responses cost, by its own header or prices.",
        lambda sources: sources.spend.cost_usd,
    ),
    Family(
        "unpriced_responses",
        "counter",
        ("model",),
        "LiteLLM's responses whose cost is not known.",
        lambda sources: sources.spend.unpriced,
    ),
    Family(
        "fallbacks",
        "counter",
        ("kind", "outcome"),
        "Upstream failures that were to be replayed to LiteLLM, and what became of that.",
        lambda sources: {**_NO_FALLBACKS, **sources.fallbacks},
    ),
    Family(
        "errors",
        "counter",
        ("error_class", "target"),
        "Failures between the client, this proxy and a server, by class and server.",
        lambda sources: {**_NO_ERRORS, **sources.counters.errors},
    ),
    Family(
        "time_to_first_byte_seconds",
        "histogram",
        ("target",),
        "From the complete request to the beginning of a server's response to it, as the client sees it.",
        lambda sources: {(name,): one for name, one in sources.counters.first_byte.items()},
    ),
    Family(
        "request_duration_seconds",
        "histogram",
        ("target",),
        "From the complete request to the end of a server's response to it, as the client sees it.",
        lambda sources: {(name,): one for name, one in sources.counters.duration.items()},
    ),
    Family(
        "requests_in_flight",
        "gauge",
        (),
        "Requests being served.",
        lambda sources: _one(sources.counters.in_flight),
    ),
    Family(
        "streams_in_flight",
        "gauge",
        (),
        "Of these, those whose response has begun and is passed on piece by piece.",
        lambda sources: _one(sources.counters.streaming),
    ),
    Family(
        "held_bytes",
        "gauge",
        (),
        "Bytes of upstream's responses that are held until it is clear whether they are failures.",
        lambda sources: _one(sources.held_bytes()),
    ),
    Family(
        "unclassified_responses",
        "counter",
        ("why",),
        "Responses that went to the client before it was clear whether they are failures.",
        lambda sources: _unclassified(sources.events),
    ),
    Family(
        "undecided_answers",
        "counter",
        ("why",),
        "The old name of unclassified_responses; the next release drops it.",
        lambda sources: _unclassified(sources.events),
    ),
    Family(
        "history_retries",
        "counter",
        (),
        "Requests that were sent again without what another account had sealed in their history.",
        lambda sources: _one(sources.events.get("history-reduced", 0)),
    ),
    Family(
        "history_retries_failed",
        "counter",
        (),
        "Of these, those that were refused again.",
        lambda sources: _one(sources.events.get("history-retry-failed", 0)),
    ),
    Family(
        "reloads",
        "counter",
        ("result",),
        "Changes of the configuration file: applied, or rejected because it has an error.",
        lambda sources: {(result,): sources.reloads.get(result, 0) for result in (APPLIED, REJECTED)},
    ),
    Family(
        "build_info",
        "gauge",
        ("version", "mitmproxy"),
        "Always 1; the versions are in the labels.",
        lambda sources: {sources.versions: 1.0},
        "livemax",
    ),
)
"""Every metric there is."""
