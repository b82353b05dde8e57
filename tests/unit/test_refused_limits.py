"""Sound edits over a limit: their author is sent away, and what it wrote is kept."""

from dataclasses import replace

import pytest

from crdtsync.clock import ManualClock
from crdtsync.documents.refused import BEFORE, apply_refused
from crdtsync.gate import Principal
from crdtsync.history.database import HistoryDatabase
from crdtsync.hub import Hub
from crdtsync.protocol import step_2_frame, update_frame
from crdtsync.refused.base import Entry
from crdtsync.session import UpdateReceived
from crdtsync.store.base import Record
from crdtsync.store.memory import MemoryStore
from tests.portions import small_portions

from .engine import FAST, Client, TestStore, join, quick, settle, until
from .test_refusals import ANN, Shelf
from .wire import any_, block, item, one, type_, update

pytestmark = pytest.mark.anyio

FULL = "the document would be over its size limit (max_document_bytes)"
SMALL = quick(
    max_document_bytes=1_000, max_conflicts=3, max_type_depth=2, max_update_clients=2,
    max_update_structs=300,
)  # fmt: skip
LARGE = one(5, 0, "x" * 2_000)


def nested(client: int, depth: int) -> bytes:
    """Arrays in one another."""
    items = [item(type_(0), parent="list")]
    items += [item(type_(0), parent=(client, clock)) for clock in range(depth - 1)]
    return update(block(client, 0, *items))


OVER = {
    "document-too-large": (LARGE, 4413),
    "update-conflicts": (update(block(5, 0, *[item("x") for _ in range(9)])), 4422),
    "update-type-depth": (nested(8, 3), 4422),
    "update-clients": (update(*[block(client, 0, item("x")) for client in (5, 6, 7)]), 4422),
    "update-structs": (update(deletes=[(5, 2 * n, 2 * n + 1) for n in range(301)]), 4422),
}


@pytest.mark.parametrize("kind", OVER)
async def test_what_is_over_a_limit_is_kept(kind: str) -> None:
    """Each has the author, the reason and the bytes, and is on the disk before the close."""
    bytes_, code = OVER[kind]
    shelf, store = Shelf(), TestStore()
    shelf.quick = False
    async with Hub(store, limits=SMALL, quarantine=shelf) as hub:
        client = await join(hub, principal=ANN)
        client.say(update_frame(bytes_))
        (reason,) = client.denials
        (kept,) = shelf.kept
        assert (kept.document, kept.author, kept.name) == ("doc", "ann", "Ann")
        assert (kept.kind, kept.reason, kept.update) == ("limit", reason, bytes_)
        assert (hub.stats.rejected[kind], hub.stats.updates_refused["limit"]) == (1, 1)
        await until(lambda: shelf.waiting)
        assert client.link.closed is None
        (close,) = shelf.waiting
        close()  # type: ignore[operator]
        assert client.link.closed == (code, reason)
    assert not store.batches


@pytest.mark.parametrize(
    "bad",
    [
        LARGE[:-1],
        one(5, 0, any_(b"\x75\x01" * 600 + b"\x7e"), parent="list"),
        one(5, 0, "x", parent=(7, 0)),
    ],
    ids=["truncated", "deep value", "in a value"],
)
async def test_what_nothing_could_let_in_is_not_kept(bad: bytes) -> None:
    """Damage is no edit: its sender is closed as ever, and nothing waits for a disk."""
    shelf = Shelf()
    shelf.quick = False
    async with Hub(TestStore(), limits=FAST, quarantine=shelf) as hub:
        client = await join(hub)
        client.say(update_frame(one(7, 0, any_(b"\x7e"), parent="list")))
        client.say(update_frame(bad))
        assert (await client.gone())[0] == 4422
        assert not shelf.kept


async def test_of_a_frame_only_what_is_refused_is_kept() -> None:
    """What stands before it in the same frame is let in; what stands behind it is kept, too."""
    shelf, store = Shelf(), TestStore()
    async with Hub(store, limits=SMALL, quarantine=shelf) as hub:
        client = await join(hub)
        before, behind = one(6, 0, "a"), one(5, 2_000, "b", origin=(5, 1_999))
        client.say(update_frame(before) + update_frame(LARGE) + update_frame(behind))
        client.say(update_frame(one(5, 2_001, "c", origin=(5, 2_000))))
        assert [each.update for each in shelf.kept[:2]] == [LARGE, behind]
        assert len({id(each.run) for each in shelf.kept}) == 1
        assert [each.late for each in shelf.kept] == [False, False, True]
        await client.gone()
        await until(lambda: store.batches)
        assert hub.rooms["doc"].document.clocks == {6: 1}


async def test_of_a_step_2_what_is_known_is_not_kept() -> None:
    """A client that comes back with all it has leaves only what the server lacks."""
    shelf = Shelf()
    async with Hub(TestStore(), limits=SMALL, quarantine=shelf) as hub:
        first = await join(hub)
        first.say(update_frame(one(5, 0, "a")))
        client = await join(hub)
        rest = one(5, 1, "x" * 2_000, origin=(5, 0))
        client.say(step_2_frame(update(block(5, 0, item("a"), item("x" * 2_000, origin=(5, 0))))))
        await client.gone()
        assert [each.update for each in shelf.kept] == [rest]


@pytest.mark.parametrize("kind", ["document-too-large", "update-conflicts"])
async def test_a_large_frame_over_a_limit_is_kept(kind: str) -> None:
    """What a thread reads is kept as what is read at once, with all that comes behind it."""
    shelf = Shelf()
    many = [item("x" * 20_000) for _ in range(9 if kind == "update-conflicts" else 1)]
    large = update(block(5, 0, *many, item("x" * 200_000, origin=(5, 0))))
    async with Hub(TestStore(), limits=SMALL, quarantine=shelf) as hub:
        client = await join(hub)
        client.say(update_frame(large))
        client.say(update_frame(one(6, 0, "y")))
        assert (await client.gone())[0] == OVER[kind][1]
        assert [each.update for each in shelf.kept] == [large, one(6, 0, "y")]


async def test_who_comes_back_to_a_full_document_waits_longer() -> None:
    """As with a gate's refusal: clients that don't know the code would come back at once."""
    limits = replace(SMALL, refusal_delay_s=0.25, max_refusal_delay_s=1.0)
    async with Hub(TestStore(), limits=limits, clock=ManualClock()) as hub:
        delays: list[float] = []
        hub.later = lambda delay_s, call: delays.append(delay_s)  # type: ignore[method-assign]
        for _ in range(4):
            client = await join(hub, principal=ANN)
            client.say(update_frame(LARGE))
        other = await join(hub, principal=Principal(id="bob"))
        other.say(update_frame(LARGE))
        assert delays == [0.25, 0.5, 1.0, 1.0, 0.25]


async def test_a_reader_of_a_full_document_is_only_told() -> None:
    """Who may write nothing is denied for that, and stays."""
    shelf = Shelf()
    async with Hub(TestStore(), limits=SMALL, quarantine=shelf) as hub:
        client = Client(hub, principal=Principal(read_only=True))
        client.say(update_frame(LARGE))
        await settle()
        assert client.link.closed is None
        assert [each.kind for each in shelf.kept] == ["read-only"]


async def test_a_version_before_edits_are_applied() -> None:
    """What was there before can be had back; where nothing enters, no version is made."""

    def entry(update: bytes) -> Entry:
        return Entry(
            id=1, document="doc", author="ann", name="Ann", kind="gate", reason="",
            first_ms=0, last_ms=0, updates=1, size=len(update), update=update,
        )  # fmt: skip

    async with MemoryStore() as store, HistoryDatabase(None) as history:
        await store.append([Record("doc", 1, 0, "ann", one(4, 0, "a"))])
        for _ in range(2):
            await apply_refused(store, "doc", [entry(one(5, 0, "b"))], history=history)
        (version,) = await history.versions("doc", before=None, limit=9, kind=None)
        assert (version.kind, version.sequence, version.label) == ("import", 1, BEFORE)


async def test_limits_hold_when_an_edit_is_applied() -> None:
    """Kept is not let in: without a server, too, only the document's size limit is lifted."""

    def entry(number: int, kept: bytes) -> Entry:
        return Entry(
            id=number, document="doc", author="ann", name="Ann", kind="limit", reason="",
            first_ms=0, last_ms=0, updates=1, size=len(kept), update=kept,
        )  # fmt: skip

    async with MemoryStore() as store:
        await store.append([Record("doc", 1, 0, "ann", one(4, 0, "a"))])
        entries = [entry(number, OVER[kind][0]) for number, kind in enumerate(OVER)]
        done = await apply_refused(store, "doc", entries, limits=SMALL)
        assert [each.id for each in done.applied] == [0]
        assert [each.id for each, _ in done.left] == [1, 2, 3, 4]
        assert all("too " in reason for _, reason in done.left)


@pytest.mark.parametrize("goes", [False, True], ids=["at once", "while it waits for its end"])
async def test_of_a_long_update_the_whole_is_kept(goes: bool) -> None:
    """Once, also where some of it has entered; nothing of what is behind is read any more."""
    keys = [item(any_(b"\x7d\x01"), parent="map", key=f"k{n}") for n in range(6)]
    deep = [item(type_(0), parent="list")]
    deep += [item(type_(0), parent=(1, 6 + depth)) for depth in range(2)]
    more = [item(any_(b"\x7d\x01"), parent="map", key=f"m{n}") for n in range(201)]
    long = update(block(1, 0, *keys, *deep, *more))
    behind = one(1, 210, "x")
    shelf = Shelf()
    limits = replace(SMALL, max_conflicts=2_000, max_document_bytes=0)
    with small_portions(2):
        async with Hub(MemoryStore(), limits=limits, quarantine=shelf) as hub:
            client = await join(hub, principal=ANN)
            shelf.quick = not goes
            client.say(update_frame(long))
            if goes:
                client.say(update_frame(behind))
            await until(lambda: client.denials)
            read = client.connection.events
            assert not [each for each in read if isinstance(each, UpdateReceived)]
            assert [kept.update for kept in shelf.kept] == [long, behind][: 1 + goes]
            assert {kept.kind for kept in shelf.kept} == {"limit"}
            assert hub.rooms["doc"].document.clocks == {1: 6}
