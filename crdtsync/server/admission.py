"""Letting a client in: who is it, and what to say where it may not. Used by every transport."""

import logging
from typing import Final

import anyio

from crdtsync.auth import Authenticator, ConnectRequest
from crdtsync.errors import CloseCode, CrdtsyncError, RemoteError, Unavailable
from crdtsync.gate import Principal

__all__ = ["AUTHENTICATION_TIMEOUT_S", "admit", "refusal"]

log = logging.getLogger("crdtsync.websocket")

AUTHENTICATION_TIMEOUT_S: Final = 30.0
"""How long an authenticator may take."""


async def admit(authenticator: Authenticator, request: ConnectRequest) -> Principal:
    """Ask the authenticator who a request speaks for.

    Raises what the authenticator raises of crdtsync's errors, and ``Unavailable`` where it
    fails in any other way or takes too long.
    """
    try:
        with anyio.fail_after(AUTHENTICATION_TIMEOUT_S):
            principal = await authenticator.authenticate(request)
            if not isinstance(principal, Principal):
                raise TypeError(f"authenticate returned {type(principal).__name__}, no Principal")
            return principal
    except TimeoutError:
        raise Unavailable("authentication takes too long at the moment") from None
    except CrdtsyncError:
        raise
    except Exception as error:
        log.exception("the authenticator failed")
        raise Unavailable("authentication is not possible at the moment") from error


def refusal(error: CrdtsyncError) -> tuple[CloseCode, str, str]:
    """Return the close code, the kind for metrics, and the reason that a client may see."""
    if isinstance(error, RemoteError | Unavailable):
        return error.close_code, error.kind, str(error)
    return CloseCode.TRY_AGAIN_LATER, "unavailable", "not available at the moment"
