"""The judges of `verify-upstream`: what an answer means, which wait it states, and what is said of a version."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from real import rig, versions_page
from real.capture import Play
from real.corpus import Captured, ProviderError
from real.matrix import Matrix, Outcome
from real.meaning import meaning
from real.report import Report, Row, complaints, table, tally
from real.verify import shown
from real.waits import is_read, stated
from support.processes import ProcessError
from support.servers import Reply, Server, in_thread
from support.wire import Request

JSON = {"Content-Type": "application/json"}


def case(kind: str, status: int, body: object, provider: str = "codex") -> ProviderError:
    return ProviderError(
        "c", provider, kind, status, JSON, (body if isinstance(body, str) else json.dumps(body),)
    )


REFUSED = case("quota", 400, {"error": {"type": "x", "message": "Your credit balance is too low for this"}})
BUSY = case(
    "overload", 200, {"error": {"type": "overloaded_error", "message": "Our servers are overloaded now"}}
)
EMPTY = case("answer", 200, {"choices": []})


@pytest.mark.parametrize(
    ("given", "status", "body", "kind"),
    [
        (REFUSED, 400, '{"error":{"type":"x","message":"Your credit balance is too low for this"}}', "quota"),
        (REFUSED, 400, '{"error":{"message":"Bad Request","type":"invalid_request_error"}}', "none"),
        (REFUSED, 402, '{"error":{"message":"Payment Required","type":"invalid_request_error"}}', "account"),
        (REFUSED, 200, '\n{"error":{"message":"status 429","type":"rate_limit_error"}}', "quota"),
        (
            BUSY,
            500,
            '{"error":{"message":"empty_stream: upstream stream closed before first payload"}}',
            "no-answer",
        ),
        (BUSY, 502, '{"error":{"message":"Our servers are overloaded now"}}', "overload"),
        (BUSY, 200, "", "no-answer"),
        (BUSY, 200, 'event: message_stop\ndata: {"type":"message_stop"}\n\n', "no-answer"),
        (EMPTY, 200, '{"object":"chat.completion","choices":[],"usage":{"total_tokens":0}}', "no-answer"),
        (EMPTY, 200, '{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":9}}', "none"),
        (EMPTY, 200, '{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}', "none"),
        (
            EMPTY,
            200,
            'data: {"object":"chat.completion.chunk","choices":[{"delta":{},"finish_reason":"stop"}]}',
            "none",
        ),
        (
            EMPTY,
            200,
            'data: {"object":"chat.completion.chunk","choices":[{"delta":{"role":"assistant"}}]}',
            "no-answer",
        ),
        (EMPTY, 200, '{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}]}', "no-answer"),
        (EMPTY, 200, '{"candidates":[{"finishReason":"SAFETY"}]}', "none"),
    ],
)
def test_what_is_left_decides(given: ProviderError, status: int, body: str, kind: str) -> None:
    assert meaning(given, status, body)[0] == kind


@pytest.mark.parametrize(
    ("body", "wait"),
    [
        ('{"error":{"resets_in_seconds":120}}', 120),
        ('{"error":{"details":[{"retryDelay":"53s"}]}}', 53),
        ('{"error":{"message":"Please try again in 2m10.5s."}}', 130.5),
        ('{"error":{"message":"Your quota will reset after 1h2m3s."}}', 3723),
        ('{"error":{"message":"Your limit will reset at 1970-01-01 08:20:00"}}', 200),
        ('{"error":{"message":"resets at 1970-01-01T00:20:00Z (2056)"}}', 200),
        ('{"error":{"metadata":{"headers":{"X-RateLimit-Reset":"1200000000000"}}}}', 1199999000),
    ],
)
def test_every_way_to_state_a_wait_is_known(body: str, wait: float) -> None:
    assert stated(body, {}, 1000.0) == [pytest.approx(wait)]


def test_no_wait_is_made_up() -> None:
    assert stated('{"error":{"message":"Try again later. 429"}}', {}, 1000.0) == []
    assert stated("{}", {"Retry-After": "7"}, 1000.0) == [7.0]
    assert (is_read([], None), is_read([60.0], None), is_read([60.0, 5.0], 61.0)) == (True, False, True)


def outcome(
    *, want: bool, fell_back: bool, own: bool, waits: tuple[float, ...] = (), more: int = 0
) -> Outcome:
    play = Play(REFUSED, "chat", stream=False)
    direct = Captured("c", 400, JSON, "{}", "quota", want)
    return Outcome(
        play,
        direct,
        want,
        fell_back,
        "quota",
        "quota",
        list(waits),
        None,
        0.1,
        "litellm",
        fell_back + more,
        own,
    )


def test_the_promise_is_kept_or_not() -> None:
    """99 % of the failures, nothing else, and every wait."""
    caught = [outcome(want=True, fell_back=True, own=False)] * 99
    left = [outcome(want=False, fell_back=False, own=True)]
    missed = [outcome(want=True, fell_back=False, own=True)]
    sent = [outcome(want=False, fell_back=True, own=False)]
    unread = [outcome(want=True, fell_back=True, own=False, waits=(60.0,))]
    assert tally([*caught, *left, *missed]).is_kept
    assert not tally([*caught, *missed, *missed]).is_kept
    assert not tally([*caught, *sent]).is_kept
    assert not tally([*caught, *unread]).is_kept
    assert not tally([*caught, outcome(want=True, fell_back=True, own=False, more=1)]).is_kept
    sums = tally([*caught, *left, *missed])
    assert (sums.own_of, sums.own_caught, sums.own_sent) == (100, 1, 1)
    assert [line.partition(":")[0] for line in complaints([*missed, *sent, *unread])][::2] == [
        "missed",
        "sent on",
        "wait not read",
    ]


def test_the_table_has_the_totals() -> None:
    outcomes = [outcome(want=True, fell_back=True, own=True), outcome(want=True, fell_back=False, own=True)]
    *_, last = table(Matrix("v1", subscriptions=False, outcomes=outcomes, seconds=1))
    assert last.split() == ["all", "2", "1", "50.0%", "1", "0", "0", "0/0", "2/2", "0"]
    assert not Report("v1", [], [Row("DIFFERS", "a", "b")]).is_good


def test_a_question_without_a_response_is_told() -> None:
    """Whatever else was seen: where the logs are, and who has not answered."""
    right = [outcome(want=True, fell_back=True, own=True)]
    lost = Matrix(
        "v1", subscriptions=False, outcomes=right, seconds=1, lost=["litellm-hybrid: m, asked at 1"]
    )
    assert Report("v1", [replace(lost, lost=[])]).is_good
    report = Report("v1", [lost], kept=Path("/kept"))
    assert not report.is_good
    said = list(shown(report))
    assert "NO RESPONSE: litellm-hybrid: m, asked at 1" in said
    assert any("/kept" in line for line in said)


def test_a_stranger_on_the_port_is_not_taken_for_the_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that was free a second ago may be another program's, which closes what it does not know."""

    async def stranger(_request: Request, reply: Reply) -> None:
        await reply.close()

    with in_thread(Server(stranger)) as other:
        monkeypatch.setattr(rig, "free_port", lambda: other.port)
        with pytest.raises(ProcessError), rig.product(other.url, other.url, tmp_path):
            pass


def test_only_what_is_between_the_marks_of_a_page_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- verify-upstream: own -->\nold\n<!-- verify-upstream: end of own -->\nb\n", encoding="utf-8"
    )
    versions_page.replace(page, "| \\1 |", "own")
    versions_page.replace(page, "nowhere", "waits")
    assert page.read_text(encoding="utf-8").splitlines() == [
        "a",
        "<!-- verify-upstream: own -->",
        "| \\1 |",
        "<!-- verify-upstream: end of own -->",
        "b",
    ]
