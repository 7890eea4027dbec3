"""The metrics page, of one process and of workers that share a folder."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from litellm_hybrid.config.settings import FALLBACK_KINDS
from litellm_hybrid.observability import metrics
from litellm_hybrid.observability.counters import MOST_MODELS
from litellm_hybrid.observability.history import Records
from litellm_hybrid.observability.metrics import FAMILIES, Metrics, MetricSources, SharedMetrics
from litellm_hybrid.quota.gauge import Window


def _sources() -> MetricSources:
    return MetricSources(
        Records(),
        Counter(),
        Counter(),
        quotas=lambda: (),
        held_bytes=lambda: 4096,
        versions=("1.2.3", "12.2.3"),
    )


def _busy() -> MetricSources:
    """Numbers that all differ."""
    records = Records()
    traffic, spend = records.counters, records.spend
    traffic.requests["litellm", "model", "2xx"] = 3
    traffic.models["gpt-5", "litellm"] = 4
    traffic.errors["timeout", "upstream"] = 5
    traffic.in_flight, traffic.streaming = 6, 2
    for seconds in (0.01, 0.3, 1000.0):
        traffic.first_byte["litellm"].add(seconds)
    traffic.duration["upstream"].add(2.0)
    key = spend.key(0.0, "litellm", "gpt-5", "fallback")
    spend.add(key, input_tokens=20, output_tokens=21, cached_tokens=19)
    spend.add_cost(key, 0.1)
    spend.add_cost(key, 0.2)
    spend.add_cost(key, None)
    records.reloads.counts.update(applied=13, rejected=14)
    return MetricSources(
        records,
        fallbacks={("quota", "served"): 7, ("login", "failed"): 8},
        events={
            "hold-capacity-reached": 9,
            "hold-limit-reached": 10,
            "history-reduced": 11,
            "history-retry-failed": 12,
        },
        quotas=lambda: [("claude-opus-4-5", Window("5h", 0.75, 4e9))],
        held_bytes=lambda: 4096,
        versions=("1.2.3", "12.2.3"),
    )


BUSY = {
    'requests_total{reason="model",status_class="2xx",target="litellm"}': 3,
    'model_requests_total{model="gpt-5",target="litellm"}': 4,
    'errors_total{error_class="timeout",target="upstream"}': 5,
    'errors_total{error_class="malformed",target="none"}': 0,
    'tokens_total{kind="input",model="gpt-5",target="litellm"}': 20,
    'tokens_total{kind="output",model="gpt-5",target="litellm"}': 21,
    'tokens_total{kind="cached",model="gpt-5",target="litellm"}': 19,
    'cost_usd_total{reason="fallback"}': 0.3,
    'unpriced_responses_total{model="gpt-5"}': 1,
    "requests_in_flight": 6,
    "streams_in_flight": 2,
    "held_bytes": 4096,
    'fallbacks_total{kind="quota",outcome="served"}': 7,
    'fallbacks_total{kind="login",outcome="failed"}': 8,
    'fallbacks_total{kind="account",outcome="not-attempted"}': 0,
    'unclassified_responses_total{why="too-many"}': 9,
    'unclassified_responses_total{why="limit"}': 10,
    'undecided_answers_total{why="too-many"}': 9,
    'undecided_answers_total{why="limit"}': 10,
    "history_retries_total": 11,
    "history_retries_failed_total": 12,
    'reloads_total{result="applied"}': 13,
    'reloads_total{result="rejected"}': 14,
    'time_to_first_byte_seconds_bucket{le="0.05",target="litellm"}': 1,
    'time_to_first_byte_seconds_bucket{le="0.5",target="litellm"}': 2,
    'time_to_first_byte_seconds_bucket{le="600.0",target="litellm"}': 2,
    'time_to_first_byte_seconds_bucket{le="+Inf",target="litellm"}': 3,
    'time_to_first_byte_seconds_count{target="litellm"}': 3,
    'time_to_first_byte_seconds_sum{target="litellm"}': 1000.31,
    'time_to_first_byte_seconds_count{target="upstream"}': 0,
    'request_duration_seconds_bucket{le="1.0",target="upstream"}': 0,
    'request_duration_seconds_bucket{le="2.5",target="upstream"}': 1,
    'request_duration_seconds_count{target="upstream"}': 1,
}
BUILD = 'build_info{mitmproxy="12.2.3",version="1.2.3"}'
GAUGES = ("requests_in_flight", "streams_in_flight", "held_bytes")


type Worker = Callable[[str, MetricSources], SharedMetrics]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Makes a worker's metrics by its name."""
    made: list[SharedMetrics] = []

    def make(name: str, sources: MetricSources) -> SharedMetrics:
        made.append(SharedMetrics(sources, tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _samples(page: bytes) -> dict[str, float]:
    """Every line of the page but the comments, without our prefix."""
    lines = [line for line in page.decode().splitlines() if not line.startswith("#")]
    found = {
        line.removeprefix("litellm_hybrid_").rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in lines
    }
    assert len(found) == len(lines), "a sample is there twice"
    return found


def _shows(page: bytes, expected: dict[str, float]) -> None:
    found = _samples(page)
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_one_process() -> None:
    _shows(Metrics(_busy()).page(), BUSY | {BUILD: 1})


def test_everything_is_there_from_the_start() -> None:
    """But for the requests, of which nobody knows which there will be."""
    samples = _samples(Metrics(_sources()).page())
    assert {name: number for name, number in samples.items() if number} == {BUILD: 1, "held_bytes": 4096}
    assert len([name for name in samples if name.startswith("fallbacks_total")]) == len(FALLBACK_KINDS) * 4


@pytest.mark.parametrize("shared", [False, True])
def test_every_family_with_help_and_type(shared: bool, worker: Worker) -> None:
    page = (worker("1", _busy()) if shared else Metrics(_busy())).page().decode()

    families = {family.name: family for family in text_string_to_metric_families(page)}
    expected = {f"litellm_hybrid_{family.name}": family for family in FAMILIES}
    assert families.keys() == expected.keys()
    for name, family in families.items():
        assert (family.type, family.documentation) == (expected[name].kind, expected[name].help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(expected[name].labels)


def test_workers_add_up(worker: Worker) -> None:
    """Any of them shows all, and what it has counted itself up to this moment."""
    one, two = (worker(name, _busy()) for name in "12")
    two.flush()
    twice = {name: 2 * number for name, number in BUSY.items()}
    _shows(one.page(), twice | {BUILD: 1})
    _shows(two.page(), twice | {BUILD: 1})


def test_a_workers_numbers_are_seen_once_it_has_flushed(worker: Worker) -> None:
    sources = _sources()
    one, two = worker("1", _sources()), worker("2", sources)
    sources.records.counters.requests["litellm", "model", "2xx"] += 1

    assert one.totals()["requests"] == {}
    assert two.totals()["requests"] == {("litellm", "model", "2xx"): 1}
    assert one.totals()["requests"] == {("litellm", "model", "2xx"): 1}


def test_a_worker_that_died_and_the_one_that_replaces_it(worker: Worker, tmp_path: Path) -> None:
    """Counters go on, and its requests are not in flight any more."""
    one, two = (worker(name, _busy()) for name in "12")
    two.flush()
    counters = {name: number for name, number in BUSY.items() if name not in GAUGES}
    gauges = {name: BUSY[name] for name in GAUGES}
    twice = {name: 2 * number for name, number in counters.items()}

    metrics.mark_worker_dead(tmp_path / "2")
    _shows(one.page(), twice | gauges | {BUILD: 1})

    again = worker("2", _sources())
    _shows(again.page(), twice | gauges | {"held_bytes": 2 * 4096})
    again.flush()
    third = worker("2", _busy())
    _shows(third.page(), {name: 3 * number for name, number in counters.items()})
    assert len(list(tmp_path.iterdir())) == 2 * 4


def test_totals_are_what_was_counted() -> None:
    totals = Metrics(_busy()).totals()
    assert totals["fallbacks"] == {("quota", "served"): 7, ("login", "failed"): 8}
    assert totals["requests"] == {("litellm", "model", "2xx"): 3}
    assert totals["history_retries"] == {(): 11}


def test_a_users_environment_has_no_say(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another program in the same shell, for instance."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    _shows(Metrics(_busy()).page(), BUSY)
    _shows(worker("1", _busy()).page(), BUSY)


def test_labels_are_escaped() -> None:
    sources = _sources()
    sources.records.counters.models['a"b\\c\nd', "litellm"] = 1
    assert b'model="a\\"b\\\\c\\nd"' in Metrics(sources).page()


def test_the_files_take_as_many_models_as_there_may_be(worker: Worker, tmp_path: Path) -> None:
    """They do not grow: that could fail at any time."""
    sources = _sources()
    for number in range(MOST_MODELS):
        for target in ("litellm", "upstream"):
            model = f"a-model-with-quite-a-long-name-{number}"
            sources.records.counters.models[model, target] = 1
            sources.records.spend.unpriced[(model,)] = 1
            for kind in ("input", "output", "cached"):
                sources.records.spend.tokens[target, model, kind] = 1
    one = worker("1", sources)
    one.flush()
    assert {file.stat().st_size for file in tmp_path.iterdir()} == {metrics._FILE_SIZE}
    assert len(one.totals()["model_requests"]) == 2 * MOST_MODELS
