"""People who talk beside a document, and are there: by their editors, and by the library.

Owns who said what, and what has to be true of it: whatever anyone was told or shown is kept, in
the chat or an archive, by whoever wrote it; what was deleted is gone; presence says who is there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pycrdt

from crdtsync.channels.model import Message, message_id
from crdtsync.channels.names import archive_of
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.update import scan
from tests.properties.replica import READER
from tests.simulation.attendance import id_of, values_of
from tests.simulation.client import Client

if TYPE_CHECKING:
    from tests.simulation.story import Story
    from tests.simulation.truth import Truth
    from tests.simulation.world import World

__all__ = ["Talk"]

Docs = Mapping[str, "pycrdt.Doc[Any]"]

BEGIN_MS = 1_700_000_000_000
EMOJI = ["👍", "❤", "x"]
STATUSES = ["online", "away", "busy", "busy", "offline"]


@dataclass(slots=True)
class _Said:
    """What is known of a message."""

    room: str
    thread: str
    author: str
    texts: list[str]
    """All that it ever had, or was to have."""
    client: int = 0
    """Whose editor wrote it; 0 where that was the library."""
    sure: bool = False
    """Whether somebody was told or shown that it is there."""
    doomed: bool = False
    """Whether somebody has tried to delete it,"""
    gone: bool = False
    """and was told that it is,"""
    away: bool = False
    """or has done so in an editor, by a value: then it is in no chat and no archive."""
    hands: set[int] = field(default_factory=set)
    """The editors that have changed or deleted it. Of several one may not show that another one
    has deleted it, and a server that dies then takes that along."""
    floor: int = -1
    """The text that it has at least come to; where -1, nobody knows."""
    reactions: dict[str, int] = field(default_factory=dict)
    """By key: whether it has to be there; 1: at the end. What was taken back may be or not."""


class Talk:
    """One story's talk and presence."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.chance = chance = world.kernel.stream("talk")
        rooms = tuple(world.shown)
        self.rules = ChannelRules(
            chat=rooms[: None if chance.random() < 0.8 else 1],
            presence=rooms if chance.random() < 0.8 else (),
        )
        self.said: dict[str, _Said] = {}
        self.attempts: dict[str, str] = {}
        """By text who was about to say it, by the library."""
        self.statuses: dict[Client, str] = {}
        self._receipts: dict[Client, str] = {}
        self._count = 0
        self._people()

    def channels(self) -> Channels:
        """Return the channels of a new life."""
        return Channels(self.rules)

    def _people(self) -> None:
        """Let some clients be tabs of one person, and some nobody in particular."""
        before: Client | None = None
        for client in self.world.clients:
            if client.may_write and self.chance.random() < 0.2:
                client.principal = Principal()
            elif before is not None and before.room == client.room and client.may_write:
                client.principal = self.chance.choice([client, client, before]).principal
            before = client if client.may_write else before
            client.came = self._came

    def begin(self, story: "Story") -> None:
        for client in self.world.clients:
            if client.may_write:
                story.often(client.name, 25, lambda _, who=client: self.act(who))
        for number, room in enumerate(self.rules.chat):
            story.often(f"bot-{number}", 20, lambda who, room=room: self._ask(who, room))

    # By an editor

    def _came(self, client: Client) -> None:
        """Say how one is, each time one is connected."""
        if client.may_write and self.rules.present(client.room):
            self.statuses.setdefault(client, "online")
            people = client.doc.get("presence", type=pycrdt.Map)
            own = dict(people.get(id_of(client)) or {}) | {"status": self.statuses[client]}
            people[id_of(client)] = own

    def act(self, client: Client) -> None:
        """Do a client's next thing."""
        chance = self.chance
        if self.rules.present(client.room) and chance.random() < 0.15:
            self.statuses[client] = chance.choice(STATUSES)
            client.tell(f"is {self.statuses[client]}")
            if client.synced:
                self._came(client)
        if not self.rules.chats(client.room):
            return
        threads = _chats(client.doc)
        thread = chance.choice(threads) if chance.random() < 0.3 else ""
        chat = client.doc.get(_in("chat", thread), type=pycrdt.Map)
        there = {id: value for id in sorted(chat.keys()) if isinstance(value := chat[id], dict)}
        living = [id for id, value in there.items() if not value.get("deleted")]
        own = [id for id in living if there[id]["author"] == id_of(client) and id in self.said]
        match chance.randrange(14):
            case 0 | 1 if own:
                self._change(client, chat, chance.choice(own))
            case 2 if own:
                self._remove(client, chat, chance.choice(own))
            case 3 | 4 if living:
                self._react(client, thread, chance.choice(living))
            case 5 if there:
                receipts = client.doc.get(_in("chat-receipts", thread), type=pycrdt.Map)
                receipts[id_of(client)] = max(there)
                if not thread:
                    self._receipts[client] = max(there)
            case 6 if living and not thread:
                self._say(client, chance.choice(living))
            case _:
                for _ in range(chance.choice([1, 1, 1, 4])):
                    self._say(client, thread)

    def _say(self, client: Client, thread: str) -> None:
        id, text = message_id(self._now_ms()), self._text(client.name)
        message = Message(id=id, author=id_of(client), text=text, time_ms=self._now_ms())
        self.said[id] = _Said(client.room, thread, id_of(client), [text], client.number)
        client.tell(f"says {text}")
        client.doc.get(_in("chat", thread), type=pycrdt.Map)[id] = message.value()

    def _change(self, client: Client, chat: "pycrdt.Map[Any]", id: str) -> None:
        text, before = self._text(client.name), dict(chat[id])
        said = self.said[id]
        said.texts.append(text)
        said.floor = -1
        said.hands.add(client.number)
        client.tell(f"changes {before['text']} to {text}")
        chat[id] = before | {"text": text, "edited": max(before["time"], self._now_ms())}

    def _remove(self, client: Client, chat: "pycrdt.Map[Any]", id: str) -> None:
        before = dict(chat[id])
        client.tell(f"deletes {before['text']}")
        self.said[id].doomed = True
        if self.chance.random() < 0.3:
            del chat[id]
            return
        self.said[id].away = True
        self.said[id].hands.add(client.number)
        gone = {each: before[each] for each in ("author", "time", "type")}
        chat[id] = gone | {"text": "", "deleted": max(before["time"], self._now_ms())}

    def _react(self, client: Client, thread: str, id: str) -> None:
        reactions = client.doc.get(_in("chat-reactions", thread), type=pycrdt.Map)
        key = f"{id} {self.chance.choice(EMOJI)} {id_of(client)}"
        known = self.said[id].reactions if id in self.said else {}
        if key in reactions:
            known[key] = 0
            client.tell(f"takes back {key}")
            del reactions[key]
        else:
            known[key] = int(key not in known)
            client.tell(f"reacts: {key}")
            reactions[key] = self._now_ms()

    def _text(self, who: str) -> str:
        self._count += 1
        return f"{self._count} by {who}"

    def _now_ms(self) -> int:
        """Return people's own time: their clocks don't jump."""
        return BEGIN_MS + int(self.world.kernel.now_s * 1000)

    # By the library

    def _ask(self, who: str, room: str) -> None:
        """Do a program's next thing."""
        chance, ask = self.chance, self.world.asking.ask
        own = [id for id, each in self.said.items() if each.author == who and not each.doomed]
        id = chance.choice(own) if own else ""
        said = self.said.get(id)
        me, text = Principal(id=who), self._text(who)
        thread = "" if said is None else said.thread
        if said is None or chance.random() < 0.5:
            thread = id if id and not thread and chance.random() < 0.2 else thread
            self.attempts[text] = who

            def sent(message: Message) -> None:
                self.said[message.id] = _Said(room, thread, who, [text], sure=True, floor=0)

            ask(
                who,
                f"says {text}",
                lambda hub: _chat(hub, room).send(text, me, thread=thread),
                sent,
            )
        elif chance.random() < 0.4:
            said.texts.append(text)
            at = len(said.texts) - 1

            def changed(_: object) -> None:
                said.floor = at

            def edit(hub: Hub) -> Any:
                return _chat(hub, room).edit(id, text, me, thread=thread)

            ask(who, f"changes {said.texts[0]} to {text}", edit, changed)
        elif chance.random() < 0.4:
            said.doomed = True

            def deleted(_: object) -> None:
                said.gone = True

            def delete(hub: Hub) -> Any:
                return _chat(hub, room).delete(id, me, thread=thread)

            ask(who, f"deletes {said.texts[0]}", delete, deleted)
        else:
            emoji = chance.choice(EMOJI)

            def reacted(_: object) -> None:
                said.reactions[f"{id} {emoji} {who}"] = 2

            def react(hub: Hub) -> Any:
                return _chat(hub, room).react(id, emoji, me, thread=thread)

            ask(who, f"reacts {emoji} to {said.texts[0]}", react, reacted)

    # What has to be true

    def kept(self, docs: Docs, *, settled: bool = False) -> None:
        """Compare with what is stored: what anyone was told or shown is in a chat or an archive."""
        for client in self.world.clients:
            for id in _ids(client.doc):
                said = self.said.get(id)
                if said is not None and (said.client != client.number or settled):
                    said.sure = True
        for room in self.rules.chat:
            there: dict[str, list[dict[str, Any]]] = {}
            reactions: set[str] = set()
            for name, doc in docs.items():
                archive = archive_of(name)
                if (archive.document if archive is not None else name) != room:
                    continue
                for root, values in _maps(doc):
                    if root.startswith("chat-reactions"):
                        reactions.update(values)
                    elif root.split("/")[0] == "chat":
                        for id, value in values.items():
                            there.setdefault(id, []).append(value)
                            said = self.said.get(id)
                            alive = not value.get("deleted")
                            away = said is not None and said.away and len(said.hands) == 1
                            if settled and alive and said is not None and away:
                                self.world.fail(f"{room}: {said.texts[0]} was deleted: {value}")
            self._compare(room, there, reactions, 1 if settled else 2)

    def _compare(
        self,
        room: str,
        there: dict[str, list[dict[str, Any]]],
        reactions: set[str],
        wanted: int,
    ) -> None:
        fail = self.world.fail
        for id, said in self.said.items():
            if said.room != room or not said.sure or said.doomed:
                continue
            if id not in there:
                fail(f"{room}: the message {said.texts[-1]} is in no chat and no archive")
            for key, how in said.reactions.items():
                if how >= wanted and key not in reactions:
                    fail(f"{room}: the reaction {key} was acknowledged, and is not there")
        for id, values in there.items():
            for value in values:
                known = self.said.get(id)
                author = known.author if known else self.attempts.get(value["text"])
                unheard = known is None and value.get("deleted")  # whose text it had is not known
                if value["author"] != author and not unheard:
                    fail(f"{room}: {value} is not what {author} has said")

    async def listed(self, hub: Hub) -> None:
        """Compare with what the library lists: each message once, in their order."""
        for room in self.rules.chat:
            of_room = [each for each in self.said.items() if each[1].room == room]
            for thread in sorted({each.thread for _, each in of_room}):
                found: list[Message] = []
                while page := await _chat(hub, room).messages(
                    found[0].id if found else None,
                    self.chance.choice([1, 3, 7, 50]),
                    thread=thread,
                ):
                    found = page + found
                self._check_list(room, thread, found)

    def _check_list(self, room: str, thread: str, found: list[Message]) -> None:
        fail = self.world.fail
        ids = [each.id for each in found]
        if ids != sorted(set(ids)):
            fail(f"{room}: {[each.text for each in found]} are not in order, or there twice")
        listed = {each.id: each for each in found}
        for id, said in self.said.items():
            if (said.room, said.thread) != (room, thread):
                continue
            message = listed.get(id)
            alive = message is not None and not message.deleted_ms
            if said.gone and alive:
                fail(f"{room}: {said.texts[0]} was deleted, and says {message}")
            if not said.doomed and not alive and (said.sure or said.client):
                fail(f"{room}: {said.texts[-1]} was said, and is not listed")
            if message is not None and alive:
                if message.author != said.author or message.text not in said.texts:
                    fail(f"{room}: {message} is not what {said.author} has said: {said.texts}")
                elif said.texts.index(message.text) < said.floor:
                    fail(f"{room}: {message} was changed to {said.texts[said.floor]}")

    def last_edit(self, truth: "Truth", room: str) -> int:
        """Return a document's last record that is more than people's coming and going."""
        last = truth.last(room)
        if not self.rules.present(room):
            return last
        aside = truth.presence(room, last)
        for sequence in range(last, 0, -1):
            found = scan(truth.records[room][sequence].update, READER)
            for client, start, end in (*found.ranges, *found.deletes):
                if any((client, clock) not in aside for clock in range(start, end)):
                    return sequence
        return 0


def _chat(hub: Hub, room: str) -> Any:
    return hub.channels.chat(room)


def _in(root: str, thread: str) -> str:
    return f"{root}/{thread}" if thread else root


def _maps(doc: "pycrdt.Doc[Any]") -> Iterator[tuple[str, dict[str, Any]]]:
    for name in sorted(doc.keys()):
        if name.split("/")[0] in ("chat", "chat-reactions"):
            yield name, values_of(doc, name)


def _chats(doc: "pycrdt.Doc[Any]") -> list[str]:
    """Return a document's threads, with the chat itself."""
    names = (name.partition("/") for name in sorted(doc.keys()))
    return sorted({"", *(thread for root, _, thread in names if root == "chat")})


def _ids(doc: "pycrdt.Doc[Any]") -> Iterator[str]:
    for root, values in _maps(doc):
        if root.split("/")[0] == "chat":
            yield from values
