"""``crdtsync config``: what a server would run with, and who said so."""

import click

from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import note, print_json, print_table
from crdtsync.config import GROUPS, Resolved

__all__ = ["config"]


@click.command(cls=Command)
@json_option
@with_config(*GROUPS)
def config(resolved: Resolved, *, as_json: bool) -> None:
    """Show every option's value and where it comes from.

    Takes the options of `serve`, reads the same variables and file, and starts nothing. Exits
    with 2 where something is wrong.
    """
    if as_json:
        print_json(
            {
                "file": None if resolved.file is None else str(resolved.file),
                "options": {
                    setting.option.name: {
                        "value": setting.value,
                        "source": setting.source,
                        "where": setting.where,
                        "default": setting.option.default,
                        "flag": setting.option.flag,
                        "variable": setting.option.variable,
                    }
                    for setting in resolved.settings
                },
            }
        )
        return
    print_table(
        ("OPTION", "VALUE", "SOURCE"),
        (
            (
                setting.option.name,
                "-" if setting.value is None else setting.option.kind.show(setting.value),
                setting.where or "default",
            )
            for setting in resolved.settings
        ),
    )
    if resolved.file is None:
        note("No configuration file.")
    else:
        note(f"Configuration file: {resolved.file}")
