"""The end of a document on a server: its clients, its room, its log and history, its archives.

Owns the order. Clients are sent away for good, what was on its way is committed, then it goes;
who came meanwhile came to what is gone, and is sent away as well: nobody is left in a room that
nobody looks after, whose edits would go into the next document of that name. A chat's archives go
first.
"""

import contextlib
from typing import TYPE_CHECKING, Final

from crdtsync.audit import Caller, What
from crdtsync.errors import CloseCode, Unavailable
from crdtsync.gate import Principal
from crdtsync.recording import event_of

if TYPE_CHECKING:
    from crdtsync.hub import Hub

__all__ = ["delete_document"]

_DELETED: Final = "the document was deleted"


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
    deleted = await (hub.history or hub.store).delete(document)
    late = hub.rooms.get(document)
    if late is not None:  # opened meanwhile, on what is gone now
        late.close_connections(CloseCode.FORBIDDEN, _DELETED)
        hub.abandon(late, _DELETED)
    if deleted:
        hub.audit.record(event_of(principal, What.DELETED, caller, document=document))
    return deleted
