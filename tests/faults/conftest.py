"""The processes, started once for all rows: with bodies relayed (proxy/relay.py), and without."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from faults.rig import Rig, rig
from litellm_hybrid.proxy.fast_path import SWITCH


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="rig", params=["on", "off"])
async def _rig(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Rig]:
    async with rig(tmp_path_factory.mktemp("faults"), {SWITCH: request.param}) as one:
        yield one
