"""The names that ``import crdtsync`` offers: complete, typed, and loaded only when used."""

import ast
import subprocess
import sys
from importlib import import_module
from inspect import isclass

import pytest

import crdtsync
from crdtsync import errors

from .kit import REPOSITORY, environment

SOURCE = ast.parse((REPOSITORY / "crdtsync" / "__init__.py").read_text("utf-8"))
TYPED = {
    alias.name: node.module
    for node in ast.walk(SOURCE)
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("crdtsync.")
    for alias in node.names
}
"""What type checkers see: each name, and the module that it is imported from."""


def test_what_is_typed_is_offered() -> None:
    """Type checkers and programs see the same names."""
    assert sorted(TYPED) == sorted(name for name in crdtsync.__all__ if name != "__version__")


@pytest.mark.parametrize("name", sorted(TYPED))
def test_each_name_is_its_module_s(name: str) -> None:
    """A name is the very object of the module that type checkers see it come from."""
    assert getattr(crdtsync, name) is getattr(import_module(TYPED[name]), name)


def test_every_error_is_offered() -> None:
    """A program can catch each of our errors by a public name."""
    kinds = {name for name, each in vars(errors).items() if isclass(each)}
    ours = {name for name in kinds if issubclass(getattr(errors, name), errors.CrdtsyncError)}
    assert ours <= set(crdtsync.__all__)


@pytest.mark.parametrize("home", ["authoring.model", "channels.saying", "history.model"])
def test_every_error_of_a_part_is_offered(home: str) -> None:
    """So are those that stand beside what raises them."""
    module = import_module(f"crdtsync.{home}")
    ours = {
        name
        for name, each in vars(module).items()
        if isclass(each) and issubclass(each, errors.CrdtsyncError)
    }
    assert ours
    assert ours <= set(crdtsync.__all__)


def test_importing_loads_nothing() -> None:
    """``import crdtsync`` loads no other module of ours, and nothing that is not Python's own."""
    script = "import crdtsync, sys; print(*sorted(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.append({str(REPOSITORY)!r}); {script}",
        ],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert done.stdout.split().count("crdtsync") == 1
    assert set(done.stdout.split()) - {"crdtsync", "__main__"} <= set(sys.stdlib_module_names)


def test_names_that_are_not_there() -> None:
    """An unknown name is an ``AttributeError``, and ``dir`` lists the known ones."""
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(crdtsync, "nonsense")  # noqa: B009 - a type checker knows that it is not there
    assert set(crdtsync.__all__) <= set(dir(crdtsync))


def test_the_version_is_the_package_s() -> None:
    """``__version__`` is that of the installed package, or ``0`` in a bare folder."""
    assert crdtsync.__version__ == "0" or crdtsync.__version__[0].isdigit()
