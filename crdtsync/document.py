"""One document: what is known of it, what waits, and its state when somebody asks.

Owns the clocks, the deleted ranges, the log's tail and the replica. Invariants:

- ``admit`` lets in exactly what fits: every clock follows the one before, every reference and
  every deletion points at something known. What is ahead is held, bounded, and let in when what
  it lacks has come. So the log is causally complete and no gap ever reaches the CRDT.
- ``admit`` is about what *will* be committed; ``commit`` about what is. Only committed updates
  are in the tail, the state and the answers.
- Integration is lazy: the tail goes into the replica when an answer needs it or it grows long,
  in one transaction.

Refuses to know connections, stores, tasks and time.
"""

from collections.abc import Collection
from dataclasses import replace

from crdtsync.clock import Clock
from crdtsync.errors import InvalidUpdate
from crdtsync.guard import NO_WATCH, Watch
from crdtsync.halves import Halves
from crdtsync.held import Following, Held, Judging, Verdict
from crdtsync.idset import IdSet
from crdtsync.limits import Limits, trusting
from crdtsync.portions import is_loose
from crdtsync.slicing import Slices, borders_of, causal_order, new_part, slice_new
from crdtsync.state import CommittedState, Draft, Snapshot
from crdtsync.state_vector import encode_state_vector, read_state_vector
from crdtsync.structs import EMPTY_UPDATE, Layout, Scan
from crdtsync.structure import StructureIndex
from crdtsync.update import scan

__all__ = ["Document", "Verdict"]


class Document:
    """A document of this server, with everything but its connections."""

    __slots__ = (
        "_halves", "_limits", "_loading", "_state_vector", "_stored_limits", "_voids",
        "clocks", "committed", "deleted", "follower", "held", "judge", "ready", "root",
        "structure", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        *,
        state: bytes = EMPTY_UPDATE,
        watch: Watch = NO_WATCH,
        clock: Clock | None = None,
        follower: Following | None = None,
    ) -> None:
        """Start from a state that was checked when it was written.

        Raises ``InvalidUpdate`` where it is not a sound update after all.
        """
        self._limits = limits
        self._stored_limits = trusting(limits)
        self._loading = True
        self.clocks: dict[int, int] = {}
        """Of every client the next clock, admitted updates included."""
        self.deleted = IdSet()
        """To be read; admitted updates included."""
        self.structure: StructureIndex | None = None  # to be asked whether there is one
        self.root: str | None = None
        """Where all items lie, directly and without keys; ``None`` where it isn't so simple."""
        self._halves = Halves()
        self._voids = IdSet()  # what came as deleted and collected: it may have been anything
        self.committed = CommittedState(self._stored_limits, state, watch, clock)
        """What is committed, and what of it newcomers get."""
        self.held = Held(limits)
        """What waits for something missing."""
        self.waiting: Collection[bytes] = self.held.wholes
        """The updates that wait for something missing; to be read."""
        self.ready: list[tuple[bytes, Scan, object]] = []
        """For ``take_ready``."""
        self.judge: Judging | None = None
        """Told of each update but those that ``admit`` lets in by its short way."""
        self.follower = follower
        """Told of each update that may touch keys of maps, before it counts."""
        self._state_vector: bytes | None = None
        if state != EMPTY_UPDATE:
            found = self._scan_stored(state)
            if not is_loose(state, found):
                self.committed.is_joined()
            self._note(found, state)

    def _scan_stored(self, state: bytes) -> Scan:
        """Read a state; one that would take pycrdt too long is kept from it."""
        wary = replace(self._stored_limits, max_conflicts=self._limits.max_conflicts)
        try:
            return scan(state, wary, structs=self.follower is not None)
        except InvalidUpdate as error:
            if error.kind != "update-conflicts":
                raise
            self.committed.keep_verbatim("too many items compete for one place")
            return scan(state, self._stored_limits)

    # Admission

    @property
    def detailed(self) -> bool:
        """Whether scans for this document should come with structs."""
        return self.structure is not None or bool(self._halves)

    def knows(self, found: Layout) -> bool:
        """Return whether an update brings nothing that isn't here."""
        clocks = self.clocks
        for client, _, end in found.ranges:
            if clocks.get(client, 0) < end:
                return False
        return self.deleted.covers(found.deletes)

    def admit(self, update: bytes, found: Scan, source: object = None) -> Verdict:
        """Decide what to do with a scanned update, and count on it from now on.

        ``source`` is whatever ``take_ready`` is to return beside the parts of this update.
        Raises ``InvalidUpdate`` where it nests shared types too deeply; nothing changed then.
        """
        clocks = self.clocks
        if not (
            found.needs
            or found.types
            or found.skips
            or found.parents
            or found.keys
            or found.pairs
            or found.verbatim
            or found.roots
            or found.voids
            or self._halves
            or self.waiting
        ):  # one client that types: most of what there is
            ranges, deletes = found.ranges, found.deletes
            if len(ranges) == 1 and not deletes and self.structure is None:
                client, start, end = ranges[0]
                clock = clocks.get(client, 0)
                if end <= clock:
                    return Verdict.KNOWN
                if start == clock:
                    clocks[client] = end
                    self._state_vector = None
                    return Verdict.NEW
            elif len(deletes) == 1 and not ranges and self.follower is None:
                client, start, end = deletes[0]
                if end <= clocks.get(client, 0):
                    changed = self.deleted.insert(client, start, end)
                    return Verdict.NEW if changed else Verdict.KNOWN
        if self.knows(found):
            return Verdict.KNOWN
        if self.overlaps(found) or not self.fits(found):
            return self._admit_parts(update, found, source)
        self._note(found, update, source)
        if self.waiting:
            self._retry_held([each[0] for each in found.ranges])
        return Verdict.NEW

    def lacks(self, update: bytes, found: Scan) -> bool:
        """Return whether an update refers to anything that is not here, known or in itself."""
        if self.knows(found) or self.fits(found):
            return False
        return self._slice(update, scan(update, self._stored_limits, structs=True)).rest is not None

    def overlaps(self, found: Scan) -> bool:
        """Return whether an update brings again what is known. Only its new part is let in.

        Who applies it cuts it, and what that gives depends on what was collected before: Yjs
        even throws. And what is known may refer to something that never comes.
        """
        clocks = self.clocks
        return any(start < clocks.get(client, 0) for client, start, _ in found.ranges)

    def fits(self, found: Scan) -> bool:
        """Return whether an update's numbers say that it lacks nothing; it may all the same."""
        if found.skips:
            return False
        clocks = self.clocks
        for client, start, _ in found.ranges:
            if clocks.get(client, 0) < start:
                return False
        for client, end in found.needs.items():
            if clocks.get(client, 0) < end:
                return False
        brings: dict[int, int] = {}
        for client, _, end in found.deletes:
            if clocks.get(client, 0) < end:
                brings = brings or {own: own_end for own, _, own_end in found.ranges}
                if brings.get(client, 0) < end:
                    return False
        return True

    def _admit_parts(self, update: bytes, found: Scan, source: object) -> Verdict:
        """Let in what fits, hold the rest. Off the hot path: gaps are rare."""
        going = found.going
        if found.structs is None:
            found = scan(update, self._stored_limits, structs=True)
        clients, overlaps = [each[0] for each in found.ranges], self.overlaps(found)
        slices = None if found.complete and not overlaps else self._slice(update, found)
        if slices is None or (slices.rest is None and not found.skips and not overlaps):
            # Several clients whose structs refer to one another: sound as it is.
            self._note(found, update, source)
            verdict = Verdict.NEW
        else:
            for piece in slices.ready:
                self._let_in(piece, source, going)
            verdict = Verdict.KNOWN
            if slices.rest is not None:
                clients += self.held.put(slices.rest, source)
                verdict = Verdict.AHEAD
        if self.waiting:
            self._retry_held(clients)
        return verdict

    def _slice(self, update: bytes, found: Scan) -> Slices:
        return slice_new(update, found, self.clocks, self._limits)

    def _let_in(self, piece: bytes, source: object, going: IdSet | None = None) -> None:
        found = scan(piece, self._stored_limits, structs=True)
        if going is not None:
            found = found.among(going, found.deletes, complete=False)
        if self.knows(found):
            return
        if self.judge is not None and not self.judge.lets_in(piece, found, source):
            raise InvalidUpdate("a part that had to wait may not enter")
        self._note(found, piece, source)
        self.ready.append((piece, found, source))

    def take_ready(self) -> list[tuple[bytes, Scan, object]]:
        """Return the admitted parts of updates that could not be admitted whole, in order."""
        if not self.ready:
            return []
        ready, self.ready = self.ready, []
        return ready

    def _retry_held(self, clients: list[int]) -> None:
        """Let in what waited for a clock of some clients, until nothing more is due."""
        while due := self.held.take_due(clients, self.clocks):
            clients = [part.client for part in due]
            for part in due:
                piece = part.take(self.clocks)
                try:
                    if piece is not None:
                        self._let_in(piece, part.source)
                except InvalidUpdate:  # nobody is there any more to be told
                    self.held.drop(part)
                else:
                    self.held.put_back(part)

    def _spreads(self, roots: frozenset[str]) -> bool:
        """Return whether items lie in more than one root now."""
        if self.root is None and len(roots) == 1:
            (self.root,) = roots
            return False
        return bool(roots) and roots != {self.root}

    def _check_structure(self, found: Scan, update: bytes) -> Scan:
        if self.structure is None:
            self.structure = StructureIndex(self.root)
            self.root = None
        going = found.going
        if found.structs is None:
            found = scan(update, self._stored_limits, structs=True)
        structs, known = found.structs or [], self.clocks
        if len(found.ranges) > 1 or any(known.get(each[0], 0) > each[1] for each in found.ranges):
            structs = [new_part(each, known) for each in causal_order(structs, known)]
        if self._loading:  # what was let in before is let in again, whatever was made of it
            self.structure.add(structs)
        else:
            deletes = IdSet()
            deletes.add(found.deletes)
            self.structure.admit(
                structs,
                deletes=deletes,
                going=going or deletes,
                deleted=self.deleted,
                voids=self._voids,
                max_depth=self._limits.max_type_depth,
            )
        return found

    def _note(self, found: Scan, update: bytes, source: object = None) -> None:
        inside = found.types or found.parents or found.keys or self.structure is not None
        if inside or self._spreads(found.roots):
            found = self._check_structure(found, update)
            if self.follower is not None:
                self.follower.note(update, found, self.clocks, source)
        if found.pairs or found.verbatim or self._halves:
            self._check_exact(found, update)
        if self.judge is not None:
            self.judge.note(update, found)
        clocks = self.clocks
        for client, _, end in found.ranges:
            if clocks.get(client, 0) < end:
                clocks[client] = end
        self._state_vector = None
        if found.deletes:
            self.deleted.add(found.deletes)
        if found.voids:
            self._voids.add(found.voids)

    def _check_exact(self, found: Scan, update: bytes) -> None:
        """Keep a document verbatim from the moment it holds what pycrdt would change.

        A UTF-16 pair that an edit splits becomes two U+FFFD in Yjs; pycrdt can't split it, and
        loses its neighbour instead. So the halves are known of each document that has pairs.
        """
        if self.committed.verbatim:
            return
        if found.verbatim:
            self.committed.keep_verbatim("it holds big integers or XML hooks")
            return
        if found.structs is None:
            found = scan(update, self._stored_limits, structs=True)
        self._halves.add(found.pairs or ())
        if self._halves.any_in(borders_of(found, self.clocks)):
            self.committed.keep_verbatim("an edit splits a UTF-16 surrogate pair")
            self._halves = Halves()

    # What is committed

    def commit(self, update: bytes, layout: Layout, count: int = 1) -> None:
        """Take over a committed update (of ``count`` joined ones)."""
        self.committed.append(update, layout, count)

    def loaded(self) -> None:
        """Take note that what follows comes from clients: their limits hold from here on."""
        self._loading = False

    def replay(self, update: bytes) -> None:
        """Take over an update of the stored log while the document is loaded.

        Raises ``InvalidUpdate`` where it is not sound or does not fit.
        """
        found = scan(update, self._stored_limits)
        if not self.fits(found):
            found = scan(update, self._stored_limits, structs=True)
            if self._slice(update, found).rest is not None:
                raise InvalidUpdate("a stored update does not follow the one before")
        self._note(found, update)
        self.commit(update, found)

    @property
    def tail_updates(self) -> int:
        """Committed updates that wait to be integrated."""
        return self.committed.tail_updates

    @property
    def verbatim(self) -> str:
        """Why the document is kept as its updates' own bytes; empty where it is not."""
        return self.committed.verbatim

    def state_vector(self) -> bytes:
        """Return the encoded clocks, admitted updates included."""
        if self._state_vector is None:
            self._state_vector = encode_state_vector(self.clocks)
        return self._state_vector

    def state(self) -> bytes:
        """Return everything committed as one update."""
        return self.committed.state()

    def parts(self) -> list[bytes]:
        """Return everything committed as updates that follow one another, without making any."""
        return self.committed.parts()

    def diff(self, state_vector: bytes) -> list[bytes]:
        """Return updates that bring a client with ``state_vector`` up to what is committed."""
        has, halves = state_vector, self._halves
        cuts = halves and halves.any_in(read_state_vector(has, self._stored_limits).items())
        return self.committed.diff(has, self.clocks, exact=bool(cuts))

    def integrate(self) -> None:
        """Fold the log's tail into the state."""
        self.committed.integrate()

    def rest(self) -> None:
        """Let go of what can be made again."""
        self.committed.rest()

    def checkpoint(self) -> bytes:
        """Return the state, proven to reload to the same document."""
        return self.committed.checkpoint()

    def snapshot(self) -> Snapshot:
        """Return the state and what its proof takes, to be proven elsewhere."""
        return self.committed.snapshot()

    def draft(self) -> Draft:
        """Return what a state can be made of elsewhere."""
        return self.committed.draft()

    def adopt(self, draft: Draft, state: bytes, frames: list[bytes]) -> bool:
        """Go on from what was made of a draft; return whether that can be."""
        return self.committed.adopt(draft, state, frames)

    def keep_verbatim(self, reason: str) -> None:
        """Never let pycrdt have this document, from now on."""
        self.committed.keep_verbatim(reason)
