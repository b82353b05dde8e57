"""The ASGI application: documents over WebSocket, everything else over HTTP.

A WebSocket always means a document, whatever its path; plain HTTP never does. So a document
may be called ``metrics`` or ``health/live`` and gets in nobody's way.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import URLPath
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import Receive, Scope, Send

from crdtsync.access.authenticator import ShareAuthenticator
from crdtsync.access.service import Access
from crdtsync.auth import Authenticator, OpenAuthenticator
from crdtsync.channels.members import MembersAuthenticator, guard_members
from crdtsync.hub import Hub
from crdtsync.metrics import Metrics, package_version
from crdtsync.roles import BUILT_IN, Role
from crdtsync.server import (
    openapi_access,
    openapi_chat,
    openapi_history,
    openapi_presence,
    openapi_quarantine,
    openapi_tokens,
)
from crdtsync.server.doors import Doors, HttpDoor
from crdtsync.server.health import MAX_LOOP_LAG_S, Health
from crdtsync.server.history_page import history_page_routes
from crdtsync.server.openapi import Json, describe
from crdtsync.server.page import Page
from crdtsync.server.parameters import API
from crdtsync.server.permits import Permits
from crdtsync.server.problems import exception_handlers
from crdtsync.server.rest import DOCUMENTS, QUARANTINED, Rest
from crdtsync.server.rest_access import access_routes
from crdtsync.server.rest_chat import RestChat
from crdtsync.server.rest_history import RestHistory
from crdtsync.server.rest_presence import presence_routes
from crdtsync.server.rest_quarantine import RestQuarantine
from crdtsync.server.rest_retention import RestRetention
from crdtsync.server.rest_tokens import token_routes
from crdtsync.server.rest_versions import RestVersions
from crdtsync.server.websocket import serve_document

if TYPE_CHECKING:
    from crdtsync.identity.desk import TokenDesk

__all__ = ["create_app", "running"]

Endpoint = Callable[[Request], Awaitable[Response]]


class NameConvertor(Convertor[str]):
    """A document's name in a route: anything, slashes and line breaks as well."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """Return the name as it is: routes read it from the raw path anyway."""
        return value

    def to_string(self, value: str) -> str:
        """Return the name as it is."""
        return value


register_url_convertor("document", NameConvertor())


class DocumentRoute(BaseRoute):
    """Takes every WebSocket. The name is read from the raw path, not from a route's pattern."""

    def __init__(self, hub: Hub, authenticator: Authenticator, doors: Doors) -> None:
        self._hub = hub
        self._authenticator = authenticator
        self._doors = doors

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match by the scope's type alone."""
        return (Match.FULL, {}) if scope["type"] == "websocket" else (Match.NONE, {})

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        """Refuse: a document's URL is made from its name."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the document."""
        await serve_document(
            scope,
            receive,
            send,
            hub=self._hub,
            authenticator=self._authenticator,
            doors=self._doors,
        )


def create_app(
    hub: Hub,
    *,
    authenticator: Authenticator | None = None,
    access: Access | None = None,
    doors: Doors | None = None,
    lifespan: bool = True,
    metrics: bool = True,
    page: bool = True,
    rest: bool = True,
    roles: Mapping[str, Role] = BUILT_IN,
    tokens: "TokenDesk | None" = None,
    max_loop_lag_s: float = MAX_LOOP_LAG_S,
) -> Starlette:
    """Return the ASGI application that serves this hub.

    With ``lifespan`` the application enters and exits the hub itself. Mounted in another
    application, whose mounts get no lifespan events, pass ``lifespan=False`` and hold
    ``async with hub:`` in the outer application's lifespan. ``access`` adds the routes of share
    links and revocations, and is entered behind the hub; ``authenticator`` is then what its
    ``wrap`` returned (without one, that of the open one). ``doors`` says which pages may connect
    and which proxies are believed (by default those of this host, and none). ``metrics``, ``page``
    and ``rest`` leave those routes out; ``roles`` are those that a principal's grants may name;
    ``tokens`` adds the routes that explain and issue tokens; ``max_loop_lag_s`` is where
    ``/health/ready`` says no.
    """
    if authenticator is None:
        authenticator = OpenAuthenticator()
        authenticator = access.wrap(authenticator) if access is not None else authenticator
    authenticator = guard_members(authenticator, hub.channels.rules)
    doors = doors or Doors()
    permits = Permits(hub, authenticator, roles)
    behind = _behind(authenticator)
    health = Health(hub, authenticator=behind, max_loop_lag_s=max_loop_lag_s)
    described = partial(
        describe,
        version=package_version(),
        metrics=metrics,
        page=page,
        rest=rest,
        authenticated=not isinstance(behind, OpenAuthenticator),
        max_name_bytes=hub.limits.max_document_name_bytes,
        more=[
            openapi_quarantine.PARTS,
            openapi_history.PARTS,
            openapi_presence.PARTS,
            openapi_chat.PARTS,
            *([openapi_access.PARTS] if access is not None else []),
            *([openapi_tokens.EXPLAINING] if tokens is not None else []),
            *([openapi_tokens.ISSUING] if tokens is not None and tokens.issues else []),
        ],
    )
    routes: list[BaseRoute] = [
        DocumentRoute(hub, authenticator, doors),
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
        Route(f"{API}/openapi.json", _description(described)),
    ]
    if rest:
        documents = Rest(hub, permits)
        routes.append(Route(DOCUMENTS, documents.documents))
        one = f"{DOCUMENTS}/{{name:document}}"
        methods = ["GET", "PUT", "PATCH", "DELETE"]
        routes.append(Route(one, documents.document, methods=methods))
        routes.append(Route(QUARANTINED, documents.quarantined))
        one = f"{QUARANTINED}/{{name:document}}"
        routes.append(Route(one, documents.one_quarantined, methods=["GET", "DELETE"]))
        routes += RestQuarantine(hub, permits).routes
        routes += RestVersions(hub, permits).routes
        routes += RestHistory(hub, permits).routes
        routes += RestChat(hub, permits).routes
        routes += RestRetention(hub, permits).routes
        routes += presence_routes(hub, permits)
        if access is not None:
            routes.extend(access_routes(hub, access, permits))
        if tokens is not None:
            routes.extend(token_routes(hub, tokens, permits))
    if metrics:
        routes.append(Route("/metrics", _metrics(hub)))
    if page:
        routes.append(Route("/", Page(hub, metrics=metrics, rest=rest, doors=doors).get))
        if rest:
            routes += history_page_routes(hub.limits)

    return Starlette(
        routes=routes,
        middleware=[Middleware(HttpDoor, hub=hub, doors=doors)],
        exception_handlers=exception_handlers(),
        lifespan=(lambda app: running(hub, access)) if lifespan else None,
    )


@asynccontextmanager
async def running(hub: Hub, access: Access | None) -> AsyncIterator[None]:
    """Start the hub, and access behind it; stop them in the other order."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(hub)
        if access is not None:
            await stack.enter_async_context(access)
        yield


def _behind(authenticator: Authenticator) -> Authenticator:
    """Return the authenticator that everybody meets who has no share link."""
    while isinstance(authenticator, ShareAuthenticator | MembersAuthenticator):
        authenticator = authenticator.inner
    return authenticator


def _metrics(hub: Hub) -> Endpoint:
    source = Metrics(hub)

    async def metrics(request: Request) -> Response:
        body, content_type = source.exposition(request.headers.get("accept", ""))
        headers = {"Content-Type": content_type, "Cache-Control": "no-store", "Vary": "Accept"}
        return Response(body, headers=headers)

    return metrics


def _description(described: Callable[..., Json]) -> Endpoint:
    async def openapi(request: Request) -> Response:
        return JSONResponse(described(root_path=request.scope.get("root_path", "")))

    return openapi
