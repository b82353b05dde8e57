"""The server's own hand: what it writes to channels itself."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from crdtsync.batch import Editor
from crdtsync.channels.book import Draft
from crdtsync.gate import Principal
from crdtsync.joining import write_deletes
from crdtsync.structs import EMPTY_UPDATE
from crdtsync.update import scan

if TYPE_CHECKING:
    from crdtsync.room import Room

__all__ = ["put_right", "submit"]

SERVER: Final = Principal()


def submit(room: "Room", update: bytes, principal: Principal = SERVER) -> None:
    """Submit an update that was made of what the room knows at this moment."""
    if update != EMPTY_UPDATE:
        found = scan(update, room.limits, structs=room.document.detailed)
        room.submit(update, found, Editor(principal))


def put_right(room: "Room", drafts: Sequence[Draft]) -> None:
    """Do what is to be done beside what was let in, in the same commit.

    What came back after it was deleted is deleted again, and a deletion that came behind something
    else is said once more.
    """
    submit(room, b"\x00" + write_deletes(each for draft in drafts for each in draft.amends))
    restated = [each for draft in drafts for each in draft.restated]
    shelf = room.engine.channels.shelf(room) if restated else None
    if shelf is not None:
        sets = [(root, key, message.value()) for root, key, message in restated]
        submit(room, shelf.writer.update(sets))
