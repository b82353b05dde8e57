"""The click side of the option table: every option of a group becomes one of a command."""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from crdtsync.config import CONFIG_VARIABLE, DEFAULT_FILE, GROUPS, OPTIONS, load
from crdtsync.config.values import Switch

__all__ = ["Command", "json_option", "with_config"]

_GENERAL: Final = "Options"


class GroupedOption(click.Option):
    """An option that knows under which heading of the help it stands."""

    heading: str = _GENERAL


class Command(click.Command):
    """A command whose help lists its options under headings, and whose names are text."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it. What is no path has to be UTF-8: no document or person is called otherwise."""
        for parameter in self.params:
            if isinstance(parameter, GroupedOption) or "FILE" in (
                parameter.metavar,
                parameter.human_readable_name,
            ):
                continue
            values = ctx.params.get(parameter.name or "")
            for value in values if isinstance(values, tuple) else (values,):
                if isinstance(value, str) and not _is_text(value):
                    raise click.BadParameter("it is not UTF-8", ctx, parameter)
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section per heading, the general options first."""
        sections: dict[str, list[tuple[str, str]]] = {_GENERAL: []}
        for heading in GROUPS:
            sections[heading] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections[getattr(parameter, "heading", _GENERAL)].append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records, col_max=34)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes that are none, as Python hands them on
        return False
    return True


def with_config(*groups: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command ``--config`` and these groups' options; hand it a ``Resolved`` first.

    The values stay text until ``load`` reads them, so that a mistake is told the same way
    whichever source it is in.
    """
    table = [option for option in OPTIONS if option.group in groups]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def command(*args: Any, config_file: str | None, **params: Any) -> Any:
            given = {option.name: params.pop(option.name) for option in table}
            path = None if config_file is None else Path(config_file)
            return function(load(cli=given, env=os.environ, config_file=path), *args, **params)

        decorated: Callable[..., Any] = command
        for option in reversed(table):
            default = option.shown_default
            switch = isinstance(option.kind, Switch)
            opposite = f"--no-{option.flag.removeprefix('--')}"
            decorated = click.option(
                f"{option.flag}/{opposite}" if switch else option.flag,
                option.name,
                cls=type("Option", (GroupedOption,), {"heading": option.group}),
                metavar=option.kind.metavar or None,
                default=None,
                help=option.help + (f"  [default: {default}]" if default else ""),
            )(decorated)
        return click.option(
            "--config",
            "config_file",
            metavar="FILE",
            help=f"TOML file to read; also {CONFIG_VARIABLE}.  "
            f"[default: {DEFAULT_FILE}, where there is one]",
        )(decorated)

    return decorate


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
