"""``docs/tour.md`` leads through all of the code, and only through what is there."""

import re
from fnmatch import fnmatch

import pytest

from .kit import REPOSITORY, code, page, prose, table

PAGE = page("docs/tour.md")
PACKAGE = REPOSITORY / "crdtsync"
MODULES = sorted(
    str(path.relative_to(PACKAGE).with_suffix(""))
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py" or path.parent == PACKAGE
)
LAYERS = {row[0]: code(row[1]) for row in table(PAGE, "Layer", "Modules")}

ROWS = [[f" {layer} "] for layer in LAYERS]
SELF_EVIDENT = {"__main__", "auth", "encoding", "limits"}


@pytest.mark.parametrize("module", MODULES)
def test_each_module_is_in_one_layer(module: str) -> None:
    """The table of layers has a place for each module."""
    layers = [
        layer
        for layer, patterns in LAYERS.items()
        if any(fnmatch(module, pattern) for pattern in patterns)
    ]
    assert len(layers) == 1, f"crdtsync/{module}.py is in {layers or 'no layer'}"


def test_no_layer_has_what_is_gone() -> None:
    """Each name in the table of layers is a module, or matches some."""
    for patterns in LAYERS.values():
        for pattern in patterns:
            assert any(fnmatch(module, pattern) for module in MODULES), pattern


@pytest.mark.parametrize("module", MODULES)
def test_each_module_is_on_the_tour(module: str) -> None:
    """Each module is named where it has its part, not only in the table of layers."""
    if module in SELF_EVIDENT:
        return
    lines = [line for line in prose(PAGE).splitlines() if line.split("|")[1:2] not in ROWS]
    names = {name.removeprefix("crdtsync/") for name in code("\n".join(lines))}
    found = any(fnmatch(module, name.removesuffix(".py")) for name in names)
    assert found, f"the tour leaves crdtsync/{module}.py out"


def test_the_folders_of_tests_are_there() -> None:
    """The table of test folders has each folder with tests, and no other."""
    named = {name for row in table(PAGE, "Folder") for name in code(row[0])}
    there = {
        f"tests/{path.name}"
        for path in (REPOSITORY / "tests").iterdir()
        if any(path.glob("test_*.py"))
    }
    assert there <= named, f"not on the page: {sorted(there - named)}"
    for name in named:
        assert (REPOSITORY / name).is_dir(), f"there is no {name}"


def test_paths_are_there() -> None:
    """Each path of a file that the page names exists."""
    for path in re.findall(r"`((?:tests|crdtsync|docs)/[\w/]+\.(?:py|md))`", PAGE):
        assert (REPOSITORY / path).is_file(), path
