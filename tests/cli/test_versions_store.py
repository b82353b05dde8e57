"""``crdtsync versions`` on real stores: alone, beside a running server, and with damage."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pycrdt
import pytest
from click.testing import CliRunner, Result
from websockets.sync.client import connect

from crdtsync.cli import cli
from crdtsync.guarding import guard_folder
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.service import Histories
from crdtsync.history.tables import FILE
from crdtsync.hub import Hub
from crdtsync.protocol import step_1_frame
from crdtsync.store import open_store

from .running import server

TIMEOUT_S = 20.0


@pytest.fixture(params=["sqlite:documents.db", "file:documents"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a document of two moments, and another document."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CRDTSYNC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CRDTSYNC_STORE", request.param)
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc["text"] = text = pycrdt.Text("Hello world")
    ok("documents", "import", "doc", "-", data=doc.get_update())
    before = doc.get_state()
    del text[0:5]
    text.insert(0, "Good bye", {"bold": True})
    doc["map"] = pycrdt.Map({"k": [1, "x"]})
    ok("documents", "import", "doc", "-", "--merge", data=doc.get_update(before))
    other: pycrdt.Doc[Any] = pycrdt.Doc()
    other["text"] = pycrdt.Text("else")
    ok("documents", "import", "other", "-", data=other.get_update())
    return str(request.param)


def invoke(*args: str, data: bytes = b"") -> Result:
    return CliRunner().invoke(cli, args, input=data, prog_name="crdtsync")


def ok(*args: str, data: bytes = b"") -> Result:
    result = invoke(*args, data=data)
    assert result.exit_code == 0, result.output
    return result


def fails(*args: str, code: int = 1) -> str:
    result = invoke(*args)
    assert result.exit_code == code, result.output
    (line,) = [each for each in result.stderr.splitlines() if each.startswith("crdtsync: ")]
    return line


def as_json(*args: str) -> Any:
    return json.loads(ok("versions", *args, "--json").stdout)


def content(*args: str) -> str:
    return ok("versions", "show", "doc", "--format", "text", *args).stdout.removesuffix("\n")


def named(*args: str) -> str:
    return ok("versions", "create", *args).stdout.strip()


def test_everything_without_a_server(store: str, tmp_path: Path) -> None:
    """Versions are made, read, compared, attributed, restored from, and removed."""
    first = named("doc", "--label", "Now", "--note", "so far", "--as", "ann")
    (version,) = as_json("list", "doc")["versions"]
    assert (version["sequence"], version["author"], version["note"]) == (2, "ann", "so far")
    assert content("--at", "s1") == "Hello world"
    assert content("--at", first) == "Good bye world"
    diff = as_json("diff", "doc", "--from", "s1", "--to", first)
    assert diff["roots"]["map"]["root"] == "added"
    gone, come, *_ = diff["roots"]["text"]["ops"]
    assert (gone["text"], come["insert"], come["attributes"]) == (
        "Hello",
        "Good bye",
        {"bold": True},
    )
    lines = ok("versions", "diff", "doc", "--from", "s1").stdout.splitlines()
    assert lines[1].startswith("map\t-\t-\t<map added>")
    assert lines[2].startswith("map.k\tanonymous\t")
    assert lines[3].endswith("\t[-Hello-]{+Good bye+}<bold: true> world")
    assert "text:1\tanonymous" in ok("versions", "blame", "doc").stdout
    (session,) = as_json("activity", "doc")["sessions"]
    assert (session["first_sequence"], session["last_sequence"]) == (1, 2)

    done = as_json("restore", "doc", "--at", "s1", "--as", "bob", "--yes")
    assert (done["changed"], done["sequence"]) == (True, 3)
    assert content() == "Hello world"
    before = f"v{done['version_before']['id']}"
    assert content("--at", before) == "Good bye world"
    assert as_json("restore", "doc", "--at", "now", "--yes")["changed"] is False
    assert as_json("undo", "doc", "--author", "bob", "--since", "s2", "--yes")["changed"] is True
    assert content() == "Good bye world"
    ok("versions", "rename", first, "--label", "Then")
    assert as_json("list", "doc", "--kind", "named")["versions"][0]["label"] == "Then"
    ok("versions", "remove", first, "--yes")
    assert as_json("list", "doc", "--kind", "named")["versions"] == []
    assert "no version" in fails("versions", "show", "doc", "--at", first)

    file = tmp_path / "then.update"
    ok("versions", "show", "doc", "--at", "s1", "--format", "update", "-o", str(file))
    ok("documents", "import", "copy", str(file))
    exported = ok("documents", "export", "copy", "--format", "text", "--root", "text").stdout
    assert exported.strip() == "Hello world"


def test_one_root_is_restored(store: str) -> None:
    """The others stay as they are."""
    ok("versions", "restore", "doc", "--at", "s1", "--root", "text", "--yes")
    shown = as_json("show", "doc")["roots"]
    assert (shown["text"]["value"], shown["map"]["value"]) == ("Hello world", {"k": [1, "x"]})


def test_beside_a_running_server(store: str, tmp_path: Path) -> None:
    """What reads, and what only names moments, works; what edits says what to do."""
    with server(tmp_path, "--port", "0", "--store", store) as process:
        port = process.wait_for(r"ws://[\w.]+:(\d+)")[1]
        with connect(f"ws://127.0.0.1:{port}/doc", proxy=None, compression=None) as client:
            client.send(step_1_frame(b"\x00"))
            assert client.recv(timeout=TIMEOUT_S)
            version = named("doc", "--label", "Beside")
            ok("versions", "rename", version, "--label", "Still beside")
            assert as_json("list", "doc")["versions"][0]["label"] == "Still beside"
            assert content("--at", version) == "Good bye world"
            for command in (("diff", "doc", "--from", "s1"), ("blame", "doc"), ("activity", "doc")):
                assert ok("versions", *command).stdout
            for command in (
                ("restore", "doc", "--at", "s1", "--yes"),
                ("undo", "doc", "--author", "", "--since", "s1", "--yes"),
                ("erase", "doc", "--before", "now", "--yes"),
            ):
                told = fails("versions", *command, code=2)
                assert told.endswith(
                    "Stop the server, or have it do this over HTTP: see /api/v1/history."
                )
            ok("versions", "remove", version, "--yes")
            assert content() == "Good bye world"


def test_letting_go(store: str) -> None:
    """Moments go by their age, content before a moment, and a person's name."""
    named("doc", "--label", "x", "--as", "eve")
    fold(store)
    (told,) = as_json("prune", "doc", "--keep", "0s", "--dry-run")["pruned"]
    assert (told["moments_before"], told["moments"]) == (2, 1)
    assert content("--at", "s1") == "Hello world"
    ok("versions", "restore", "doc", "--at", "s1", "--as", "eve", "--yes")
    assert as_json("erase", "--author", "eve", "--yes")["documents"] == 1
    assert "eve" not in ok("versions", "activity", "doc").stdout
    assert "eve" not in ok("versions", "list", "doc").stdout
    assert as_json("erase", "doc", "--before", "now", "--yes")["moments"] == 1
    line = fails("versions", "show", "doc", "--at", "s1")
    assert line.endswith("crdtsync versions activity doc shows what is kept.")
    assert content() == "Hello world"


def test_what_is_not_there(store: str) -> None:
    """Documents, moments and versions that there are not, or that are another document's."""
    foreign = named("other", "--label", "x")
    assert "there is no document 'none'" in fails("versions", "list", "none")
    assert "there is no document 'none'" in fails("versions", "create", "none", "--label", "x")
    assert "there is no document 'none'" in fails("versions", "show", "none")
    for moment in ("s9", "v99", foreign, "2001-01-01T00:00:00Z"):
        line = fails("versions", "show", "doc", "--at", moment)
        assert line.endswith("See crdtsync versions list doc.")
        fails("versions", "restore", "doc", "--at", moment, "--yes")
    assert "there is no root 'nope'" in fails("versions", "show", "doc", "--root", "nope")
    assert "no text but map" in fails(
        "versions", "show", "doc", "--root", "map", "--format", "text"
    )
    fails("versions", "diff", "doc", "--from", "s1", "--root", "nope")
    assert content() == "Good bye world"


def test_documents_without_history(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is excluded there is none to be had."""
    monkeypatch.setenv("CRDTSYNC_HISTORY_EXCEPT", "do*")
    line = fails("versions", "show", "doc")
    assert line.startswith("crdtsync: no history is kept of document 'doc'")
    assert line.endswith("The option history_except says of which documents none is kept.")
    assert ok("versions", "show", "other").stdout


def test_a_damaged_history(store: str) -> None:
    """It is said what is wrong; the document is had as ever."""
    named("doc", "--label", "x")
    folder = guard_folder(store)
    assert folder is not None
    path = folder / FILE
    path.write_bytes(b"no database at all" * 1000)
    for beside in folder.glob(f"{FILE}-*"):
        beside.unlink()
    for command in (("list", "doc"), ("show", "doc"), ("restore", "doc", "--at", "s1", "--yes")):
        line = fails("versions", *command, code=2)
        assert FILE in line
    shown = ok("documents", "export", "doc", "--format", "text", "--root", "text").stdout
    assert shown.strip() == "Good bye world"


def test_a_damaged_part_of_a_history(store: str) -> None:
    """What is not what was written is not read; the document is had, and changed, as ever."""
    fold(store)
    folder = guard_folder(store)
    assert folder is not None
    with closing(sqlite3.connect(folder / FILE)) as database:
        (parts,) = database.execute("SELECT count(*) FROM parts").fetchone()
        assert parts
        database.execute("UPDATE parts SET data = zeroblob(length(data))")
        database.commit()
    for command in (
        ("show", "doc", "--at", "s1"),
        ("diff", "doc", "--from", "s1"),
        ("blame", "doc"),
        ("activity", "doc"),
        ("restore", "doc", "--at", "s1", "--yes"),
    ):
        line = fails("versions", *command)
        assert line.endswith("The document itself is served on; see crdtsync check.")
    shown = ok("documents", "export", "doc", "--format", "text", "--root", "text").stdout
    assert shown.strip() == "Good bye world"


def test_reading_starts_no_process(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading is done in the command's own process; what needs the CRDT library gets another."""
    from crdtsync.history import worker

    started: list[object] = []
    start = worker.subprocess.Popen

    def counting(*args: Any, **options: Any) -> object:
        started.append(args)
        return start(*args, **options)

    monkeypatch.setattr(worker.subprocess, "Popen", counting)
    for reading in (("show", "doc"), ("diff", "doc", "--from", "s1"), ("blame", "doc")):
        ok("versions", *reading)
    ok("versions", "activity", "doc")
    assert not started
    ok("versions", "restore", "doc", "--at", "s1", "--yes")
    assert started


def test_a_document_that_is_not_there(store: str) -> None:
    """The hint leads to the names that there are."""
    for command in ("show", "list", "blame", "activity"):
        line = fails("versions", command, "none")
        assert line == "crdtsync: there is no document 'none'. See crdtsync documents list."


def test_restores_without_a_server_are_audited(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the store alone leaves the same line as the server would; not on standard output."""
    monkeypatch.setenv("CRDTSYNC_AUDIT_LOG", "audit.jsonl")
    ok("versions", "restore", "doc", "--at", "s1", "--as", "ann", "--yes")
    monkeypatch.setenv("CRDTSYNC_AUDIT_LOG", "-")
    assert not ok("versions", "restore", "doc", "--at", "s2", "--yes").stdout
    (line,) = [json.loads(each) for each in Path("audit.jsonl").read_text().splitlines()]
    del line["time"]
    assert line == {
        "event": "restored",
        "document": "doc",
        "principal": "ann",
        "moment": 1,
        "sequence": 3,
        "whole": True,
    }


def fold(store: str) -> None:
    """Have a hub write a checkpoint of the document, and its history before."""

    async def checkpoint() -> None:
        opened = open_store(store)
        history = Histories(opened, HistoryDatabase(guard_folder(store)))
        async with Hub(opened, history=history) as hub, hub.open("doc") as room:
            assert await hub.housekeeping.checkpoint(room)

    anyio.run(checkpoint)


def test_a_quarantined_document_is_not_restored(store: str) -> None:
    """What the server died over is not written to, but can be read as it was."""
    from crdtsync.guard import MAX_DEATHS, Work
    from crdtsync.guarding import DocumentGuard

    folder = guard_folder(store)
    assert folder is not None
    guard = DocumentGuard(folder)
    for _ in range(MAX_DEATHS):
        guard.suspect("doc", Work.INTEGRATING, 11)
    assert "quarantined" in fails("versions", "restore", "doc", "--at", "s1", "--yes")
    assert content("--at", "s1") == "Hello world"


def test_a_store_in_memory_has_nothing_to_read() -> None:
    """Its history is the server's."""
    line = fails("versions", "list", "doc", "--store", "memory:", code=2)
    assert "A memory: store has nothing to read" in line
