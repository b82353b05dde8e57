"""Processes to kill, and stores to kill them on."""

from collections.abc import Iterator

import pytest

from tests.crash.nursery import Nursery
from tests.crash.steps import Kind


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """The process that the victims are forks of."""
    with Nursery(tmp_path_factory.mktemp("nursery")) as started:
        yield started


@pytest.fixture(params=["sqlite", "file"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Run each test on both stores."""
    found: Kind = request.param
    return found
