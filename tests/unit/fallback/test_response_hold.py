import gzip
import json
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.answers import FIELD, OWN, OWN_FIELD, SHARED, real
from corpus.answers import Answer as Entry
from litellm_hybrid.config.settings import DEFAULT_FALLBACK_KINDS
from litellm_hybrid.fallback.response_hold import (
    COLLECT_LIMIT,
    MOST,
    OPENING_LIMIT,
    OPENING_MOST,
    JudgedResponse,
    ResponseHead,
    hold_replay,
    needs_inspection,
)
from litellm_hybrid.proxy.held_response import HoldDecision
from litellm_hybrid.quota import classifier
from litellm_hybrid.quota.classifier import Asked, Verdict

JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream; charset=utf-8"}
GZIP = {"content-encoding": "gzip"}
NOW = 1_800_000_000.0

QUOTA = json.dumps({"error": {"message": "quota exceeded", "code": "insufficient_quota"}}).encode()
OPENING = b'event: message_start\ndata: {"type":"message_start"}\n\n: comment\n\n'
OVERLOADED = b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
CONTENT = b'data: {"type":"content_block_delta","delta":{"text":"Hi"}}\n\n'


def hold(
    status: int = 200, headers: dict[str, str] | None = None, *, hold_max: float = 45.0
) -> JudgedResponse:
    head = ResponseHead(status, JSON if headers is None else headers)
    return JudgedResponse(
        head, since=100.0, hold_max=hold_max, fails=lambda v: v.kind in DEFAULT_FALLBACK_KINDS
    )


def feed(held: JudgedResponse, data: bytes, *, clock: float = 100.0) -> HoldDecision:
    return held.feed(data, now=NOW, clock=clock)


@pytest.mark.parametrize(
    ("status", "headers", "suspect"),
    [
        (429, {}, True),
        (400, {"content-type": "text/plain"}, True),
        (599, JSON | GZIP, True),
        (500, SSE | GZIP, True),
        (200, JSON, True),
        (200, {"content-type": "Application/JSON; charset=utf-8"}, True),
        (200, {"content-type": "application/problem+json"}, True),
        (200, JSON | GZIP, True),
        (200, SSE, True),
        (200, {"content-type": "Text/Event-Stream"}, True),
        (200, SSE | {"content-encoding": "Identity"}, True),
        (200, SSE | GZIP, False),
        (200, {}, True),
        (200, {"content-type": "text/plain"}, True),
        (200, {"content-type": "application/octet-stream"}, True),
        (200, GZIP, False),
        (200, {"content-type": "text/html"}, False),
        (200, {"content-type": "audio/mpeg"}, False),
        (200, {"content-type": "application/jsonl"}, False),
        (201, JSON, False),
        (204, JSON, False),
        (399, JSON, False),
        (101, JSON, False),
    ],
)
def test_which_answers_are_suspect(status: int, headers: dict[str, str], suspect: bool) -> None:
    assert needs_inspection(ResponseHead(status, headers)) is suspect


@pytest.mark.parametrize("status", [429, 200])
def test_a_plain_answer_is_judged_at_its_end(status: int) -> None:
    """Not a byte earlier, however much of the error is there."""
    held = hold(status)
    for at in range(len(QUOTA)):
        assert feed(held, QUOTA[at : at + 1]) is HoldDecision.HOLD
    assert (held.complete, held.verdict) == (False, None)
    assert held.end(now=NOW) is HoldDecision.REPLACE
    assert (held.complete, bytes(held.body)) == (True, QUOTA)
    assert held.verdict is not None
    assert held.verdict.kind == "quota"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"choices": [{"message": {"content": "x"}}]}'),
        (200, b'{"choices": []}'),
        (400, b'{"error": {"message": "no"}}'),
        (200, b""),
        (429, b""),
    ],
)
def test_an_answer_is_released_at_its_end(status: int, body: bytes) -> None:
    """Any 429 is a quota answer, and a 200 with nothing in it is none."""
    held = hold(status)
    feed(held, body)
    failed = status == 429 or (status == 200 and b"content" not in body)
    expected = HoldDecision.REPLACE if failed else HoldDecision.RELEASE
    assert held.end(now=NOW) is expected


def test_a_stream_is_released_with_its_first_content() -> None:
    held = hold(headers=SSE)
    assert feed(held, OPENING) is HoldDecision.HOLD
    assert feed(held, CONTENT) is HoldDecision.RELEASE
    assert held.body == OPENING + CONTENT
    assert held.verdict is None


def test_an_error_behind_content_in_the_same_piece_does_not_count() -> None:
    held = hold(headers=SSE)
    assert feed(held, OPENING + CONTENT + OVERLOADED) is HoldDecision.RELEASE
    assert held.verdict is None


def test_an_error_that_is_no_reason_to_fall_back_releases() -> None:
    held = hold(headers=SSE)
    fault = b'data: {"error":{"type":"invalid_request_error","message":"no"}}\n\n'
    assert feed(held, fault) is HoldDecision.RELEASE
    assert held.verdict is None


def test_the_rest_of_a_failed_stream_is_collected_for_a_moment() -> None:
    held = hold(headers=SSE)
    assert feed(held, OPENING) is HoldDecision.HOLD
    assert feed(held, OVERLOADED, clock=103.0) is HoldDecision.HOLD
    assert held.due == 103.0 + COLLECT_LIMIT
    assert held.verdict is not None
    assert held.verdict.kind == "overload"
    assert feed(held, CONTENT, clock=104.0) is HoldDecision.HOLD, "nothing after the verdict matters"
    assert held.due == 103.0 + COLLECT_LIMIT
    assert held.expire(now=NOW) is HoldDecision.REPLACE
    assert held.end(now=NOW) is HoldDecision.REPLACE
    assert held.verdict.kind == "overload"
    assert held.body == OPENING + OVERLOADED + CONTENT


def test_a_failed_stream_of_many_bytes_is_not_collected_further() -> None:
    held = hold(headers=SSE)
    assert feed(held, OVERLOADED) is HoldDecision.HOLD
    assert feed(held, b"x" * MOST) is HoldDecision.REPLACE


@pytest.mark.parametrize(
    ("status", "headers", "start", "most", "decision"),
    [
        (200, JSON, b'{"choices": [{"message": {"content": "', MOST, HoldDecision.RELEASE),
        (200, JSON, b'{"error": {"message": "', MOST, HoldDecision.TIMED_OUT),
        (200, JSON, b'{"type": "error", "error": {"message": "', MOST, HoldDecision.TIMED_OUT),
        (200, SSE, OPENING + b"data: ", OPENING_MOST, HoldDecision.TIMED_OUT),
        (429, JSON, b'{"error": {"message": "', MOST, HoldDecision.REPLACE),
        (402, {}, b"<html>", MOST, HoldDecision.REPLACE),
        (529, SSE, b"data: ", MOST, HoldDecision.REPLACE),
        (400, JSON, b'{"error": {"message": "', MOST, HoldDecision.RELEASE),
        (500, JSON, b'{"error": {"message": "', MOST, HoldDecision.RELEASE),
    ],
)
def test_the_most_that_is_held(
    status: int, headers: dict[str, str], start: bytes, most: int, decision: HoldDecision
) -> None:
    """Longer JSON is an answer unless it begins as an error; of an error the status decides."""
    held = hold(status, headers)
    assert feed(held, start + b"x" * (most - len(start))) is HoldDecision.HOLD
    assert feed(held, b"x") is decision


def test_long_openings_are_held() -> None:
    """Codex's `response.created` repeats the request's instructions and tools."""
    created = {"type": "response.created", "response": {"instructions": "x" * 300_000, "output": []}}
    opening = b"event: response.created\ndata: " + json.dumps(created).encode() + b"\n\n"
    held = hold(headers=SSE)
    assert feed(held, opening) is HoldDecision.HOLD
    assert feed(held, opening.replace(b"created", b"in_progress")) is HoldDecision.HOLD
    assert feed(held, OVERLOADED) is HoldDecision.REPLACE
    assert held.verdict is not None
    assert held.verdict.kind == "overload"


@pytest.mark.parametrize(
    "headers", [JSON, {}, {"content-type": "text/plain"}, {"content-type": "application/octet-stream"}]
)
def test_a_stream_is_known_by_its_bytes(headers: dict[str, str]) -> None:
    held = hold(headers=headers)
    assert feed(held, b"\n") is HoldDecision.HOLD
    assert held.due == 145.0
    assert feed(held, OPENING) is HoldDecision.HOLD
    assert held.due == 100.0 + OPENING_LIMIT
    assert feed(held, CONTENT) is HoldDecision.RELEASE
    held = hold(headers=headers)
    feed(held, b"\n")
    feed(held, OPENING)
    assert feed(held, OVERLOADED) is HoldDecision.HOLD
    assert held.expire(now=NOW) is HoldDecision.REPLACE


@pytest.mark.parametrize("first", [b"x", b"<html>", b"ID3\x04", b"database"])
def test_what_is_neither_json_nor_events_is_released_at_once(first: bytes) -> None:
    assert feed(hold(headers={}), first) is HoldDecision.RELEASE


def test_json_without_a_label_is_judged() -> None:
    held = hold(headers={})
    assert feed(held, QUOTA) is HoldDecision.HOLD
    assert held.end(now=NOW) is HoldDecision.REPLACE


@pytest.mark.parametrize(
    ("status", "headers", "limit"),
    [
        (429, JSON, 45.0),
        (429, SSE, 45.0),
        (200, JSON, 45.0),
        (200, SSE, OPENING_LIMIT),
    ],
)
def test_the_longest_that_is_held(status: int, headers: dict[str, str], limit: float) -> None:
    """An event stream's opening for `opening-max`, the rest for `hold-max`; then an error's status decides."""
    held = hold(status, headers)
    assert held.due == 100.0 + limit
    feed(held, b"\n", clock=110.0)
    assert held.due == 100.0 + limit, "blank lines do not prolong it"
    assert held.expire(now=NOW) is (HoldDecision.REPLACE if status == 429 else HoldDecision.TIMED_OUT)


def test_a_failure_by_the_head_alone() -> None:
    held = hold(500, hold_max=0.0)
    held.fail(Verdict("litellm", "status 500"))
    assert held.due == 100.0 + COLLECT_LIMIT
    assert feed(held, b"words") is HoldDecision.HOLD
    assert held.expire(now=NOW) is HoldDecision.REPLACE
    assert held.end(now=NOW) is HoldDecision.REPLACE
    assert held.verdict == Verdict("litellm", "status 500")


@pytest.mark.parametrize("status", [200, 429])
def test_a_compressed_answer_is_read(status: int) -> None:
    body = gzip.compress(QUOTA)
    held = hold(status, JSON | GZIP)
    feed(held, body)
    assert held.end(now=NOW) is HoldDecision.REPLACE
    assert held.body == body


@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", b"not gzip"), ("unknown", QUOTA), ("gzip", gzip.compress(QUOTA + b" " * (16 * MOST), mtime=0))],
    ids=["corrupt", "unknown", "a bomb"],
)
def test_the_status_decides_where_the_body_cannot_be_read(coding: str, body: bytes) -> None:
    for status in (429, 402, 529, 503, 500, 400, 200):
        held = hold(status, JSON | {"content-encoding": coding})
        feed(held, body)
        falls_back = status in (429, 402, 529, 503)
        assert held.end(now=NOW) is (HoldDecision.REPLACE if falls_back else HoldDecision.RELEASE)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n"])
def test_a_stream_that_ends_behind_an_error(ending: bytes) -> None:
    """CLIProxyAPI may close without the blank line."""
    held = hold(headers=SSE)
    feed(held, OPENING + OVERLOADED.rstrip() + ending)
    assert held.end(now=NOW) is HoldDecision.REPLACE


# -- however the bytes are cut -------------------------------------------------


def decide(entry: Entry, cuts: list[int]) -> tuple[str, bytes, HoldDecision]:
    """The kind that an answer cut so falls back for ("" if it does not), the bytes held, and the last step."""
    held = hold(entry.status, entry.lower_headers)
    body = entry.body.encode()
    bounds = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    for start, end in pairwise(bounds):
        step = feed(held, body[start:end])
        if step is HoldDecision.RELEASE:
            return "", bytes(held.body) + body[end:], step
        assert step is HoldDecision.HOLD
    step = held.end(now=NOW)
    return held.verdict.kind if held.verdict else "", bytes(held.body), step


CORPORA = [*SHARED, *OWN, *FIELD, *OWN_FIELD]
HTTP = [e for e in CORPORA if needs_inspection(ResponseHead(e.status, e.lower_headers))]
STREAMS = [e for e in HTTP if e.stream]


@pytest.mark.parametrize("entry", HTTP, ids=str)
def test_the_corpora(entry: Entry) -> None:
    kind, body, step = decide(entry, [])
    assert kind == (entry.kind if entry.kind in DEFAULT_FALLBACK_KINDS else "")
    assert body == entry.body.encode()
    assert step is (HoldDecision.REPLACE if kind else HoldDecision.RELEASE)


@pytest.mark.parametrize("entry", STREAMS, ids=str)
def test_a_stream_cut_at_every_byte(entry: Entry) -> None:
    whole = decide(entry, [])
    for cut in range(1, len(entry.body.encode())):
        assert decide(entry, [cut]) == whole
    assert decide(entry, list(range(len(entry.body.encode())))) == whole


@given(st.sampled_from(HTTP), st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_any_chunking_decides_the_same(entry: Entry, sizes: list[int]) -> None:
    """The same decision and the same bytes out."""
    assert decide(entry, list(accumulate(sizes))) == decide(entry, [])


def test_what_the_classifier_says_is_what_holding_says() -> None:
    """Piece by piece or as a whole: one answer, one verdict."""
    for entry in [*HTTP, *real()]:
        whole = classifier.classify(entry.status, entry.lower_headers, entry.body.encode(), now=NOW)
        kind, _, _ = decide(entry, [])
        assert kind == (whole.kind if whole.kind in DEFAULT_FALLBACK_KINDS else ""), entry.name


# -- LiteLLM's response to a replay ---------------------------------------------


def replay(
    status: int = 200,
    headers: dict[str, str] | None = None,
    *,
    wanted: Asked | None = None,
    answers: list[bytes] | None = None,
) -> JudgedResponse:
    head = ResponseHead(status, JSON if headers is None else headers)
    heard: list[bytes] = [] if answers is None else answers
    held = hold_replay(head, wanted or Asked(), heard.append, since=100.0, opening_max=20.0)
    assert held is not None
    return held


ANSWER = b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}'


@pytest.mark.parametrize(
    ("status", "headers", "body", "decision"),
    [
        (200, JSON, ANSWER, HoldDecision.RELEASE),
        (200, JSON, b'{"choices": []}', HoldDecision.REPLACE),
        (200, JSON, b"", HoldDecision.REPLACE),
        (200, JSON, QUOTA, HoldDecision.REPLACE),
        (200, {"content-type": "text/html"}, b"<html>", HoldDecision.REPLACE),
        (200, {}, ANSWER, HoldDecision.REPLACE),
        (307, {"content-type": "text/html"}, b"", HoldDecision.REPLACE),
        (400, JSON, b'{"error": {"message": "no"}}', HoldDecision.REPLACE),
        (200, SSE, OPENING, HoldDecision.REPLACE),
        (200, SSE, b": ping\n\n", HoldDecision.REPLACE),
        (200, SSE, OPENING + b'data: {"error": {"message": "no"}}\n\n', HoldDecision.REPLACE),
    ],
)
def test_what_counts_as_an_answer_to_a_replay(
    status: int, headers: dict[str, str], body: bytes, decision: HoldDecision
) -> None:
    answers: list[bytes] = []
    held = replay(status, headers, answers=answers)
    assert feed(held, body) is HoldDecision.HOLD
    assert held.end(now=NOW) is decision
    assert held.body == body
    assert answers == ([body] if decision is HoldDecision.RELEASE else [])


def test_a_replays_opening_is_held_like_any() -> None:
    """Comments, pings and empty starts decide nothing."""
    answers: list[bytes] = []
    held = replay(headers=SSE, answers=answers)
    assert held.due == 120.0
    assert feed(held, b": ping\n\n" + OPENING, clock=110.0) is HoldDecision.HOLD
    assert held.due == 120.0
    assert feed(held, CONTENT) is HoldDecision.RELEASE
    assert answers == [b": ping\n\n" + OPENING + CONTENT]


def test_a_long_answer_to_a_replay_goes_out_before_its_end() -> None:
    held = replay()
    assert feed(held, ANSWER[:-4] + b"x" * MOST) is HoldDecision.RELEASE


def test_a_compressed_stream_is_not_held_for_a_replay() -> None:
    assert hold_replay(ResponseHead(200, SSE | GZIP), Asked(), print, since=0.0, opening_max=1.0) is None


def test_a_replay_that_wants_a_compaction_waits_for_one() -> None:
    item = b'data: {"type":"response.output_item.done","item":{"type":"compaction"}}\n\n'
    held = replay(headers=SSE, wanted=Asked(compaction=True))
    assert feed(held, CONTENT) is HoldDecision.HOLD
    assert feed(held, item) is HoldDecision.RELEASE
    held = replay(headers=SSE, wanted=Asked(compaction=True))
    feed(held, CONTENT)
    assert held.end(now=NOW) is HoldDecision.REPLACE


def test_a_known_model_without_a_provider_is_a_lost_account() -> None:
    body = b'{"error": {"message": "unknown provider for model m"}}'
    for known, kind in ((True, "no-credential"), (False, None)):
        held = JudgedResponse(
            ResponseHead(400, JSON),
            since=0.0,
            hold_max=1.0,
            fails=lambda v: v.kind in DEFAULT_FALLBACK_KINDS,
            known_model=[known].pop,
        )
        feed(held, body)
        held.end(now=NOW)
        assert (held.verdict and held.verdict.kind) == kind


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("at", ["feed", "end", "expire"])
def test_a_fault_of_our_own_decides_without_a_judgement(
    at: str, monkeypatch: pytest.MonkeyPatch, *, failed: bool
) -> None:
    """It is told once, and the client gets what the server said, or what replaces a failure that was clear."""

    def breaks(*_: object, **__: object) -> HoldDecision:
        raise ZeroDivisionError("on purpose")

    told: list[Exception] = []
    held = hold()
    held.on_fault = told.append
    if failed:
        held.fail(Verdict("quota", "by its head"))
    for inner in ("_overflow", "_judge_whole", "_by_status"):
        monkeypatch.setattr(JudgedResponse, inner, breaks)
    if at == "feed":
        decision = feed(held, b"x" * (OPENING_MOST + 1))
    elif at == "end":
        decision = held.end(now=NOW)
    else:
        held.head = ResponseHead(429, JSON)
        decision = held.expire(now=NOW)
    assert decision is (HoldDecision.REPLACE if failed else HoldDecision.RELEASE)
    assert [type(error) for error in told] == [ZeroDivisionError]


def test_a_date_counts_where_the_end_does_not_come() -> None:
    held = hold(429, {"retry-after": "Fri, 15 Jan 2027 08:10:00 GMT"})
    assert held.expire(now=NOW) is HoldDecision.REPLACE
    assert held.verdict is not None
    assert held.verdict.retry_after == 600
