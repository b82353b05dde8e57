"""The type checker's word on the examples."""

from pathlib import Path

from filelock import FileLock
from mypy import api

from .kit import REPOSITORY

__all__ = ["complaints"]


def complaints(folder: Path) -> str:
    """Return what ``mypy --strict`` has to say about the programs in a folder, if anything.

    One at a time: all have the project's own cache, which takes no two writers.
    """
    cache = REPOSITORY / ".mypy_cache"
    cache.mkdir(exist_ok=True)
    arguments = ["--config-file", str(REPOSITORY / "pyproject.toml"), "--follow-imports=silent"]
    programs = sorted(map(str, folder.glob("*.py")))
    assert programs
    with FileLock(cache / "tests.lock"):
        report, errors, status = api.run([*arguments, "--cache-dir", str(cache), *programs])
    return report + errors if status else ""
