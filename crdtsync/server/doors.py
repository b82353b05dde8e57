"""What is asked of every request before anybody asks who it is: its origin, and where it is from.

One object for both WebSocket transports, REST and the page at ``/``, so that all mean the same
address, and refuse the same pages.
"""

import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from crdtsync.audit import NOBODY, Caller, Event, What
from crdtsync.auth import Authenticator, ConnectRequest
from crdtsync.config import Config
from crdtsync.errors import ConfigError, CrdtsyncError, ForeignOrigin
from crdtsync.forwarded import Proxies, Seen
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.origins import Origins
from crdtsync.recording import event_of
from crdtsync.server.admission import admit, refusal
from crdtsync.server.bodies import Lingering
from crdtsync.server.problems import problem
from crdtsync.server.request import (
    CALLER,
    PATIENCE,
    below,
    fold,
    is_secure,
    peer_address,
    scope_request,
)
from crdtsync.turns import ASKING

__all__ = [
    "SAFE_METHODS",
    "Doors",
    "HttpDoor",
    "admit_request",
    "caller_of",
    "count_refusal",
    "doors_of",
    "record_admin",
]

SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")
"""What changes nothing (RFC 9110, 9.2.1): any page may send it, and read no answer."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:+/=@-]{1,64}")


@dataclass(frozen=True, slots=True)
class Doors:
    """The allow-list of origins, and the proxies that are believed."""

    origins: Origins = field(default_factory=Origins)
    proxies: Proxies = field(default_factory=Proxies)

    def arrive(self, request: ConnectRequest, *, secure: bool) -> tuple[ConnectRequest, Seen]:
        """Return a request with the client's own address and an id, and how the client made it.

        ``request.address`` is the peer's: the client's, or a proxy's. The id is the one that a
        trusted proxy gave it, or a new one.
        """
        headers = request.headers
        seen = self.proxies.seen(headers, peer=request.address, secure=secure)
        request_id = headers.get("x-request-id", "")
        if not self.proxies.trusts(request.address) or not _REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(8)
        return replace(request, address=seen.address, request_id=request_id), seen

    def check_origin(self, request: ConnectRequest, seen: Seen) -> None:
        """Raise ``ForeignOrigin`` where a request comes from a page that may not send it."""
        if not self.origins.allows(request.headers.get("origin", ""), host=seen.host):
            raise ForeignOrigin

    def seen(self, scope: Scope) -> Seen:
        """Return how the client itself made a request."""
        said = _said(scope)
        return self.proxies.seen(said.headers, peer=said.address, secure=is_secure(scope))


def doors_of(config: Config) -> Doors:
    """Return the doors of a configuration. Raises ``ConfigError``."""
    try:
        origins = Origins(config.allowed_origins)
    except ValueError as error:
        raise ConfigError(f"allowed_origins: an entry {error}") from None
    try:
        return Doors(origins, Proxies(config.trusted_proxies, config.forwarded_header))
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: an entry {error}") from None


class HttpDoor:
    """Meets every HTTP request first: whose page sent it, and where is it from?

    So no route is forgotten. What the routes read of a request has the client's own address.
    """

    def __init__(self, app: ASGIApp, *, hub: Hub, doors: Doors) -> None:
        self._app = app
        self._hub = hub
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = _said(scope)
        if "transfer-encoding" in said.headers and "content-length" in said.headers:
            # Where it ends is a matter of opinion: of a proxy's and of ours (RFC 9112, 6.1).
            answer = problem(
                400,
                "The request has both Content-Length and Transfer-Encoding.",
                code="invalid-request",
                headers={"Connection": "close"},
            )
            await answer(scope, receive, send)
            return
        if scope["method"] not in SAFE_METHODS:
            request = Lingering(receive, send)
            receive, send = request.receive, request.send
        asked, seen = self._doors.arrive(said, secure=is_secure(scope))
        try:
            if scope["method"] not in SAFE_METHODS:
                self._doors.check_origin(asked, seen)
        except ForeignOrigin as error:
            count_refusal(self._hub, error, asked)
            answer = problem(error.http_status, str(error), code=error.kind)
            await answer(scope, receive, send)
            return
        caller = Caller(address=asked.address, request_id=asked.request_id)
        limits = self._hub.limits
        more = {CALLER: caller, PATIENCE: limits.request_timeout_s}
        await self._app({**below(scope, seen.prefix), **more}, receive, send)


def _said(scope: Scope) -> ConnectRequest:
    """Return the headers of an HTTP request, and its peer; not what they mean."""
    headers = fold(scope["headers"])
    return ConnectRequest(document="", headers=headers, address=peer_address(scope))


async def admit_request(
    hub: Hub, authenticator: Authenticator, request: Request, document: str
) -> Principal:
    """Ask the authenticator who an HTTP request speaks for; a refusal is counted, too.

    Raises as ``admit``.
    """
    asked = ConnectRequest(document=document)
    try:
        asked = scope_request(request.scope, document)
        principal = await admit(authenticator, asked)
        ASKING.set(principal.id or asked.address)
        return principal
    except CrdtsyncError as error:
        count_refusal(hub, error, asked)
        raise


def caller_of(request: Request) -> Caller:
    """Return where an HTTP request comes from."""
    caller: Caller = request.scope.get(CALLER, NOBODY)
    return caller


def record_admin(
    hub: Hub,
    request: Request,
    admin: Principal,
    action: str,
    document: str = "",
    **detail: str | int,
) -> None:
    """Write into the audit log what somebody has administered by an HTTP request."""
    detail = {"action": action, **detail}
    caller = caller_of(request)
    hub.audit.record(event_of(admin, What.ADMIN, caller, document=document, detail=detail))


def count_refusal(hub: Hub, error: CrdtsyncError, request: ConnectRequest) -> tuple[int, str]:
    """Count and record that somebody is not let in; return the close code and the reason."""
    code, kind, reason = refusal(error)
    hub.stats.rejected[kind] += 1
    hub.audit.record(
        Event(
            what=What.REFUSED,
            document=request.document,
            caller=Caller(address=request.address, request_id=request.request_id),
            code=int(code),
            reason=reason,
            detail={"kind": kind},
        )
    )
    return int(code), reason
