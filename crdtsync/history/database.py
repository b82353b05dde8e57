"""Histories in a SQLite database beside the store; in memory for a store in memory.

Owns the file. A server runs with a file that can't be opened: it tries again with each call, and
nothing is dropped from any log before. A file that is no database any more is kept aside.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread
from sqlite_utils import Database

from crdtsync.errors import StoreDamaged, StoreError
from crdtsync.history import tables, version_rows
from crdtsync.history.base import Kept, NewVersion, Outline, Reach, Space
from crdtsync.history.model import HistoryDamaged, Stored, Version, VersionKind
from crdtsync.store.base import Finding
from crdtsync.store.side import SideDatabase
from crdtsync.store.whereabouts import database_files

__all__ = ["HistoryDatabase"]

log = logging.getLogger("crdtsync.history")

SHRINK_PAGES: Final = 256
"""So many pages are given back at once: a megabyte, some 10 ms."""
PAUSE_S: Final = 0.01
"""Between two such times others have their turn."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class HistoryDatabase:
    """Histories in one folder; in memory where that is ``None``. Use it as ``async with``."""

    def __init__(
        self, folder: Path | None, *, insist: bool = False, read_only: bool = False
    ) -> None:
        """With ``insist``, entering raises ``StoreError`` where the file can't be opened."""
        self._path = None if folder is None else folder / tables.FILE
        self._insist = insist
        self._read_only = read_only
        self._stack = AsyncExitStack()
        self._side: SideDatabase | None = None
        self._opening: anyio.Lock

    async def __aenter__(self) -> Self:
        self._opening = anyio.Lock()
        try:
            await self._opened()
        except StoreError as error:
            if self._insist:
                raise
            log.error("histories can't be read or written now: %s", error)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._side = None
        await self._stack.aclose()

    async def _opened(self) -> SideDatabase:
        async with self._opening:
            if self._side is None:
                only = self._read_only
                side = SideDatabase(self._path, tables.MIGRATIONS, shrinks=True, read_only=only)
                self._side = await self._stack.enter_async_context(side)
            return self._side

    async def _call(self, function: Callable[[Database, *Ts], T], *args: *Ts) -> T:
        side = self._side or await self._opened()
        return await side.call(function, *args)

    async def _read(self, function: Callable[[Database, *Ts], T], *args: *Ts) -> T:
        side = self._side or await self._opened()
        return await side.read(function, *args)

    # Histories

    async def outline(self, document: str, /) -> Outline | None:
        """Return what is known of a history; ``None`` where there is none."""
        return await self._read(tables.outline, document)

    async def reach(self, document: str, /) -> Reach | None:
        """Return how far a history and its versions go; ``None`` where there is none."""
        return await self._read(version_rows.reach, document)

    async def outlines(self, *, after: str = "", limit: int = 1000) -> list[Outline]:
        """List histories by document, from the first one behind ``after``."""
        return await self._read(tables.outlines, after, limit)

    async def load(self, document: str, /) -> Kept | None:
        """Return a history; ``None`` where there is none. Raises ``HistoryDamaged``."""
        return await self._read(tables.load, document)

    async def save(
        self,
        document: str,
        stored: Stored,
        *,
        incarnation: int,
        revision: int,
        without: Collection[int] = (),
        newest_version: int | None = None,
        thinned_ms: int | None = None,
    ) -> int:
        """Write a history on top of a revision, and forget versions; return the new revision."""

        def save(database: Database) -> int:
            tables.check_unchanged(database, document, revision, newest_version)
            tables.save(database, document, stored, incarnation, thinned_ms)
            for number in without:
                version_rows.remove_version(database, number)
            return revision + 1

        return await self._call(save)

    async def note_thinned(self, document: str, time_ms: int, /) -> None:
        """Take note that there was nothing to let go."""
        await self._call(tables.note_thinned, document, time_ms)

    async def set_aside(self, document: str, reason: str, time_ms: int, /) -> bool:
        """Keep a history where nothing reads it; return whether it was there."""
        return await self._call(tables.set_aside, document, reason, time_ms)

    async def begin_anew(
        self,
        document: str,
        stored: Stored,
        /,
        *,
        reason: str,
        time_ms: int,
        since: int = 0,
        without: Collection[int] = (),
        revision: int | None = None,
        newest_version: int | None = None,
    ) -> bool:
        """Set a history aside, and go on with what is left of it; return whether it was there."""

        def begin_anew(database: Database) -> bool:
            if revision is not None:
                tables.check_unchanged(database, document, revision, newest_version)
            older, newer = tables.begin_anew(database, document, stored, reason, time_ms)
            if older and newer:
                version_rows.move_versions(database, older, newer, since, without)
            return bool(older)

        return await self._call(begin_anew)

    async def forget(self, document: str, /) -> bool:
        """Delete all of a document; return whether there was any."""
        return await self._call(tables.forget, document)

    async def forget_aside(self, document: str, /) -> None:
        """Delete what was set aside of a document."""
        await self._call(tables.forget_aside, document)

    # Versions

    async def add_versions(self, versions: Sequence[NewVersion], /) -> list[Version]:
        """Add versions, all or none."""
        return await self._call(version_rows.add_versions, versions)

    async def versions(
        self,
        document: str,
        /,
        *,
        before: int | None = None,
        limit: int = 50,
        kind: VersionKind | None = None,
    ) -> list[Version]:
        """List a document's versions, newest first."""
        return await self._read(version_rows.versions, document, before, limit, kind)

    async def version(self, number: int, /) -> Version | None:
        """Return a version by its id."""
        return await self._read(version_rows.version, number)

    async def change_version(
        self, number: int, /, *, label: str | None = None, note: str | None = None
    ) -> Version | None:
        """Name a version anew."""
        return await self._call(version_rows.change_version, number, label, note)

    async def remove_version(self, number: int, /) -> bool:
        """Forget a version; return whether there was one."""
        return await self._call(version_rows.remove_version, number)

    # Authors

    async def note_authors(self, names: Mapping[str, str], time_ms: int, /) -> None:
        """Take note of authors' names, by id."""
        await self._call(version_rows.note_authors, names, time_ms)

    async def names(self, authors: Collection[str], /) -> dict[str, str]:
        """Return the names of those that have one, by id."""
        return await self._read(version_rows.names, authors)

    async def erase_author(self, author: str, /) -> None:
        """Forget an author's name and id, and all that was set aside."""
        await self._call(version_rows.erase_author, author)

    # The medium

    async def check(self) -> list[Finding]:
        """Read everything; return what is wrong and where."""
        findings = [
            Finding("", 0, "error", f"the history database is damaged: {problem}")
            for problem in await self._read(tables.integrity)
        ]
        after = ""
        while page := await self.outlines(after=after):
            after = page[-1].document
            for each in page:
                try:
                    await self.load(each.document)
                    await self._read(version_rows.check_versions, each.document)
                except HistoryDamaged as error:
                    findings.append(Finding(each.document, each.sequence, "error", str(error)))
        return findings

    async def space(self) -> Space:
        """Return how much is taken."""
        return Space(*await self._read(tables.space))

    async def shrink(self) -> None:
        """Give back what deleting has left empty, a little at a time."""
        side = self._side or await self._opened()
        done = await side.shrink(SHRINK_PAGES)
        while not done:
            await anyio.sleep(PAUSE_S)
            done = await side.shrink(SHRINK_PAGES)

    async def replace(self) -> None:
        """Set the file aside, damaged as it is, and begin with an empty one."""
        async with self._opening:
            self._side = None
            stack, self._stack = self._stack, AsyncExitStack()
            try:
                await stack.aclose()
            except StoreError as error:
                log.warning("the damaged history database does not close: %s", error)
            if self._path is not None:
                kept = await anyio.to_thread.run_sync(_move_aside, self._path)
                log.error("the history database is damaged, and kept as %s: it begins anew", kept)
        # Numbers of versions are never given twice, and the last one is not known any more.
        await self._call(tables.number_from, int(time.time()))


def _move_aside(path: Path) -> Path:
    """Rename a database and what belongs to it."""
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for file, aside in zip(database_files(path), database_files(kept), strict=True):
        try:
            file.rename(aside)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreDamaged(f"{path} is damaged, and can't be moved away: {error}") from error
    return kept
