"""How the commands print: tables, JSON, whole files, and names that may not be trusted.

Document names come from clients. Whatever is not printable in them (line breaks, terminal
escapes, text direction marks) is shown escaped, everywhere but in JSON, which escapes itself.
"""

import contextlib
import json
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from crdtsync.errors import OperatorError

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
    "write_output",
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


def write_output(output: str, data: bytes) -> None:
    """Write to a file and say so, or to stdout where that is ``-``."""
    if output == "-":
        if sys.stdout is None:
            raise OperatorError("standard output is closed", hint="Write to a file with -o")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        _write(Path(output), data)
        note(f"Wrote {human_bytes(len(data))} to {output}")


def _write(path: Path, data: bytes) -> None:
    """Write beside a file and rename, so that an older export is never half replaced.

    It is on the disk then. Who might read the older one may read this one, as far as this user can
    grant it, and nobody else.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():  # a pipe or a device stays what it is
            target.write_bytes(data)
            return
        older = target.stat() if target.exists() else None
        beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            beside.touch(0o666 if older is None else 0o600, exist_ok=False)
            with beside.open("r+b") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if older is not None:
                _leave_to(beside, older)
            beside.replace(target)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        from crdtsync.store.file_disk import sync_folder

        sync_folder(target.parent)
    except OSError as error:
        raise OperatorError(f"can't write {path}: {error.strerror}") from None


def _leave_to(path: Path, older: os.stat_result) -> None:
    """Give a file the owner, group and mode of another one."""
    mode = stat.S_IMODE(older.st_mode)
    if sys.platform != "win32":
        try:
            os.chown(path, older.st_uid, older.st_gid)
        except OSError:
            try:
                os.chown(path, -1, older.st_gid)
            except OSError:  # its group is another one, which might read nothing yet
                mode &= ~stat.S_IRWXG
    path.chmod(mode)
