"""Who inserted and deleted what, and when: the changes of a document in the order of its log.

A step is one or several changes of one sequence; behind its last one there is a moment. Moments
can be let go (``thinned``): their step then goes into the next one, author by author.

Measured on 259,778 keystrokes, each a step of its own: see docs/history.md.
"""

import json
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from crdtsync.history.blocks import BLOCK_CHANGES, Block, Names, write_block
from crdtsync.history.model import Change, HistoryDamaged, Snapshot, UnknownMoment
from crdtsync.history.sieve import NOBODY, divided
from crdtsync.history.spans import Amount, Span, amounts, deleted_spans, inserted_by, inserted_spans
from crdtsync.idset import IdSet
from crdtsync.structs import Range

__all__ = ["Timeline"]

T = TypeVar("T")

FORMAT: Final = 1
MAX_HEAD_BYTES: Final = 1 << 28


class Timeline:
    """The changes of one document."""

    def __init__(self, head: bytes = b"", blocks: Sequence[bytes] = ()) -> None:
        """Read what ``write`` returned. Raises ``HistoryDamaged``."""
        try:
            self._names = _read_head(head) if head else Names()
            self._blocks = [Block(data) for data in blocks]
        except ValueError as error:
            raise HistoryDamaged(f"the history is damaged: {error}") from None
        known = 0
        for block in self._blocks:
            if block.before != known or block.last <= block.before:
                raise HistoryDamaged("the history is damaged: its blocks don't follow one another")
            known = block.last
        self._fresh: list[Change] = []
        self._end: Snapshot | None = None

    def write(self) -> tuple[bytes, tuple[bytes, ...]]:
        """Return the head and the blocks as bytes."""
        self._settle()
        plain = {
            "format": FORMAT,
            "authors": self._names.authors,
            "clients": self._names.clients,
        }
        head = zlib.compress(json.dumps(plain, separators=(",", ":")).encode(), 6)
        return head, tuple(block.data for block in self._blocks)

    # What is there

    @property
    def sequence(self) -> int:
        """The last record that is in it; 0 where there is none."""
        if self._fresh:
            return self._fresh[-1].sequence
        return self._blocks[-1].last if self._blocks else 0

    @property
    def first(self) -> int:
        """The earliest moment that is kept, beside the empty one at 0; 0 where there is none."""
        self._settle()
        return next(self._blocks[0].moments())[1] if self._blocks else 0

    @property
    def authors(self) -> Sequence[str]:
        """The ids of all who ever changed anything."""
        self._settle()
        return self._names.authors

    def kept(self, sequence: int) -> bool:
        """Whether there is a moment behind this record."""
        if sequence == 0:
            return True
        block = self._block(sequence)
        return block is not None and block.find(sequence) is not None

    def moments(self, *, after: int = 0, upto: int | None = None) -> Iterator[tuple[int, int]]:
        """Iterate over ``(sequence, time in ms)`` of what is kept, in order."""
        border = self.sequence if upto is None else upto
        for block in self._between(after, border):
            for _, sequence, time_ms in block.moments():
                if after < sequence <= border:
                    yield sequence, time_ms

    def time_of(self, sequence: int) -> int:
        """Return a moment's time. Raises ``UnknownMoment``."""
        return self._find(sequence)[2]

    def at_time(self, time_ms: int) -> int:
        """Return the newest moment that is not after a time. Raises ``UnknownMoment``."""
        self._settle()
        for block in reversed(self._blocks):
            if block.min_ms <= time_ms:
                found = [at for _, at, when in block.moments() if when <= time_ms]
                if found:
                    return found[-1]
        pruned = bool(self._blocks) and self.first > 1
        raise UnknownMoment("the history begins later", pruned=pruned)

    def snapshot(self, sequence: int) -> Snapshot:
        """Return a moment's clocks and deleted ranges. Raises ``UnknownMoment``."""
        if sequence == 0:
            return Snapshot({}, IdSet())
        if self._fresh and sequence >= self._fresh[0].sequence:
            return self._fresh_snapshot(sequence)
        block, index, _ = self._find(sequence)
        return self._guarded(lambda: block.advance(index, self._names))

    def _fresh_snapshot(self, sequence: int) -> Snapshot:
        """Return the snapshot of a moment that is in no block yet."""
        clocks: dict[int, int] = {}
        gone = IdSet()
        if self._blocks:
            last = self._blocks[-1]
            before = self._guarded(lambda: last.advance(last.count, self._names))
            clocks, gone = dict(before.clocks), before.deletes
        found = 0
        for change in self._fresh:
            if change.sequence > sequence:
                break
            found = change.sequence
            clocks.update((client, end) for client, _, end in change.inserts)
            gone.add(change.deletes)
        if found != sequence:
            raise self._unknown(sequence)
        return Snapshot(clocks, gone)

    def changes(self, after: int = 0, upto: int | None = None) -> Iterator[Change]:
        """Iterate over the changes with ``after < sequence <= upto``, in order."""
        border = self.sequence if upto is None else upto
        for block in self._between(after, border):
            for change in block.changes(self._names):
                if after < change.sequence <= border:
                    yield change

    def inserted(
        self, after: int = 0, upto: int | None = None, *, resolution_ms: int = 0
    ) -> list[Span]:
        """Return who inserted what between two moments, by client and clock.

        Neighbours of one author are one span, with the time of its last change, as long as one
        follows on the other within ``resolution_ms``.
        """
        return self._spans(inserted_spans, after, upto, resolution_ms)

    def deleted(
        self, after: int = 0, upto: int | None = None, *, resolution_ms: int = 0
    ) -> list[Span]:
        """Return who deleted what between two moments, by client and clock; see ``inserted``."""
        return self._spans(deleted_spans, after, upto, resolution_ms)

    def _spans(
        self,
        spans: Callable[[Block, Names, int, int, int], Iterator[Span]],
        after: int,
        upto: int | None,
        resolution_ms: int,
    ) -> list[Span]:
        border = self.sequence if upto is None else upto
        found: list[Span] = []
        for block in self._between(after, border):
            found += spans(block, self._names, after, border, resolution_ms)
        return sorted(found)

    def amounts(self) -> Iterator[Amount]:
        """Iterate over how much each change is: sooner than over the changes."""
        for block in self._between(0, self.sequence):
            yield from amounts(block, self._names)

    def _between(self, after: int, upto: int) -> Iterator[Block]:
        self._settle()
        return (block for block in self._blocks if block.last > after and block.before < upto)

    # Growing

    def grow(
        self,
        sequence: int,
        time_ms: int,
        author: str,
        ranges: Iterable[Range],
        deletes: Iterable[Range],
        aside: IdSet | None = None,
    ) -> None:
        """Add what one record brings: of it, what was not there.

        What is ``aside`` is nobody's. Raises ``HistoryDamaged`` where it leaves a gap.
        """
        if self._end is None:
            self._end = self.snapshot(self.sequence)
        if sequence <= self.sequence:
            raise HistoryDamaged(f"record {sequence} comes after record {self.sequence}")
        clocks, gone = self._end
        assert isinstance(clocks, dict)
        if aside is not None:
            deletes = _without(deletes, aside)
        inserts: list[Range] = []
        for client, start, end in ranges:
            known = clocks.get(client, 0)
            if start > known:
                raise HistoryDamaged(f"record {sequence} does not follow on what is there")
            if end > known:
                inserts.append((client, known, end))
                clocks[client] = end
        new: list[Range] = []
        for client, start, end in deletes:
            new += [(client, *part) for part in gone.missing(client, start, end)]
            gone.insert(client, start, end)
        change = Change(sequence, time_ms, author, tuple(inserts), tuple(new))
        self._fresh += [change] if aside is None else divided(change, aside)

    @property
    def end(self) -> Snapshot:
        """The newest moment's snapshot. Read it only."""
        if self._end is None:
            self._end = self.snapshot(self.sequence)
        return self._end

    # Letting go

    def thinned(self, keep: Callable[[int, int], bool]) -> "Timeline":
        """Return a timeline without the moments that are not to be kept; the newest one is.

        ``keep`` is asked with sequence and time in ms. Who did what stays known, with the time
        of the author's last change in what became one step.
        """
        kept = Timeline()
        kept._names = Names(self._names.authors, self._names.clients)
        last = self.sequence
        step: list[Change] = []
        waiting: list[Change] = []
        for sequence, time_ms, changes in self._steps():
            step += changes
            if sequence == last or keep(sequence, time_ms):
                waiting += _merged(step, sequence)
                step = []
            if len(waiting) >= BLOCK_CHANGES:
                kept._add(waiting)
                waiting = []
        kept._add(waiting)
        return kept

    def until(self, sequence: int) -> "Timeline":
        """Return a timeline that ends with one of its moments, and names nobody who came later."""
        kept = Timeline()
        kept._add(list(self.changes(0, sequence)))
        return kept

    def divided(self, aside: IdSet) -> "Timeline":
        """Return a timeline in which some ids are nobody's, and never deleted."""
        kept = Timeline()
        kept._names = Names(self._names.authors, self._names.clients)
        kept._add([part for change in self.changes() for part in divided(change, aside)])
        return kept

    def aside(self) -> Iterator[Range]:
        """Iterate over what is nobody's: client, first and end clock."""
        for block in self._between(0, self.sequence):
            yield from inserted_by(block, self._names, NOBODY)

    def renamed(self, author: str, to: str) -> "Timeline":
        """Return a timeline in which all that one author did was another's."""
        head, blocks = self.write()
        other = Timeline(head, blocks)
        other._names = Names(
            [to if each == author else each for each in self._names.authors], self._names.clients
        )
        return other

    def _steps(self) -> Iterator[tuple[int, int, list[Change]]]:
        step: list[Change] = []
        for change in self.changes():
            if step and change.sequence != step[-1].sequence:
                yield step[-1].sequence, step[-1].time_ms, step
                step = []
            step.append(change)
        if step:
            yield step[-1].sequence, step[-1].time_ms, step

    # Blocks

    def _block(self, sequence: int) -> Block | None:
        if self._fresh and sequence >= self._fresh[0].sequence:
            self._settle()
        place = bisect_left(self._blocks, sequence, key=lambda block: block.last)
        return self._blocks[place] if place < len(self._blocks) else None

    def _find(self, sequence: int) -> tuple[Block, int, int]:
        block = self._block(sequence)
        if block is None or sequence < 1:
            raise self._unknown(sequence)
        found = self._guarded(lambda: block.find(sequence))
        if found is not None:
            return block, *found
        raise self._unknown(sequence)

    def _unknown(self, sequence: int) -> UnknownMoment:
        if 0 < sequence < self.sequence:
            return UnknownMoment(f"the moment behind record {sequence} is not kept", pruned=True)
        return UnknownMoment(f"the document has no record {sequence}")

    def _settle(self) -> None:
        """Put what has been added into blocks."""
        if not self._fresh:
            return
        fresh, self._fresh = self._fresh, []
        if self._blocks and self._blocks[-1].count < BLOCK_CHANGES:
            fresh = [*self._blocks.pop().changes(self._names), *fresh]
        self._add(fresh)

    def _add(self, changes: list[Change]) -> None:
        while changes:
            count = min(len(changes), BLOCK_CHANGES)
            while count < len(changes) and changes[count].sequence == changes[count - 1].sequence:
                count += 1  # a step is never cut
            before = self._blocks[-1] if self._blocks else None
            if before is None:
                known, snapshot, time_ms = 0, Snapshot({}, IdSet()), changes[0].time_ms
            else:
                known, snapshot = before.last, before.advance(before.count, self._names)
                time_ms = before.max_ms
            block = write_block(changes[:count], known, time_ms, snapshot, self._names)
            self._blocks.append(block)
            changes = changes[count:]

    def _guarded(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except (ValueError, IndexError) as error:
            raise HistoryDamaged(f"the history is damaged: {error}") from None


def _read_head(data: bytes) -> Names:
    try:
        reader = zlib.decompressobj()
        plain = json.loads(reader.decompress(data, MAX_HEAD_BYTES))
        if plain["format"] != FORMAT:
            raise ValueError(f"its format is {plain['format']}, and this crdtsync reads {FORMAT}")
        return Names(plain["authors"], plain["clients"])
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"its head can't be read: {error}") from None


def _merged(step: list[Change], sequence: int) -> list[Change]:
    """Make one change of each author's in a step, as far as no client goes from one to another.

    The last one has the step's time.
    """
    out: list[Change] = []
    merged: dict[str, Change] = {}
    owner: dict[int, str] = {}
    for change in step:
        author = change.author
        if any(owner.get(client, author) != author for client, _, _ in change.inserts):
            out += merged.values()  # a client's clocks stay in order
            merged, owner = {}, {}
        owner.update((client, author) for client, _, _ in change.inserts)
        known = merged.pop(author, None)
        if known is not None:
            inserts = _united((*known.inserts, *change.inserts))
            deletes = _united((*known.deletes, *change.deletes))
            change = Change(sequence, change.time_ms, author, inserts, deletes)
        merged[author] = change._replace(sequence=sequence)
    return [*out, *merged.values()]


def _without(ranges: Iterable[Range], aside: IdSet) -> Iterator[Range]:
    for client, start, end in ranges:
        for part in aside.missing(client, start, end):
            yield client, *part


def _united(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sort ranges and unite those that touch."""
    united = IdSet()
    united.add(ranges)
    return tuple(united)
