"""All that a document shows, by its items' bytes: for comparing where pycrdt can't.

Owns a form in which two documents are equal just when users see the same in both: the characters
of a text with its marks and embeds where they stand, the values of lists and keys, and all that
lies in them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from crdtsync.history.restoring import Span, Target, values_of
from crdtsync.history.view import View, whole
from crdtsync.history.weave import Item, Shared
from crdtsync.recursion import deep_recursion
from crdtsync.slicing import content_offset
from crdtsync.structs import ANY, STRING

__all__ = ["shape"]

Held = tuple[int, Any]
"""A content's number, and what it holds."""


def shape(
    target: Target, roots: Iterable[str] | None = None, present: View | None = None
) -> dict[str, Any]:
    """Return what a document shows, or some roots of it; roots that show nothing are left out.

    ``present`` is what is there now, where ``target`` is to be made of that.
    """
    with deep_recursion():
        known = target.weave.roots
        shown = {
            name: _content(target, known[name], present)
            for name in (known if roots is None else roots)
            if name in known
        }
    return {name: content for name, content in shown.items() if content != ([], {})}


def _content(
    target: Target, shared: Shared, present: View | None
) -> tuple[list[Held], dict[str, list[Held]]]:
    keys: dict[str, list[Held]] = {}
    for key, line in shared.keys.items():
        value = target.value(line)
        if value is not None:
            stays = present is not None and present.value(line) == value
            only = [(value.clock, value.clock + 1)]
            keys[key] = list(_held(target, value.item, only, present if stays else None))
    held = (
        each
        for item in shared.items
        if (spans := target.spans(item))
        for each in _held(
            target, item, spans, present if present is not None and present.spans(item) else None
        )
    )
    return _joined(held), keys


def _held(
    target: Target, item: Item, spans: Sequence[Span], present: View | None
) -> Iterator[Held]:
    struct, data = item.struct, target.weave.data
    for start, end in spans:
        if struct.kind == STRING:
            yield STRING, target.text(item, start, end)
        elif struct.kind == ANY:
            yield ANY, values_of(data, item, start, end)
        else:
            content = data[content_offset(data, struct) : struct.end]
            inside = None
            if item.shared is not None:
                within = target if present is not None else target.below(item)
                inside = _content(within, item.shared, present)
            yield struct.kind, (content, inside)


def _joined(held: Iterable[Held]) -> list[Held]:
    """Join neighbours: where structs end shows nowhere."""
    found: list[Held] = []
    for kind, content in held:
        if kind in (STRING, ANY) and found and found[-1][0] == kind:
            found[-1] = kind, found[-1][1] + content
        else:
            found.append((kind, content))
    return [(kind, whole(text) if kind == STRING else text) for kind, text in found]
