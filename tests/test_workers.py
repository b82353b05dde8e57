"""Everything runs in several processes, a single test does not wait for them."""

import argparse
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conftest import WORKERS, pytest_xdist_auto_num_workers


class Config:
    """A command line, as far as the number of processes depends on it."""

    def __init__(self, args: Sequence[str], **options: Any) -> None:
        self.args = args
        self.option = argparse.Namespace(**options)

    def getoption(self, name: str, default: object) -> object:
        return getattr(self.option, name, default)


@pytest.mark.parametrize(
    ("args", "options", "several"),
    [
        (["tests"], {"keyword": "", "markexpr": "", "lf": False}, True),
        (["tests/unit", "tests/native"], {}, True),
        (["tests"], {"keyword": "laggard"}, False),
        (["tests"], {"markexpr": "browser"}, False),
        (["tests"], {"lf": True}, False),
        (["tests/test_workers.py"], {}, False),
        (["tests/unit", "tests/test_workers.py"], {}, False),
        (["tests/test_workers.py::test_how_many"], {}, False),
    ],
)
def test_how_many(
    pytestconfig: pytest.Config, args: list[str], options: dict[str, Any], several: bool
) -> None:
    """Folders run in several processes; what is named or picked out runs in the first."""
    config = Config([str(pytestconfig.rootpath / each) for each in args], **options)
    number = pytest_xdist_auto_num_workers(config)  # type: ignore[arg-type]
    assert number >= WORKERS if several else number == 0
