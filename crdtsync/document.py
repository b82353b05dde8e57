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

from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from typing import Final

from crdtsync.crdt import IntegrationError, Replica, merge
from crdtsync.depths import DepthIndex
from crdtsync.errors import InvalidUpdate
from crdtsync.idset import IdSet
from crdtsync.limits import Limits
from crdtsync.slicing import Slices, causal_order, encode_state_vector, slice_update
from crdtsync.update import EMPTY_UPDATE, Scan, scan

__all__ = ["Document", "Verdict"]


class Verdict(Enum):
    """What ``admit`` found."""

    NEW = "new"
    """It fits: commit it."""
    KNOWN = "known"
    """It brings nothing (beyond what ``take_ready`` has): drop it."""
    AHEAD = "ahead"
    """Some of it lacks something: ask the sender again. ``take_ready`` has what fits."""


@lru_cache
def _stored(limits: Limits) -> Limits:
    """Return the limits for what was let in before: whatever was stored can be read again."""
    return replace(limits, max_conflicts=1 << 62, max_update_clients=1 << 62)


_MAX_CACHED_DIFFS: Final = 16
_MAX_CACHED_DIFF_BYTES: Final = 1024 * 1024
_COMPACT_BELOW: Final = 16 * 1024  # pieces of the tail under this size are merged for joiners


class Document:
    """A document of this server, with everything but its connections."""

    __slots__ = (
        "_applied",
        "_base",
        "_deleted",
        "_depths",
        "_diffs",
        "_held",
        "_held_bytes",
        "_limits",
        "_pieces",
        "_recovery",
        "_replica",
        "_state_vector",
        "_stored_limits",
        "_tail",
        "_unintegrated",
        "clocks",
        "ready",
        "tail_updates",
    )

    def __init__(self, limits: Limits, *, state: bytes = EMPTY_UPDATE) -> None:
        """Start from a state that was checked when it was written.

        Raises ``InvalidUpdate`` where it is not a sound update after all.
        """
        self._limits = limits
        self._stored_limits = _stored(limits)
        self.clocks: dict[int, int] = {}
        """Of every client the next clock, admitted updates included."""
        self._deleted = IdSet()
        self._depths: DepthIndex | None = None
        self._base: bytes | None = state  # the whole state, unless the replica is newer
        self._recovery = state  # the last state taken from the replica,
        self._applied: list[bytes] = []  # and what went into it since
        self._tail: list[bytes] = []
        self.tail_updates = 0
        self._replica: Replica | None = None
        self._unintegrated: list[bytes] = []
        self._held: list[tuple[bytes, object]] = []
        self._held_bytes = 0
        self.ready: list[tuple[bytes, Scan, object]] = []
        """For ``take_ready``."""
        self._state_vector: bytes | None = None
        self._diffs: dict[bytes, bytes] = {}
        self._pieces: list[bytes] | None = None
        if state != EMPTY_UPDATE:
            self._note(scan(state, self._stored_limits), state)

    # Admission

    @property
    def detailed(self) -> bool:
        """Whether scans for this document should come with structs."""
        return self._depths is not None

    @property
    def held(self) -> int:
        """The number of updates that wait for something missing."""
        return len(self._held)

    def knows(self, found: Scan) -> bool:
        """Return whether an update brings nothing that isn't here."""
        clocks = self.clocks
        for client, _, end in found.ranges:
            if clocks.get(client, 0) < end:
                return False
        return self._deleted.covers(found.deletes)

    def admit(self, update: bytes, found: Scan, source: object = None) -> Verdict:
        """Decide what to do with a scanned update, and count on it from now on.

        ``source`` is whatever ``take_ready`` is to return beside the parts of this update.
        Raises ``InvalidUpdate`` where it nests shared types too deeply; nothing changed then.
        """
        clocks = self.clocks
        if (
            len(found.ranges) == 1
            and not (found.deletes or found.needs or found.types or found.skips or self._held)
            and self._depths is None
        ):  # one client that types: 0.7 us faster
            client, start, end = found.ranges[0]
            clock = clocks.get(client, 0)
            if end <= clock:
                return Verdict.KNOWN
            if start <= clock:
                clocks[client] = end
                self._state_vector = None
                return Verdict.NEW
        if self.knows(found):
            return Verdict.KNOWN
        if not self._fits(found):
            return self._admit_parts(update, source)
        if found.types or self._depths is not None:
            self._check_depths(update, found)
        for client, _, end in found.ranges:
            if clocks.get(client, 0) < end:
                clocks[client] = end
        self._state_vector = None
        if found.deletes:
            self._deleted.add(found.deletes)
        if self._held:
            self._retry_held()
        return Verdict.NEW

    def _fits(self, found: Scan) -> bool:
        if found.skips:
            return False
        clocks = self.clocks
        for client, start, _ in found.ranges:
            if clocks.get(client, 0) < start:
                return False
        for client, end in found.needs.items():
            if clocks.get(client, 0) < end:
                return False
        for client, _, end in found.deletes:
            if clocks.get(client, 0) < end and not any(
                own == client and end <= own_end for own, _, own_end in found.ranges
            ):
                return False
        return True

    def _admit_parts(self, update: bytes, source: object) -> Verdict:
        """Let in what fits, hold the rest. Off the hot path: gaps are rare."""
        found = scan(update, self._limits, structs=True)
        slices = self._slice(update, found)
        if slices.rest is None and not found.skips:
            # Several clients whose structs refer to one another: sound as it is.
            self._note(found, update)
            verdict = Verdict.NEW
        else:
            for piece in slices.ready:
                self._let_in(piece, source)
            if slices.rest is None:
                verdict = Verdict.KNOWN
            else:
                self._hold(slices.rest, source)
                verdict = Verdict.AHEAD
        if self._held:
            self._retry_held()
        return verdict

    def _slice(self, update: bytes, found: Scan) -> Slices:
        return slice_update(update, found, self.clocks, max_bytes=self._limits.max_message_bytes)

    def _let_in(self, piece: bytes, source: object) -> bool:
        found = scan(piece, self._stored_limits, structs=True)
        if self.knows(found):
            return False
        self._note(found, piece)
        self.ready.append((piece, found, source))
        return True

    def take_ready(self) -> list[tuple[bytes, Scan, object]]:
        """Return the admitted parts of updates that could not be admitted whole, in order."""
        if not self.ready:
            return []
        ready, self.ready = self.ready, []
        return ready

    def _hold(self, update: bytes, source: object) -> None:
        if (
            len(self._held) >= self._limits.max_held_updates
            or self._held_bytes + len(update) > self._limits.max_held_bytes
            or any(update == held for held, _ in self._held)
        ):
            return  # its sender is asked for it again, and will bring it with what it lacks
        self._held.append((update, source))
        self._held_bytes += len(update)

    def _retry_held(self) -> None:
        progress = True
        while progress and self._held:
            progress = False
            held, self._held, self._held_bytes = self._held, [], 0
            for update, source in held:
                slices = self._slice(
                    update, scan(update, self._stored_limits, structs=True)
                )
                try:
                    for piece in slices.ready:
                        progress |= self._let_in(piece, source)
                except InvalidUpdate:
                    continue  # it nests too deeply: nobody is there any more to be told
                if slices.rest is not None:
                    self._hold(slices.rest, source)

    def _check_depths(self, update: bytes, found: Scan) -> None:
        if self._depths is None:
            if not found.types:
                return
            self._depths = DepthIndex()
        if found.structs is None:
            found = scan(update, self._stored_limits, structs=True)
        structs = found.structs or []
        if len(found.ranges) > 1:
            structs = causal_order(structs, self.clocks)
        self._depths.add(structs, max_depth=self._limits.max_type_depth)

    def _note(self, found: Scan, update: bytes) -> None:
        if found.types or self._depths is not None:
            self._check_depths(update, found)
        for client, _, end in found.ranges:
            if self.clocks.get(client, 0) < end:
                self.clocks[client] = end
        self._state_vector = None
        self._deleted.add(found.deletes)

    # What is committed

    def commit(self, update: bytes, count: int = 1) -> None:
        """Take over a committed update (of ``count`` merged ones)."""
        self._tail.append(update)
        self.tail_updates += count
        if self._diffs:
            self._diffs.clear()

    def replay(self, update: bytes) -> None:
        """Take over an update of the stored log while the document is loaded.

        Raises ``InvalidUpdate`` where it is not sound or does not fit.
        """
        found = scan(update, self._stored_limits)
        if not self._fits(found):
            found = scan(update, self._stored_limits, structs=True)
            if slice_update(update, found, self.clocks, max_bytes=len(update)).rest is not None:
                raise InvalidUpdate("a stored update does not follow the one before")
        self._note(found, update)
        self.commit(update)

    def state_vector(self) -> bytes:
        """Return the encoded clocks, admitted updates included."""
        if self._state_vector is None:
            self._state_vector = encode_state_vector(self.clocks)
        return self._state_vector

    def state(self) -> bytes:
        """Return everything committed as one update.

        Raises ``IntegrationError`` where the CRDT library can't take a committed update.
        """
        self.integrate()
        if self._unintegrated:
            raise IntegrationError("the document holds updates that can't be integrated")
        return self._cached_state()

    def diff(self, state_vector: bytes) -> list[bytes]:
        """Return updates that bring a client with ``state_vector`` up to what is committed.

        ``state_vector`` has been checked. A newcomer is answered from the cached state and the
        tail, without integrating.
        """
        if state_vector == b"\x00":
            return [*self._state_pieces(), *self._unintegrated, *self._compact_tail()]
        known = self._diffs.get(state_vector)
        if known is None:
            self.integrate()
            known = self._integrated().diff(state_vector)
            if len(known) <= _MAX_CACHED_DIFF_BYTES:
                if len(self._diffs) >= _MAX_CACHED_DIFFS:
                    self._diffs.clear()
                self._diffs[state_vector] = known
        answer = self._cut(known)
        return [*answer, *self._unintegrated]

    def _cached_state(self) -> bytes:
        if self._base is None:
            self._base = self._recovery = self._integrated().state()
            self._applied = []
            self._pieces = None
        return self._base

    def _state_pieces(self) -> list[bytes]:
        state = self._cached_state()
        if self._pieces is None:
            self._pieces = self._cut(state)
        return self._pieces

    def _cut(self, update: bytes) -> list[bytes]:
        """Cut a large update, so that a client on a slow line hears something now and then."""
        if update == EMPTY_UPDATE:
            return []
        limit = self._limits.max_frame_bytes
        if len(update) <= limit:
            return [update]
        found = scan(update, self._stored_limits, structs=True)
        # A difference refers to what its reader has: everything but the ranges themselves.
        before = dict(self.clocks)
        for client, start, _ in found.ranges:
            before[client] = start
        slices = slice_update(update, found, before, max_bytes=limit)
        return [update] if slices.rest is not None else slices.ready

    def _compact_tail(self) -> list[bytes]:
        """Merge small neighbours of the tail, for good: the next joiner finds them merged."""
        tail = self._tail
        if len(tail) > 1:
            merged: list[bytes] = []
            for group in _groups(tail, self._limits.max_merge):
                merged.append(merge(group))
            self._tail = tail = merged
        return tail

    def integrate(self) -> None:
        """Put the tail into the replica, in one transaction."""
        if not self._tail:
            return
        tail, self._tail, self.tail_updates = self._tail, [], 0
        replica = self._integrated()
        try:
            replica.apply(tail)
        except IntegrationError:
            self._isolate(tail)
        else:
            self._applied += tail
        self._base = None

    def _isolate(self, tail: list[bytes]) -> None:
        """Rebuild the replica without the updates that the CRDT library can't take.

        They stay committed, and are handed to clients as they are.
        """
        for update in tail:
            replica = Replica(self._recovery)
            try:
                replica.apply([*self._applied, update])
            except IntegrationError:
                self._unintegrated.append(update)
            else:
                self._applied.append(update)
        self._replica = Replica(self._recovery)
        self._replica.apply(self._applied)

    @property
    def unintegrated(self) -> int:
        """Committed updates that the CRDT library could not take."""
        return len(self._unintegrated)

    def _integrated(self) -> Replica:
        if self._replica is None:
            self._replica = Replica(self._recovery)
        return self._replica

    def rest(self) -> None:
        """Let go of the replica: the state's bytes are a tenth of it, and enough for joiners."""
        if self._replica is not None and not self._unintegrated:
            self.state()
            self._replica = None
            self._diffs.clear()

    def checkpoint(self) -> bytes:
        """Return the state, proven to reload to the same document.

        Raises ``IntegrationError`` where it does not; nothing older may be dropped then.
        """
        state = self.state()
        try:
            found = scan(state, self._stored_limits)
        except InvalidUpdate as error:
            raise IntegrationError(f"the state can't be read back: {error}") from None
        again = Replica(state)
        if self._replica is not None and again.state_vector() != self._replica.state_vector():
            raise IntegrationError("the state reloads to another state vector")
        second = again.state()
        if second != state:
            reread = scan(second, self._stored_limits)
            if sorted(reread.ranges) != sorted(found.ranges) or set(reread.deletes) != set(
                found.deletes
            ):
                raise IntegrationError("the state reloads to another document")
        return state

    def deleted_ranges(self) -> Iterator[tuple[int, int, int]]:
        """Iterate over the deleted ``(client, first clock, end clock)``."""
        return iter(self._deleted)


def _groups(updates: Iterable[bytes], most: int) -> Iterator[list[bytes]]:
    """Group neighbours: up to ``most`` small ones; a large one stays alone."""
    group: list[bytes] = []
    for update in updates:
        if len(update) > _COMPACT_BELOW:
            if group:
                yield group
                group = []
            yield [update]
            continue
        group.append(update)
        if len(group) >= most:
            yield group
            group = []
    if group:
        yield group
