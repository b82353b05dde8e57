"""Fixtures: both event loops, and a hub with a store in memory."""

from collections.abc import AsyncIterator

import pytest

from crdtsync.hub import Hub
from crdtsync.store.memory import MemoryStore


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """An open hub."""
    async with Hub(MemoryStore()) as hub:
        yield hub
