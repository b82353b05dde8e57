"""What follows a refused edit: who is told, who is sent away and when, and what is kept of it."""

from dataclasses import replace

import pytest

from crdtsync.audit import Caller
from crdtsync.awareness import Entry, encode_entries
from crdtsync.clock import ManualClock
from crdtsync.gate import ALLOW, Decision, Deny, Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import (
    QUERY_AWARENESS,
    AwarenessMessage,
    awareness_frame,
    step_2_frame,
    update_frame,
)
from crdtsync.refused import keeping
from crdtsync.refused.base import Filter, NoQuarantine, RefusedUpdate
from crdtsync.refused.keeping import RefusedUpdates
from crdtsync.roles import READ
from crdtsync.store.base import Damage
from crdtsync.structs import Scan
from crdtsync.update import scan

from .engine import FAST, Client, TestStore, join, quick, settle, until
from .wire import one

pytestmark = pytest.mark.anyio

ANN = Principal(id="ann", name="Ann")


class NoPrivate:
    """Lets nobody write to the root ``private``."""

    def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
        return Deny("nobody writes there") if "private" in scan.roots else ALLOW


class Shelf(NoQuarantine):
    """A quarantine that keeps what it is handed, and says so when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[RefusedUpdate] = []
        self.waiting: list[object] = []
        self.quick = True

    def keep(self, refused: RefusedUpdate, /) -> None:
        self.kept.append(refused)

    def when_kept(self, call: object, /) -> None:
        assert callable(call)
        if self.quick:
            call()
        else:
            self.waiting.append(call)


def private(client: int, clock: int, text: str = "x") -> bytes:
    origin = (client, clock - 1) if clock else None
    return one(client, clock, text, **({"origin": origin} if origin else {"parent": "private"}))


async def refused(hub: Hub, client: int, **options: object) -> Client:
    """Connect a client and let it write what is refused."""
    made = await join(hub, **options)
    made.say(update_frame(private(client, 0)))
    return made


async def test_a_refused_writer_is_sent_away_and_its_edit_kept() -> None:
    """The reason goes out, the close is final, and the quarantine has it all with its author."""
    shelf, store = Shelf(), TestStore()
    async with Hub(store, limits=FAST, gate=NoPrivate(), quarantine=shelf) as hub:
        client, other = await refused(hub, 5, principal=ANN), await join(hub)
        assert client.denials == ["nobody writes there"]
        assert await client.gone() == (4409, "start from a fresh document: nobody writes there")
        (kept,) = shelf.kept
        assert (kept.document, kept.author, kept.name) == ("doc", "ann", "Ann")
        assert (kept.kind, kept.reason) == ("gate", "nobody writes there")
        assert kept.update == private(5, 0)
        assert hub.stats.updates_refused["gate"] == 1
        other.type("on")
        await until(lambda: hub.stats.updates_committed)
        assert len(store.batches) == 1


async def test_nobody_is_sent_away_before_what_he_wrote_is_kept() -> None:
    """The close waits until the quarantine has everything, whatever still came."""
    shelf = Shelf()
    shelf.quick = False
    async with Hub(TestStore(), limits=FAST, gate=NoPrivate(), quarantine=shelf) as hub:
        client = await refused(hub, 5)
        await until(lambda: shelf.waiting)
        assert client.link.closed is None
        (close,) = shelf.waiting
        close()  # type: ignore[operator]
        assert client.link.closed


async def test_what_follows_a_refused_edit_is_kept_too() -> None:
    """Until its connection ends, all that a refused client writes goes to the quarantine."""
    shelf, store = Shelf(), TestStore()
    limits = quick(refusal_delay_s=60.0)
    async with Hub(store, limits=limits, gate=NoPrivate(), quarantine=shelf) as hub:
        client = await refused(hub, 5)
        client.say(update_frame(private(5, 1)))
        client.say(b"\xff no message")
        client.say(step_2_frame(private(5, 2)))
        client.say(awareness_frame(encode_entries([Entry(66, 1, "{}")])))
        assert [each.update for each in shelf.kept] == [private(5, n) for n in range(3)]
        assert len({id(each.run) for each in shelf.kept}) == 1
        assert client.denials == ["nobody writes there"]
        other = await join(hub)
        other.say(QUERY_AWARENESS)
        await other.hears(AwarenessMessage)
        assert other.awareness == [b"\x00"]
        client.connection.lost()
        client.say(update_frame(private(5, 3)))
        assert len(shelf.kept) == 3
    assert not store.batches


async def test_what_came_while_the_document_loads_is_kept() -> None:
    """Frames that waited behind a refused one go to the quarantine, none is lost."""
    shelf, store = Shelf(), TestStore()
    store.stop_loads()
    async with Hub(store, limits=FAST, gate=NoPrivate(), quarantine=shelf) as hub:
        client = Client(hub)
        for clock in range(4):
            client.say(update_frame(private(5, clock)))
        store.load_gate.set()
        assert (await client.gone())[0] == 4409
        assert [each.update for each in shelf.kept] == [private(5, n) for n in range(4)]


async def test_what_came_behind_a_large_frame_is_kept() -> None:
    """While a large update is read on a thread, what follows waits; refused, it is kept as well."""
    shelf = Shelf()
    async with Hub(TestStore(), limits=FAST, gate=NoPrivate(), quarantine=shelf) as hub:
        client = await join(hub)
        large = one(5, 0, "x" * 200_000, parent="private")
        client.say(update_frame(large))
        client.say(update_frame(one(5, 200_000, "y", origin=(5, 199_999))))
        assert (await client.gone())[0] == 4409
        assert [len(each.update) > 1_000 for each in shelf.kept] == [True, False]


async def test_what_stands_behind_a_refused_edit_in_its_frame_is_kept() -> None:
    """Of a frame with several messages, those before the refused one count, the others are kept."""
    shelf, store = Shelf(), TestStore()
    async with Hub(store, limits=FAST, gate=NoPrivate(), quarantine=shelf) as hub:
        client = await join(hub)
        frames = [one(9, 0, "good"), private(5, 0), private(5, 1), one(9, 4, "k", origin=(9, 3))]
        presence = awareness_frame(encode_entries([Entry(66, 1, "{}")]))
        client.say(presence.join(map(update_frame, frames)))
        assert (await client.gone())[0] == 4409
        assert [each.update for each in shelf.kept] == frames[1:]
        assert [each.late for each in shelf.kept] == [False, True, True]
        await until(lambda: store.batches)
        assert hub.rooms["doc"].document.clocks == {9: 4}


async def test_a_large_frame_is_kept_that_was_being_read() -> None:
    """A refusal while a thread reads the next frame: that frame is kept when it has been read."""
    shelf = Shelf()
    async with Hub(TestStore(), limits=FAST, gate=NoPrivate(), quarantine=shelf) as hub:
        client = await join(hub)
        large = one(6, 0, "x" * 200_000)
        client.say(update_frame(large))
        waited = private(5, 0)  # another's edit had brought what this one waited for
        room, connection = hub.rooms["doc"], client.connection
        hub.refusals.deny(room, connection, Deny("no"), waited, scan(waited, FAST), step_2=False)
        assert connection.closed
        await until(lambda: len(shelf.kept) == 2)
        assert [each.update for each in shelf.kept] == [waited, large]


async def test_a_flood_behind_a_refused_edit_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it floods with is dropped and counted; its author's earlier work stays."""
    monkeypatch.setattr(keeping, "MAX_LATE_UPDATES", 20)
    limits = quick(refusal_delay_s=60.0, max_quarantine_author_updates=50)
    quarantine = RefusedUpdates(None, limits)
    async with Hub(TestStore(), limits=limits, gate=NoPrivate(), quarantine=quarantine) as hub:
        await refused(hub, 4, principal=ANN)
        client = await refused(hub, 5, principal=ANN)
        for number in range(1_000):
            client.say(update_frame(private(1_000 + number, 0)))
        kept = await quarantine.entries(Filter(), limit=1_000, whole=True)
        assert sum(each.updates for each in kept) == 22
        assert kept[0].update == private(4, 0)
        assert quarantine.stats.lost == {"late": 980}
        assert [(each.cause, each.updates) for each in await quarantine.lost()] == [("late", 980)]


@pytest.mark.parametrize("principal", [Principal(read_only=True), Principal(role=READ)])
async def test_who_may_write_nothing_is_not_listened_to(principal: Principal) -> None:
    """Told once, counted, kept, and connected for as long as it likes."""
    shelf = Shelf()
    async with Hub(TestStore(), limits=FAST, quarantine=shelf) as hub:
        viewer = await join(hub, principal=principal)
        updates = [viewer.type("no") for _ in range(5)]
        await settle()
        assert viewer.denials == ["this document is read-only for you"]
        assert viewer.link.closed is None
        assert [each.update for each in shelf.kept] == updates
        assert {each.kind for each in shelf.kept} == {"read-only"}


async def test_a_viewer_whose_socket_is_full_is_told_later() -> None:
    """A denial that could not be sent does not count as told."""
    async with Hub(TestStore(), limits=FAST) as hub:
        viewer = await join(hub, principal=Principal(read_only=True))
        viewer.block()
        viewer.type("no")
        assert viewer.denials == []
        viewer.drain()
        viewer.type("no")
        viewer.type("no")
        assert len(viewer.denials) == 1


async def test_of_a_step_2_only_the_news_are_kept() -> None:
    """What the document knows of a refused step 2, deletions too, is not kept once more."""
    shelf = Shelf()
    async with Hub(TestStore(), limits=FAST, gate=NoPrivate(), quarantine=shelf) as hub:
        client = await join(hub)
        for letter in "abc":
            client.type(letter)
        del client.text[0:1]
        client.say(step_2_frame(client.doc.get_update()))
        await until(lambda: hub.stats.updates_committed >= 4)
        client.doc.get("private", type=type(client.text)).insert(0, "secret")
        whole = client.doc.get_update()
        assert scan(whole, Limits()).deletes
        client.say(step_2_frame(whole))
        (kept,) = shelf.kept
        found = scan(kept.update, Limits(), structs=True)
        assert found.deletes == ()
        assert [(each.clock, each.length) for each in found.structs or ()] == [(3, 6)]


async def test_edits_of_a_damaged_document_are_kept() -> None:
    """Each is denied, all are kept, and their author stays: an update may be all that is left."""
    shelf, store = Shelf(), TestStore()
    async with Hub(store, limits=FAST) as hub:
        await hub.edit("doc", one(1, 0, "intact"))
        sound = await store.load("doc")
    store.damaged = replace(sound, damage=Damage("doc", 2, "bad checksum"))
    async with Hub(store, limits=FAST, quarantine=shelf) as hub:
        client = await join(hub, principal=ANN)
        updates = [client.type("?") for _ in range(3)]
        assert [(each.kind, each.update) for each in shelf.kept] == [
            ("damaged", update) for update in updates
        ]
        assert len(client.denials) == 3
        assert client.link.closed is None


async def test_who_brings_nothing_new_is_no_offender() -> None:
    """A step 2 of what the document has is let pass, for viewers and writers of any role."""
    shelf = Shelf()

    class Closed:
        def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
            return ALLOW if principal.id == "boss" else Deny("no")

    async with Hub(TestStore(), limits=FAST, gate=Closed(), quarantine=shelf) as hub:
        boss = await join(hub, principal=Principal(id="boss"))
        boss.type("here")
        await until(lambda: hub.stats.updates_committed)
        for principal in (Principal(), Principal(read_only=True)):
            client = await join(hub, principal=principal)
            client.say(step_2_frame(client.doc.get_update()))
            await settle()
            assert (client.denials, client.link.closed) == ([], None)
        assert not shelf.kept


async def test_anonymous_authors_are_counted_by_address() -> None:
    """One who floods pushes nobody else's edits out; the address is in no entry."""
    limits = quick(max_quarantine_author_updates=3)
    quarantine = RefusedUpdates(None, limits)

    async def write(hub: Hub, client: int, address: str, **options: object) -> None:
        await refused(hub, client, caller=Caller(address=address), **options)

    async with Hub(TestStore(), limits=limits, gate=NoPrivate(), quarantine=quarantine) as hub:
        await write(hub, 1, "192.0.2.1")
        await write(hub, 2, "2001:db8::1")
        await write(hub, 3, "192.0.2.9", principal=ANN)
        for number in range(10, 20):
            await write(hub, number, f"2001:db8:0:1::{number}")
        kept = await quarantine.entries(Filter(), limit=100, whole=True)
        clients = [scan(each.update, limits).ranges[0][0] for each in kept]
        assert clients == [1, 2, 3, 17, 18, 19]
        assert {each.author for each in kept} == {"", "ann"}
        assert quarantine.stats.lost == {"author": 7}
        other = Hub(TestStore(), limits=limits).refusals
        runs = [each._run((await join(hub)).connection).share for each in (hub.refusals, other)]
        assert len(set(runs)) == 2, "the key is this process's"


async def test_max_refusal_delay_s() -> None:
    """Who comes back with the same edits waits longer each time, up to a limit; others don't."""
    clock = ManualClock()
    limits = Limits(refusal_delay_s=0.25, max_refusal_delay_s=2.0)
    async with Hub(TestStore(), limits=limits, gate=NoPrivate(), clock=clock) as hub:
        delays: list[float] = []
        hub.later = lambda delay_s, call: delays.append(delay_s)  # type: ignore[method-assign]
        for _ in range(6):
            await refused(hub, 5, principal=ANN)
            clock.advance(3)
        assert delays == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
        await refused(hub, 6, principal=ANN)  # a fresh document
        await refused(hub, 5, name="other", principal=ANN)
        await refused(hub, 5, principal=Principal(id="bob"))
        clock.advance(121)
        await refused(hub, 5, principal=ANN)
        assert delays[6:] == [0.25] * 4


async def test_refused_clients_are_remembered_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many different clients are refused, the memory of them stays small."""
    monkeypatch.setattr("crdtsync.refusing.MAX_REMEMBERED", 3)
    async with Hub(TestStore(), limits=FAST, gate=NoPrivate()) as hub:
        for number in range(1, 8):
            await refused(hub, number)
        assert len(hub.refusals._seen) == 3
