"""Key files: read whole, bounded, and without naming them where something is wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from crdtsync.identity.keys import KeyProblem, KeySet, read_keys

__all__ = ["MAX_KEY_FILE_BYTES", "key_file_bytes", "read_key_file"]

MAX_KEY_FILE_BYTES: Final = 256 * 1024


def read_key_file(path: Path, algorithms: Sequence[str] | None = None) -> KeySet:
    """Read a key file. Raises ``KeyProblem``."""
    return read_keys(key_file_bytes(path), algorithms=algorithms)


def key_file_bytes(path: Path) -> bytes:
    """Return what a key file holds. Raises ``KeyProblem``."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise KeyProblem(
            f"the file can't be read: {getattr(error, 'strerror', None) or 'no such file'}"
        ) from None
    if len(data) > MAX_KEY_FILE_BYTES:
        raise KeyProblem(f"the file is over {MAX_KEY_FILE_BYTES} bytes")
    return data
