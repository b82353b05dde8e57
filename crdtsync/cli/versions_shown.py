"""How differences and authorship look: one table of places, authors, times and what was done.

On a terminal insertions are green, deletions red and struck, and each author has a colour, always
the same. Into a pipe, what is inserted stands in ``{+ +}`` and what is deleted in ``[- -]``.
Everything shown comes from documents, and is escaped.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from zlib import crc32

import click

from crdtsync.cli.output import on_terminal, printable

__all__ = [
    "Piece",
    "Row",
    "author_style",
    "blame_rows",
    "diff_rows",
    "print_rows",
    "shown_author",
    "shown_time",
]

Manner = Literal["same", "added", "removed", "note", "text"]
Piece = tuple[Manner, str]

CONTEXT: Final = 24
"""So many units of text are shown around what changed in it."""
_MARKS: Final[Mapping[Manner, tuple[str, str]]] = {
    "added": ("{+", "+}"),
    "removed": ("[-", "-]"),
    "note": ("<", ">"),
}
_STYLES: Final[Mapping[Manner, str]] = {
    "same": "dim",
    "added": "green",
    "removed": "red strike",
    "note": "yellow",
}
_COLOURS: Final = (
    *("cyan", "magenta", "blue", "yellow", "bright_cyan", "bright_magenta", "bright_blue"),
    *("dark_orange", "spring_green3", "medium_purple1", "deep_pink3", "turquoise2"),
)
_EMBED: Final = "\ufffc"

By = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    place: str
    by: By
    pieces: tuple[Piece, ...]


# Differences


def diff_rows(diff: Mapping[str, Any], older: Mapping[str, Any]) -> Iterator[Row]:
    """Yield what changed, place by place.

    ``older`` is the older moment's content as deltas, for what stands around a change in a text.
    """
    texts = older.get("roots", {})
    for name, change in diff["roots"].items():
        place = _quoted(name)
        if "root" in change or "becomes" in change:
            what = change.get("root") or f"becomes {change['becomes']}"
            yield Row(place, None, (("note", f"{change['kind']} {what}"),))
        yield from _changed(place, change, _units(texts.get(name, {}).get("delta", ())))


def _changed(place: str, change: Mapping[str, Any], text: bytes = b"") -> Iterator[Row]:
    kind = change["kind"]
    if kind == "text":
        yield from _text(place, change.get("ops", ()), text)
    elif kind in ("array", "xml"):
        yield from _list(place, change.get("ops", ()))
    mark = "." if kind == "map" else "@"
    for key, each in (change.get("keys") or change.get("attributes") or {}).items():
        yield from _key(f"{place}{mark}{_quoted(key)}", each)


def _key(place: str, change: Mapping[str, Any]) -> Iterator[Row]:
    if "diff" in change:
        yield from _changed(place, change["diff"])
        return
    pieces: list[Piece] = []
    if "before" in change:
        pieces.append(("removed", _value(change["before"])))
    if "after" in change:
        pieces += [("same", " ")] if pieces else []
        pieces.append(("added", _value(change["after"])))
    yield Row(place, change.get("by"), tuple(pieces))


def _list(place: str, ops: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    at = 0  # in what is there afterwards
    for op in ops:
        if "retain" in op:
            at += op["retain"]
        elif "inside" in op:
            yield from _changed(f"{place}[{at}]", op["inside"])
            at += 1
        elif "insert" in op:
            for value in op["insert"]:
                yield Row(f"{place}[{at}]", op.get("by"), (("added", _value(value)),))
                at += 1
        else:
            for value in op.get("values", ()):
                yield Row(f"{place}[{at}]", op.get("by"), (("removed", _value(value)),))


def _text(place: str, ops: Iterable[Mapping[str, Any]], text: bytes) -> Iterator[Row]:
    at = 0  # in the older text
    held: list[Piece] = []
    held_at, held_by = 0, None

    def row() -> Iterator[Row]:
        if held:
            before = _cut(text, max(0, held_at - CONTEXT), held_at)
            after = _cut(text, at, at + CONTEXT)
            around: tuple[Piece, ...] = (("same", before), *held, ("same", after))
            yield Row(f"{place}:{held_at}", held_by, tuple(each for each in around if each[1]))
            held.clear()

    for op in ops:
        if "retain" in op and not op.get("attributes"):
            yield from row()
            at += op["retain"]
            continue
        if held and op.get("by") != held_by:
            yield from row()
        if not held:
            held_at, held_by = at, op.get("by")
        if "retain" in op:
            held += [("same", _cut(text, at, at + op["retain"])), _format(op["attributes"])]
            at += op["retain"]
        elif "insert" in op:
            value = op["insert"]
            held.append(("added", value if isinstance(value, str) else _value(value)))
            if op.get("attributes"):
                held.append(_format(op["attributes"]))
        elif "delete" in op:
            gone = op["text"] if "text" in op else " ".join(map(_value, op.get("content", ())))
            held.append(("removed", gone))
            at += op["delete"]
        else:
            yield from row()
            yield from _changed(f"{place}:{at}", op["inside"])
            at += 1
    yield from row()


def _format(attributes: Mapping[str, Any]) -> Piece:
    told = ", ".join(f"{key}: {_value(value)}" for key, value in attributes.items())
    return "note", told


def _units(delta: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a text as UTF-16, an embed as one unit."""
    pieces = (op["insert"] if isinstance(op["insert"], str) else _EMBED for op in delta)
    return "".join(pieces).encode("utf-16-le", "surrogatepass")


def _cut(text: bytes, start: int, end: int) -> str:
    return text[2 * start : 2 * end].decode("utf-16-le", "ignore")


# Authorship


def blame_rows(blame: Mapping[str, Any]) -> Iterator[Row]:
    """Yield who wrote what, place by place; of a text, line by line."""
    for name, root in blame["roots"].items():
        yield from _blamed(_quoted(name), root)


def _blamed(place: str, found: Mapping[str, Any]) -> Iterator[Row]:
    line = 1
    for run in found.get("runs", ()):
        if "text" not in run:
            yield from _blamed_value(f"{place}:{line}", run)
            continue
        first, *others = run["text"].split("\n")
        for number, text in enumerate((first, *others)):
            line += number > 0
            if text:
                yield Row(f"{place}:{line}", run["by"], (("text", text),))
    for index, each in enumerate(found.get("elements", found.get("nodes", ()))):
        yield from _blamed_value(f"{place}[{index}]", each)
    mark = "." if found["kind"] == "map" else "@"
    for key, each in (found.get("keys") or found.get("attributes") or {}).items():
        yield from _blamed_value(f"{place}{mark}{_quoted(key)}", each)


def _blamed_value(place: str, found: Mapping[str, Any]) -> Iterator[Row]:
    by = found.get("by")
    if "value" in found or "embed" in found:
        value = found["value"] if "value" in found else found["embed"]
        yield Row(place, by, (("text", _value(value)),))
        return
    inner = found.get("inside", found)
    name = inner.get("name") or inner.get("hook")
    yield Row(place, by, (("note", f"{inner['kind']} {name}" if name else inner["kind"]),))
    yield from _blamed(place, inner)


# The table


def print_rows(rows: Iterable[Row], what: str) -> int:
    """Print the table; return how many rows it has. ``what`` heads the last column."""
    columns = ("PLACE", "AUTHOR", "TIME", what)
    count = 0
    if not on_terminal():
        for row in rows:
            if not count:
                click.echo("\t".join(columns))
            count += 1
            told = "".join(_marked(piece) for piece in row.pieces)
            click.echo("\t".join((printable(row.place), *_who(row.by), told)))
        return count
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        count += 1
        style = author_style(row.by)
        author, time = _who(row.by)
        cell = Text()
        for manner, text in row.pieces:
            cell.append(printable(text), style if manner == "text" else _STYLES[manner])
        table.add_row(Text(printable(row.place)), Text(author, style), Text(time, "dim"), cell)
    if count:
        Console().print(table)
    return count


def _marked(piece: Piece) -> str:
    opening, closing = _MARKS.get(piece[0], ("", ""))
    return f"{opening}{printable(piece[1])}{closing}"


def _who(by: By) -> tuple[str, str]:
    if by is None:
        return "-", "-"
    return shown_author(by["author"], by["name"]), shown_time(by["time"])


def shown_author(author: str, name: str) -> str:
    """Return what somebody is called."""
    return printable(name or author or "anonymous")


def shown_time(time: str | None) -> str:
    """Return a time of JSON as tables show it: UTC to the second; a dash for none."""
    return "-" if time is None else f"{time[:19].replace('T', ' ')}Z"


def author_style(by: By) -> str:
    """Return an author's colour, the same each time."""
    if by is None:
        return "dim"
    return _COLOURS[crc32(str(by["author"]).encode()) % len(_COLOURS)]


def _quoted(name: str) -> str:
    return name if name.replace("-", "_").isidentifier() else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
