"""Servers and the proxy for a test, and mitmproxy's certificates for all of them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import certs

from e2e.harness import Clock, Proxy, Stub, running, settings
from support.servers import in_thread

type Start = Callable[..., Awaitable[Proxy]]


@pytest.fixture(scope="session")
def confdir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """mitmproxy's folder, with its certificate authority made once, and its key checked once.

    To check an RSA key takes 30 ms, half the processor time of a test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certs, "load_pem_private_key", cache(certs.load_pem_private_key))
        folder = tmp_path_factory.mktemp("confdir")
        certs.CertStore.from_store(folder, "mitmproxy", 2048)
        yield folder


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The proxy's clock, for tests of its limits."""
    return Clock(monkeypatch)


@pytest.fixture
async def upstream() -> AsyncIterator[Stub]:
    """The stand-in for CLIProxyAPI."""
    async with Stub() as server:
        yield server


@pytest.fixture
async def litellm() -> AsyncIterator[Stub]:
    """The stand-in for LiteLLM."""
    async with Stub() as server:
        yield server


@pytest.fixture
def servers() -> Iterator[tuple[Stub, Stub]]:
    """The stand-ins for CLIProxyAPI and LiteLLM in threads, for tests that wait for a process."""
    with in_thread(upstream := Stub()), in_thread(litellm := Stub()):
        yield upstream, litellm


@pytest.fixture
async def start(upstream: Stub, litellm: Stub, tmp_path: Path, confdir: Path) -> AsyncIterator[Start]:
    """`await start(models=[…])` runs the proxy between the two servers.

    Keyword arguments are keys of `extensions.litellm`; `upstream_url`, `litellm_url`
    replace an address, `options` are mitmproxy's.
    """
    async with AsyncExitStack() as stack:

        async def start(
            *,
            upstream_url: str = "",
            litellm_url: str = "",
            options: dict[str, Any] | None = None,
            **keys: Any,
        ) -> Proxy:
            config = settings(litellm_url or litellm.url, **keys)
            return await stack.enter_async_context(
                running(config, upstream_url or upstream.url, tmp_path, confdir, **(options or {}))
            )

        yield start
