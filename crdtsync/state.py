"""What is committed of one document: the log's tail, the cached state, the replica.

Owns the answers to "everything" and "what do I lack". Invariants:

- Integration is lazy: the tail goes into the replica when an answer needs it or it grows long.
  A newcomer is answered from the cached state and the tail, without integrating.
- Newcomers may be given less than everything, where it shows the same (``lighten``), and all that
  came since.
- What pycrdt can't carry exactly never goes through it: such a document is *verbatim*, its
  state is made from the updates' own bytes. That is larger, for it compacts nothing, and exact.

Knows nothing of admission: what comes here is checked and causally complete.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from crdtsync.clock import Clock
from crdtsync.crdt import IntegrationError, Replica
from crdtsync.guard import NO_WATCH, Watch
from crdtsync.limits import Limits
from crdtsync.portions import Part, compact, frames_of
from crdtsync.proof import prove_state
from crdtsync.state_vector import read_state_vector
from crdtsync.structs import EMPTY_UPDATE, Layout
from crdtsync.whole import Whole

__all__ = ["CommittedState"]

MAX_CACHED_DIFFS: Final = 16
MAX_CACHED_DIFF_BYTES: Final = 1024 * 1024
INTEGRATE_HERE_BYTES: Final = 256 * 1024
"""A tail of more is not integrated to answer a reader: it is sent as it is, until a state is made
elsewhere."""


class Snapshot(NamedTuple):
    """A state on its way to a checkpoint."""

    state: bytes
    state_vector: bytes
    applied: int
    """How many of the updates kept for a second try are in it."""


class Draft(NamedTuple):
    """What a state is made of elsewhere."""

    parts: list[bytes]
    """Updates that follow one another."""
    updates: int
    """How many of those that wait to be integrated are in it."""


class CommittedState:
    """A document's committed content."""

    __slots__ = (
        "_applied",
        "_base",
        "_clock",
        "_diffs",
        "_drafted",
        "_light",
        "_limits",
        "_loose",
        "_next",
        "_pieces",
        "_recovery",
        "_replica",
        "_since",
        "_tail",
        "_tail_bytes",
        "_watch",
        "_whole",
        "tail_updates",
        "verbatim",
    )

    def __init__(
        self,
        limits: Limits,
        state: bytes,
        watch: Watch = NO_WATCH,
        clock: Clock | None = None,
    ) -> None:
        """Start from a state; ``limits`` are those for stored bytes."""
        self._limits = limits
        self._watch = watch
        self._clock = clock
        self._base: bytes | None = state  # the whole state without the tail, where it is known
        self._loose: bytes | None = state  # what may be loose: the library has not made it
        self._recovery = state  # the last proven state,
        self._applied: list[Part] = []  # and what went into the replica since
        self._tail: list[Part] = []
        self._tail_bytes = 0
        self._replica: Replica | None = None
        self._whole: Whole | None = None  # the same, looked into, for those whom bytes answer
        self._pieces: tuple[bytes, list[bytes]] | None = None  # of which state
        self._diffs: dict[bytes, bytes] = {}
        self._light: list[bytes] | None = None  # for newcomers, with what was committed
        self._since: list[Part] = []  # since then
        self._next: list[Part] | None = None  # the same for the next such, which is being made
        self._drafted: int | None = None  # so much of ``_applied`` and ``_tail`` is in a draft
        self.tail_updates = 0
        """Updates that wait to be integrated."""
        self.verbatim = ""
        """Why the document is kept verbatim; empty where it is not."""

    def is_joined(self) -> None:
        """Take note that the state it started from is not loose (see ``portions``)."""
        self._loose = None

    def append(self, update: bytes, layout: Layout, count: int) -> None:
        """Take over a committed update (of ``count`` joined ones)."""
        self._tail.append((update, layout))
        self._tail_bytes += len(update)
        if self._light is not None:
            self._since.append((update, layout))
        if self._next is not None:
            self._next.append((update, layout))
        self.tail_updates += count
        if self._diffs:
            self._diffs.clear()

    def keep_verbatim(self, reason: str) -> None:
        """Never let pycrdt have this document, from now on."""
        if self.verbatim:
            return
        self.verbatim = reason
        self._base = self._recovery
        self._tail = self._applied + self._tail
        self._applied = []
        self._replica = None
        self._pieces = None
        self._light = self._next = None
        self._since = []
        self._drafted = None
        self._diffs.clear()

    def state(self) -> bytes:
        """Return everything as one update."""
        self.integrate()
        return self._cached_base()

    def parts(self) -> list[bytes]:
        """Return everything as updates that follow one another, as they are: nothing is made."""
        if self._base is not None:
            before = [self._base]
        else:
            before = [self._recovery, *(update for update, _ in self._applied)]
        return [each for each in before if each != EMPTY_UPDATE] + [each[0] for each in self._tail]

    def _cached_base(self) -> bytes:
        if self._base is None:
            try:
                self._base = self._open_replica().state()
            except IntegrationError as error:
                self._give_up(error)
            self._pieces = None
        assert self._base is not None
        return self._base

    def _give_up(self, error: IntegrationError) -> None:
        """Go on by the bytes: what was stored verbatim is tried again after each load."""
        tail, self._tail = self._tail, []
        self.keep_verbatim(f"pycrdt can't integrate it: {error}")
        self.integrate()
        self._tail = tail

    def _open_replica(self) -> Replica:
        if self._replica is None:
            known = self._recovery if self._base is None else self._base
            joined = known is not self._loose
            replica = Replica(known, self._watch, self._clock, joined=joined)
            if self._base is None:
                replica.apply(update for update, _ in self._applied)
            self._replica = replica
        return self._replica

    def integrate(self) -> None:
        """Fold the tail in: by pycrdt in one transaction, or by the bytes."""
        if not self._tail:
            return
        if not self.verbatim:
            try:
                self._open_replica().apply(update for update, _ in self._tail)
            except IntegrationError as error:
                self.keep_verbatim(f"pycrdt can't integrate it: {error}")
            else:
                self._applied += self._tail
                self._base = None
        if self.verbatim:
            whole = self.open_whole(self._base or EMPTY_UPDATE)
            whole.fold(self._tail)
            self._base = self._recovery = whole.state
            self._pieces = None
        self._diffs.clear()
        self._tail = []
        self._tail_bytes = self.tail_updates = 0

    @property
    def heavy(self) -> bool:
        """Whether integrating the tail takes long."""
        return self._tail_bytes > INTEGRATE_HERE_BYTES and not self.verbatim

    def diff(
        self, state_vector: bytes, clocks: Mapping[int, int], *, exact: bool = False
    ) -> list[bytes]:
        """Return updates that bring a reader with ``state_vector`` up to date.

        ``state_vector`` has been checked; ``clocks`` are the document's. ``exact`` says that it
        ends where pycrdt can't cut.
        """
        if self._light is not None and self._is_new(state_vector, clocks):
            self._since = compact(self._since, self._limits)
            return [*self._light, *(update for update, _ in self._since)]
        if state_vector == b"\x00" or self._lacks_most(state_vector, clocks):
            base = self._cached_base()
            return [*self._cut_base(base), *self._compact_tail()]
        if self._tail and not self.heavy:
            self.integrate()
        known = self._diffs.get(state_vector)
        if known is None:
            known = self._make_diff(state_vector, exact)
            if len(known) <= MAX_CACHED_DIFF_BYTES:
                if len(self._diffs) >= MAX_CACHED_DIFFS:
                    self._diffs.clear()
                self._diffs[state_vector] = known
        return [*frames_of(known, self._limits), *self._compact_tail()]

    def _is_new(self, state_vector: bytes, clocks: Mapping[int, int]) -> bool:
        return not clocks.keys() & read_state_vector(state_vector, self._limits).keys()

    def _lacks_most(self, state_vector: bytes, clocks: Mapping[int, int]) -> bool:
        """Return whether a reader lacks most of a large document: what newcomers get is made."""
        if self._base is None or len(self._base) <= self._limits.max_frame_bytes:
            return False
        has = read_state_vector(state_vector, self._limits)
        lacks = sum(max(0, end - has.get(client, 0)) for client, end in clocks.items())
        return 2 * lacks > sum(clocks.values())

    def open_whole(self, state: bytes) -> Whole:
        """Look into a state of its own, for answers that are made of its bytes."""
        if self._whole is None or self._whole.state is not state:
            self._whole = Whole(state, self._limits)
        return self._whole

    def _cut_base(self, base: bytes) -> list[bytes]:
        known = self._pieces
        if known is not None and known[0] is base:
            return known[1]
        pieces = frames_of(base, self._limits)
        self._pieces = base, pieces
        return pieces

    def _make_diff(self, state_vector: bytes, exact: bool) -> bytes:
        """Return what a reader lacks of all but the tail."""
        if not self.verbatim and not exact:
            try:
                return self._open_replica().diff(state_vector)
            except IntegrationError as error:
                self._give_up(error)
        whole = self.open_whole(self._cached_base())
        return whole.missing(read_state_vector(state_vector, self._limits))

    def _compact_tail(self) -> list[bytes]:
        """Join small neighbours of the tail and cut large updates, once for all newcomers."""
        border = max(0, (self._drafted or 0) - len(self._applied))
        drafted = compact(self._tail[:border], self._limits)
        if border:
            self._drafted = len(self._applied) + len(drafted)
        self._tail = drafted + compact(self._tail[border:], self._limits)
        return [update for update, _ in self._tail]

    def begin_light(self) -> None:
        """Remember what is committed from now on: something smaller is made of what there is."""
        self._next = []

    def lighten(self, light: list[bytes] | None) -> None:
        """Give newcomers this in place of what there was then; ``None``: go on as before."""
        since, self._next = self._next, None
        if since is not None and light is not None:  # not verbatim by now, for example
            self._light, self._since = light, since

    @property
    def since_light_bytes(self) -> int | None:
        """What newcomers are given beside the light state; ``None`` where there is no such."""
        return None if self._light is None else sum(len(update) for update, _ in self._since)

    def cut(self, update: bytes) -> list[bytes]:
        """Cut a state into what newcomers are sent. May be called on another thread."""
        return frames_of(update, self._limits)

    def rest(self) -> None:
        """Let go of the replica: the state's bytes are smaller, and enough for newcomers."""
        if self._replica is not None:
            self.state()
            self._replica = None
            self._diffs.clear()
        self._whole = None

    def checkpoint(self) -> bytes:
        """Return the state, proven to reload to the same document.

        Where pycrdt's does not, it is verbatim from here on.
        """
        snapshot = self.snapshot()
        if not self.verbatim:
            try:
                prove_state(snapshot.state, snapshot.state_vector, self._watch)
            except IntegrationError as error:
                self.keep_verbatim(f"pycrdt can't carry it: {error}")
                snapshot = self.snapshot()
        self.proven(snapshot)
        return snapshot.state

    def shrink(self, snapshot: Snapshot, smaller: bytes) -> None:
        """Take over a state that stands for a snapshot's, of which it was made."""
        if self.verbatim:
            return
        self._recovery = smaller
        del self._applied[: snapshot.applied]
        self._drafted = None
        self._base = None if self._applied else smaller
        self._replica = None
        self._pieces = None
        self._diffs.clear()

    def snapshot(self) -> Snapshot:
        """Return the state with what its proof takes; hand it to ``proven`` then."""
        state = self.state()
        vector = b""
        if not self.verbatim:
            try:
                vector = self._open_replica().state_vector()
            except IntegrationError as error:
                self._give_up(error)
                state = self.state()
        return Snapshot(state, vector, len(self._applied))

    def proven(self, snapshot: Snapshot) -> None:
        """Rely on a proven state: what went into it need not be kept for a second try."""
        self._recovery = snapshot.state
        del self._applied[: snapshot.applied]
        self._drafted = None

    def draft(self) -> Draft:
        """Return what everything is made of, to be made elsewhere; hand it to ``adopt`` then."""
        self._drafted = len(self._applied) + len(self._tail)
        return Draft(self.parts(), self.tail_updates)

    def adopt(self, draft: Draft, state: bytes, frames: list[bytes]) -> bool:
        """Go on from a proven state that was made of the last draft; return whether that can be.

        ``frames`` is the same, cut for newcomers.
        """
        drafted, self._drafted = self._drafted, None
        if drafted is None or self.verbatim:
            return False
        waiting = drafted - len(self._applied)  # of the draft, if nothing was integrated since
        if waiting > 0:
            self._apply_drafted(self._tail[:waiting])
            self._tail = self._tail[waiting:]
            self._tail_bytes = sum(len(update) for update, _ in self._tail)
            self.tail_updates -= draft.updates
        self._applied = self._applied[drafted:]
        self._recovery = state
        if not self._applied:
            self._base = state
            self._pieces = state, frames
        return True

    def _apply_drafted(self, parts: list[Part]) -> None:
        """Bring the replica to where a draft ends, where there is one, and it doesn't take long."""
        if sum(len(part[0]) for part in parts) > INTEGRATE_HERE_BYTES:
            self._replica = None
        if self._replica is not None:
            try:
                self._replica.apply(update for update, _ in parts)
            except IntegrationError:
                self._replica = None
