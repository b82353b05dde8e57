"""``crdtsync documents``: list, show, export, import and delete what a store holds."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

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
    printable,
    write_output,
)
from crdtsync.cli.quarantine import quarantined, release
from crdtsync.cli.stores import histories_of, with_store
from crdtsync.config import Resolved
from crdtsync.errors import OperatorError
from crdtsync.guarding import guard_of

# What needs the store or the CRDT is imported where it is called: `serve` has none of it.
if TYPE_CHECKING:
    from crdtsync.documents import DocumentDetails, Exported, ExportFormat, Imported, RootDetails
    from crdtsync.store.base import Damage, DocumentInfo, Store

__all__ = ["confirmed", "documents"]


@click.group()
def documents() -> None:
    """List, show, export, import and delete documents.

    Works on the store itself. `import` and `delete` need it for themselves; the others may run
    beside a server.
    """


for _command in (quarantined, release):
    documents.add_command(_command)


@documents.command("list", cls=Command)
@click.option("--prefix", default="", metavar="TEXT", help="Only names that begin with this.")
@click.option("--after", default="", metavar="NAME", help="Begin behind this name.")
@click.option(
    "--limit",
    default=1000,
    metavar="N",
    type=click.IntRange(1, 1_000_000),
    help="At most so many.  [default: 1000]",
)
@json_option
@with_config("Store")
def list_(resolved: Resolved, *, prefix: str, after: str, limit: int, as_json: bool) -> None:
    """List documents by name.

    Where there are more than --limit, says with which --after to go on.
    """

    from crdtsync import documents as library

    async def work(store: "Store") -> "list[DocumentInfo]":
        # One more than asked for tells whether there is a next page.
        return await library.list_documents(store, prefix=prefix, after=after, limit=limit + 1)

    found = with_store(resolved.config, work)
    page = found[:limit]
    rest = page[-1].name if len(found) > limit else None
    shut_out = {record.document for record in guard_of(resolved.config.store).listed()}
    if as_json:
        entries = [asdict(info) | {"quarantined": info.name in shut_out} for info in page]
        print_json({"documents": entries, "next_after": rest})
        return
    print_table(
        ("NAME", "UPDATES", "SIZE", "CREATED", "UPDATED", "STATE"),
        (
            (
                info.name,
                str(info.sequence),
                human_bytes(info.checkpoint_bytes + info.log_bytes),
                human_time(info.created_ms),
                human_time(info.updated_ms),
                "quarantined" if info.name in shut_out else "served",
            )
            for info in page
        ),
        right=("UPDATES", "SIZE"),
    )
    if rest is not None:
        note(f"There are more: --after {rest}")
    elif not page:
        note("No documents.")


@documents.command(cls=Command)
@click.argument("name")
@json_option
@with_config("Store")
def show(resolved: Resolved, *, name: str, as_json: bool) -> None:
    """Show a document's metadata, its roots, their kinds and sizes.

    A root is a shared type that the application gets by name: doc.getText('content').
    """

    from crdtsync import documents as library

    config = resolved.config
    guard = guard_of(config.store)

    async def work(store: "Store") -> "DocumentDetails":
        return await library.document_info(store, name, limits=config.limits, guard=guard)

    details = with_store(config, work)
    info = details.info
    if as_json:
        print_json(asdict(details))
        return
    print_table(
        ("FIELD", "VALUE"),
        (
            ("name", info.name),
            ("updates", str(info.sequence)),
            ("created", human_time(info.created_ms)),
            ("updated", human_time(info.updated_ms)),
            (
                "checkpoint",
                f"{human_bytes(info.checkpoint_bytes)}, updates 1 to {info.checkpoint_sequence}"
                if info.checkpoint_sequence
                else "-",
            ),
            ("log", f"{human_bytes(info.log_bytes)}, {counted(info.log_records, 'update')}"),
            ("state", human_bytes(details.state_bytes)),
            ("clients", str(details.clients)),
            *([("quarantined", details.quarantined)] if details.quarantined else []),
        ),
    )
    click.echo()
    print_table(
        ("ROOT", "KIND", "SIZE"),
        ((root.name, root.kind, _root_size(root)) for root in details.roots),
        right=("SIZE",),
    )
    _warn(details.damage)
    if details.quarantined:
        note("What is in it is not read: that may be what the server dies of.")


@documents.command(cls=Command)
@click.argument("name")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("update", "json", "text")),
    default="update",
    help="A Yjs v1 update (whole, can be imported), JSON, or one root's plain text.  "
    "[default: update]",
)
@click.option("--root", metavar="ROOT", help="This root only; for json and text.")
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Write here; - is stdout.  [default: -]"
)
@with_config("Store")
def export(
    resolved: Resolved, *, name: str, format_: "ExportFormat", root: str | None, output: str
) -> int:
    """Write a document to a file or to stdout.

    Of a damaged document it writes what is sound, and exits with 1. A quarantined one can be had
    as an update only, which is put together from the stored bytes.
    """
    from crdtsync import documents as library

    if root is not None and format_ == "update":
        raise click.UsageError("--root goes with --format json or text: an update is always whole")
    if format_ == "update" and output == "-" and on_terminal():
        raise click.UsageError("an update is binary: write it to a file with -o, or into a pipe")

    guard = guard_of(resolved.config.store)

    async def work(store: "Store") -> "Exported":
        return await library.export_document(
            store, name, format=format_, root=root, limits=resolved.config.limits, guard=guard
        )

    exported = with_store(resolved.config, work)
    write_output(output, exported.data)
    _warn(exported.damage)
    return 0 if exported.damage is None else 1


@documents.command("import", cls=Command)
@click.argument("name")
@click.argument("file")
@click.option("--merge", is_flag=True, help="Add to a document that is already there.")
@with_config("Store")
def import_(resolved: Resolved, *, name: str, file: str, merge: bool) -> None:
    """Import a Yjs v1 update from FILE (- is stdin) as document NAME.

    The update is what Y.encodeStateAsUpdate(doc) or `export` gives; it is checked before anything
    is stored. A document that is already there is changed with --merge only.
    """
    from crdtsync import documents as library

    limits = resolved.config.limits
    guard = guard_of(resolved.config.store)
    update = _read(file, library.MAX_IMPORT_BYTES + 1)

    async def work(store: "Store") -> "Imported":
        async with histories_of(resolved.config) as histories:
            return await library.import_document(
                store, name, update, merge=merge, limits=limits, guard=guard, history=histories
            )

    imported = with_store(resolved.config, work, read_only=False, create=True)
    if not imported.changed:
        note(f"Document {name} already held everything: nothing changed.")
    elif imported.created:
        note(f"Created document {name} from {human_bytes(len(update))}.")
    else:
        note(f"Merged {human_bytes(len(update))} into document {name}.")


@documents.command(cls=Command)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Don't ask.")
@with_config("Store", "Channels")
def delete(resolved: Resolved, *, name: str, yes: bool) -> int:
    """Delete a document with its whole log and history, for good.

    Of a document that has a chat its archives go first.

    A client that still holds it brings its content back when it connects. A quarantined document
    stays quarantined, by its name: release it, too, to use the name again.
    """
    from crdtsync import documents as library

    async def work(store: "Store") -> bool:
        info = await store.info(name)
        if info is None:
            raise library.DocumentNotFound(f"there is no document {name!r}")
        archives = await _archives(resolved, store, name)
        size = human_bytes(info.checkpoint_bytes + info.log_bytes)
        updates, last = counted(info.sequence, "update"), human_time(info.updated_ms)
        what = f"document {name}: {updates}, {size}, last {last}"
        if archives:
            what += f", and {counted(len(archives), 'archive')} of its chat"
        if not yes and not confirmed(f"Delete {what}? [y/N] "):
            return False
        async with histories_of(resolved.config) as histories:
            for each in (*archives, name):
                await library.delete_document(store, each, history=histories)
        note(f"Deleted {what}.")
        return True

    if with_store(resolved.config, work, read_only=False):
        return 0
    note("Nothing deleted.")
    return 1


async def _archives(resolved: Resolved, store: "Store", name: str) -> list[str]:
    """Return the names of a document's archives, where by the configuration it has a chat."""
    from crdtsync.channels.archiving import archive_names
    from crdtsync.channels.names import archive_of
    from crdtsync.channels.rules import ChannelRules

    rules = ChannelRules(chat=resolved.config.chat)
    if archive_of(name) is not None or not rules.chats(name):
        return []
    return await archive_names(store, name)


def confirmed(question: str) -> bool:
    """Ask on stderr; return whether the answer on stdin is yes."""
    click.echo(printable(question), nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:
        click.echo(err=True)
        raise OperatorError("nobody answers on stdin", hint="Say --yes to do it without asking")
    return answer.strip().lower() in ("y", "yes")


def _read(file: str, most: int) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read(most)
    try:
        with open(file, "rb") as source:
            return source.read(most)
    except OSError as error:
        raise OperatorError(f"can't read {file}: {error.strerror}") from None


def _root_size(root: "RootDetails") -> str:
    return counted(root.size, "character") if root.kind == "text" else human_bytes(root.size)


def _warn(damage: "Damage | None") -> None:
    if damage is not None:
        note(
            f"Damaged from sequence {damage.sequence} on ({damage.problem}): this is what comes "
            "before it. See crdtsync check."
        )
