"""Real updates, recorded from Yjs clients, to begin mutations with."""

import base64
import json
import zlib
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["histories"]

FOLDER: Final = Path(__file__).parent.parent / "tests" / "corpus" / "data"
MOST_UPDATES: Final = 120
MOST_BYTES: Final = 4_000


@cache
def histories() -> tuple[tuple[bytes, ...], ...]:
    """Return the recorded histories, the beginnings of long ones, without what is too large."""
    found: list[tuple[bytes, ...]] = []
    for path in sorted(FOLDER.glob("*.json")):
        raw = json.loads(path.read_text(encoding="utf-8"))
        updates = [_unpacked(each["update"]) for each in raw["updates"][:MOST_UPDATES]]
        small = tuple(update for update in updates if len(update) <= MOST_BYTES)
        if small:
            found.append(small)
    return tuple(found)


def _unpacked(text: str) -> bytes:
    if text.startswith("z:"):
        return zlib.decompress(base64.b64decode(text[2:]))
    return base64.b64decode(text)
