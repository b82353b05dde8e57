"""The promises of ``docs/guarantees.md`` that concern several parts at once, kept end to end."""

import sqlite3
from pathlib import Path
from signal import SIGKILL
from typing import Any

import anyio
import pycrdt
import pytest

from crdtsync import (
    Change,
    Durability,
    Hub,
    Record,
    SQLiteStore,
    StoreDamaged,
    Unavailable,
    open_store,
)
from crdtsync.protocol import (
    SyncUpdate,
    update_frame,
)
from crdtsync.store.sqlite_schema import connect

from .kit import Client, serving
from .peers import QUICK, Peer, Trouble


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


@pytest.fixture
async def store() -> Trouble:
    """A store that works until it is told otherwise."""
    return Trouble()


@pytest.mark.anyio
async def test_nothing_is_visible_before_it_is_stored(store: Trouble) -> None:
    """While the store has not taken an edit, nobody sees it and its author is not told."""
    async with Hub(store, limits=QUICK) as hub, Peer(hub, "d") as ann, Peer(hub, "d") as bob:
        store.hold()
        ann.write("hello")
        await store.asked.wait()
        async with Peer(hub, "d") as late, hub.open("d") as room:
            await anyio.wait_all_tasks_blocked()
            assert (ann.updates, bob.updates, late.updates) == (0, 0, 0)
            assert room.state() == b"\x00\x00"
            store.gate.set()
            for peer in (ann, bob, late):
                await peer.updated(1)
            assert str(bob.text) == str(late.text) == "hello"


@pytest.mark.anyio
async def test_an_edit_waits_for_what_it_builds_on(store: Trouble) -> None:
    """An update without the one before it is not stored; the client is asked, and both go out."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc["text"] = text = pycrdt.Text("first ")
    first, between = doc.get_update(), doc.get_state()
    text += "second"
    async with Hub(store, limits=QUICK) as hub, Peer(hub, "d") as ann, Peer(hub, "d") as bob:
        assert ann.connection is not None
        asked = ann.asked
        ann.connection.receive(update_frame(doc.get_update(between)))
        assert ann.asked == asked + 1
        assert hub.stats.updates_held == 1
        await anyio.wait_all_tasks_blocked()
        assert (await store.load("d")).records == ()
        ann.connection.receive(update_frame(first))
        await bob.until(lambda: str(bob.text) == "first second")


@pytest.mark.anyio
async def test_nobody_speaks_for_another_s_presence(store: Trouble) -> None:
    """Entries for a client id that another connection brought are ignored, then and afterwards."""
    async with Hub(store, limits=QUICK) as hub, Peer(hub, "d") as bob:
        async with Peer(hub, "d") as ann:
            ann.present(7, 1, '"ann"')
            await bob.until(lambda: bob.presence == {7: '"ann"'})
            for state in ('"bob"', "null"):
                bob.present(7, 2, state)
            bob.present(8, 1, '"bob"')
            await ann.until(lambda: ann.presence == {7: '"ann"', 8: '"bob"'})
        await bob.until(lambda: bob.presence == {8: '"bob"'})
        bob.present(7, 1, '"a ghost"')
        bob.present(8, 2, '"still"')
        await bob.until(lambda: bob.presence == {8: '"still"'})


@pytest.mark.anyio
async def test_a_failed_commit_is_tried_again(store: Trouble) -> None:
    """An edit that the store refuses for a moment is shown once it has it, and once only."""
    async with Hub(store, limits=QUICK) as hub, Peer(hub, "d") as ann, Peer(hub, "d") as bob:
        store.failing = lambda record: store.failures < 2
        ann.write("hello")
        await bob.updated(1)
        assert store.failures == 2
        assert str(bob.text) == "hello"
        assert ann.close_code is None
        assert hub.stats.store_errors["append"] == 2


@pytest.mark.anyio
async def test_a_store_that_stays_broken_loses_nothing(store: Trouble) -> None:
    """Where the store keeps failing, clients are sent away unseen, and bring their edits back."""
    async with Hub(store, limits=QUICK) as hub:
        store.failing = lambda record: True
        async with Peer(hub, "d") as ann, Peer(hub, "d") as bob:
            ann.write("hello")
            for peer in (ann, bob):
                await peer.sent_away()
            assert bob.updates == 0
        store.failing = lambda record: False
        async with Peer(hub, "d", doc=ann.doc), Peer(hub, "d", doc=bob.doc) as again:
            await again.until(lambda: str(again.text) == "hello")


@pytest.mark.anyio
async def test_one_document_s_trouble_is_its_own(store: Trouble) -> None:
    """While one document can't be stored, the edits of another are stored and shown."""
    async with Hub(store, limits=QUICK) as hub, Peer(hub, "bad") as ann, Peer(hub, "good") as bob:
        store.failing = lambda record: record.document == "bad"
        ann.write("stuck")
        bob.write("fine")
        await bob.updated(1)
        await ann.sent_away()
        assert bob.close_code is None


@pytest.mark.anyio
async def test_editing_from_python_fails_where_storing_does(store: Trouble) -> None:
    """``Hub.edit`` returns once the edit is stored, and raises where it could not be."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc["text"] = pycrdt.Text("hello")
    async with Hub(store, limits=QUICK) as hub:
        store.failing = lambda record: True
        with pytest.raises(Unavailable):
            await hub.edit("d", doc.get_update())
        store.failing = lambda record: False
        assert await hub.edit("d", doc.get_update()) == 1


@pytest.mark.anyio
async def test_a_damaged_document_is_read_only(tmp_path: Path) -> None:
    """What stands before a damaged record is served; edits are refused with the reason."""
    path = tmp_path / "store.db"
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc["text"] = text = pycrdt.Text()
    async with SQLiteStore(path) as store:
        for sequence, word in enumerate(("one ", "two ", "three "), 1):
            before = doc.get_state()
            text += word
            update = doc.get_update(before)
            await store.append([Record("d", sequence, sequence, "ann", update)])
    db = sqlite3.connect(path, isolation_level=None)
    ((update,),) = db.execute('SELECT "update" FROM log WHERE sequence = 3')
    damaged = update.replace(b"three", b"thr3e")
    db.execute('UPDATE log SET "update" = ? WHERE sequence = 3', (damaged,))
    db.close()
    async with Hub(SQLiteStore(path), limits=QUICK) as hub, Peer(hub, "d") as ann:
        async with hub.open("d") as room:
            assert room.export()["text"].value == "one two "
            assert "sequence 3" in room.damage
        ann.write("more")
        await ann.until(lambda: bool(ann.reasons))
        assert "read-only" in ann.reasons[0]
        with pytest.raises(StoreDamaged):
            await hub.edit("d", ann.doc.get_update())
    async with SQLiteStore(path) as store:
        repaired = [finding async for finding in store.check(repair=True) if finding.repaired]
        assert [(finding.document, finding.sequence) for finding in repaired] == [("d", 3)]
    async with Hub(SQLiteStore(path)) as hub, hub.open("d") as room:
        assert not room.damage
        assert await hub.edit("d", doc.get_update()) > 2
        assert room.export()["text"].value == "one two three "


@pytest.mark.anyio
async def test_who_takes_nothing_is_sent_away(store: Trouble) -> None:
    """A connection that takes nothing for ``max_lag_s`` is closed with 1013; others go on."""
    async with Hub(store, limits=QUICK) as hub, Peer(hub, "d") as slow, Peer(hub, "d") as ann:
        assert slow.connection is not None
        slow.connection.pause_writing()
        ann.write("hello")
        await ann.updated(1)
        await slow.sent_away()
        assert slow.updates == 0


@pytest.mark.anyio
async def test_a_hook_that_fails_disturbs_nobody(store: Trouble) -> None:
    """``on_change`` comes after the commit, in order; what it raises stays with it."""
    seen: list[Change] = []
    third = anyio.Event()

    async def changed(change: Change) -> None:
        assert (await store.load("d")).records[-1].sequence >= change.sequence
        seen.append(change)
        if change.sequence == 3:
            third.set()
        raise ValueError("a bug of the application's")

    async with Hub(store, limits=QUICK, on_change=changed) as hub, Peer(hub, "d") as ann:
        for number in range(1, 4):
            ann.write("x")
            await ann.updated(number)
        await third.wait()
    assert [(change.sequence, change.author) for change in seen] == [
        (1, "ann"),
        (2, "ann"),
        (3, "ann"),
    ]


@pytest.mark.parametrize("durability", ["fsync", "os"])
@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_what_was_seen_outlives_a_kill(kind: str, durability: Durability, tmp_path: Path) -> None:
    """After ``kill -9`` under load, everything that any client saw is there."""
    options = ("--store", f"{kind}:{tmp_path / 'store'}", "--durability", durability)
    with (
        serving(tmp_path, *options) as (process, url),
        Client(f"{url}/d?ack=1") as ann,
        Client(f"{url}/d") as bob,
    ):
        ann.sync()
        bob.sync()
        for number in range(300):
            ann.append(f"{number} ")
        bob.receive_until(lambda: len(bob.text) > 400)
        process.stop(SIGKILL)
        ann.ended()
        bob.ended()
    told = [m for m in ann.messages if isinstance(m, SyncUpdate)]
    with serving(tmp_path, *options) as (_, url), Client(f"{url}/d") as eve:
        eve.sync()
        assert str(eve.text).startswith(str(bob.text))
        before = pycrdt.get_state(eve.doc.get_update())
        for message in told:
            eve.doc.apply_update(message.update)
        assert pycrdt.get_state(eve.doc.get_update()) == before, "told as saved, and lost"


@pytest.mark.parametrize(("durability", "level"), [("fsync", 2), ("os", 1), ("none", 0)])
def test_sqlite_syncs_as_the_level_says(durability: Durability, level: int, tmp_path: Path) -> None:
    """``fsync`` has SQLite sync each commit (FULL), ``os`` has not (NORMAL); there is a WAL."""
    db = connect(tmp_path / "store.db", durability, mode="rwc")
    try:
        assert db.execute("PRAGMA synchronous").fetchone() == (level,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        db.close()


@pytest.mark.parametrize("url", ["sqlite:store.db", "file:store"])
def test_fsync_is_the_default(url: str) -> None:
    """Who chooses nothing gets the level that survives a power loss."""
    assert open_store(url).durability == "fsync"
