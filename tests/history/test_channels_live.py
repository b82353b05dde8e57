"""Chat and presence beside version history, in a hub: what is an edit, and what comes back."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pycrdt
import pytest

from crdtsync.channels.model import Message, Person, Reaction, message_id
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.history import noticing
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.model import NotRestorable
from crdtsync.history.past import Past
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import update_frame
from crdtsync.store.memory import MemoryStore
from tests.history.recording import ANN, BOB, checkpointed, past_of
from tests.unit.engine import Client, join, quick, until

pytestmark = pytest.mark.anyio

SLOW = quick(housekeeping_interval_s=1e6, history_pause_s=0.0)
"""Looks come from the test, and a version with each that finds an edit."""
EVERYWHERE = ChannelRules(chat=("*",), presence=("*",))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


@asynccontextmanager
async def talking(
    rules: ChannelRules = EVERYWHERE, *, limits: Limits = SLOW, folder: Path | None = None
) -> AsyncIterator[tuple[Hub, Histories]]:
    """Open a hub with history, chat and presence."""
    store = MemoryStore()
    histories = Histories(store, HistoryDatabase(folder), limits=limits)
    channels = Channels(rules)
    async with Hub(store, limits=limits, history=histories, channels=channels) as hub:
        yield hub, histories


async def look(hub: Hub, histories: Histories) -> None:
    """Have the server look until all is told and written."""
    automatic = histories.automatic

    def told() -> bool:
        automatic.look(hub.spawn)
        return not (automatic._writing or automatic.noticing._waiting or automatic._editing)

    await until(told)


async def edited(hub: Hub, client: Client, *edits: Callable[[], object], name: str = "doc") -> None:
    """Have somebody do something, in one transaction, and wait until it is committed."""
    client.read()
    room = hub.rooms[name]
    committed, before = room.committed_sequence, client.doc.get_state()
    with client.doc.transaction():
        for edit in edits:
            edit()
    client.say(update_frame(client.doc.get_update(before)))
    await until(lambda: room.committed_sequence > committed and not room.uncommitted)


def shown(client: Client, status: Any = "away", who: str = "ann") -> Callable[[], object]:
    """Return the edit by which somebody says how they are."""
    people = client.doc.get("presence", type=pycrdt.Map)
    return lambda: people.update({who: Person(id=who, status=status).value()})


def said(client: Client, hub: Hub, text: str, root: str = "chat") -> Callable[[], object]:
    """Return the edit by which somebody says something."""
    time_ms = hub.clock.time_ms()
    message = Message(id=message_id(time_ms), author="ann", text=text, time_ms=time_ms)
    return lambda: client.doc.get(root, type=pycrdt.Map).update({message.id: message.value()})


async def automatic(histories: Histories) -> int:
    return len(await histories.versions("doc", kind="auto"))


@pytest.mark.parametrize("here", [True, False])
async def test_coming_and_going_is_no_edit(monkeypatch: pytest.MonkeyPatch, here: bool) -> None:
    """Presence alone makes no version, text does, and so does a message."""
    if not here:  # on a thread
        monkeypatch.setattr(noticing, "LEARN_HERE_BYTES", 0)
    async with talking() as (hub, histories):
        client = await join(hub, principal=ANN)
        for status in ("away", "busy", "online"):
            await edited(hub, client, shown(client, status))
            await look(hub, histories)
        assert await automatic(histories) == 0
        await edited(hub, client, lambda: client.text.insert(0, "x"), shown(client))
        await look(hub, histories)
        assert await automatic(histories) == 1
        await edited(hub, client, said(client, hub, "hello"))
        await look(hub, histories)
        assert await automatic(histories) == 2
        await edited(hub, client, shown(client, "busy"))
        await look(hub, histories)
        assert await automatic(histories) == 2
        activity = await histories.activity("doc")
        (session,) = activity["sessions"]
        assert (session["author"], session["inserted"], session["deleted"]) == ("ann", 2, 0)


async def test_a_room_that_is_closed_is_forgotten() -> None:
    """What it takes to tell a room's edits goes with the room."""
    limits = quick(history_pause_s=0.0, idle_room_s=0.0)
    async with talking(limits=limits) as (hub, histories):
        client = await join(hub, principal=ANN)
        await edited(hub, client, shown(client))
        noticing = histories.automatic.noticing
        await until(lambda: noticing._sieves)
        client.connection.lost()
        await until(lambda: not hub.rooms and not noticing._sieves)
        assert await automatic(histories) == 0


@pytest.mark.parametrize("types", [False, True])
async def test_the_last_look(tmp_path: Path, types: bool) -> None:
    """A server that ends makes a version of an edit, and none of presence."""
    async with talking(folder=tmp_path) as (hub, _):
        client = await join(hub, principal=ANN)
        await edited(hub, client, shown(client))
        if types:
            await edited(hub, client, lambda: client.text.insert(0, "x"))
    kept = HistoryDatabase(tmp_path)
    async with kept:
        assert len(await kept.versions("doc")) == types


async def test_where_presence_is_a_root_like_any_other() -> None:
    """In a document that no pattern fits, presence is recorded, and it makes versions."""
    async with talking(ChannelRules(presence=("rooms/*",))) as (hub, histories):
        client = await join(hub, principal=ANN)
        await edited(hub, client, shown(client))
        await look(hub, histories)
        assert await automatic(histories) == 1
        assert await checkpointed(hub)
        assert b"presence" in (await past_of(histories)).structs
        blame = await histories.blame("doc")
        assert list(blame["roots"]["presence"]["keys"]) == ["ann"]


async def test_nothing_of_presence_is_kept(tmp_path: Path) -> None:
    """Folded or not, it is in no answer, and in no bytes of the history."""
    async with talking(folder=tmp_path) as (hub, histories):
        client = await join(hub, principal=ANN)
        for number in range(3):
            text = f"{number} "
            await edited(hub, client, shown(client), lambda t=text: client.text.insert(0, t))  # type: ignore[misc]
        last = hub.rooms["doc"].committed_sequence
        for _ in range(2):
            assert b"presence" not in await histories.read("doc", "now", format="update")
            assert b"away" not in await histories.read("doc", "now", format="json")
            change = await histories.compare("doc", "s0")
            assert list(change["roots"]) == ["text"]
            assert await checkpointed(hub)
        kept = await histories.kept.load("doc")
        assert kept is not None
        assert b"presence" not in Past.open(kept.stored).structs
        assert (await histories.resolve("doc", f"s{last}")).sequence == last


async def test_a_restore_leaves_channels_alone() -> None:
    """Who is there sees the text change, and nothing else; its root can't be named, either."""
    async with talking() as (hub, histories):
        ann = await join(hub, principal=ANN)
        bob = await join(hub, principal=BOB)
        await edited(hub, ann, lambda: ann.text.insert(0, "one "), said(ann, hub, "first"))
        moment = f"s{hub.rooms['doc'].committed_sequence}"
        await edited(hub, ann, lambda: ann.text.insert(4, "two "), said(ann, hub, "second"))
        thread = message_id(hub.clock.time_ms())
        (first, *_) = ann.doc.get("chat", type=pycrdt.Map)
        reaction = Reaction(first, "+", "ann").key
        reactions = ann.doc.get("chat-reactions", type=pycrdt.Map)
        await edited(hub, ann, lambda: reactions.update({reaction: hub.clock.time_ms()}))
        await edited(hub, ann, shown(ann))
        await bob.shows("one two ")
        await until(lambda: are_there(bob))  # the server has put right what they said of themselves
        before = roots(bob)
        assert len(before["chat"]) == 2
        assert before["presence"]["ann"]["status"] == "away"
        assert (await histories.restore("doc", moment, principal=BOB)).changed
        await bob.shows("one ")
        assert roots(bob) == before
        assert (await histories.undo("doc", author="ann", since="s0", principal=BOB)).changed
        await bob.shows("")
        assert roots(bob) == before
        await ann.shows("")
        assert roots(ann) == before
        for root in ("chat", "chat-reactions", "chat-receipts", f"chat/{thread}", "presence"):
            with pytest.raises(NotRestorable, match="stays as it is"):
                await histories.restore("doc", moment, root=root, principal=BOB)
        blame = await histories.blame("doc")
        assert len(blame["roots"]["chat"]["keys"]) == 2  # all else is said of a chat


def are_there(client: Client) -> bool:
    """Return whether both people are shown with their one connection each."""
    client.read()
    people = roots(client)["presence"].values()
    return [each.get("connections") for each in people] == [1, 1]


def roots(client: Client) -> dict[str, Any]:
    names = ("chat", "chat-reactions", "presence")
    return {name: client.doc.get(name, type=pycrdt.Map).to_py() for name in names}


async def test_a_document_without_channels_is_restored_whole() -> None:
    """Where there is no chat, a root of that name is restored like any other."""
    async with talking(ChannelRules(chat=("rooms/*",))) as (hub, histories):
        ann = await join(hub, principal=ANN)
        await edited(hub, ann, said(ann, hub, "first"))
        before = roots(ann)
        await edited(hub, ann, said(ann, hub, "second"))
        assert (await histories.restore("doc", "s1", root="chat", principal=BOB)).changed

        def restored() -> bool:
            ann.read()
            return roots(ann) == before

        await until(restored)
