"""A client for Python programs: ``async with connect(url) as document``.

Works with crdtsync and with every other y-websocket server, on asyncio and trio. The public
names, each from the module that owns it.
"""

from crdtsync.channels.model import Message, Person
from crdtsync.client.awareness import Awareness, AwarenessChange
from crdtsync.client.chat import Chat
from crdtsync.client.connecting import Connecting, connect
from crdtsync.client.document import Document
from crdtsync.client.errors import (
    ClientError,
    Closed,
    ConnectionLost,
    Denied,
    EditsRefused,
    NotSaved,
    Refused,
    TokenRefused,
    Unusable,
)
from crdtsync.client.options import Backoff, Options
from crdtsync.client.people import Presence
from crdtsync.client.replica import ORIGIN
from crdtsync.client.status import Status
from crdtsync.client.sync import SyncDocument, connect_sync
from crdtsync.client.tokens import Token

__all__ = [
    "ORIGIN",
    "Awareness",
    "AwarenessChange",
    "Backoff",
    "Chat",
    "ClientError",
    "Closed",
    "Connecting",
    "ConnectionLost",
    "Denied",
    "Document",
    "EditsRefused",
    "Message",
    "NotSaved",
    "Options",
    "Person",
    "Presence",
    "Refused",
    "Status",
    "SyncDocument",
    "Token",
    "TokenRefused",
    "Unusable",
    "connect",
    "connect_sync",
]
