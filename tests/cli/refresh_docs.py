"""Write the generated parts of the documentation: help texts and the table of options.

Run ``uv run python -m tests.cli.refresh_docs`` after changing a command or an option; the tests
compare the files with what this would write.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from crdtsync.cli import cli
from crdtsync.config import GROUPS, OPTIONS, Option

DOCS = Path(__file__).parents[2] / "docs"
FILES = (DOCS / "cli.md", DOCS / "configuration.md")
WIDTH = 96

_BLOCK = re.compile(r"<!-- generated: (.+?) -->\n.*?<!-- end -->\n", re.DOTALL)


def commands(command: click.Command = cli, path: str = "crdtsync") -> Iterator[str]:
    """Yield the full name of every command, groups first."""
    yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, f"{path} {name}")


def help_text(path: str) -> str:
    """Return a command's ``--help``, at a fixed width and without trailing spaces."""
    command: click.Command = cli
    context = click.Context(cli, info_name="crdtsync", terminal_width=WIDTH, color=False)
    for name in path.split()[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[name]
        context = click.Context(command, info_name=name, parent=context, terminal_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    lines = command.get_help(context).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def option_tables() -> str:
    """Return one Markdown table of options per group."""
    parts: list[str] = []
    for group in GROUPS:
        rows = [
            f"## {group}",
            "",
            "| Command line | Variable | TOML key | Default | Value | Meaning |",
            "|---|---|---|---|---|---|",
            *(_row(option) for option in OPTIONS if option.group == group),
        ]
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def _row(option: Option) -> str:
    default = f"`{option.shown_default}`" if option.shown_default else ""
    value = option.kind.allowed + (f", in {option.kind.unit}" if option.kind.unit else "")
    cells = (
        f"`{option.flag}`",
        f"`{option.variable}`",
        f"`{option.name}`",
        default,
        value,
        option.help,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def render(text: str) -> str:
    """Return a page with its generated blocks made anew."""

    def block(match: re.Match[str]) -> str:
        what = match[1]
        if what == "options":
            body = option_tables()
        else:
            body = f"```\n{help_text(what.removeprefix('help '))}\n```"
        return f"<!-- generated: {what} -->\n{body}\n<!-- end -->\n"

    return _BLOCK.sub(block, text)


if __name__ == "__main__":
    for page in FILES:
        page.write_text(render(page.read_text()))
