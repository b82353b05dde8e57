"""``crdtsync shares``: make, list, show and revoke share links."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from crdtsync.cli.access import WHEN, with_access
from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import human_time, note, print_json, print_table
from crdtsync.config import Resolved
from crdtsync.errors import OperatorError

if TYPE_CHECKING:
    from crdtsync.access.links import Share, Visitor
    from crdtsync.access.revocations import Revocations
    from crdtsync.access.shares import MadeShare, Shares

__all__ = ["shares"]


@click.group()
def shares() -> None:
    """Make, list, show and revoke share links.

    Who has a link joins its document without an account, in the link's role. All of these work
    beside a running server.
    """


@shares.command(cls=Command)
@click.argument("document")
@click.option("--role", default="read", help="What visitors may do.  [default: read]")
@click.option("--label", default="", metavar="TEXT", help="What it is for; only you see it.")
@click.option(
    "--password",
    "wants_password",
    is_flag=True,
    help="Ask for a password that visitors have to give; read a line where nobody can be asked.",
)
@click.option("--expires", type=WHEN, metavar="TIME", help="When it ends: 7d, 2030-01-31T12:00Z.")
@click.option(
    "--max-uses", type=click.IntRange(1), metavar="N", help="So many visitors may join by it."
)
@json_option
@with_config("Store")
def create(
    resolved: Resolved,
    *,
    document: str,
    role: str,
    label: str,
    wants_password: bool,
    expires: int | None,
    max_uses: int | None,
    as_json: bool,
) -> None:
    """Make a share link to DOCUMENT.

    Prints the token, this once: it is kept as a digest only.
    """
    from crdtsync.protocol import check_document_name

    check_document_name(document, max_bytes=resolved.config.limits.max_document_name_bytes)
    password = _ask() if wants_password else ""

    async def work(links: "Shares", _: "Revocations") -> "MadeShare":
        return await links.create(
            document,
            role,
            label=label,
            password=password,
            expires_ms=expires,
            max_uses=max_uses,
        )

    made = with_access(resolved.config, work)
    path = f"/{quote(document, safe='')}?token={made.token}"
    if as_json:
        print_json(_fields(made.share, []) | {"token": made.token, "path": path})
        return
    click.echo(made.token)
    note(f"Share link {made.share.id} gives {role}: connect to wss://HOST{path}")


def _ask() -> str:
    if sys.stdin is not None and sys.stdin.isatty():
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n") if sys.stdin is not None else ""
    if not password:
        raise click.UsageError("the password is empty")
    return password


@shares.command("list", cls=Command)
@click.argument("document", required=False)
@json_option
@with_config("Store")
def list_(resolved: Resolved, *, document: str | None, as_json: bool) -> None:
    """List share links, and how many are there by each; with DOCUMENT, only its own."""
    found, visitors = with_access(resolved.config, _reading(document), read_only=True)
    if as_json:
        print_json({"shares": [_fields(each, visitors) for each in found]})
        return
    from crdtsync.clock import SystemClock

    now_ms = SystemClock().time_ms()
    print_table(
        ("ID", "DOCUMENT", "ROLE", "STATE", "EXPIRES", "USES", "VISITORS", "LABEL"),
        (
            (
                each.id,
                each.document,
                each.role,
                each.state(now_ms),
                human_time(each.expires_ms or 0),
                f"{each.uses} of {each.max_uses}" if each.max_uses else "-",
                str(sum(visitor.share == each.id for visitor in visitors)),
                each.label,
            )
            for each in found
        ),
        right=("USES", "VISITORS"),
    )
    if not found:
        note("No share links.")


def _reading(document: str | None) -> Any:
    async def work(links: "Shares", _: "Revocations") -> "tuple[list[Share], list[Visitor]]":
        found: list[Share] = []
        while page := await links.listed(document, after=found[-1].id if found else ""):
            found += page
        return found, await links.kept_visitors()

    return work


@shares.command(cls=Command)
@click.argument("id")
@json_option
@with_config("Store")
def show(resolved: Resolved, *, id: str, as_json: bool) -> None:
    """Show a share link, and who is there by it."""

    async def work(links: "Shares", _: "Revocations") -> "tuple[Share | None, list[Visitor]]":
        return await links.find(id), await links.kept_visitors()

    share, visitors = with_access(resolved.config, work, read_only=True)
    if share is None:
        raise _unknown(id)
    fields = _fields(share, visitors)
    if as_json:
        print_json(fields)
        return
    present = fields.pop("visitors")
    times = {"created_ms": "created", "expires_ms": "expires", "revoked_ms": "revoked"}
    print_table(
        ("FIELD", "VALUE"),
        (
            (times[name], human_time(value or 0)) if name in times else (name, _text(value))
            for name, value in fields.items()
        ),
    )
    click.echo()
    print_table(
        ("VISITOR", "NAME", "SINCE", "CONNECTIONS"),
        (
            (
                each["principal"],
                each["name"],
                human_time(each["since_ms"]),
                str(each["connections"]),
            )
            for each in present
        ),
        right=("CONNECTIONS",),
    )


@shares.command("revoke", cls=Command)
@click.argument("id")
@with_config("Store")
def revoke_(resolved: Resolved, *, id: str) -> None:
    """Revoke a share link: nobody joins by it, and who is there is sent away within seconds."""

    async def work(links: "Shares", _: "Revocations") -> bool:
        return await links.revoke(id)

    if not with_access(resolved.config, work):
        raise _unknown(id)
    note(f"Revoked share link {id}.")


def _unknown(share: str) -> OperatorError:
    return OperatorError(f"there is no open share link {share}", hint="See crdtsync shares list")


def _fields(share: "Share", visitors: "list[Visitor]") -> dict[str, Any]:
    present = [asdict(each) for each in visitors if each.share == share.id]
    return asdict(share) | {"visitors": present}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value in (None, "") else str(value)
