"""Fixtures: servers on both event loops."""

from collections.abc import Iterator

import pytest

from .kit import Server


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    """Run each server on both event loops."""
    return str(request.param)


@pytest.fixture
def server(loop: str) -> Iterator[Server]:
    """A server with quick refusals and otherwise the defaults."""
    with Server(loop) as server:
        yield server
