"""How many connections each address and each principal has, counted exactly.

Owns two tables of counts. A seat is taken when a client arrives, before it has said who it is,
and left when its socket is gone; a principal's count goes with its place in a document. What a
count refuses gets better when somebody leaves, so its error is not final for a client.

Addresses of this machine are not counted: a proxy that nobody declared as trusted makes all
clients look like that. Neither are principals without an id.
"""

from crdtsync.addresses import is_loopback, neighbourhood
from crdtsync.errors import TooManyConnections
from crdtsync.limits import Limits

__all__ = ["Seat", "Seats"]


class Seat:
    """One connection's place in a count."""

    __slots__ = ("_counts", "_key")

    def __init__(self, counts: dict[str, int], key: str) -> None:
        self._counts = counts
        self._key = key

    def leave(self) -> None:
        """Make room for the next one; idempotent."""
        key, self._key = self._key, ""
        if not key:
            return
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]


class Seats:
    """The counts of one hub."""

    __slots__ = ("_limits", "addresses", "principals")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.addresses: dict[str, int] = {}
        """By address, or network of an IPv6 one: only those that have any."""
        self.principals: dict[str, int] = {}
        """By id."""

    def check(self, everywhere: int, here: int) -> None:
        """Raise ``TooManyConnections`` where the server, or a document, has as many as it may."""
        if everywhere >= self._limits.max_connections:
            raise TooManyConnections("the server has too many connections")
        if here >= self._limits.max_connections_per_document:
            raise TooManyConnections("the document has too many connections")

    def arrive(self, address: str) -> Seat:
        """Count a client that has just come. Raises ``TooManyConnections``."""
        key = "" if is_loopback(address) else neighbourhood(address)
        most = self._limits.max_connections_per_address
        return _seat(self.addresses, key, most, "there are too many connections from your address")

    def sit(self, principal: str) -> Seat:
        """Count a principal that is let in. Raises ``TooManyConnections``."""
        most = self._limits.max_connections_per_principal
        return _seat(self.principals, principal, most, "you have too many connections")


def _seat(counts: dict[str, int], key: str, most: int, reason: str) -> Seat:
    if key:
        count = counts.get(key, 0)
        if count >= most:
            raise TooManyConnections(reason)
        counts[key] = count + 1
    return Seat(counts, key)
