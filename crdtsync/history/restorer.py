"""Restoring and undoing, from the question to the edit that everybody sees.

Owns the order of it: the edit is worked out and proven apart from the server, a version of the
moment before is made, and the edit enters the document as any other does. What is edited
meanwhile stays. One at a time is restored of each document. Whatever goes wrong before the edit
is stored, the document is as it was. The version of the moment before is taken away again where
the edit was refused, and stays where it is not known whether the store has the edit.

Who may restore is decided before.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar, TypeVarTuple

import anyio

from crdtsync.audit import NO_AUDIT, NOBODY, Audit, Caller, What
from crdtsync.channels.names import Channel, read_root
from crdtsync.channels.rules import ChannelRules
from crdtsync.errors import CrdtsyncError, StoreError, Unavailable
from crdtsync.gate import Principal
from crdtsync.history.forward import restore_from, undo_from
from crdtsync.history.model import (
    HistoryError,
    LoggedCheckpoint,
    LoggedRecord,
    NotRestorable,
    Stored,
    Version,
    VersionKind,
)
from crdtsync.recording import event_of
from crdtsync.structs import EMPTY_UPDATE

__all__ = ["Archive", "Edits", "Found", "Restored", "Restorer"]

MAX_SHOWN: Final = 100
"""Characters of a label or an author's id in another label."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Records = Sequence[LoggedRecord]
_Inputs = tuple[Stored | None, LoggedCheckpoint | None, _Records]


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a restore, or an undo."""

    version_before: Version | None
    """Of the moment before; ``None`` where nothing changed."""
    sequence: int
    """The document's last record now."""
    changed: bool
    """Whether there was anything to do."""


class Found(Protocol):
    """A moment that was found."""

    @property
    def sequence(self) -> int: ...

    @property
    def time_ms(self) -> int: ...

    @property
    def version(self) -> Version | None: ...


class Archive(Protocol):
    """What it takes of the histories: see ``history.service``."""

    async def resolve(self, document: str, moment: str) -> Found: ...

    async def inputs(self, document: str) -> _Inputs: ...

    async def create(
        self,
        document: str,
        *,
        label: str,
        note: str = "",
        principal: Principal,
        kind: VersionKind = "named",
    ) -> Version: ...

    async def remove(self, id: int) -> None: ...

    @property
    def channels(self) -> ChannelRules: ...

    async def apart(self, function: Callable[[*Ts], T], *args: *Ts) -> T: ...


class Edits(Protocol):
    """The way of an edit into a document."""

    async def check(self, document: str) -> None:
        """Raise what ``enter`` would, as far as it is known beforehand."""
        ...

    async def enter(self, document: str, update: bytes, principal: Principal) -> int:
        """Have an edit stored, and return its document's sequence."""
        ...


class Restorer:
    """Restores and undoes, in the documents of one store."""

    def __init__(self, archive: Archive, edits: Edits, *, audit: Audit = NO_AUDIT) -> None:
        self._archive = archive
        self._edits = edits
        self._audit = audit
        self._busy: dict[str, tuple[anyio.Lock, list[None]]] = {}

    async def restore(
        self,
        document: str,
        moment: str,
        *,
        root: str | None = None,
        note: str = "",
        principal: Principal,
        caller: Caller = NOBODY,
    ) -> Restored:
        """Make a document, or one root of it, what it was at a moment.

        Raises ``HistoryError`` (``UnknownMoment``, ``NotRestorable``), ``StoreError``
        (``StoreDamaged`` where the document is read-only), and ``Unavailable`` where it can't be
        opened, or the store fails.
        """
        _refuse_channel(self._archive.channels, document, root)
        async with self._alone(document):
            found = await self._archive.resolve(document, moment)
            if moment == "now":  # what came since it was looked up is not to go
                await self._edits.check(document)
                return Restored(None, _last(await self._archive.inputs(document)), False)
            chat = self._archive.channels.chats(document)
            inputs, update = await self._work_out(
                document, restore_from, found.sequence, root, chat
            )
            if update == EMPTY_UPDATE:
                return Restored(None, _last(inputs), False)
            label = f"Before restoring {_described(found)}"
            done = await self._enter(document, update, label, note, principal)
            self._record(document, principal, caller, done, found, whole=root is None)
            return done

    async def undo(
        self,
        document: str,
        *,
        author: str,
        since: str,
        until: str = "now",
        note: str = "",
        principal: Principal,
        caller: Caller = NOBODY,
    ) -> Restored:
        """Undo what one author did between two moments. Raises what ``restore`` does."""
        async with self._alone(document):
            after = await self._archive.resolve(document, since)
            upto = None if until == "now" else await self._archive.resolve(document, until)
            border = None if upto is None else upto.sequence
            chat = self._archive.channels.chats(document)
            inputs, update = await self._work_out(
                document, undo_from, author, after.sequence, border, chat
            )
            if update == EMPTY_UPDATE:
                return Restored(None, _last(inputs), False)
            label = f"Before undoing what {author[:MAX_SHOWN] or 'anonymous'} did"
            done = await self._enter(document, update, label, note, principal)
            self._record(document, principal, caller, done, after, undone=author)
            return done

    async def _work_out(
        self,
        document: str,
        function: Callable[[Stored | None, LoggedCheckpoint | None, _Records, *Ts], bytes],
        *args: *Ts,
    ) -> tuple[_Inputs, bytes]:
        """Return the edit and what it was made of; whether it may enter is found out meanwhile."""
        inputs = await self._archive.inputs(document)
        refused: list[CrdtsyncError] = []
        failed: list[CrdtsyncError] = []
        found: list[bytes] = []
        async with anyio.create_task_group() as tasks:

            async def check() -> None:
                try:
                    await self._edits.check(document)
                except CrdtsyncError as error:
                    refused.append(error)
                    tasks.cancel_scope.cancel()

            tasks.start_soon(check)
            try:
                found.append(await self._archive.apart(function, *inputs, *args))
            except CrdtsyncError as error:
                failed.append(error)
        for problem in (*refused, *failed):
            raise problem
        return inputs, found[0]

    async def _enter(
        self, document: str, update: bytes, label: str, note: str, principal: Principal
    ) -> Restored:
        before = await self._archive.create(
            document, label=label, note=note, principal=principal, kind="restore"
        )
        try:
            sequence = await self._edits.enter(document, update, principal)
        except (Unavailable, StoreError):
            raise  # it may have reached the store, and be there at the next start
        except CrdtsyncError:
            with suppress(HistoryError, StoreError):
                await self._archive.remove(before.id)
            raise
        return Restored(before, sequence, True)

    def _record(
        self,
        document: str,
        principal: Principal,
        caller: Caller,
        done: Restored,
        moment: Found,
        **detail: str | bool,
    ) -> None:
        more = {"moment": moment.sequence, "sequence": done.sequence, **detail}
        self._audit.record(
            event_of(principal, What.RESTORED, caller, document=document, detail=more)
        )

    @asynccontextmanager
    async def _alone(self, document: str) -> AsyncIterator[None]:
        lock, users = self._busy.setdefault(document, (anyio.Lock(), []))
        users.append(None)
        try:
            async with lock:
                yield
        finally:
            users.pop()
            if not users:
                self._busy.pop(document, None)


def _refuse_channel(rules: ChannelRules, document: str, root: str | None) -> None:
    channel = None if root is None else read_root(root)
    if channel is None:
        return
    if channel.channel is Channel.PRESENCE:
        found, what = rules.present(document), "who is there"
    else:
        found, what = rules.chats(document), "what people said to one another"
    if found:
        raise NotRestorable(f"root {root!r} is {what}, which stays as it is")


def _last(inputs: _Inputs) -> int:
    stored, checkpoint, records = inputs
    if records:
        return records[-1].sequence
    known = (0 if each is None else each.sequence for each in (stored, checkpoint))
    return max(known)


def _described(moment: Found) -> str:
    if moment.version is not None and moment.version.label:
        return f'"{moment.version.label[:MAX_SHOWN]}"'
    if not moment.sequence:
        return "the empty document"
    time = datetime.fromtimestamp(moment.time_ms / 1000, UTC)
    return f"what it was at {time:%Y-%m-%d %H:%M:%S} UTC"
