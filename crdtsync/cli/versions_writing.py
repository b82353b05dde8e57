"""What ``crdtsync versions`` does to documents: older moments back, and an author's work undone."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from crdtsync.cli.histories import AGES, MOMENT, ROOT, told, with_history
from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import counted, human_bytes, human_time, note, print_json
from crdtsync.config import Resolved

if TYPE_CHECKING:
    from crdtsync.history.restorer import Restored
    from crdtsync.history.retaining import Pruned
    from crdtsync.history.retention import Retention
    from crdtsync.history.service import Histories

__all__ = ["erase", "prune", "restore", "undo"]

_AS = click.option(
    "--as", "author_", default="", metavar="ID", help="Who does it: a principal's id."
)
_YES = click.option("--yes", is_flag=True, help="Don't ask.")


@click.command(cls=Command)
@click.argument("document")
@click.option("--at", type=MOMENT, required=True, metavar="MOMENT", help="The moment.")
@ROOT
@click.option("--note", "remark", default="", metavar="TEXT", help="Why.")
@_AS
@_YES
@json_option
@with_config("Store")
def restore(
    resolved: Resolved,
    *,
    document: str,
    at: str,
    root: str | None,
    remark: str,
    author_: str,
    yes: bool,
    as_json: bool,
) -> int:
    """Make DOCUMENT, or one root of it, what it was at a moment.

    That is an ordinary edit, which can be undone and restored from: a version of the moment before
    is made. Needs the store for itself; a running server is asked over HTTP, at
    /api/v1/history/restore.
    """
    from crdtsync.cli.documents import confirmed
    from crdtsync.gate import Principal

    what = f"root {root} of {document}" if root is not None else document

    async def work(history: "Histories") -> "Restored | None":
        nonlocal what
        found = await history.resolve(document, at)
        moment = f"{human_time(found.time_ms)} (sequence {found.sequence})"
        if not yes and not confirmed(f"Make {what} what it was at {moment}? [y/N] "):
            return None
        what = f"{what} to {moment}"
        with told(f"Restoring {document}"):
            return await history.restore(
                document,
                at if found.version is not None else f"s{found.sequence}",
                root=root,
                note=remark,
                principal=Principal(id=author_),
            )

    done = with_history(resolved.config, work, document=document, needs="store")
    if done is None:
        note("Nothing restored.")
        return 1
    _tell(document, done, as_json, f"Restored {what}")
    return 0


@click.command(cls=Command)
@click.argument("document")
@click.option("--author", required=True, metavar="ID", help="Whose work; '' is the anonymous.")
@click.option("--since", type=MOMENT, required=True, metavar="MOMENT", help="From here on.")
@click.option(
    "--until", type=MOMENT, default="now", metavar="MOMENT", help="Up to here.  [default: now]"
)
@_AS
@_YES
@json_option
@with_config("Store")
def undo(
    resolved: Resolved,
    *,
    document: str,
    author: str,
    since: str,
    until: str,
    author_: str,
    yes: bool,
    as_json: bool,
) -> int:
    """Take back what one author did in DOCUMENT, and leave what others did.

    Otherwise like `restore`. `crdtsync versions activity DOCUMENT --json` has the authors' ids.
    """
    from crdtsync.cli.documents import confirmed
    from crdtsync.gate import Principal

    who = author or "the anonymous"
    what = f"what {who} did in {document}"

    async def work(history: "Histories") -> "Restored | None":
        for moment in (since, until):
            await history.resolve(document, moment)
        if not yes and not confirmed(f"Take back {what} from {since} to {until}? [y/N] "):
            return None
        with told(f"Undoing in {document}"):
            return await history.undo(
                document,
                author=author,
                since=since,
                until=until,
                principal=Principal(id=author_),
            )

    done = with_history(resolved.config, work, document=document, needs="store")
    if done is None:
        note("Nothing undone.")
        return 1
    _tell(document, done, as_json, f"Took back {what}")
    return 0


def _tell(document: str, done: "Restored", as_json: bool, what: str) -> None:
    from crdtsync.history.words import restored_fields

    if as_json:
        print_json(restored_fields(document, done.sequence, done.changed, done.version_before))
    elif not done.changed:
        note(f"{document} is so already: nothing changed.")
    else:
        before = done.version_before
        back = "" if before is None else f"; the moment before is version v{before.id}"
        note(f"{what}{back}.")


@click.command(cls=Command)
@click.argument("names", metavar="DOCUMENT...", nargs=-1, required=True)
@click.option(
    "--keep",
    type=AGES,
    metavar="AGES",
    help="Up to which age all moments are kept, then the last of each hour, then the last of each "
    "day: 30d/90d/730d; forever keeps all.  [default: as configured]",
)
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@_YES
@json_option
@with_config("Store")
def prune(
    resolved: Resolved,
    *,
    names: tuple[str, ...],
    keep: "Retention | None",
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Let go of the moments of documents by their age, for good.

    Named versions stay with their moments. Works beside a running server, which does the same by
    itself, as configured.
    """
    from crdtsync.cli.documents import confirmed

    if not (dry_run or yes or confirmed(f"Prune {counted(len(names), 'document')}? [y/N] ")):
        note("Nothing pruned.")
        return 1
    done: list[Pruned] = []
    for name in dict.fromkeys(names):

        async def work(history: "Histories", name: str = name) -> "Pruned":
            return await history.prune(name, keep, dry_run=dry_run)

        doing = f"Pruning {name}"
        done.append(
            with_history(
                resolved.config,
                work,
                document=name,
                doing=doing,
                needs="process",
                writes=not dry_run,
            )
        )
        if not as_json:
            _tell_pruned(done[-1], "Would let go" if dry_run else "Let go")
    if as_json:
        print_json({"pruned": [asdict(each) for each in done]})
    return 0


@click.command(cls=Command)
@click.argument("document", required=False)
@click.option("--before", type=MOMENT, metavar="MOMENT", help="All before this moment.")
@click.option("--author", metavar="ID", help="This person, in all documents.")
@_YES
@json_option
@with_config("Store")
def erase(
    resolved: Resolved,
    *,
    document: str | None,
    before: str | None,
    author: str | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Make the past of DOCUMENT before a moment unknown, or a person in all documents.

    Content that was deleted by then goes as well. What is erased can't be had back. Needs the store
    for itself; a running server is asked over HTTP, at /api/v1/history/erase.
    """
    from crdtsync.cli.documents import confirmed

    if (document is None) == (not author) or (document is None) != (before is None):
        raise click.UsageError("say DOCUMENT and --before, or --author")
    what = f"{author} in all documents" if document is None else f"{document} before {before}"
    if not yes and not confirmed(f"Erase {what}, for good? [y/N] "):
        note("Nothing erased.")
        return 1

    async def work(history: "Histories") -> "Pruned | int":
        if document is None or before is None:
            return await history.erase_author(author or "")
        return await history.erase_before(document, before)

    done = with_history(
        resolved.config, work, document=document or "", doing="Erasing", needs="hub"
    )
    if isinstance(done, int):
        if as_json:
            print_json({"documents": done})
        else:
            note(f"Erased {author}, who was in {counted(done, 'document')}.")
    elif as_json:
        print_json(asdict(done))
    else:
        _tell_pruned(done, "Erased")
    return 0


def _tell_pruned(done: "Pruned", what: str) -> None:
    gone = counted(done.moments_before - done.moments, "moment")
    named = f", {counted(done.versions, 'version')}" if done.versions else ""
    sizes = f"{human_bytes(done.bytes_before)} to {human_bytes(done.bytes)}"
    note(f"{what} {gone} of {done.document}{named}; {done.moments} left, {sizes}.")
