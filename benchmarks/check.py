"""Prove that nothing was lost: by the clocks for every reader, by the text for distinct ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pycrdt import Doc, Text

from benchmarks.clients import Client, Entry, Writer
from benchmarks.edits import TEXT

_MAX_DOCUMENTS = 8
"""How many readers' documents are built where all readers of a document received differently."""


class Lost(Exception):
    """A server that delivered less, or other, than was sent."""


class Tally:
    """Follow one reader's log and count the edits that are new to it."""

    __slots__ = ("at", "clocks", "reader")

    def __init__(self, reader: Client) -> None:
        self.reader = reader
        self.at = 0
        self.clocks: dict[int, int] = {}

    def advance(self, to: int | None = None) -> int:
        """Read the log on, up to an index or to its end; return how many edits were new."""
        log = self.reader.log
        end = len(log) if to is None else to
        clocks, new = self.clocks, 0
        for entry in log[self.at : end]:
            for client, first, behind in entry.ranges:
                seen = clocks.get(client, 0)
                if first > seen:
                    raise Lost(f"a reader has {seen} edits of {client}, and then got {first}")
                if behind > seen:
                    clocks[client] = behind
                    new += behind - seen
        self.at = end
        return new


def content(entries: Iterable[bytes]) -> tuple[str, bytes]:
    """Build a document from updates; return its text and its state vector."""
    doc: Doc[Text] = Doc()
    text = doc.get(TEXT, type=Text)
    with doc.transaction():
        for update in entries:
            doc.apply_update(update)
    return str(text), doc.get_state()


def _same(one: tuple[str, bytes], other: tuple[str, bytes]) -> bool:
    # A state vector lists its clients in any order.
    return one[0] == other[0] and sorted(one[1]) == sorted(other[1])


def verify(writers: Sequence[Writer], tallies: Sequence[Tally]) -> None:
    """Check that the readers of one document have exactly what its writers sent.

    Every reader's clocks are compared. Documents are built from what the readers received, once
    for readers with the same log, and compared with one built from what was sent.
    """
    sent = {writer.client: writer.clock for writer in writers if writer.sent}
    for tally in tallies:
        if tally.clocks != sent:
            raise Lost(f"a reader ended with {tally.clocks}, sent was {sent}")
    logs: dict[tuple[int, ...], list[Entry]] = {}
    for tally in tallies:
        logs.setdefault(tuple(map(id, tally.reader.log)), tally.reader.log)
    expected = content(update for writer in writers for update in writer.updates[: writer.sent])
    for log in list(logs.values())[:_MAX_DOCUMENTS]:
        if not _same(content(entry.update for entry in log), expected):
            raise Lost("a document built from what a reader received differs from what was sent")
