"""Fixtures: async tests run on both event loops, properties on the same examples each time."""

import pytest
from hypothesis import settings

settings.register_profile("unit", settings.get_profile("patient"), derandomize=True, database=None)
settings.load_profile("unit")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)
