"""A real LiteLLM behind a real `mitmdump -s addon/hybrid.py`, started once for all tests of this folder."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from support.models import ModelServer
from support.processes import MODELS, Process, hybrid_config, litellm, mitmdump
from support.servers import Reply, in_thread


class Backend(ModelServer):
    """LiteLLM's backend. While a test has set `turns`, each further piece of a stream takes one."""

    turns: threading.Semaphore | None = None
    starved = False

    async def before_piece(self, reply: Reply) -> None:
        if self.turns is None:
            await super().before_piece(reply)
        elif not await asyncio.to_thread(self.turns.acquire, timeout=60):
            self.starved = True


@pytest.fixture(scope="session")
def backend() -> Iterator[Backend]:
    server = Backend("model server")
    with in_thread(server):
        yield server


@pytest.fixture(scope="session")
def upstream() -> Iterator[ModelServer]:
    server = ModelServer("upstream")
    with in_thread(server):
        yield server


@pytest.fixture(scope="session")
def real_litellm(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with litellm(backend.url, tmp_path_factory.mktemp("litellm")) as process:
        yield process


@pytest.fixture(scope="session")
def unknown_model() -> str:
    """A model that the addon's configuration lists and LiteLLM does not have."""
    return "listed-here-unknown-to-litellm"


@pytest.fixture(scope="session")
def proxy(
    real_litellm: Process, upstream: ModelServer, unknown_model: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("mitmdump")
    config = hybrid_config(real_litellm.url, models=[*MODELS, unknown_model])
    with mitmdump(config, upstream.url, folder) as process:
        yield process


@pytest.fixture(autouse=True)
def _only_new_requests(backend: Backend, upstream: ModelServer) -> None:
    """Each test sees the requests of its own."""
    backend.requests.clear()
    upstream.requests.clear()
