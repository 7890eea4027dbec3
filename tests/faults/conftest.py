"""The processes, started once for all rows."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from faults.rig import Rig, rig


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="rig")
async def _rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with rig(tmp_path_factory.mktemp("faults")) as one:
        yield one
