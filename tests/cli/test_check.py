"""``crdtsync check`` of what can't be written to, read, or opened at all: sound is not damaged."""

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import program
from tests.processes import environment

from .invoking import STORES, in_a_folder, invoke, ok
from .making import text
from .running import command, server

SUBJECT = "--bounding-set=-dac_override,-dac_read_search"
"""What makes root subject to permissions."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of one's own, and make it one's own again."""
    in_a_folder(tmp_path, monkeypatch)
    yield tmp_path
    for path in (tmp_path, *tmp_path.glob("*"), *tmp_path.glob("*/*")):
        path.chmod(0o755)


@pytest.fixture(params=STORES)
def backup(request: pytest.FixtureRequest, folder: Path) -> tuple[str, Path]:
    """A backup of a store with its history."""
    url = str(request.param)
    option = ("--store", url)
    ok("documents", "import", "d", "-", *option, data=text("hi"))
    ok("versions", "create", "d", "--label", "first", *option)
    ok("documents", "import", "d", "-", "--merge", *option, data=text("yo", client=2))
    (history,) = folder.rglob("history.db")
    assert not list(folder.rglob("history.db-*")), "nobody has it open"
    return url, history


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check(url: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Check a store as a user who may do what the files' permissions say."""
    as_user = [program("setpriv"), SUBJECT] if os.geteuid() == 0 else []
    return subprocess.run(
        [*as_user, *command("check", "--store", url, *args)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_backup_that_can_only_be_read(backup: tuple[str, Path], folder: Path) -> None:
    """On a medium that can't be written to a sound backup is sound."""
    url, _ = backup
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = contents(folder)
    done = check(url)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.startswith("1 document sound, 0 errors")
    assert contents(folder) == before


def test_a_check_changes_nothing(backup: tuple[str, Path], folder: Path) -> None:
    """Nor does it where it might: nothing is written, and no file is left beside another."""
    before = contents(folder)
    ok("check", "--store", backup[0])
    assert contents(folder) == before


@pytest.mark.parametrize("hidden", ["file", "folder"])
def test_a_history_that_may_not_be_read(backup: tuple[str, Path], hidden: str) -> None:
    """Who may not read the history is told so, and not that it is damaged."""
    url, history = backup
    (history if hidden == "file" else history.parent).chmod(0)
    done = check(url)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    if hidden == "file":
        assert done.stderr.splitlines()[-1] == (
            f"crdtsync: can't read {history}: Permission denied. "
            "Run this as a user that may read it."
        )
    else:  # what is quarantined is the first that it would have to know
        assert "quarantined: Permission denied. Run this as" in done.stderr


def test_an_unfinished_check_as_json(backup: tuple[str, Path]) -> None:
    """What was read is reported, and that nobody knows the rest."""
    url, history = backup
    history.chmod(0)
    done = check(url, "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["sound"]) == (2, None)
    assert [(each["document"], each["level"]) for each in report["findings"]] == [("d", "ok")]


def test_a_history_that_is_damaged(backup: tuple[str, Path]) -> None:
    """It is still a finding where the history is no database any more."""
    url, history = backup
    history.write_bytes(b"nothing" * 1000)
    done = invoke("check", "--store", url)
    assert done.exit_code == 1
    assert done.stdout.startswith("error: the store: the check ended here: ")
    assert json.loads(invoke("check", "--store", url, "--json").stdout)["sound"] is False


def test_beside_a_server(backup: tuple[str, Path], folder: Path) -> None:
    """A server that has the history open is no hindrance."""
    url, history = backup
    with server(folder, "--port", "0", "--store", url) as started:
        started.wait_for("transport")
        ok("check", "--store", url)
        assert history.with_name("history.db-wal").exists()
        assert started.stop()[0] == 0


def test_a_file_that_is_no_database(folder: Path) -> None:
    """Who is told to run the check is not the one who just ran it."""
    Path("x.db").write_bytes(b"not a database" * 1000)
    for args in (("check",), ("documents", "list")):
        done = invoke(*args, "--store", "sqlite:x.db")
        assert done.exit_code == 2
        assert "sqlite3 " in done.stderr
        assert done.stderr.rstrip().endswith("x.db .recover.")
        assert "crdtsync check" not in done.stderr


def test_a_copy_without_its_log(folder: Path) -> None:
    """A young database holds nothing without what is beside it, and that is what is said."""
    with server(folder, "--port", "0", "--store", "sqlite:x.db") as started:
        started.wait_for("transport")
        assert Path("x.db-wal").exists()
        shutil.copy("x.db", "copy.db")
        Path("empty.db").touch()
        with sqlite3.connect("made.db") as db:  # as SQLite makes one before its first table
            db.execute("PRAGMA journal_mode = WAL")
        db.close()
        assert started.stop()[0] == 0
    for name in ("copy.db", "empty.db", "made.db"):
        done = invoke("check", "--store", f"sqlite:{name}")
        assert done.exit_code == 2
        assert f"{name} holds nothing. Was it copied without its -wal? " in done.stderr
        assert "start the server" not in done.stderr.lower()
