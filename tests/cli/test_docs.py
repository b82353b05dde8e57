"""The documentation says what the program says."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from crdtsync.cli import cli
from crdtsync.config import OPTIONS, Config, load

from .refresh_docs import DOCS, FILES, commands, help_text, render


@pytest.mark.parametrize("page", FILES, ids=lambda page: page.name)
def test_generated_blocks(page: Path) -> None:
    """Help texts and option tables in the pages are up to date.

    If this fails: uv run python -m tests.cli.refresh_docs
    """
    assert page.read_text() == render(page.read_text())


@pytest.mark.parametrize("path", list(commands()))
def test_every_command_is_documented(path: str) -> None:
    """Each command's help is embedded in docs/cli.md."""
    assert f"<!-- generated: help {path} -->" in (DOCS / "cli.md").read_text()


def test_no_documentation_of_what_is_gone() -> None:
    """Each embedded help belongs to a command that there is."""
    embedded = re.findall(r"<!-- generated: help (.+?) -->", (DOCS / "cli.md").read_text())
    assert sorted(embedded) == sorted(commands())


@pytest.mark.parametrize("path", list(commands()))
def test_every_command_and_option_has_a_help(path: str) -> None:
    """Each command begins its help with a sentence, and each option has one."""
    command: click.Command = cli
    for name in path.split()[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    assert re.match(r"[A-Z].*\.$", command.help.split("\n\n")[0], re.DOTALL)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
    assert help_text(path).startswith(f"Usage: {path} ")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_in_the_table(option: object) -> None:
    """Each option's three spellings stand in docs/configuration.md."""
    page = (DOCS / "configuration.md").read_text()
    for spelling in (option.flag, option.variable, option.name):  # type: ignore[attr-defined]
        assert f"`{spelling}`" in page


def test_example_file(tmp_path: Path) -> None:
    """The example of a file in docs/configuration.md is read as it is meant."""
    (example,) = re.findall(
        r"```toml\n(.*?)```", (DOCS / "configuration.md").read_text(), re.DOTALL
    )
    assert tomllib.loads(example)
    path = tmp_path / "crdtsync.toml"
    path.write_text(example)
    resolved = load(config_file=path)
    assert resolved.config != Config()
    assert resolved.config.limits.idle_room_s == 300
