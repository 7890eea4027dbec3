"""Which request is the return of another that waits at LiteLLM: in one process, and over several workers."""

from pathlib import Path

import pytest
from mitmproxy import http

from litellm_hybrid.fallback import conversations
from litellm_hybrid.fallback.conversations import Loops
from litellm_hybrid.flow.exchange import Exchange
from litellm_hybrid.routing.rules import Reason, Target
from support.flows import Fields, upstream_flow

AGENT: Fields = ((b"authorization", b"Bearer sk-client"), (b"user-agent", b"claude-cli"))
OTHER_KEY: Fields = ((b"authorization", b"Bearer sk-deployment"), (b"user-agent", b"claude-cli"))
OTHER_PROGRAM: Fields = ((b"authorization", b"Bearer sk-client"), (b"user-agent", b"AsyncOpenAI/Python"))
HELLO = b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'
BYE = HELLO.replace(b"Hello", b"Bye")


class Processes:
    """Workers that share a folder, or a single process that shares none."""

    def __init__(self, folder: Path, count: int, *, leads_here: bool | None = True) -> None:
        self.leads_here = leads_here
        self.loops = [Loops() for _ in range(count)]
        for number, each in enumerate(self.loops if count > 1 else ()):
            each.share(folder / str(number))

    def goes(self, at: int, headers: Fields = AGENT, body: bytes = HELLO) -> Exchange:
        """A request goes to LiteLLM."""
        _, exchange = upstream_flow(body, path="/v1/chat/completions", headers=headers)
        exchange.set_outcome(Target.LITELLM, Reason.MODEL)
        exchange.begin_attempt(http.Request.make("POST", "http://litellm"))
        self.loops[at % len(self.loops)].enter(exchange, lambda: self.leads_here)
        return exchange

    def returns(self, at: int, headers: Fields = AGENT, body: bytes = HELLO) -> int:
        """How often a request that comes in has come back."""
        _, exchange = upstream_flow(body, path="/v1/chat/completions", headers=headers)
        return self.loops[at % len(self.loops)].count_return(
            exchange, body, leads_here=lambda: self.leads_here
        )

    def ends(self, at: int, exchange: Exchange) -> None:
        self.loops[at % len(self.loops)].leave(exchange)


@pytest.fixture(params=[1, 2, 3])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Processes:
    return Processes(tmp_path, request.param)


@pytest.mark.parametrize("headers", [OTHER_KEY, OTHER_PROGRAM])
def test_the_same_words_of_another_sender_are_a_return(processes: Processes, headers: Fields) -> None:
    processes.goes(0)
    assert [processes.returns(at, headers) for at in (1, 2, 0)] == [1, 2, 3]
    assert processes.returns(1, headers, BYE) == 0


def test_it_is_none_when_litellm_has_answered(processes: Processes) -> None:
    first = processes.goes(0)
    first.attempts[-1].first_byte = 1.0
    processes.ends(0, first)
    assert processes.returns(1, OTHER_KEY) == 0


def test_one_whose_client_has_left_may_still_come_back(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "_LEFT_FOR", 60.0)
    processes.ends(0, processes.goes(0))
    assert processes.returns(1, OTHER_KEY) == 1
    monkeypatch.setattr(conversations, "_LEFT_FOR", 0.0)
    processes.ends(0, processes.goes(0, body=BYE))
    assert processes.returns(1, OTHER_KEY, BYE) == 0


def test_a_turn_beside_another_is_none(processes: Processes) -> None:
    processes.goes(0)
    assert processes.returns(1) == 0


def test_of_the_same_sender_what_is_nested_is_a_return(processes: Processes) -> None:
    processes.goes(0)
    second = processes.goes(1)
    assert processes.returns(2) == 1
    processes.ends(1, second)
    assert processes.returns(1) == 2  # LiteLLM tries again
    assert processes.returns(1, body=BYE) == 0


@pytest.mark.parametrize("leads_here", [None, False])
@pytest.mark.parametrize("count", [1, 2])
def test_but_only_where_litellm_is_known_to_lead_here(
    tmp_path: Path, leads_here: bool | None, count: int
) -> None:
    processes = Processes(tmp_path, count, leads_here=leads_here)
    for at in range(4):
        processes.goes(at)
    assert processes.returns(0) == 0


def test_nothing_is_shared_where_litellm_leads_elsewhere(tmp_path: Path) -> None:
    Processes(tmp_path, 2, leads_here=False).goes(0)
    assert list((tmp_path / "loops").iterdir()) == []


def test_a_new_worker_takes_away_what_a_dead_one_has_left(tmp_path: Path) -> None:
    processes = Processes(tmp_path, 2)
    processes.goes(0)
    processes.goes(1, OTHER_KEY, BYE)
    Loops().share(tmp_path / "0")
    assert [file.name.split(".")[3] for file in (tmp_path / "loops").iterdir()] == ["1"]


def test_no_key_stands_in_a_file(tmp_path: Path) -> None:
    Processes(tmp_path, 2).goes(0)
    (file,) = (tmp_path / "loops").iterdir()
    assert "sk-client" not in file.name
    assert file.read_bytes() == b""
