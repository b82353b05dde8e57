"""Letting go of history over HTTP: of moments by their age, of content, of a person's name.

Owns these two routes. They are for admins, and stand in the audit log: of the document, or of all
documents where a person is to be unknown.
"""

from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crdtsync.config.history import read_retention
from crdtsync.history.retention import Retention
from crdtsync.hub import Hub
from crdtsync.server.bodies import Fields, read_body
from crdtsync.server.doors import record_admin
from crdtsync.server.history_permits import history_of
from crdtsync.server.permits import Permits
from crdtsync.server.problems import Problem
from crdtsync.server.rest_history import (
    HISTORY,
    UNCACHED,
    body_moment,
    check_name,
    check_there,
)

__all__ = ["RestRetention"]

_BAD: Final = "invalid-parameter"


class RestRetention:
    """The routes of one hub that let go of history."""

    def __init__(self, hub: Hub, permits: Permits) -> None:
        self._hub = hub
        self._permits = permits

    @property
    def routes(self) -> list[Route]:
        """The routes, to be put into an application."""
        return [
            Route(f"{HISTORY}/prune", self.prune, methods=["POST"]),
            Route(f"{HISTORY}/erase", self.erase, methods=["POST"]),
        ]

    async def prune(self, request: Request) -> Response:
        """Let go of a document's moments by their age, or tell what would go."""
        async with self._permits.reading(request):
            fields = Fields(await read_body(request))
            document = fields.text("document", required=True)
            check_name(self._hub, document)
        admin = await self._permits.admin(request, document)
        ages, dry_run = fields.either("retention"), fields.flag("dry_run")
        fields.end()
        retention = None if ages is None else _retention(ages)
        await check_there(self._hub, document)
        pruned = await history_of(self._hub).prune(document, retention, dry_run=dry_run)
        if not dry_run:
            gone = pruned.moments_before - pruned.moments
            record_admin(self._hub, request, admin, "history-pruned", document, moments=gone)
        return JSONResponse(asdict(pruned), headers=UNCACHED)

    async def erase(self, request: Request) -> Response:
        """Let go of a document's content before a moment; or of a person's name, everywhere."""
        async with self._permits.reading(request):
            fields = Fields(await read_body(request))
            document, author = fields.either("document"), fields.either("author")
            if (document is None) == (not author):
                raise Problem(400, "Name a document or an author, one of them.", code=_BAD)
            if document is not None:
                check_name(self._hub, document)
        if document is None:
            admin = await self._permits.admin(request)
            fields.end()
            documents = await history_of(self._hub).erase_author(author or "")
            record_admin(self._hub, request, admin, "author-erased", documents=documents)
            return JSONResponse({"documents": documents}, headers=UNCACHED)
        admin = await self._permits.admin(request, document)
        before = body_moment(fields, "before")
        fields.end()
        await check_there(self._hub, document)
        pruned = await history_of(self._hub).erase_before(document, before)
        gone = pruned.moments_before - pruned.moments
        record_admin(self._hub, request, admin, "history-erased", document, moments=gone)
        return JSONResponse(asdict(pruned), headers=UNCACHED)


def _retention(ages: str) -> Retention:
    try:
        return read_retention(f"*={ages}")[1]
    except ValueError:
        example = "30d/90d/730d"
        raise Problem(
            400, f"retention is EVERYTHING/HOURLY/DAILY such as {example}.", code=_BAD
        ) from None
