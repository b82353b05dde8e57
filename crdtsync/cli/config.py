"""``crdtsync config``: what a server would run with, and who said so."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from crdtsync.cli.options import Command, json_option, with_config
from crdtsync.cli.output import note, print_json, print_table
from crdtsync.config import GROUPS, Resolved, Setting
from crdtsync.config.roles import role_key, role_table, show_role
from crdtsync.config.values import Value

__all__ = ["config"]


HIDDEN: Final = "(hidden: there is no such file)"


def _value(setting: Setting) -> Value:
    """Return a value as it may be shown: some put a key where its file's name belongs."""
    if not setting.option.private or setting.value is None:
        return setting.value
    text = str(setting.value)
    if "://" in text:
        parts = urlsplit(text)
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        return shown + ("?..." if parts.query else "")
    return text if Path(text).is_file() else HIDDEN


@click.command(cls=Command)
@json_option
@with_config(*GROUPS)
def config(resolved: Resolved, *, as_json: bool) -> None:
    """Show every option's value, every role, and where each comes from.

    Takes the options of `serve`, reads the same variables and file, and starts nothing. Exits
    with 2 where something is wrong, with the line that `serve` would end with; what only a start
    shows (a store that is damaged or in use, a port that is taken) it doesn't know.
    """
    from crdtsync.server.validation import validate  # here, for a supervisor would have it, too

    _print(resolved, as_json=as_json)
    validate(resolved.config)


def _print(resolved: Resolved, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "file": None if resolved.file is None else str(resolved.file),
                "options": {
                    setting.option.name: {
                        "value": _value(setting),
                        "source": setting.source,
                        "where": setting.where,
                        "default": setting.option.default,
                        "flag": setting.option.flag,
                        "variable": setting.option.variable,
                    }
                    for setting in resolved.settings
                },
                "roles": {
                    each.role.name: role_table(each.role)
                    | {"source": each.source, "where": each.where}
                    for each in resolved.roles
                },
            }
        )
        return
    options = [
        (
            setting.option.name,
            "-" if setting.value is None else setting.option.kind.show(_value(setting)),
            setting.where or "default",
        )
        for setting in resolved.settings
    ]
    roles = [
        (role_key(each.role.name), show_role(each.role), each.where or "default")
        for each in resolved.roles
    ]
    print_table(("OPTION", "VALUE", "SOURCE"), options + roles)
    if resolved.file is None:
        note("No configuration file.")
    else:
        note(f"Configuration file: {resolved.file}")
