"""A real LiteLLM whose models lead back to the proxy: a request ends, with upstream's answer."""

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from support.models import ModelServer
from support.ports import free_port
from support.processes import (
    BACKEND_KEY,
    PATIENCE,
    Process,
    accepts,
    hybrid_config,
    litellm,
    mitmdump,
    running,
)
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

    def ask(
        self,
        model: str,
        *,
        within: float = 60,
        stream: bool = False,
        headers: dict[str, str] = AGENT,
        words: str = "Hello",
    ) -> httpx.Response:
        body = {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": words}]}
        path = "/v1/messages" if model.startswith("claude") else "/v1/chat/completions"
        return httpx.post(
            f"{self.proxy.url}{path}",
            json=body | {"stream": stream},
            headers=headers,
            trust_env=False,
            timeout=within,
        )

    @property
    def asked(self) -> int:
        """How often upstream was asked to answer; LiteLLM also looks for a list of models."""
        return sum(request.method == "POST" for request in self.upstream.requests)

    def is_quiet(self) -> bool:
        page = httpx.get(f"{self.proxy.url}/_hybrid/metrics", trust_env=False).text
        running = re.findall(r"^litellm_hybrid_requests_in_flight\S* (\S+)$", page, re.MULTILINE)
        return not any(map(float, running))


@pytest.fixture(scope="module", params=[1, 4], ids=["one-process", "four-workers"])
def circle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Circle]:
    port, folder = free_port(), tmp_path_factory.mktemp("circle")
    config = hybrid_config(
        f"http://127.0.0.1:{port}", models=["gpt-5", "gemini-*"], fallback={"enabled": True}
    )
    with ExitStack() as stack:
        upstream = stack.enter_context(in_thread(Upstream()))
        if request.param == 1:
            proxy = stack.enter_context(mitmdump(config, upstream.url, folder))
        else:
            proxy = stack.enter_context(workers(request.param, config, upstream.url, folder))
        tries = {"num_retries": int(request.param > 1)}
        stack.enter_context(litellm(proxy.url, folder, port=port, settings=tries))
        yield Circle(proxy, upstream)


def workers(count: int, config: object, upstream: str, folder: Path) -> AbstractContextManager[Process]:
    """`litellm-hybrid serve` with several."""
    port, file = free_port(), folder / "hybrid.yaml"
    file.write_text(json.dumps(config), encoding="utf-8")
    command: list[str | Path] = [
        Path(sys.executable).with_name("litellm-hybrid"),
        *("serve", "--config", file, "--upstream", upstream),
        *("--listen", f"127.0.0.1:{port}", "--workers", str(count)),
    ]
    log = folder / "hybrid.log"
    return running(command, name="litellm-hybrid", log=log, port=port, ready=accepts)


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


@pytest.mark.parametrize("model", ["gpt-5", "claude-sonnet-4-5"], ids=["listed", "fallback"])
def test_a_client_with_litellms_key_and_user_agent(circle: Circle, model: str) -> None:
    """LiteLLM passes Claude Code's user agent on; the key may be the one that its model has."""
    circle.ask(model)
    agent = next(q.values("user-agent")[0] for q in circle.upstream.requests if q.method == "POST")
    headers = {"Authorization": f"Bearer {BACKEND_KEY}", "User-Agent": agent}
    for circle.upstream.is_exhausted in (False, True):
        circle.upstream.requests.clear()
        answer = circle.ask(model, headers=headers, words=f"It is {circle.upstream.is_exhausted}")
        assert (answer.status_code == 200) is not circle.upstream.is_exhausted
        assert 1 <= circle.asked <= MOST


def test_it_ends_when_the_client_leaves(circle: Circle) -> None:
    circle.upstream.is_exhausted = True
    circle.upstream.gate.clear()
    client = HTTPConnection("127.0.0.1", circle.proxy.port)
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}]}
    client.request("POST", "/v1/chat/completions", json.dumps(body), AGENT)
    deadline, quiet = time.monotonic() + PATIENCE, 0
    while not circle.asked:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    client.close()
    circle.upstream.gate.set()
    while quiet < 20:  # between two tries of LiteLLM's it is quiet, too
        assert time.monotonic() < deadline
        quiet = quiet + 1 if circle.is_quiet() else 0
        time.sleep(0.1)
    assert 1 <= circle.asked <= MOST
