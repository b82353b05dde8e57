"""What a document is had as over HTTP: which representation a request means, and its content.

Owns content negotiation, entity tags, and the choice of one root as JSON or text.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from crdtsync.content import RootExport
from crdtsync.server.problems import Problem

__all__ = [
    "FORMATS",
    "MEDIA_TYPES",
    "Format",
    "as_json",
    "as_text",
    "etag",
    "format_of",
    "in_pieces",
    "marks_of",
    "matches",
]

Format = Literal["metadata", "json", "text", "update", "rich", "delta", "xml"]
FORMATS: Final[dict[str, Format]] = {
    "metadata": "metadata",
    "json": "json",
    "text": "text",
    "update": "update",
    "rich": "rich",
    "delta": "delta",
    "xml": "xml",
}
MEDIA_TYPES: Final[dict[Format, str]] = {
    "metadata": "application/json",
    "json": "application/json",
    "text": "text/plain",
    "update": "application/octet-stream",
    "rich": "application/json",
    "delta": "application/json",
    "xml": "text/plain",
}


PIECE_BYTES: Final = 64 * 1024
"""What of an answer waits in a client's socket at a time; the rest is the document's own bytes."""


class _InPieces(Response):
    """A response that is handed on as fast as it is taken, not as a whole."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        size = len(self.body)
        for begin in range(0, size, PIECE_BYTES):
            end = begin + PIECE_BYTES
            piece = bytes(self.body[begin:end])
            await send({"type": "http.response.body", "body": piece, "more_body": end < size})


def in_pieces(data: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
    """Return a response of any size, which takes no more memory than its bytes."""
    kind = _InPieces if len(data) > PIECE_BYTES else Response
    return kind(data, media_type=media_type, headers=headers)


def format_of(request: Request) -> Format:
    """Return what ``?format=`` names, or else what ``Accept`` prefers; metadata by default."""
    named = request.query_params.get("format")
    if named is not None:
        if named in FORMATS:
            return FORMATS[named]
        raise Problem(400, f"format is one of {', '.join(FORMATS)}.", code="invalid-parameter")
    best: tuple[float, Format] | None = None
    for media_range, quality in _accepted(request.headers.get("accept", "*/*")):
        for shape in ("metadata", "text", "update"):
            kind = MEDIA_TYPES[shape]
            fits = media_range in ("*/*", kind, kind.partition("/")[0] + "/*")
            if fits and quality > 0 and (best is None or quality > best[0]):
                best = (quality, shape)
    if best is None:
        offered = "application/json, text/plain and application/octet-stream"
        raise Problem(406, f"A document is had as {offered}.", code="not-acceptable")
    return best[1]


def _accepted(header: str) -> list[tuple[str, float]]:
    """Read an ``Accept`` header (RFC 9110, 12.5.1); a quality that is no number counts as 1."""
    ranges: list[tuple[str, float]] = []
    for part in header.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    pass
        ranges.append((media_range, quality))
    return ranges


def etag(mark: str, shape: Format, root: str | None, *more: object) -> str:
    """Name a representation: the document's state, and behind a dot what is shown of it.

    The state's mark covers deletions, which no state vector shows. ``more`` is what else is shown.
    """
    what = json.dumps([shape, root, *map(str, more)]).encode()
    return f'"{mark}.{hashlib.sha256(what).hexdigest()[:16]}"'


def marks_of(if_match: str) -> list[str]:
    """Return the states that an ``If-Match`` header names; a weak tag names none."""
    tags = (each.strip() for each in if_match.split(","))
    return [tag.strip('"').partition(".")[0] for tag in tags if not tag.startswith("W/")]


def matches(if_none_match: str, tag: str) -> bool:
    """Whether an ``If-None-Match`` header names a representation."""
    named = (each.strip().removeprefix("W/") for each in if_none_match.split(","))
    return any(each in ("*", tag) for each in named)


def as_json(roots: Mapping[str, RootExport], root: str | None) -> str:
    """Return all roots, or the one that is named, by name; their values are written already."""
    if root is not None and root not in roots:
        raise _unknown_root()
    members = (
        f"{json.dumps(name, ensure_ascii=False)}:{content.value}"
        for name, content in roots.items()
        if root in (None, name)
    )
    return f"{{{','.join(members)}}}"


def as_text(roots: Mapping[str, RootExport], root: str | None) -> str:
    """Return the root that is named, or the only one that is a text."""
    if root is None:
        texts = [name for name, content in roots.items() if content.kind == "text"]
        if len(texts) != 1:
            raise Problem(
                406,
                f"The document has {len(texts)} roots that are text; name one with root.",
                code="not-acceptable",
            )
        root = texts[0]
    if root not in roots:
        raise _unknown_root()
    content = roots[root]
    if content.kind != "text":
        raise Problem(
            406, f"That root is no text but {content.kind}: read it as json.", code="not-acceptable"
        )
    return str(content.value)


def _unknown_root() -> Problem:
    return Problem(404, "The document has no root of this name.", code="unknown-root")
