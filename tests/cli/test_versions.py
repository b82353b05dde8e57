"""``crdtsync versions``: what its commands print, and what they say of what is wrong.

With a history that is made up; ``test_versions_store.py`` has real ones.
"""

import json
import math
from pathlib import Path
from typing import Any

import anyio
import click
import pytest
from click.testing import CliRunner, Result

from crdtsync.cli import cli, histories
from crdtsync.history.model import (
    HistoryDamaged,
    HistoryError,
    HistoryOff,
    HistoryUnavailable,
    NotRestorable,
)
from crdtsync.history.retention import Retention
from tests.server.histories import MadeUp

READS = (
    ("show", "doc"),
    ("diff", "doc", "--from", "s1"),
    ("blame", "doc"),
    ("activity", "doc"),
)
WRITES = (
    ("restore", "doc", "--at", "s1", "--yes"),
    ("undo", "doc", "--author", "ada", "--since", "s1", "--yes"),
)


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    """The history that the commands find."""
    made = MadeUp(doc=["one", "two", "three"], other=["else"])

    def run(config: Any, work: Any, *, needs: str, writes: bool) -> Any:
        made.needs = needs
        made.writes = writes
        return anyio.run(work, made)

    monkeypatch.setattr(histories, "_run", run)
    return made


def invoke(*args: str, data: str = "") -> Result:
    return CliRunner().invoke(cli, ("versions", *args), input=data, prog_name="crdtsync")


def ok(*args: str, data: str = "") -> Result:
    result = invoke(*args, data=data)
    assert result.exit_code == 0, result.output
    return result


def as_json(*args: str) -> Any:
    return json.loads(ok(*args, "--json").stdout)


def fails(*args: str, code: int = 1, data: str = "") -> str:
    result = invoke(*args, data=data)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    (line,) = [each for each in result.stderr.splitlines() if each.startswith("crdtsync: ")]
    return line


# Versions


def test_versions_are_listed(history: MadeUp) -> None:
    """The newest first, as a table or as the JSON that HTTP has; of one kind where asked for."""
    history.add("doc", 1)
    history.add("doc", 2, kind="auto", label="", author="", author_name="")
    assert ok("list", "doc").stdout == (
        "ID\tTIME\tKIND\tLABEL\tAUTHOR\tSEQUENCE\n"
        "v2\t2026-01-01 02:00:00Z\tauto\t-\t-\t2\n"
        "v1\t2026-01-01 01:00:00Z\tnamed\tVersion 1\tAda\t1\n"
    )
    body = as_json("list", "doc", "--kind", "named")
    assert body["next_before"] is None
    assert body["versions"] == [
        {
            "id": 1,
            "document": "doc",
            "sequence": 1,
            "time": "2026-01-01T01:00:00.000Z",
            "kind": "named",
            "label": "Version 1",
            "note": "",
            "author": "ada",
            "author_name": "Ada",
        }
    ]
    assert "No versions" in ok("list", "other").stderr
    history.texts["empty"] = []
    assert "no such moment" in fails("list", "empty")


def test_ten_thousand_versions(history: MadeUp) -> None:
    """A page says how to go on; page by page, or at once, each version comes once."""
    for _ in range(10_000):
        history.add("doc", 2)
    assert "There are more: --before 9951, or --all" in ok("list", "doc").stderr
    ids: list[int] = []
    rest: tuple[str, ...] = ()
    while True:
        page = as_json("list", "doc", "--limit", "3000", *rest)
        ids += [each["id"] for each in page["versions"]]
        if page["next_before"] is None:
            break
        rest = ("--before", str(page["next_before"]))
    everything = as_json("list", "doc", "--all")
    assert ids == [each["id"] for each in everything["versions"]] == list(range(10_000, 0, -1))
    assert everything["next_before"] is None
    assert len(as_json("list", "doc", "--limit", "10000")["versions"]) == 10_000


def test_a_version_is_made_and_named(history: MadeUp) -> None:
    """What is printed names it to the other commands."""
    made = ok("create", "doc", "--label", "As agreed", "--note", "by all", "--as", "ann")
    assert made.stdout == "v1\n"
    assert "sequence 3" in made.stderr
    version = history.kept[1]
    assert (version.label, version.note, version.author) == ("As agreed", "by all", "ann")
    assert "called new" in ok("rename", "v1", "--label", "new").stderr
    assert as_json("rename", "1", "--note", "")["note"] == ""
    assert (history.kept[1].label, history.kept[1].note) == ("new", "")
    assert as_json("create", "doc", "--label", "x")["id"] == 2


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("create", "doc"), "missing option '--label'"),
        (("create", "doc", "--label", " "), "the label is blank"),
        (("create", "doc", "--label", "x" * 201), "a label has at most 200 characters"),
        (("create", "doc", "--label", "x", "--note", "x" * 5001), "at most 5000 characters"),
        (("rename", "v1"), "say --label, --note or both"),
        (("rename", "v1", "--label", ""), "the label is blank"),
        (("rename", "x", "--label", "x"), "'x' is no version: write v12"),
        (("rename", "v0", "--label", "x"), "'v0' is no version"),
        (("remove",), "missing argument"),
        (("remove", "v1", "now"), "'now' is no version"),
        (("list", "doc", "--limit", "0"), "0 is not in the range"),
        (("list", "doc", "--kind", "x"), "'x' is not one of"),
        (("list",), "missing argument 'DOCUMENT'"),
    ],
)
def test_what_is_no_version(history: MadeUp, args: tuple[str, ...], told: str) -> None:
    """Words that no version has, and what does not name one: nothing is done."""
    history.add("doc", 1)
    before = dict(history.kept)
    assert told in fails(*args, code=2)
    assert history.kept == before


def test_removing_asks(history: MadeUp) -> None:
    """What goes is shown, and only a yes removes it; one that there is not removes nothing."""
    history.add("doc", 1)
    history.add("other", 1, label="")
    for answer, code in (("n\n", 1), ("", 2), ("yes\n", 0)):
        result = invoke("remove", "v1", "v2", "v1", data=answer)
        assert result.exit_code == code
        assert "v1 Version 1: doc, 2026-01-01 01:00:00Z, named" in result.stderr
        assert "v2: other" in result.stderr
        assert "Remove 2 versions?" in result.stderr
        assert bool(history.kept) == bool(code)
    history.add("doc", 1)
    assert "no such version" in fails("remove", "v1", "v99", "--yes")
    assert history.kept
    ok("remove", "v1", "--yes")
    assert not history.kept


# Moments


def test_a_moment_is_shown(history: MadeUp, tmp_path: Path) -> None:
    """For people, as JSON, or in the form that is asked for, to a file as well."""
    history.add("doc", 2)
    shown = ok("show", "doc", "--at", "v1").stdout
    assert "time\t2026-01-01 02:00:00Z" in shown
    assert "version\tv1 Version 1" in shown
    assert shown.endswith("\ntext (text)\ntwo\n")
    assert as_json("show", "doc")["roots"]["text"]["value"] == "three"
    assert json.loads(ok("show", "doc", "--format", "delta").stdout)["roots"]["text"]["delta"]
    assert ok("show", "doc", "--at", "s1", "--format", "text", "--root", "text").stdout == "one\n"
    assert ok("show", "doc", "--at", "s1", "--format", "update").stdout_bytes == b"one"
    file = tmp_path / "out"
    for form in ("snapshot", "text", "xml"):
        wrote = (
            ok("show", "doc", "--format", form, "--root", "text", "-o", str(file))
            if (form != "snapshot")
            else ok("show", "doc", "--format", form, "-o", str(file))
        )
        assert "Wrote 5 B" in wrote.stderr
        assert file.read_bytes() == b"three"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--json", "--format", "delta"), "--json is --format json"),
        (("--format", "update", "--root", "text"), "--root does not go with --format update"),
        (("--format", "html"), "'html' is not one of"),
    ],
)
def test_what_does_not_go_together(history: MadeUp, args: tuple[str, ...], told: str) -> None:
    """Options that contradict each other."""
    assert told in fails("show", "doc", *args, code=2)


def test_bytes_are_not_for_a_terminal(history: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update or a snapshot goes into a file or a pipe."""
    monkeypatch.setattr("crdtsync.cli.versions.on_terminal", lambda: True)
    assert "snapshot is binary" in fails("show", "doc", "--format", "snapshot", code=2)


def test_differences_and_authors(history: MadeUp) -> None:
    """As a table, or as the JSON that HTTP has."""
    result = ok("diff", "doc", "--from", "s1", "--to", "s2")
    assert result.stdout == (
        "PLACE\tAUTHOR\tTIME\tCHANGE\ntext:0\tAda\t2026-01-01 02:00:00Z\t[-one-]{+two+}\n"
    )
    assert "s1 (2026-01-01 01:00:00Z) to s2 (2026-01-01 02:00:00Z)" in result.stderr
    assert as_json("diff", "doc", "--from", "s1")["to"]["sequence"] == 3
    assert "Nothing changed" in ok("diff", "doc", "--from", "now").stderr
    assert ok("blame", "doc", "--at", "s2").stdout == (
        "PLACE\tAUTHOR\tTIME\tCONTENT\ntext:1\tAda\t2026-01-01 02:00:00Z\ttwo\n"
    )
    assert as_json("blame", "doc")["roots"]["text"]["runs"][0]["text"] == "three"
    history.texts["doc"].append("")
    assert "nothing in it" in ok("blame", "doc").stderr


def test_activity(history: MadeUp) -> None:
    """Sessions, the newest first, and how to go on."""
    result = ok("activity", "doc", "--limit", "2")
    assert result.stdout.splitlines()[1] == (
        "Ada\t2026-01-01 03:00:00Z\t2026-01-01 03:00:00Z\t3 to 3\t5\t0"
    )
    assert "There are more: --before s2" in result.stderr
    (session,) = as_json("activity", "doc", "--before", "s2")["sessions"]
    assert (session["author"], session["first_sequence"]) == ("ada", 1)


# The way back


def test_restoring(history: MadeUp) -> None:
    """It says what it will do, does it only then, and names the version of the moment before."""
    assert "Nothing restored" in invoke("restore", "doc", "--at", "s1", data="n\n").stderr
    assert history.texts["doc"] == ["one", "two", "three"]
    done = ok(
        "restore", "doc", "--at", "s1", "--root", "text", "--note", "why", "--as", "ann", data="y\n"
    )
    assert "Make root text of doc what it was at 2026-01-01 01:00:00Z (sequence 1)?" in done.stderr
    assert "the moment before is version v1" in done.stderr
    assert history.calls[-1] == ("restore", "doc", "s1", "text", "why", "ann", "")
    assert history.needs == "store"
    assert "nothing changed" in ok("restore", "doc", "--at", "s1", "--yes").stderr
    body = as_json("restore", "doc", "--at", "s2", "--yes")
    assert (body["document"], body["sequence"], body["changed"]) == ("doc", 5, True)
    assert body["version_before"]["kind"] == "restore"


def test_undoing(history: MadeUp) -> None:
    """One author's work is taken back, the anonymous's too."""
    args = ("undo", "doc", "--author", "", "--since", "s1", "--until", "s2", "--as", "ann")
    assert "Nothing undone" in invoke(*args, data="\n").stderr
    assert not history.calls
    assert "what the anonymous did in doc from s1 to s2?" in ok(*args, data="y\n").stderr
    assert ("undo", "doc", "", "s1", "s2", "ann", "") in history.calls
    assert history.needs == "store"
    assert as_json(*args, "--yes")["changed"] is False


# Letting go


def test_pruning(history: MadeUp) -> None:
    """By the configured ages, or by others; it asks, unless it only tells."""
    assert "Nothing pruned" in invoke("prune", "doc", data="n\n").stderr
    assert not history.calls
    told = ok("prune", "doc", "other", "doc", "--dry-run").stderr
    assert "Would let go 2 moments of doc, 2 versions; 1 left, 30 B to 10 B." in told
    assert "of other" in told
    assert history.calls == [("prune", "doc", None, True), ("prune", "other", None, True)]
    assert (history.needs, history.writes) == ("process", False)
    (done,) = as_json("prune", "doc", "--keep", "1d/forever", "--yes")["pruned"]
    assert (done["document"], done["moments"]) == ("doc", 1)
    keep = Retention(everything_s=86_400, hourly_s=math.inf)
    assert history.calls[-1] == ("prune", "doc", keep, False)
    assert history.writes


def test_erasing(history: MadeUp) -> None:
    """What is before a moment, or a person; only after a yes."""
    args = ("erase", "doc", "--before", "s2")
    assert "Nothing erased" in invoke(*args, data="n\n").stderr
    assert not history.calls
    assert "Erased 2 moments of doc" in ok(*args, data="y\n").stderr
    assert history.calls == [("erase_before", "doc", "s2")]
    assert history.needs == "hub"
    assert as_json(*args, "--yes")["moments"] == 1
    assert "eve in all documents" in ok("erase", "--author", "eve", data="y\n").stderr
    assert history.calls[-1] == ("erase_author", "eve")
    assert as_json("erase", "--author", "eve", "--yes") == {"documents": 3}


@pytest.mark.parametrize(
    "args",
    [
        ("erase",),
        ("erase", "doc"),
        ("erase", "--before", "s1"),
        ("erase", "--author", ""),
        ("erase", "doc", "--author", "eve"),
        ("erase", "doc", "--before", "s1", "--author", "eve"),
        ("prune",),
        ("prune", "doc", "--keep", "x"),
        ("prune", "doc", "--keep", "1d/2d/3d/4d"),
    ],
)
def test_what_can_not_go(history: MadeUp, args: tuple[str, ...]) -> None:
    """What is not said clearly is not done."""
    fails(*args, code=2)
    assert not history.calls


# Bad input


@pytest.mark.parametrize("command", [*READS, *WRITES])
@pytest.mark.parametrize(
    "moment",
    ["", "v", "v0", "s-1", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "s" + "9" * 30],
)
def test_what_is_no_moment(history: MadeUp, command: tuple[str, ...], moment: str) -> None:
    """The forms that there are, are named; nothing is asked."""
    option = {"show": "--at", "diff": "--to", "blame": "--at", "activity": "--before"}
    option |= {"restore": "--at", "undo": "--until"}
    told = fails(*command, option[command[0]], moment, code=2)
    assert "is no moment: write now, v12 (a version), s345 (a sequence), or a time" in told
    assert not history.calls


@pytest.mark.parametrize(
    ("moment", "hint"),
    [
        ("s99", "See crdtsync versions list doc"),
        ("v99", "See crdtsync versions list doc"),
        ("v2", "See crdtsync versions list doc"),  # another document's
        ("2000-01-01T00:00:00Z", "See crdtsync versions list doc"),
        ("s1", "crdtsync versions activity doc shows what is kept"),
        ("v1", "crdtsync versions activity doc shows what is kept"),
    ],
)
def test_moments_that_there_are_not(history: MadeUp, moment: str, hint: str) -> None:
    """One line says what is wrong, and where to look; exit code 1, and nothing changed."""
    history.add("doc", 1)
    history.add("other", 1)
    history.first["doc"] = 2
    for command in (
        ("show", "doc", "--at", moment),
        ("show", "doc", "--at", moment, "--json"),
        ("diff", "doc", "--from", moment),
        ("diff", "doc", "--from", "s2", "--to", moment),
        ("blame", "doc", "--at", moment),
        ("activity", "doc", "--before", moment),
        ("restore", "doc", "--at", moment, "--yes"),
        ("undo", "doc", "--author", "ada", "--since", moment, "--yes"),
        ("erase", "doc", "--before", moment, "--yes"),
    ):
        assert fails(*command).endswith(f"{hint}.")
    assert history.texts["doc"] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (HistoryOff("no history"), "no history. The option history_except says of which"),
        (HistoryDamaged("part 3 differs"), "part 3 differs. The document itself is served on"),
        (NotRestorable("it can't be"), "it can't be"),
        (HistoryUnavailable("it took too long", hint="Come back"), "it took too long. Come back"),
        (HistoryError("root 'a' is text here and map there"), "root 'a' is text here"),
    ],
)
def test_what_a_history_can_not_do(history: MadeUp, error: HistoryError, line: str) -> None:
    """Each way to fail is one line with what to do, and exit code 1."""
    history.error = error
    for command in (*READS, *WRITES, ("list", "doc"), ("create", "doc", "--label", "x")):
        assert f"crdtsync: {line}" in fails(*command)
    for command in (("rename", "v1", "--label", "x"), ("remove", "v1", "--yes")):
        assert f"crdtsync: {line}" in fails(*command)


def test_what_goes_on_is_shown_to_people_only(
    history: MadeUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into a pipe no bar is drawn; on a terminal one is, on stderr, and is wiped away."""
    assert "Comparing" not in invoke("diff", "doc", "--from", "s1").output
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with histories.told("Comparing doc"):
        click.echo("result")
    out, err = capsys.readouterr()
    assert "Comparing doc" in err
    assert "Comparing" not in out
    assert out == "result\n"
