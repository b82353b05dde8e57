"""What the audit log is told of connections, and of a document's end."""

from typing import TYPE_CHECKING

from crdtsync.audit import Audit, Caller, Event, What
from crdtsync.gate import Principal

if TYPE_CHECKING:
    from crdtsync.connection import Connection

__all__ = ["record", "record_deletion"]


def record(
    connection: "Connection",
    what: What,
    *,
    code: int | None = None,
    reason: str = "",
    **detail: str | int,
) -> None:
    """Write something about a connection into its hub's audit log."""
    principal = connection.principal
    connection.room.engine.audit.record(
        Event(
            what=what,
            document=connection.room.name,
            principal=principal.id,
            share=principal.share,
            caller=connection.caller,
            code=code,
            reason=reason,
            detail=detail,
        )
    )


def record_deletion(audit: Audit, document: str, principal: Principal, caller: Caller) -> None:
    """Write into an audit log who deleted a document."""
    audit.record(
        Event(
            what=What.DELETED,
            document=document,
            principal=principal.id,
            share=principal.share,
            caller=caller,
        )
    )
