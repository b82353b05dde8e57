"""The examples of ``docs/library.md`` run, and print what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.connection import Connection, Link
from crdtsync.gate import Principal

from .checking import complaints
from .kit import TIMEOUT_S, Process, blocks, code, environment, page, table

PAGE = page("docs/library.md")
EXAMPLES = [
    (match[1], match[2] or "")
    for match in re.finditer(
        r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", PAGE, re.MULTILINE | re.DOTALL
    )
]


def titled(example: tuple[str, str]) -> str:
    """Name an example by what it defines first."""
    found = re.search(r"^(?:class|async def|def) (\w+)", example[0], re.MULTILINE)
    return found[1] if found else "config"


@pytest.mark.parametrize("example", EXAMPLES, ids=titled)
def test_examples(example: tuple[str, str], tmp_path: Path) -> None:
    """Each example is a whole program that ends, and prints exactly what stands below it."""
    program, expected = example
    if re.search(r"\brun\([Cc]onfig\b", program):  # serves until it is stopped
        program = program.replace("port=1234", "port=0")
        for last in ('SQLiteStore("notes.db"))', "supervise(config))"):
            program = program.replace(last, f"{last[:-1]}, started=print)")
        with Process("-c", program, cwd=tmp_path) as process:
            process.wait_for("Listening")
            assert process.stop() == 0
        return
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
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


def test_the_request_is_described() -> None:
    """The table of a request's fields has each field."""
    fields = {code(row[0])[0] for row in table(PAGE, "Field of the request")}
    assert fields == set(ConnectRequest.__dataclass_fields__)
    for name in Principal.__dataclass_fields__:
        assert f"`{name}`" in PAGE or name == "name"


def test_the_link_is_whole() -> None:
    """The printing link has each method of a link, and the table each call of a transport."""
    (example,) = (block for block in blocks(PAGE, "python") if "class Printer" in block)
    for name in vars(Link):
        if not name.startswith("_"):
            assert f"def {name}(" in example
    for row in table(PAGE, "The transport calls"):
        for call in code(row[0]):
            assert callable(getattr(Connection, call.partition("(")[0]))
