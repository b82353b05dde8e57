"""The description of the routes of versions and history, for ``openapi.describe``."""

from typing import Any, Final, get_args

from crdtsync.history.model import VersionKind
from crdtsync.server.openapi_history_schemas import (
    HISTORY_SCHEMAS,
    MOMENT,
    RESTORED_EXAMPLE,
    VERSION_EXAMPLE,
)
from crdtsync.server.openapi_parts import (
    SECURITY,
    STRING,
    Json,
    body,
    empty,
    headers,
    limit,
    path,
    problem,
    query,
    ref,
)
from crdtsync.server.rest_history import CONTENT_FORMATS, HISTORY
from crdtsync.server.rest_versions import MAX_ID, VERSIONS

__all__ = ["PARTS"]

_ID: Final = path(
    "id", "The version's number.", {"type": "integer", "minimum": 1, "maximum": MAX_ID}
)
_DOCUMENT: Final = query("document", "Whose history.", STRING | {"minLength": 1}) | {
    "required": True
}
_ROOT: Final = query("root", "Only this root.", STRING)
_IF_NONE_MATCH: Final[Json] = {
    "name": "If-None-Match",
    "in": "header",
    "description": "What one has, by its `ETag`.",
    "schema": STRING,
}
_UNCACHED: Final = ("Cache-Control", "Vary")
_TAGGED: Final = ("Cache-Control", "ETag", "Vary", "X-Content-Type-Options")

_REFUSALS: Final[Json] = {
    "401": problem("No token, or one that is worth nothing here."),
    "403": problem("No role in this document, whether it exists or not; or one that may not."),
    "429": problem("Too many wrong share links or passwords."),
    "503": problem(
        "Not at the moment.",
        *("unavailable", "restarting", "store-error", "history-unavailable"),
    ),
}
_DAMAGED: Final[Json] = {
    "500": problem(
        "The stored history, or the document, is damaged; the document is served on.",
        *("history-damaged", "store-damaged", "document-error", "internal-error"),
    ),
}
_NOT_THERE: Final[Json] = {
    "404": problem(
        "There is no such document, moment or root, or no history is kept of it.",
        *("unknown-document", "unknown-moment", "unknown-root", "history-off"),
    ),
    "410": problem("The moment is kept no more.", "moment-pruned"),
}
_WRONG: Final[Json] = {
    "400": problem("A parameter is wrong.", "invalid-parameter", "invalid-document-name")
}
_WRONG_BODY: Final[Json] = {
    "400": problem(
        "The body is wrong.", "invalid-body", "invalid-parameter", "invalid-document-name"
    ),
    "408": problem("The body comes too slowly.", "body-timeout"),
    "413": problem("The body is too large.", "body-too-large"),
}
_NO_VERSION: Final[Json] = {
    "404": problem("There is no such version.", "unknown-version", "not-found", "history-off")
}
_WRONG_KIND: Final[Json] = {
    "422": problem(
        "A root is not what is asked of it, or not the same at both moments.", "wrong-kind"
    )
}
_BAD_WORDS: Final[Json] = {"422": problem("No version has such words.", "invalid-version")}
_QUARANTINED: Final[Json] = {"423": problem("The document is quarantined.", "quarantined")}
_UNCHANGED: Final[Json] = {"304": empty("One has it.", headers(*_TAGGED))}


def _request(schema: str, example: Json) -> Json:
    content = {"schema": ref(schema), "example": example}
    return {"required": True, "content": {"application/json": content}}


def _operation(name: str, summary: str, responses: Json, **more: Any) -> Json:
    about = {"operationId": name, "summary": summary, "security": SECURITY}
    return about | more | {"responses": responses | _REFUSALS | _DAMAGED}


def _shown(description: str, schema: str, example: Json | None = None) -> Json:
    answer = body(description, "application/json", ref(schema), headers(*_TAGGED))
    if example is not None:
        answer["content"]["application/json"]["example"] = example
    return {"200": answer, **_UNCHANGED}


def _at(name: str, description: str, *, required: bool = False) -> Json:
    return query(name, description, MOMENT) | {"required": required}


def _version(status: str, description: str, *more: str) -> Json:
    answer = body(description, "application/json", ref("Version"), headers(*_UNCACHED, *more))
    answer["content"]["application/json"]["example"] = VERSION_EXAMPLE
    return {status: answer}


def _restored(description: str) -> Json:
    answer = body(description, "application/json", ref("Restored"), headers(*_UNCACHED))
    answer["content"]["application/json"]["example"] = RESTORED_EXAMPLE
    not_now = problem("It can't be made the present.", "not-restorable")
    return {"200": answer, "409": not_now, **_QUARANTINED}


_CONTENT: Final[Json] = {
    "200": {
        "description": "The content. Updates and snapshots come as files.",
        "headers": headers(*_TAGGED, sometimes=("Content-Disposition",)),
        "content": {
            "application/json": {"schema": ref("HistoryContent")},
            "text/plain": {"schema": STRING | {"description": "A root's text, or its XML."}},
            "application/octet-stream": {
                "schema": {"description": "A Yjs v1 update, or an encoded Yjs v1 snapshot."}
            },
        },
    },
    **_UNCHANGED,
}

_VERSION_PATHS: Final[Json] = {
    VERSIONS: {
        "get": _operation(
            "versions",
            "List a document's versions",
            {
                "200": body(
                    "A page, the newest first.",
                    "application/json",
                    ref("VersionList"),
                    headers(*_UNCACHED, sometimes=("Link",)),
                ),
                **_WRONG,
                **_NOT_THERE,
            },
            parameters=[
                _DOCUMENT,
                query(
                    "before", "Only ids below this one.", {"type": "integer", "minimum": 0}
                    | {"maximum": MAX_ID},
                ),
                query(
                    "kind", "Only these: made by people, or why the server made them.",
                    {"type": "string", "enum": list(get_args(VersionKind))},
                ),
                limit(),
            ],
        ),
        "post": _operation(
            "createVersion",
            "Give a document's present moment a name",
            {
                **_version("201", "It is made.", "Location"),
                **_WRONG_BODY,
                **_NOT_THERE,
                **_BAD_WORDS,
                **_QUARANTINED,
            },
            requestBody=_request(
                "NewVersion", {"document": "notes/today", "label": "As agreed", "note": ""}
            ),
        ),
    },
    f"{VERSIONS}/{{id}}": {
        "get": _operation(
            "version",
            "Read one version",
            {**_version("200", "The version."), **_NO_VERSION},
            parameters=[_ID],
        ),
        "patch": _operation(
            "renameVersion",
            "Give a version other words",
            {**_version("200", "As it is now."), **_WRONG_BODY, **_NO_VERSION, **_BAD_WORDS},
            parameters=[_ID],
            requestBody=_request("VersionWords", {"label": "As signed"}),
        ),
        "delete": _operation(
            "removeVersion",
            "Remove a version",
            {"204": empty("It is gone; the moment itself is kept."), **_NO_VERSION},
            description="For admins of the document. The moment is kept as long as others are.",
            parameters=[_ID],
        ),
    },
}  # fmt: skip

_HISTORY_PATHS: Final[Json] = {
    f"{HISTORY}/content": {
        "get": _operation(
            "momentContent",
            "Read a document as it was",
            {**_CONTENT, **_WRONG, **_NOT_THERE, **_WRONG_KIND},
            description=(
                "`update` and `snapshot` are whole; `text` and `xml` are of one root, which has to"
                " be named where there are several of the kind; `json`, `rich` (with the kinds and"
                " formats of all that is in it) and `delta` (Quill's, for text) are of all roots,"
                " or of one."
            ),
            parameters=[
                _DOCUMENT,
                _at("at", "The moment; by default the present."),
                query(
                    "format",
                    "The representation; by default JSON.",
                    {"type": "string", "enum": list(CONTENT_FORMATS)},
                ),
                _ROOT,
                _IF_NONE_MATCH,
            ],
        )
    },
    f"{HISTORY}/diff": {
        "get": _operation(
            "diff",
            "Compare two moments",
            {
                **_shown("What changed, by root; roots without change are not in it.", "Diff"),
                **_WRONG,
                **_NOT_THERE,
                **_WRONG_KIND,
            },
            parameters=[
                _DOCUMENT,
                _at("from", "The older moment.", required=True),
                _at("to", "The newer moment; by default the present."),
                _ROOT,
                _IF_NONE_MATCH,
            ],
        )
    },
    f"{HISTORY}/blame": {
        "get": _operation(
            "blame",
            "Who wrote what, and when",
            {
                **_shown("Each run of text, each key, each element with its author.", "Blame"),
                **_WRONG,
                **_NOT_THERE,
                **_WRONG_KIND,
            },
            parameters=[
                _DOCUMENT,
                _at("at", "The moment; by default the present."),
                _ROOT,
                _IF_NONE_MATCH,
            ],
        )
    },
    f"{HISTORY}/activity": {
        "get": _operation(
            "activity",
            "Who worked on a document, from when to when, and how much",
            {**_shown("Sessions, the newest first.", "Activity"), **_WRONG, **_NOT_THERE},
            parameters=[
                _DOCUMENT,
                _at("before", "Only sessions before this moment: `next` of the page before."),
                limit(),
                _IF_NONE_MATCH,
            ],
        )
    },
    f"{HISTORY}/restore": {
        "post": _operation(
            "restore",
            "Make an older moment the present, by an ordinary edit",
            {
                **_restored("It is; `changed` is false where it was so already."),
                **_WRONG_BODY,
                **_NOT_THERE,
                "422": problem("It can't be restored so.", "wrong-kind", "invalid-version"),
            },
            description=(
                "Who is connected sees it as an edit of who asks. A version of the moment before"
                " is made. For roles with `restore`."
            ),
            requestBody=_request("NewRestore", {"document": "notes/today", "at": "v12"}),
        )
    },
    f"{HISTORY}/undo": {
        "post": _operation(
            "undo",
            "Take back what one author did since a moment",
            {
                **_restored("It is; what others wrote is there still."),
                **_WRONG_BODY,
                **_NOT_THERE,
                **_WRONG_KIND,
            },
            description="For roles with `restore`.",
            requestBody=_request(
                "NewUndo", {"document": "notes/today", "author": "ada", "since": "v12"}
            ),
        )
    },
}
_PRUNE: Final = _operation(
    "pruneHistory",
    "Let go of a document's moments by their age",
    {
        "200": body(
            "What went, or would go.", "application/json", ref("Pruned"), headers(*_UNCACHED)
        ),
        **_WRONG_BODY,
        **_NOT_THERE,
    },
    description="For admins of the document. The server does it by itself, as configured.",
    requestBody=_request(
        "NewPrune", {"document": "notes/today", "retention": "30d/90d/730d", "dry_run": True}
    ),
)
_ERASE: Final = _operation(
    "eraseHistory",
    "Make a document's past, or a person, unknown",
    {
        "200": body(
            "It is.",
            "application/json",
            {"anyOf": [ref("Pruned"), ref("AuthorErased")]},
            headers(*_UNCACHED),
        ),
        **_WRONG_BODY,
        **_NOT_THERE,
        **_QUARANTINED,
    },
    description=(
        "With `document` and `before`: all moments before that one go, and content that was deleted"
        " by then; for admins of the document. With `author`: this person's id and name go, in all"
        " documents; for admins of all."
    ),
    requestBody=_request("NewErase", {"document": "notes/today", "before": "v12"}),
)
_LETTING_GO: Final[Json] = {
    f"{HISTORY}/prune": {"post": _PRUNE},
    f"{HISTORY}/erase": {"post": _ERASE},
}
PARTS: Final = (_VERSION_PATHS | _HISTORY_PATHS | _LETTING_GO, HISTORY_SCHEMAS)
"""Paths and schemas, as ``openapi.describe`` takes them."""
