"""Fixtures: a server in a thread, and the client on each of AnyIO's event loops."""

from collections.abc import Iterator

import pytest

from tests.native.kit import Server


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each client on both event loops."""
    return str(request.param)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with quick refusals and otherwise the defaults."""
    with Server() as server:
        yield server
