"""The description of the pages for people, for ``openapi.describe``."""

from typing import Final

from crdtsync.server.openapi_parts import (
    NAME,
    STRING,
    Json,
    body,
    empty,
    headers,
    path,
    problem,
)

__all__ = ["HISTORY_PAGE_PATHS", "PAGE_PATHS"]

_HEADERS: Final = headers(
    *("Cache-Control", "Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options")
)
_ASSET_HEADERS: Final = headers(
    *("Cache-Control", "ETag", "Referrer-Policy", "X-Content-Type-Options")
)

PAGE_PATHS: Final[Json] = {
    "/": {
        "get": {
            "operationId": "page",
            "summary": "What is running, for people",
            "responses": {"200": body("A page without scripts.", "text/html", STRING, _HEADERS)},
        }
    }
}
HISTORY_PAGE_PATHS: Final[Json] = {
    "/documents/{name}/history": {
        "get": {
            "operationId": "historyPage",
            "summary": "A document's history, for people",
            "description": (
                "The same page for every name; what it shows it asks of the routes of versions and"
                " history, with a token from its own address, behind `#token=`."
            ),
            "parameters": [NAME],
            "responses": {
                "200": body("The page.", "text/html", STRING, _HEADERS),
                "400": problem("No document can be called so.", "invalid-document-name"),
            },
        }
    },
    "/assets/history/{file}": {
        "get": {
            "operationId": "historyPageFile",
            "summary": "A file of the history's page",
            "parameters": [path("file", "Its name.", STRING)],
            "responses": {
                "200": {
                    "description": "The file.",
                    "content": {
                        "text/css": {"schema": STRING},
                        "text/javascript": {"schema": STRING},
                    },
                    "headers": _ASSET_HEADERS,
                },
                "304": empty("It is what `If-None-Match` names.", _ASSET_HEADERS),
                "404": problem("The page has no such file.", "not-found"),
            },
        }
    },
}
