"""``crdtsync documents`` and ``check`` on real stores, alone and beside a running server."""

import json
import os
import sqlite3
from pathlib import Path

import pycrdt
import pytest

from .invoking import STORES, in_a_folder, invoke, ok
from .running import server


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_folder(tmp_path, monkeypatch)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CRDTSYNC_STORE", request.param)
    return str(request.param)


def update(words: str, *, client: int = 1) -> bytes:
    doc: pycrdt.Doc = pycrdt.Doc(client_id=client)
    doc.get("content", type=pycrdt.Text).insert(0, words)
    return doc.get_update()


def test_round_trip(store: str, tmp_path: Path) -> None:
    """What is imported is listed, shown and exported; what is deleted is gone."""
    ok("documents", "import", "a/1", "-", data=update("hello"))
    assert "NAME\tUPDATES\tSIZE" in ok("documents", "list").stdout
    assert json.loads(ok("documents", "list", "--json").stdout)["documents"][0]["name"] == "a/1"
    shown = json.loads(ok("documents", "show", "a/1", "--json").stdout)
    assert shown["info"]["sequence"] == 1
    assert shown["roots"] == [{"name": "content", "kind": "text", "size": 5}]
    table = ok("documents", "show", "a/1").stdout
    assert "content\ttext\t5 characters" in table

    ok("documents", "export", "a/1", "-o", "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == ok("documents", "export", "a/1").stdout_bytes
    assert ok("documents", "export", "a/1", "--format", "text").stdout == "hello"
    exported = ok("documents", "export", "a/1", "--format", "json").stdout
    assert json.loads(exported) == {"content": "hello"}

    ok("documents", "import", "copy", "a.bin")
    assert ok("documents", "export", "copy", "--format", "text").stdout == "hello"
    deleted = ok("documents", "delete", "a/1", "--yes")
    assert "Deleted document a/1: 1 update," in deleted.stderr
    assert invoke("documents", "show", "a/1").exit_code == 1
    left = json.loads(ok("documents", "list", "--json").stdout)["documents"]
    assert [document["name"] for document in left] == ["copy"]
    assert "1 document sound, 0 errors" in ok("check").stderr


def test_import_into_an_existing_document(store: str) -> None:
    """An import changes a document that is there with ``--merge`` only."""
    assert "Created" in ok("documents", "import", "d", "-", data=update("hi")).stderr
    refused = invoke("documents", "import", "d", "-", data=update("yo", client=2))
    assert refused.exit_code == 1
    assert refused.stderr.startswith("crdtsync: document 'd' exists. ")
    merged = ok("documents", "import", "d", "-", "--merge", data=update("yo", client=2))
    assert "Merged" in merged.stderr
    again = ok("documents", "import", "d", "-", "--merge", data=update("yo", client=2))
    assert "nothing changed" in again.stderr
    assert len(ok("documents", "export", "d", "--format", "text").stdout) == 4


@pytest.mark.parametrize("garbage", [b"", b"hello", bytes.fromhex("00000101000001040603746869")])
def test_import_garbage(store: str, garbage: bytes) -> None:
    """What is no v1 update is refused in one line, with exit code 1."""
    result = invoke("documents", "import", "d", "-", data=garbage)
    assert result.exit_code == 1
    assert result.stderr.startswith("crdtsync: ")
    assert result.stderr.count("\n") == 1
    assert json.loads(ok("documents", "list", "--json").stdout)["documents"] == []


def test_pages(store: str) -> None:
    """A list stops at ``--limit``, says where to go on, and ends."""
    for name in ("a", "b", "c"):
        ok("documents", "import", name, "-", data=update("x"))
    first = ok("documents", "list", "--limit", "2")
    assert [line.split("\t")[0] for line in first.stdout.splitlines()] == ["NAME", "a", "b"]
    assert first.stderr == "There are more: --after b\n"
    last = json.loads(ok("documents", "list", "--limit", "2", "--after", "b", "--json").stdout)
    assert [d["name"] for d in last["documents"]] == ["c"]
    assert last["next_after"] is None
    assert json.loads(ok("documents", "list", "--limit", "1", "--json").stdout)["next_after"] == "a"
    assert ok("documents", "list", "--prefix", "z").stderr == "No documents.\n"


def test_delete_asks(store: str) -> None:
    """Deleting says what goes and asks; anything but yes, and silence, keeps it."""
    ok("documents", "import", "d", "-", data=update("hi"))
    no = invoke("documents", "delete", "d", data="n\n")
    assert no.exit_code == 1
    assert "Delete document d: 1 update, " in no.stderr
    assert "Nothing deleted." in no.stderr
    silence = invoke("documents", "delete", "d")
    assert silence.exit_code == 2
    assert "--yes" in silence.stderr
    ok("documents", "show", "d")
    ok("documents", "delete", "d", data="y\n")
    assert invoke("documents", "delete", "d", "--yes").exit_code == 1


def test_delete_takes_archives_with_it(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a document with a chat the archives go too, and are counted; of others nothing does."""
    thread = "018bcfe5-6800-7000-8000-000000000001"
    archives = [f"a/chat-archive/{each}" for each in ("000001", "000002", f"{thread}/000001")]
    others = ["a/b", "a/b/chat-archive/000001", "a/chat-archive/old", "aa/chat-archive/000001"]
    names = ["a", *archives, *others]

    def fill() -> None:
        for name in names:
            ok("documents", "import", name, "-", "--merge", data=update("hi"))

    def left() -> list[str]:
        listed = json.loads(ok("documents", "list", "--json").stdout)["documents"]
        return [each["name"] for each in listed]

    fill()
    assert "archive" not in ok("documents", "delete", "a", "--chat", "b*", "--yes").stderr
    assert left() == sorted({*names} - {"a"})
    fill()
    no = invoke("documents", "delete", "a", "--chat", "a*", data="n\n")
    assert "and 3 archives of its chat? [y/N]" in no.stderr
    assert left() == sorted(names)
    monkeypatch.setenv("CRDTSYNC_CHAT", "x,a")
    done = ok("documents", "delete", "a", "--yes")
    assert "and 3 archives of its chat." in done.stderr
    assert left() == sorted(others)
    done = ok("documents", "delete", "a/b/chat-archive/000001", "--chat", "*", "--yes")
    assert "of its chat" not in done.stderr
    assert left() == sorted({*others} - {"a/b/chat-archive/000001"})


def test_hostile_name(store: str) -> None:
    """A name that would steer the terminal is shown escaped, and is found as it is."""
    name = "a\n\x1b[31mb"
    ok("documents", "import", name, "-", data=update("hi"))
    shown = ok("documents", "list").stdout
    assert "a\\n\\x1b[31mb" in shown
    assert "\x1b" not in shown
    ok("documents", "delete", name, "--yes")


@pytest.mark.parametrize("verb", [("list",), ("show", "d"), ("export", "d"), ("delete", "d")])
def test_no_store(store: str, tmp_path: Path, verb: tuple[str, ...]) -> None:
    """A store that isn't there is not made by looking for something in it."""
    result = invoke("documents", *verb)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"crdtsync: there is no store {store}")
    assert list(tmp_path.iterdir()) == []
    assert invoke("check", "--repair").exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", [("list",), ("import", "d", "-"), ("delete", "d", "--yes")])
def test_memory_store(verb: tuple[str, ...]) -> None:
    """A store in memory is refused: nothing would be found in it, or kept."""
    result = invoke("documents", *verb, "--store", "memory:", data=update("hi"))
    assert result.exit_code == 2
    assert "memory:" in result.stderr


def test_files(store: str, tmp_path: Path) -> None:
    """A file that can't be read or written is one line with its name, and exit code 2."""
    missing = invoke("documents", "import", "d", "gone.bin")
    assert (missing.exit_code, missing.stderr) == (
        2,
        "crdtsync: can't read gone.bin: No such file or directory\n",
    )
    ok("documents", "import", "d", "-", data=update("hi"))
    unwritable = invoke("documents", "export", "d", "-o", "gone/d.bin")
    assert unwritable.exit_code == 2
    assert "can't write gone/d.bin" in unwritable.stderr


def test_export_through_a_link_and_into_a_pipe(store: str, tmp_path: Path) -> None:
    """An export replaces the file behind a link, and leaves a pipe or a device what it is."""
    ok("documents", "import", "d", "-", data=update("hi"))
    (tmp_path / "link").symlink_to("target")
    ok("documents", "export", "d", "-o", "link", "--format", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"hi"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    try:
        ok("documents", "export", "d", "-o", "pipe", "--format", "text")
        assert os.read(reader, 100) == b"hi"
    finally:
        os.close(reader)
    assert invoke("documents", "export", "d", "-o", ".").exit_code == 2


def test_root_of_an_update(store: str) -> None:
    """An update is always whole, so ``--root`` is refused with it."""
    assert invoke("documents", "export", "d", "--root", "x").exit_code == 2


def test_beside_a_server(store: str, tmp_path: Path) -> None:
    """Reading verbs work beside a running server; writing ones say that it has the store."""
    ok("documents", "import", "d", "-", data=update("hi"))
    with server(tmp_path, "--port", "0", "--store", store) as running:
        running.wait_for("http://")
        assert "d\t1\t" in ok("documents", "list").stdout
        ok("documents", "show", "d")
        assert ok("documents", "export", "d", "--format", "text").stdout == "hi"
        ok("check")
        for verb in (
            ("documents", "import", "e", "-"),
            ("documents", "delete", "d", "--yes"),
            ("check", "--repair"),
        ):
            refused = invoke(*verb, data=update("hi"))
            assert refused.exit_code == 2
            assert f"is in use by process {running.process.pid}" in refused.stderr
            assert refused.stderr.count("\n") == 1


def damage(store: str) -> None:
    """Change the newest record's bytes behind the store's back."""
    if store.startswith("sqlite:"):
        with sqlite3.connect(store.removeprefix("sqlite:")) as db:
            (last, content) = db.execute(
                'SELECT sequence, "update" FROM log ORDER BY sequence DESC LIMIT 1'
            ).fetchone()
            changed = bytes(content[:-1]) + bytes([content[-1] ^ 1])
            db.execute('UPDATE log SET "update" = ? WHERE sequence = ?', (changed, last))
        db.close()
        return
    (log,) = Path(store.removeprefix("file:")).rglob("d.crdt")
    content = bytearray(log.read_bytes())
    content[-6] ^= 1
    log.write_bytes(content)


def test_check_of_a_damaged_store(store: str) -> None:
    """A damaged record is found, told with its place, and repaired on demand."""
    ok("documents", "import", "d", "-", data=update("hi"))
    ok("documents", "import", "d", "-", "--merge", data=update("yo", client=2))
    ok("documents", "import", "e", "-", data=update("hi"))
    ok("documents", "delete", "e", "--yes")
    damage(store)

    found = invoke("check")
    assert found.exit_code == 1
    assert "error: d at 2: " in found.stdout
    report = json.loads(invoke("check", "--json").stdout)
    assert not report["sound"]
    errors = [finding for finding in report["findings"] if finding["level"] == "error"]
    assert {(error["document"], error["sequence"]) for error in errors} == {("d", 2)}
    exported = invoke("documents", "export", "d", "--format", "text")
    assert (exported.exit_code, exported.stdout) == (1, "hi")
    assert "Damaged from sequence 2 on" in exported.stderr
    assert invoke("documents", "import", "d", "-", "--merge", data=update("z")).exit_code == 1

    repaired = invoke("check", "--repair")
    assert repaired.exit_code == 1
    assert "(repaired)" in repaired.stdout
    assert ok("check").stderr.startswith("1 document sound, 0 errors")
    assert ok("documents", "export", "d", "--format", "text").stdout == "hi"
    ok("documents", "import", "d", "-", "--merge", data=update("yo", client=2))


def test_check_of_a_broken_database(tmp_path: Path) -> None:
    """What is no database can't be checked (2); one that breaks off is damaged (1)."""
    option = ("--store", "sqlite:x.db")
    (tmp_path / "x.db").write_bytes(b"not a database" * 1000)
    unreadable = invoke("check", *option)
    assert unreadable.exit_code == 2
    assert "not a database" in unreadable.stderr
    (tmp_path / "x.db").unlink()
    ok("documents", "import", "d", "-", *option, data=update("hi"))
    content = bytearray((tmp_path / "x.db").read_bytes())
    content[4096:] = b"x" * (len(content) - 4096)
    (tmp_path / "x.db").write_bytes(content)
    damaged = invoke("check", *option)
    assert damaged.exit_code == 1, damaged.output
    assert damaged.stdout.startswith("error: the store: ")
