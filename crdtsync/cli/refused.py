"""``crdtsync quarantine``: see, export, apply and drop updates that a role or a gate refused."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import (
    counted,
    human_bytes,
    human_time,
    note,
    on_terminal,
    print_json,
    print_table,
    write_output,
)
from crdtsync.cli.stores import exists
from crdtsync.config import Config, Resolved
from crdtsync.errors import OperatorError
from crdtsync.guarding import guard_folder, guard_of

if TYPE_CHECKING:
    from crdtsync.refused.base import Entry, Quarantine

__all__ = ["quarantine"]

T = TypeVar("T")
MAX_ENTRIES: Final = 100_000
"""What ``--all`` means at most."""


@click.group()
def quarantine() -> None:
    """See, export, apply and drop updates that were refused.

    What a role or a gate does not let in is kept, bounded, and may be let in after all. This is
    about single updates; `crdtsync documents quarantined` is about documents that kill the
    server.
    """


def _selection(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command IDs, or ``--all`` with filters."""
    for decorate in (
        click.argument("ids", nargs=-1, type=click.IntRange(1, 2**63 - 1), metavar="[ID]..."),
        click.option("--all", "all_", is_flag=True, help="All that the filters leave."),
        click.option("--author", metavar="ID", help="Only of this principal; '' is anonymous."),
        click.option("--document", metavar="NAME", help="Only of this document."),
    ):
        function = decorate(function)
    return function


@quarantine.command("list", cls=Command)
@click.option("--document", metavar="NAME", help="Only of this document.")
@click.option("--author", metavar="ID", help="Only of this principal; '' is anonymous.")
@click.option(
    "--after",
    default=0,
    metavar="ID",
    type=click.IntRange(0, 2**63 - 1),
    help="Begin behind this entry.",
)
@click.option(
    "--limit",
    default=1000,
    metavar="N",
    type=click.IntRange(1, MAX_ENTRIES),
    help="At most so many.  [default: 1000]",
)
@json_option
@with_config("Store")
def list_(
    resolved: Resolved,
    *,
    document: str | None,
    author: str | None,
    after: int,
    limit: int,
    as_json: bool,
) -> None:
    """List refused updates, the oldest first.

    Updates of one connection that follow one another are one entry. Says also what was dropped
    over a limit.
    """
    from crdtsync.refused.base import Filter

    which = Filter(document=document, author=author, after=after)

    async def work(kept: "Quarantine") -> "tuple[list[Entry], Sequence[Any]]":
        return await kept.entries(which, limit=limit + 1), await kept.lost()

    found, lost = _with_quarantine(resolved.config, work) or ([], ())
    page = found[:limit]
    rest = page[-1].id if len(found) > limit else None
    if as_json:
        print_json(
            {
                "entries": [_fields(entry) for entry in page],
                "dropped": [asdict(each) for each in lost],
                "next_after": rest,
            }
        )
        return
    print_table(
        ("ID", "DOCUMENT", "AUTHOR", "NAME", "REASON", "FIRST", "LAST", "UPDATES", "SIZE"),
        (
            (
                str(entry.id),
                entry.document,
                entry.author or "-",
                entry.name or "-",
                entry.reason,
                human_time(entry.first_ms),
                human_time(entry.last_ms),
                str(entry.updates),
                human_bytes(entry.size),
            )
            for entry in page
        ),
        right=("ID", "UPDATES", "SIZE"),
    )
    for each in lost:
        what = f"{counted(each.updates, 'update')}, {human_bytes(each.size)}"
        note(f"Not kept, ever, by {each.cause}: {what}")
    if rest is not None:
        note(f"There are more: --after {rest}")
    elif not page:
        note("No refused updates.")


@quarantine.command(cls=Command)
@click.argument("id_", metavar="ID", type=click.IntRange(1, 2**63 - 1))
@json_option
@with_config("Store")
def show(resolved: Resolved, *, id_: int, as_json: bool) -> None:
    """Show one entry, and what is in its update."""
    from crdtsync.documents.refused import refused_content

    (entry,) = _select(resolved.config, (id_,), None, None, all_=False)
    content = refused_content(entry, resolved.config.limits)
    if as_json:
        print_json(_fields(entry) | asdict(content))
        return
    ranges = ", ".join(f"{client}: {start} to {end - 1}" for client, start, end in content.ranges)
    print_table(
        ("FIELD", "VALUE"),
        (
            ("id", str(entry.id)),
            ("document", entry.document),
            ("author", entry.author or "-"),
            ("name", entry.name or "-"),
            ("kind", entry.kind),
            ("reason", entry.reason),
            ("first", human_time(entry.first_ms)),
            ("last", human_time(entry.last_ms)),
            ("updates", str(entry.updates)),
            ("size", human_bytes(entry.size)),
            ("brings", ranges or "nothing"),
            ("deletes", str(content.deleted)),
            ("roots", ", ".join(content.roots) or "-"),
            ("text", content.text or "-"),
        ),
    )


@quarantine.command(cls=Command)
@_selection
@click.option(
    "--separate", is_flag=True, help="One file per entry, ID.bin, in the folder of --output."
)
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Write here; - is stdout.  [default: -]"
)
@with_config("Store")
def export(
    resolved: Resolved,
    *,
    ids: tuple[int, ...],
    document: str | None,
    author: str | None,
    all_: bool,
    separate: bool,
    output: str,
) -> None:
    """Write refused updates of one document as one Yjs v1 update.

    `crdtsync documents import --merge` takes it, and Y.applyUpdate. What is exported stays in the
    quarantine.
    """
    from crdtsync.documents.refused import join_refused

    if separate and output == "-":
        raise click.UsageError("--separate needs a folder: name it with -o")
    if not separate and output == "-" and on_terminal():
        raise click.UsageError("an update is binary: write it to a file with -o, or into a pipe")
    entries = _select(resolved.config, ids, document, author, all_=all_)
    if separate:
        try:
            Path(output).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OperatorError(
                f"can't make the folder {output}: {error.strerror}", hint="Name another with -o"
            ) from None
        for entry in entries:
            write_output(str(Path(output) / f"{entry.id}.bin"), entry.update)
        note(f"Wrote {counted(len(entries), 'file')} into {output}")
        return
    if len({entry.document for entry in entries}) > 1:
        raise click.UsageError("these are of several documents: name one with --document")
    write_output(output, join_refused(entries, resolved.config.limits))


@quarantine.command(cls=Command)
@_selection
@click.option(
    "--server",
    metavar="URL",
    help="The running server, http://HOST:PORT.  [default: the configured address]",
)
@click.option(
    "--token-file", metavar="FILE", help="An admin's token for the running server; - is stdin."
)
@json_option
@with_config("Listening", "Store")
def apply(
    resolved: Resolved,
    *,
    ids: tuple[int, ...],
    document: str | None,
    author: str | None,
    all_: bool,
    server: str | None,
    token_file: str | None,
    as_json: bool,
) -> int:
    """Let refused updates into their documents after all.

    They become ordinary edits of their authors, and leave the quarantine. What builds on edits
    that a document lacks stays: apply those first, or all of an author's together with --document,
    --author and --all. With the server stopped this writes the store; while it runs, it asks the
    server. Exits with 1 where something was left.
    """
    from crdtsync.cli.applying import apply_entries

    entries = _select(resolved.config, ids, document, author, all_=all_)
    done = apply_entries(
        resolved.config, entries, guard_of(resolved.config.store), server, token_file
    )

    async def drop(kept: "Quarantine") -> int:
        return await kept.drop(done.applied)

    _with_quarantine(resolved.config, drop, writes=True)
    if as_json:
        left = [{"id": entry.id, "reason": reason} for entry, reason in done.left]
        print_json({"applied": [entry.id for entry in done.applied], "left": left})
        return 1 if done.left else 0
    if done.applied:
        updates = sum(entry.updates for entry in done.applied)
        note(f"Applied {counted(updates, 'update')} of {_entries(done.applied)}.")
    for entry, reason in done.left:
        note(f"Entry {entry.id} of document {entry.document} was not applied: {reason}.")
    if done.left and not all_:
        entry = done.left[0][0]
        note(
            "All of an author's are applied in order by --document "
            f"{entry.document} --author {entry.author or repr('')} --all"
        )
    return 1 if done.left else 0


@quarantine.command(cls=Command)
@_selection
@click.option("--yes", is_flag=True, help="Don't ask.")
@with_config("Store")
def drop(
    resolved: Resolved,
    *,
    ids: tuple[int, ...],
    document: str | None,
    author: str | None,
    all_: bool,
    yes: bool,
) -> int:
    """Drop refused updates, for good."""
    from crdtsync.cli.documents import confirmed

    entries = _select(resolved.config, ids, document, author, all_=all_)
    size = human_bytes(sum(entry.size for entry in entries))
    if not yes and not confirmed(f"Drop {_entries(entries)}, {size}? [y/N] "):
        note("Nothing dropped.")
        return 1

    async def work(kept: "Quarantine") -> int:
        return await kept.drop(entries)

    dropped = _with_quarantine(resolved.config, work, writes=True) or 0
    note(f"Dropped {dropped} of {_entries(entries)}.")
    if dropped < len(entries):
        note("The others have grown meanwhile: look at them again.")
    return 0 if dropped == len(entries) else 1


def _select(
    config: Config, ids: tuple[int, ...], document: str | None, author: str | None, *, all_: bool
) -> "list[Entry]":
    """Return the entries that are meant, whole. Raises ``OperatorError`` where there are none."""
    from crdtsync.documents import DocumentError
    from crdtsync.refused.base import Filter

    if bool(ids) == all_:
        raise click.UsageError("name entries by their IDs, or say --all")
    which = Filter(ids=ids or None, document=document, author=author)

    async def work(kept: "Quarantine") -> "list[Entry]":
        return await kept.entries(which, limit=MAX_ENTRIES, whole=True)

    found = _with_quarantine(config, work) or []
    missing = sorted(set(ids) - {entry.id for entry in found})
    if missing:
        numbers = ", ".join(map(str, missing))
        raise DocumentError(
            f"the quarantine has no entry {numbers}", hint="See crdtsync quarantine list"
        )
    if not found:
        raise DocumentError("the quarantine has no such entries")
    return found


def _with_quarantine(
    config: Config, work: "Callable[[Quarantine], Awaitable[T]]", *, writes: bool = False
) -> T | None:
    """Open the store's quarantine, beside a server too; ``None`` where there is none."""
    import anyio

    from crdtsync.refused.keeping import FILE, RefusedUpdates

    folder = guard_folder(config.store)
    if folder is None:
        raise OperatorError(
            f"the quarantine of {config.store} is in the server's memory",
            hint="Ask the server, at /api/v1/quarantine",
        )
    if not exists(folder / FILE):
        return None

    async def run() -> T:
        async with RefusedUpdates(folder, config.limits, insist=True, read_only=not writes) as kept:
            return await work(kept)

    return anyio.run(run)


def _entries(entries: "Sequence[Entry]") -> str:
    return "1 entry" if len(entries) == 1 else f"{len(entries)} entries"


def _fields(entry: "Entry") -> dict[str, Any]:
    fields = asdict(entry)
    del fields["update"]
    return fields
