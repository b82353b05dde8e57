"""What is asked of histories: versions, moments, and what was there then.

Owns the way from a question to an answer: what is stored and the log behind it are read, and
worked on apart. With a hub it is ``hub.history``; without one, for the command line, it reads a
store beside a running server. A document changes by a restore alone, which is an ordinary edit.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, TypeVarTuple

import anyio.to_thread

from crdtsync.audit import NO_AUDIT, NOBODY, Audit, Caller
from crdtsync.channels.rules import ChannelRules
from crdtsync.clock import Clock, SystemClock
from crdtsync.errors import StoreDamaged
from crdtsync.gate import Principal
from crdtsync.guard import NO_GUARD, Guard
from crdtsync.history.activity import activity
from crdtsync.history.asking import Asking
from crdtsync.history.automatic import Automatic
from crdtsync.history.base import HistoryStore
from crdtsync.history.entering import LiveEdits, StoredEdits
from crdtsync.history.following import Following
from crdtsync.history.log import Inputs
from crdtsync.history.model import (
    HistoryDamaged,
    HistoryOff,
    HistoryUnavailable,
    Version,
)
from crdtsync.history.moments import (
    Resolved,
    Wanted,
    find_moment,
    read_moment,
    unknown_version,
)
from crdtsync.history.reading import told
from crdtsync.history.reconciling import Reconciling
from crdtsync.history.recorder import Recorder
from crdtsync.history.restorer import Restored, Restorer
from crdtsync.history.retaining import Pruned, Retaining
from crdtsync.history.retention import HistoryRules, Retention
from crdtsync.history.versioning import MAX_LIMIT, Versioning
from crdtsync.history.worker import Workers
from crdtsync.limits import Limits
from crdtsync.stats import HistoryStats
from crdtsync.store.base import Store

if TYPE_CHECKING:
    from crdtsync.hub import Hub
    from crdtsync.room import Room
    from crdtsync.store.base import Record

__all__ = ["Histories", "Inputs", "Resolved"]

log = logging.getLogger("crdtsync.history")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Histories(Asking, Versioning):
    """The histories of one store's documents. Use it as ``async with``; a hub does."""

    def __init__(
        self,
        store: Store,
        kept: HistoryStore,
        *,
        rules: HistoryRules | None = None,
        limits: Limits | None = None,
        clock: Clock | None = None,
        guard: Guard = NO_GUARD,
        workers: Workers | None = None,
        audit: Audit = NO_AUDIT,
        channels: ChannelRules | None = None,
    ) -> None:
        self.store = store
        self.kept = kept
        self.rules = rules or HistoryRules()
        self.limits = limits or Limits()
        self.clock: Clock = clock or SystemClock()
        self.stats = HistoryStats()
        self.workers = workers or Workers(self.limits)
        self.changed: set[str] = set()
        """Documents whose history has grown since it was last looked at for what may go."""
        self.following = Following(self)
        self.reconciling = Reconciling(self)
        self.recorder = Recorder(self)
        self.automatic = Automatic(self)
        self.retaining = Retaining(self)
        self.hub: Hub | None = None
        """Whose histories they are; it says so itself."""
        self._channels = channels
        self._guard = guard
        self._audit = audit
        self._restorer: Restorer | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.kept)
            await stack.enter_async_context(self.workers)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def keeps(self, document: str) -> bool:
        """Whether history is kept of a document."""
        return self.rules.keeps(document)

    def committed(self, batches: Sequence[tuple["Room", Sequence["Record"]]]) -> None:
        """Take note of what was committed; the committer tells it."""
        self.automatic.noticing.note(batches)
        if self.following.active:
            self.following.note(batches)

    @property
    def channels(self) -> ChannelRules:
        """In which documents there are channels: as said here, or by the hub."""
        if self._channels is None and self.hub is not None:
            return self.hub.channels.rules
        return self._channels or ChannelRules()

    # Moments

    async def exists(self, document: str) -> bool:
        """Return whether there is a document of this name."""
        return await self._now(document) is not None

    async def resolve(self, document: str, moment: str) -> Resolved:
        """Find out which moment is meant. Raises ``UnknownMoment``."""
        wanted, version = await self._wanted(document, moment)
        if version is not None:
            return Resolved(version.sequence, version.time_ms, version)
        inputs = await self.inputs(document)
        return await self._find(inputs, wanted)

    async def _wanted(self, document: str, moment: str) -> tuple[Wanted, Version | None]:
        self._check(document)
        wanted = read_moment(moment)
        if wanted.version is None:
            return wanted, None
        version = await self.version(wanted.version)
        if version.document != document or not await self._same_life(document):
            raise unknown_version(wanted.version)
        return wanted, version

    async def _find(self, inputs: Inputs, wanted: Wanted) -> Resolved:
        found = await anyio.to_thread.run_sync(find_moment, *inputs, wanted)
        return Resolved(*found)

    async def _at(self, document: str, *moments: str) -> tuple[Inputs, list[int]]:
        """Return a document's past, and the sequences of moments in it."""
        wanted = [await self._wanted(document, moment) for moment in moments]
        inputs = await self.inputs(document)
        sequences = [
            version.sequence if version else (await self._find(inputs, each)).sequence
            for each, version in wanted
        ]
        return inputs, sequences

    async def inputs(self, document: str) -> Inputs:
        """Return all that is known of a document's past. Raises ``UnknownMoment``."""
        self._check(document)
        return await self.following.read(document)

    # What was there

    async def activity(
        self, document: str, *, before: str | None = None, limit: int = 50
    ) -> dict[str, Any]:
        """Return who was at work on a document, newest first."""
        wanted, version = await self._wanted(document, before or "now")
        inputs = await self.inputs(document)
        names = await self._names(inputs)
        limit = max(1, min(limit, MAX_LIMIT))
        last = version.sequence if version else wanted.sequence
        if wanted.time_ms is not None:
            last = (await self._find(inputs, wanted)).sequence + 1  # with what led to it
        return told(await self.apart(activity, *inputs, last, limit, names))

    async def apart(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Have a worker call a function, and count what goes wrong."""
        try:
            return await self.workers.run(function, *args)
        except HistoryDamaged:
            self.stats.errors["damaged"] += 1
            raise
        except HistoryUnavailable:
            self.stats.errors["unavailable"] += 1
            raise

    async def _names(self, inputs: Inputs) -> dict[str, str]:
        return await self.kept.names(inputs.authors())

    # Going back

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
        """Make a document, or one root of it, what it was: see ``Restorer``."""
        self._check(document)
        return await self.restorer.restore(
            document, moment, root=root, note=note, principal=principal, caller=caller
        )

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
        """Undo what one author did between two moments: see ``Restorer``."""
        self._check(document)
        return await self.restorer.undo(
            document,
            author=author,
            since=since,
            until=until,
            note=note,
            principal=principal,
            caller=caller,
        )

    @property
    def restorer(self) -> Restorer:
        """What restores: by the hub, so that everybody sees it, or by the store alone."""
        hub = self.hub
        if self._restorer is None and hub is not None:
            self._restorer = Restorer(self, LiveEdits(hub), audit=hub.audit)
        elif self._restorer is None:
            edits = StoredEdits(self.store, limits=self.limits, clock=self.clock, guard=self._guard)
            self._restorer = Restorer(self, edits, audit=self._audit)
        return self._restorer

    # Letting go

    async def prune(
        self, document: str, retention: Retention | None = None, *, dry_run: bool = False
    ) -> Pruned:
        """Let go of a document's moments by their age: as configured, or as said here."""
        self._check(document)
        return await self.retaining.prune(document, retention, dry_run=dry_run)

    async def erase_before(self, document: str, moment: str) -> Pruned:
        """Let go of all moments before one, and make unreadable what was deleted by then."""
        try:
            return await self.retaining.erase_before(document, moment)
        finally:
            self.following.forget()

    async def erase_author(self, author: str) -> int:
        """Make a person unknown in all histories; return in how many documents he was."""
        try:
            return await self.retaining.erase_author(author)
        finally:
            self.following.forget()

    # The end of a document

    async def delete(self, document: str) -> bool:
        """Delete a document, its history first; return whether there was one."""
        await self._forget(document)
        deleted = await self.store.delete(document)
        await self._forget(document)  # what was on its way
        return deleted

    async def _forget(self, document: str) -> None:
        self.automatic.forget(document)
        self.following.forget()
        self.reconciling.forget(document)
        self.changed.discard(document)
        try:
            if await self.kept.forget(document):
                await self.kept.shrink()
        except StoreDamaged:
            await self.kept.replace()

    def _check(self, document: str) -> None:
        if not self.keeps(document):
            raise HistoryOff(f"no history is kept of document {document!r}")
