"""Every page is reachable, every link leads somewhere, every example can at least be read."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from crdtsync.config import OPTIONS
from tests.needs import program

from .kit import DOCS, PAGES, REPOSITORY, blocks, page, prose

every_page = pytest.mark.parametrize(
    "path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY))
)

_LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield file and anchor of each link to this repository."""
    for target in _LINK.findall(prose(path.read_text("utf-8"))):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        yield (path.parent / name).resolve() if name else path, anchor


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@every_page
def test_links_lead_somewhere(path: Path) -> None:
    """Each relative link names a file of the repository, and each anchor a heading of it."""
    for target, anchor in links(path):
        assert target.is_relative_to(REPOSITORY), f"{path.name} links out of the repository"
        assert target.exists(), f"{path.name} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{path.name}: no heading #{anchor} in {target.name}"


def test_the_index_has_every_page() -> None:
    """Both indexes, the README's and the folder's, lead to every page of the documentation."""
    pages = {path for path in DOCS.glob("*.md") if path.name != "README.md"}
    for index in (REPOSITORY / "README.md", DOCS / "README.md"):
        missing = pages - {target for target, _ in links(index)}
        assert not missing, f"{index} lacks {sorted(path.name for path in missing)}"


@every_page
def test_code_blocks_can_be_read(path: Path) -> None:
    """Python, JSON and TOML blocks are valid, and every block says what language it is in."""
    text = path.read_text("utf-8")
    for block in blocks(text, "python"):
        ast.parse(block)
    for block in blocks(text, "json"):
        json.loads(block)
    for block in blocks(text, "toml"):
        tomllib.loads(block)


@every_page
def test_javascript_is_valid(path: Path, tmp_path: Path) -> None:
    """JavaScript blocks pass Node.js's syntax check, as modules."""
    found = blocks(path.read_text("utf-8"), "js")
    if not found:
        return
    node = program("node")
    for number, block in enumerate(found):
        script = tmp_path / f"{number}.mjs"
        script.write_text(block, "utf-8")
        done = subprocess.run(
            [node, "--check", script], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{path.name}: {done.stderr}"


@every_page
def test_limits_are_what_the_pages_say(path: Path) -> None:
    """Where a page puts a value behind a limit's name, it is the default."""
    options = {option.name: option for option in OPTIONS}
    for name, shown in re.findall(r"`(\w+)` \(([0-9][^)]*)\)", prose(path.read_text("utf-8"))):
        if name in options:
            option = options[name]
            assert option.kind.from_text(shown) == option.default, f"{name}: {option.shown_default}"


def test_options_on_the_pages_exist() -> None:
    """Each option in a shell line that runs ``crdtsync serve`` or ``check`` is one."""
    known = {option.flag for option in OPTIONS} | {"--repair", "--json", "--help"}
    for path in PAGES:
        for line in re.findall(r"crdtsync (?:serve|check)\b.*", path.read_text("utf-8")):
            command = re.split(r"[`#]", line)[0]
            for flag in re.findall(r"(?<=\s)--[a-z-]+", command):
                assert flag in known, f"{path.name}: {line}"


def test_no_page_speaks_of_other_places() -> None:
    """No page holds a tab, trailing space, or a path of somebody's machine."""
    for path in PAGES:
        for number, line in enumerate(page(str(path.relative_to(REPOSITORY))).splitlines(), 1):
            where = f"{path.name}:{number}"
            assert "\t" not in line, where
            assert line == line.rstrip(), where
            assert not re.search(r"/(work|tmp|root|home/\w+)/", line), where
