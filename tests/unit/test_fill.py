"""A document's size limit: who adds to a full one is refused, everybody else goes on."""

import pytest

from crdtsync.encoding import write_var_string
from crdtsync.errors import MessageTooLarge
from crdtsync.fill import Fill
from crdtsync.gate import READ_ONLY, Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import update_frame
from crdtsync.roles import READ, WRITE, Role, Rule
from crdtsync.store.memory import MemoryStore
from crdtsync.update import scan

from .engine import Client, join, quick, settle, until

pytestmark = pytest.mark.anyio

KIB = 1024
FULL = "the document would be over its size limit (max_document_bytes)"


def limits(**changed: object) -> Limits:
    return quick(max_document_bytes=10 * KIB, max_log_bytes=4 * KIB, **changed)


async def stored(hub: Hub, name: str = "doc") -> None:
    """Wait until everything is committed, and checkpointed where that was due."""
    room = hub.rooms[name]
    await until(lambda: not room.uncommitted and not room.wants_checkpoint)


async def test_max_document_bytes() -> None:
    """One large update over the limit closes its author with 4413; others read and write on."""
    async with Hub(MemoryStore(), limits=limits()) as hub:
        writer, reader = await join(hub), await join(hub)
        other = await join(hub, "other")
        writer.type("x" * 9 * KIB)
        await reader.shows("x" * 9 * KIB)
        writer.type("y" * 4 * KIB)
        assert await writer.gone() == (4413, FULL)
        assert writer.denials == [FULL]
        assert hub.stats.rejected["document-too-large"] == 1
        reader.type("z")
        other.type("x" * 9 * KIB)
        late = await join(hub)
        await late.shows("x" * 9 * KIB + "z")
        assert reader.link.closed is other.link.closed is None


async def test_keystrokes_fill_a_document() -> None:
    """A document that single letters filled takes no more of them, once a checkpoint shows it."""
    async with Hub(MemoryStore(), limits=limits()) as hub:
        client = await join(hub)
        room = hub.rooms["doc"]
        count = 0
        while not client.connection.closed and count < 14 * KIB:
            client.type("ab" * 30)
            count += 60
            await stored(hub)
            await settle()
        assert (await client.gone())[0] == 4413
        assert 9 * KIB < count <= 12 * KIB, "the log's overhead does not count"
        assert room.fill.full
        reader = await join(hub)
        await reader.shows("ab" * 30 * (count // 60 - 1))


async def test_deletions_make_room() -> None:
    """In a full document deletions are let in; when they have made room, edits are again."""
    async with Hub(MemoryStore(), limits=limits()) as hub:
        client = await join(hub)
        client.type("x" * 10_200)
        await until(lambda: hub.rooms["doc"].log_records)
        assert await hub.housekeeping.checkpoint(hub.rooms["doc"])
        while not client.connection.closed:
            client.type("y" * 60)
            await stored(hub)
            await settle()
        assert hub.rooms["doc"].fill.full
        await client.gone()
        client = await join(hub)
        before = client.doc.get_state()
        del client.text[100:]
        client.say(update_frame(client.doc.get_update(before)))
        await until(lambda: not hub.rooms["doc"].fill.full and not hub.rooms["doc"].log_records)
        client.type("z")
        reader = await join(hub)
        await reader.shows("x" * 100 + "z")
        assert client.link.closed is None


async def test_full_from_the_start() -> None:
    """A document that is loaded full is full; what it holds already may be brought again."""
    store = MemoryStore()
    async with Hub(store, limits=quick()) as hub:
        client = await join(hub)
        client.type("x" * 20 * KIB)
        await stored(hub)
    async with Hub(store, limits=limits()) as hub:
        again = Client(hub)
        again.doc.apply_update(client.doc.get_update())
        await until(lambda: again.connection.live)
        assert hub.rooms["doc"].fill.full
        assert not again.connection.free
        again.say(update_frame(client.doc.get_update()))
        assert again.link.closed is None
        again.type("y")
        assert (await again.gone())[0] == 4413


async def test_without_a_limit_nothing_is_counted() -> None:
    """By default a document may have any size."""
    assert Limits().max_document_bytes == 0
    async with Hub(MemoryStore(), limits=quick()) as hub:
        client = await join(hub)
        client.type("x" * 1024 * KIB)
        await stored(hub)
        assert not hub.rooms["doc"].fill.full
        assert client.connection.free


def test_what_waits_counts() -> None:
    """Large updates that come before the next commit count together."""
    fill = Fill(Limits(max_document_bytes=1000, max_log_bytes=500))
    data = _update(600)
    found = scan(data, Limits())
    fill.check(data, found, lambda _: False)
    fill.check(data, found, lambda _: False)
    with pytest.raises(MessageTooLarge, match="over its size limit"):
        fill.check(data, found, lambda _: False)
    fill.check(data, found, lambda _: True)
    assert not fill.note(0, 0)
    fill.check(data, found, lambda _: False)


def _update(size: int) -> bytes:
    return b"\x01\x01\x01\x00\x04\x01\x01t" + write_var_string("x" * size) + b"\x00"


async def test_the_limit_holds_for_every_role() -> None:
    """Over the limit, who writes by rules is closed with 4413 too; a reader is told it may read."""
    rules = Role(name="author", write=(Rule(root="text"),))
    async with Hub(MemoryStore(), limits=limits()) as hub:
        writer = await join(hub)
        author = await join(hub, principal=Principal(id="ann", role=rules))
        viewer = await join(hub, principal=Principal(id="bob", role=READ))
        author.type("x" * 9 * KIB)
        await writer.shows("x" * 9 * KIB)
        author.type("y" * 4 * KIB)
        assert await author.gone() == (4413, FULL)
        viewer.type("y" * 4 * KIB)
        await settle()
        assert viewer.denials == [READ_ONLY]
        assert viewer.link.closed is writer.link.closed is None


async def test_nobody_is_free_in_a_full_document() -> None:
    """Who may write everything is looked at while the document is full, and no longer."""
    async with Hub(MemoryStore(), limits=limits()) as hub:
        writer, viewer = await join(hub), await join(hub, principal=Principal(read_only=True))
        writer.type("x" * 9 * KIB)
        await viewer.shows("x" * 9 * KIB)
        room = hub.rooms["doc"]
        assert writer.connection.free
        assert not viewer.connection.free
        room.fill.state_bytes = 11 * KIB
        room.note_size()
        assert not writer.connection.free
        writer.connection.become(Principal(id="", role=WRITE))
        assert not writer.connection.free
        room.fill.state_bytes = 0
        room.note_size()
        assert writer.connection.free
        assert not viewer.connection.free
