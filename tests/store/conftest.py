"""Fixtures: each kind of store, on each kind of event loop."""

from pathlib import Path

import pytest

from tests.store.kit import Maker


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run every asynchronous test on both."""
    backend: str = request.param
    return backend


@pytest.fixture(params=["memory", "sqlite", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    """Return a maker of each kind of store."""
    return Maker(request.param, tmp_path)


@pytest.fixture(params=["sqlite", "file"])
def make_durable(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    """Return a maker of each kind of store that outlives its process."""
    return Maker(request.param, tmp_path)


@pytest.fixture
def make_sqlite(tmp_path: Path) -> Maker:
    """Return a maker of SQLite stores."""
    return Maker("sqlite", tmp_path)


@pytest.fixture
def make_file(tmp_path: Path) -> Maker:
    """Return a maker of file stores."""
    return Maker("file", tmp_path)
