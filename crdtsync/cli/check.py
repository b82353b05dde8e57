"""``crdtsync check``: prove that everything stored can be read and loaded."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import counted, note, print_json, printable
from crdtsync.cli.stores import histories_of, with_store
from crdtsync.config import Resolved
from crdtsync.errors import StoreDamaged, StoreError
from crdtsync.guarding import guard_of

if TYPE_CHECKING:
    from crdtsync.store.base import Finding, Store

__all__ = ["check"]


@click.command(cls=Command)
@click.option(
    "--repair",
    is_flag=True,
    help="Cut damaged documents back to what is sound, keeping what is cut beside the store.",
)
@json_option
@with_config("Store")
def check(resolved: Resolved, *, repair: bool, as_json: bool) -> int:
    """Read the whole store and report what is damaged.

    Checks the stored bytes, that a server can load every document, and the histories. May run
    beside a server, but --repair needs the store for itself. Exits with 0 where all is sound, 1
    where something is damaged (repaired or not), 2 where it could not run, or not to its end:
    then nothing that was read is damaged.
    """
    from crdtsync import documents as library
    from crdtsync.history.checking import check_histories
    from crdtsync.store.base import Finding

    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    ended: list[StoreError] = []
    guard = guard_of(resolved.config.store)

    def add(finding: Finding) -> None:
        counts[finding.level] += 1
        if as_json:
            findings.append(finding)
        elif finding.level != "ok":
            click.echo(_line(finding))

    async def work(store: "Store") -> None:
        limits = resolved.config.limits
        try:
            async for finding in library.check_store(
                store, repair=repair, limits=limits, guard=guard
            ):
                add(finding)
            async with histories_of(resolved.config, read_only=True) as histories:
                if histories is not None:
                    async for finding in check_histories(store, histories):
                        add(finding)
        except StoreDamaged as error:  # too damaged to go on: that is a finding, too
            add(Finding("", 0, "error", f"the check ended here: {error}"))
        except StoreError as error:  # it may be sound: who asks may not read it, or a disk fails
            ended.append(error)

    with_store(resolved.config, work, read_only=not repair)
    if as_json:
        sound = not counts["error"] and (None if ended else True)
        print_json({"sound": sound, "findings": [asdict(f) for f in findings]})
    else:
        note(
            f"{counted(counts['ok'], 'document')} sound, {counted(counts['error'], 'error')}, "
            f"{counted(counts['warning'], 'warning')}."
        )
    if ended and not counts["error"]:
        raise ended[0]
    for error in ended:
        note(f"The check ended before its end: {error}.")
    return 1 if counts["error"] else 0


def _line(finding: "Finding") -> str:
    where = f"{finding.document} at {finding.sequence}" if finding.document else "the store"
    repaired = " (repaired)" if finding.repaired else ""
    return printable(f"{finding.level}: {where}: {finding.message}{repaired}")
