"""Fixtures: whatever judges needs Node.js and Yjs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.examine import Examiner
from tests.needs import require

YJS = Path(__file__).parent.parent / "interop" / "node_modules" / "yjs"


@pytest.fixture(scope="session")
def yjs() -> None:
    """Make sure of Node.js and Yjs; in CI they have to be there."""
    require(
        shutil.which("node") and YJS.is_dir(),
        "Node.js and Yjs are not installed: run `npm ci` in tests/interop",
    )


@pytest.fixture(scope="module")
def examiner(yjs: None) -> Iterator[Examiner]:
    """The processes that play conversations and judge what came of them."""
    with Examiner() as examiner:
        yield examiner
