"""A diff's operations, in the making: neighbours that say the same become one.

Owns how operations are joined: what one author did at one place, within a resolution, is one
operation, with the time of the last of it. The same input makes the same operations.
"""

from collections.abc import Callable
from typing import Any

from crdtsync.history.reading import Author, joinable
from crdtsync.history.values import same
from crdtsync.history.view import whole

__all__ = ["ListOperations", "TextOperations"]

By = Callable[[Author | None], dict[str, Any] | None]


class _Operations:
    """What text and lists have in common."""

    def __init__(self, by: By, resolution_ms: int) -> None:
        self._by = by
        self._resolution_ms = resolution_ms
        self._done: list[dict[str, Any]] = []
        self._kind = ""
        self._attributes: dict[str, Any] | None = None
        self._first: Author | None = None
        self._last_ms = 0
        self._length = 0
        self._held: list[Any] = []

    def close(self) -> list[dict[str, Any]]:
        """Return the operations; a retain that changes nothing does not end them."""
        self._flush()
        if self._done and self._done[-1].keys() == {"retain"}:
            self._done.pop()
        return self._done

    def inside(
        self, change: dict[str, Any], attributes: dict[str, Any], author: Author | None
    ) -> None:
        """One element stays, and changes within; in a text its attributes may change, too."""
        self._flush()
        op: dict[str, Any] = {"inside": change}
        if attributes:
            op |= {"attributes": attributes, "by": self._by(author)}
        self._done.append(op)

    def _add(
        self,
        kind: str,
        length: int,
        held: list[Any],
        attributes: dict[str, Any] | None,
        author: Author | None,
    ) -> None:
        if not length:
            return
        if (
            kind != self._kind
            or not joinable(self._first, author, self._resolution_ms)
            or not same(attributes, self._attributes)
        ):
            self._flush()
            self._kind, self._attributes, self._first = kind, attributes, author
            self._last_ms = 0
        if author is not None and author.time_ms > self._last_ms:
            self._last_ms = author.time_ms
        self._length += length
        self._held += held

    def _flush(self) -> None:
        if not self._length:
            return
        author = self._first and self._first._replace(time_ms=self._last_ms)
        self._done.append(self._written(self._by(author)))
        self._kind, self._length, self._held = "", 0, []

    def _written(self, by: dict[str, Any] | None) -> dict[str, Any]:
        raise NotImplementedError


class ListOperations(_Operations):
    """Of an array, or of the nodes of an XML element."""

    def retain(self, length: int) -> None:
        self._add("retain", length, [], None, None)

    def insert(self, values: list[Any], author: Author | None) -> None:
        self._add("insert", len(values), values, None, author)

    def delete(self, values: list[Any], author: Author | None) -> None:
        self._add("delete", len(values), values, None, author)

    def _written(self, by: dict[str, Any] | None) -> dict[str, Any]:
        if self._kind == "retain":
            return {"retain": self._length}
        if self._kind == "insert":
            return {"insert": self._held, "by": by}
        return {"delete": self._length, "values": self._held, "by": by}


class TextOperations(_Operations):
    """Of a text; lengths in UTF-16 units, an embed counts one."""

    _half = ""

    def retain(self, length: int, attributes: dict[str, Any], author: Author | None) -> None:
        """Keep characters and embeds; with attributes, some become so (null: no more)."""
        self._add("retain", length, [], attributes, author if attributes else None)

    def insert(self, units: str, attributes: dict[str, Any], author: Author | None) -> None:
        """Bring characters; half of a pair waits for the other half, lest a delete divide it."""
        units = self._half + units
        self._half = ""
        if units and "\ud800" <= units[-1] <= "\udbff":
            units, self._half = units[:-1], units[-1]
        self._add("insert", len(units), [units], attributes, author)

    def insert_embed(self, value: Any, attributes: dict[str, Any], author: Author | None) -> None:
        self._flush()
        self._add("embed", 1, [value], attributes, author)
        self._flush()

    def delete(self, units: str, author: Author | None) -> None:
        self._add("delete", len(units), [units], None, author)

    def delete_embed(self, value: Any, author: Author | None) -> None:
        self._add("unembed", 1, [value], None, author)

    def _written(self, by: dict[str, Any] | None) -> dict[str, Any]:
        attributes = dict(sorted((self._attributes or {}).items()))
        if self._kind == "retain":
            op: dict[str, Any] = {"retain": self._length}
            return op | {"attributes": attributes, "by": by} if attributes else op
        if self._kind == "insert":
            return {"insert": whole("".join(self._held)), "attributes": attributes, "by": by}
        if self._kind == "embed":
            return {"insert": self._held[0], "attributes": attributes, "by": by}
        if self._kind == "delete":
            return {"delete": self._length, "text": whole("".join(self._held)), "by": by}
        return {"delete": self._length, "content": self._held, "by": by}
