import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.answers import FIELD, OWN, OWN_FIELD, SHARED, UNSEEN, Answer, real, request_faults
from litellm_hybrid.config.settings import DEFAULT_FALLBACK_KINDS, FALLBACK_KINDS
from litellm_hybrid.message import sse
from litellm_hybrid.quota.classifier import (
    ANSWER,
    NO_ANSWER,
    NO_COMPACTION,
    Asked,
    ReplayJudge,
    StreamJudge,
    Verdict,
    classify,
    classify_replay,
    classify_unread,
    refused_by_head,
)
from real.corpus import captured

NOW = 1789000000.0
ANSWERS = [*SHARED, *OWN, *FIELD, *OWN_FIELD, *UNSEEN]
JSON = {"content-type": "application/json"}
STREAM = {"content-type": "text/event-stream"}

PER_REQUEST = {
    "anthropic_429_long_context_extra_usage",
    "fast_mode_429",
    "fast_mode_200",
    "fast_mode_rejected",
    "long_context_200",
    "tpm_too_large",
    "openrouter_402_more_credits",
}


def verdict_of(answer: Answer) -> Verdict:
    return classify(answer.status, answer.lower_headers, answer.body.encode(), now=NOW)


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_every_answer_of_the_corpora_means_what_it_says(answer: Answer) -> None:
    verdict = verdict_of(answer)
    assert (verdict.kind, verdict.retry_after) == (answer.kind, answer.retry_after_seconds), verdict
    assert verdict.per_request == (answer.name in PER_REQUEST), verdict


def test_the_corpora_have_every_kind_and_enough_of_our_own() -> None:
    assert (len(SHARED), len(FIELD)) == (98, 14)
    assert len(OWN) >= 60
    assert len(OWN_FIELD) >= 80
    assert sum(answer.kind == "none" for answer in OWN_FIELD) >= 30
    kinds = {answer.kind for answer in [*OWN, *OWN_FIELD]}
    assert kinds == {"none", *FALLBACK_KINDS} - {"unreachable"}
    names = [answer.name for answer in ANSWERS]
    assert len(set(names)) == len(names)


def test_what_the_real_ones_wrote_means_what_it_says() -> None:
    """715 answers of three versions of CLIProxyAPI; of xAI's cut streams the words leave no more than that."""
    wrong = []
    for answer in real():
        verdict = verdict_of(answer)
        kind = "no-answer" if "xai stream error" in answer.body else answer.kind
        if (verdict.kind, verdict.retry_after) != (kind, answer.retry_after_seconds):
            wrong.append((answer.name, kind, verdict))
    assert wrong == []


def test_of_what_was_captured_every_failure_falls_back_and_nothing_else() -> None:
    """Provider errors of our own through three versions of CLIProxyAPI, judged by what they left."""
    wrong = []
    for entry in captured():
        headers = {name.lower(): value for name, value in entry.headers.items()}
        verdict = classify(entry.status, headers, entry.body.encode(), now=NOW)
        if (verdict.kind in DEFAULT_FALLBACK_KINDS) != entry.want:
            wrong.append((entry.name, entry.at, verdict))
    assert wrong == []


@pytest.mark.parametrize(
    ("status", "body", "in_stream"),
    [
        (400, {"error": {"message": "{}"}}, False),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "{}"}}, False),
        (404, {"error": "{}"}, False),
        (422, {"detail": "{}"}, False),
        # Behind keep-alives, and in streams, where the status is gone; as CLIProxyAPI tells Gemini's clients.
        (200, {"error": {"message": "{}"}}, False),
        (200, {"error": {"message": "{}", "type": "BadRequestError"}}, False),
        (200, {"error": {"code": 400, "message": "{}", "status": "INVALID_ARGUMENT"}}, True),
        # As it tells a failure in a stream to who asked for a whole answer.
        (502, {"type": "error", "error": {"type": "api_error", "message": "{}"}}, False),
    ],
)
def test_no_request_fault_falls_back_whatever_words_it_has(
    status: int, body: object, in_stream: bool
) -> None:
    wrong = []
    for message in request_faults():
        text = json.dumps(body).replace('"{}"', json.dumps(message))
        sent = f"data: {text}\n\n" if in_stream else text
        verdict = classify(status, STREAM if in_stream else JSON, sent.encode(), now=NOW)
        if verdict.kind in DEFAULT_FALLBACK_KINDS:
            wrong.append((message, verdict))
    assert wrong == []


def _rewritten(body: str, change: Callable[[Any], Any], separators: tuple[str, str] = (", ", ": ")) -> str:
    """A body with its JSON, or that of its events, changed."""

    def one(text: str) -> str:
        try:
            return json.dumps(change(json.loads(text)), separators=separators)
        except ValueError:
            return text

    if not body.startswith(("data:", "event:", ":")):
        return one(body)
    lines = body.split("\n")
    return "\n".join(f"data: {one(line[5:])}" if line.startswith("data:") else line for line in lines)


def _backwards(value: Any) -> Any:
    """The members of all objects in reverse, but for two: CLIProxyAPI's plugins are known by their order."""
    if isinstance(value, list):
        return [_backwards(item) for item in value]
    if not isinstance(value, dict):
        return value
    members = [(key, _backwards(inner)) for key, inner in value.items()]
    return dict(members if value.keys() == {"message", "type"} else reversed(members))


def _with_more(value: Any) -> Any:
    return {**value, "ray": "1a", "more": None} if isinstance(value, dict) else value


@pytest.mark.parametrize(
    "change",
    [
        lambda body: _rewritten(body, lambda value: value, (",", ":")),
        lambda body: _rewritten(body, _backwards),
        lambda body: _rewritten(body, _with_more),
        lambda body: "\ufeff \r\n" + body if body.startswith("{") else body.replace("\n", "\r\n"),
    ],
    ids=["compact", "backwards", "more members", "white space"],
)
def test_how_an_error_is_written_down_does_not_matter(change: Callable[[str], str]) -> None:
    wrong = []
    for entry in captured()[::4]:
        headers = {name.lower(): value for name, value in entry.headers.items()}
        body = entry.body.lstrip()
        verdicts = [classify(entry.status, headers, text.encode(), now=NOW) for text in (body, change(body))]
        if len({(verdict.kind, verdict.retry_after) for verdict in verdicts}) > 1:
            wrong.append((entry.name, entry.at, verdicts))
    assert wrong == []


# What a verdict says.


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, {"error": {"code": "model_cooldown", "message": "x"}}, "quota code model_cooldown"),
        (529, {}, "status 503 or 529"),
        (429, {"error": {"code": "Weekly_Quota_Reached", "message": "x"}}, "quota code weekly_quota_reached"),
        (400, {"error": {"message": "Your credit balance is too low to go on"}}, "words 'nothing left'"),
        (400, {"error": {"message": "x", "code": "invalid_value"}}, "request code invalid_value"),
        (400, {"error": {"message": "x"}}, "status of a request fault"),
        (200, {"error": {"message": "x"}}, "no rule"),
        (200, {"choices": [{"message": {"content": "x"}}]}, "answer"),
        (200, {"choices": []}, "ended with nothing in it"),
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
        (sse.Event("", '{"choices":[]}'), None),
        (sse.Event("", ""), None),
        (sse.Event("", '{"choices":[{"delta":{"role":"assistant","content":""}}]}'), None),
        (sse.Event("", '{"choices":[{"delta":{"content":"x"}}]}'), "none"),
        (sse.Event("", "[DONE]"), "no-answer"),
        (sse.Event("message_stop", '{"type":"message_stop"}'), "no-answer"),
        (sse.Event("error", '{"type":"error","error":{"type":"overloaded_error"}}'), "overload"),
        (sse.Event("error", '{"type":"error","error":{"type":"invalid_request_error"}}'), "none"),
        (sse.Event("ping", '{"error":{"type":"overloaded_error"}}'), "overload"),
        (sse.Event("error", "busy"), "none"),
    ],
)
def test_an_event_holds_releases_or_fails(event: sse.Event, kind: str | None) -> None:
    verdict = StreamJudge().event(event, now=NOW)
    assert (verdict and verdict.kind) == kind


def test_an_event_may_take_its_wait_from_the_headers() -> None:
    event = sse.Event("", '{"error":{"type":"rate_limit_error"}}')
    verdict = StreamJudge(headers={"retry-after": "17"}).event(event, now=NOW)
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
        judge = StreamJudge(headers=answer.lower_headers)
        verdicts = (judge.event(event, now=NOW) for event in events)
        first = next((verdict for verdict in verdicts if verdict), None)
        assert (first or judge.end()) == whole


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((402, "quota"), (403, "account"), (429, "quota"), (503, "overload"), (529, "overload")),
        *((500, "server-error"), (400, "none"), (404, "none"), (413, "none"), (200, "none")),
    ],
)
def test_the_status_decides_where_the_body_cannot_be_read(status: int, kind: str) -> None:
    assert classify_unread(status, {}, now=NOW).kind == kind


def test_the_status_decides_what_cliproxyapi_derived_from_it() -> None:
    """Its type and code for a text are no words of a provider's."""
    derived = {"message": "Forbidden", "type": "permission_error", "code": "insufficient_quota"}
    assert classify(403, JSON, json.dumps({"error": derived}).encode(), now=NOW).kind == "account"
    own = derived | {"type": "insufficient_quota"}
    assert classify(403, JSON, json.dumps({"error": own}).encode(), now=NOW).kind == "quota"


def test_a_model_that_upstream_has_served_has_lost_its_account() -> None:
    verdict = classify(400, JSON, b'{"error":{"message":"unknown provider for model m"}}', now=NOW)
    assert verdict.kind == "unknown-model"
    assert verdict.for_known_model().kind == "no-credential"
    other = classify(404, JSON, b'{"error":{"message":"model m does not exist"}}', now=NOW)
    assert other.for_known_model() == other


@pytest.mark.parametrize("now", [NOW, 0.0])
def test_a_long_error_is_read_in_little_time(now: float) -> None:
    """Time grows with the length, and not with its square: only the beginning is searched."""
    body = json.dumps({"error": {"message": "usage limit exceeded quota " * 2300}}).encode()
    assert len(body) > 60_000
    assert classify(500, JSON, body, now=now).kind == "quota"


@pytest.mark.parametrize("told", ["try again in 5 seconds", "30 秒后重试", "resets 2026-09-10 01:00:00 UTC"])
def test_only_the_beginning_of_a_long_error_is_searched(told: str) -> None:
    """22 searches over 64 KiB took 150 ms of everybody's."""

    def judged(before: str, after: str, status: int) -> Verdict:
        return classify(
            status, JSON, json.dumps({"error": {"message": f"{before} {after}"}}).encode(), now=NOW
        )

    words = "word " * 12_800
    assert judged(words[:400], "usage limit exceeded", 500).kind == "quota"
    assert judged(words, "usage limit exceeded", 500).kind == "server-error"
    assert judged(words[:1900], told, 429).retry_after is not None
    assert judged(words, told, 429).retry_after is None


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
    assert verdict.kind in {"none", *FALLBACK_KINDS} - {"unreachable"}
    assert verdict.retry_after is None or 0 <= verdict.retry_after <= 30 * 86400
    assert len(verdict.message) <= 200
    assert "\n" not in verdict.message
    assert verdict.reason


def test_a_whole_stream_of_no_known_api_is_not_judged_by_what_it_carries() -> None:
    """As event by event: nothing is said to be missing from what nobody knows."""
    body = b'data: {"progress": 1}\n\ndata: {"progress": 2}\n\n'
    assert classify(200, {"content-type": "text/event-stream"}, body, now=0) is ANSWER


def test_a_lone_surrogate_hides_no_error() -> None:
    """A provider quotes what the user wrote, and JavaScript clients cut texts in the middle of a character."""
    error = {"message": "The usage limit has been reached \ud83d", "type": "usage_limit_reached"}
    assert classify(200, JSON, json.dumps({"error": error}).encode(), now=NOW).kind == "quota"


# -- LiteLLM's answer to a replay --------------------------------------------------

HI = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
COMPACTION = {"type": "compaction", "encrypted_content": "x"}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/chat/completions", b"{}", Asked()),
        ("/prefix/v1/messages?beta=true", b"{}", Asked()),
        ("/v1/responses", b"{}", Asked()),
        ("/v1beta/models/m:streamGenerateContent?alt=sse", b"{}", Asked()),
        ("/v1beta/models/m:generateContent", b"{}", Asked()),
        ("/v1/responses/compact", b"{}", Asked(compaction=True)),
        (
            "/v1/responses",
            b'{"input":[{"type":"message"},{"type":"compaction_trigger"}]}',
            Asked(compaction=True),
        ),
        ("/v1/responses", b'{"input":"about compaction_trigger"}', Asked()),
        ("/v1/responses", b'{"input":[{"type":"message","content":"compaction_trigger"}]}', Asked()),
        ("/v1/responses", b"compaction_trigger", Asked()),
    ],
)
def test_what_a_request_wants(path: str, body: bytes, expected: Asked) -> None:
    assert Asked.of(path, body, generates=True) == expected


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (200, "application/json", None),
        (200, "Application/JSON; charset=utf-8", None),
        (200, "application/problem+json", None),
        (200, "text/event-stream", None),
        (200, "text/html", "content type text/html"),
        (200, "", "content type missing"),
        (204, "application/json", "status 204"),
        (307, "text/html", "status 307"),
        (500, "application/json", "status 500"),
    ],
)
def test_what_the_head_rules_out(status: int, kind: str, reason: str | None) -> None:
    refused = refused_by_head(status, kind)
    assert (refused and refused.reason) == reason


@pytest.mark.parametrize(
    ("wanted", "body", "is_answer"),
    [
        (Asked(), HI, True),
        (Asked(), HI | {"error": None}, True),
        (Asked(), {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}, True),
        (Asked(), {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}, False),
        (Asked(), {"type": "message", "content": [], "stop_reason": "refusal"}, True),
        (Asked(), {"type": "message", "content": [], "stop_reason": "end_turn", "usage": {}}, False),
        (Asked(), {"error": {"message": "x"}}, False),
        (Asked(), {"error": "x"}, False),
        (Asked(), {"detail": "x"}, False),
        (Asked(), {}, False),
        (Asked(), [], False),
        (Asked(), "ok", False),
        (Asked(), {"status": "healthy"}, False),
        (Asked(generates=False), {"input_tokens": 3}, True),
        (Asked(generates=False), {"data": []}, True),
        (Asked(generates=False), {"error": {"message": "x"}}, False),
        (Asked(generates=False), "ok", False),
        (Asked(compaction=True), {"object": "response.compaction", "output": [COMPACTION]}, True),
        (Asked(compaction=True), {"output": [{"type": "compaction_summary"}]}, True),
        (Asked(compaction=True), {"output": [{"type": "message", "content": "x"}]}, False),
        (Asked(compaction=True), HI, False),
    ],
)
def test_whether_json_is_an_answer(wanted: Asked, body: object, is_answer: bool) -> None:
    assert (classify_replay(wanted, 200, JSON, json.dumps(body).encode(), now=0.0) is ANSWER) is is_answer


@pytest.mark.parametrize("body", [b"", b"   ", b"not JSON", b'{"choices": [', b"<html>"])
def test_what_is_no_json_is_no_answer(body: bytes) -> None:
    for wanted in (Asked(), Asked(generates=False), Asked(compaction=True)):
        assert classify_replay(wanted, 200, JSON, body, now=0.0) is not ANSWER


def events(*payloads: Any) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (str(each.get("type", "")).encode(), json.dumps(each).encode())
        for each in payloads
    )


CREATED = {"type": "response.created", "response": {"output": []}}
TEXT = {"type": "response.output_text.delta", "delta": "x"}
DONE = {"type": "response.completed", "response": {"object": "response", "usage": {"output_tokens": 1}}}
ITEM = {"type": "response.output_item.done", "item": COMPACTION}


@pytest.mark.parametrize(
    ("wanted", "stream", "expected"),
    [
        (Asked(), events(CREATED, TEXT), ANSWER),
        (Asked(), events(CREATED, DONE), ANSWER),
        (Asked(), events(CREATED), NO_ANSWER),
        (Asked(), b": ping\n\n: ping\n\n", NO_ANSWER),
        (Asked(), b"", NO_ANSWER),
        (Asked(), events({"type": "something.new"}), NO_ANSWER),
        (Asked(), b"data: [DONE]\n\n", NO_ANSWER),
        (Asked(compaction=True), events(CREATED, TEXT, ITEM, DONE), ANSWER),
        (Asked(compaction=True), events(CREATED, TEXT, DONE), NO_COMPACTION),
        (Asked(compaction=True), events(CREATED, TEXT), NO_COMPACTION),
        (
            Asked(compaction=True),
            events(CREATED, {"type": "response.completed", "response": {"output": [COMPACTION]}}),
            ANSWER,
        ),
    ],
)
def test_whether_a_stream_is_an_answer(wanted: Asked, stream: bytes, expected: object) -> None:
    assert classify_replay(wanted, 200, STREAM, stream, now=0.0) == expected


def test_an_error_in_a_stream_is_none() -> None:
    stream = b": ping\n\n" + events(
        CREATED, {"type": "error", "error": {"message": "No deployments available"}}
    )
    assert classify_replay(Asked(), 200, STREAM, stream, now=0.0).message == "No deployments available"


def test_a_compaction_is_waited_for_whatever_comes_before() -> None:
    reader = ReplayJudge(Asked(compaction=True), headers=STREAM)
    assert reader.event(sse.Event("", json.dumps(TEXT)), now=0.0) is None
    assert reader.event(sse.Event("", json.dumps(ITEM)), now=0.0) is ANSWER


@pytest.mark.parametrize(
    ("status", "body", "rule"),
    [
        (429, b'{"error": {"message": "The usage limit has been reached"}}', "usage limit has been reached"),
        (429, b'{"error": {"message": "You would exceed your account\'s rate limit."}}', "exceed"),
        (429, b'{"error": {"code": "insufficient_quota", "message": "no"}}', "code insufficient_quota"),
        (429, b"{}", "status 402 or 429"),
    ],
)
def test_the_rule_is_named_by_words_of_the_message_or_by_the_code_or_status(
    status: int, body: bytes, rule: str
) -> None:
    verdict = classify(status, JSON, body, now=NOW)
    assert rule in verdict.rule
    assert verdict.matched in verdict.message.lower()
    assert bool(verdict.matched) is verdict.reason.startswith(("words", "phrase"))
