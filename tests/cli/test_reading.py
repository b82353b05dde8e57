"""Commands that only read: they write nothing, on any medium, and say what they may not read."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import program
from tests.processes import environment

from .invoking import STORES, in_a_folder, invoke, ok
from .making import text
from .running import command
from .test_check import SUBJECT, contents

READING = (
    ("documents", "list"),
    ("documents", "show", "d"),
    ("documents", "export", "d", "--format", "json"),
    ("documents", "quarantined"),
    ("versions", "list", "d"),
    ("versions", "activity", "d"),
    ("versions", "show", "d"),
    ("versions", "blame", "d"),
    ("versions", "diff", "d", "--from", "s1"),
    ("shares", "list"),
    ("revoke", "--list"),
    ("quarantine", "list"),
    ("check",),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder of one's own, and make it one's own again."""
    in_a_folder(tmp_path, monkeypatch)
    yield tmp_path
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, folder: Path) -> str:
    """A store with a document, and nothing beside it."""
    ok("documents", "import", "d", "-", "--store", request.param, data=text("hi"))
    return str(request.param)


def beside(folder: Path) -> Path:
    """Return the folder of what is beside the store."""
    return next(path for path in guards(folder) if path.exists())


def guards(folder: Path) -> tuple[Path, Path]:
    """Return where it is for each kind of store."""
    return folder / "documents.db.guard", folder / "documents" / "guard"


def subject_to_permissions(*args: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user who may do what the files' permissions say."""
    as_user = [program("setpriv"), SUBJECT] if os.geteuid() == 0 else []
    return subprocess.run(
        [*as_user, *command(*args)], env=environment(), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("args", READING, ids=" ".join)
def test_nothing_is_made(url: str, folder: Path, args: tuple[str, ...]) -> None:
    """Beside a store that has nothing beside it there is nothing afterwards."""
    for guard in guards(folder):
        shutil.rmtree(guard, ignore_errors=True)
    before = contents(folder)
    ok(*args, "--store", url)
    assert contents(folder) == before
    assert not any(guard.exists() for guard in guards(folder))


@pytest.fixture
def backup(url: str, folder: Path) -> str:
    """A store with all that may be beside it, on a medium that can't be written to."""
    ok("versions", "create", "d", "--label", "first", "--store", url)
    ok("documents", "import", "d", "-", "--merge", "--store", url, data=text("yo", client=2))
    ok("shares", "create", "d", "--role", "read", "--store", url)
    ok("revoke", "bob", "--store", url)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return url


def test_a_medium_that_can_only_be_read(backup: str, folder: Path) -> None:
    """A backup on it can be looked into by each of these commands."""
    before = contents(folder)
    told = {}
    for args in READING:
        done = subject_to_permissions(*args, "--store", backup)
        assert done.returncode == 0, (args, done.stderr)
        told[" ".join(args[:2])] = done.stdout
    assert contents(folder) == before
    assert "first" in told["versions list"]
    assert "bob" in told["revoke --list"]
    assert "\td\tread\topen" in told["shares list"]


@pytest.mark.parametrize(
    "args", [("versions", "create", "d", "--label", "x"), ("revoke", "ann")], ids=" ".join
)
def test_what_writes_says_so(backup: str, args: tuple[str, ...]) -> None:
    """Those that write need a medium that can be written to."""
    done = subject_to_permissions(*args, "--store", backup)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "written to" in done.stderr or "write access" in done.stderr


@pytest.mark.parametrize(
    "args", [each for each in READING if each[0] not in ("check",)], ids=" ".join
)
def test_what_may_not_be_read_is_not_taken_for_nothing(
    url: str, folder: Path, args: tuple[str, ...]
) -> None:
    """Who may read the store alone is not told that nothing is quarantined, shared or refused."""
    ok("versions", "create", "d", "--label", "first", "--store", url)
    guard = beside(folder)
    (guard / "quarantined").mkdir()
    guard.chmod(0)
    done = subject_to_permissions(*args, "--store", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Permission denied" in done.stderr
    assert "Run this as" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_server_that_may_not_read_what_is_quarantined(url: str, folder: Path) -> None:
    """It does not start: it would die of that document."""
    guard = guards(folder)[url.startswith("file")]
    (guard / "quarantined").mkdir(parents=True, exist_ok=True)
    record = guard / "quarantined" / "some.json"
    record.write_text("{}")
    record.chmod(0)
    done = subject_to_permissions("serve", "--port", "0", "--store", url)
    assert done.returncode == 2
    assert "which documents are quarantined can't be read" in done.stderr


def test_a_database_that_may_not_be_read(folder: Path) -> None:
    """The hint is about who may read it."""
    ok("documents", "import", "d", "-", "--store", "sqlite:a.db", data=text("hi"))
    (folder / "a.db").chmod(0)
    done = subject_to_permissions("documents", "list", "--store", "sqlite:a.db")
    assert done.returncode == 2
    assert "Run this as the user that a.db belongs to" in done.stderr


def test_a_database_without_its_tables(folder: Path) -> None:
    """The hint is not about the disk."""
    import sqlite3

    ok("documents", "import", "d", "-", "--store", "sqlite:a.db", data=text("hi"))
    database = sqlite3.connect("a.db")
    database.execute("DROP TABLE tail")
    database.close()
    result = invoke("documents", "list", "--store", "sqlite:a.db")
    assert result.exit_code == 2
    assert "no such table: tail" in result.stderr
    assert "put back a backup" in result.stderr
