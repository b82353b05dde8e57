"""A diff, applied: it makes one moment's rich content of another's.

Owns what a diff means, for whoever reads its JSON; it knows no document.
"""

from collections.abc import Iterator
from typing import Any

from crdtsync.history.forms import Delta, mark
from crdtsync.history.weave import to_units

__all__ = ["patch"]

Json = dict[str, Any]

_EMPTY: dict[str, Json] = {
    "text": {"kind": "text", "delta": []},
    "map": {"kind": "map", "value": {}},
    "array": {"kind": "array", "value": []},
    "xml": {"kind": "xml", "children": []},
}


def patch(content: Json, diff: Json) -> Json:
    """Return what a document held at the moment that a diff leads to.

    ``content`` is what it held, in the rich form, at the moment that the diff begins with;
    neither is changed. Raises ``ValueError`` where the two don't belong together.
    """
    roots: dict[str, Json] = dict(content["roots"])
    for name, change in diff["roots"].items():
        known = roots.get(name)
        if known is None or (known["kind"] != change["kind"]):
            known = _EMPTY[change["kind"]]
        roots[name] = _shared(known, change)
        if change.get("becomes", change["kind"]) != change["kind"]:
            roots[name] = _EMPTY[change["becomes"]]
        if change.get("root") == "removed":
            del roots[name]
    return {"moment": diff["to"], "roots": dict(sorted(roots.items()))}


def _shared(held: Json, change: Json) -> Json:
    kind = change["kind"]
    found = dict(held)
    if kind == "map":
        found["value"] = _keys(held["value"], change.get("keys", {}))
        return found
    where = {"array": "value", "xml": "children"}.get(kind) or next(
        key for key in ("delta", "text") if key in held
    )
    ops = change.get("ops", [])
    found[where] = _text(held[where], ops) if kind == "text" else _list(held[where], ops)
    attributes = _keys(held.get("attributes", {}), change.get("attributes", {}))
    if attributes or "name" in held:
        found["attributes"] = attributes
    else:
        found.pop("attributes", None)
    return found


def _keys(held: Json, keys: Json) -> Json:
    found = dict(held)
    for key, change in keys.items():
        if change["change"] == "inside":
            found[key] = _shared(held[key], change["diff"])
        elif change["change"] == "removed":
            del found[key]
        else:
            found[key] = change["after"]
    return dict(sorted(found.items()))


def _list(held: list[Any], ops: list[Json]) -> list[Any]:
    found: list[Any] = []
    at = 0
    for op in ops:
        if "insert" in op:
            found += op["insert"]
        elif "inside" in op:
            found.append(_shared(held[at], op["inside"]))
            at += 1
        elif "delete" in op:
            at += op["delete"]
        else:
            found += held[at : at + op["retain"]]
            at += op["retain"]
    if at > len(held):
        raise ValueError("the diff is longer than the list")
    return found + held[at:]


def _text(held: list[Json], ops: list[Json]) -> list[Json]:
    found = Delta()
    source = _Source(held)
    for op in ops:
        if "insert" in op:
            _put(found, op["insert"], op["attributes"])
        elif "delete" in op:
            for _ in source.take(op["delete"]):
                pass
        else:
            for value, attributes in source.take(op.get("retain", 1)):
                for key, each in op.get("attributes", {}).items():
                    attributes = mark(attributes, key, each)
                _put(found, _shared(value, op["inside"]) if "inside" in op else value, attributes)
    for value, attributes in source.take(None):
        _put(found, value, attributes)
    return found.close()


def _put(delta: Delta, value: Any, attributes: Json) -> None:
    if isinstance(value, str):
        delta.text(to_units(value), attributes)
    else:
        delta.embed(value, attributes)


class _Source:
    """A delta that is read by lengths in UTF-16 units."""

    def __init__(self, delta: list[Json]) -> None:
        self._ops = [(each["insert"], each.get("attributes", {})) for each in reversed(delta)]

    def take(self, length: int | None) -> Iterator[tuple[Any, Json]]:
        """Iterate over the next units, all that are left without a length."""
        while self._ops and (length is None or length > 0):
            value, attributes = self._ops.pop()
            if isinstance(value, str):
                units = to_units(value)
                if length is not None and len(units) > length:
                    self._ops.append((units[length:], attributes))
                    units = units[:length]
                yield units, attributes
                length = None if length is None else length - len(units)
            else:
                yield value, attributes
                length = None if length is None else length - 1
        if length:
            raise ValueError("the diff is longer than the text")
