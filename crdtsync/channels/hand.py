"""The server's own hand: what it writes to channels itself, and how it takes messages out.

Owns that a room's book tells a message that went to an archive from one that somebody deleted.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from crdtsync.batch import Editor
from crdtsync.channels.shelf import chat_root
from crdtsync.gate import Principal
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.room import Room

__all__ = ["submit", "take_out"]

SERVER: Final = Principal()


def submit(room: "Room", update: bytes, principal: Principal = SERVER) -> None:
    """Submit an update that was made of what the room knows at this moment."""
    if update != EMPTY_UPDATE:
        found = scan(update, room.limits, structs=room.document.detailed)
        room.submit(update, found, Editor(principal))


def take_out(room: "Room", thread: str, archived: Iterable[str], update: bytes) -> None:
    """Submit what takes messages out of a chat.

    Those that are ``archived`` stay known, while the room has a book, for what somebody wrote to
    them before he knew.
    """
    book, root = room.judge.keeper.book, chat_root(thread)
    leaving = {} if book is None else book.leaving(root, archived)
    submit(room, update)
    if book is not None:
        book.file(root, leaving)
