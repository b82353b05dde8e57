"""``crdtsync revoke``: end what somebody's tokens, or a share link, are worth."""

from typing import TYPE_CHECKING

import click

from crdtsync.cli.access import WHEN, with_access
from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import human_time, note, print_json, print_table
from crdtsync.config import Resolved
from crdtsync.errors import OperatorError

if TYPE_CHECKING:
    from crdtsync.access.revocations import Revocations
    from crdtsync.access.shares import Shares

__all__ = ["revoke"]


@click.command(cls=Command)
@click.argument("principal", required=False)
@click.option("--share", metavar="ID", help="Revoke this share link instead of a principal.")
@click.option(
    "--before",
    type=WHEN,
    metavar="TIME",
    help="Refuse tokens issued before this time.  [default: now]",
)
@click.option(
    "--until", type=WHEN, metavar="TIME", help="Forget it then.  [default: it stays until --undo]"
)
@click.option("--links", is_flag=True, help="Revoke the share links that it made, too.")
@click.option("--undo", is_flag=True, help="Take the revocation back.")
@click.option("--list", "listing", is_flag=True, help="List who is revoked.")
@json_option
@with_config("Store")
def revoke(
    resolved: Resolved,
    *,
    principal: str | None,
    share: str | None,
    before: int | None,
    until: int | None,
    links: bool,
    undo: bool,
    listing: bool,
    as_json: bool,
) -> None:
    """Refuse the tokens of PRINCIPAL that were issued before now.

    Works beside a running server: within a second it closes the open connections with 4401. A
    token that was issued later is taken; one that does not say when it was issued is refused.
    Write times as 2030-01-31T12:00Z, or from now: 90s, 15m, 12h, 7d.
    """
    if (principal is not None) + (share is not None) + listing != 1:
        raise click.UsageError("name a PRINCIPAL, or --share ID, or --list")
    if (listing or share is not None) and (links or before is not None or until is not None):
        raise click.UsageError("--before, --until and --links go with a PRINCIPAL")

    async def work(shares: "Shares", revocations: "Revocations") -> None:
        if listing:
            _print(revocations, as_json=as_json)
        elif share is not None:
            done = await (shares.reinstate(share) if undo else shares.revoke(share))
            if not done:
                state = "revoked" if undo else "open"
                raise OperatorError(
                    f"there is no {state} share link {share}", hint="See crdtsync shares list"
                )
            note(f"{'Reinstated' if undo else 'Revoked'} share link {share}.")
        elif undo:
            if not await revocations.undo(principal or ""):
                raise OperatorError(
                    f"{principal} is not revoked", hint="See crdtsync revoke --list"
                )
            note(f"{principal} is not revoked any more.")
        else:
            made = await revocations.revoke(principal or "", before_ms=before, until_ms=until)
            note(f"Revoked what {principal} was issued before {human_time(made.before_ms)}.")
            if links:
                note(f"Revoked share links: {len(await shares.revoke_of(made.principal))}.")

    with_access(resolved.config, work, read_only=listing)


def _print(revocations: "Revocations", *, as_json: bool) -> None:
    found = revocations.listed()
    if as_json:
        print_json(
            {
                "revocations": [
                    {
                        "principal": each.principal,
                        "before_ms": each.before_ms,
                        "until_ms": each.until_ms,
                        "created_ms": each.created_ms,
                    }
                    for each in found
                ]
            }
        )
        return
    print_table(
        ("PRINCIPAL", "ISSUED BEFORE", "UNTIL", "REVOKED"),
        (
            (
                each.principal,
                human_time(each.before_ms),
                human_time(each.until_ms or 0),
                human_time(each.created_ms),
            )
            for each in found
        ),
    )
    if not found:
        note("Nobody is revoked.")
