"""A client on its way in, the same for every transport: from its request to its connection.

Owns the order of the steps, and what is known of the client so far, for whoever has to say why
it does not get in. Refuses to know sockets: a transport hands in what the client said.
"""

from dataclasses import replace

from crdtsync.audit import Caller
from crdtsync.auth import Authenticator, ConnectRequest
from crdtsync.connection import Connection
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.link import Link
from crdtsync.protocol import document_name
from crdtsync.seats import Seat
from crdtsync.server.admission import admit, readmission
from crdtsync.server.doors import Doors

__all__ = ["Visit"]


class Visit:
    """One client: ``arrive``, then ``admit``, then ``connect``. Each raises ``CrdtsyncError``."""

    def __init__(
        self, hub: Hub, authenticator: Authenticator, doors: Doors, *, address: str
    ) -> None:
        """``address`` is the peer's: the client's, or a proxy's."""
        self.asked = ConnectRequest(document="", address=address)
        """What is known of the client; its token as well."""
        self._hub = hub
        self._authenticator = authenticator
        self._doors = doors

    def arrive(self, said: ConnectRequest, *, secure: bool) -> Seat:
        """Take a seat, which the transport gives back when the socket is gone."""
        self.asked, seen = self._doors.arrive(said, secure=secure)
        self._doors.check_origin(self.asked, seen)
        return self._hub.seats.arrive(self.asked.address)

    async def admit(self, path: bytes) -> Principal:
        """Find out who it is, for the document that an encoded path names."""
        name = document_name(path, max_bytes=self._hub.limits.max_document_name_bytes)
        self.asked = replace(self.asked, document=name)
        return await admit(self._authenticator, self.asked)

    def connect(self, link: Link, principal: Principal) -> Connection:
        """Let it into its document."""
        hub, asked = self._hub, self.asked
        connection = hub.connect(
            link,
            asked.document,
            principal,
            acknowledge=asked.params.get("ack") == "1",
            caller=Caller(address=asked.address, request_id=asked.request_id),
        )
        hub.sessions.renewable(connection, readmission(self._authenticator, asked))
        return connection
