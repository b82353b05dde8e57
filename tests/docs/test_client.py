"""The examples of ``docs/client.md`` run against a server, and print what the page says."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from inspect import signature
from pathlib import Path

import pytest

import crdtsync.client
from crdtsync.client import Backoff, Options, Status, connect

from .checking import complaints
from .kit import TIMEOUT_S, code, environment, page, serving, table

PAGE = page("docs/client.md")
EXAMPLES = [
    (match[1], match[2] or "")
    for match in re.finditer(
        r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", PAGE, re.MULTILINE | re.DOTALL
    )
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for all examples."""
    with serving(tmp_path_factory.mktemp("server"), "--store", "memory:") as (_, url):
        yield url


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples(number: int, address: str, tmp_path: Path) -> None:
    """Each example is a whole program that ends, and prints exactly what stands below it."""
    program, expected = EXAMPLES[number]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program.replace("ws://localhost:1234", address)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected


def test_examples_are_typed(tmp_path: Path) -> None:
    """A type checker has nothing to say about the examples."""
    for number, (program, _) in enumerate(EXAMPLES):
        (tmp_path / f"example_{number}.py").write_text(program, "utf-8")
    assert complaints(tmp_path) == ""


def test_arguments_are_described() -> None:
    """The table of arguments has each of ``connect``."""
    assert {code(row[0])[0] for row in table(PAGE, "Argument")} == set(
        signature(connect).parameters
    )


def test_states_are_described() -> None:
    """The table of states has each."""
    assert {code(row[0])[0] for row in table(PAGE, "Status")} == {str(each) for each in Status}


@pytest.mark.parametrize(("heading", "kind"), [("Option", Options), ("`Backoff`", Backoff)])
def test_options_are_described(heading: str, kind: type) -> None:
    """The tables have each option, with its default."""
    shown = {code(row[0])[0]: row[1] for row in table(PAGE, heading, "Default")}
    assert set(shown) == {field.name for field in fields(kind)}
    for field in fields(kind):
        if isinstance(field.default, int | float) and field.default is not MISSING:
            assert float(shown[field.name]) == field.default, field.name


def test_every_public_name_is_there() -> None:
    """Each public name can be imported, and the page speaks of each error."""
    for name in crdtsync.client.__all__:
        assert hasattr(crdtsync.client, name)
    for name in ("Refused", "EditsRefused", "Denied", "NotSaved", "Unusable", "Closed"):
        assert f"`{name}`" in PAGE
