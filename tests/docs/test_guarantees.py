"""``docs/guarantees.md`` names a test behind each sentence, and each of them is there."""

import ast
from functools import cache
from typing import get_args

import pytest

from crdtsync import Durability

from .kit import REPOSITORY, code, page, table, tables

PAGE = page("docs/guarantees.md")
TESTS = REPOSITORY / "tests"
NAMED = sorted({word for rows in tables(PAGE) for row in rows[1:] for word in code(row[-1])})


@cache
def names_in(name: str) -> set[str]:
    """Return the names of a file's tests."""
    tree = ast.parse((TESTS / name).read_text("utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, kinds) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("named", NAMED)
def test_the_guard_is_there(named: str) -> None:
    """Each named test exists: a file below ``tests/``, and a test in it."""
    path, _, test = named.partition("::")
    if (TESTS / path).is_file() and test in names_in(path):
        return
    files = [str(file.relative_to(TESTS)) for file in TESTS.glob("*/test_*.py")]
    moved = [file for file in files if test in names_in(file)]
    pytest.fail(f"there is no tests/{named}; {test} is in {moved or 'no file'}", pytrace=False)


def test_every_sentence_has_a_guard() -> None:
    """No row of the page's tables is without a test."""
    for rows in tables(PAGE):
        assert rows[0][-1] == "Guarded by"
        for row in rows[1:]:
            assert code(row[-1]), f"nothing guards: {row[0]}"


def test_every_level_is_there() -> None:
    """The table of durability levels has each level that a store may have."""
    levels = [code(row[0])[0] for row in table(PAGE, "Level")]
    assert levels == list(get_args(Durability))
