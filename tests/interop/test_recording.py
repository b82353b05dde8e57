"""The committed corpus is what the recorder writes with the pinned Yjs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .harness import HERE

pytestmark = pytest.mark.node

CORPUS = HERE.parent / "corpus"


def test_recording_again_gives_the_same_files(node: Callable[..., str], tmp_path: Path) -> None:
    """The recorder is deterministic: every file comes out as it is committed, byte for byte."""
    node(CORPUS / "record.mjs", str(tmp_path))
    recorded = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert recorded == {path.name: path.read_bytes() for path in (CORPUS / "data").iterdir()}
