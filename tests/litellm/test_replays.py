"""Replays that land: what agents send, at backends that check strictly, behind a LiteLLM without `drop_params`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import replay_matrix
from support.agent_requests import AGENT_REQUESTS
from support.replay_matrix import Row
from support.strict_backends import BY_NAME, LOSING

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(900)]

LEAST = 0.85
"""The share of requests that has to be answered, also where LiteLLM does not tell who serves a model."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Row]]:
    """All; what was answered when it was last written down, and is not, is asked once more.

    A replay gives up 5 s after the first refusal, which a busy machine may take for what is one of milliseconds.
    """
    with replay_matrix.running(tmp_path_factory.mktemp("replays")) as rig:
        measured = replay_matrix.measure(rig)
        lost = answered(replay_matrix.read()) - answered(measured)
        rig.relay.sent.clear()
        for agent, backend in sorted({(agent, backend) for agent, _, backend in lost}):
            requests = [request for request in AGENT_REQUESTS if request.agent == agent]
            again = replay_matrix.measure(rig, requests, [BY_NAME[backend]])
            measured = [row for row in measured if (row.agent, row.backend) != (agent, backend)] + again
        yield measured


def answered(rows: list[Row]) -> set[tuple[str, str, str]]:
    return {(row.agent, row.turn, row.backend) for row in rows if row.result == "answered"}


def test_most_requests_are_answered(rows: list[Row]) -> None:
    refused = [row for row in rows if row.result != "answered"]
    assert 1 - len(refused) / len(rows) >= LEAST, "\n".join(map(str, refused))


def test_nothing_is_answered_with_another_meaning(rows: list[Row]) -> None:
    assert not [row for row in rows if row.result == "changed"]


def test_where_nobody_tells_who_serves_a_model(tmp_path: Path) -> None:
    """Then who has answered is seen from the answer's head, or the answer goes to nobody."""
    with replay_matrix.running(tmp_path, told=False) as rig:
        measured = replay_matrix.measure(rig)
    refused = [row for row in measured if row.result != "answered"]
    assert not [row for row in refused if row.result == "changed"]
    assert 1 - len(refused) / len(measured) >= LEAST, "\n".join(map(str, refused))
    assert {row.attempts for row in measured} <= {0, 1, 2, 3, 4, 5, 6}
    assert {row.again for row in measured} <= {0, 1}


@pytest.mark.parametrize("told", [True, False])
def test_what_litellm_is_told_to_drop_is_not_dropped_in_silence(tmp_path: Path, *, told: bool) -> None:
    """`drop_params` in its own configuration is on all requests, those too that force a tool."""
    demanding = [
        request for request in AGENT_REQUESTS if "SDK" in request.agent and "image" not in request.agent
    ]
    with replay_matrix.running(tmp_path, LOSING, told=told, settings={"drop_params": True}) as rig:
        measured = replay_matrix.measure(rig, demanding, LOSING)
    assert not [row for row in measured if row.result == "changed"]
    assert [row for row in measured if row.result == "answered"], measured
    assert not told or [row for row in measured if "demand" in row.said]


def test_what_was_answered_when_it_was_last_written_down_still_is(rows: list[Row]) -> None:
    assert not answered(replay_matrix.read()) - answered(rows)


def test_no_request_costs_more_than_five_further_attempts(rows: list[Row]) -> None:
    assert {row.attempts for row in rows} <= {0, 1, 2, 3, 4, 5, 6}


def test_a_second_turn_needs_one_attempt(rows: list[Row]) -> None:
    second = [row for row in rows if row.turn == "second"]
    assert not [row for row in second if row.result != "answered" or row.attempts != 1]


def test_what_a_session_needed_once_it_needs_no_more(rows: list[Row]) -> None:
    assert {row.again for row in rows} <= {0, 1}
