"""``crdtsync versions``: moments of documents that have a name; made, listed, shown, removed."""

import json
from typing import TYPE_CHECKING, Any, Final

import click

from crdtsync.cli.histories import AT, ROOT, with_history
from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import (
    counted,
    human_time,
    note,
    on_terminal,
    print_json,
    print_table,
    printable,
    write_output,
)
from crdtsync.cli.versions_reading import activity, blame, diff
from crdtsync.cli.versions_shown import shown_author
from crdtsync.cli.versions_writing import erase, prune, restore, undo
from crdtsync.config import Resolved

if TYPE_CHECKING:
    from crdtsync.history.content import Format
    from crdtsync.history.model import Version, VersionKind
    from crdtsync.history.service import Histories

__all__ = ["versions"]

PAGE: Final = 1_000
"""Versions that are asked for at once."""
MAX_ID: Final = (1 << 63) - 1
KINDS: Final = ("named", "auto", "restore", "import")
FORMATS: Final = ("json", "rich", "delta", "text", "xml", "update", "snapshot")
_BINARY: Final = ("update", "snapshot")


@click.group()
def versions() -> None:
    """See, compare, attribute and restore any moment of a document.

    A moment is `now`, a version (`v12`), a sequence (`s345`), or a time with its zone
    (`2030-01-31T12:00:00Z`: the newest moment not after it). Works on the store itself. `restore`,
    `undo` and `erase` need it for themselves; all others may run beside a server.
    """


for _command in (diff, blame, activity, restore, undo, prune, erase):
    versions.add_command(_command)


@versions.command("list", cls=Command)
@click.argument("document")
@click.option("--kind", type=click.Choice(KINDS), help="Only these.")
@click.option(
    "--before", type=click.IntRange(1, MAX_ID), metavar="ID", help="Begin behind this version."
)
@click.option(
    "--limit",
    default=50,
    metavar="N",
    type=click.IntRange(1, 1_000_000),
    help="At most so many.  [default: 50]",
)
@click.option("--all", "all_", is_flag=True, help="All that there are.")
@json_option
@with_config("Store")
def list_(
    resolved: Resolved,
    *,
    document: str,
    kind: "VersionKind | None",
    before: int | None,
    limit: int,
    all_: bool,
    as_json: bool,
) -> None:
    """List the versions of DOCUMENT, the newest first.

    `named` ones were made by people, all others by the server: `auto` while people edited, and
    before a `restore` or an `import`.
    """
    from crdtsync.history.words import version_fields

    async def work(history: "Histories") -> "list[Version]":
        found: list[Version] = []
        wanted = None if all_ else limit + 1
        while wanted is None or len(found) < wanted:
            size = PAGE if wanted is None else min(PAGE, wanted - len(found))
            last = found[-1].id if found else before
            page = await history.versions(document, before=last, limit=size, kind=kind)
            found += page
            if len(page) < size:
                break
        if not found:
            await history.resolve(document, "now")  # or there is no such document
        return found

    found = with_history(resolved.config, work, document=document, doing="Listing versions")
    page = found if all_ else found[:limit]
    rest = page[-1].id if len(found) > len(page) else None
    if as_json:
        print_json({"versions": [version_fields(each) for each in page], "next_before": rest})
        return
    print_table(
        ("ID", "TIME", "KIND", "LABEL", "AUTHOR", "SEQUENCE"),
        (
            (
                f"v{each.id}",
                human_time(each.time_ms),
                each.kind,
                each.label or "-",
                shown_author(each.author, each.author_name) if each.author else "-",
                str(each.sequence),
            )
            for each in page
        ),
        right=("ID", "SEQUENCE"),
    )
    if rest is not None:
        note(f"There are more: --before {rest}, or --all")
    elif not page:
        note("No versions.")


@versions.command(cls=Command)
@click.argument("document")
@click.option("--label", required=True, metavar="TEXT", help="What to call it.")
@click.option("--note", "remark", default="", metavar="TEXT", help="More about it.")
@click.option("--as", "author", default="", metavar="ID", help="Whose it is: a principal's id.")
@json_option
@with_config("Store")
def create(
    resolved: Resolved, *, document: str, label: str, remark: str, author: str, as_json: bool
) -> None:
    """Give the present moment of DOCUMENT a name.

    Prints the version, as other commands take it. Beside a running server the present moment is
    what is stored by now.
    """
    from crdtsync.gate import Principal
    from crdtsync.history.words import version_fields

    _check_words(label, remark)

    async def work(history: "Histories") -> "Version":
        return await history.create(
            document, label=label, note=remark, principal=Principal(id=author)
        )

    made = with_history(resolved.config, work, document=document, writes=True)
    if as_json:
        print_json(version_fields(made))
        return
    click.echo(f"v{made.id}")
    note(f"Version v{made.id} of {document}: {human_time(made.time_ms)}, sequence {made.sequence}")


@versions.command(cls=Command)
@click.argument("document")
@AT
@ROOT
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="As JSON, JSON with all that shared types are, JSON with texts as Quill deltas, one "
    "root's text or XML, a Yjs v1 update, or a Yjs v1 snapshot.",
)
@click.option(
    "-o", "--output", default="-", metavar="FILE", help="Write here; - is stdout.  [default: -]"
)
@json_option
@with_config("Store")
def show(
    resolved: Resolved,
    *,
    document: str,
    at: str,
    root: str | None,
    format_: "Format | None",
    output: str,
    as_json: bool,
) -> None:
    """Show DOCUMENT as it was at a moment, or export it.

    An update opens with Y.applyUpdate and `crdtsync documents import`, a snapshot with
    Y.createDocFromSnapshot on a document that has everything.
    """

    if as_json and format_ not in (None, "json"):
        raise click.UsageError("--json is --format json: say one of them")
    if root is not None and format_ in _BINARY:
        raise click.UsageError(f"--root does not go with --format {format_}, which is whole")
    if format_ in _BINARY and output == "-" and on_terminal():
        raise click.UsageError(f"{format_} is binary: write it to a file with -o, or into a pipe")
    shape: Format = format_ or "json"

    async def work(history: "Histories") -> tuple[Any, bytes]:
        found = await history.resolve(document, at)
        moment = f"s{found.sequence}"
        return found, await history.read(document, moment, format=shape, root=root)

    found, data = with_history(
        resolved.config, work, document=document, doing=f"Reading {document}"
    )
    if output != "-" or shape in _BINARY:
        write_output(output, data)
    elif shape in ("text", "xml"):
        text = data.decode()
        click.echo("\n".join(map(printable, text.split("\n"))) if on_terminal() else text)
    elif format_ is not None or as_json:
        print_json(json.loads(data))
    else:
        _print_content(document, found, json.loads(data))


def _print_content(document: str, found: Any, content: dict[str, Any]) -> None:
    version = found.version
    print_table(
        ("FIELD", "VALUE"),
        (
            ("document", document),
            ("time", human_time(found.time_ms)),
            ("sequence", str(found.sequence)),
            *([("version", f"v{version.id} {version.label}".rstrip())] if version else []),
        ),
    )
    for name, root in content["roots"].items():
        click.echo()
        click.echo(f"{printable(name)} ({root['kind']})")
        value = root["value"]
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        for line in text.split("\n"):
            click.echo(printable(line))


@versions.command(cls=Command)
@click.argument("id_", metavar="VERSION")
@click.option("--label", metavar="TEXT", help="What to call it from now on.")
@click.option("--note", "remark", metavar="TEXT", help="More about it; '' for nothing.")
@json_option
@with_config("Store")
def rename(
    resolved: Resolved, *, id_: str, label: str | None, remark: str | None, as_json: bool
) -> None:
    """Give VERSION (v12) another label or note."""
    from crdtsync.history.words import version_fields

    number = _number(id_)
    if label is None and remark is None:
        raise click.UsageError("say --label, --note or both")
    _check_words(label, remark)

    async def work(history: "Histories") -> "Version":
        return await history.rename(number, label=label, note=remark)

    renamed = with_history(resolved.config, work, document="DOCUMENT", writes=True)
    if as_json:
        print_json(version_fields(renamed))
    else:
        note(f"Version v{renamed.id} is called {renamed.label or '-'}.")


@versions.command(cls=Command)
@click.argument("ids", metavar="VERSION...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Don't ask.")
@with_config("Store")
def remove(resolved: Resolved, *, ids: tuple[str, ...], yes: bool) -> int:
    """Remove versions (v12 v13).

    What was called so is kept as long as other moments are; `prune` lets moments go.
    """
    from crdtsync.cli.documents import confirmed

    numbers = [_number(each) for each in dict.fromkeys(ids)]

    async def look(history: "Histories") -> "list[Version]":
        return [await history.version(number) for number in numbers]

    found = with_history(resolved.config, look, document="DOCUMENT")
    for each in found:
        label = f" {each.label}" if each.label else ""
        note(f"v{each.id}{label}: {each.document}, {human_time(each.time_ms)}, {each.kind}")
    if not yes and not confirmed(f"Remove {counted(len(found), 'version')}? [y/N] "):
        note("Nothing removed.")
        return 1

    async def work(history: "Histories") -> None:
        for number in numbers:
            await history.remove(number)

    with_history(resolved.config, work, document="DOCUMENT", writes=True)
    note(f"Removed {counted(len(found), 'version')}.")
    return 0


def _number(text: str) -> int:
    digits = text.removeprefix("v")
    if not (digits.isascii() and digits.isdigit() and 0 < len(digits) < 19 and int(digits)):
        raise click.UsageError(f"{text!r} is no version: write v12")
    return int(digits)


def _check_words(label: str | None, remark: str | None) -> None:
    from crdtsync.history.words import wrong_words

    if wrong := wrong_words(label, remark):
        raise click.UsageError(wrong)
