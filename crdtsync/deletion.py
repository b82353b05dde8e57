"""The end of a document on a server: its clients, its room, its log and history, its archives.

Owns the order. Clients are sent away for good, what was on its way is committed, then it goes;
while it goes nobody may come: it would be to what is gone soon, in a room whose checkpoint would
bring it back, and whose edits would go into the next document of that name. A chat's archives go
first.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from crdtsync.audit import Caller, What
from crdtsync.errors import CloseCode, Restarting, Unavailable
from crdtsync.gate import Principal
from crdtsync.recording import event_of

if TYPE_CHECKING:
    from crdtsync.hub import Hub

__all__ = ["Deletions", "delete_document"]

_DELETED: Final = "the document was deleted"


class Deletions:
    """The documents that are being deleted: who opens one would be in what goes, and keep it."""

    def __init__(self) -> None:
        self._going: Counter[str] = Counter()

    def check(self, document: str) -> None:
        """Raise ``Restarting`` where a document may not be opened now."""
        if self._going[document]:
            raise Restarting("the document is being deleted")

    @contextlib.contextmanager
    def of(self, document: str) -> Iterator[None]:
        """Let nobody open a document within the block."""
        self._going[document] += 1
        try:
            yield
        finally:
            self._going[document] -= 1
            if not self._going[document]:
                del self._going[document]


async def delete_document(hub: "Hub", document: str, principal: Principal, caller: Caller) -> bool:
    """Delete a document with its archives; return whether there was one."""
    async with hub.channels.ending(document) as archives:
        for archive in archives:
            await _delete(hub, archive, principal, caller)
        return await _delete(hub, document, principal, caller)


async def _delete(hub: "Hub", document: str, principal: Principal, caller: Caller) -> bool:
    hub.channels.deleted(document)
    room = hub.rooms.get(document)
    if room is not None:
        async with hub.open(document):
            while hub.rooms.get(document) is room:
                room.close_connections(CloseCode.FORBIDDEN, _DELETED)
                if room.uncommitted:
                    with contextlib.suppress(Unavailable):  # it is let go of then
                        await hub.committed(room)
                else:
                    hub.abandon(room, _DELETED)  # at once: nobody comes in between
    with hub.deletions.of(document):
        late = hub.rooms.get(document)
        if late is not None:  # opened in between
            late.close_connections(CloseCode.FORBIDDEN, _DELETED)
            hub.abandon(late, _DELETED)
        deleted = await (hub.history or hub.store).delete(document)
    if deleted:
        hub.audit.record(event_of(principal, What.DELETED, caller, document=document))
    return deleted
