"""Made-up talk, honest and hostile, through a room: what is stored always keeps the rules.

The word on that is an own one: pycrdt applies what was stored, record by record, and each thing
that it shows then has to be its author's doing.
"""

import random
from collections.abc import Callable
from itertools import groupby
from struct import pack
from typing import Any

import pycrdt
import pytest

from crdtsync.channels.book import Book
from crdtsync.channels.hand import submit
from crdtsync.channels.model import message_id
from crdtsync.channels.writing import MapWriter
from crdtsync.gate import Principal
from crdtsync.indexing import Making
from crdtsync.limits import Limits, trusting
from crdtsync.roles import COMMENT, WRITE
from crdtsync.store.base import Record
from crdtsync.structs import Id
from tests.channels.kit import ANN, GUEST, MOD, Talk, setting
from tests.permissions.kit import Peer
from tests.portions import small_portions
from tests.unit.wire import any_, binary, block, deleted, gc, item, string, type_, update

LIMITS = Limits(refusal_delay_s=0, chat_messages_per_minute=0)
ROOTS = ["chat", "chat-reactions", "chat-receipts", "presence", "chat-archives"]
PEOPLE = [ANN, ANN, Principal(id="bob", role=COMMENT), MOD, GUEST]
EVE = Principal(id="eve", role=WRITE)
WORLDS = 60
Root = dict[str, Any]


class World(Talk):
    """A room whose records are kept, and looked at as they are stored."""

    def __init__(self, seed: int) -> None:
        super().__init__(limits=LIMITS)
        self.dice = random.Random(seed)
        self.keeper: pycrdt.Doc[Any] = pycrdt.Doc()
        self.gone: set[str] = set()
        """The messages that were deleted by somebody who may."""
        self.tried: set[str] = set()
        """Those that such a one deleted in a document of his own."""
        self.archived: set[str] = set()
        """Those that the server took out, and nobody deleted."""
        self.authors: dict[str, str] = {}
        self.own = pycrdt.Doc[Any](client_id=5)  # the server's
        self.log = b""
        self.shown: dict[str, Root] = {root: {} for root in ROOTS}

    def commit(self) -> None:
        while self.room.uncommitted:
            batch = self.room.take_batch(0)
            for author, records in groupby(batch, key=lambda each: each.author):
                self._stored(author, list(records))
            self.room.committed()
            self._whole()

    def _stored(self, author: str, records: list[Record]) -> None:
        for record in records:
            self.keeper.apply_update(record.update)
            self.log += record.update
        for root in ROOTS:
            before, after = self.shown[root], self._root(root)
            self.shown[root] = after
            for key in before.keys() | after.keys():
                old, new = before.get(key), after.get(key)
                if old != new:
                    assert self._fine(root, key, old, new, author), (root, key, old, new)

    def _fine(self, root: str, key: str, old: Any, new: Any, by: str) -> bool:
        """Return whether somebody may bring about a change."""
        match root:
            case "chat":
                return self._fine_message(key, old, new, by)
            case "chat-reactions":
                return _is(by, key.split(" ")[2]) and (new is None or self._was_there(key[:36]))
            case "chat-archives":
                return by == "" and new is not None
            case _:
                return _is(by, key)

    def _was_there(self, id: str) -> bool:
        """Return whether the first item under a message's key was stored, whatever it holds."""
        return b"\x01\x04chat$" + id.encode() in self.log

    def _fine_message(self, key: str, old: Any, new: Any, by: str) -> bool:
        if new is None and key in self.gone:
            return True  # it was deleted before, and came back for a moment that nobody saw
        if new is None and key in self.archived and key not in self.gone:
            return True  # the server's, or of what came late: the server deletes it anyway
        author = old["author"] if old else self.authors.get(key, "") if new else ""
        if new is not None:
            self.authors.setdefault(key, new["author"])
        mine = bool(author) and _is(by, author)
        if new is None or new.get("deleted"):
            if mine or by == "mod" or (old is None and _is(by, new["author"])):
                self.gone.add(key)
                kept = new is None or old is None or new["author"] == old["author"]
                return kept and (new is None or mine or old is None or new["deletedBy"] == "mod")
            self.gone.add(key)
            return by == "" and new is None and key in self.tried  # the server's
        if old is None or old.get("deleted"):
            return key in self.gone or (old is None and _is(by, new["author"]))
        return mine and new["author"] == old["author"] and bool(new.get("edited"))

    def _whole(self) -> None:
        for key in self.gone:
            now = self.shown["chat"].get(key)
            assert now is None or now["text"] == "", key

    def _root(self, name: str) -> Root:
        found = self.keeper.get(name, type=pycrdt.Map).to_py()
        assert found is not None
        return found

    def new_id(self) -> str:
        """Return an id that is the same each time the world is played."""
        bits = self.dice.getrandbits(62)
        head, tail = message_id(self.clock.time_ms())[:14], f"{bits:016x}"
        return f"{head}7000-8{tail[1:4]}-{tail[4:]}"

    # What people do

    def act(self, peer: Peer) -> Callable[["pycrdt.Doc[Any]"], None] | None:
        """Return something that somebody honest does, by what it sees."""
        dice = self.dice
        me = peer.connection.principal.id or f"guest-{dice.randrange(3)}"
        now = self.clock.time_ms()
        seen: Root = dict(sorted((peer.doc.get("chat", type=pycrdt.Map).to_py() or {}).items()))
        there = {id: each for id, each in seen.items() if not each.get("deleted")}
        mine = [id for id, each in there.items() if each["author"] == me]
        match dice.randrange(11):
            case 0 | 1 | 2:
                value = {"author": me, "text": f"text {now}", "time": now, "type": "text"}
                return setting("chat", {self.new_id(): value})
            case 3 | 4 if mine:
                id = dice.choice(mine)
                changed = seen[id] | {"text": f"edited {dice.random()}", "edited": now}
                return setting("chat", {id: changed})
            case 5 if mine:
                id = dice.choice(mine)
                self.tried.add(id)
                value = seen[id] | {"text": "", "deleted": now}
                return setting("chat", {id: dice.choice([None, value])})
            case 6 if there and me == "mod":
                id = dice.choice(list(there))
                self.tried.add(id)
                by = {} if seen[id]["author"] == "mod" else {"deletedBy": "mod"}
                value = seen[id] | {"text": "", "deleted": now} | by
                return setting("chat", {id: dice.choice([None, value])})
            case 7 if there:
                key = f"{dice.choice(list(there))} {dice.choice('👍🎉')} {me}"
                on = key in peer.doc.get("chat-reactions", type=pycrdt.Map)
                return setting("chat-reactions", {key: None if on else now})
            case 8 if there:
                on = dice.random() < 0.2 and me in peer.doc.get("chat-receipts", type=pycrdt.Map)
                return setting("chat-receipts", {me: None if on else max(there)})
            case 9:
                status = dice.choice(["online", "busy", "away"])
                return setting("presence", {me: {"status": status, "connections": 1}})
            case 10 if me != "bob":
                return lambda doc: doc.get("body", type=pycrdt.Text).insert(0, "x")
        return None

    def serves(self) -> None:
        """Do what the server does: take an old message out, count people."""
        self.commit()
        self.own.apply_update(self.room.state())
        before = self.own.get_state()
        chat = self.own.get("chat", type=pycrdt.Map)
        oldest = sorted(chat.keys())[:1]
        if oldest and self.dice.random() < 0.5:
            self._archive(oldest[0])
        elif oldest and self.dice.random() < 0.5:
            self.tried.add(oldest[0])
            setting("chat", {oldest[0]: None})(self.own)
        else:
            setting("chat-archives", {"000001": {"first": "0", "last": "0", "count": 1}})(self.own)
        self.edits(self.own.get_update(before))

    def _archive(self, id: str) -> None:
        if not self.shown["chat"][id].get("deleted"):
            self.archived.add(id)
        else:
            self.tried.add(id)
        update = MapWriter(self.room.document, 6).update((), [("chat", id)])
        submit(self.room, update)

    # What Eve does

    def attack(self) -> bytes:
        """Return bytes that somebody makes up."""
        dice = self.dice
        clocks = self.room.document.clocks
        ids = [(client, at) for client, end in clocks.items() for at in range(end)] or [(9, 0)]
        blocks = []
        for client in dice.sample([700, 701, 702], dice.choice([1, 1, 2])):
            clock = clocks.get(client, 0)
            structs = [self._forged(ids) for _ in range(dice.choice([1, 1, 2]))]
            blocks.append(block(client, clock + dice.choice([0, 0, 0, 1]), *structs))
        deletes = []
        for client, clock in dice.sample(ids, min(len(ids), dice.choice([0, 0, 1, 2]))):
            if all(each[0] != client for each in deletes):
                deletes.append((client, clock, clock + dice.choice([1, 1, 3])))
        return update(*dice.choice([blocks, blocks, []]), deletes=deletes)

    def _forged(self, ids: list[Id]) -> bytes:
        dice = self.dice
        now = self.clock.time_ms()
        root = dice.choice(ROOTS)
        known = sorted(self.shown[root])
        fresh = [self.new_id(), "eve", "ann", f"{dice.choice(known or ['x'])} 👍 eve"]
        key = dice.choice([*known, *known, *fresh])
        author = dice.choice(["eve", "eve", "ann", "guest-1"])
        value = b"".join(
            [
                b"\x76",
                bytes((4 + (extra := dice.randrange(2)),)),
                _text("author") + _any_text(author),
                _text("text") + _any_text(dice.choice(["forged", ""])),
                _text("time") + _any_number(dice.choice([now, now, now + 10**9])),
                _text("type") + _any_text(dice.choice(["text", "text", "system"])),
                (_text("edited") + _any_number(now)) if extra else b"",
            ]
        )
        content = dice.choice(
            [any_(value)] * 6
            + [any_(_any_text(self.new_id())), any_(_any_number(now)), any_(b"\x7e")]
            + [deleted(1), deleted(2), type_(1), string("x"), binary(b"x"), any_(value, value)]
        )
        place: dict[str, Any] = {"key": key}
        match dice.randrange(8):
            case 0:
                return gc(1)
            case 1 | 2 | 3:
                place["origin"] = dice.choice(ids)
            case 4:
                place["right"] = dice.choice(ids)
            case 5:
                del place["key"]
        return item(content, parent=dice.choice([root] * 9 + [dice.choice(ids)]), **place)


def _text(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


def _any_text(text: str) -> bytes:
    return b"\x77" + _text(text)


def _any_number(number: int) -> bytes:
    return b"\x7b" + pack(">d", number)


def _is(by: str, id: str) -> bool:
    return by == id if by else id.startswith("guest-")


def fresh_book(talk: Talk) -> Book:
    """Return a book that is made of what is stored, all at once."""
    judge = talk.channels.judge(talk.room)
    talk.commit()
    making = Making(trusting(LIMITS), [talk.room.state()], values=False, channels=judge)
    making.put(making.take())
    assert making.book is not None
    return making.book


def contents(book: Book) -> dict[str, Any]:
    """Return all that a book says."""
    return {
        "messages": book.messages(),
        "ids": list(book.ids()),
        "people": book.people(),
        "receipts": book.receipts(),
        "reactions": sorted((each.reaction.key, each.time_ms) for each in book.reactions()),
        "archives": book.archives(),
    } | {root: sorted(book.keys(root)) for root in ROOTS}


def shown(talk: Talk) -> dict[str, Any]:
    """Return the same, as pycrdt shows it."""
    return {
        "ids": sorted(talk.root("chat")),
        "texts": [each["text"] for _, each in sorted(talk.root("chat").items())],
        "receipts": talk.root("chat-receipts"),
        "people": {id: each["status"] for id, each in talk.root("presence").items()},
    } | {root: sorted(talk.root(root)) for root in ROOTS}


def said(book: Book) -> dict[str, Any]:
    """Return what ``shown`` does, by the book."""
    return {
        "ids": list(book.ids()),
        "texts": [each.text for each in book.messages()],
        "receipts": book.receipts(),
        "people": {id: each.status for id, each in book.people().items()},
    } | {root: sorted(book.keys(root)) for root in ROOTS}


@pytest.mark.parametrize("hostile", [False, True])
def test_worlds(hostile: bool) -> None:
    """No rule is broken by what is stored, nobody honest is refused, and the book is right.

    People see what others do late and in any order, go offline, and come back with all of it.
    """
    play(hostile=hostile)


@pytest.mark.parametrize("structs", [1, 3])
@pytest.mark.parametrize("hostile", [False, True])
def test_worlds_where_updates_come_by_portions(hostile: bool, structs: int) -> None:
    """So it is where the parts of an update are decided on one by one."""
    with small_portions(structs):
        play(hostile=hostile)


def play(*, hostile: bool) -> None:
    """Play all worlds."""
    refused = accepted = 0
    for seed in range(WORLDS):
        world = World(seed)
        dice = world.dice
        peers = [world.join(each).sync() for each in PEOPLE]
        offline: set[int] = set()
        for _ in range(60):
            world.clock.advance(0.5)
            turn = dice.randrange(len(peers))
            peer = peers[turn]
            if dice.random() < 0.5 and turn not in offline:
                peer.read()
            if dice.random() < 0.1:
                offline ^= {turn}
                if turn not in offline:
                    before = world.room.state_vector()
                    peer.answers(peer.doc.get_update(before))
                    peer.sync()
            change = world.act(peer)
            if change is not None:
                peer.edits(change, send=turn not in offline)
            if hostile and dice.random() < 0.5:
                eve = world.join(EVE)
                eve.says(world.attack())
                refused += bool(eve.denials) or eve.closed is not None
                accepted += not eve.denials and eve.closed is None
                world.room.detach(eve.connection)
            if dice.random() < 0.05:
                world.serves()
        for turn in offline:
            peers[turn].answers(peers[turn].doc.get_update(world.room.state_vector()))
        world.commit()
        for peer in peers:
            assert (peer.denials, peer.closed) == ([], None), seed
        book = world.book
        assert said(book) == shown(world), seed
        assert contents(book) == contents(fresh_book(world)), seed
    if hostile:
        assert accepted > WORLDS  # some of it does no harm
        assert refused > 5 * WORLDS
