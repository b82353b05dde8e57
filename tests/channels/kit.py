"""A room with chat and presence, people in it, and an independent word on what it may hold."""

from collections.abc import Mapping
from typing import Any

import pycrdt

from crdtsync.batch import Editor
from crdtsync.channels.book import Book
from crdtsync.channels.model import Message, Person, message_id, read_message
from crdtsync.channels.rules import ChannelRules
from crdtsync.gate import Principal
from crdtsync.limits import Limits
from crdtsync.roles import ADMIN, COMMENT, READ, WRITE, Role
from crdtsync.update import scan
from tests.permissions.kit import LIMITS, Peer, Server

__all__ = [
    "ANN",
    "BOB",
    "EVERYWHERE",
    "GUEST",
    "MOD",
    "Talk",
    "message",
    "person",
]

EVERYWHERE = ChannelRules(chat=("*",), presence=("*",))
ANN = Principal(id="ann", role=WRITE)
BOB = Principal(id="bob", role=COMMENT)
MOD = Principal(id="mod", role=ADMIN)
GUEST = Principal()
NOW_MS = 1_700_000_000_000
"""When the clock of tests begins."""


def message(author: str, text: str = "hello", *, at_ms: int = NOW_MS, **more: Any) -> Message:
    """Return a new message."""
    return Message(id=message_id(at_ms), author=author, text=text, time_ms=at_ms, **more)


def person(id: str, **more: Any) -> Person:
    """Return somebody in presence."""
    return Person(id=id, **more)


class Talk(Server):
    """A room with channels, in which people set keys of roots."""

    def __init__(
        self,
        *,
        channels: ChannelRules = EVERYWHERE,
        limits: Limits = LIMITS,
        name: str = "doc",
        **more: Any,
    ) -> None:
        super().__init__(channels=channels, limits=limits, name=name, **more)

    @property
    def book(self) -> Book:
        """The book, which is made where there is none."""
        self.room.judge.keeper.keep_book(lambda: None)
        found = self.room.judge.keeper.book
        assert found is not None
        return found

    def root(self, name: str = "chat") -> dict[str, Any]:
        """Return what a root holds, as pycrdt shows it."""
        found = self.doc.get(name, type=pycrdt.Map).to_py()
        assert found is not None
        return found

    def edits(self, update: bytes) -> None:
        """Edit as the server's own hand."""
        self.room.submit(update, scan(update, self.limits, structs=True), Editor(Principal()))

    @property
    def limits(self) -> Limits:
        return self.room.limits


def setting(root: str, values: Mapping[str, Any]) -> Any:
    """Return a change of a document: keys of a root are set, ``None`` takes one out."""

    def change(doc: "pycrdt.Doc[Any]") -> None:
        found = doc.get(root, type=pycrdt.Map)
        for key, value in values.items():
            if value is None:
                del found[key]
            else:
                found[key] = value

    return change


def says(peer: Peer, said: Message, thread: str = "") -> bytes:
    """Write a message as somebody."""
    return peer.edits(setting(f"chat/{thread}" if thread else "chat", {said.id: said.value()}))


__all__ += ["COMMENT", "NOW_MS", "READ", "Role", "read_message", "says", "setting"]
