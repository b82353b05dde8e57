"""Fixtures: both event loops, a clock that is moved by hand, a hub on it, and access to it."""

from collections.abc import AsyncIterator

import pytest

from crdtsync.access.service import Access
from crdtsync.clock import ManualClock
from crdtsync.hub import Hub
from crdtsync.store.memory import MemoryStore
from tests.unit.engine import FAST


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def hub(clock: ManualClock) -> AsyncIterator[Hub]:
    """An open hub whose time stands still."""
    async with Hub(MemoryStore(), limits=FAST, clock=clock) as hub:
        yield hub


@pytest.fixture
async def access(hub: Hub) -> AsyncIterator[Access]:
    """Share links and revocations of that hub."""
    async with Access(hub) as access:
        yield access
