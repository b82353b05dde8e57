"""``crdtsync quarantine``: refused updates, with the server stopped and beside it."""

import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pycrdt
import pytest

from crdtsync.guarding import guard_folder
from crdtsync.limits import Limits
from crdtsync.refused.base import Run
from crdtsync.refused.keeping import RefusedUpdates
from tests.refusals import refused, typed_words

from .invoking import STORES, in_a_folder, invoke, ok
from .running import run, server


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_folder(tmp_path, monkeypatch)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a document ``doc``, in which somebody has written "Title. "."""
    monkeypatch.setenv("CRDTSYNC_STORE", request.param)
    ok("documents", "import", "doc", "-", data=TITLE)
    return str(request.param)


(TITLE,) = typed_words("Title.", client=1)


def text_of(*updates: bytes) -> str:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    for update in updates:
        doc.apply_update(update)
    return str(doc.get("text", type=pycrdt.Text))


def refuse(store: str, *updates: bytes, joined: bool = False, **changed: Any) -> None:
    """Put updates into the store's quarantine, as a server would."""

    async def keep() -> None:
        async with RefusedUpdates(guard_folder(store), Limits()) as kept:
            run = Run() if joined else None
            for update in updates:
                kept.keep(refused(update, run, **{"reason": "not there"} | changed))

    anyio.run(keep)


def ids(*args: str) -> list[int]:
    listed = json.loads(ok("quarantine", "list", "--json", *args).stdout)
    return [entry["id"] for entry in listed["entries"]]


def text() -> str:
    return ok("documents", "export", "doc", "--format", "text").stdout


def test_nothing_is_refused(store: str, tmp_path: Path) -> None:
    """Where nothing was ever refused the list is empty, and looking makes no file."""
    assert "No refused updates." in ok("quarantine", "list").output
    assert ids() == []
    result = invoke("quarantine", "show", "1")
    assert result.exit_code == 1
    assert "no entry 1" in result.output
    assert not list(tmp_path.rglob("refused.db"))


def test_list_and_show(store: str) -> None:
    """An entry is shown with author, reason, times, size, and the text that it brings."""
    refuse(store, *typed_words("Meet me at noon", client=7, base=TITLE), joined=True)
    table = ok("quarantine", "list").stdout
    assert "1\tdoc\tann\tAnn\tnot there\t2023-11-14 22:13:20Z\t2023-11-14 22:13:20Z\t4\t" in table
    shown = json.loads(ok("quarantine", "show", "1", "--json").stdout)
    assert shown["text"] == "Meet me at noon "
    assert shown["ranges"] == [[7, 0, 16]]
    assert shown["updates"] == 4
    assert "text\tMeet me at noon" in ok("quarantine", "show", "1").stdout


def test_filters_and_pages(store: str) -> None:
    """The list can be cut by document and author, and goes on behind an entry."""
    for number in range(1, 7):
        place = {"document": f"d{number % 2}", "author": f"a{number % 3}"}
        refuse(store, *typed_words("x", client=number), **place)
    assert ids("--document", "d1") == [1, 3, 5]
    assert ids("--author", "a0") == [3, 6]
    page = ok("quarantine", "list", "--limit", "4")
    assert "There are more: --after 4" in page.output
    assert ids("--after", "4") == [5, 6]


def test_an_entry_is_applied(store: str) -> None:
    """With the server stopped it becomes an edit of its author, and leaves the quarantine."""
    refuse(store, *typed_words("Mine.", client=7, base=TITLE))
    assert "Applied 1 update of 1 entry." in ok("quarantine", "apply", "1").output
    assert text() == "Title. Mine. "
    assert ids() == []
    assert invoke("quarantine", "apply", "1").exit_code == 1


def test_a_chain_is_applied_as_a_whole(store: str) -> None:
    """A part of it is left, with what to do; all of it makes what it would have been."""
    updates = typed_words("one two three four", client=7, base=TITLE)
    refuse(store, updates[3], *updates[:3])
    result = invoke("quarantine", "apply", "4", "1")
    assert result.exit_code == 1
    assert "Entry 1 of document doc was not applied: it builds on edits that" in result.output
    assert "--document doc --author ann --all" in result.output
    assert text() == "Title. "
    result = ok("quarantine", "apply", "--all", "--document", "doc", "--author", "ann", "--json")
    assert sorted(json.loads(result.stdout)["applied"]) == [1, 2, 3, 4]
    assert text() == text_of(TITLE, *updates) == "Title. one two three four "
    ok("check")


def test_entries_of_several_documents(store: str) -> None:
    """What is for several documents goes into each, new ones too."""
    refuse(store, *typed_words("a", client=7, base=TITLE), document="doc")
    refuse(store, *typed_words("b", client=8), document="new", author="bob")
    ok("quarantine", "apply", "--all")
    assert text() == "Title. a "
    assert ok("documents", "export", "new", "--format", "text").stdout == "b "


def test_export(store: str, tmp_path: Path) -> None:
    """A chain is exported as one update, which import takes; the quarantine keeps it."""
    updates = typed_words("one two three", client=7, base=TITLE)
    refuse(store, updates[1], updates[2], updates[0])
    ok("quarantine", "export", "--all", "--author", "ann", "-o", "chain.bin")
    chain = (tmp_path / "chain.bin").read_bytes()
    assert text_of(TITLE, chain) == "Title. one two three "
    assert ok("quarantine", "export", "3").stdout_bytes == updates[0]
    ok("documents", "import", "doc", "chain.bin", "--merge")
    assert text() == "Title. one two three "
    assert ids() == [1, 2, 3]
    ok("quarantine", "apply", "--all")  # it is all there: nothing changes
    assert text() == "Title. one two three "
    assert ids() == []


def test_export_one_by_one(store: str, tmp_path: Path) -> None:
    """A chain with a hole, or of several documents, is exported as a file per entry."""
    updates = typed_words("one two three", client=7, base=TITLE)
    refuse(store, updates[0], updates[2])
    refuse(store, *typed_words("x", client=9), document="other")
    hole = invoke("quarantine", "export", "1", "2")
    assert hole.exit_code == 1
    assert "--separate" in hole.output
    assert invoke("quarantine", "export", "--all").exit_code == 2
    assert invoke("quarantine", "export", "--all", "--separate").exit_code == 2
    ok("quarantine", "export", "--all", "--separate", "-o", "folder")
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {"1.bin", "2.bin", "3.bin"}
    assert (tmp_path / "folder" / "2.bin").read_bytes() == updates[2]
    (tmp_path / "file").touch()
    taken = invoke("quarantine", "export", "--all", "--separate", "-o", "file")
    assert taken.exit_code == 2
    assert "can't make the folder file: File exists. Name another with -o." in taken.stderr


def test_drop(store: str) -> None:
    """Entries are dropped after a question, and never all by mistake."""
    refuse(store, *typed_words("a b c", client=7))
    assert invoke("quarantine", "drop").exit_code == 2
    assert invoke("quarantine", "drop", "1", "--all").exit_code == 2
    assert invoke("quarantine", "drop", "1", data="n\n").exit_code == 1
    assert invoke("quarantine", "drop", "1").exit_code == 2
    assert ids() == [1, 2, 3]
    ok("quarantine", "drop", "1", data="y\n")
    ok("quarantine", "drop", "--all", "--author", "ann", "--yes")
    assert ids() == []


def test_a_store_in_memory() -> None:
    """The quarantine of a store in memory is the server's alone."""
    result = invoke("quarantine", "list", "--store", "memory:")
    assert result.exit_code == 2
    assert "/api/v1/quarantine" in result.output


def test_what_was_dropped_over_a_limit_is_said(store: str) -> None:
    """The list says what is not kept any more."""
    refuse(store, b"\xff")
    assert "Not kept, ever, by invalid: 1 update, 1 B" in ok("quarantine", "list").output


def test_beside_a_server(store: str, tmp_path: Path) -> None:
    """Listing, exporting and dropping go on; applying goes through the server, for its admins."""
    assert run("token", "key", "dev.pem", cwd=tmp_path).returncode == 0
    issue = ("token", "issue", "root", "--key", "dev.pem", "--document", "*=admin")
    Path("token").write_bytes(run(*issue, cwd=tmp_path).stdout)
    signed = ("--auth", "jwt", "--auth-key-file", "dev.pem.pub")
    updates = typed_words("one two three", client=7, base=TITLE)
    refuse(store, updates[1], updates[0], updates[2])
    listening = ("--host", "127.0.0.1", "--port", "0")
    with server(tmp_path, "--store", store, *listening, *signed) as serving:
        url = serving.wait_for(r"listening on (http://\S+)")[1]
        assert ids() == [1, 2, 3]
        nowhere = invoke("quarantine", "apply", "1", "--port", "1")
        assert nowhere.exit_code == 2
        assert "can't be reached at http://localhost:1" in nowhere.output
        assert invoke("quarantine", "apply", "1", "--port", "0").exit_code == 2
        assert invoke("quarantine", "apply", "1", "--server", "x").exit_code == 2
        refused = invoke("quarantine", "apply", "1", "--server", url)
        assert refused.exit_code == 2
        assert "--token-file" in refused.output
        asking = ("quarantine", "apply", "--server", url, "--token-file", "token")
        one = invoke(*asking, "1")
        assert one.exit_code == 1
        assert "builds on edits" in one.output
        ok("quarantine", "drop", "3", "--yes")
        done = run(*asking, "--all", "--store", store, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert ids() == []
        path = f"documents/doc?format=text&root=text&token={Path('token').read_text().strip()}"
        found = httpx.get(f"{url}/api/v1/{path}", trust_env=False)
        assert found.text == "Title. one two "
        assert serving.stop()[0] == 0
    assert text() == "Title. one two "
