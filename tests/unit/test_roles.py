"""Roles, and the patterns that grant them."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdtsync.roles import ADMIN, BUILT_IN, COMMENT, READ, WRITE, Grants, Role, Rule


@pytest.mark.parametrize(
    ("document", "role"),
    [
        ("team/plan", "write"),
        ("team/minutes", "read"),
        ("team/minutes/2026", "comment"),
        ("team/minutes/", "comment"),
        ("team", None),
        ("teams/plan", None),
        ("", None),
    ],
)
def test_the_most_specific_pattern_wins(document: str, role: str | None) -> None:
    """A name without a star wins, then the pattern with the most other characters; else none."""
    patterns = {"team/*": "write", "team/minutes": "read", "team/minutes/*": "comment"}
    for order in (patterns, dict(reversed(patterns.items()))):
        assert Grants(order).role_name(document) == role


def test_a_star_in_a_name_is_no_exact_grant() -> None:
    """A document that is named like a pattern is matched as any other."""
    assert Grants({"a*": "write", "ab*": "read"}).role_name("a*") == "write"
    assert Grants({"*": "read", "a*c": "write"}).role_name("a*c") == "write"


def test_a_role_that_nobody_defined_is_none() -> None:
    """A grant of an unknown role grants nothing."""
    assert Grants({"*": "owner"}).role("a", BUILT_IN) is None
    assert Grants({"*": "admin"}).role("a", BUILT_IN) is ADMIN


@given(st.text("ab*/", max_size=8), st.text("ab/", max_size=10))
def test_patterns_match_as_globs_do(pattern: str, name: str) -> None:
    """A star stands for any run of characters, several for several."""
    granted = Grants({pattern: "read"}).role_name(name) is not None
    assert granted is fnmatch.fnmatchcase(name, pattern)


def test_what_the_built_in_roles_write() -> None:
    """Who writes everywhere and who nowhere is known without a look at an update."""
    assert READ.reads_only
    assert not READ.writes_all
    assert WRITE.writes_all
    assert ADMIN.writes_all
    assert not WRITE.reads_only
    assert not COMMENT.writes_all
    assert not COMMENT.reads_only
    assert not Role(name="journal", write=(Rule(append_only=True),)).writes_all
    assert not Role(name="chat", write=(Rule(root="chat"),)).writes_all
