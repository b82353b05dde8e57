"""Chat and presence of one hub: what the server itself does for them.

Owns which documents have channels, and hands on what happens in their rooms. In all others, and
where no rules say anything, none of this costs more than a look at a name.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from crdtsync.channels.rules import ChannelRules

if TYPE_CHECKING:
    from crdtsync.connection import Connection
    from crdtsync.gate import Principal
    from crdtsync.hub import Hub
    from crdtsync.room import Room

__all__ = ["Channels"]


class Channels:
    """The channels of one hub, which says so itself: ``hub.channels``."""

    def __init__(self, rules: ChannelRules) -> None:
        self.rules = rules
        self.active = bool(rules.chat or rules.presence)
        """Whether there are channels anywhere."""
        self.hub: Hub | None = None

    # What the hub tells

    def opened(self, room: "Room") -> None:
        """Take note of a room that has been loaded."""

    def came(self, connection: "Connection") -> None:
        """Take note of somebody who connects; the room may not be loaded yet."""

    def became(self, connection: "Connection", before: "Principal") -> None:
        """Take note that a connection speaks for its principal in another way."""

    def went(self, connection: "Connection") -> None:
        """Take note of a connection that is gone."""

    def committed(self, rooms: Iterable["Room"]) -> None:
        """Take note of rooms in which something was committed."""

    async def run(self) -> None:
        """Do what is to be done now and then, for as long as the hub is open."""

    async def finish(self) -> None:
        """Write down that nobody is connected any more: the server ends."""
