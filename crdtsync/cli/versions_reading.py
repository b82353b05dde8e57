"""What ``crdtsync versions`` tells of moments: what changed, who wrote it, who worked when."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from crdtsync.cli.histories import AT, MOMENT, ROOT, with_history
from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import note, print_json, print_table
from crdtsync.cli.versions_shown import (
    blame_rows,
    diff_rows,
    print_rows,
    shown_author,
    shown_time,
)
from crdtsync.config import Resolved

if TYPE_CHECKING:
    from crdtsync.history.service import Histories

__all__ = ["activity", "blame", "diff"]


@click.command(cls=Command)
@click.argument("document")
@click.option(
    "--from", "older", type=MOMENT, required=True, metavar="MOMENT", help="The older moment."
)
@click.option(
    "--to",
    "newer",
    type=MOMENT,
    default="now",
    metavar="MOMENT",
    help="The newer moment.  [default: now]",
)
@ROOT
@json_option
@with_config("Store")
def diff(
    resolved: Resolved, *, document: str, older: str, newer: str, root: str | None, as_json: bool
) -> None:
    """Show what changed in DOCUMENT from one moment to another, by whom and when.

    Places are a root's, and within it an index or a key; of a text, how many UTF-16 units of the
    older one stand before.
    """

    async def work(history: "Histories") -> tuple[Mapping[str, Any], dict[str, Any]]:
        found = json.loads(await history.compare_json(document, older, newer, root=root))
        if as_json:
            return found, {}
        moment = f"s{found['from']['sequence']}"
        return found, json.loads(await history.read(document, moment, format="delta", root=None))

    found, content = with_history(
        resolved.config, work, document=document, doing=f"Comparing {document}"
    )
    if as_json:
        print_json(found)
        return
    note(f"{_moment(found['from'])} to {_moment(found['to'])}")
    if not print_rows(diff_rows(found, content), "CHANGE"):
        note("Nothing changed.")


@click.command(cls=Command)
@click.argument("document")
@AT
@ROOT
@json_option
@with_config("Store")
def blame(resolved: Resolved, *, document: str, at: str, root: str | None, as_json: bool) -> None:
    """Show who wrote each part of DOCUMENT, and when.

    Places are a root's, and within it an index, a key, or a text's line.
    """

    async def work(history: "Histories") -> Mapping[str, Any]:
        found: dict[str, Any] = json.loads(await history.blame_json(document, at, root=root))
        return found

    found = with_history(resolved.config, work, document=document, doing=f"Reading {document}")
    if as_json:
        print_json(found)
    elif not print_rows(blame_rows(found), "CONTENT"):
        note("There is nothing in it.")


@click.command(cls=Command)
@click.argument("document")
@click.option(
    "--before", type=MOMENT, metavar="MOMENT", help="Only sessions that ended before this."
)
@click.option(
    "--limit",
    default=50,
    metavar="N",
    type=click.IntRange(1, 1_000),
    help="At most about so many.  [default: 50]",
)
@json_option
@with_config("Store")
def activity(
    resolved: Resolved, *, document: str, before: str | None, limit: int, as_json: bool
) -> None:
    """Show who worked on DOCUMENT, from when to when, and how much; the newest first."""

    async def work(history: "Histories") -> Mapping[str, Any]:
        return await history.activity(document, before=before, limit=limit)

    found = with_history(resolved.config, work, document=document, doing=f"Reading {document}")
    if as_json:
        print_json(found)
        return
    print_table(
        ("AUTHOR", "FROM", "TO", "SEQUENCES", "INSERTED", "DELETED"),
        (
            (
                shown_author(each["author"], each["name"]),
                shown_time(each["from"]),
                shown_time(each["to"]),
                f"{each['first_sequence']} to {each['last_sequence']}",
                str(each["inserted"]),
                str(each["deleted"]),
            )
            for each in found["sessions"]
        ),
        right=("INSERTED", "DELETED"),
    )
    if found["next"] is not None:
        note(f"There are more: --before {found['next']}")
    elif not found["sessions"]:
        note("Nobody has.")


def _moment(moment: Mapping[str, Any]) -> str:
    return f"s{moment['sequence']} ({shown_time(moment['time'])})"
