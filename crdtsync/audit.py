"""What is worth remembering of who did what: the events of an audit log, and who takes them.

Owns the words. An event names a document, a principal and an address, and never holds a token or
anything of a document's content. Writing it down is ``audit_log``'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

__all__ = ["NOBODY", "NO_AUDIT", "Audit", "Caller", "Event", "NoAudit", "What"]


class What(StrEnum):
    """What happened."""

    CONNECT = "connect"
    """Somebody was let into a document."""
    DISCONNECT = "disconnect"
    """That connection ended; ``code`` is its close code, 1006 where it broke."""
    REFUSED = "refused"
    """Somebody was not let in, or sent away for what it did; ``detail`` has the kind."""
    DENIED = "denied"
    """An edit was not taken, and its connection goes on."""
    ROLE_CHANGED = "role-changed"
    """The role of a principal changed while it was connected, or its grants did."""
    RESTORED = "restored"
    """An older state of a document was put back."""
    DELETED = "deleted"
    """A document was deleted."""
    ADMIN = "admin"
    """Anything else that concerns the server: shares, revocations, the quarantine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Where a connection or a request comes from."""

    address: str = ""
    request_id: str = ""


NOBODY = Caller()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the audit log; its time is when it is recorded."""

    what: What
    document: str = ""
    principal: str = ""
    """The principal's id; empty for anonymous."""
    share: str = ""
    caller: Caller = NOBODY
    code: int | None = None
    reason: str = ""
    """Ours, never a client's words."""
    detail: Mapping[str, str | int | bool | None] = field(default_factory=dict)
    """What else there is to say; keys and values of our own."""


class Audit(Protocol):
    """Takes events. ``record`` is called on the event loop: it must neither wait nor raise."""

    @property
    def lost(self) -> int:
        """How many events could not be written."""
        ...

    def open(self) -> None:
        """Begin. Raises ``OperatorError`` where it can't."""
        ...

    def close(self) -> None:
        """Write what waits, and end."""
        ...

    def record(self, event: Event) -> None:
        """Take an event."""
        ...


class NoAudit:
    """Remembers nothing."""

    lost = 0

    def open(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def record(self, event: Event) -> None:
        """Forget the event."""


NO_AUDIT: Audit = NoAudit()
