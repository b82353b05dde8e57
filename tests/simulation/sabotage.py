"""Defects, put into the server on purpose: what the simulator is for has to be found by it.

Each is a small change to one method, for as long as the block runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from crdtsync.awareness import AwarenessTable
from crdtsync.committer import Committer
from crdtsync.connection import Connection
from crdtsync.document import Document
from crdtsync.fanout import Fanout
from crdtsync.housekeeping import Housekeeping
from crdtsync.judge import Judge
from crdtsync.limits import Limits
from crdtsync.room import Room
from crdtsync.store import file_documents, file_journal
from crdtsync.store.base import Record
from tests.simulation import memory
from tests.simulation.story import play
from tests.simulation.world import Failure

__all__ = ["SABOTAGES", "ends_badly"]

Change = Callable[[], Any]


def _acknowledge_early() -> Any:
    """The store says that it has a commit, and writes it a little later."""
    write = memory._Faulty.append

    async def append(self: Any, batch: Sequence[Record]) -> None:
        def later() -> None:
            memory._put(self._documents, list(batch))

        if self._faults.goes_wrong() or not batch:
            await write(self, batch)
        else:
            self._faults.step("before an append")
            self._faults.kernel.after(0.05, later)

    return patch.object(memory._Faulty, "append", append)


def _show_early() -> Any:
    """What is handed to the store goes out at once."""
    take = Room.take_batch

    def take_batch(self: Room, time_ms: int) -> list[Record]:
        records = take(self, time_ms)
        self.fanout.publish(self._in_flight)
        return records

    return patch.object(Room, "take_batch", take_batch)


def _lose_a_cursor_entry() -> Any:
    """Who falls behind is taken to have one update more than it has."""
    blocked = Fanout.blocked

    def behind(self: Fanout, connection: Connection) -> None:
        blocked(self, connection)
        connection.cursor += 1

    return patch.object(Fanout, "blocked", behind)


def _leak_presence() -> Any:
    """Who goes stays present."""
    return patch.object(AwarenessTable, "leave", lambda self, owner: False)


def _let_everyone_write() -> Any:
    """Nobody asks whether an edit may enter."""
    return patch.object(Judge, "denial", lambda *_: None)


def _take_failure_for_success() -> Any:
    """A commit that failed counts as one that did not."""
    return patch.object(Committer, "_stall", lambda self, room, batch: room.committed())


def _never_ask_again() -> Any:
    """What waits for something missing waits for ever."""
    return patch.object(Room, "ask", lambda self, connection: None)


def _forget_held() -> Any:
    """What waits is not looked at when what it waits for comes."""
    return patch.object(Document, "_retry_held", lambda self: None)


def _count_connections_twice() -> Any:
    """A connection that goes is not counted."""
    detach = Room.detach

    def leave(self: Room, connection: Connection) -> None:
        detach(self, connection)
        self.stats.connections_closed = 0

    return patch.object(Room, "detach", leave)


def _keep_rooms() -> Any:
    """Rooms that nobody is in stay open."""
    return patch.object(Housekeeping, "_schedule_close", lambda self, room: None)


def _never_sync_the_journal() -> Any:
    """The file store's commits stay in the system's cache."""
    return patch.object(file_journal, "sync", lambda descriptor: None)


def _never_sync_documents() -> Any:
    """The documents' files take the journal's records, and are not synced."""
    append_at = file_documents.file_disk.append_at

    def append(path: Any, end: int, data: bytes, *, durable: bool) -> None:
        append_at(path, end, data, durable=False)

    return patch.object(file_documents.file_disk, "append_at", append)


def _never_cut_back() -> Any:
    """What a failed commit has left in the journal stays there."""

    def restore(self: Any) -> None:
        self._descriptor = file_journal.os.open(
            self.path, file_journal.os.O_WRONLY | file_journal.os.O_APPEND
        )

    return patch.object(file_journal.Journal, "_restore", restore)


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A change, and the stories in which it shows."""

    change: Change
    store: str = "memory"
    always: tuple[str, ...] = ()
    limits: Limits | None = None


SABOTAGES = {
    "acknowledge early": Sabotage(_acknowledge_early),
    "show early": Sabotage(_show_early),
    "lose a cursor entry": Sabotage(_lose_a_cursor_entry, always=("stall",)),
    "leak presence": Sabotage(_leak_presence),
    "let everyone write": Sabotage(_let_everyone_write),
    "take failure for success": Sabotage(_take_failure_for_success),
    "never ask again": Sabotage(
        _never_ask_again, always=("proxies",), limits=Limits(max_held_updates=0)
    ),
    "forget held updates": Sabotage(_forget_held, always=("proxies",)),
    "miscount connections": Sabotage(_count_connections_twice),
    "keep rooms": Sabotage(_keep_rooms),
    "never sync the journal": Sabotage(_never_sync_the_journal, "file"),
    "never sync documents": Sabotage(_never_sync_documents, "file"),
    "never cut back": Sabotage(_never_cut_back, "file"),
}


def ends_badly(name: str, seeds: int) -> str:
    """Return how the first of some stories ends that a defect ends; empty where none does."""
    sabotage = SABOTAGES[name]
    with sabotage.change():
        for seed in range(seeds):
            try:
                play(seed, store=sabotage.store, always=sabotage.always, limits=sabotage.limits)
            except Failure as failure:
                return f"seed {seed}: {failure}"
    return ""
