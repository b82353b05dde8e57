"""Who may do what: the decision on each update, before it is stored or relayed."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from crdtsync.roles import Grants, Role
from crdtsync.structs import Scan

__all__ = ["ALLOW", "Allow", "Decision", "Deny", "Gate", "Principal", "ReadWriteGate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a connection speaks for. The default is an anonymous writer."""

    id: str = ""
    """Stable and unique; recorded as the author. Empty for anonymous."""
    name: str = ""
    """For people to read."""
    read_only: bool = False
    """May follow, may be present, may not edit."""
    role: Role | None = None
    """What it may do in the document that it connects to; ``None``: write everywhere, unless it
    is read-only."""
    expires_s: float | None = None
    """When the proof of who it is ends, in seconds since 1970; ``None``: never."""
    grants: Grants | None = None
    """Which role it has in which documents: for requests that concern none. ``None``: it may
    see all of them."""
    share: str = ""
    """The id of the share link that it came by; empty for any other way."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Whatever a custom ``authenticate`` wants its gate and hooks to see."""


@dataclass(frozen=True, slots=True)
class Allow:
    """The update may enter."""


@dataclass(frozen=True, slots=True)
class Deny:
    """The update may not enter; the reason is shown to its author."""

    reason: str


Decision = Allow | Deny
ALLOW = Allow()


class Gate(Protocol):
    """Decides on updates. Called for each one, so it has to be quick, and must not await."""

    def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
        """Return ``Allow()`` or ``Deny(reason)`` for this principal's update."""
        ...


class ReadWriteGate:
    """The default: everyone but a read-only principal may write."""

    def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
        if principal.read_only or (principal.role is not None and principal.role.reads_only):
            return Deny("this document is read-only for you")
        return ALLOW
