"""What the audit log is told of principals and their connections."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from crdtsync.audit import Caller, Event, What
from crdtsync.gate import Principal

if TYPE_CHECKING:
    from crdtsync.connection import Connection

__all__ = ["event_of", "record"]


def event_of(
    principal: Principal,
    what: What,
    caller: Caller,
    *,
    document: str = "",
    code: int | None = None,
    reason: str = "",
    detail: Mapping[str, str | int] | None = None,
) -> Event:
    """Return the event of what somebody did, or what was done to it."""
    return Event(
        what=what,
        document=document,
        principal=principal.id,
        share=principal.share,
        caller=caller,
        code=code,
        reason=reason,
        detail=detail or {},
    )


def record(
    connection: "Connection",
    what: What,
    *,
    code: int | None = None,
    reason: str = "",
    **detail: str | int,
) -> None:
    """Write something about a connection into its hub's audit log."""
    room = connection.room
    room.engine.audit.record(
        event_of(
            connection.principal,
            what,
            connection.caller,
            document=room.name,
            code=code,
            reason=reason,
            detail=detail,
        )
    )
