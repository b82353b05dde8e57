"""What the audit log is told of a connection."""

from typing import TYPE_CHECKING

from crdtsync.audit import Event, What

if TYPE_CHECKING:
    from crdtsync.connection import Connection

__all__ = ["record"]


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
