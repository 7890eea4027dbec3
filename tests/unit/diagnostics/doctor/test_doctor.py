"""Whatever a server answers, the doctor has findings and no fault of its own."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from litellm_hybrid.config.settings import Fallback, Settings
from litellm_hybrid.diagnostics.doctor import (
    check_local,
    check_models,
    check_servers,
    probes,
)
from litellm_hybrid.diagnostics.doctor.probes import (
    FailureKind,
    ProbeResult,
    Results,
)
from litellm_hybrid.diagnostics.doctor.report import CHECKS, Report
from support.probes import KEY, LITELLM, failed

SETTINGS = Settings(
    enabled=True,
    base_url=LITELLM,
    api_key=KEY,
    client_keys=(KEY,),
    fallback=Fallback(enabled=True),
)
NAMES = sorted(probes.plan(SETTINGS))
KEYS = st.sampled_from(
    [
        "data",
        "id",
        "error",
        "message",
        "model_name",
        "litellm_params",
        "api_base",
        "model",
        "reasons",
        "ready",
    ]
)
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.sampled_from(["", "*", "gpt-5", "http://[", "x" * 300])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "location", "date", "x-hybrid-route", "x-cpa-version"]),
        st.sampled_from(
            ["", "text/html", "http://[", "/x", "https://h:99999/", "Thu, 99 Nov 2026", "\ud800"]
        ),
    ),
    max_size=3,
).map(tuple)
BODIES = st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=20))
RESPONSES = st.builds(
    ProbeResult, st.sampled_from([200, 301, 400, 401, 403, 404, 503]), HEADERS, BODIES, at=st.just(1.0)
)
RESULTS = st.one_of(RESPONSES, st.builds(failed, st.sampled_from(FailureKind)))


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(NAMES, RESULTS)))
@example(dict.fromkeys(NAMES, ProbeResult(302, (("location", "http://["),), b"")))
def test_any_response_has_findings(results: dict[str, Any]) -> None:
    seen = Results(results)
    found = [
        *check_local.listen(SETTINGS, seen, None),
        *check_local.clock(seen),
        *check_servers.check_upstream(SETTINGS, seen),
        *check_servers.check_litellm(SETTINGS, seen),
        *check_models.check_names(SETTINGS, seen),
    ]
    assert {each.check for each in found} <= set(CHECKS)
    assert all(each.symptom for each in found)
    json.dumps(Report("f", found).as_json())
