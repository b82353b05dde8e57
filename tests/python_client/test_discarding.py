"""``discard()``: a fresh document at once, from the server's, whatever the local store does."""

from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import patch

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import AsyncResource
from websockets.sync.server import ServerConnection

from crdtsync.client import Closed, Document, EditsRefused, Status, Unusable, connect
from crdtsync.client.replica import Replica
from crdtsync.errors import StoreError, StoreFull
from crdtsync.protocol import step_1_frame, step_2_frame
from crdtsync.store import MemoryStore, Record
from tests.native.kit import Server

from .kit import OPTIONS, TIMEOUT_S, address, text_of, until, until_text
from .scripted import drain, scripted_server

pytestmark = pytest.mark.anyio

NOWHERE = "ws://127.0.0.1:9/doc"
BRIEF = replace(OPTIONS, close_timeout_s=0.2)


class Failing(MemoryStore):
    """A store whose deletions and writes can be kept waiting, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()
        self.gate.set()
        self.error: StoreError | None = None
        self.reached = anyio.Event()

    async def delete(self, document: str) -> bool:
        self.reached.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await super().delete(document)

    async def append(self, batch: Sequence[Record]) -> None:
        self.reached.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        await super().append(batch)

    def halt(self) -> None:
        """Let the next call wait."""
        self.gate, self.reached = anyio.Event(), anyio.Event()


async def kept_text(store: MemoryStore) -> str:
    """Return what the next start would begin with."""
    async with connect(NOWHERE, store=store, options=BRIEF) as document:
        return str(text_of(document))


async def wrote(server: Server, words: str) -> None:
    """Have somebody write this into the document."""
    async with connect(address(server), options=OPTIONS) as other:
        await other.synced()
        text = text_of(other)
        text += words
        await other.saved()


async def test_synced_means_the_new_document(server: Server) -> None:
    """It waits for the server's answer to the new one: a program would take it for empty else."""
    await wrote(server, "a template")
    async with connect(address(server), options=OPTIONS, wait=True) as document:
        for _ in range(3):
            seen: list[Status] = []
            ends = document.on_status(seen.append)
            with anyio.fail_after(TIMEOUT_S):
                await document.discard()
                assert document.status is not Status.SYNCED
                await document.synced()
            ends()
            assert str(text_of(document)) == "a template"
            assert seen[0] is Status.CONNECTING
            assert seen[-1] is Status.SYNCED


async def test_what_is_on_its_way_to_the_document_before(server: Server) -> None:
    """What the connection before had read already says nothing of the new document."""
    await wrote(server, "a template")
    async with connect(address(server), options=OPTIONS, wait=True) as document:
        session = document._core.session
        assert session is not None
        await document.discard()
        assert session._due() == []
        with anyio.fail_after(TIMEOUT_S):
            await document.synced()
        assert str(text_of(document)) == "a template"


async def test_the_store_is_slow(server: Server) -> None:
    """What comes, and is written, while the store forgets the document before is kept."""
    async with Failing() as store:
        async with connect(address(server), store=store, options=OPTIONS, wait=True) as document:
            text = text_of(document)
            text += "before "
            await document.saved()
            await document.kept()
            store.halt()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(document.discard)
                with anyio.fail_after(TIMEOUT_S):
                    await store.reached.wait()
                    await document.synced()
                    text = text_of(document)
                    assert str(text) == "before "
                    text += "meanwhile"
                    await document.saved()
                store.gate.set()
            await document.kept()
        assert await kept_text(store) == "before meanwhile"


async def test_what_was_being_written_is_not_written_again(server: Server) -> None:
    """An edit of the document before, whose writing fails behind ``discard()``, is gone."""
    async with Failing() as store:
        async with connect(address(server), store=store, options=OPTIONS, wait=True) as document:
            store.halt()
            text = text_of(document)
            text += "given up"
            with anyio.fail_after(TIMEOUT_S):
                await store.reached.wait()
                with anyio.move_on_after(0):
                    await document.discard()
                text = text_of(document)
                text += "new"
                store.error = StoreFull("no room")
                store.gate.set()
                await until(lambda: _keeper_error(document) is not None)
                store.error = None
                await until(lambda: _keeper_error(document) is None)
                await document.kept()
            shown = str(text)
        assert await kept_text(store) == shown


def _keeper_error(document: Document) -> StoreError | None:
    keeper = document._core.keeper
    assert keeper is not None
    return keeper.error


async def test_the_store_fails(server: Server) -> None:
    """The document is a fresh one all the same; the store forgets as soon as it can."""
    async with Failing() as store:
        async with connect(address(server), store=store, options=OPTIONS, wait=True) as document:
            text = text_of(document)
            text += "one "
            await document.saved()
            await document.kept()
            store.error = StoreFull("no room")
            with anyio.fail_after(TIMEOUT_S):
                await document.discard()
                with pytest.raises(StoreFull):
                    await document.kept()
                await document.synced()
                text = text_of(document)
                text += "two"
                assert document.unsaved
                await document.saved()
                assert server.text() == "one two"
                store.error = None
                await until(lambda: _keeper_error(document) is None)
                await document.kept()
        assert await kept_text(store) == "one two"


async def test_a_document_that_can_t_be_kept(server: Server) -> None:
    """The one behind it can."""
    options = replace(OPTIONS, max_outbox_bytes=10)

    def broken(self: Replica) -> bytes:
        raise Unusable("it can't be read any more")

    async with Failing() as store:
        async with connect(address(server), store=store, options=options, wait=True) as document:
            text = text_of(document)
            with patch.object(Replica, "state", broken):
                text += "more than is held in memory"
                with anyio.fail_after(TIMEOUT_S):
                    await until(lambda: document.status is Status.FAILED)
            with anyio.fail_after(TIMEOUT_S):
                await document.discard()
                await document.synced()
                text = text_of(document)
                text += "!"
                await document.saved()
                await document.kept()
            shown = str(text)
        assert await kept_text(store) == shown


class Dying(MemoryStore):
    """A store that deletes once, and then nothing more."""

    left = 1

    async def delete(self, document: str) -> bool:
        if not self.left:
            raise StoreFull("no room")
        self.left -= 1
        return await super().delete(document)


async def test_what_is_half_forgotten(server: Server) -> None:
    """A refusal says nothing of the documents behind the one that was refused."""
    async with Dying() as store:
        async with connect(NOWHERE, store=store, options=BRIEF) as document:
            text = text_of(document)
            text += "refused"
            assert document._core.keeper is not None
            document._core.keeper.note(EditsRefused(4422, "bad edits"))
            await document.kept()
        async with connect(NOWHERE, store=store, options=BRIEF) as document:
            assert isinstance(document.error, EditsRefused)
            await document.discard()
        assert not store.left
        store.left = 2
        async with connect(address(server), store=store, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.synced()
                text = text_of(document)
                text += "new"
                await document.saved()
                await document.kept()
        assert await kept_text(store) == "new"


async def test_discarded_twice(server: Server) -> None:
    """The second while the first is still on its way: nothing of either is left."""
    async with Failing() as store:
        async with connect(address(server), store=store, options=OPTIONS, wait=True) as document:
            text = text_of(document)
            text += "server's"
            await document.saved()
            store.halt()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(document.discard)
                await store.reached.wait()
                text = text_of(document)
                text += "given up"
                tasks.start_soon(document.discard)
                await anyio.lowlevel.checkpoint()
                store.gate.set()
            await until_text(document, "server's")
            await document.kept()
        assert await kept_text(store) == "server's"


async def test_a_refusal_of_what_was_discarded() -> None:
    """That the connection of the document before was refused says nothing of the new one."""

    def handler(connection: ServerConnection, before: int) -> None:
        connection.send(step_1_frame(b"\x00"))
        connection.send(step_2_frame(b"\x00\x00"))
        if before:
            drain(connection)
        else:
            connection.close(4422, "no")

    real = anyio.aclose_forcefully
    with scripted_server(handler) as url:
        async with Failing() as store:
            async with connect(url, store=store, options=OPTIONS) as document:
                closed = anyio.Event()

                async def closing(resource: AsyncResource) -> None:
                    if not closed.is_set():
                        closed.set()
                        await document.discard()
                    await real(resource)

                with patch.object(anyio, "aclose_forcefully", closing), anyio.fail_after(TIMEOUT_S):
                    await closed.wait()
                    await document.synced()
                await document.kept()
            async with connect(url, store=store, options=BRIEF) as document:
                assert document.error is None


async def test_killed_while_the_store_forgets() -> None:
    """What was remembered beside a document that is gone, such as its refusal, is gone as well."""

    def handler(connection: ServerConnection, _before: int) -> None:
        connection.close(4422, "no")

    async with Failing() as store:
        with scripted_server(handler) as url:
            async with connect(url, store=store, options=BRIEF) as document:
                text = text_of(document)
                text += "refused"
                with anyio.fail_after(TIMEOUT_S):
                    await until(lambda: document.status is Status.REFUSED)
                    await document.kept()
                with pytest.raises(EditsRefused):
                    await document.saved()
        async with connect(NOWHERE, store=store, options=BRIEF) as document:
            with pytest.raises(EditsRefused):
                await document.synced()
        await store.delete("doc")
        async with connect(NOWHERE, store=store, options=BRIEF) as document:
            assert document.error is None


@pytest.mark.parametrize("stored", [False, True])
async def test_behind_the_end(stored: bool) -> None:
    """A client that has ended stays closed: nobody waits for what nobody does any more."""
    async with MemoryStore() as store:
        async with connect(NOWHERE, store=store if stored else None, options=BRIEF) as document:
            pass
        assert document.status is Status.CLOSED
        with anyio.fail_after(TIMEOUT_S):
            with pytest.raises(Closed):
                await document.discard()
            with pytest.raises(Closed):
                await document.synced()
        assert document.status is Status.CLOSED


async def test_the_end_comes_before_the_store() -> None:
    """Who waits for a store that takes its time is told when the client ends."""
    waited: list[str] = []
    async with Failing() as store, anyio.create_task_group() as tasks:
        async with connect(NOWHERE, store=store, options=BRIEF) as document:

            async def keep() -> None:
                with pytest.raises(Closed):
                    await document.kept()
                waited.append("kept")

            async def discard() -> None:
                await document.discard()
                waited.append("discard")

            store.halt()
            tasks.start_soon(discard)
            with anyio.fail_after(TIMEOUT_S):
                await store.reached.wait()
            tasks.start_soon(keep)
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(TIMEOUT_S):
            await until(lambda: sorted(waited) == ["discard", "kept"])
