"""From what a store holds to a document: the checkpoint, then the log.

Owns what is made of damage: everything before it is served, read-only. A large document is put
together on a thread.
"""

import logging
from collections.abc import Mapping
from typing import Final

import anyio.to_thread

from crdtsync.channels.entries import Entries
from crdtsync.channels.shelf import Shelf
from crdtsync.channels.shrinking import lighten
from crdtsync.clock import Clock
from crdtsync.document import Document
from crdtsync.errors import InvalidUpdate
from crdtsync.guard import Watch, Work
from crdtsync.limits import Limits
from crdtsync.room import Room
from crdtsync.store.base import Loaded, Store
from crdtsync.structs import EMPTY_UPDATE

__all__ = ["LOAD_HERE_BYTES", "Loader", "load_room", "size_of"]

log = logging.getLogger("crdtsync")

LOAD_HERE_BYTES: Final = 256 * 1024
"""A larger document is put together in a thread: some 20 ms a megabyte, or a multiple of it."""

Built = tuple[Document, int, str]
"""A document, its sequence, and what is wrong with it (empty: nothing)."""


async def load_room(
    room: Room, store: Store, limiter: anyio.CapacityLimiter, rooms: Mapping[str, Room]
) -> bool:
    """Load a room's document; ``limiter`` is of the threads for large ones.

    Return whether it is one of the open ``rooms`` still: one that was let go of meanwhile stays
    as it is. Raises ``StoreError``.
    """
    loaded = await store.load(room.name)
    follows = room.engine.channels.rules.concerns(room.name)
    loader = Loader(room.limits, room.watch, room.clock, follows=follows)

    def build() -> tuple[Built, Shelf | None]:
        built = loader.build(loaded)
        return built, room.engine.channels.shelve(room.name, built[0])

    if size_of(loaded) <= LOAD_HERE_BYTES:
        (document, sequence, problem), shelf = build()
    else:
        (document, sequence, problem), shelf = await anyio.to_thread.run_sync(
            build, limiter=limiter
        )
    if rooms.get(room.name) is not room:
        return False
    room.log_records = len(loaded.records)
    room.log_bytes = sum(len(record.update) for record in loaded.records)
    room.damage = problem
    room.fill.state_bytes = len(loaded.checkpoint.state) if loaded.checkpoint else 0
    room.fill.note(room.log_bytes, 0)
    if problem:
        log.error("document %r is served read-only: %s", room.name, problem)
    room.engine.channels.loaded(room, document, shelf, _updated_ms(loaded))
    room.opened(document, sequence)
    return True


class Loader:
    """Builds one document."""

    def __init__(
        self, limits: Limits, watch: Watch, clock: Clock, *, follows: bool = False
    ) -> None:
        """``follows`` says whether the document's channels are to be kept account of."""
        self._follows = follows
        self._limits = limits
        self._watch = watch
        self._clock = clock

    def build(self, loaded: Loaded) -> Built:
        """Build the document from what the store holds."""
        self._watch.enter(Work.LOADING)
        try:
            return self._build(loaded)
        finally:
            self._watch.leave()

    def _build(self, loaded: Loaded) -> Built:
        problem = ""
        if loaded.damage is not None:
            damage = loaded.damage
            problem = _read_only(f"sequence {damage.sequence}: {damage.problem}")
        checkpoint = loaded.checkpoint
        sequence = checkpoint.sequence if checkpoint else 0
        try:
            document = self._document(checkpoint.state if checkpoint else EMPTY_UPDATE)
        except InvalidUpdate as error:
            problem = _read_only(f"checkpoint {sequence}: {error}")
            return self._document(EMPTY_UPDATE), 0, problem
        if checkpoint and self._follows and size_of(loaded) > LOAD_HERE_BYTES:
            lighten(document, checkpoint.state)
        for record in loaded.records:
            try:
                document.replay(record.update)
            except InvalidUpdate as error:
                return document, sequence, _read_only(f"sequence {record.sequence}: {error}")
            sequence = record.sequence
        if size_of(loaded) > LOAD_HERE_BYTES:
            document.diff(b"\x00")  # for the first to ask
            if document.verbatim:
                document.committed.open_whole(document.state())
        return document, sequence, problem

    def _document(self, state: bytes) -> Document:
        return Document(
            self._limits,
            state=state,
            watch=self._watch,
            clock=self._clock,
            follower=Entries() if self._follows else None,
        )


def size_of(loaded: Loaded) -> int:
    """Return the bytes of the updates that a store has handed over."""
    state = loaded.checkpoint.state if loaded.checkpoint else b""
    return len(state) + sum(len(record.update) for record in loaded.records)


def _updated_ms(loaded: Loaded) -> int:
    if loaded.records:
        return loaded.records[-1].time_ms
    return loaded.checkpoint.time_ms if loaded.checkpoint else 0


def _read_only(problem: str) -> str:
    return (
        f"the document is damaged ({problem}) and read-only: "
        "run 'crdtsync check --repair' with the server stopped"
    )
