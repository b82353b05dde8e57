"""The group of all commands, and the one place where an error becomes a line and a code."""

import errno
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, NoReturn

import click

from crdtsync.cli.check import check
from crdtsync.cli.config import config
from crdtsync.cli.documents import documents
from crdtsync.cli.output import mute, note
from crdtsync.cli.refused import quarantine
from crdtsync.cli.revoke import revoke
from crdtsync.cli.serve import serve
from crdtsync.cli.shares import shares
from crdtsync.cli.tokens import token
from crdtsync.cli.versions import versions
from crdtsync.config.values import nearest
from crdtsync.errors import CrdtsyncError, OperatorError

__all__ = ["Cli", "cli", "main"]

EXIT_FAILED: Final = 1
EXIT_OPERATOR: Final = 2
EXIT_INTERRUPTED: Final = 130
_NO_OUTPUT: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_NO_ARGUMENTS: Final = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""Older versions of click print the help themselves."""


class Group(click.Group):
    """A group that names the command which was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; refuse an unknown one with the nearest name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            meant = nearest(name, known) or f"; there are {', '.join(known)}"
            raise click.UsageError(f"there is no command {name}{meant}", ctx)
        return super().resolve_command(ctx, args)


class Cli(Group):
    """The outermost group: runs a command and turns what it raises into an exit code."""

    group_class = Group

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run and exit: a command returns its exit code, or nothing for 0."""
        try:
            code = super().main(
                args,
                prog_name=prog_name or "crdtsync",
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except (click.Abort, KeyboardInterrupt):
            sys.exit(EXIT_INTERRUPTED)
        except _NO_ARGUMENTS as error:  # a group alone: its help, as it is laid out
            click.echo(error.format_message(), err=True)
            sys.exit(EXIT_OPERATOR)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "crdtsync"
            _complain(_usage_message(error), f"See {command} --help")
            sys.exit(EXIT_OPERATOR)
        except click.ClickException as error:
            _complain(error.format_message(), "")
            sys.exit(error.exit_code)
        except (CrdtsyncError, BaseExceptionGroup) as error:
            sys.exit(_explain(error))
        except OSError as error:
            if error.filename is not None or error.errno not in _NO_OUTPUT:
                raise
            mute(1)
            _complain(f"can't write the output: {error.strerror}", "")
            sys.exit(EXIT_FAILED)
        sys.exit(code if isinstance(code, int) else 0)


def _explain(error: BaseException) -> int:
    """Print what the operator has to know; re-raise what no operator can mend."""
    from crdtsync.documents.model import DocumentError  # here: the supervisor needs none
    from crdtsync.history.model import HistoryError

    leaves = list(_leaves(error))
    for leaf in leaves:
        if isinstance(leaf, OperatorError):
            _complain(str(leaf), leaf.hint)
            return EXIT_FAILED if isinstance(leaf, DocumentError | HistoryError) else EXIT_OPERATOR
    for leaf in leaves:
        if isinstance(leaf, CrdtsyncError):
            _complain(str(leaf), "")
            return EXIT_FAILED
        if isinstance(leaf, KeyboardInterrupt):
            return EXIT_INTERRUPTED
    raise error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _complain(message: str, hint: str) -> None:
    line = f"crdtsync: {message.rstrip('.')}"
    if hint:
        line += f"{'' if line.endswith('?') else '.'} {hint}"
        line += "" if hint.endswith((".", "?", ")")) else "."
    note(" ".join(line.split()))


def _usage_message(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        known = [] if error.ctx is None else _flags(error.ctx)
        return f"there is no option {error.option_name}{nearest(error.option_name, known)}"
    message = error.format_message()
    return message[:1].lower() + message[1:]


def _flags(ctx: click.Context) -> list[str]:
    return [flag for parameter in ctx.command.get_params(ctx) for flag in parameter.opts]


def _versions() -> str:
    lines = []
    for package in ("crdtsync", "pycrdt", "picows", "uvloop"):
        try:
            lines.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{package} (not installed)")
    lines.append(f"{platform.python_implementation()} {platform.python_version()}")
    return "\n".join(lines)


def _print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(_versions())
        ctx.exit()


@click.group(
    cls=Cli, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the versions of crdtsync and of what it runs on.",
)
def cli() -> None:
    """A Yjs sync server: durable before visible.

    Point y-websocket at it:

    \b
      crdtsync serve
      new WebsocketProvider('ws://localhost:1234', 'my-document', doc)
    """


for _command in (serve, documents, versions, quarantine, shares, revoke, token, check, config):
    cli.add_command(_command)


def main() -> NoReturn:
    """Run the command line with the process's arguments."""
    for descriptor in range(3):  # or the first socket would be taken for standard output
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    try:
        os.getcwd()
    except OSError as error:
        _complain(f"can't work in this folder: {error.strerror}", "Change to one that is there")
        sys.exit(EXIT_OPERATOR)
    cli.main()
