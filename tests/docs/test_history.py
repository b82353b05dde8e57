"""``docs/history.md`` has the options there are, and their defaults."""

from crdtsync.config import OPTIONS

from .kit import REPOSITORY, code, page, table, tables

PAGE = page("docs/history.md")


def test_the_options() -> None:
    """The table of options has each one that concerns history, with its default."""
    shown = {code(row[0])[0]: "".join(code(row[1])) for row in table(PAGE, "Option")}
    there = {
        option.name: option.shown_default for option in OPTIONS if option.name.startswith("history")
    }
    assert shown == there


def test_the_guards_are_there() -> None:
    """Each named test exists."""
    for rows in tables(PAGE):
        if rows[0][-1] != "Guarded by":
            continue
        for row in rows[1:]:
            for name in code(row[-1]):
                path, _, test = name.partition("::")
                assert f"def {test}(" in (REPOSITORY / "tests" / path).read_text()
