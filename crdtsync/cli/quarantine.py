"""``crdtsync documents quarantined`` and ``release``: what the server died over, and its return."""

import click

from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import human_time, note, print_json, print_table
from crdtsync.config import Resolved
from crdtsync.guarding import guard_of

__all__ = ["quarantined", "release"]


@click.command(cls=Command)
@json_option
@with_config("Store")
def quarantined(resolved: Resolved, *, as_json: bool) -> None:
    """List the documents that the server died over.

    After the second death over a document nobody gets it any more: its clients are told so, and
    keep their edits. `export` writes such a document, without giving it to the CRDT library;
    `release` lets it be served again.
    """
    from crdtsync.documents import quarantined_documents

    records = quarantined_documents(guard_of(resolved.config.store))
    if as_json:
        print_json(
            {
                "documents": [
                    {
                        "name": record.document,
                        "time_ms": record.time_ms,
                        "reason": record.reason,
                        "deaths": [
                            {
                                "time_ms": death.time_ms,
                                "work": death.work.name.lower(),
                                "signal": death.signum,
                                "process": death.pid,
                            }
                            for death in record.deaths
                        ],
                    }
                    for record in records
                ]
            }
        )
        return
    print_table(
        ("NAME", "SINCE", "DEATHS", "LAST", "BY"),
        (
            (
                record.document,
                human_time(record.time_ms),
                str(len(record.deaths)),
                record.deaths[-1].work.phrase if record.deaths else "-",
                str(record.deaths[-1]) if record.deaths else "-",
            )
            for record in records
        ),
        right=("DEATHS",),
    )
    if not records:
        note("No documents are quarantined.")


@click.command(cls=Command)
@click.argument("name")
@with_config("Store")
def release(resolved: Resolved, *, name: str) -> None:
    """Let a quarantined document be served again.

    Works beside a running server, whose next client gets the document. If the server dies over
    it twice more, it is quarantined again.
    """
    from crdtsync.documents import release_document

    release_document(guard_of(resolved.config.store), name)
    note(f"Released document {name}.")
