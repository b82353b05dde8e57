"""crdtsync: a Yjs sync server that is durable before visible, and the library to build your own.

The public names, each from the module that owns it. They are looked up on first use, so that
``import crdtsync`` costs nothing and a program loads only the layers that it works with.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crdtsync.access.service import Access
    from crdtsync.auth import Authenticator, ConnectRequest, OpenAuthenticator
    from crdtsync.authoring.keeping import StoredAnswers
    from crdtsync.authoring.model import (
        AuthoringError,
        ConditionFailed,
        Edited,
        InvalidOperation,
        KeyBusy,
        KeyReused,
        NotEditable,
        NothingToCreate,
    )
    from crdtsync.authoring.service import Content, Documents
    from crdtsync.channels.asking import RoomPresence
    from crdtsync.channels.chat import Chat
    from crdtsync.channels.keeping import PersonHere, RoomInfo
    from crdtsync.channels.model import Message, Person
    from crdtsync.channels.names import direct_name
    from crdtsync.channels.presence import Sighting
    from crdtsync.channels.rules import ChannelRules
    from crdtsync.channels.saying import (
        InvalidMessage,
        MessageArchived,
        NoChat,
        Said,
        UnknownMessage,
    )
    from crdtsync.channels.service import Channels
    from crdtsync.clock import Clock, ManualClock, SystemClock
    from crdtsync.config import Config
    from crdtsync.connection import Connection, Link
    from crdtsync.content import RootExport
    from crdtsync.documents.model import DocumentExists, DocumentNotFound
    from crdtsync.edit import Act, Edit, Touch
    from crdtsync.engine import Change
    from crdtsync.errors import (
        CloseCode,
        ConfigError,
        CrdtsyncError,
        DocumentQuarantined,
        EditRefused,
        Forbidden,
        ForeignOrigin,
        InvalidDocumentName,
        InvalidUpdate,
        MalformedMessage,
        MessageTooLarge,
        OperatorError,
        RemoteError,
        Restarting,
        StoreDamaged,
        StoreError,
        StoreFull,
        StoreLocked,
        TooManyConnections,
        TooManyRequests,
        Unauthenticated,
        Unavailable,
        UnsupportedData,
    )
    from crdtsync.gate import Allow, ContentGate, Decision, Deny, Gate, Principal, RoleGate
    from crdtsync.guard import Guard, Quarantined
    from crdtsync.guarding import DocumentGuard
    from crdtsync.history.database import HistoryDatabase
    from crdtsync.history.model import (
        HistoryDamaged,
        HistoryError,
        HistoryOff,
        HistoryUnavailable,
        NotRestorable,
        UnknownDocument,
        UnknownMoment,
        UnknownRoot,
        Version,
        WrongKind,
    )
    from crdtsync.history.retention import HistoryRules, Retention
    from crdtsync.history.service import Histories
    from crdtsync.hub import Hub
    from crdtsync.identity import CallableAuthenticator, JWTAuthenticator
    from crdtsync.limits import Limits
    from crdtsync.refused.base import Quarantine
    from crdtsync.refused.keeping import RefusedUpdates
    from crdtsync.roles import Grants, Role, Rule
    from crdtsync.room import Room
    from crdtsync.server.asgi import create_app
    from crdtsync.server.serve import Listening, run, serve
    from crdtsync.store import FileStore, MemoryStore, SQLiteStore, open_store
    from crdtsync.store.base import (
        Checkpoint,
        Damage,
        DocumentInfo,
        Durability,
        Finding,
        Loaded,
        Record,
        Store,
    )
    from crdtsync.structs import Scan
    from crdtsync.supervisor import Supervised, supervise

    __version__: str

__all__ = [
    "Access",
    "Act",
    "Allow",
    "Authenticator",
    "AuthoringError",
    "CallableAuthenticator",
    "Change",
    "ChannelRules",
    "Channels",
    "Chat",
    "Checkpoint",
    "Clock",
    "CloseCode",
    "ConditionFailed",
    "Config",
    "ConfigError",
    "ConnectRequest",
    "Connection",
    "Content",
    "ContentGate",
    "CrdtsyncError",
    "Damage",
    "Decision",
    "Deny",
    "DocumentExists",
    "DocumentGuard",
    "DocumentInfo",
    "DocumentNotFound",
    "DocumentQuarantined",
    "Documents",
    "Durability",
    "Edit",
    "EditRefused",
    "Edited",
    "FileStore",
    "Finding",
    "Forbidden",
    "ForeignOrigin",
    "Gate",
    "Grants",
    "Guard",
    "Histories",
    "HistoryDamaged",
    "HistoryDatabase",
    "HistoryError",
    "HistoryOff",
    "HistoryRules",
    "HistoryUnavailable",
    "Hub",
    "InvalidDocumentName",
    "InvalidMessage",
    "InvalidOperation",
    "InvalidUpdate",
    "JWTAuthenticator",
    "KeyBusy",
    "KeyReused",
    "Limits",
    "Link",
    "Listening",
    "Loaded",
    "MalformedMessage",
    "ManualClock",
    "MemoryStore",
    "Message",
    "MessageArchived",
    "MessageTooLarge",
    "NoChat",
    "NotEditable",
    "NotRestorable",
    "NothingToCreate",
    "OpenAuthenticator",
    "OperatorError",
    "Person",
    "PersonHere",
    "Principal",
    "Quarantine",
    "Quarantined",
    "Record",
    "RefusedUpdates",
    "RemoteError",
    "Restarting",
    "Retention",
    "Role",
    "RoleGate",
    "Room",
    "RoomInfo",
    "RoomPresence",
    "RootExport",
    "Rule",
    "SQLiteStore",
    "Said",
    "Scan",
    "Sighting",
    "Store",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoredAnswers",
    "Supervised",
    "SystemClock",
    "TooManyConnections",
    "TooManyRequests",
    "Touch",
    "Unauthenticated",
    "Unavailable",
    "UnknownDocument",
    "UnknownMessage",
    "UnknownMoment",
    "UnknownRoot",
    "UnsupportedData",
    "Version",
    "WrongKind",
    "__version__",
    "create_app",
    "direct_name",
    "open_store",
    "run",
    "serve",
    "supervise",
]

_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "access.service": ("Access",),
    "auth": ("Authenticator", "ConnectRequest", "OpenAuthenticator"),
    "authoring.keeping": ("StoredAnswers",),
    "authoring.model": (
        "AuthoringError",
        "ConditionFailed",
        "Edited",
        "InvalidOperation",
        "KeyBusy",
        "KeyReused",
        "NotEditable",
        "NothingToCreate",
    ),
    "authoring.service": ("Content", "Documents"),
    "channels.asking": ("RoomPresence",),
    "channels.chat": ("Chat",),
    "channels.keeping": ("PersonHere", "RoomInfo"),
    "channels.model": ("Message", "Person"),
    "channels.names": ("direct_name",),
    "channels.presence": ("Sighting",),
    "channels.rules": ("ChannelRules",),
    "channels.saying": (
        "InvalidMessage",
        "MessageArchived",
        "NoChat",
        "Said",
        "UnknownMessage",
    ),
    "channels.service": ("Channels",),
    "clock": ("Clock", "ManualClock", "SystemClock"),
    "config": ("Config",),
    "connection": ("Connection", "Link"),
    "content": ("RootExport",),
    "documents.model": ("DocumentExists", "DocumentNotFound"),
    "edit": ("Act", "Edit", "Touch"),
    "gate": ("Allow", "ContentGate", "Decision", "Deny", "Gate", "Principal", "RoleGate"),
    "guard": ("Guard", "Quarantined"),
    "guarding": ("DocumentGuard",),
    "history.database": ("HistoryDatabase",),
    "history.model": (
        "HistoryDamaged",
        "HistoryError",
        "HistoryOff",
        "HistoryUnavailable",
        "NotRestorable",
        "UnknownDocument",
        "UnknownMoment",
        "UnknownRoot",
        "Version",
        "WrongKind",
    ),
    "history.retention": ("HistoryRules", "Retention"),
    "history.service": ("Histories",),
    "hub": ("Hub",),
    "identity": ("CallableAuthenticator", "JWTAuthenticator"),
    "limits": ("Limits",),
    "refused.base": ("Quarantine",),
    "refused.keeping": ("RefusedUpdates",),
    "engine": ("Change",),
    "roles": ("Grants", "Role", "Rule"),
    "room": ("Room",),
    "server.asgi": ("create_app",),
    "server.serve": ("Listening", "run", "serve"),
    "store": ("FileStore", "MemoryStore", "SQLiteStore", "open_store"),
    "store.base": (
        "Checkpoint",
        "Damage",
        "DocumentInfo",
        "Durability",
        "Finding",
        "Loaded",
        "Record",
        "Store",
    ),
    "structs": ("Scan",),
    "supervisor": ("Supervised", "supervise"),
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("crdtsync")
    except PackageNotFoundError:  # run from a bare folder
        return "0"


if not TYPE_CHECKING:  # for a type checker every other name is a mistake

    def __getattr__(name: str) -> Any:
        """Import a public name from its module, once."""
        if name == "__version__":
            value = _version()
        elif name in __all__:
            from importlib import import_module

            # The errors are all the names that no other module has.
            value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the public names, loaded or not."""
        return sorted({*globals(), *__all__})
