"""What can go wrong for a program that is a client, as one tree.

ClientError
 +-- ConnectionLost     the socket is gone, or was never there: the client comes back by itself
 +-- Refused            a final close, with ``code`` and ``reason``: the client stays away
 |    +-- EditsRefused   4409, 4413 or 4422: what was refused is still in the document
 +-- Denied             an edit was not taken, and the connection goes on
 +-- TokenRefused       a fresh token was not taken: the old one stays until it ends
 +-- NotSaved           the client is closed, and nobody has confirmed some edits
 +-- Unusable           the document can't be used here, whoever sends it
 +-- Closed             the client was closed meanwhile
"""

from typing import Final

from crdtsync.errors import CloseCode, CrdtsyncError

__all__ = [
    "ClientError",
    "Closed",
    "ConnectionLost",
    "Denied",
    "EditsRefused",
    "NotSaved",
    "Refused",
    "TokenRefused",
    "Unusable",
    "is_final",
    "refusal",
]

_EDITS: Final = (CloseCode.EDIT_REFUSED, CloseCode.MESSAGE_TOO_LARGE, CloseCode.INVALID_UPDATE)
_FIRST_FINAL, _LAST_FINAL = 4400, 4499


class ClientError(CrdtsyncError):
    """The base of every error of the client."""


class ConnectionLost(ClientError):
    """The connection has ended, or could not be made. ``code`` is 1006 where no close came."""

    def __init__(self, reason: str, *, code: int = 1006) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Refused(ClientError):
    """The server closed with a final code: it would say so again."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the server refused with {code}: {reason or 'no reason given'}")
        self.code = code
        self.reason = reason


class EditsRefused(Refused):
    """The server refused edits that are still in the document, and in its local store.

    They are not sent again: ``discard()`` gives them up, ``retry()`` tries once more.
    """


class Denied(ClientError):
    """The server did not take an edit, said why, and keeps the connection."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the server does not take edits: {reason}")
        self.reason = reason


class TokenRefused(ClientError):
    """A fresh token was not taken."""


class NotSaved(ClientError):
    """The client ends with edits that no server has confirmed and no local store holds."""


class Unusable(ClientError):
    """What came from the server or the local store can't be read, or is beyond the limits."""


class Closed(ClientError):
    """The client was closed while something waited for it."""


def is_final(code: int) -> bool:
    """Return whether a close code says that coming back is of no use."""
    return _FIRST_FINAL <= code <= _LAST_FINAL


def refusal(code: int, reason: str) -> Refused:
    """Return the error for a final close code."""
    return EditsRefused(code, reason) if code in _EDITS else Refused(code, reason)
