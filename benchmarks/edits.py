"""Make the edits ahead of the measurement: real Yjs updates, one per keystroke.

Every writer types lines of 64 characters into the document's one text, each line above the one
before: a text grows from runs of ordinary length, not from one endless run. Sets of edits are kept
in benchmarks/.cache, since making a million takes a while.
"""

from __future__ import annotations

import gzip
import json
import marshal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycrdt import Doc, Text

from benchmarks.updates import clock_ranges

CACHE = Path(__file__).parent / ".cache"
TEXT = "text"
FIRST_CLIENT = 1_000_000_000
"""Client ids as long as the random ones that Yjs chooses: five bytes."""

_LINE = 64
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _cached(name: str, make: Callable[[], Any]) -> Any:
    path = CACHE / f"{name}.marshal"
    if path.exists():
        return marshal.loads(path.read_bytes())
    made = make()
    CACHE.mkdir(exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_bytes(marshal.dumps(made))
    partial.rename(path)
    return made


def type_text(client: int, count: int) -> list[bytes]:
    """Type `count` characters as one client into an empty text; return one update for each."""
    updates: list[bytes] = []
    doc: Doc[Text] = Doc(client_id=client)
    text = doc.get(TEXT, type=Text)
    doc.observe(lambda event: updates.append(event.update))
    for number in range(count):
        # The first character stays in front and keeps the writers' lines apart.
        place = 1 + (number - 1) % _LINE if number else 0
        text.insert(place, _LETTERS[(number + client) % 26])
    return updates


def writers_edits(writers: int, count: int) -> list[list[bytes]]:
    """Return `count` updates for each of `writers`, whose client ids follow `FIRST_CLIENT`."""

    def make() -> list[list[bytes]]:
        return [type_text(FIRST_CLIENT + number, count) for number in range(writers)]

    made: list[list[bytes]] = _cached(f"lines-{writers}x{count}", make)
    return made


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded editing history as updates, and what it must end in."""

    updates: list[bytes]
    state: bytes
    """The finished document as one update."""
    text: str
    clocks: list[int]
    """The author's clock before the first update and after each one."""


def _replay(path: Path) -> tuple[list[bytes], bytes, str, list[int]]:
    with gzip.open(path) as file:
        history = json.load(file)
    updates: list[bytes] = []
    doc: Doc[Text] = Doc(client_id=FIRST_CLIENT)
    text = doc.get(TEXT, type=Text)
    doc.observe(lambda event: updates.append(event.update))
    for transaction in history["txns"]:
        for position, deleted, inserted in transaction["patches"]:
            with doc.transaction():
                if deleted:
                    del text[position : position + deleted]
                if inserted:
                    text.insert(position, inserted)
    if str(text) != history["endContent"]:
        raise ValueError(f"{path} does not end in its own endContent")
    clocks = [0]
    for update in updates:
        ranges = clock_ranges(update)
        clocks.append(ranges[-1][2] if ranges else clocks[-1])
    if clocks[-1] == clocks[-2]:
        raise ValueError(f"{path} ends in a deletion, whose arrival no clock would show")
    return updates, doc.get_update(), str(text), clocks


def load_trace(path: Path) -> Trace:
    """Return a sequential ASCII trace as one update per keystroke."""
    return Trace(*_cached(f"trace-{path.name.partition('.')[0]}", lambda: _replay(path)))
