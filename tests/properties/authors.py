"""Histories: what a few authors do, apart and together, as the updates they send."""

from dataclasses import dataclass
from typing import Any

import pycrdt
from hypothesis import strategies as st

from crdtsync.limits import Limits
from crdtsync.state_vector import read_state_vector
from tests.properties.edits import Dice, content, edit

__all__ = ["READER", "History", "clocks_of", "deletes_of", "doc_of", "histories", "play", "same"]

READER = Limits()
NUMBERS = [1, 300, 4_000_000_000]


@dataclass(frozen=True)
class History:
    """One update or more, in an order in which each can be integrated."""

    updates: list[bytes]
    docs: list["pycrdt.Doc[Any]"]
    """The authors' documents at the end, each with what its author knew."""
    dice: Dice
    """For more choices."""

    def __repr__(self) -> str:
        return f"History({[update.hex() for update in self.updates]})"


def play(data: bytes) -> History:
    """Return the history that some bytes stand for."""
    dice = Dice(data)
    docs: list[pycrdt.Doc[Any]] = [pycrdt.Doc(client_id=number) for number in NUMBERS]
    updates: list[bytes] = []
    for number in range(1 + dice.roll(24)):
        doc = dice.pick(docs)
        if number and dice.roll(4) == 3:
            doc.apply_update(dice.pick(docs).get_update(doc.get_state()))
            continue
        subscription = doc.observe(lambda event: updates.append(event.update))
        with doc.transaction():
            for _ in range(1 + dice.roll(2)):
                edit(doc, dice)
        doc.unobserve(subscription)
    return History(updates, docs, dice)


histories = st.binary(min_size=60, max_size=300).map(play)


def doc_of(*updates: bytes) -> "pycrdt.Doc[Any]":
    """Return a document with these updates, in this order."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for update in updates:
        doc.apply_update(update)
    return doc


def clocks_of(doc: "pycrdt.Doc[Any]") -> dict[int, int]:
    return read_state_vector(doc.get_state(), READER)


def deletes_of(ranges: Any) -> set[tuple[int, int]]:
    return {(client, clock) for client, start, end in ranges for clock in range(start, end)}


def same(one: "pycrdt.Doc[Any]", other: "pycrdt.Doc[Any]") -> bool:
    """Return whether two documents have the same clocks and content."""
    assert clocks_of(one) == clocks_of(other)
    assert content(one) == content(other)
    return True
