"""A flight recorder: what a process was doing when it died, for whoever finds it.

Owns a mapped file, which outlives the process that writes it, however that ends::

    8 bytes  the conversation's seed          8 bytes  when the last action began (monotonic, s)
    8 bytes  length of what follows           the conversation, as text
"""

import mmap
import struct
import time
from pathlib import Path
from typing import Final, NamedTuple

from fuzz.script import Action, dump

__all__ = ["Flight", "Recorder", "make_flight", "read_flight"]

SIZE: Final = 32 * 1024 * 1024
_HEAD: Final = struct.Struct("<QdQ")


class Flight(NamedTuple):
    """What the recorder holds."""

    seed: int
    since_s: float
    text: str


class Recorder:
    """Writes into the file."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SIZE)
        self._seed = self._length = 0

    @property
    def text(self) -> str:
        """The conversation so far."""
        return self._map[_HEAD.size : _HEAD.size + self._length].decode()

    def begin(self, seed: int) -> None:
        """Begin a conversation."""
        self._seed, self._length = seed, 0
        self._head()

    def note(self, action: Action) -> None:
        """Write down what is about to happen."""
        line = dump((action,)).encode()
        start = _HEAD.size + self._length
        if start + len(line) < SIZE:
            self._map[start : start + len(line)] = line
            self._length += len(line)
        self._head()

    def rest(self) -> None:
        """Nothing is under way now."""
        _HEAD.pack_into(self._map, 0, self._seed, 0.0, self._length)

    def _head(self) -> None:
        _HEAD.pack_into(self._map, 0, self._seed, time.monotonic(), self._length)


def make_flight(path: Path) -> None:
    """Make an empty file for a recorder."""
    with path.open("wb") as file:
        file.truncate(SIZE)


def read_flight(path: Path, *, head: bool = False) -> Flight:
    """Read what a recorder has written; with ``head``, without the conversation."""
    with path.open("rb") as file:
        seed, since_s, length = _HEAD.unpack(file.read(_HEAD.size))
        return Flight(seed, since_s, "" if head else file.read(length).decode())
