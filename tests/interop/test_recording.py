"""The committed corpus is what the recorder writes with the pinned Yjs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from corpus.corpus import FOLDER, NAMES, load

pytestmark = pytest.mark.node


def test_recording_again_gives_the_same_cases(node: Callable[..., str], tmp_path: Path) -> None:
    """The recorder is deterministic: every update comes out as it is committed, byte for byte.

    Not so the files: how updates are compressed depends on the machine.
    """
    node(FOLDER.parent / "record.mjs", str(tmp_path))
    assert sorted(path.stem for path in tmp_path.iterdir()) == list(NAMES)
    for name in NAMES:
        assert load(name, tmp_path) == load(name)
