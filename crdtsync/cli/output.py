"""How the commands print: tables, JSON, and names that may not be trusted.

Document names come from clients. Whatever is not printable in them (line breaks, terminal
escapes, text direction marks) is shown escaped, everywhere but in JSON, which escapes itself.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import click

__all__ = [
    "counted",
    "drop_unwritten",
    "human_bytes",
    "human_time",
    "mute",
    "note",
    "on_terminal",
    "print_json",
    "print_table",
    "printable",
]

_UNITS: Final = ("kB", "MB", "GB", "TB")


def printable(text: str) -> str:
    """Escape what a terminal would act on instead of showing."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def on_terminal() -> bool:
    """Return whether people read standard output; a service may have closed it."""
    return sys.stdout is not None and sys.stdout.isatty()


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 update``, ``2 updates``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def human_bytes(size: int) -> str:
    """Write a size for people: ``512 B``, ``1.2 MB``."""
    amount, unit = float(size), "B"
    for larger in _UNITS:
        if amount < 999.95:
            break
        amount, unit = amount / 1000, larger
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"


def human_time(time_ms: int) -> str:
    """Write a wall clock reading as UTC; a dash for none."""
    if time_ms <= 0:
        return "-"
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"


def print_json(value: object) -> None:
    """Print one JSON document, in ASCII so that no terminal or locale changes it."""
    click.echo(json.dumps(value, indent=2))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Print a table: drawn on a terminal, tab-separated into a pipe so that nothing is cut.

    ``right`` names the columns that are aligned to the right.
    """
    if not on_terminal():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(printable(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        # Text, not str: a name like "[red]" is no markup.
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)


def note(text: str) -> None:
    """Print a remark for people to stderr, so that stdout stays what was asked for.

    What was done is done, also where nobody can be told.
    """
    try:
        click.echo(printable(text), err=True)
    except OSError:
        mute(2)


def mute(descriptor: int) -> None:
    """Let an output go nowhere from now on: what it still holds would fail at the end again."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def drop_unwritten() -> None:
    """Forget what stdout holds and can't write: Python would fail on it when the process ends.

    Stdout itself stays what it is: an audit log may go there, once it can be written to again.
    """
    with contextlib.suppress(OSError):
        kept = os.dup(1)
        try:
            mute(1)
            sys.stdout.flush()
        finally:
            os.dup2(kept, 1)
            os.close(kept)
