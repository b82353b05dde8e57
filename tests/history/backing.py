"""Stores and histories that are copied and put back, and what is answered then."""

import shutil
import sqlite3
from pathlib import Path

from crdtsync.history.checking import check_histories
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.model import UnknownMoment
from crdtsync.history.service import Histories
from crdtsync.store.base import Store
from crdtsync.store.file import FileStore
from crdtsync.store.sqlite import SQLiteStore
from tests.history.recording import BOB, recorded, typed

__all__ = ["Place", "named", "put_back", "said", "seen_at", "shows", "warnings"]

FOLDER = "guard"


class Place:
    """A store in a folder, with its history, and copies of both."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root = root
        self.kind = kind
        self.copies = root / "copies"
        self.copies.mkdir()

    def store(self) -> Store:
        path = self.root / "documents"
        return SQLiteStore(path) if self.kind == "sqlite" else FileStore(path)

    @property
    def folder(self) -> Path:
        """Where the history is."""
        return self.root / FOLDER

    def copy_store(self, name: str) -> None:
        """Copy what the store has, as its pages say."""
        path = self.root / "documents"
        if self.kind == "sqlite":
            _backup(path, self.copies / name)
        else:
            shutil.copytree(path, self.copies / name)

    def copy_history(self, name: str) -> None:
        _backup(self.folder / "history.db", self.copies / name)

    def put_store(self, name: str) -> None:
        """Put a copy in the store's place."""
        path = self.root / "documents"
        if self.kind == "sqlite":
            for file in self.root.glob("documents*"):
                file.unlink()
            shutil.copy(self.copies / name, path)
        else:
            shutil.rmtree(path)
            shutil.copytree(self.copies / name, path)

    def put_history(self, name: str | None) -> None:
        """Put a copy in the history's place, or nothing."""
        for file in self.folder.glob("history.db*"):
            file.unlink()
        if name is not None:
            shutil.copy(self.copies / name, self.folder / "history.db")


def _backup(path: Path, copy: Path) -> None:
    source, target = sqlite3.connect(path), sqlite3.connect(copy)
    with target:
        source.backup(target)
    source.close()
    target.close()


async def named(histories: Histories, label: str) -> int:
    """Make a version; return its number."""
    return (await histories.create("doc", label=label, principal=BOB)).id


async def put_back(place: Place) -> int:
    """Leave a document that ends before its history; return the number of a version of that."""
    async with recorded(place.store(), place.folder) as (hub, histories):
        await typed(hub, "one ")
        await named(histories, "kept")
        place.copy_store("store")
        await typed(hub, "two ")
        lost = await named(histories, "lost")
    place.put_store("store")
    return lost


async def said(histories: Histories) -> list[str]:
    """Return the labels of all named versions, oldest first."""
    found = await histories.versions("doc", kind="named", limit=1000)
    return [each.label for each in reversed(found)]


async def shows(histories: Histories, moment: str) -> str:
    """Return a moment's text."""
    return (await histories.read("doc", moment, format="text", root="text")).decode()


async def seen_at(histories: Histories, version: int) -> str | None:
    """Return a version's text; ``None`` where its moment is not kept."""
    try:
        return await shows(histories, f"v{version}")
    except UnknownMoment as error:
        if not error.pruned:
            raise
        return None


async def warnings(place: Place) -> list[str]:
    """Return what a check says of histories, without what follows from it."""
    store = place.store()
    async with store, HistoryDatabase(place.folder) as kept:
        found = [each async for each in check_histories(store, kept)]
    assert {each.level for each in found} <= {"warning"}
    assert all("set aside" in each.message for each in found)
    return [each.message.split(":")[0] for each in found]
