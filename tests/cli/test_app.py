"""The outside of the command line: versions, exit codes, and one line per error."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import click
import pytest

from crdtsync.cli.app import Cli
from crdtsync.errors import InvalidUpdate, StoreLocked

from .invoking import in_a_folder, invoke


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    in_a_folder(tmp_path, monkeypatch)
    root, own = logging.getLogger(), logging.getLogger("crdtsync")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])
    logging.captureWarnings(False)


def failing(error: BaseException) -> Cli:
    """Return a program whose command ``fail`` raises this."""

    @click.command()
    def fail() -> None:
        raise error

    return Cli(commands={"fail": fail})


def test_version() -> None:
    """``--version`` names crdtsync, pycrdt, picows and Python with their versions."""
    result = invoke("--version")
    assert result.exit_code == 0
    lines = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    assert set(lines) >= {"crdtsync", "pycrdt", "picows"}
    assert lines[sys.implementation.name.replace("cp", "CP")].startswith(
        ".".join(map(str, sys.version_info[:2]))
    )


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("srve",), "crdtsync: there is no command srve; did you mean serve? See crdtsync --help."),
        (
            ("config", "--prot", "1"),
            "crdtsync: there is no option --prot; did you mean --port? See crdtsync config --help.",
        ),
        (
            ("config", "--port", "99999"),
            "crdtsync: --port: '99999' is not a whole number from 0 to 65535",
        ),
        (
            ("serve", "--durability", "fsnc"),
            "crdtsync: --durability: 'fsnc' is not one of fsync, os, none; did you mean fsync?",
        ),
        (
            ("serve", "--config", "gone.toml"),
            "crdtsync: can't read the configuration file gone.toml: No such file or directory. "
            "Check --config and CRDTSYNC_CONFIG.",
        ),
        (("config", "extra"), "crdtsync: got unexpected extra argument (extra). See crdtsync"),
    ],
)
def test_usage_errors(args: tuple[str, ...], line: str) -> None:
    """A usage error is one line on stderr that says what would be right, and exit code 2."""
    result = invoke(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1


def test_operator_error() -> None:
    """What the operator has to mend is one line with its hint, and exit code 2."""
    result = invoke("fail", program=failing(StoreLocked("the store\nis locked", hint="Stop it")))
    assert (result.exit_code, result.stderr) == (2, "crdtsync: the store is locked. Stop it.\n")


def test_error_in_a_task_group() -> None:
    """An error that comes out of a task group looks the same."""

    @click.command()
    def fail() -> None:
        async def work() -> None:
            async with anyio.create_task_group() as outer, anyio.create_task_group() as inner:
                outer.start_soon(anyio.sleep_forever)
                inner.start_soon(raise_it)

        async def raise_it() -> None:
            raise StoreLocked("the store is locked", hint="Stop it.")

        anyio.run(work)

    result = invoke("fail", program=Cli(commands={"fail": fail}))
    assert (result.exit_code, result.stderr) == (2, "crdtsync: the store is locked. Stop it.\n")


def test_failure() -> None:
    """Input that is refused is one line and exit code 1."""
    result = invoke("fail", program=failing(InvalidUpdate("the update is truncated")))
    assert (result.exit_code, result.stderr) == (1, "crdtsync: the update is truncated\n")


def test_hostile_message() -> None:
    """A message can't send the terminal anything but text."""
    result = invoke("fail", program=failing(InvalidUpdate("a \x1b[2J\u202e b")))
    assert result.stderr == "crdtsync: a \\x1b[2J\\u202e b\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupt(error: BaseException) -> None:
    """Ctrl-C ends a command quietly with 130."""
    result = invoke("fail", program=failing(error))
    assert (result.exit_code, result.stdout, result.stderr.strip()) == (130, "", "")


def test_interrupt_in_a_task_group() -> None:
    """Ctrl-C inside a task group ends a command quietly with 130."""
    group = BaseExceptionGroup("", [KeyboardInterrupt()])
    result = invoke("fail", program=failing(group))
    assert (result.exit_code, result.stderr) == (130, "")


@pytest.mark.parametrize("error", [ZeroDivisionError(), ExceptionGroup("", [ValueError()])])
def test_bug(error: Exception) -> None:
    """A bug is not swallowed: it comes with its traceback."""
    result = invoke("fail", program=failing(error))
    assert result.exception is error


def test_exit_code_of_a_command() -> None:
    """A number that a command returns is the exit code."""
    program = Cli(commands={"three": click.Command("three", callback=lambda: 3)})
    assert invoke("three", program=program).exit_code == 3


def test_help_of_every_command() -> None:
    """``-h`` and ``--help`` work everywhere."""
    assert invoke("-h").stdout == invoke("--help").stdout
    assert invoke("serve", "-h").exit_code == 0


@pytest.mark.parametrize("command", [(), ("documents",), ("versions",)])
def test_a_group_alone_shows_its_help(command: tuple[str, ...]) -> None:
    """It is laid out as with ``--help``, and not a line of its own."""
    result = invoke(*command)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == invoke(*command, "--help").stdout
