"""How a connection ends that has to go: it is told why, and then closed.

The reason goes out as an auth message too and the close waits a moment behind it: clients before
y-websocket 3.1 would come back at once and never show it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from crdtsync.audit import What
from crdtsync.errors import DocumentQuarantined, RemoteError, close_reason
from crdtsync.protocol import permission_denied_frame
from crdtsync.recording import record

if TYPE_CHECKING:
    from crdtsync.connection import Connection

__all__ = ["part"]


def part(
    connection: "Connection",
    error: RemoteError | DocumentQuarantined,
    delay_s: float | None,
    when_done: Callable[[Callable[[], None]], None] | None,
) -> None:
    """Count an error, tell the client, and close its connection with the error's code.

    ``delay_s`` is how long that waits, if not as the limits say; ``when_done`` gets what closes.
    """
    room = connection.room
    room.stats.rejected[error.kind] += 1
    reason = str(error)
    connection.code = int(error.close_code)
    record(connection, What.REFUSED, code=connection.code, reason=reason, kind=error.kind)
    connection.send(permission_denied_frame(reason))
    connection.closed = True
    room.detach(connection)

    def close() -> None:
        advice = error.advice if isinstance(error, RemoteError) else ""
        connection.link.close(error.close_code, close_reason(advice + reason))

    room.engine.later(
        room.limits.refusal_delay_s if delay_s is None else delay_s,
        close if when_done is None else lambda: when_done(close),
    )
