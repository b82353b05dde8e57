"""Archived messages take almost nothing in their chat's document, and nobody sees a difference."""

from random import Random
from typing import Any

import pycrdt
import pytest
from pycrdt import merge_updates

from crdtsync import loading
from crdtsync.channels import shedding
from crdtsync.channels.model import Message, message_id
from crdtsync.channels.shedding import shed
from crdtsync.clock import ManualClock
from crdtsync.document import Document, Verdict
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits, trusting
from crdtsync.update import scan
from tests.channels.rooms import ANN, NOON_MS, ROOM, Speaker, chat_hub, everything, live, rested
from tests.unit.engine import TestStore, settle, until

pytestmark = pytest.mark.anyio
LIMITS = trusting(Limits())
LATER_MS = NOON_MS + 1_000_000


def shown(doc: "pycrdt.Doc[Any]") -> dict[str, Any]:
    """Return what a document shows in the roots of these tests."""
    return {
        "text": str(doc.get("text", type=pycrdt.Text)),
        "chat": doc.get("chat", type=pycrdt.Map).to_py(),
        "other": doc.get("other", type=pycrdt.Map).to_py(),
    }


def lived(dice: Random) -> "tuple[pycrdt.Doc[Any], list[pycrdt.Doc[Any]]]":
    """Return a document that three people have chatted and typed in, and theirs."""
    docs: list[pycrdt.Doc[Any]] = [pycrdt.Doc(client_id=n + 1) for n in range(3)]
    ids: list[str] = []
    for step in range(200):
        doc = dice.choice(docs)
        chat = doc.get("chat", type=pycrdt.Map)
        act = dice.random()
        if act < 0.4 or not ids:
            ids.append(message_id(NOON_MS + step))
            chat[ids[-1]] = {"author": "x", "text": str(step)}
        elif act < 0.6:
            id = dice.choice(ids)
            if id in chat:
                chat[id] = {"author": "x", "text": f"{step} changed"}
        elif act < 0.85:
            id = dice.choice(ids)
            if id in chat:
                del chat[id]
        elif act < 0.9:
            doc.get("other", type=pycrdt.Map)[dice.choice("ab")] = step
        else:
            doc.get("text", type=pycrdt.Text).insert(0, "word")
        if dice.random() < 0.5:
            other = dice.choice(docs)
            other.apply_update(doc.get_update(other.get_state()))
    whole: pycrdt.Doc[Any] = pycrdt.Doc()
    for doc in docs:
        whole.apply_update(doc.get_update(whole.get_state()))
    return whole, docs


@pytest.mark.parametrize("seed", range(30))
def test_what_is_shown_stays(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who joins, and who comes back with any part of it, shows the same as without it."""
    monkeypatch.setattr(shedding, "MIN_SHED", 1)
    whole, docs = lived(Random(seed))
    state = whole.get_update()
    found = shed(state, LATER_MS)
    assert found is not None
    assert len(found.state) < len(state)
    before, after = scan(state, LIMITS), scan(found.state, LIMITS)
    assert set(before.ranges) == set(after.ranges)
    assert set(before.deletes) == set(after.deletes)
    smaller: pycrdt.Doc[Any] = pycrdt.Doc()
    smaller.apply_update(found.state)
    assert shown(smaller) == shown(whole)
    assert smaller.get_state() == whole.get_state()
    for doc in docs:
        doc.apply_update(smaller.get_update(doc.get_state()))
        assert shown(doc) == shown(whole)
        smaller.apply_update(doc.get_update(smaller.get_state()))
    assert shown(smaller) == shown(whole)


def test_not_what_may_still_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message as late as somebody may bring it stays, and so do few."""
    whole, _ = lived(Random(1))
    assert shed(whole.get_update(), LATER_MS) is None
    monkeypatch.setattr(shedding, "MIN_SHED", 1)
    assert shed(whole.get_update(), NOON_MS) is None


@pytest.mark.parametrize("seed", range(30))
def test_what_newcomers_are_given(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever something smaller is made for newcomers, and whatever comes then: it shows the same.

    Also to those who bring something of their own.
    """
    monkeypatch.setattr(shedding, "MIN_SHED", 1)
    dice = Random(seed)
    whole, docs = lived(dice)
    document = Document(Limits())
    pieces = [doc.get_update(pycrdt.Doc().get_state()) for doc in docs]
    pieces = [merge_updates(*dice.sample(pieces, dice.randrange(1, 4))) for _ in range(3)] + pieces
    begun = dice.randrange(len(pieces))
    for number, update in enumerate(pieces):
        if number == begun:
            state = document.state()
            document.committed.begin_light()
        take_in(document, update)
        if number == begun:
            made = shed(state, LATER_MS)
            document.committed.lighten(None if made is None else [made.state])
    for own in (False, True):
        newcomer: pycrdt.Doc[Any] = pycrdt.Doc()
        if own:
            newcomer.get("text", type=pycrdt.Text).insert(0, "mine")
        for update in document.diff(newcomer.get_state()):
            newcomer.apply_update(update)
        if own:
            whole.apply_update(newcomer.get_update(whole.get_state()))
        assert shown(newcomer) == shown(whole)


def take_in(document: Document, update: bytes) -> None:
    """Let a document have an update, and commit what is new of it."""
    found = scan(update, LIMITS)
    verdict = document.admit(update, found)
    ready = document.take_ready()
    if verdict is Verdict.NEW and not ready:
        ready = [(update, found, None)]
    for piece, described, _ in ready:
        document.commit(piece, described)


async def chatted(hub: Hub, clock: ManualClock) -> tuple[Speaker, list[str]]:
    """Have somebody say so much that most of it is archived."""
    ann = Speaker(hub, "ann")
    sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(400)]
    await rested(hub)
    ann.client.read()
    clock.advance(8 * 86400)
    return ann, sent


async def checkpointed(hub: Hub) -> int:
    """Write a checkpoint of the room; return its bytes."""
    async with hub.open(ROOM) as room:
        await hub.committed(room)
        assert await hub.housekeeping.checkpoint(room)
        return len(room.state())


async def test_a_checkpoint_sheds() -> None:
    """After a week a document's archived messages are a few bytes; messages are where they were."""
    clock, store = ManualClock(), TestStore()
    async with chat_hub(store, clock=clock) as hub:
        _, sent = await chatted(hub, clock)
        assert await checkpointed(hub) < 400 * 20
        assert [each.id for each in await everything(hub)] == sent
        newcomer = Speaker(hub, "bob")
        await settle()
        assert set(newcomer.map("chat")) == set(await live(hub))
        more = (await hub.channels.chat(ROOM).send("and on", ANN)).id
        await settle()
        assert more in newcomer.map("chat")
    async with chat_hub(store, clock=clock) as hub:
        assert [each.id for each in await everything(hub)] == [*sent, more]


def received(speaker: Speaker) -> int:
    """Return the bytes that somebody was sent."""
    return sum(map(len, speaker.client.link.frames))


@pytest.mark.parametrize("anew", [False, True])
async def test_newcomers_of_today(anew: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who joins a chat gets nothing of what is archived, however young; late edits don't show."""
    monkeypatch.setattr(loading, "LOAD_HERE_BYTES", 100)
    clock, store = ManualClock(), TestStore()
    async with chat_hub(store, clock=clock) as hub:
        ann = Speaker(hub, "ann")
        sent = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(400)]
        await rested(hub)
        assert await checkpointed(hub) > 400 * 45
        if not anew:
            await newcomers(hub, ann, sent)
    if anew:
        async with chat_hub(store, clock=clock) as hub:
            back = Speaker(hub, "ann")
            back.doc.apply_update(ann.doc.get_update())
            await settle()
            await newcomers(hub, back, sent)


async def newcomers(hub: Hub, ann: Speaker, sent: list[str]) -> None:
    """Have people join, and somebody say more who has everything."""
    bob = Speaker(hub, "bob")
    await until(lambda: bob.map("chat").to_py() and received(bob))
    assert received(bob) < 400 * 25
    ann.say("and on", time_ms=NOON_MS + 500)
    value = Message(id=sent[0], author="ann", text="late", time_ms=NOON_MS, edited_ms=NOON_MS + 1)
    ann.put("chat", {sent[0]: value.value()})
    cy = Speaker(hub, "cy")
    await rested(hub)
    assert (await everything(hub))[0].text == "late"
    shown = [each.map("chat").to_py() for each in (ann, bob, cy)]
    assert shown == [await live(hub)] * 3
    bob.say("it goes both ways", time_ms=NOON_MS + 501)
    await settle()
    assert ann.map("chat").to_py() == bob.map("chat").to_py() == cy.map("chat").to_py()


async def test_threads_shed() -> None:
    """What threads have archived counts as well, of however many: not the chat alone."""
    clock = ManualClock()
    async with chat_hub(clock=clock) as hub:
        ann = Speaker(hub, "ann")
        first = [ann.say(f"{n}", time_ms=NOON_MS + n) for n in range(3)]
        for n in range(390):
            ann.say(f"{n}", time_ms=NOON_MS + n, thread=first[n % 3])
        await rested(hub)
        clock.advance(8 * 86400)
        assert await checkpointed(hub) < 400 * 20
        for each in first:
            assert len(await everything(hub, thread=each)) == 130


async def test_not_before_the_time() -> None:
    """What somebody may still bring a message for is kept."""
    clock = ManualClock()
    async with chat_hub(clock=clock, chat_past_s=9 * 86400.0) as hub:
        await chatted(hub, clock)
        assert await checkpointed(hub) > 400 * 45


@pytest.mark.parametrize("reopened", [False, True])
async def test_nothing_comes_to_stand_there(reopened: bool) -> None:
    """Who still holds an archived message's item writes behind it: nobody shows that for long."""
    clock, store = ManualClock(), TestStore()
    async with chat_hub(store, clock=clock) as hub:
        ann, sent = await chatted(hub, clock)
        await checkpointed(hub)
        held = ann.doc.get_update()
        if not reopened:
            await write_behind(hub, sent[0], held)
    if reopened:
        async with chat_hub(store, clock=clock) as hub:
            await write_behind(hub, sent[0], held)


async def write_behind(hub: Hub, id: str, held: bytes) -> None:
    """Have somebody who holds a message's item write its key again."""
    ann, bob = Speaker(hub, "ann"), Speaker(hub, "bob")
    ann.doc.apply_update(held)
    await settle()
    value = Message(id=id, author="ann", text="again", time_ms=NOON_MS).value()
    ann.put("chat", {id: value})
    ann.put("chat", {id: value | {"text": "and again"}})
    await settle()
    assert id not in ann.map("chat")
    assert id not in bob.map("chat")
    assert id not in await live(hub)
    cy = Speaker(hub, "cy")
    await settle()
    assert cy.map("chat").to_py() == ann.map("chat").to_py() == bob.map("chat").to_py()


async def test_with_history() -> None:
    """A document with a history sheds as well, and its history has everything."""
    from crdtsync.channels.rules import ChannelRules
    from crdtsync.channels.service import Channels
    from crdtsync.history.database import HistoryDatabase
    from crdtsync.history.service import Histories
    from tests.unit.engine import quick

    clock, store = ManualClock(), TestStore()
    limits = quick(chat_live_messages=10, chat_archive_messages=1000, chat_messages_per_minute=0)
    histories = Histories(store, HistoryDatabase(None), limits=limits)
    channels = Channels(ChannelRules(chat=("*",)))
    async with Hub(store, limits=limits, clock=clock, history=histories, channels=channels) as hub:
        _, sent = await chatted(hub, clock)
        before = await checkpointed(hub)
        again = await hub.channels.chat(ROOM).send("more", Principal(id="bob"))
        assert before < 400 * 20
        clock.advance(8 * 86400)
        await checkpointed(hub)
        assert [each.id for each in await everything(hub)] == [*sent, again.id]
        activity = await histories.activity(ROOM)
        assert activity
