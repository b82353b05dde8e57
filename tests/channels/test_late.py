"""What is written to messages that an archive has taken by then gets there, by the rules."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pycrdt
import pytest

from crdtsync.channels import archiving, shedding
from crdtsync.channels.archiving import Archiving
from crdtsync.channels.model import Message, message_id
from crdtsync.channels.names import ARCHIVES, CHAT, Archive
from crdtsync.channels.shedding import shed
from crdtsync.channels.shelf import is_deleted
from crdtsync.channels.writing import MapWriter
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import update_frame
from crdtsync.roles import ADMIN
from crdtsync.room import Room
from crdtsync.store.memory import MemoryStore
from tests.channels.kit import ANN, BOB, GUEST, MOD, NOW_MS, Talk, setting
from tests.channels.rooms import NOON_MS, ROOM, Speaker, chat_hub, everything, live, rested
from tests.channels.test_random import contents, fresh_book
from tests.permissions.kit import LIMITS, Peer
from tests.unit.engine import TestStore, settle, until
from tests.unit.wire import block, deleted, item, update

pytestmark = pytest.mark.anyio
ID = "018bcfe5-6800-7000-8000-000000000001"
OWN_MESSAGES = "you may only write, edit and delete messages of your own"
SAID = {"author": "ann", "text": "hello", "time": NOW_MS, "type": "text"}
CHANGED = SAID | {"text": "changed", "edited": NOW_MS + 1}


def archive(talk: Talk, *ids: str) -> None:
    """Take messages out and count them to an archive, as a roll does."""
    talk.commit()
    writer = MapWriter(talk.room.document, 1)
    filed = {"first": min(ids), "last": max(ids), "count": len(ids)}
    talk.edits(writer.update([(ARCHIVES, "000001", filed)], [(CHAT, id) for id in ids]))
    talk.commit()


def said(limits: Limits = LIMITS) -> tuple[Talk, Peer]:
    """Return a room whose one message was archived, and its author, who has not heard of it."""
    talk = Talk(limits=limits)
    ann = talk.join(ANN).sync()
    ann.edits(setting("chat", {ID: SAID}))
    archive(talk, ID)
    slot = talk.book.slot(CHAT, ID)
    assert slot is not None
    assert (talk.root(), talk.book.count(), slot.is_gone) == ({}, 0, True)
    return talk, ann


@pytest.mark.parametrize("knows", [False, True])
def test_its_author_edits_it(knows: bool) -> None:
    """An edit is let in, whether its author has heard of the archive or not."""
    talk, ann = said()
    if knows:
        ann.read()
    ann.edits(setting("chat", {ID: CHANGED}))
    assert (ann.denials, talk.root()) == ([], {ID: CHANGED})
    assert [each.text for each in talk.book.messages()] == ["changed"]
    archive(talk, ID)
    ann.edits(setting("chat", {ID: CHANGED | {"text": "again"}}))
    assert (ann.denials, talk.root()[ID]["text"]) == ([], "again")
    assert contents(talk.book) == contents(fresh_book(talk))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("value", "denied"),
    [
        (SAID, False),
        (CHANGED | {"edited": NOW_MS + 16 * 60_000}, True),
        (CHANGED | {"edited": NOW_MS + 5_000_000}, True),
        (CHANGED | {"author": "bob"}, True),
        (CHANGED | {"type": "system"}, True),
        (CHANGED | {"text": "x" * 20_000}, True),
        (SAID | {"text": "", "deleted": NOW_MS + 9_000_000}, True),
        (SAID | {"text": "", "deleted": NOW_MS, "deletedBy": "bob"}, True),
    ],
)
def test_the_rules_hold(value: dict[str, Any], denied: bool, known: bool) -> None:
    """What can't be right is refused, and a message that is brought back goes again.

    It is the same where the server was started anew since.
    """
    talk, ann = said()
    late = ann.edits(setting("chat", {ID: value}), send=False)
    if not known:
        talk = Talk(state=talk.room.state())
        ann = talk.join(ANN)
    talk.clock.advance(3600)
    ann.says(late)
    assert bool(ann.denials) is denied
    assert talk.root() == {}
    assert contents(talk.book) == contents(fresh_book(talk))


def test_chat_edit_window_s() -> None:
    """The window counts from the message's time, as ever."""
    for window_s, refused in ((1, False), (0.0005, True)):
        talk, ann = said(Limits(refusal_delay_s=0, chat_edit_window_s=window_s))
        ann.edits(setting("chat", {ID: CHANGED}))
        assert bool(ann.denials) is refused
        assert bool(talk.root()) is not refused


@pytest.mark.parametrize("who", [BOB, MOD, GUEST, Principal(id="eve")])
def test_nobody_edits_it_as_somebody_else(who: Principal) -> None:
    """Who says that he is the author is refused; whose it is, the archive will say."""
    talk, _ = said()
    peer = talk.join(who).sync()
    peer.edits(setting("chat", {ID: CHANGED}))
    assert (len(peer.denials), talk.root()) == (1, {})


@pytest.mark.parametrize("who", [ANN, MOD, BOB])
def test_deleting_it(who: Principal) -> None:
    """Its author and moderators delete it by a value that says so."""
    talk, ann = said()
    gone = SAID | {"text": "", "deleted": NOW_MS} | ({} if who is ANN else {"deletedBy": who.id})
    peer = ann if who is ANN else talk.join(who).sync()
    peer.edits(setting("chat", {ID: gone}))
    if who is BOB:
        assert (peer.denials, talk.root()) == ([OWN_MESSAGES], {})
        return
    assert (peer.denials, talk.root()) == ([], {ID: gone})
    assert contents(talk.book) == contents(fresh_book(talk))


@pytest.mark.parametrize("anew", [False, True])
def test_several_edits_at_once(anew: bool) -> None:
    """Of edits made offline all but the last come deleted; the last one counts."""

    def back(*values: dict[str, Any] | None) -> tuple[Talk, Peer]:
        talk, ann = said()
        for value in values:
            ann.edits(setting("chat", {ID: value}), send=False)
        offline = ann.doc.get_update(talk.room.state_vector())
        if anew:
            talk = Talk(state=talk.room.state())
            ann = talk.join(ANN)
        ann.says(offline)
        assert contents(talk.book) == contents(fresh_book(talk))
        return talk, ann

    talk, ann = back(CHANGED | {"text": "a"}, CHANGED | {"text": "b"})
    assert (ann.denials, talk.root()[ID]["text"]) == ([], "b")
    talk, ann = back(CHANGED, None)
    assert (ann.denials, talk.root()) == ([], {})


@pytest.mark.parametrize("first", [0, 1])
def test_two_tabs_of_its_author(first: int) -> None:
    """Of two late edits the one counts that all clients show, whichever comes first."""
    talk, ann = said()
    tabs = [ann, talk.join(ANN)]
    tabs[1].doc.apply_update(ann.doc.get_update())
    for text, tab in enumerate(tabs):
        tab.edits(setting("chat", {ID: CHANGED | {"text": f"{text}"}}), send=False)
    for tab in (tabs[first], tabs[1 - first]):
        tab.says(tab.doc.get_update(talk.room.state_vector()))
        assert tab.denials == []
    winner = max((0, 1), key=lambda each: tabs[each].doc.client_id)
    assert talk.root()[ID]["text"] == f"{winner}"
    assert [each.text for each in talk.book.messages()] == [f"{winner}"]


@pytest.mark.parametrize("anew", [False, True])
def test_a_deletion_that_comes_behind_something_else(anew: bool) -> None:
    """A deletion that would not show, because another late item stands before it, shows."""
    talk, ann = said()
    gone = SAID | {"text": "", "deleted": NOW_MS + 2}
    low = block(2, 0, item(deleted(1), origin=(ann.doc.client_id, 0)))
    high = block(1 << 52, 0, item(deleted(1), origin=(ann.doc.client_id, 0)))
    ann.edits(setting("chat", {ID: gone}), send=False)
    deletion = ann.doc.get_update(talk.room.state_vector())
    if anew:
        talk = Talk(state=talk.room.state())
        ann = talk.join(ANN)
    other = talk.join(ANN)
    for each in (low, high):
        other.says(update(each))
    ann.says(deletion)
    assert (ann.denials, other.denials, talk.root()) == ([], [], {ID: gone})
    assert contents(talk.book) == contents(fresh_book(talk))


@pytest.mark.parametrize("client", [1, 1 << 52])
def test_a_key_that_is_begun_anew(client: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who never had what was there doesn't write to it: it goes in the same commit."""
    talk, _ = said()
    other = talk.join(ANN)
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client)
    setting("chat", {ID: CHANGED})(doc)
    other.says(doc.get_update())
    assert (other.denials, other.closed, talk.root()) == ([], None, {})
    newcomer: pycrdt.Doc[Any] = pycrdt.Doc()
    monkeypatch.setattr(shedding, "MIN_SHED", 1)
    light = shed(talk.room.state(), 1 << 48)
    assert light is not None
    newcomer.apply_update(light.state)
    assert newcomer.get("chat", type=pycrdt.Map).to_py() == {}
    assert contents(talk.book) == contents(fresh_book(talk))


def test_in_no_archive() -> None:
    """What no archive is about was deleted: a late edit goes in the same commit."""
    talk = Talk()
    ann = talk.join(ANN).sync()
    ann.edits(setting("chat", {ID: SAID}))
    ann.edits(setting("chat", {ID: None}), send=True)
    archive(talk, message_id(NOW_MS + 1))
    back = talk.join(ANN)
    back.edits(setting("chat", {ID: CHANGED}))
    assert (back.denials, back.closed, talk.root(), talk.book.count()) == ([], None, {}, 0)


def test_chat_past_s() -> None:
    """What is so old may have been shed by now: nothing is let in behind it, no deletion either."""
    talk, ann = said()
    talk.clock.advance(LIMITS.chat_past_s + 1)
    gone = SAID | {"text": "", "deleted": talk.clock.time_ms()}
    for peer in (ann, talk.join(ANN)):
        peer.edits(setting("chat", {ID: gone}))
        assert (peer.denials, talk.root(), talk.book.count()) == ([], {}, 0)


# With archives


class Away:
    """Somebody who was offline while their messages were archived, and brings what they did."""

    def __init__(self, hub: Hub, speaker: Speaker) -> None:
        self.hub, self.speaker = hub, speaker
        self.doc, self.before = speaker.doc, speaker.doc.get_state()

    def put(self, id: str, **members: Any) -> None:
        chat = self.doc.get("chat", type=pycrdt.Map)
        chat[id] = dict(chat[id]) | members

    def back(self, hub: Hub, role: Any = None) -> None:
        """Come back, to any server, and send it."""
        other = Speaker(hub, self.speaker.who, role=role)
        other.client.say(update_frame(self.doc.get_update(self.before)))


async def filled(hub: Hub, count: int = 30) -> tuple[Away, list[str]]:
    """Have ann say so much that most is archived while she is away."""
    ann = Speaker(hub, "ann")
    sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(count)]
    away = Away(hub, ann)
    await rested(hub)
    return away, sent


def by_id(messages: list[Message]) -> dict[str, Message]:
    return {each.id: each for each in messages}


@pytest.mark.parametrize("anew", [False, True])
async def test_it_reaches_the_archive_at_once(anew: bool) -> None:
    """Edits and deletions are in the archive as soon as they are committed, and nowhere else.

    However many were archived, and whether or not the server was started anew.
    """
    store = MemoryStore()
    async with chat_hub(store, chat_archive_messages=5000) as hub:
        away, sent = await filled(hub, 1600)
        away.put(sent[0], text="changed", edited=NOON_MS + 9)
        away.put(sent[1], text="", deleted=NOON_MS + 9)
        if not anew:
            away.back(hub)
            await check_archive(hub, sent)
    if anew:
        async with chat_hub(store, chat_archive_messages=5000) as hub:
            away.back(hub)
            await check_archive(hub, sent)


async def check_archive(hub: Hub, sent: list[str]) -> None:
    name = Archive(ROOM, 1).name

    def reached() -> bool:
        archive = hub.rooms.get(name)
        shelf = None if archive is None else hub.channels.shelf(archive)
        return shelf is not None and is_deleted(shelf.value("", sent[1]))

    await until(reached)  # a large document is loaded on a thread, and so on
    await rested(hub)
    there = await live(hub, "chat", name)
    assert there[sent[0]]["text"] == "changed"
    assert there[sent[1]]["deleted"]
    assert not there.keys() & (await live(hub)).keys()
    found = by_id(await everything(hub))
    assert [each for each in sent if each not in found] == []


async def test_a_moderator_deletes_it() -> None:
    """A moderator's deletion of another's archived message gets there, and says whose it is."""
    async with chat_hub() as hub:
        away, sent = await filled(hub)
        away.speaker.who = "mod"
        away.put(sent[0], text="", deleted=NOON_MS + 9, deletedBy="mod")
        away.back(hub, ADMIN)
        await rested(hub)
        there = await live(hub, "chat", Archive(ROOM, 1).name)
        assert (there[sent[0]]["deletedBy"], there[sent[0]]["text"]) == ("mod", "")


async def test_whose_it_is_the_archive_says() -> None:
    """Who writes under the key of another's message, by his own name, does nothing to it."""
    async with chat_hub() as hub:
        away, sent = await filled(hub)
        before = await live(hub, "chat", Archive(ROOM, 1).name)
        eve = Speaker(hub, "eve")
        own = {"author": "eve", "text": "mine", "time": NOON_MS, "type": "text"}
        for value in (own | {"edited": NOON_MS + 1}, own | {"text": "", "deleted": NOON_MS + 1}):
            eve.put("chat", {sent[0]: value})
            await rested(hub)
            assert await live(hub, "chat", Archive(ROOM, 1).name) == before
            assert sent[0] not in await live(hub)
        away.put(sent[1], text="x", edited=NOON_MS + 2, replyTo=sent[0])
        away.put(sent[2], text="x", edited=NOON_MS + 2, name="somebody else")
        away.back(hub)
        await rested(hub)
        there = await live(hub, "chat", Archive(ROOM, 1).name)
        assert there[sent[1]] == before[sent[1]], "it goes on answering nothing"
        assert there[sent[2]] == before[sent[2]] | {"text": "x", "edited": NOON_MS + 2}


async def test_what_was_deleted_stays_deleted() -> None:
    """A late edit of what somebody deleted meanwhile, here or in the archive, is gone again."""
    async with chat_hub() as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(14)]
        away = Away(hub, ann)
        tab = Speaker(hub, "ann")
        await settle()
        tab.take_out(sent[2])
        sent += [tab.say(f"{n}", time_ms=NOON_MS + n) for n in range(14, 30)]
        await rested(hub)
        await hub.channels.chat(ROOM).delete(sent[4], Principal(id="ann"))
        for id in (sent[2], sent[4]):
            away.put(id, text="changed", edited=NOON_MS + 99)
        away.back(hub)
        await rested(hub)
        found = by_id(await everything(hub))
        assert sent[2] not in found
        assert found[sent[4]].deleted_ms
        assert not {sent[2], sent[4]} & (await live(hub)).keys()


async def test_while_a_roll_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while a chat rolls, even at its end, is brought when that is done."""
    rolled = Archiving.roll
    came: list[bool] = []

    async def roll(archiving: Archiving, document: str) -> int:
        moved = await rolled(archiving, document)
        if not came:
            came.append(True)
            away.back(hub)
            await settle()
        return moved

    async with chat_hub() as hub:
        away, sent = await filled(hub)
        away.put(sent[0], text="", deleted=NOON_MS + 99)
        monkeypatch.setattr(Archiving, "roll", roll)
        tab = Speaker(hub, "ann")
        for n in range(30, 40):
            tab.say(f"{n}", time_ms=NOON_MS + n)
        await rested(hub)
        assert came
        assert by_id(await everything(hub))[sent[0]].deleted_ms
        assert sent[0] not in await live(hub)


async def test_while_the_archives_are_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes then is brought to its archive, though a later one may be of its time as well."""
    first = Archive(ROOM, 1).name
    async with chat_hub(chat_archive_messages=10) as hub:
        away, sent = await filled(hub)
        bob = Speaker(hub, "bob")
        bob.say("from the train", time_ms=NOON_MS + 3)
        for n in range(30, 60):
            bob.say(f"{n}", time_ms=NOON_MS + n)
        await rested(hub)
        filed = await live(hub, ARCHIVES)
        assert filed["000001"]["first"] <= sent[5] <= filed["000001"]["last"]
        assert any(each["first"] < sent[5] for key, each in filed.items() if key != "000001")

        away.put(sent[5], text="", deleted=NOON_MS + 99)
        real, came = hub.open, []

        @asynccontextmanager
        async def opened(document: str) -> AsyncIterator[Room]:
            async with real(document) as room:
                if document == first and not came:
                    came.append(True)
                    away.back(hub)
                    await until(lambda: sent[5] in hub.channels.shelf(hub.rooms[ROOM]).ids(""))
                yield room

        monkeypatch.setattr(hub, "open", opened)
        other = Away(hub, Speaker(hub, "ann"))
        other.doc.apply_update(away.doc.get_update())
        other.before = other.doc.get_state()
        other.put(sent[6], text="changed", edited=NOON_MS + 99)
        chat = other.doc.get("chat", type=pycrdt.Map)
        for n in range(60, 90):  # so much that the chat rolls
            message = Message(
                id=message_id(NOON_MS + n), author="ann", text="x", time_ms=NOON_MS + n
            )
            chat[message.id] = message.value()
        other.back(hub)
        await until(lambda: came)
        await check_gone(hub, sent[5])
        assert by_id(await everything(hub))[sent[6]].text == "changed"


@pytest.mark.parametrize("how", ["the next message", "later", "a restart"])
async def test_after_a_failure(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that can't be read when a deletion comes gets it afterwards."""
    monkeypatch.setattr(archiving, "RETRY_S", 0.0 if how == "later" else 3600.0)
    store = TestStore()
    async with chat_hub(store, idle_room_s=0.0) as hub:
        away, sent = await filled(hub)
        name = Archive(ROOM, 1).name
        await until(lambda: name not in hub.rooms)
        away.put(sent[0], text="", deleted=NOON_MS + 99)
        store.load_failing = True
        away.back(hub)
        await until(lambda: hub.rooms[ROOM].committed_sequence == hub.rooms[ROOM].sequence)
        await until(lambda: not hub.channels.archiving.busy)
        assert sent[0] in await live(hub)
        store.load_failing = False
        if how == "the next message":
            Speaker(hub, "ann").say("and on", time_ms=NOON_MS + 100)
        if how != "a restart":
            await until(lambda: name in hub.rooms)
            await check_gone(hub, sent[0])
    if how == "a restart":
        async with chat_hub(store) as hub:
            Speaker(hub, "bob")
            await until(lambda: name in hub.rooms)
            await check_gone(hub, sent[0])


async def check_gone(hub: Hub, id: str) -> None:
    """See that a message that was archived is deleted there, and out of the chat."""
    await rested(hub)
    assert by_id(await everything(hub))[id].deleted_ms
    assert id not in await live(hub)


async def test_what_is_not_archived_is_no_doubt() -> None:
    """A message that came late, and so is as old as archived ones, stays after a restart."""
    store = MemoryStore()
    async with chat_hub(store) as hub:
        await filled(hub)
        bob = Speaker(hub, "bob")
        old = bob.say("from the train", time_ms=NOON_MS + 3)
        await rested(hub)
        assert old in await live(hub)
    async with chat_hub(store) as hub:
        Speaker(hub, "bob")
        await rested(hub)
        assert by_id(await everything(hub))[old].text == "from the train"


@pytest.mark.parametrize("seed", range(8))
async def test_anything_goes(seed: int) -> None:
    """Who comes back after any time, to any server, finds done what they did."""
    dice = random.Random(seed)
    store = MemoryStore()
    texts: dict[str, set[str]] = {}
    deleted_: set[str] = set()
    changed: dict[str, str] = {}
    absent: list[Away] = []
    step = 0
    for _ in range(4):
        async with chat_hub(store, chat_archive_messages=12) as hub:
            for _ in range(dice.randrange(40, 80)):
                step += 1
                who = Speaker(hub, dice.choice(["ann", "bob"]))
                await settle()
                id = who.say(f"{step}", time_ms=NOON_MS + step)
                texts[id] = {f"{step}"}
                if dice.random() < 0.2:
                    absent.append(Away(hub, who))
                if absent and dice.random() < 0.2:
                    away = absent.pop(dice.randrange(len(absent)))
                    chat = away.doc.get("chat", type=pycrdt.Map)
                    for own in sorted(i for i, v in chat.to_py().items() if _own(v, away)):
                        if own in deleted_ or own in changed:
                            continue
                        if dice.random() < 0.3:
                            away.put(own, text="", deleted=NOON_MS + step)
                            deleted_.add(own)
                        elif dice.random() < 0.4:
                            changed[own] = f"{own} changed"
                            away.put(own, text=changed[own], edited=NOON_MS + step)
                    away.back(hub)
                if dice.random() < 0.3:
                    await rested(hub)
            await rested(hub)
    async with chat_hub(store, chat_archive_messages=12) as hub:
        await rested(hub)
        found = by_id(await everything(hub))
        names = [Archive(ROOM, n + 1).name for n in range(len(await live(hub, ARCHIVES)))]
        inside = [id for name in names for id in await live(hub, "chat", name)]
        assert len(set(inside)) == len(inside) > 100
        assert not set(inside) & (await live(hub)).keys()
        assert len(deleted_) > 5
        assert len(changed) > 5
        for id in texts:
            if id in deleted_:
                assert id not in found or found[id].deleted_ms
            else:
                assert found[id].text == changed.get(id, *texts[id])


def _own(value: Any, away: Away) -> bool:
    return bool(value["author"] == away.speaker.who and not value.get("deleted"))
