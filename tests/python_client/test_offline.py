"""The local store: started without a server, killed, compacted, refused, damaged."""

import signal
import sqlite3
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from crdtsync.client import Document, NotSaved, connect
from crdtsync.errors import StoreDamaged, StoreFull, StoreLocked
from crdtsync.store import Checkpoint, MemoryStore, Record, SQLiteStore
from tests.docs.kit import Process
from tests.native.kit import Server
from tests.processes import environment

from .kit import OPTIONS, TIMEOUT_S, address, text_of, until, until_text

pytestmark = pytest.mark.anyio

NOWHERE = "ws://127.0.0.1:9/doc"


async def test_work_goes_on_without_a_server(tmp_path: Path) -> None:
    """What is written offline is there at the next start, and goes to the server in the end."""
    store = tmp_path / "offline.db"
    async with connect(NOWHERE, store=store, options=OPTIONS) as document:
        text = text_of(document)
        text += "first"
    async with connect(NOWHERE, store=store, options=OPTIONS) as document:
        text = text_of(document)
        assert str(text) == "first"
        assert document.unsaved
        text += " second"
    with Server() as server:
        async with connect(address(server), store=store, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.saved()
            assert server.text() == "first second"


async def test_without_a_store_edits_that_would_be_lost_are_told(tmp_path: Path) -> None:
    """Leaving with edits that are nowhere else raises."""
    options = replace(OPTIONS, close_timeout_s=0.2)

    async def edit() -> None:
        async with connect(NOWHERE, options=options) as document:
            text = text_of(document)
            text += "lost"

    with pytest.raises(NotSaved):
        await edit()


async def test_what_the_server_had_is_readable_offline(tmp_path: Path) -> None:
    """The document as it came from the server is there without it."""
    store = tmp_path / "offline.db"
    with Server() as server:
        async with connect(address(server), options=OPTIONS) as other:
            text = text_of(other)
            text += "theirs"
            await other.saved()
            async with connect(address(server), store=store, options=OPTIONS) as document:
                await until_text(document, "theirs")
    async with connect(NOWHERE, store=store, options=OPTIONS) as document:
        assert str(text_of(document)) == "theirs"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_kept_outlives_a_kill(tmp_path: Path, anyio_backend: str) -> None:
    """A program is killed with -9 while it edits offline: all that was kept is there, in order."""
    store = tmp_path / "offline.db"
    kept = 0
    for wanted in (50, 200, 400):
        with Process(
            "-m", "tests.python_client.dying", NOWHERE, str(store), cwd=tmp_path
        ) as process:
            while kept < wanted:
                found = await anyio.to_thread.run_sync(process.wait_for, r"^\d+$")
                kept = int(found[0])
            process.stop(signal.SIGKILL)
        async with connect(NOWHERE, store=store, options=OPTIONS) as document:
            text = str(text_of(document))
        assert set(text) == {"x"}
        assert len(text) >= kept
        kept = len(text)
    with Server() as server:
        async with connect(address(server), store=store, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.saved()
            assert server.text() == "x" * kept


async def test_the_log_is_compacted(tmp_path: Path) -> None:
    """A long log becomes one state, online and offline, and what is unsaved stays so."""
    store = tmp_path / "offline.db"
    options = replace(OPTIONS, compact_records=20)

    async def records() -> int:
        async with SQLiteStore(store, read_only=True) as opened:
            info = await opened.info("doc")
            return info.log_records if info else 0

    async with connect(NOWHERE, store=store, options=options) as document:
        text = text_of(document)
        for number in range(100):
            text += f"{number} "
            await document.kept()
        del text[0:10]
        wanted = str(text)
    assert await records() <= 21
    async with connect(NOWHERE, store=store, options=options) as document:
        assert str(text_of(document)) == wanted
        assert document.unsaved
    with Server() as server:
        async with connect(address(server), store=store, options=options) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.saved()
                text = text_of(document)
                for _ in range(50):
                    text += "!"
                    await document.kept()
                await document.saved()
            assert server.text() == wanted + "!" * 50
    assert await records() <= 21


async def test_wherever_it_is_killed_unsaved_deletions_are_unsaved(server: Server) -> None:
    """Between any two writes of the local store, also where the log becomes one state."""

    class Copied(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.copies: list[MemoryStore] = []

        async def append(self, batch: Sequence[Record]) -> None:
            await super().append(batch)
            self._copy()

        async def checkpoint(self, checkpoint: Checkpoint) -> None:
            await super().checkpoint(checkpoint)
            self._copy()

        def _copy(self) -> None:
            copy = MemoryStore()
            copy._documents = deepcopy(self._documents)
            self.copies.append(copy)

    options = replace(OPTIONS, compact_records=4, close_timeout_s=0.2)
    async with Copied() as store:
        async with connect(address(server), store=store, options=options, wait=True) as document:
            text = text_of(document)
            text += "hello world"
            for _ in range(8):
                text += "!"
                await document.saved()
                await document.kept()
            on_server = str(text)
        store.copies.clear()
        async with connect(NOWHERE, store=store, options=options) as document:
            text = text_of(document)
            for _ in range(8):
                del text[0:1]
                await document.kept()
        assert len(store.copies) > 10
        for copy in store.copies:
            async with copy, connect(NOWHERE, store=copy, options=options) as document:
                assert document.unsaved == (str(text_of(document)) != on_server)


async def test_a_store_may_be_shared_by_documents(tmp_path: Path, server: Server) -> None:
    """Two documents in one entered store; a second opening of the file is refused."""
    async with SQLiteStore(tmp_path / "offline.db") as store:
        async with (
            connect(address(server, "a"), store=store, options=OPTIONS) as one,
            connect(address(server, "b"), store=store, options=OPTIONS) as two,
        ):
            first, second = text_of(one), text_of(two)
            first += "one"
            second += "two"
            await one.kept()
            await two.kept()
        with pytest.raises(StoreLocked):
            async with connect(address(server), store=tmp_path / "offline.db"):
                pass
    async with (
        SQLiteStore(tmp_path / "offline.db") as store,
        connect(NOWHERE, store=store, store_name="b", options=OPTIONS) as two,
    ):
        assert str(text_of(two)) == "two"


async def test_a_damaged_store_is_said_to_be(tmp_path: Path) -> None:
    """A record that is not what was written stops the start, with what to do."""
    path = tmp_path / "offline.db"
    async with connect(NOWHERE, store=path, options=OPTIONS) as document:
        text = text_of(document)
        text += "abc"
    with sqlite3.connect(path) as db:
        for table in ("log", "tail"):
            db.execute(f"UPDATE {table} SET \"update\" = x'0000ff'")
    db.close()
    with pytest.raises(StoreDamaged, match="local copy") as raised:
        async with connect(NOWHERE, store=path, options=OPTIONS):
            pass
    assert "repair" in raised.value.hint


async def test_the_command_line_reads_the_local_store(tmp_path: Path) -> None:
    """``crdtsync check`` finds the document and the note beside it, and nothing wrong with them."""
    path = tmp_path / "offline.db"
    options = replace(OPTIONS, compact_records=5)
    async with connect(NOWHERE, store=path, options=options) as document:
        text = text_of(document)
        for _ in range(20):
            text += "abc"
            await document.kept()
    command = [sys.executable, "-m", "crdtsync", "check", "--store", f"sqlite:{path}"]
    done = await anyio.run_process(command, check=False, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"2 documents sound, 0 errors" in done.stderr


async def test_a_failing_store_is_told_and_tried_again(tmp_path: Path) -> None:
    """While the disk is full ``kept()`` raises; with room again nothing is missing."""

    class Full(MemoryStore):
        full = False

        async def append(self, batch: Sequence[Record]) -> None:
            if self.full:
                raise StoreFull("no room")
            await super().append(batch)

    async with Full() as store:
        options = replace(OPTIONS, max_outbox_bytes=200)
        async with connect(NOWHERE, store=store, options=options) as document:
            store.full = True
            text = text_of(document)
            for number in range(50):  # more than is kept in memory for the store
                text += f"{number} "
            with anyio.fail_after(TIMEOUT_S):
                with pytest.raises(StoreFull):
                    await document.kept()
                store.full = False
                await until(lambda: not document.error and _kept(document))
            wanted = str(text)
        async with connect(NOWHERE, store=store, options=options) as document:
            assert str(text_of(document)) == wanted


def _kept(document: Document) -> bool:
    keeper = document._core.keeper
    return keeper is not None and keeper.kept(keeper.position)
