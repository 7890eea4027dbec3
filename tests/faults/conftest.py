"""The processes, started once for all rows."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from faults.house import House, house


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="house")
async def _house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("faults")) as one:
        yield one
