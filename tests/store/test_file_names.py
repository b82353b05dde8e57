"""File names: safe on every file system, one for each document."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.store.file_names import MAX_STEM_BYTES, SUFFIX, file_name, name_of
from tests.names import NAMES

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


@pytest.mark.parametrize(
    ("document", "file"),
    [
        ("plain-name_1.txt", "plain-name_1.txt.crdt"),
        ("a/b", "a%2fb.crdt"),
        ("../../etc/passwd", "%2e.%2f..%2fetc%2fpasswd.crdt"),
        ("Upper", "%55pper.crdt"),
        ("con", "%63on.crdt"),
        ("nul.txt", "%6eul.txt.crdt"),
        ("control", "control.crdt"),
        ("caf\u00e9", "caf%c3%a9.crdt"),
        ("100%", "100%25.crdt"),
        ("x" * 512, "x" * 80 + "~fa6508f509f3f247c96da056eb28b2ae2af57c9e.crdt"),
    ],
)
def test_names_are_written_so(document: str, file: str) -> None:
    """The encoding is what the documentation says, and stays so: files exist that have it."""
    assert file_name(document) == file
    assert name_of(file) == (None if "~" in file else document)


def check(document: str) -> None:
    """Assert everything that a file name promises."""
    file = file_name(document)
    assert re.fullmatch(r"[a-z0-9_%~-][a-z0-9_%~.-]*", file)
    assert file.endswith(SUFFIX)
    assert len(file) <= MAX_STEM_BYTES + len(SUFFIX)
    assert not RESERVED.fullmatch(file)
    assert file == file.lower()
    assert name_of(file) in (document, None)
    assert (name_of(file) is None) == ("~" in file)


@given(names)
def test_any_name_is_safe(document: str) -> None:
    """Whatever the document's name, its file's is plain ASCII, short, and no device's."""
    check(document)


@given(st.lists(names, unique=True, min_size=2, max_size=20))
def test_no_two_share_a_file(documents: list[str]) -> None:
    """Different documents have different files, on file systems that ignore case too."""
    assert len({file_name(document).lower() for document in documents}) == len(documents)


def test_the_contracts_names_are_safe() -> None:
    """The names that every store is tested with are safe as well."""
    for document in NAMES:
        check(document)
    assert len({file_name(document) for document in NAMES}) == len(NAMES)


@given(st.text(max_size=40))
def test_a_strange_file_is_nobodys(file: str) -> None:
    """Only a file whose name we would have written is taken for a document's."""
    document = name_of(file)
    assert document is None or file_name(document) == file


@pytest.mark.parametrize(
    "file", ["a.txt", "A.crdt", "%41", "%2F.crdt", "%zz.crdt", "%ff.crdt", "a~b.crdt", "con.crdt"]
)
def test_names_we_do_not_write(file: str) -> None:
    """Names that look like ours, but are not as we write them, are nobody's."""
    assert name_of(file) is None
