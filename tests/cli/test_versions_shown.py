"""How differences and authorship look, in a pipe and on a terminal."""

from typing import Any

import pytest

from crdtsync.cli.versions_shown import (
    Row,
    author_style,
    blame_rows,
    diff_rows,
    print_rows,
    shown_author,
)

ADA = {"author": "ada", "name": "Ada", "time": "2026-01-31T09:30:00.000Z"}
BOB = {"author": "bob", "name": "", "time": "2026-01-31T09:31:00.000Z"}


def diffed(change: dict[str, Any], *delta: Any) -> list[tuple[str, str]]:
    """Return each row's place, and what is told as a pipe gets it."""
    older = {"roots": {"r": {"kind": "text", "delta": [{"insert": each} for each in delta]}}}
    return told(list(diff_rows({"roots": {"r": change}}, older)))


def told(rows: list[Row]) -> list[tuple[str, str]]:
    marks = {"added": "+{}+", "removed": "-{}-", "note": "<{}>"}
    return [
        (row.place, "".join(marks.get(manner, "{}").format(text) for manner, text in row.pieces))
        for row in rows
    ]


def text(*ops: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "text", "ops": list(ops)}


def test_a_text() -> None:
    """What changed stands between what is around it; what one did at one place is one row."""
    ops = (
        {"retain": 6},
        {"delete": 5, "text": "world", "by": ADA},
        {"insert": "moon", "attributes": {}, "by": ADA},
        {"insert": "!", "attributes": {"bold": True}, "by": BOB},
    )
    found = diffed(text(*ops), "Hello world and all")
    assert found == [
        ("r:6", "Hello -world-+moon+ and all"),
        ("r:11", "Hello world+!+<bold: true> and all"),
    ]


def test_positions_are_of_the_older_text() -> None:
    """In UTF-16 units, an embed counting one; no half of a pair is shown."""
    ops = ({"retain": 27}, {"delete": 2, "text": "😀", "by": ADA}, {"retain": 1})
    found = diffed(text(*ops), "😀" + "a" * 24, {"image": "x"}, "😀" + "😀" * 12 + "b")
    assert found == [("r:27", "a" * 23 + "\ufffc" + "-😀-" + "😀" * 12)]


def test_formats_and_embeds() -> None:
    """What only became bold is shown as it is; embeds as JSON."""
    ops = (
        {"retain": 3, "attributes": {"bold": None}, "by": ADA},
        {"delete": 1, "content": [{"image": "x"}], "by": BOB},
        {"insert": {"image": "y"}, "attributes": {}, "by": BOB},
        {"inside": {"kind": "map", "keys": {"k": {"change": "removed", "before": 1, "by": ADA}}}},
    )
    assert diffed(text(*ops), "abc", {"image": "x"}, {"v": 1}) == [
        ("r:0", "abc<bold: null>\ufffc\ufffc"),
        ("r:3", 'abc-{"image": "x"}-+{"image": "y"}+\ufffc'),
        ("r:4.k", "-1-"),
    ]


def test_maps_arrays_and_xml() -> None:
    """Keys and indices lead to what changed, however deep it lies."""
    keys = {
        "new": {"change": "added", "after": [1], "by": ADA},
        "gone": {"change": "removed", "before": "x", "by": ADA},
        "a b": {"change": "changed", "before": 1, "after": None, "by": ADA},
        "deep": {
            "change": "inside",
            "diff": {
                "kind": "array",
                "ops": [
                    {"retain": 2},
                    {"insert": ["v", True], "by": ADA},
                    {"delete": 1, "values": [None], "by": BOB},
                    {"inside": text({"insert": "t", "attributes": {}, "by": BOB})},
                ],
            },
        },
    }
    assert diffed({"kind": "map", "keys": keys}) == [
        ("r.new", "+[1]+"),
        ("r.gone", '-"x"-'),
        ('r."a b"', "-1- +null+"),
        ("r.deep[2]", '+"v"+'),
        ("r.deep[3]", "+true+"),
        ("r.deep[4]", "-null-"),
        ("r.deep[4]:0", "+t+"),
    ]
    node = {"name": "p", "attributes": {}, "children": []}
    xml = {
        "kind": "xml",
        "ops": [
            {
                "inside": {
                    "kind": "xml",
                    "ops": [{"insert": [node], "by": ADA}],
                    "attributes": {"class": {"change": "added", "after": "x", "by": ADA}},
                }
            }
        ],
        "attributes": {},
    }
    assert diffed(xml) == [
        ("r[0][0]", '+{"name": "p", "attributes": {}, "children": []}+'),
        ("r[0]@class", '+"x"+'),
    ]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"root": "added"}, "map added"),
        ({"root": "removed"}, "map removed"),
        ({"becomes": "text"}, "map becomes text"),
    ],
)
def test_roots_that_come_and_go(more: dict[str, str], what: str) -> None:
    """A root that was not there before, or is no more, is told even where it is empty."""
    assert diffed({"kind": "map"} | more) == [("r", f"<{what}>")]


def test_blame_of_a_text() -> None:
    """Each line and run has its author; what is empty has no row."""
    runs = [
        {"text": "one\n\ntw", "by": ADA},
        {"text": "o", "by": BOB},
        {"embed": {"image": "x"}, "by": BOB},
        {"text": "\nthree", "by": None},
    ]
    found = list(blame_rows({"roots": {"r": {"kind": "text", "runs": runs}}}))
    assert told(found) == [
        ("r:1", "one"),
        ("r:3", "tw"),
        ("r:3", "o"),
        ("r:3", '{"image": "x"}'),
        ("r:4", "three"),
    ]
    assert [row.by for row in found] == [ADA, ADA, BOB, BOB, None]


def test_blame_of_what_is_nested() -> None:
    """Maps, arrays and XML: each key, element and node, and what lies in them."""
    inner = {"kind": "array", "elements": [{"value": 1, "by": ADA}]}
    node = {
        "kind": "xml",
        "name": "p",
        "attributes": {"class": {"value": "x", "by": BOB}},
        "nodes": [{"kind": "text", "runs": [{"text": "t", "by": ADA}], "by": ADA}],
        "by": BOB,
    }
    roots = {
        "m": {"kind": "map", "keys": {"k": {"value": {"a": 1}, "by": ADA}}},
        "n": {"kind": "map", "keys": {"k": {"inside": inner, "by": BOB}}},
        "x": {"kind": "xml", "nodes": [node]},
    }
    assert told(list(blame_rows({"roots": roots}))) == [
        ("m.k", '{"a": 1}'),
        ("n.k", "<array>"),
        ("n.k[0]", "1"),
        ("x[0]", "<xml p>"),
        ("x[0][0]", "<text>"),
        ("x[0][0]:1", "t"),
        ("x[0]@class", '"x"'),
    ]


def test_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """A line per row, tab-separated, nothing cut; what a document holds steers no terminal."""
    long = "x" * 500
    rows = [
        Row("r:0", ADA, (("same", "a"), ("removed", "b\n\x1b[31m"), ("added", long))),
        Row("r", BOB, (("note", "bold: true"), ("text", "\u202e"))),
        Row("r", None, (("added", ""),)),
    ]
    assert print_rows(rows, "CHANGE") == 3
    assert capsys.readouterr().out == (
        "PLACE\tAUTHOR\tTIME\tCHANGE\n"
        f"r:0\tAda\t2026-01-31 09:30:00Z\ta[-b\\n\\x1b[31m-]{{+{long}+}}\n"
        "r\tbob\t2026-01-31 09:31:00Z\t<bold: true>\\u202e\n"
        "r\t-\t-\t{++}\n"
    )
    assert print_rows([], "CHANGE") == 0
    assert capsys.readouterr().out == ""


def test_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Insertions are green, deletions red and struck; markup and escapes are shown as spelt."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_rows([Row("r", ADA, (("removed", "old\x1b[0m"), ("added", "[red]new")))], "CHANGE")
    out = capsys.readouterr().out
    assert "\x1b[9;31mold\\x1b[0m\x1b[0m" in out
    assert "\x1b[32m[red]new\x1b[0m" in out
    assert "{+" not in out


def test_authors() -> None:
    """Each has one colour, always; nobody known has none, and who has no name is called by id."""
    assert author_style(ADA) == author_style(dict(ADA, name="Other", time="2020")) != "dim"
    assert author_style(None) == "dim"
    assert len({author_style({"author": f"a{n}"}) for n in range(200)}) >= 10
    assert [shown_author("a", "Ann\n"), shown_author("a", ""), shown_author("", "")] == [
        "Ann\\n",
        "a",
        "anonymous",
    ]
