"""Edits travel both ways, and are confirmed."""

import anyio
import pycrdt
import pytest

from crdtsync.client import ORIGIN, Document, Status, connect
from tests.native.kit import Server

from .kit import OPTIONS, TIMEOUT_S, address, text_of, until, until_text

pytestmark = pytest.mark.anyio


async def test_two_clients_share_a_document(server: Server) -> None:
    """What one writes the other has, characters beyond the basic plane included."""
    async with (
        connect(address(server), options=OPTIONS) as ann,
        connect(address(server), options=OPTIONS) as bob,
    ):
        with anyio.fail_after(TIMEOUT_S):
            await bob.synced()
            text = text_of(ann)
            text += "Hello 👋 wörld"
            await until_text(bob, "Hello 👋 wörld")
            other = text_of(bob)
            other.insert(0, "ß")
            await until_text(ann, "ßHello 👋 wörld")


async def test_saved_means_committed(server: Server) -> None:
    """Behind ``saved()`` the server has committed what was written, and says so by its name."""
    async with connect(address(server), options=OPTIONS) as document:
        text = text_of(document)
        for number in range(50):
            text += f"{number} "
        assert document.unsaved
        with anyio.fail_after(TIMEOUT_S):
            await document.saved()
        assert not document.unsaved
        assert document.durable is True
        assert server.text() == str(text)


async def test_deletions_are_confirmed_too(server: Server) -> None:
    """An edit that only deletes is saved when that has come back."""
    async with connect(address(server), options=OPTIONS) as document:
        text = text_of(document)
        text += "one two three"
        with anyio.fail_after(TIMEOUT_S):
            await document.saved()
            del text[3:7]
            assert document.unsaved
            await document.saved()
        assert server.text() == "one three"


async def test_edits_of_one_turn_are_one_frame(server: Server) -> None:
    """A hundred edits without a pause reach the server as few updates."""
    async with connect(address(server), options=OPTIONS, wait=True) as document:
        before = server.call(lambda: server.hub.stats.updates_in)
        text = text_of(document)
        for _ in range(100):
            text += "x"
        with anyio.fail_after(TIMEOUT_S):
            await document.saved()
        assert server.call(lambda: server.hub.stats.updates_in) - before <= 3
        assert server.text() == "x" * 100


async def test_what_a_document_brings_along_is_uploaded(server: Server) -> None:
    """Content of a document that is handed in reaches the server."""
    doc = pycrdt.Doc[pycrdt.Text]()
    doc["text"] = pycrdt.Text("made before")
    async with connect(address(server), doc=doc, options=OPTIONS) as document:
        assert document.doc is doc
        with anyio.fail_after(TIMEOUT_S):
            await document.saved()
        assert server.text() == "made before"


async def test_the_body_s_own_error_leaves_as_it_is(server: Server) -> None:
    """An error raised in ``async with`` is not put into a group."""
    with pytest.raises(ValueError, match="mine"):
        async with connect(address(server), options=OPTIONS):
            raise ValueError("mine")


async def test_cancelling_the_body_ends_it(server: Server) -> None:
    """A timeout around ``async with`` ends the client and goes no further."""
    documents: list[Document] = []
    with anyio.move_on_after(0.2) as scope:
        async with connect(address(server), options=OPTIONS) as document:
            documents.append(document)
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert documents[0].status is Status.CLOSED
    await until(lambda: not server.call(lambda: server.hub.rooms["doc"].fanout.connections))


async def test_states_can_be_followed(server: Server) -> None:
    """The states come in order, to callbacks and to whoever iterates."""
    told: list[Status] = []
    async with anyio.create_task_group() as tasks:
        seen: list[Status] = []

        async def follow(document: Document) -> None:
            async for status in document.statuses():
                seen.append(status)  # noqa: PERF401 - one by one, as they come

        async with connect(address(server), options=OPTIONS) as document:
            document.on_status(told.append)
            tasks.start_soon(follow, document)
            with anyio.fail_after(TIMEOUT_S):
                await document.synced()
    wanted = [Status.CONNECTING, Status.CONNECTED, Status.SYNCED, Status.CLOSED]
    assert seen == wanted
    assert told == wanted[1:]


async def test_undo_takes_back_own_edits_alone(server: Server) -> None:
    """What others wrote has an origin of its own, by which undo leaves it alone."""
    async with (
        connect(address(server), options=OPTIONS, wait=True) as one,
        connect(address(server), options=OPTIONS, wait=True) as two,
    ):
        mine, theirs = text_of(one), text_of(two)
        undo = pycrdt.UndoManager(scopes=[mine], capture_timeout_millis=0)
        origins: list[object] = []
        mine.observe(lambda _event, transaction: origins.append(transaction.origin))
        mine += "mine"
        await until_text(two, "mine")
        theirs.insert(0, "theirs, ")
        await until_text(one, "theirs, mine")
        assert origins == [None, ORIGIN]
        assert undo.undo()
        await until_text(two, "theirs, ")
        assert str(mine) == "theirs, "


@pytest.mark.parametrize("origin", [None, "a program's"])
async def test_what_comes_while_a_transaction_is_open(server: Server, origin: str | None) -> None:
    """It becomes part of a transaction that the program holds open, whatever its origin."""
    async with (
        connect(address(server), options=OPTIONS, wait=True) as one,
        connect(address(server), options=OPTIONS, wait=True) as two,
    ):
        mine, theirs = text_of(one), text_of(two)
        origins: list[object] = []
        mine.observe(lambda _event, transaction: origins.append(transaction.origin))
        with one.doc.transaction(origin=origin):
            theirs += "theirs"
            await until_text(one, "theirs")
            mine += ", mine"
        assert origins == [origin]
        await until_text(two, "theirs, mine")
        theirs += ", more"
        await until_text(one, "theirs, mine, more")
        assert origins == [origin, ORIGIN]
