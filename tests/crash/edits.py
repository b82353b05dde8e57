"""What the writers write, and what a document has to hold when it has so many of their edits.

A writer's edits follow from its client id alone: characters typed at the end and in the middle,
deletions, a map's keys that all writers set, a text that all of them write to. What a document
holds is read with pycrdt, by nothing of crdtsync's.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pycrdt

__all__ = ["EDITS", "Edits", "Holding", "edits_of", "expected", "holding"]

EDITS = 4_000
"""The edits of one writer, at most."""

KEYS = 5


@dataclass(frozen=True, slots=True)
class Edits:
    """One writer's edits, in order."""

    client: int
    updates: tuple[bytes, ...]
    clocks: tuple[int, ...]
    """The writer's clock after so many edits; deletions don't move it."""
    lengths: tuple[int, ...]
    """How long the writer's own text is then."""

    def count(self, clock: int, length: int) -> int | None:
        """Return how many edits make this clock and length, ``None`` where no number does."""
        low, high = 0, len(self.clocks)
        while low < high:
            middle = (low + high) // 2
            if self.clocks[middle] < clock:
                low = middle + 1
            else:
                high = middle
        while low < len(self.clocks) and self.clocks[low] == clock:
            if self.lengths[low] == length:
                return low
            low += 1
        return None


@cache
def edits_of(client: int) -> Edits:
    """Make a writer's edits."""
    dice = random.Random(client)
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client)
    own = doc.get(_own(client), type=pycrdt.Text)
    shared = doc.get("shared", type=pycrdt.Text)
    keys = doc.get("map", type=pycrdt.Map)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    clocks, lengths, clock, length = [0], [0], 0, 0
    for number in range(EDITS):
        kind = dice.random()
        letter = chr(97 + number % 26)
        if kind < 0.6:
            own += letter
            clock, length = clock + 1, length + 1
        elif kind < 0.75:
            own.insert(dice.randint(0, length), letter * 2)
            clock, length = clock + 2, length + 2
        elif kind < 0.87 and length:
            at = dice.randrange(length)
            size = min(dice.randint(1, 3), length - at)
            del own[at : at + size]
            length -= size
        elif kind < 0.95:
            shared.insert(0, letter)
            clock += 1
        else:
            keys[f"key {dice.randrange(KEYS)}"] = float(number) + 0.5
            clock += 1
        clocks.append(clock)
        lengths.append(length)
    doc.unobserve(subscription)
    assert len(updates) == EDITS
    return Edits(client, tuple(updates), tuple(clocks), tuple(lengths))


@dataclass(frozen=True, slots=True)
class Holding:
    """What a document holds."""

    counts: Mapping[int, int | None]
    """Edits per writer; ``None`` where its clock and text fit no number of them."""
    texts: Mapping[str, str]
    keys: Mapping[str, Any]


def holding(clients: Sequence[int], updates: Iterable[bytes]) -> Holding:
    """Read what a document with these updates holds."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    with doc.transaction():
        for update in updates:
            doc.apply_update(update)
    clocks = _clocks(doc.get_state())
    texts = {
        name: str(doc.get(name, type=pycrdt.Text))
        for name in ("shared", *(_own(client) for client in clients))
    }
    keys: Any = doc.get("map", type=pycrdt.Map).to_py()
    counts = {
        client: edits_of(client).count(clocks.pop(client, 0), len(texts[_own(client)]))
        for client in clients
    }
    counts |= dict.fromkeys(clocks)
    return Holding(counts, texts, keys)


def expected(counts: Mapping[int, int]) -> Holding:
    """Return what a document holds that has so many edits of each writer."""
    updates = (
        update for client, count in counts.items() for update in edits_of(client).updates[:count]
    )
    return holding(list(counts), updates)


def _own(client: int) -> str:
    return f"own {client}"


def _clocks(state_vector: bytes) -> dict[int, int]:
    numbers: list[int] = []
    value = shift = 0
    for byte in state_vector:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    return dict(zip(numbers[1::2], numbers[2::2], strict=True))
