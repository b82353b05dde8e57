"""The page at ``/documents/NAME/history``: a document's versions, what changed, the way back.

Static files without a build step. They hold nothing of any document: what the page shows it asks
of the REST routes, with the token of whoever looks at it. So it is served to anybody, the same
for every name.
"""

import hashlib
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import PurePosixPath
from string import Template
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from crdtsync.limits import Limits
from crdtsync.protocol import check_document_name
from crdtsync.server.problems import Problem
from crdtsync.server.representations import matches

__all__ = ["history_page_routes"]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES: Final = {".css": "text/css", ".js": "text/javascript"}


def history_page_routes(limits: Limits) -> list[BaseRoute]:
    """Return the routes of the page and of what it consists of."""

    async def page(request: Request) -> Response:
        name = request.path_params["name"]
        check_document_name(name, max_bytes=limits.max_document_name_bytes)
        return _page(request)

    return [
        Route("/documents/{name:path}/history", page),
        Route("/assets/history/{file}", _asset),
    ]


def _page(request: Request) -> Response:
    base = quote(request.scope.get("root_path", ""))
    text = Template(_files()["index.html"][0].decode()).substitute(base=escape(base))
    headers = _HEADERS | {"Content-Security-Policy": _POLICY}
    return Response(text, media_type="text/html", headers=headers)


async def _asset(request: Request) -> Response:
    name = request.path_params["file"]
    kind = _TYPES.get(PurePosixPath(name).suffix)
    found = _files().get(name)
    if kind is None or found is None:
        raise Problem(404, "there is no such file", code="not-found")
    data, tag = found
    headers = _HEADERS | {"ETag": tag}
    if matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Return the page's files by name, each with its entity tag."""
    folder = files("crdtsync.server").joinpath("history_page")
    found = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    return {
        name: (data, f'"{hashlib.sha256(data).hexdigest()[:32]}"') for name, data in found.items()
    }
