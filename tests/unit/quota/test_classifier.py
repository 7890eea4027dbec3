import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.answers import OWN, SHARED, Answer
from litellm_hybrid.config.settings import FALLBACK_KINDS
from litellm_hybrid.message import sse
from litellm_hybrid.quota import classifier as quota
from litellm_hybrid.quota import rule_table as quota_rules
from litellm_hybrid.quota.classifier import Verdict, classify, classify_event
from litellm_hybrid.quota.rule import Rule

NOW = 1789000000.0
ANSWERS = [*SHARED, *OWN]
NOT_JUDGED = {"unreachable", "no-answer", "context-length"}
JSON = {"content-type": "application/json"}
STREAM = {"content-type": "text/event-stream"}

PER_REQUEST = {
    "anthropic_429_long_context_extra_usage",
    "fast_mode_429",
    "fast_mode_200",
    "fast_mode_rejected",
    "long_context_200",
    "tpm_too_large",
}


def verdict_of(answer: Answer) -> Verdict:
    return classify(answer.status, answer.lower_headers, answer.body.encode(), now=NOW)


def is_right(answer: Answer) -> bool:
    verdict = verdict_of(answer)
    return (
        verdict.kind == answer.kind
        and verdict.retry_after == answer.retry_after_seconds
        and verdict.per_request == (answer.name in PER_REQUEST)
    )


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_every_answer_of_both_corpora_means_what_it_says(answer: Answer) -> None:
    verdict = verdict_of(answer)
    assert (verdict.kind, verdict.retry_after) == (answer.kind, answer.retry_after_seconds), verdict
    assert verdict.per_request == (answer.name in PER_REQUEST), verdict


def test_the_corpora_have_every_kind_and_enough_of_our_own() -> None:
    assert len(SHARED) == 98
    assert len(OWN) >= 60
    kinds = {answer.kind for answer in OWN}
    assert kinds == {"none", *FALLBACK_KINDS} - NOT_JUDGED
    assert {answer.name for answer in SHARED}.isdisjoint(answer.name for answer in OWN)


# Mutations: whatever is taken out of the table, some answer is misread.


def _alternatives(pattern: str) -> list[str]:
    """The top-level alternatives of a pattern that `phrases` has made."""
    inner = pattern.removeprefix("(?:").removesuffix(")")
    parts, depth, in_class = [""], 0, False
    for token in re.findall(r"\\.|.", inner):
        in_class = token != "]" if in_class else token == "["
        depth += 0 if in_class else (token == "(") - (token == ")")
        if token == "|" and depth == 0 and not in_class:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def _with(rule: Rule, field: str, value: object) -> Rule:
    changes: dict[str, Any] = {field: value}
    return replace(rule, **changes)


def _broken(rule: Rule) -> Iterator[tuple[str, Rule | None]]:
    yield "gone", None
    for field in ("without", "statuses", "unless", "shapes"):
        if getattr(rule, field):
            yield f"no {field}", _with(rule, field, frozenset())
    if rule.per_request:
        yield "not per request", replace(rule, per_request=False)
    if rule.names and (rule.phrase or rule.statuses or rule.shapes):
        yield "any name", replace(rule, names=frozenset())
    if rule.phrase and rule.names:
        yield "any phrase", replace(rule, phrase=None)
    for field in ("names", "without", "statuses", "shapes"):
        members: frozenset[Any] = getattr(rule, field)
        if len(members) > 1:
            for member in sorted(members):
                yield f"{field} without {member}", _with(rule, field, members - {member})
    parts = _alternatives(rule.phrase.pattern) if rule.phrase else []
    for part in parts if len(parts) > 1 else []:
        rest = "|".join(other for other in parts if other is not part)
        yield f"without {part}", replace(rule, phrase=re.compile(f"(?:{rest})"))


MUTATIONS = [
    pytest.param(index, broken, id=f"{rule.name}: {how}")
    for index, rule in enumerate(quota_rules.RULES)
    for how, broken in _broken(rule)
]


@pytest.mark.parametrize(("index", "broken"), MUTATIONS)
def test_a_table_with_one_broken_rule_misreads_an_answer(
    index: int, broken: Rule | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = list(quota_rules.RULES)
    rules[index : index + 1] = [] if broken is None else [broken]
    monkeypatch.setattr(quota, "RULES", tuple(rules))
    assert not all(is_right(answer) for answer in ANSWERS)


# What a verdict says.


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, {"error": {"code": "model_cooldown", "message": "x"}}, "quota code model_cooldown"),
        (529, {}, "status 529"),
        (
            400,
            {"error": {"message": "Your credit balance is too low to go on"}},
            "phrase 'credit balance'",
        ),
        (400, {"error": {"message": "x", "code": "invalid_value"}}, "request code invalid_value"),
        (400, {"error": {"message": "x"}}, "no rule"),
        (200, {"choices": []}, "answer"),
        (101, {"type": "error", "error": {"type": "overloaded_error"}}, "websocket"),
    ],
)
def test_the_reason_names_the_rule(status: int, body: object, reason: str) -> None:
    assert classify(status, JSON, json.dumps(body).encode(), now=NOW).reason == reason


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error":{"message":"two\\nlines\\tand a tab"}}', "two lines and a tab"),
        ('{"error":{"message":"' + "a" * 500 + '"}}', "a" * 199 + "…"),
        (
            '{"type":"error","error":{"message":"{\\"error\\":{\\"message\\":\\"inner\\",\\"type\\":\\"t\\"}}"}}',
            "inner",
        ),
        ("plain  text", "plain text"),
        ('{"error":{"message":"\\u001b[31mred"}}', "\N{REPLACEMENT CHARACTER}[31mred"),
        ("", ""),
    ],
)
def test_the_message_is_the_providers_on_one_short_line(body: str, message: str) -> None:
    assert classify(429, JSON, body.encode(), now=NOW).message == message


def test_absolute_times_count_from_now() -> None:
    body = json.dumps({"error": {"type": "usage_limit_reached", "resets_at": NOW + 99.5}}).encode()
    assert classify(429, JSON, body, now=NOW).retry_after == 100
    assert classify(429, JSON, body, now=NOW + 200).retry_after is None


def test_a_message_is_unwrapped_once() -> None:
    inner = {"error": {"type": "rate_limit_error", "message": "wait"}}
    once = {"error": {"type": "api_error", "message": json.dumps(inner)}}
    twice = {"error": {"type": "api_error", "message": json.dumps(once)}}
    assert classify(200, JSON, json.dumps(once).encode(), now=NOW).kind == "quota"
    assert classify(200, JSON, json.dumps(twice).encode(), now=NOW).kind == "server-error"


@pytest.mark.parametrize("prefix", ["\n\n\n", " \r\n\t", "\ufeff", "\n" * 60_000])
def test_blank_lines_before_the_json_are_skipped(prefix: str) -> None:
    body = prefix + '{"error":{"type":"overloaded_error","message":"busy"}}'
    assert classify(200, JSON, body.encode(), now=NOW).kind == "overload"


# Streams, event by event.


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (sse.Event("ping", '{"type":"ping"}'), None),
        (sse.Event("codex.rate_limits", '{"type":"codex.rate_limits","limit_reached":true}'), None),
        (sse.Event("response.created", '{"type":"response.created","response":{"error":null}}'), None),
        (sse.Event("", '{"choices":[]}'), "none"),
        (sse.Event("", "[DONE]"), "none"),
        (sse.Event("error", '{"type":"error","error":{"type":"overloaded_error"}}'), "overload"),
        (sse.Event("error", '{"type":"error","error":{"type":"invalid_request_error"}}'), "none"),
        (sse.Event("ping", '{"error":{"type":"overloaded_error"}}'), "overload"),
        (sse.Event("error", "busy"), "none"),
    ],
)
def test_an_event_holds_releases_or_fails(event: sse.Event, kind: str | None) -> None:
    verdict = classify_event(event, now=NOW)
    assert (verdict and verdict.kind) == kind


def test_an_event_may_take_its_wait_from_the_headers() -> None:
    event = sse.Event("", '{"error":{"type":"rate_limit_error"}}')
    verdict = classify_event(event, now=NOW, headers={"retry-after": "17"})
    assert verdict is not None
    assert verdict.retry_after == 17


STREAMS = [
    answer for answer in ANSWERS if answer.stream and answer.status == 200 and not answer.body.startswith("{")
]


@pytest.mark.parametrize("answer", STREAMS, ids=str)
def test_a_stream_cut_anywhere_gets_the_same_verdict(answer: Answer) -> None:
    body = answer.body.encode()
    whole = verdict_of(answer)
    for cut in range(len(body) + 1):
        reader = sse.EventReader()
        events = [*reader.feed(body[:cut]), *reader.feed(body[cut:])]
        if last := reader.close():
            events.append(last)
        verdicts = (classify_event(event, now=NOW, headers=STREAM) for event in events)
        first = next((verdict for verdict in verdicts if verdict), None)
        assert first == whole or (first is None and whole.kind == "server-error")


# Anything at all.

KEYS = st.sampled_from(
    [
        *("error", "type", "code", "message", "status", "response", "details", "retryDelay", "metadata"),
        *("resets_at", "resets_in_seconds", "reset_seconds", "quotaResetDelay", "choices", "x"),
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["error", "response.failed", "429", "rate_limit_error", "1h2m3s", '{"error":{"a":1}}']),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)
STATUSES = st.sampled_from([101, 200, 204, 302, 400, 401, 402, 403, 404, 408, 429, 500, 501, 503, 529, 599])


@given(status=STATUSES, value=VALUES, stream=st.booleans())
def test_no_json_breaks_it(status: int, value: object, stream: bool) -> None:
    text = json.dumps(value)
    body = f"data: {text}\n\n" if stream else text
    check(status, STREAM if stream else JSON, body.encode())


@given(status=STATUSES, body=st.binary(max_size=200), stream=st.booleans())
def test_no_bytes_break_it(status: int, body: bytes, stream: bool) -> None:
    check(status, STREAM if stream else JSON, body)
    check(status, {"retry-after": body.decode("latin-1")}, b'{"error":{"message":"x"}}')


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":' * 100_000,
        b"[" * 1_000_000,
        b'{"error":{"message":"' + b"try again in 1s " * 100_000 + b'"}}',
        b'{"error":{"message":"' + b"1 " * 500_000 + b'"}}',
        b'{"error":{"message":"' + b"9" * 1_000_000 + b' remaining"}}',
        b'{"error":{"message":"all credentials for model ' + b"are cooling " * 100_000 + b'"}}',
        b'{"error":{"message":"' + b"\\u001b" * 100_000 + b'"}}',
        b'{"error":{"resets_in_seconds":' + b"9" * 5000 + b"}}",
        b'{"error":{"resets_in_seconds":1' + b"0" * 300 + b"}}",
        b"\n" * 200_000,
        b"data: x" * 300_000,
        b"data\n" * 100_000,
    ],
    ids=range(12),
)
@pytest.mark.parametrize("headers", [JSON, STREAM], ids=["json", "stream"])
def test_deep_and_huge_bodies_are_read(body: bytes, headers: dict[str, str]) -> None:
    check(200, headers, body)
    check(429, headers, body)


def check(status: int, headers: dict[str, str], body: bytes) -> None:
    verdict = classify(status, headers, body, now=NOW)
    assert verdict.kind in {"none", *FALLBACK_KINDS} - NOT_JUDGED
    assert verdict.retry_after is None or 0 <= verdict.retry_after <= 30 * 86400
    assert len(verdict.message) <= 200
    assert "\n" not in verdict.message
    assert verdict.reason


def test_a_lone_surrogate_hides_no_error() -> None:
    """A provider quotes what the user wrote, and JavaScript clients cut texts in the middle of a character."""
    error = {"message": "The usage limit has been reached \ud83d", "type": "usage_limit_reached"}
    assert classify(200, JSON, json.dumps({"error": error}).encode(), now=NOW).kind == "quota"
