"""Letting a client in: who is it, and what to say where it may not. Used by every transport."""

import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final
from urllib.parse import quote, quote_plus

import anyio

from crdtsync.access.links import PREFIX
from crdtsync.auth import Authenticator, ConnectRequest
from crdtsync.errors import (
    CloseCode,
    CrdtsyncError,
    DocumentQuarantined,
    RemoteError,
    TooManyConnections,
    Unauthenticated,
    Unavailable,
)
from crdtsync.gate import Principal

__all__ = ["AUTHENTICATION_TIMEOUT_S", "TOLD", "admit", "readmission", "refusal"]

log = logging.getLogger("crdtsync.websocket")

AUTHENTICATION_TIMEOUT_S: Final = 30.0
"""How long an authenticator may take."""
MIN_SECRET_CHARACTERS: Final = 4
"""What is shorter is no token, and stands in any text."""
_TOKEN_HEADERS: Final = frozenset(("authorization", "sec-websocket-protocol"))


TOLD: Final = (RemoteError, DocumentQuarantined, TooManyConnections)
"""What a client is told in an auth message, and closed for only a moment later: clients before
y-websocket 3.1 come back at once behind any close, and show nobody its reason."""


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
    except CrdtsyncError as error:
        if _without(request.token, str(error)) == str(error):
            raise
        log.warning("the authenticator repeats a token in the reason of its refusal")
        raise Unauthenticated("that token is not accepted here") from None
    except Exception as error:
        told = "".join(traceback.format_exception(error)).rstrip()
        kept = _without(request.token, told)
        if kept == told:
            log.exception("the authenticator failed")
        else:
            log.error("the authenticator failed, and its error shows a token: %s", kept)
        raise Unavailable("authentication is not possible at the moment") from None


def _without(token: str, text: str) -> str:
    """Return a text without a token that somebody else's code may have put into it.

    Percent-encoded, in a ``repr``, or only one part of a JWT: it is found in each of them.
    """
    pieces = token.removeprefix(PREFIX).split(".")  # a refused share link's reason says "share"
    parts = [token, *(part for part in pieces if len(part) >= MIN_SECRET_CHARACTERS)]
    for part in sorted(parts, key=len, reverse=True):
        for spelling in {part, quote(part), quote(part, safe=""), quote_plus(part), repr(part)}:
            if len(spelling) >= MIN_SECRET_CHARACTERS:
                text = text.replace(spelling, "[token]")
    return text


def readmission(
    authenticator: Authenticator, request: ConnectRequest
) -> Callable[[str], Awaitable[Principal]]:
    """Return what asks the authenticator again, with a fresh token in the first one's place.

    Of the request nothing is kept that may hold the first token.
    """
    headers = {name: value for name, value in request.headers.items() if name not in _TOKEN_HEADERS}
    kept = replace(request, token="", headers=headers)

    async def readmit(token: str) -> Principal:
        return await admit(authenticator, replace(kept, token=token))

    return readmit


def refusal(error: CrdtsyncError) -> tuple[CloseCode, str, str]:
    """Return the close code, the kind for metrics, and the reason that a client may see."""
    if isinstance(error, RemoteError | Unavailable):
        return error.close_code, error.kind, str(error)
    return CloseCode.TRY_AGAIN_LATER, "unavailable", "not available at the moment"
