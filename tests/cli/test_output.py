"""What is printed: sizes, times, and names that a terminal must not act on."""

import json

import pytest

from crdtsync.cli.output import human_bytes, human_time, print_json, print_table, printable


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1234, "1.2 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (5 * 10**9, "5.0 GB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes(size: int, expected: str) -> None:
    """A size for people has one decimal and never shows 1000 of a unit that has a larger one."""
    assert human_bytes(size) == expected


def test_times() -> None:
    """A time is UTC to the second; none is a dash, and an impossible one is shown as it is."""
    assert human_time(1_700_000_000_000) == "2023-11-14 22:13:20Z"
    assert human_time(0) == "-"
    assert human_time(10**18) == f"{10**18} ms"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain/name ü 文", "plain/name ü 文"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\u202eexe.txt", "\\u202eexe.txt"),
        ("\u2028", "\\u2028"),
    ],
)
def test_printable(name: str, shown: str) -> None:
    """Whatever a terminal acts on instead of showing it is escaped."""
    assert printable(name) == shown


def test_piped_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Into a pipe a table is tab-separated, whole, and one line per row."""
    long = "x" * 500
    print_table(("NAME", "SIZE"), [("a\tb\nc", "1"), (long, "2")], right=("SIZE",))
    assert capsys.readouterr().out == f"NAME\tSIZE\na\\tb\\nc\t1\n{long}\t2\n"


def test_terminal_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal, markup and escapes in a name are shown as they are spelt."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    print_table(("NAME", "SIZE"), [("[red]x[/red]", "1"), ("\x1b[31m", "2")])
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "\\x1b[31m" in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is ASCII and reads back as what it was."""
    print_json({"name": "ü\x1b"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"name": "ü\x1b"}
