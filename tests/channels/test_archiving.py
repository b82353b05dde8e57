"""Old messages go to archives: all of them, once, in order, wherever the server stops."""

import random
from typing import Any

import anyio
import pytest

from crdtsync.channels.hand import submit
from crdtsync.channels.names import Archive
from crdtsync.channels.shelf import MOVING, Shelf
from crdtsync.clock import ManualClock
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.roles import ADMIN
from crdtsync.store.base import Loaded
from crdtsync.store.memory import MemoryStore
from tests.channels.rooms import (
    ANN,
    NOON_MS,
    ROOM,
    Speaker,
    again,
    chat_hub,
    everything,
    live,
    rested,
)
from tests.unit.engine import TestStore, settle, until

pytestmark = pytest.mark.anyio


async def archived(hub: Hub, number: int = 1, thread: str = "") -> dict[str, Any]:
    """Return the messages in an archive."""
    name = Archive(ROOM, number, thread).name
    return await live(hub, f"chat/{thread}" if thread else "chat", name)


async def test_chat_live_messages() -> None:
    """Up to half as many more stay; then the earliest go, and what is left is so many."""
    async with chat_hub(chat_live_messages=10) as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(15)]
        await rested(hub)
        assert set(await live(hub)) == set(sent)
        sent.append(ann.say("one more", time_ms=NOON_MS + 15))
        await rested(hub)
        assert set(await live(hub)) == set(sent[6:])
        assert set(await archived(hub)) == set(sent[:6])
        assert [each.id for each in await everything(hub)] == sent
        ann.client.read()
        assert set(ann.map("chat").keys()) == set(sent[6:]), "clients have seen it go"


async def test_chat_archive_messages() -> None:
    """An archive that is full is followed by the next; the chat says what is in each."""
    async with chat_hub(chat_live_messages=10, chat_archive_messages=25) as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(100)]
        await rested(hub)
        filed = await live(hub, "chat-archives")
        assert filed == {
            f"00000{n}": {
                "first": sent[25 * n - 25],
                "last": sent[min(25 * n, 90) - 1],
                "count": min(25, 90 - 25 * n + 25),
            }
            for n in range(1, 5)
        }
        assert [each.id for each in await everything(hub)] == sent
        infos = await hub.store.documents(prefix=f"{ROOM}/")
        assert [each.name for each in infos] == [Archive(ROOM, n).name for n in range(1, 5)]


async def test_a_roll_looks_at_a_chat_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many archives there are: nobody else is served meanwhile."""
    looks = 0
    ids = Shelf.ids

    def counted(shelf: Shelf, thread: str) -> list[str]:
        nonlocal looks
        looks += shelf.name == ROOM
        return ids(shelf, thread)

    monkeypatch.setattr(Shelf, "ids", counted)
    async with chat_hub(chat_live_messages=10, chat_archive_messages=5) as hub:
        ann = Speaker(hub, "ann")
        for n in range(200):
            ann.say(f"{n}", time_ms=NOON_MS + n)
        await rested(hub)
        assert len(await live(hub, "chat-archives")) > 30
        looks = 0
        for n in range(200, 206):
            ann.say(f"{n}", time_ms=NOON_MS + n)
        await rested(hub)
        assert 0 < looks < 30


async def test_what_is_listed() -> None:
    """What a chat lists is what it shows, however a message came or went: even by one deletion."""
    dice = random.Random(1)
    async with chat_hub(chat_live_messages=1000) as hub:
        ann = Speaker(hub, "ann")
        await settle()
        room = hub.rooms[ROOM]
        shelf = hub.channels.shelf(room)
        assert shelf is not None
        for n in range(120):
            there = sorted(ann.map("chat").keys())
            match dice.randrange(4):
                case 0 if there:
                    submit(room, shelf.writer.update((), [("chat", dice.choice(there))]))
                case 1 if there:
                    ann.take_out(dice.choice(there))
                case 2 if len(there) > 2:
                    ann.put("chat", {}, tuple(dice.sample(there, 2)))
                case _:
                    ann.say(f"{n}", time_ms=NOON_MS + n)
            await settle()
            assert shelf.ids("") == sorted(ann.map("chat").keys())


async def test_reactions_go_along_and_deleted_messages_go_nowhere() -> None:
    """What was said about a message is with it; what was deleted is gone with its roll."""
    async with chat_hub(clock=ManualClock()) as hub:
        ann, bob = Speaker(hub, "ann"), Speaker(hub, "bob")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(12)]
        bob.react(sent[0])
        bob.react(sent[11])
        ann.change(sent[1], text="", deleted=NOON_MS + 50)
        ann.take_out(sent[2])
        sent += [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(12, 20)]
        await rested(hub)
        kept = [id for id in sent if id not in sent[1:3]]
        assert [each.id for each in await everything(hub)] == kept
        assert set(await live(hub, "chat-reactions")) == {f"{sent[11]} x bob"}
        first = await hub.channels.chat(ROOM).message(sent[0])
        assert first is not None
        assert first.reactions == {"x": ["bob"]}


async def test_late_messages() -> None:
    """Who was offline brings messages of an earlier time: they are listed where they belong."""
    async with chat_hub() as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(30)]
        await rested(hub)
        late = [ann.say("late", time_ms=NOON_MS + n) for n in (2, 11, 12)]
        expected = sorted(sent + late)
        assert [each.id for each in await everything(hub)] == expected
        more = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(30, 40)]
        await rested(hub)
        assert not set(late) & set(await live(hub))
        assert [each.id for each in await everything(hub)] == sorted(expected + more)


async def test_late_reactions() -> None:
    """A reaction to what is archived by then goes there with the next roll."""
    async with chat_hub() as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(16)]
        await rested(hub)
        ann.react(sent[0])
        ann.react(sent[15])
        sent += [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(16, 26)]
        await rested(hub)
        assert set(await live(hub, "chat-reactions")) <= {f"{sent[15]} x ann"}
        said = await hub.channels.chat(ROOM).said(sent[1])
        assert said[0].reactions == {"x": ["ann"]}


@pytest.mark.parametrize("first", ["chat", "archive"])
async def test_what_is_written_to_an_archived_message(first: str) -> None:
    """A late edit goes to the archive, a late deletion too, and deleted stays deleted."""
    async with chat_hub() as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(16)]
        values = {id: dict(ann.map("chat")[id]) for id in sent}
        ann.react(sent[1])
        await rested(hub)
        chat = hub.channels.chat(ROOM)
        if first == "archive":
            await chat.delete(sent[2], ANN)
        late = {
            sent[0]: values[sent[0]] | {"text": "changed", "edited": NOON_MS + 99},
            sent[1]: values[sent[1]] | {"text": "", "deleted": NOON_MS + 99},
            sent[2]: values[sent[2]] | {"text": "changed", "edited": NOON_MS + 99},
        }
        ann.put("chat", late)
        await rested(hub)
        assert not set(late) & set(await live(hub))
        found = {each.id: each for each in await everything(hub)}
        assert len(found) == 16
        assert found[sent[0]].text == "changed"
        assert found[sent[1]].deleted_ms
        assert bool(found[sent[2]].deleted_ms) == (first == "archive")
        assert (await chat.said(sent[2], 1))[0].reactions == {}


async def test_threads() -> None:
    """A thread has archives of its own, and goes on when what began it is archived."""
    async with chat_hub(chat_live_messages=10, chat_archive_messages=50) as hub:
        ann = Speaker(hub, "ann")
        first = ann.say("a thread", time_ms=NOON_MS)
        lone = ann.say("another", time_ms=NOON_MS + 1)
        said = [ann.say(f"{n}", time_ms=NOON_MS + 2 + n, thread=first) for n in range(20)]
        quiet = [ann.say(f"{n}", time_ms=NOON_MS + 2 + n, thread=lone) for n in range(6)]
        await rested(hub)
        assert set(await archived(hub, 1, first)) == set(said[:10])
        assert set(await live(hub, "chat-archives")) == {f"{first}/000001"}
        for n in range(15):
            ann.say(f"{n}", time_ms=NOON_MS + 100 + n)
        await rested(hub)
        assert first not in await live(hub)
        assert await live(hub, f"chat/{lone}") == {}, "it has come to rest, and went whole"
        said.append(ann.say("it goes on", time_ms=NOON_MS + 200, thread=first))
        assert [each.id for each in await everything(hub, thread=first)] == said
        assert [each.id for each in await everything(hub, thread=lone)] == quiet


async def test_what_changes_while_it_moves() -> None:
    """An edit that comes while the archive is written is in the archive; a deletion too."""
    store = TestStore()
    async with chat_hub(store) as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(15)]
        await rested(hub)
        name = Archive(ROOM, 1).name
        store.gate = anyio.Event()
        store.gate.set()
        appended = store.append

        async def slow(batch: Any) -> None:
            if any(record.document == name for record in batch) and len(changed) < 1:
                changed.append(True)
                ann.change(sent[0], text="changed", edited=NOON_MS + 100)
                ann.change(sent[1], text="", deleted=NOON_MS + 100)
                ann.take_out(sent[2])
                ann.react(sent[3])
            await appended(batch)

        changed: list[bool] = []
        store.append = slow  # type: ignore[method-assign]
        ann.say("15", time_ms=NOON_MS + 15)
        await until(lambda: changed)
        await rested(hub)
        there = await archived(hub)
        assert there[sent[0]]["text"] == "changed"
        assert set(there) == {sent[0], *sent[3:6]}
        assert set(await live(hub, "chat-reactions", name)) == {f"{sent[3]} x ann"}
        found = [each.id for each in await everything(hub)]
        assert found[:2] == [sent[0], sent[3]]
        assert len(found) == len(set(found)) == 14


async def test_killed_anywhere() -> None:
    """After each commit of a roll the server may end: nothing is lost, doubled, or comes back."""
    store = TestStore()
    async with chat_hub(store) as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(14)]
        ann.react(sent[0])
        await settle()
        begun = len(store.batches)
        sent += [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(14, 50)]
        await rested(hub)
    assert len(store.batches) - begun > 4
    for end in range(begun, len(store.batches) + 1):
        there = {record.document for batch in store.batches[:end] for record in batch}
        async with chat_hub(await again(store.batches[:end])) as hub:
            ann = Speaker(hub, "ann")
            await settle()
            known = [each.id for each in await everything(hub)]
            assert known == sent[: len(known)], f"after {end} commits of {there}"
            victim = next(iter(sorted(await live(hub))))
            ann.take_out(victim)
            known.remove(victim)
            more = [ann.say(f"{n}", time_ms=NOON_MS + 100 + n) for n in range(16)]
            await rested(hub)
            assert [each.id for each in await everything(hub)] == known + more
            filed = await live(hub, "chat-archives")
            inside = [id for n in range(len(filed)) for id in await archived(hub, n + 1)]
            assert len(inside) == sum(each["count"] for each in filed.values())
            assert not set(inside) & set(await live(hub)), "each is in one place"
            assert victim not in inside


async def test_what_moved_and_was_never_counted_does_not_show() -> None:
    """Between the two steps a message is where it was; taken out there, it is gone for readers."""
    store = TestStore()
    async with chat_hub(store) as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(16)]
        await rested(hub)
    name = Archive(ROOM, 1).name
    end = next(n for n, batch in enumerate(store.batches) if batch[0].document == name) + 1
    async with chat_hub(await again(store.batches[:end]), chat_live_messages=1000) as hub:
        assert MOVING in await live(hub, "chat-archives", name)
        ann = Speaker(hub, "ann")
        await settle()
        ann.take_out(sent[0])
        assert [each.id for each in await everything(hub)] == sent[1:]
        assert await hub.channels.chat(ROOM).message(sent[0]) is None


@pytest.mark.parametrize("seed", range(6))
async def test_anything_goes(seed: int) -> None:
    """Whatever people do while chats roll, each message is there once, in order, as it was left."""
    dice = random.Random(seed)
    async with chat_hub(chat_live_messages=10, chat_archive_messages=12) as hub:
        people = [Speaker(hub, who) for who in ("ann", "bob", "cy")]
        said: dict[str, str] = {}
        gone: set[str] = set()
        for step in range(300):
            who = dice.choice(people)
            own = {id for id, value in who.map("chat").items() if value["author"] == who.who}
            near = sorted(own - gone)
            act = dice.random()
            if act < 0.7 or not near:
                time_ms = NOON_MS + 10 * step - (dice.randrange(600) if act < 0.1 else 0)
                text = f"{step}"
                said[who.say(text, time_ms=time_ms)] = text
            elif act < 0.8:
                id = dice.choice(near)
                who.change(id, text="", deleted=NOON_MS + 10 * step + 10)
                gone.add(id)
            elif act < 0.85 and max(near) in sorted(who.map("chat"))[-5:]:
                id = max(near)  # far from what moves: else the chat has lost it already
                who.take_out(id)
                gone.add(id)
            elif act < 0.9:
                id = dice.choice(near)
                said[id] = f"{step} changed"
                who.change(id, text=said[id])
            else:
                dice.choice(people).react(dice.choice(near))
            for _ in range(dice.randrange(12)):
                await anyio.lowlevel.checkpoint()
            for each in people:
                each.client.read()
        await rested(hub)
        there = await everything(hub)
        assert [each.id for each in there] == sorted(each.id for each in there)
        found = [each for each in there if not each.deleted_ms]
        ids = {each.id for each in found}
        assert ids <= set(said)
        assert not ids & gone
        assert ids == set(said) - gone
        assert len(await live(hub)) <= 15
        changed = {each.id: each.text for each in found}
        assert changed == {id: said[id] for id in ids}


# Where nothing rolls


async def test_not_what_is_damaged() -> None:
    """A document that is read-only stays as it is."""

    class Damaged(MemoryStore):
        async def load(self, document: str) -> Loaded:
            loaded = await super().load(document)
            records = (*loaded.records[:-1], loaded.records[-1])
            if document == ROOM and len(records) > 1:
                bad = records[-1].__class__(ROOM, records[-1].sequence, 0, "", b"\x07")
                return Loaded(loaded.checkpoint, (*records[:-1], bad))
            return loaded

    store = TestStore()
    async with chat_hub(store, chat_live_messages=1000) as hub:
        ann = Speaker(hub, "ann")
        for n in range(30):
            ann.say(f"{n}", time_ms=NOON_MS + n)
            await settle()
    damaged = Damaged()
    async with damaged:
        for batch in store.batches:
            await damaged.append(batch)
    async with chat_hub(damaged) as hub:
        async with hub.open(ROOM) as room:
            assert room.damage
            await rested(hub)
        assert len(await live(hub)) >= 25
        assert await hub.store.documents(prefix=f"{ROOM}/") == []


async def test_not_what_is_full_or_has_no_room_in_its_name() -> None:
    """Neither a full document rolls, nor one whose archives would have too long a name."""
    async with chat_hub(max_document_bytes=1200) as hub:
        ann = Speaker(hub, "ann")
        for n in range(30):
            ann.say(f"{n}", time_ms=NOON_MS + n)
            await settle()
        await rested(hub)
        assert await hub.store.documents(prefix=f"{ROOM}/") == []
    async with chat_hub(max_document_name_bytes=40) as hub:
        ann = Speaker(hub, "ann")
        for n in range(30):
            ann.say(f"{n}", time_ms=NOON_MS + n)
        await rested(hub)
        assert len(await live(hub)) == 30


async def test_not_where_there_is_no_chat() -> None:
    """In a document that no pattern fits, a root of that name is a root like any other."""
    async with chat_hub(chat="elsewhere/*") as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(40)]
        await rested(hub)
        assert set(await live(hub)) == set(sent)


async def test_a_store_that_fails() -> None:
    """Where the archive can't be written, the chat keeps all, and tries with the next message."""
    store = TestStore()
    async with chat_hub(store) as hub:
        ann = Speaker(hub, "ann")
        store.failing = lambda name: "chat-archive" in name
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(20)]
        await rested(hub)
        assert set(await live(hub)) == set(sent)
        store.failing = lambda _: False
        sent.append(ann.say("20", time_ms=NOON_MS + 20))
        await rested(hub)
        assert len(await live(hub)) == 10
        assert [each.id for each in await everything(hub)] == sent


async def test_a_document_ends_with_its_archives() -> None:
    """They go first: no half of a deleted chat is ever found by the next of its name."""
    store = TestStore()
    deleted: list[str] = []
    remove = store.delete

    async def noting(document: str) -> bool:
        deleted.append(document)
        return await remove(document)

    store.delete = noting  # type: ignore[method-assign]
    async with chat_hub(store) as hub:
        ann = Speaker(hub, "ann")
        for n in range(80):
            ann.say(f"{n}", time_ms=NOON_MS + n)
        await rested(hub)
        other = await hub.channels.chat(f"{ROOM}/other").send("stays", ANN)
        assert await hub.delete(ROOM, principal=Principal(id="root", role=ADMIN))
        assert deleted == [*(Archive(ROOM, n).name for n in (1, 2, 3)), ROOM]
        assert [each.name for each in await store.documents()] == [f"{ROOM}/other"]
        assert await everything(hub) == []
        assert [each.id for each in await everything(hub, f"{ROOM}/other")] == [other.id]


async def test_the_defaults_go_together() -> None:
    """An archive takes at least what one roll brings."""
    limits = Limits()
    assert limits.chat_archive_messages >= limits.chat_live_messages
