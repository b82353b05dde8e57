"""Presence is true: who comes, who goes, what they say of themselves, and what others say."""

from typing import Any

import anyio
import pycrdt
import pytest

from crdtsync.channels.attendance import GUESTS_KEPT_MS
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.writing import MapWriter
from crdtsync.clock import ManualClock
from crdtsync.errors import CloseCode
from crdtsync.gate import Principal
from crdtsync.protocol import update_frame
from crdtsync.store.base import Damage, Loaded
from crdtsync.structs import EMPTY_UPDATE
from tests.channels.people import (
    GRACE_S,
    Somebody,
    come,
    here,
    person,
    presence_hub,
    settled,
    shown,
    stored,
    times,
)
from tests.unit.engine import TestStore, settle, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


# Who comes and goes


async def test_somebody_comes_and_goes() -> None:
    """Who connects is online by the name of the principal, and offline when the grace is over."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        ada, ben = await come(hub, "ada"), await come(hub, "ben")
        start_ms = clock.time_ms()
        await until(lambda: set(ben.sees) == {"ada", "ben"})
        assert ben.sees["ada"] == {
            "status": "online",
            "name": "Ada",
            "color": "",
            "lastSeen": start_ms,
            "connections": 1,
        }
        clock.advance(60)
        ada.connection.lost()
        assert shown(await settled(hub), "ada") == ("online", 1)
        clock.advance(GRACE_S - 0.1)
        assert shown(await settled(hub), "ada") == ("online", 1)
        clock.advance(0.1)
        await until(lambda: shown(ben.sees, "ada") == ("offline", 0))
        assert ben.sees["ada"]["lastSeen"] == start_ms + 60_000
        assert ben.sees["ada"]["name"] == "Ada"
        assert shown(ben.sees, "ben") == ("online", 1)


async def test_several_tabs_are_one_person() -> None:
    """Connections of one principal are counted, and the last one's end is the person's."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        tabs = [await come(hub, "ada") for _ in range(3)]
        assert shown(await settled(hub), "ada") == ("online", 3)
        tabs.pop().connection.lost()
        clock.advance(100)
        assert shown(await settled(hub), "ada") == ("online", 2)
        for tab in tabs:
            tab.connection.lost()
        clock.advance(100)
        assert shown(await settled(hub), "ada") == ("offline", 0)


async def test_a_page_is_loaded_anew() -> None:
    """Who is back within the grace was never gone: nothing is written, and the status stays."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        ada, _ben = await come(hub, "ada"), await come(hub, "ben")
        ada.own("ada", {"status": "busy", "color": "#00ff00"})
        before = await settled(hub)
        assert shown(before, "ada") == ("busy", 1)
        assert before["ada"]["color"] == "#00ff00"
        count = hub.stats.updates_committed
        ada.connection.lost()
        clock.advance(GRACE_S - 0.1)
        await settled(hub)
        await come(hub, "ada")
        clock.advance(GRACE_S)
        assert await settled(hub) == before
        assert hub.stats.updates_committed == count


async def test_who_was_gone_is_online_again() -> None:
    """A status ends with the visit; the color is remembered."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        ada, _ben = await come(hub, "ada"), await come(hub, "ben")
        ada.own("ada", {"status": "busy", "color": "#00ff00"})
        await settled(hub)
        ada.connection.lost()
        clock.advance(GRACE_S)
        assert shown(await settled(hub), "ada") == ("offline", 0)
        await come(hub, "ada")
        found = await settled(hub)
        assert shown(found, "ada") == ("online", 1)
        assert found["ada"]["color"] == "#00ff00"
        assert found["ada"]["lastSeen"] == clock.time_ms()


async def test_who_comes_while_a_room_loads() -> None:
    """Those who waited for the document are there, those who gave up are not."""
    store = TestStore()
    store.stop_loads()
    async with presence_hub(store) as hub:
        with anyio.move_on_after(0.01):
            await come(hub, "ada")
        with anyio.move_on_after(0.01):
            await come(hub, "ben")
        hub.rooms["doc"].connections[0].lost()
        store.load_gate.set()
        await until(lambda: hub.rooms["doc"].loaded)
        assert set(await settled(hub)) == {"ben"}


async def test_viewers_are_there_too() -> None:
    """Who may only read is present; only the server writes for them."""
    async with presence_hub() as hub:
        viewer = await come(hub, person("vera", role="read"))
        await come(hub, Principal(id="rob", read_only=True))
        found = await settled(hub)
        assert shown(found, "vera") == shown(found, "rob") == ("online", 1)
        viewer.own("vera", {"status": "busy"})
        assert shown(await settled(hub), "vera") == ("online", 1)


async def test_presence_is_off() -> None:
    """In a document that no pattern fits nothing is written, and the root is like any other."""
    async with presence_hub(rules=ChannelRules(presence=("rooms/*",), chat=("*",))) as hub:
        ada = await come(hub, "ada")
        ada.own("ada", {"status": "dreaming"})
        await come(hub, "ben", "rooms/1")
        assert set(await settled(hub, "rooms/1")) == {"ben"}
        assert await settled(hub) == {"ada": {"status": "dreaming"}}


async def test_ids_that_can_t_be_keys() -> None:
    """A principal whose id can't stand in a channel is not shown, and disturbs nobody."""
    async with presence_hub() as hub:
        await come(hub, "two words")
        await come(hub, "x" * 201)
        await come(hub, person("long", "n" * 500))
        found = await settled(hub)
        assert set(found) == {"long"}
        assert found["long"]["name"] == "n" * 100
        assert (await hub.channels.presence("doc").info()).connections == 3


async def test_html_in_names_is_data() -> None:
    """A name is what the principal is called, letter for letter."""
    name = '<img src=x onerror="alert(1)">'
    async with presence_hub() as hub:
        await come(hub, person("eve", name))
        assert (await settled(hub))["eve"]["name"] == name


async def test_a_principal_is_called_otherwise() -> None:
    """A fresh token with another name changes the name that is shown."""
    async with presence_hub() as hub:
        ada = await come(hub, "ada")
        await settled(hub)
        ada.connection.become(person("ada", "Countess"))
        assert (await settled(hub))["ada"]["name"] == "Countess"


# What people say of themselves, and of others


async def test_the_invisible() -> None:
    """Who sets themselves offline is shown so, whatever their tabs do."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        ada, _ben = await come(hub, "ada"), await come(hub, "ben")
        await settled(hub)
        clock.advance(60)
        ada.own("ada", {"status": "offline"})
        hid_ms = clock.time_ms()
        found = await settled(hub)
        assert shown(found, "ada") == ("offline", 0)
        assert found["ada"]["lastSeen"] == hid_ms
        info = await hub.channels.presence("doc").info()
        assert (info.online, info.connections) == (1, 1)
        assert hub.channels.people(["ada"])["ada"].status == "offline"
        clock.advance(60)
        other = await come(hub, "ada")
        ada.connection.lost()
        other.connection.lost()
        clock.advance(60)
        assert await settled(hub) == found


async def test_the_invisible_show_themselves() -> None:
    """They are seen from the moment they say so."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        ada = await come(hub, "ada")
        ada.own("ada", {"status": "offline"})
        await settled(hub)
        clock.advance(60)
        ada.own("ada", {"status": "away"})
        found = await settled(hub)
        assert shown(found, "ada") == ("away", 1)
        assert found["ada"]["lastSeen"] == clock.time_ms()


LIES: list[Any] = [
    {"status": "online", "connections": 99},
    {"status": "online", "lastSeen": 1},
    {"status": "online", "name": "The Queen"},
    {"status": "online", "connections": True},
    {"status": "dreaming"},
    {"status": ["online"], "connections": {"a": 1}},
    {},
    "junk",
    7,
    [1, 2],
    pycrdt.Map({"status": "online"}),
    pycrdt.Array([1]),
    pycrdt.Text("me"),
    None,
]


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
async def test_lies_are_corrected(lie: Any) -> None:
    """What isn't true of somebody who is there, by whoever's hand, is put right with a tick."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        ada, ben = await come(hub, "ada"), await come(hub, "ben")
        truth = await settled(hub)
        ada.own("ada", lie)
        assert await settled(hub) == truth
        ben.own("ada", lie)
        assert await settled(hub) == truth
        await until(lambda: ada.sees == ben.sees == truth)


async def test_nobody_speaks_for_others() -> None:
    """A status that others write for somebody is put right, even where nothing refuses it."""
    async with presence_hub() as hub:
        await come(hub, "ada")
        ben = await come(hub, "ben")
        truth = await settled(hub)
        ben.own("ada", {"status": "busy", "color": "#ff0000"})
        ben.own("cora", {"status": "online", "connections": 3})
        found = await settled(hub)
        assert found["ada"] == truth["ada"]
        assert shown(found, "cora") == ("offline", 0)


async def test_what_two_write_at_once() -> None:
    """A status that crosses the server's own correction on its way is not lost."""
    async with presence_hub() as hub:
        for _ in range(20):
            ada = await come(hub, "ada")
            ada.read()
            before = ada.doc.get_state()
            ada.doc.get("presence", type=pycrdt.Map)["ada"] = {"status": "busy"}
            late = ada.doc.get_update(before)
            await settled(hub)  # written beside it
            ada.say(update_frame(late))
            assert (await settled(hub))["ada"]["status"] == "busy"
            await until(lambda ada=ada: ada.sees["ada"]["status"] == "busy")  # type: ignore[misc]
            ada.own("ada", {"status": "online"})
            await settled(hub)


# Guests


async def test_guests_announce_themselves() -> None:
    """A guest is who a connection without a principal says it is, for as long as it is there."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        nobody, _ben = await come(hub), await come(hub, "ben")
        assert set(await settled(hub)) == {"ben"}
        nobody.own("guest-1", {"status": "away", "name": "Gus"})
        found = await settled(hub)
        assert found["guest-1"] == {
            "status": "away",
            "name": "Gus",
            "color": "",
            "lastSeen": clock.time_ms(),
            "connections": 1,
        }
        other = await come(hub)
        other.own("guest-1", {"status": "away", "name": "Gus"})
        assert shown(await settled(hub), "guest-1") == ("away", 2)
        nobody.connection.lost()
        clock.advance(GRACE_S)
        assert shown(await settled(hub), "guest-1") == ("away", 1)
        other.connection.lost()
        clock.advance(GRACE_S)
        assert shown(await settled(hub), "guest-1") == ("offline", 0)


async def test_a_connection_is_one_guest() -> None:
    """Who announces another guest is the one no more."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        nobody = await come(hub)
        nobody.own("guest-1", {"status": "online"})
        await settled(hub)
        nobody.own("guest-2", {"status": "online"})
        clock.advance(GRACE_S)
        found = await settled(hub)
        assert shown(found, "guest-1") == ("offline", 0)
        assert shown(found, "guest-2") == ("online", 1)
        nobody.own("ada", {"status": "online"})  # no guest
        found = await settled(hub)
        assert shown(found, "ada") == ("offline", 0)


async def test_many_guests_of_one_connection() -> None:
    """Whom a connection no longer says it is has no grace, and is no concern from then on."""
    async with presence_hub() as hub:
        nobody, ben = await come(hub), await come(hub, "ben")
        for number in range(50):
            nobody.own(f"guest-{number}", {"status": "online"})
        found = await settled(hub)
        gone = [f"guest-{number}" for number in range(49)]
        assert {shown(found, each) for each in gone} == {("offline", 0)}
        assert shown(found, "guest-49") == ("online", 1)
        kept = hub.channels.keeping.room("doc")
        assert kept is not None
        asked: list[str] = []
        read, kept.values = kept.values, lambda ids=None: read(asked.extend(ids) or asked)  # type: ignore
        ben.type("x")
        await settled(hub)
        assert set(asked) == {"ben", "guest-49"}
        ben.own("guest-7", {"status": "online"})
        assert shown(await settled(hub), "guest-7") == ("offline", 0)


async def test_a_guest_announced_while_the_room_loads() -> None:
    """What a client sends before the document is there counts as well."""
    store = TestStore()
    store.stop_loads()
    async with presence_hub(store) as hub:
        nobody = Somebody(hub)
        nobody.own("guest-1", {"status": "online"})
        store.load_gate.set()
        await until(lambda: hub.rooms["doc"].loaded)
        assert shown(await settled(hub), "guest-1") == ("online", 1)


async def test_guests_are_forgotten() -> None:
    """Guests and visitors who are long gone are taken out when the document is next opened."""
    clock = ManualClock()
    store = TestStore()
    async with presence_hub(store, clock=clock) as hub:
        nobody = await come(hub)
        nobody.own("guest-1", {"status": "online"})
        await come(hub, "share:0123:4567")
        await come(hub, "ada")
        assert len(await settled(hub)) == 3
    clock.advance(GUESTS_KEPT_MS / 1000)
    async with presence_hub(store, clock=clock) as hub:
        await come(hub, "ben")
        assert len(await settled(hub)) == 4
    clock.advance(1)
    async with presence_hub(store, clock=clock) as hub:
        await come(hub, "ben")
        assert set(await settled(hub)) == {"ada", "ben"}


# What is written, and when


async def test_presence_interval_s() -> None:
    """All that changes in one tick is one update, however many people come."""
    store = TestStore()
    limits = times(presence_interval_s=0.05)
    async with presence_hub(store, limits=limits) as hub:
        for number in range(1_000):
            Somebody(hub, principal=person(f"person-{number}"))
        await until(lambda: store.batches)
        await until(lambda: not hub.rooms["doc"].uncommitted)
        found = here(hub)
        assert len(found) == 1_000
        assert {shown(found, id) for id in found} == {("online", 1)}
        assert hub.stats.updates_committed == 1
        for each in list(hub.rooms["doc"].connections):
            each.lost()
        assert isinstance(hub.clock, ManualClock)
        hub.clock.advance(GRACE_S)
        await until(lambda: hub.stats.updates_committed == 2)
        await until(lambda: not hub.rooms["doc"].uncommitted)
        found = here(hub)
        assert {shown(found, id) for id in found} == {("offline", 0)}


async def test_presence_grace_s() -> None:
    """Without a grace somebody is gone with the next tick."""
    async with presence_hub(limits=times(presence_grace_s=0.0)) as hub:
        ada = await come(hub, "ada")
        await come(hub, "ben")
        assert shown(await settled(hub), "ada") == ("online", 1)
        ada.connection.lost()
        assert shown(await settled(hub), "ada") == ("offline", 0)


async def test_nothing_changes_nothing_is_written() -> None:
    """Edits of other things make no presence."""
    async with presence_hub() as hub:
        ada = await come(hub, "ada")
        await settled(hub)
        count = hub.stats.updates_committed
        ada.type("hello")
        await settled(hub)
        await settled(hub)
        assert hub.stats.updates_committed == count + 1


async def test_nobody_is_the_author() -> None:
    """What the server writes is nobody's edit."""
    store = TestStore()
    async with presence_hub(store) as hub:
        await come(hub, "ada")
        await settled(hub)
    assert {record.author for batch in store.batches for record in batch} == {""}


async def test_an_idle_room_is_closed() -> None:
    """A room stays open until its last person's end is stored, and no longer."""
    clock = ManualClock()
    store = TestStore()
    async with presence_hub(store, clock=clock, limits=times(idle_room_s=1.0)) as hub:
        ada = await come(hub, "ada")
        await settled(hub)
        ada.connection.lost()
        clock.advance(2)  # the room would be idle, the grace runs
        for _ in range(5):
            await settle()
            await anyio.sleep(0.005)
        assert "doc" in hub.rooms
        clock.advance(GRACE_S)
        await until(lambda: "doc" not in hub.rooms)
        assert shown(await stored(store), "ada") == ("offline", 0)
        again = await come(hub, "ben")
        await until(lambda: set(again.sees) == {"ada", "ben"})
        again.connection.lost()


async def test_rooms_that_were_closed_are_let_go() -> None:
    """What is kept of rooms doesn't grow with those that were ever open."""
    clock = ManualClock()
    limits = times(idle_room_s=0.0, presence_grace_s=0.0)
    async with presence_hub(clock=clock, limits=limits) as hub:
        for number in range(60):
            name = f"doc-{number}"
            (await come(hub, f"p{number}", name)).connection.lost()
            await until(lambda name=name: name not in hub.rooms)  # type: ignore[misc]
        keeping = hub.channels.keeping
        assert len(keeping._kept) <= 20
        assert len(keeping._where) <= 20
        assert hub.channels.people(["p59"]) == {}


# Ends


async def test_a_shutdown() -> None:
    """When the server ends everybody is offline, in one update, within the last checkpoint."""
    store, clock = TestStore(), ManualClock()
    async with presence_hub(store, clock=clock) as hub:
        for number in range(20):
            await come(hub, f"p{number}", f"doc-{number % 2}")
        invisible = await come(hub, "ada", "doc-0")
        invisible.own("ada", {"status": "offline"})
        await settled(hub, "doc-0")
        await settled(hub, "doc-1")
        hid = here(hub, "doc-0")["ada"]
        clock.advance(60)
        count = hub.stats.updates_committed
    assert hub.stats.updates_committed == count + 2
    async with store:
        for name in ("doc-0", "doc-1"):
            found = await stored(store, name)
            assert {shown(found, id) for id in found} == {("offline", 0)}
            assert found.pop("ada", hid) == hid
            assert {each["lastSeen"] for each in found.values()} == {clock.time_ms()}
            assert (await store.load(name)).records == ()


async def test_after_a_crash() -> None:
    """Who seems to be there and isn't was last seen when the document last changed."""
    store, clock = TestStore(), ManualClock()
    with anyio.CancelScope() as scope:
        async with presence_hub(store, clock=clock) as hub:
            await come(hub, "ada")
            ben = await come(hub, "ben")
            ben.own("ben", {"status": "busy"})
            await settled(hub)
            clock.advance(60)
            last_ms = clock.time_ms()
            ben.type("the last words")
            await settled(hub)
            hub.draining = True  # nothing is written any more: it is as if it were killed
            scope.cancel()
    clock.advance(3600)
    async with presence_hub(store, clock=clock) as hub:
        await come(hub, "cora")
        found = await settled(hub)
        assert shown(found, "ada") == ("online", 1)  # their pages may just be coming back
        await come(hub, "ben")
        clock.advance(GRACE_S)
        found = await settled(hub)
        assert shown(found, "ada") == ("offline", 0)
        assert found["ada"]["lastSeen"] == last_ms
        assert shown(found, "ben") == ("busy", 1)


async def test_what_was_there_before_presence() -> None:
    """Junk in the root is left alone, but for what seems to be somebody's presence."""
    store, clock = TestStore(), ManualClock()
    async with presence_hub(store, clock=clock, rules=ChannelRules()) as hub:
        old = await come(hub, "ada")
        for key, value in {
            "ada": pycrdt.Map({"cursor": 3}),
            "text": "junk",
            "key with spaces": {"status": "online"},
            "zoe": {"status": "online", "cursor": {"at": 3}, "lastSeen": 1e300},
            "yan": {"status": "offline", "lastSeen": 5, "more": True},
            "list": pycrdt.Array([1]),
        }.items():
            old.own(key, value)
        await settled(hub)
    async with presence_hub(store, clock=clock) as hub:
        await come(hub, "ada")
        clock.advance(GRACE_S)
        found = await settled(hub)
        assert shown(found, "ada") == ("online", 1)
        assert shown(found, "zoe") == shown(found, "key with spaces") == ("offline", 0)
        assert found["text"] == "junk"
        assert found["list"] == [1]
        assert found["yan"] == {"status": "offline", "lastSeen": 5, "more": True}
        count = hub.stats.updates_committed
        await settled(hub)
        assert hub.stats.updates_committed == count
        info = await hub.channels.presence("doc").info()
        assert {each.person.id for each in info.people} == {"ada", "zoe", "key with spaces", "yan"}


async def test_a_damaged_document() -> None:
    """Where nothing may be written nothing is, and nobody is kept out."""
    store = TestStore()
    store.damaged = Loaded(None, (), Damage("doc", 1, "bad checksum"))
    async with presence_hub(store) as hub:
        await come(hub, "ada")
        assert await settled(hub) == {}
        with pytest.raises(LookupError):
            await hub.channels.presence("doc").info()
    assert store.batches == []


async def test_a_full_document() -> None:
    """A document at its limit is not written to; presence goes on when there is room again."""
    async with presence_hub(limits=times(max_document_bytes=2_000, max_log_bytes=1)) as hub:
        ada = await come(hub, "ada")
        await settled(hub)
        typed = 0
        while not hub.rooms["doc"].fill.full:
            ada.type("x" * 20)
            typed += 20
            await settle()
            assert typed < 10_000
        count = hub.stats.updates_committed
        await come(hub, "ben")
        assert set(await settled(hub)) == {"ada"}
        assert hub.stats.updates_committed == count
        before = ada.doc.get_state()
        del ada.text[0:typed]
        ada.say(update_frame(ada.doc.get_update(before)))
        await until(lambda: not hub.rooms["doc"].fill.full)
        await until(lambda: set(here(hub)) == {"ada", "ben"})


async def test_a_store_that_fails() -> None:
    """While the store takes nothing no more is written; then it is one update."""
    store = TestStore()
    async with presence_hub(store, limits=times(commit_retry_s=60.0)) as hub:
        await come(hub, "ada")
        await settled(hub)
        store.failing = lambda _: True
        await come(hub, "ben")
        await until(lambda: hub.rooms["doc"].stalled)
        for number in range(10):
            await come(hub, f"p{number}")
            await hub.channels.keeping.tick()
        store.failing = lambda _: False
        await until(lambda: len(here(hub)) == 12)
        assert len(store.batches) == 3


async def test_a_deleted_document() -> None:
    """Deleting a document leaves no presence behind, and later ones begin anew."""
    store, clock = TestStore(), ManualClock()
    async with presence_hub(store, clock=clock) as hub:
        ada = await come(hub, "ada")
        await settled(hub)
        clock.advance(60)
        assert await hub.delete("doc")
        assert (await ada.gone())[0] == CloseCode.FORBIDDEN
        for _ in range(5):
            await hub.channels.keeping.tick()
            clock.advance(GRACE_S)
            await settle()
        assert await store.info("doc") is None
        await come(hub, "ben")
        assert set(await settled(hub)) == {"ben"}


async def test_a_room_that_is_given_up() -> None:
    """Where a room is let go of, nothing more is written into it."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        await come(hub, "ada")
        await settled(hub)
        hub.abandon(hub.rooms["doc"], "the test says so")
        clock.advance(60)
        await hub.channels.keeping.tick()
        await come(hub, "ben")
        clock.advance(GRACE_S)
        found = await settled(hub)
        assert shown(found, "ada") == ("offline", 0)
        assert shown(found, "ben") == ("online", 1)


async def test_access_that_ends() -> None:
    """Who is sent away is gone like anybody else."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        ada = await come(hub, "ada")
        await come(hub, "ben")
        await settled(hub)
        ada.connection.close(CloseCode.FORBIDDEN, "access was revoked")
        clock.advance(GRACE_S)
        assert shown(await settled(hub), "ada") == ("offline", 0)


# Asking


async def test_room_information() -> None:
    """Who is there, in which role, how many, and whether an owner is."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        await come(hub, person("ann", role="admin"))
        await come(hub, person("vera", role="read"))
        await come(hub, person("will", role="write"))
        will = await come(hub, person("will", role="read"))
        await come(hub, Principal(read_only=True))
        await come(hub)
        gone = await come(hub, "gone")
        await settled(hub)
        gone.connection.lost()
        clock.advance(GRACE_S)
        await settled(hub)
        info = await hub.channels.presence("doc").info()
        assert [(p.person.id, p.person.status, p.role, p.read_only) for p in info.people] == [
            ("ann", "online", "admin", False),
            ("vera", "online", "read", True),
            ("will", "online", "write", False),
            ("gone", "offline", "", False),
        ]
        assert (info.online, info.connections, info.viewers) == (3, 6, 2)
        assert info.owners_online == ("ann",)
        assert hub.channels.keeping.online == 3
        will.connection.become(person("will", role="admin"))
        assert (await hub.channels.presence("doc").info()).owners_online == ("ann", "will")


async def test_a_contact_list() -> None:
    """Of each person the best status over all documents, and when they were last seen anywhere."""
    clock = ManualClock()
    async with presence_hub(clock=clock) as hub:
        one, two = await come(hub, "ada", "one"), await come(hub, "ada", "two")
        one.own("ada", {"status": "away"})
        two.own("ada", {"status": "busy"})
        await come(hub, "ben", "one")
        await come(hub, "ben", "two")
        for name in ("one", "two"):
            await settled(hub, name)
        found = hub.channels.people(["ada", "ben", "nobody", "ada"])
        assert {id: each.status for id, each in found.items()} == {"ada": "busy", "ben": "online"}
        clock.advance(60)
        two.connection.lost()
        clock.advance(GRACE_S)
        await settled(hub, "two")
        ada = hub.channels.people(["ada"])["ada"]
        assert (ada.status, ada.name) == ("away", "Ada")
        assert ada.last_seen_ms == clock.time_ms() - 1000 * int(GRACE_S)
        told = hub.channels.keeping.people(["ada"], lambda document: document == "two")
        assert told["ada"].status == "offline"
        assert hub.channels.keeping.people(["ada"], lambda document: False) == {}


async def test_no_presence_to_ask_for() -> None:
    """Asking where none is kept is an error, and opens nothing."""
    async with presence_hub(rules=ChannelRules(presence=("rooms/*",))) as hub:
        with pytest.raises(LookupError, match="no presence"):
            await hub.channels.presence("doc").info()
        assert hub.rooms == {}
        info = await hub.channels.presence("rooms/1").info()
        assert (info.people, info.online) == ((), 0)


async def test_status_by_the_library() -> None:
    """What a program writes in somebody's name, or in nobody's, counts as theirs."""
    async with presence_hub() as hub:
        await come(hub, "ada")
        await settled(hub)
        for author, status, expected in (
            (Principal(), "busy", "busy"),
            (person("ada"), "away", "away"),
            (person("ben"), "busy", "away"),
        ):
            writer = MapWriter(hub.rooms["doc"].document, 77)
            update = writer.update([("presence", "ada", {"status": status})])
            assert update != EMPTY_UPDATE
            await hub.edit("doc", update, author)
            assert (await settled(hub))["ada"]["status"] == expected
