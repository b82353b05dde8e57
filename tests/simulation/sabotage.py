"""Defects, put into the server on purpose: what the simulator is for has to be found by it.

Each is a small change to one method, for as long as the block runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from sqlite_utils import Database

from crdtsync.authoring.keeping import StoredAnswers
from crdtsync.awareness import AwarenessTable
from crdtsync.channels import archiving, late
from crdtsync.channels.archiving import Archiving, submit
from crdtsync.channels.chat import Chat
from crdtsync.channels.presence import PresenceKeeping
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.channels.shelf import Shelf
from crdtsync.committer import Committer
from crdtsync.connection import Connection
from crdtsync.document import Document
from crdtsync.fanout import Fanout
from crdtsync.history import forward, recorder, tables
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.log import plain_records
from crdtsync.history.recorder import Recorder
from crdtsync.history.restorer import Restored, Restorer
from crdtsync.history.service import Histories
from crdtsync.housekeeping import Housekeeping
from crdtsync.judge import Judge
from crdtsync.limits import Limits
from crdtsync.room import Room
from crdtsync.store import file_documents, file_journal
from crdtsync.store.base import Checkpoint, Record
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
    return patch.object(Document, "_retry_held", lambda self, clients: None)


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


def _checkpoint_first() -> Any:
    """The log's place is taken while its history is still to be written."""
    fold = Recorder.fold

    async def later(self: Recorder, checkpoint: Checkpoint, **rest: Any) -> bool:
        async def write() -> None:
            await fold(self, checkpoint, **rest)

        assert self._histories.hub is not None
        self._histories.hub.spawn(write)
        return True

    return patch.object(Recorder, "fold", later)


def _drop_the_log() -> Any:
    """A history that can't be written is not waited for."""
    fold = Recorder.fold

    async def anyway(self: Recorder, checkpoint: Checkpoint, **rest: Any) -> bool:
        await fold(self, checkpoint, **rest)
        return True

    return patch.object(Recorder, "fold", anyway)


def _acknowledge_history_early() -> Any:
    """A history is said to be kept, and is a little later."""

    async def early(self: Any, document: str, stored: Any, **rest: Any) -> int:
        incarnation, revision = rest["incarnation"], rest["revision"]

        def write() -> None:
            if not self.dead:
                tables.save(Database(self._connection), document, stored, incarnation, None)

        self._archive.kernel.after(0.05, write)
        return int(revision) + 1

    return patch.object(HistoryDatabase, "save", early)


def _fold_in_anothers_name() -> Any:
    """All records that go into a history at once are the last one's author's."""

    def plain(records: Any, after: int) -> Any:
        found = plain_records(records, after)
        return tuple(each._replace(author=found[-1].author) for each in found)

    return patch.object(recorder, "plain_records", plain)


def _keep_nothing_before() -> Any:
    """A restore makes no version of what was there before."""

    async def enter(
        self: Any, document: str, update: bytes, label: str, note: str, principal: Any
    ) -> Restored:
        sequence = await self._edits.enter(document, update, principal)
        return Restored(None, sequence, True)

    return patch.object(Restorer, "_enter", enter)


def _restore_another_moment() -> Any:
    """A restore goes one record too far back."""
    restore = forward._restore_update

    def further(past: Any, sequence: int, *rest: Any) -> bytes:
        return restore(past, max(0, sequence - 1), *rest)

    return patch.object(forward, "_restore_update", further)


def _roll_without_writing() -> Any:
    """A chat loses its messages before its archive has them."""

    async def fill(self: Archiving, archive: Room, there: Shelf, *rest: Any) -> None:
        hub = self._channels.hub
        assert hub is not None
        hub.spawn(lambda: write(self, archive, there, *rest))

    write = Archiving._fill
    return patch.object(Archiving, "_fill", fill)


def _roll_in_anothers_name() -> Any:
    """An archive takes all messages for one person's."""
    planned = archiving._planned

    def plan(*args: Any) -> Any:
        found = planned(*args)
        kept = {
            id: ({**value, "author": "somebody"}, said) for id, (value, said) in found.kept.items()
        }
        return replace(found, kept=kept)

    return patch.object(archiving, "_planned", plan)


def _let_archives_be() -> Any:
    """What is written late to an archived message is taken out of the chat, and that is all."""
    return patch.object(late, "_changed", lambda *values: None)


def _remember_late() -> Any:
    """What a request does is kept when it is committed, and not before."""

    async def done(self: StoredAnswers, scope: Any, answer: bytes) -> None:
        kept = getattr(self, "late", {}).pop(scope, None)
        if kept is not None:
            await keep(self, scope, *kept)
        await finish(self, scope, answer)

    async def later(self: Any, scope: Any, *request: bytes) -> None:
        self.late = {**getattr(self, "late", {}), scope: request}

    keep, finish = StoredAnswers.keep, StoredAnswers.done
    return patch.multiple(StoredAnswers, keep=later, done=done)


def _forget_who_leaves() -> Any:
    """Presence is told of who comes, and not of who goes."""
    return patch.object(PresenceKeeping, "went", lambda self, connection: None)


def _stay_at_the_end() -> Any:
    """A server that stops leaves presence as it is."""

    async def finish(self: PresenceKeeping) -> None: ...

    return patch.object(PresenceKeeping, "finish", finish)


def _let_anyone_say_anything() -> Any:
    """Nobody asks who speaks in a chat."""
    return patch.object(Channels, "judge", lambda self, room: None)


def _say_before_it_is_kept() -> Any:
    """Who says something by the library is told before it is committed."""

    async def enter(
        self: Chat, room: Room, shelf: Shelf, principal: Any, caller: Any, sets: Any,
        deletes: Any = (),
    ) -> None:  # fmt: skip
        submit(room, shelf.writer.update(sets, deletes))

    return patch.object(Chat, "_enter", enter)


def _remember_presence() -> Any:
    """Histories remember who came and went."""
    return patch.object(Histories, "channels", ChannelRules())


_OFTEN = Limits(max_log_records=5, idle_room_s=2.0)
"""So that logs go into histories all the time."""


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A change, and the stories in which it shows."""

    change: Change
    store: str = "memory"
    always: tuple[str, ...] = ()
    limits: Limits | None = None
    history: bool = False
    talk: bool = False
    programs: bool = False


def _of_histories(change: Change, *always: str) -> Sabotage:
    return Sabotage(change, always=("kill", *always), limits=_OFTEN, history=True)


def _of_talk(change: Change, *always: str) -> Sabotage:
    return Sabotage(change, always=always, talk=True)


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
    "checkpoint before the history": _of_histories(_checkpoint_first),
    "drop the log without a history": _of_histories(_drop_the_log, "history disk"),
    "acknowledge history early": _of_histories(_acknowledge_history_early),
    "fold in another's name": _of_histories(_fold_in_anothers_name),
    "restore without a version": _of_histories(_keep_nothing_before, "restore"),
    "restore another moment": _of_histories(_restore_another_moment, "restore"),
    "roll without writing": _of_talk(_roll_without_writing, "kill", "disk"),
    "roll in another's name": _of_talk(_roll_in_anothers_name),
    "let archives be": _of_talk(_let_archives_be),
    "let anyone say anything": _of_talk(_let_anyone_say_anything),
    "say before it is kept": _of_talk(_say_before_it_is_kept, "kill"),
    "forget who leaves": _of_talk(_forget_who_leaves, "drop"),
    "stay at the end": _of_talk(_stay_at_the_end),
    "remember presence": Sabotage(_remember_presence, limits=None, history=True, talk=True),
    "remember requests late": Sabotage(_remember_late, always=("kill", "disk"), programs=True),
}


def ends_badly(name: str, seeds: int) -> str:
    """Return how the first of some stories ends that a defect ends; empty where none does."""
    sabotage = SABOTAGES[name]
    with sabotage.change():
        for seed in range(seeds):
            try:
                play(
                    seed,
                    store=sabotage.store,
                    always=sabotage.always,
                    limits=sabotage.limits,
                    history=sabotage.history,
                    talk=sabotage.talk,
                    programs=sabotage.programs,
                )
            except Failure as failure:
                return f"seed {seed}: {failure}"
    return ""
