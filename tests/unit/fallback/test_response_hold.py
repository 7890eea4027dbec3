import gzip
import json
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.answers import OWN, SHARED
from corpus.answers import Answer as Entry
from litellm_hybrid.config.settings import DEFAULT_FALLBACK_KINDS
from litellm_hybrid.fallback.response_hold import (
    COLLECT_LIMIT,
    HANDSHAKE_LIMIT,
    MOST,
    Answer,
    JudgedResponse,
    is_suspect,
)
from litellm_hybrid.proxy.held_response import HoldDecision
from litellm_hybrid.quota import classifier as quota
from litellm_hybrid.quota.classifier import Verdict

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
    answer = Answer(status, JSON if headers is None else headers)
    return JudgedResponse(
        answer, since=100.0, hold_max=hold_max, fails=lambda v: v.kind in DEFAULT_FALLBACK_KINDS
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
        (200, {}, False),
        (200, {"content-type": "text/plain"}, False),
        (200, {"content-type": "application/jsonl"}, False),
        (201, JSON, False),
        (204, JSON, False),
        (399, JSON, False),
        (101, JSON, False),
    ],
)
def test_which_answers_are_suspect(status: int, headers: dict[str, str], suspect: bool) -> None:
    assert is_suspect(Answer(status, headers)) is suspect


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
    [(200, b'{"choices": []}'), (400, b'{"error": {"message": "no"}}'), (200, b""), (429, b"")],
)
def test_an_answer_is_released_at_its_end(status: int, body: bytes) -> None:
    held = hold(status)
    feed(held, body)
    expected = HoldDecision.REPLACE if status == 429 else HoldDecision.RELEASE  # any 429 is a quota answer
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
    assert held.expire() is HoldDecision.REPLACE
    assert held.end(now=NOW) is HoldDecision.REPLACE
    assert held.verdict.kind == "overload"
    assert held.body == OPENING + OVERLOADED + CONTENT


def test_a_failed_stream_of_many_bytes_is_not_collected_further() -> None:
    held = hold(headers=SSE)
    assert feed(held, OVERLOADED) is HoldDecision.HOLD
    assert feed(held, b"x" * MOST) is HoldDecision.REPLACE


@pytest.mark.parametrize("headers", [JSON, SSE])
@pytest.mark.parametrize("status", [200, 500])
def test_the_most_that_is_held(status: int, headers: dict[str, str]) -> None:
    held = hold(status, headers)
    assert feed(held, b"x" * MOST) is HoldDecision.HOLD
    assert feed(held, b"x") is HoldDecision.TIMED_OUT


@pytest.mark.parametrize(
    ("status", "headers", "limit"),
    [
        (429, JSON, 45.0),
        (429, SSE, 45.0),
        (200, JSON, 45.0),
        (200, SSE, HANDSHAKE_LIMIT),
    ],
)
def test_the_longest_that_is_held(status: int, headers: dict[str, str], limit: float) -> None:
    """An event stream's opening for 5 s, the rest for `hold-max`."""
    held = hold(status, headers)
    assert held.due == 100.0 + limit
    feed(held, b"\n", clock=110.0)
    assert held.due == 100.0 + limit, "blank lines do not prolong it"
    assert held.expire() is HoldDecision.TIMED_OUT


def test_a_failure_by_the_head_alone() -> None:
    held = hold(500, hold_max=0.0)
    held.fail(Verdict("litellm", "status 500"))
    assert held.due == 100.0 + COLLECT_LIMIT
    assert feed(held, b"words") is HoldDecision.HOLD
    assert held.expire() is HoldDecision.REPLACE
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
def test_an_unreadable_answer_is_released(coding: str, body: bytes) -> None:
    held = hold(429, JSON | {"content-encoding": coding})
    feed(held, body)
    assert held.end(now=NOW) is HoldDecision.RELEASE


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


HTTP = [e for e in [*SHARED, *OWN] if is_suspect(Answer(e.status, e.lower_headers))]
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
    for entry in HTTP:
        whole = quota.classify(entry.status, entry.lower_headers, entry.body.encode(), now=NOW)
        kind, _, _ = decide(entry, [])
        assert kind == (whole.kind if whole.kind in DEFAULT_FALLBACK_KINDS else ""), entry.name
