"""A text that is being written: where its UTF-16 units are in the library's bytes.

Owns the two ways of counting, and the formats of each unit, so that what is inserted has exactly
the formats that are asked for, whatever stands beside it.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Any, Final

from crdtsync.authoring.model import Attributes, InvalidOperation, NotEditable
from crdtsync.crdt import Pen
from crdtsync.history.view import whole
from crdtsync.history.weave import to_units

__all__ = ["TextEditor"]

EMBED: Final = "\0"
"""Stands for what is no character: one unit, and one byte, as the library counts it too."""


class TextEditor:
    """One text of a document, and what it holds at this moment."""

    def __init__(self, pen: Pen, shared: Any) -> None:
        self._pen = pen
        self._shared = shared
        self._units, self._formats, self._types = self._read()
        if self.bytes_to(len(self._units)) != pen.text_bytes(shared):
            raise NotEditable("a text holds embeds that can't be told from characters")

    def _read(self) -> tuple[str, list[Attributes], bool]:
        """Return the units, each one's formats, and whether shared types are among them."""
        parts: list[str] = []
        found: list[Attributes] = []
        types = False
        for run, attributes in self._pen.runs(self._shared):
            formats = {key: value for key, value in attributes.items() if value is not None}
            parts.append(to_units(run) if isinstance(run, str) else EMBED)
            found += [formats] * len(parts[-1])
            types = types or bool(self._pen.kind(run))
        return "".join(parts), found, types

    def __len__(self) -> int:
        return len(self._units)

    def bytes_to(self, index: int, start: int = 0) -> int:
        """Return how many of the library's bytes lie between two positions."""
        between = self._units[start:index]
        return len(between) if between.isascii() else len(whole(between).encode())

    def check(self, index: int, length: int = 0) -> None:
        """Raise ``InvalidOperation`` where a range isn't in the text, or divides a character."""
        end = index + length
        if index < 0 or length < 0 or end > len(self._units):
            raise InvalidOperation(f"the position is beyond the text's {len(self)} units")
        for position in (index, end):
            if "\udc00" <= self._units[position : position + 1] <= "\udfff":
                raise InvalidOperation("the position divides a character of two units")

    def formats_before(self, index: int) -> Attributes:
        """Return what somebody who types at a position writes in."""
        return self._formats[index - 1] if index > 0 else {}

    def insert(self, index: int, at: int, content: Any, formats: Mapping[str, Any]) -> int:
        """Insert characters or anything else at a checked position; return how many units.

        ``at`` is the position in bytes.
        """
        kept = {key: value for key, value in formats.items() if value is not None}
        if isinstance(content, str):
            units = to_units(content)
            self._pen.insert_text(self._shared, at, content, dict(kept))
        else:
            units = EMBED
            self._pen.insert_embed(self._shared, at, content, dict(kept))
            self._types = self._types or bool(self._pen.kind(content))
        self._units = self._units[:index] + units + self._units[index:]
        self._formats[index:index] = [kept] * len(units)
        return len(units)

    def delete(self, index: int, length: int, at: int) -> None:
        """Delete units of a checked range."""
        self._pen.delete(self._shared, at, self.bytes_to(index + length, index))
        self._units = self._units[:index] + self._units[index + length :]
        del self._formats[index : index + length]
        if self._types:
            self._mend()

    def _mend(self) -> None:
        """Set formats again that are gone: the library takes a shared type for nothing there."""
        _, found, _ = self._read()
        changes = [dict.fromkeys(each) | dict(meant) if each != meant else None
                   for each, meant in zip(found, self._formats, strict=True)]  # fmt: skip
        start = 0
        for formats, run in groupby(changes):
            end = start + len(list(run))
            if formats is not None:
                size = self.bytes_to(end, start)
                self._pen.format(self._shared, self.bytes_to(start), size, formats)
            start = end

    def format(self, index: int, length: int, at: int, formats: Mapping[str, Any]) -> None:
        """Set and take away formats of a checked range."""
        size = self.bytes_to(index + length, index)
        self._pen.format(self._shared, at, size, dict(formats))
        made: dict[int, Attributes] = {}  # neighbours share theirs
        for position in range(index, index + length):
            before = self._formats[position]
            after = made.get(id(before))
            if after is None:
                joined = {**before, **formats}
                after = {key: value for key, value in joined.items() if value is not None}
                made[id(before)] = after
            self._formats[position] = after
