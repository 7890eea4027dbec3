"""A real LiteLLM whose models lead back to the proxy: a request ends, with upstream's answer."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from support.models import ModelServer
from support.processes import Process, free_port, hybrid_config, litellm, mitmdump
from support.servers import Reply, in_thread
from support.wire import Request

pytestmark = pytest.mark.litellm

AGENT = {"User-Agent": "claude-cli/2.1.332 (external, cli)", "Authorization": "Bearer sk-client"}
MOST = 3
"""Requests that reach upstream for one of a client's."""


class Upstream(ModelServer):
    """It serves, or is exhausted; while `gate` is closed it keeps everybody waiting."""

    is_exhausted = False

    def __init__(self) -> None:
        super().__init__("upstream")
        self.gate = threading.Event()
        self.gate.set()

    async def answer(self, request: Request, reply: Reply) -> None:
        while not self.gate.is_set():
            await reply.pause(0.02)
        if self.is_exhausted:
            await reply.json(429, {"error": {"type": "usage_limit_reached", "message": "used up"}})
        else:
            await super().answer(request, reply)


@dataclass
class Circle:
    """The proxy and LiteLLM, each behind the other."""

    proxy: Process
    upstream: Upstream

    def ask(self, model: str, *, within: float = 60, stream: bool = False) -> httpx.Response:
        body = {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "Hello"}]}
        path = "/v1/messages" if model.startswith("claude") else "/v1/chat/completions"
        return httpx.post(
            f"{self.proxy.url}{path}",
            json=body | {"stream": stream},
            headers=AGENT,
            trust_env=False,
            timeout=within,
        )

    @property
    def asked(self) -> int:
        """How often upstream was asked to answer; LiteLLM also looks for a list of models."""
        return sum(request.method == "POST" for request in self.upstream.requests)

    def is_quiet(self) -> bool:
        status = httpx.get(f"{self.proxy.url}/_hybrid/status?format=json", trust_env=False).json()
        return not status["requests_in_flight"]


@pytest.fixture(scope="module")
def circle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Circle]:
    port, folder = free_port(), tmp_path_factory.mktemp("circle")
    config = hybrid_config(
        f"http://127.0.0.1:{port}", models=["gpt-5", "gemini-*"], fallback={"enabled": True}
    )
    with (
        in_thread(Upstream()) as upstream,
        mitmdump(config, upstream.url, folder) as proxy,
        litellm(proxy.url, folder, port=port),
    ):
        yield Circle(proxy, upstream)


@pytest.fixture(autouse=True)
def _anew(circle: Circle) -> Iterator[None]:
    circle.upstream.requests.clear()
    circle.upstream.is_exhausted = False
    yield
    circle.upstream.gate.set()


@pytest.mark.parametrize("stream", [False, True])
def test_a_listed_model_is_served(circle: Circle, *, stream: bool) -> None:
    answer = circle.ask("gpt-5", stream=stream)
    assert answer.status_code == 200
    assert "upstream answered for gpt-5" in answer.text
    assert circle.asked == 1


@pytest.mark.parametrize("model", ["gpt-5", "claude-sonnet-4-5"], ids=["listed", "fallback"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_exhausted_upstream_is_asked_three_times_at_most(
    circle: Circle, model: str, *, stream: bool
) -> None:
    circle.upstream.is_exhausted = True
    answer = circle.ask(model, stream=stream)
    assert answer.status_code >= 400, json.dumps(answer.text)
    assert 1 <= circle.asked <= MOST


def test_it_ends_when_the_client_leaves(circle: Circle) -> None:
    circle.upstream.is_exhausted = True
    circle.upstream.gate.clear()
    with pytest.raises(httpx.ReadTimeout):
        circle.ask("gpt-5", within=2)
    circle.upstream.gate.set()
    deadline, quiet = time.monotonic() + 60, 0
    while quiet < 20:  # between two tries of LiteLLM's it is quiet, too
        assert time.monotonic() < deadline
        quiet = quiet + 1 if circle.is_quiet() else 0
        time.sleep(0.1)
    assert 1 <= circle.asked <= MOST
