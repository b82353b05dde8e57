"""Every error that crdtsync raises, and what a client is told for each.

Owns the exception tree, the close codes and the one table that joins them::

    CrdtsyncError
     +-- RemoteError                what a client sent or did; closes that one connection
     |    +-- MalformedMessage        4400  the frame is not a y-protocols message
     |    +-- Unauthenticated         4401
     |    +-- Forbidden               4403
     |    |    +-- ForeignOrigin             a web page of another host
     |    +-- EditRefused             4409  a gate refused an edit: start from a fresh document
     |    +-- MessageTooLarge         4413
     |    +-- InvalidDocumentName     4414
     |    +-- UnsupportedData         4415  a text frame
     |    +-- InvalidUpdate           4422  the update is damaged, or of a kind that is refused
     |    +-- TooManyRequests         4429  over a limit that counts
     +-- Unavailable                 1013  this server can't take it now: the client comes back
     |    +-- Restarting              1012
     |    +-- TooManyConnections      1013  over a limit on connections
     |    +-- DocumentQuarantined     4500  nobody gets this document until it is released
     +-- OperatorError              what the operator has to mend: one line, with a hint
          +-- StoreError
          |    +-- StoreLocked
          |    +-- StoreFull
          |    +-- StoreDamaged
          +-- ConfigError

Codes 4400 to 4499 are final for y-websocket 3.1 and later: the client stops. All others make
it come back with its edits.
"""

from enum import IntEnum
from typing import ClassVar

__all__ = [
    "CloseCode",
    "ConfigError",
    "CrdtsyncError",
    "DocumentQuarantined",
    "EditRefused",
    "Forbidden",
    "ForeignOrigin",
    "InvalidDocumentName",
    "InvalidUpdate",
    "MalformedMessage",
    "MessageTooLarge",
    "OperatorError",
    "RemoteError",
    "Restarting",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "TooManyConnections",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnsupportedData",
    "close_reason",
]

MAX_CLOSE_REASON_BYTES = 123
"""What a WebSocket close frame holds beside its code (RFC 6455, 5.5)."""


class CloseCode(IntEnum):
    """WebSocket close codes that crdtsync sends (RFC 6455, 7.4.1, and its own from 4400 on)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    MALFORMED_MESSAGE = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    EDIT_REFUSED = 4409
    MESSAGE_TOO_LARGE = 4413
    INVALID_DOCUMENT_NAME = 4414
    UNSUPPORTED_DATA = 4415
    INVALID_UPDATE = 4422
    TOO_MANY_REQUESTS = 4429
    DOCUMENT_QUARANTINED = 4500


class CrdtsyncError(Exception):
    """The base of every error that crdtsync raises."""


class RemoteError(CrdtsyncError):
    """Something that a client sent or did. Closes its connection and touches nothing else.

    ``kind`` is a short stable word for metrics and logs, ``str(error)`` the reason that the
    client sees. A reason never repeats what the client sent.
    """

    close_code: ClassVar[CloseCode] = CloseCode.MALFORMED_MESSAGE
    http_status: ClassVar[int] = 400
    advice: ClassVar[str] = ""
    """What a client has to do about it: the beginning of the close frame's reason."""
    kind: str = "malformed-message"

    def __init__(self, reason: str, *, kind: str | None = None) -> None:
        super().__init__(reason)
        if kind is not None:
            self.kind = kind


class MalformedMessage(RemoteError):
    """The frame is not a message of the sync, awareness or auth protocol."""


class Unauthenticated(RemoteError):
    """The client did not say, or could not prove, who it is."""

    close_code = CloseCode.UNAUTHENTICATED
    http_status = 401
    kind = "unauthenticated"


class Forbidden(RemoteError):
    """The client may not do this."""

    close_code = CloseCode.FORBIDDEN
    http_status = 403
    kind = "forbidden"


class EditRefused(RemoteError):
    """The client wrote what it may not, and all that it writes from now on builds on that.

    Not ``Forbidden``: it may come back, with a fresh document.
    """

    close_code = CloseCode.EDIT_REFUSED
    http_status = 403
    advice = "start from a fresh document: "
    kind = "edit-refused"


class MessageTooLarge(RemoteError):
    """A message is over the size limit."""

    close_code = CloseCode.MESSAGE_TOO_LARGE
    http_status = 413
    kind = "message-too-large"


class InvalidDocumentName(RemoteError):
    """A document name is empty, too long, or not UTF-8."""

    close_code = CloseCode.INVALID_DOCUMENT_NAME
    http_status = 400
    kind = "invalid-document-name"


class UnsupportedData(RemoteError):
    """A text frame: the protocol has binary ones only."""

    close_code = CloseCode.UNSUPPORTED_DATA
    http_status = 415
    kind = "unsupported-data"


class InvalidUpdate(RemoteError):
    """An update is damaged, or holds something that no Yjs client writes."""

    close_code = CloseCode.INVALID_UPDATE
    http_status = 422
    kind = "invalid-update"


class TooManyRequests(RemoteError):
    """A counted limit is reached."""

    close_code = CloseCode.TOO_MANY_REQUESTS
    http_status = 429
    kind = "too-many-requests"


class Unavailable(CrdtsyncError):
    """The server can't take this now. Nothing is lost: the client holds its edits and returns."""

    close_code: ClassVar[CloseCode] = CloseCode.TRY_AGAIN_LATER
    http_status: ClassVar[int] = 503
    kind: ClassVar[str] = "unavailable"


class Restarting(Unavailable):
    """The server is shutting down or restarting."""

    close_code = CloseCode.SERVICE_RESTART
    kind = "restarting"


class TooManyConnections(Unavailable):
    """An address, a principal, a document or the server has as many connections as it may.

    Not a final code: there is room again when somebody leaves.
    """

    kind = "too-many-connections"


class ForeignOrigin(Forbidden):
    """A web page of an origin that is not allowed here sent the request."""

    kind = "foreign-origin"

    def __init__(self) -> None:
        super().__init__("pages of this origin may not connect: see the option allowed_origins")


class DocumentQuarantined(Unavailable):
    """The server died over this document more than once, and does not touch it any more.

    Not a final code: the client keeps its edits, and brings them when it is released.
    """

    close_code = CloseCode.DOCUMENT_QUARANTINED
    http_status = 423
    kind = "quarantined"


class OperatorError(CrdtsyncError):
    """Something only the operator can mend: says what happened, to what, and what to do.

    ``hint`` is one imperative sentence, shown after the message by the CLI.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:  # for who sees a traceback: in a program of one's own, or of an ASGI server
            self.add_note(hint)


class ConfigError(OperatorError):
    """An option, a variable or a configuration file is wrong."""


class StoreError(OperatorError):
    """The store failed: the operation did not happen."""


class StoreLocked(StoreError):
    """Another process owns the store."""


class StoreFull(StoreError):
    """There is no room left on the device."""


class StoreDamaged(StoreError):
    """Stored bytes are not what was written. ``document`` and ``sequence`` say where."""

    def __init__(
        self, message: str, *, document: str = "", sequence: int = 0, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.document = document
        self.sequence = sequence


def close_reason(text: str) -> str:
    """Cut a reason to what a close frame holds: 123 bytes of UTF-8, on a character's border."""
    raw = text.encode()
    if len(raw) <= MAX_CLOSE_REASON_BYTES:
        return text
    return raw[: MAX_CLOSE_REASON_BYTES - 3].decode(errors="ignore") + "..."
