"""The shapes that history has in JSON, as the OpenAPI description has them."""

from typing import Final, get_args

from crdtsync.history.model import VersionKind
from crdtsync.history.words import MAX_LABEL, MAX_NOTE
from crdtsync.server.openapi_parts import COUNT, STRING, TIME, Json, object_, or_null, ref

__all__ = ["HISTORY_SCHEMAS", "MOMENT", "RESTORED_EXAMPLE", "VERSION_EXAMPLE"]

MOMENT: Final[Json] = {
    "type": "string",
    "anyOf": [
        {"pattern": "^(now|v[1-9][0-9]{0,17}|s[0-9]{1,18})$"},
        {"format": "date-time"},
    ],
    "description": (
        "`now`; a version (`v12`); a sequence (`s345`); or a time: the newest moment not after it."
    ),
}
VERSION_EXAMPLE: Final[Json] = {
    "id": 12,
    "document": "notes/today",
    "sequence": 345,
    "time": "2026-01-31T09:30:00.000Z",
    "kind": "named",
    "label": "As agreed",
    "note": "",
    "author": "ada",
    "author_name": "Ada",
}
RESTORED_EXAMPLE: Final[Json] = {
    "document": "notes/today",
    "sequence": 401,
    "changed": True,
    "version_before": VERSION_EXAMPLE
    | {"id": 13, "sequence": 400, "kind": "restore", "label": "Before a restore"},
}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _named(values: Json, description: str = "") -> Json:
    about = {"description": description} if description else {}
    return {"type": "object", "additionalProperties": values} | about


def _only(schema: Json) -> Json:
    return schema | {"additionalProperties": False}


_NAME: Final[Json] = {"type": "string", "minLength": 1}
_ANY: Final[Json] = {"description": "Any JSON."}
_LABEL: Final[Json] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_LABEL,
    "pattern": "[^\\s]",
}
_NOTE: Final[Json] = {"type": "string", "maxLength": MAX_NOTE}
_ATTRIBUTES: Final = _named(_ANY)
_DELTA: Final = _list(
    object_({"insert": _ANY, "attributes": _ATTRIBUTES}, optional=("attributes",))
)
_NODE: Final[Json] = {
    "description": "An element (`name`, `attributes`, `children`), or a `text` as a delta.",
    "type": "object",
}
_BY: Final = ref("By")
_KEYS: Final = _named(
    object_(
        {
            "change": {"type": "string", "enum": ["added", "removed", "changed", "inside"]},
            "before": _ANY,
            "after": _ANY,
            "by": _BY,
            "diff": ref("Change"),
        },
        optional=("before", "after", "by", "diff"),
    )
)


def _ops(about: Json) -> Json:
    return _list(object_(about, optional=tuple(about)))


def _kind(name: str, more: Json) -> Json:
    about = {
        "root": {
            "type": "string",
            "enum": ["added", "removed"],
            "description": "Of a root: it was not there before, or is no more.",
        },
        "becomes": STRING | {"description": "Of a root that was empty: its other kind."},
    }
    return object_({"kind": {"const": name}} | more | about, optional=(*more, *about))


_COUNT_OF: Final = COUNT | {"description": "So many units: UTF-16 in text, elements elsewhere."}
_TEXT_OPS: Final = _ops(
    {
        "retain": _COUNT_OF,
        "insert": _ANY,
        "delete": _COUNT_OF,
        "attributes": _ATTRIBUTES,
        "text": STRING | {"description": "What was deleted."},
        "content": _list(_ANY) | {"description": "The embeds that were deleted."},
        "inside": ref("Change"),
        "by": _BY,
    }
)
_ARRAY_OPS: Final = _ops(
    {
        "retain": _COUNT_OF,
        "insert": _list(_ANY),
        "delete": _COUNT_OF,
        "values": _list(_ANY),
        "inside": ref("Change"),
        "by": _BY,
    }
)
_CHANGES: Final = [
    _kind("text", {"ops": _TEXT_OPS, "attributes": _KEYS}),
    _kind("map", {"keys": _KEYS}),
    _kind("array", {"ops": _ARRAY_OPS}),
    _kind("xml", {"ops": _ARRAY_OPS, "attributes": _KEYS}),
]
_BLAMED: Final[Json] = {
    "kind": {"type": "string", "enum": ["text", "map", "array", "xml"]},
    "runs": _list(ref("BlamedValue")) | {"description": "Of a text."},
    "keys": _named(ref("BlamedValue"), "Of a map."),
    "elements": _list(ref("BlamedValue")) | {"description": "Of an array."},
    "nodes": _list({"anyOf": [ref("Blamed"), ref("BlamedValue")]}) | {"description": "Of XML."},
    "attributes": _named(ref("BlamedValue"), "Of XML, or of a text."),
    "name": STRING | {"description": "Of an XML element."},
    "hook": STRING | {"description": "Of an XML hook."},
    "by": _BY,
}
_BLAMED_VALUE: Final[Json] = {
    "text": STRING | {"description": "What one author wrote, here in a text."},
    "embed": _ANY | {"description": "What stands in a text beside its characters."},
    "value": _ANY,
    "inside": ref("Blamed"),
    "by": _BY,
}

HISTORY_SCHEMAS: Final[Json] = {
    "Version": object_(
        {
            "id": {"type": "integer", "minimum": 1},
            "document": _NAME,
            "sequence": COUNT | {"description": "The last update that is in it."},
            "time": TIME | {"description": "When the document was so."},
            "kind": {"type": "string", "enum": list(get_args(VersionKind))},
            "label": STRING,
            "note": STRING,
            "author": STRING | {"description": "Who made it; empty for the server."},
            "author_name": STRING,
        }
    ),
    "VersionList": object_(
        {
            "versions": _list(ref("Version")),
            "next": {"type": ["string", "null"], "format": "uri-reference"},
        }
    ),
    "NewVersion": _only(
        object_(
            {"document": _NAME, "label": _LABEL, "note": or_null(_NOTE)}, optional=("note",)
        )
    ),
    "VersionWords": _only(
        object_({"label": _LABEL, "note": _NOTE}, optional=("label", "note"))
        | {"minProperties": 1}
    ),
    "Moment": object_(
        {"sequence": COUNT, "time": or_null(TIME) | {"description": "Null before everything."}}
    ),
    "By": object_({"author": STRING, "name": STRING, "time": TIME})
    | {"type": ["object", "null"], "description": "Null where that is not known."},
    "HistoryContent": object_(
        {
            "moment": ref("Moment"),
            "roots": _named(
                object_(
                    {
                        "kind": STRING,
                        "value": _ANY,
                        "delta": _DELTA,
                        "children": _list(_NODE),
                        "attributes": _ATTRIBUTES,
                    },
                    optional=("value", "delta", "children", "attributes"),
                ),
                "By name. With `json` each has a `value`; with `delta` only texts are in it, each"
                " with a `delta`; with `rich` it depends on the kind.",
            ),
        }
    ),
    "Change": {"anyOf": _CHANGES},
    "Diff": object_(
        {"from": ref("Moment"), "to": ref("Moment"), "roots": _named(ref("Change"))}
    ),
    "Blame": object_({"moment": ref("Moment"), "roots": _named(ref("Blamed"))}),
    "Blamed": object_(_BLAMED, optional=tuple(_BLAMED)[1:]),
    "BlamedValue": object_(_BLAMED_VALUE, optional=tuple(_BLAMED_VALUE)[:-1]),
    "Activity": object_(
        {
            "sessions": _list(
                object_(
                    {
                        "author": STRING,
                        "name": STRING,
                        "from": TIME,
                        "to": TIME,
                        "first_sequence": COUNT,
                        "last_sequence": COUNT,
                        "inserted": COUNT,
                        "deleted": COUNT,
                    }
                )
            ),
            "next": {"type": ["string", "null"], "description": "A moment, for `before`."},
        }
    ),
    "Restored": object_(
        {
            "document": _NAME,
            "sequence": COUNT | {"description": "Of the present moment."},
            "changed": {"type": "boolean"},
            "version_before": {"anyOf": [ref("Version"), {"type": "null"}]},
        }
    ),
    "NewRestore": _only(
        object_(
            {"document": _NAME, "at": MOMENT, "root": or_null(STRING), "note": or_null(_NOTE)},
            optional=("root", "note"),
        )
    ),
    "NewUndo": _only(
        object_(
            {
                "document": _NAME,
                "author": STRING | {"description": "A principal's id; empty is the anonymous."},
                "since": MOMENT,
                "until": {"anyOf": [MOMENT, {"type": "null"}]},
            },
            optional=("until",),
        )
    ),
    "NewPrune": _only(
        object_(
            {
                "document": _NAME,
                "retention": {
                    "type": ["string", "null"],
                    "pattern": "^(forever|[0-9]{1,4}[smhd])(/(forever|[0-9]{1,4}[smhd])){0,2}$",
                    "description": (
                        "Up to which age all moments are kept, then the last of each hour, then"
                        " the last of each day, as in `30d/90d/730d`; by default as configured."
                    ),
                },
                "dry_run": {"type": ["boolean", "null"], "description": "Only tell."},
            },
            optional=("retention", "dry_run"),
        )
    ),
    "Pruned": object_(
        {
            "document": _NAME,
            "moments_before": COUNT,
            "moments": COUNT | {"description": "How many are left."},
            "versions": COUNT | {"description": "How many went with their moments."},
            "bytes_before": COUNT,
            "bytes": COUNT,
        }
    ),
    "NewErase": {
        "anyOf": [
            _only(object_({"document": _NAME, "before": MOMENT})),
            _only(object_({"author": _NAME | {"description": "A principal's id."}})),
        ]
    },
    "AuthorErased": object_({"documents": COUNT | {"description": "In how many it was."}}),
}  # fmt: skip
