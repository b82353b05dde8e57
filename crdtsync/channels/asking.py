"""What programs ask of one document's presence."""

from typing import TYPE_CHECKING

from crdtsync.channels.presence import PresenceKeeping, RoomInfo

if TYPE_CHECKING:
    from crdtsync.hub import Hub

__all__ = ["RoomPresence"]


class RoomPresence:
    """Presence in one document: ``hub.channels.presence(document)``."""

    def __init__(self, hub: "Hub", keeping: PresenceKeeping, document: str) -> None:
        self._hub = hub
        self._keeping = keeping
        self._document = document

    async def info(self) -> RoomInfo:
        """Return who is there, and who was.

        Raises ``LookupError`` where the server keeps no presence in the document, and what
        ``Hub.open`` raises.
        """
        hub = self._hub
        if hub.channels.rules.present(self._document):
            async with hub.open(self._document):
                kept = self._keeping.room(self._document)
                if kept is not None:
                    return kept.info()
        raise LookupError(f"no presence is kept in document {self._document!r}")
