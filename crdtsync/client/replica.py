"""The document in memory: pycrdt for the program, and the check in front of it.

Owns the pycrdt document and what is known of it (``crdtsync.document``). Invariants:

- pycrdt is given nothing from a socket or a store that the update reader has not checked, and
  nothing that leaves a gap: what is ahead of something missing waits here, bounded.
- Whatever pycrdt raises on it, ``BaseException`` included, leaves as ``Unusable``. An error in
  the program's own observers is logged, and what was applied stays.
- Each edit of the program is noticed once, with its bytes; what came from elsewhere never is.

Beside ``crdtsync.crdt`` it is the only module that uses pycrdt: its documents are the program's,
with the program's observers, and that one's are the server's.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final, TypeVar

import pycrdt

from crdtsync.client.errors import Unusable
from crdtsync.document import Document as Checked
from crdtsync.document import Verdict
from crdtsync.errors import InvalidUpdate
from crdtsync.limits import Limits
from crdtsync.portions import portions_of
from crdtsync.slicing import missing_from
from crdtsync.state_vector import encode_state_vector, read_state_vector
from crdtsync.structs import EMPTY_UPDATE, Scan
from crdtsync.update import scan

__all__ = ["ORIGIN", "Replica", "Seen"]

log = logging.getLogger("crdtsync.client")

ORIGIN: Final = "crdtsync"
"""What came from elsewhere has it as its transaction's origin; the program's edits have none."""
LIMITS: Final = replace(Limits(), max_update_clients=1 << 62, max_update_structs=1 << 62)
"""A document has any number of clients and structs: what comes is bounded by its size."""
DETAILED_BYTES: Final = 4096
"""A larger update is scanned with each struct at once: a document's first has maps, mostly."""

Seen = Callable[[bytes, Scan], None]
T = TypeVar("T")


def _nobody(_update: bytes, _found: Scan) -> None:
    """Take an update that nobody is interested in."""


class Replica:
    """A pycrdt document that is kept in step with others.

    ``lock`` is held wherever the document is touched, and whenever one of the two calls is made.
    """

    def __init__(self, doc: "pycrdt.Doc[Any]", lock: AbstractContextManager[Any]) -> None:
        self.doc = doc
        self.lock = lock
        self.edited: Seen = _nobody
        """Gets each edit of the program."""
        self.arrived: Seen = _nobody
        """Gets what came from elsewhere and was new."""
        self._checked = Checked(LIMITS)
        self._checked.loaded()
        self._subscription: pycrdt.Subscription | None = None
        self._applying = False  # what is noticed then is what is applied: observers can't edit
        self.unsendable: Unusable | None = None
        """Set where the program has written what no server takes."""

    def attach(self, *, edited: Seen, arrived: Seen) -> None:
        """Notice the program's edits from now on, and what it brought along."""
        with self.lock:
            self.edited, self.arrived = edited, arrived
            state = self._contained(self.doc.get_update)
            if state != EMPTY_UPDATE:
                self._notice(state)
            self._subscription = self.doc.observe(self._observe)

    def detach(self) -> None:
        """Notice no more edits."""
        with self.lock:
            self.edited = self.arrived = _nobody
            if self._subscription is not None:
                self.doc.unobserve(self._subscription)
                self._subscription = None

    # From the program

    def _observe(self, event: pycrdt.TransactionEvent) -> None:
        update = event.update
        if update != EMPTY_UPDATE and not self._applying:
            self._notice(update)

    def _notice(self, update: bytes) -> None:
        try:
            found = scan(update, LIMITS)
            if self._checked.knows(found):
                return
            if any(start < self.clocks.get(client, 0) for client, start, _ in found.ranges):
                described = scan(update, LIMITS, structs=True)
                update = missing_from(update, described, self.clocks)
                found = scan(update, LIMITS)
            self._checked.admit(update, found)
            self._checked.take_ready()
        except InvalidUpdate as error:
            self.unsendable = Unusable(f"an edit is beyond what a server takes: {error}")
            log.error("%s", self.unsendable)
            return
        self.edited(update, found)

    # From elsewhere

    def integrate(self, update: bytes) -> tuple[Scan, bool]:
        """Apply what came from elsewhere, as far as it fits.

        Returns what its bytes say, and whether something is missing. Raises ``Unusable``.
        """
        with self.lock:
            checked = self._checked
            try:
                detailed = checked.detailed or len(update) > DETAILED_BYTES
                found = scan(update, LIMITS, structs=detailed)
                verdict = checked.admit(update, found)
            except InvalidUpdate as error:
                raise Unusable(f"an update can't be used: {error}") from None
            pieces = [(update, found)] if verdict is Verdict.NEW else []
            pieces += [(piece, each) for piece, each, _ in checked.take_ready()]
            for piece, each in pieces:
                self._apply(piece)
                self.arrived(piece, each)
            return found, verdict is Verdict.AHEAD

    def _apply(self, update: bytes) -> None:
        def call() -> None:
            self._applying = True
            try:
                for portion in portions_of(update):
                    try:
                        with self._transaction():
                            self.doc.apply_update(portion)
                    except ExceptionGroup as group:
                        log.error("an observer of the document failed", exc_info=group)
            finally:
                self._applying = False

        self._contained(call)

    def _transaction(self) -> "pycrdt.Transaction":
        try:
            return self.doc.transaction(origin=ORIGIN)
        except RuntimeError:  # the program holds one open, over an await: that has its origin
            return self.doc.transaction()

    @property
    def clocks(self) -> Mapping[int, int]:
        """Of every client the next clock."""
        return self._checked.clocks

    # What there is

    def diff(self, state_vector: bytes) -> tuple[bytes, dict[int, int]]:
        """Return what a document with this state vector lacks, and the vector's clocks."""
        try:
            clocks = read_state_vector(state_vector, LIMITS)
        except InvalidUpdate as error:
            raise Unusable(f"a state vector can't be read: {error}") from None
        with self.lock:
            vector = encode_state_vector(clocks)
            return self._contained(lambda: self.doc.get_update(vector)), clocks

    def state(self) -> bytes:
        """Return the whole document as one update."""
        with self.lock:
            return self._contained(self.doc.get_update)

    def _contained(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:
            raise Unusable(f"the CRDT library failed: {type(error).__name__}: {error}") from error
