"""Where the output can't go, and what is no text: a line that says so, and nothing half done."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.processes import environment

from .invoking import in_a_folder, invoke, ok
from .making import text
from .running import command

STORE = ("--store", "sqlite:documents.db")
NOT_UTF_8 = os.fsdecode(b"\xff\xfe")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of one's own, with a document."""
    in_a_folder(tmp_path, monkeypatch)
    ok("documents", "import", "d", "-", *STORE, data=text("hi"))
    return tmp_path


def shell(line: str, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command with its outputs as a shell puts them."""
    return subprocess.run(
        ["sh", "-c", line, "sh", *command(*args)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


@pytest.mark.parametrize(
    "args",
    [
        ("documents", "list", *STORE),
        ("documents", "list", "--json", *STORE),
        ("documents", "export", "d", *STORE),
        ("config",),
        ("--version",),
        ("--help",),
    ],
    ids=lambda args: " ".join(args),
)
def test_a_full_disk(args: tuple[str, ...]) -> None:
    """What does not fit is told, in one line."""
    done = shell('"$@" >/dev/full', *args)
    assert done.returncode == 1
    assert done.stderr == "crdtsync: can't write the output: No space left on device\n"


def test_remarks_that_do_not_fit() -> None:
    """What was done is done, though nobody could be told."""
    done = shell('"$@" 2>/dev/full <update', "documents", "import", "e", "-", *STORE)
    assert done.returncode == 2, "there is no such file"
    Path("update").write_bytes(text("hi"))
    for where in ("2>/dev/full", "2>&-"):
        name = f"by{where[2:4]}"
        done = shell(f'"$@" {where} <update', "documents", "import", name, "-", *STORE)
        assert done.returncode == 0
        assert name in ok("documents", "list", *STORE).stdout


def test_a_closed_output() -> None:
    """An export that can go nowhere is none."""
    done = shell('"$@" >&-', "documents", "export", "d", *STORE)
    assert done.returncode == 2
    assert done.stderr == "crdtsync: standard output is closed. Write to a file with -o.\n"


@pytest.mark.parametrize("verb", ["list", "export"])
def test_nobody_reads_on(verb: str) -> None:
    """A pipe whose reader has gone ends a command quietly."""
    reads, writes = os.pipe()
    os.close(reads)
    args = ("documents", verb, *(("d",) if verb == "export" else ()), *STORE)
    done = subprocess.run(
        command(*args), env=environment(), stdout=writes, stderr=subprocess.PIPE, check=False
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    "args",
    [("documents", "list"), ("serve", "--port", "0"), ("config",), ("--version",)],
    ids=lambda args: " ".join(args),
)
def test_a_folder_that_is_gone(folder: Path, args: tuple[str, ...]) -> None:
    """Nothing can be done in it: that is said, and how to go on."""
    gone = folder / "gone"
    gone.mkdir()
    done = shell('rmdir ../gone; "$@"', *args, cwd=gone)
    assert done.returncode == 2
    assert done.stderr == (
        "crdtsync: can't work in this folder: No such file or directory. "
        "Change to one that is there.\n"
    )


@pytest.mark.parametrize(
    "args",
    [
        ("documents", "show", NOT_UTF_8),
        ("documents", "export", NOT_UTF_8),
        ("documents", "delete", NOT_UTF_8, "--yes"),
        ("documents", "import", NOT_UTF_8, "-"),
        ("documents", "release", NOT_UTF_8),
        ("documents", "list", "--prefix", NOT_UTF_8),
        ("documents", "list", "--after", NOT_UTF_8),
        ("versions", "list", NOT_UTF_8),
        ("versions", "create", "d", "--label", NOT_UTF_8),
        ("versions", "prune", "d", NOT_UTF_8, "--keep", "1d", "--yes"),
        ("versions", "erase", NOT_UTF_8, "--before", "s1", "--yes"),
        ("shares", "list", NOT_UTF_8),
        ("shares", "revoke", NOT_UTF_8),
        ("revoke", NOT_UTF_8),
        ("revoke", "--share", NOT_UTF_8),
        ("quarantine", "list", "--author", NOT_UTF_8),
    ],
    ids=lambda args: " ".join(args).replace(NOT_UTF_8, "X"),
)
def test_what_is_no_text(args: tuple[str, ...]) -> None:
    """Names are UTF-8: nothing else is looked for, or written."""
    result = invoke(*args, *STORE)
    assert result.exit_code == 2
    assert "it is not UTF-8" in result.stderr
    assert result.stderr.count("\n") == 1


def test_paths_need_not_be_text(folder: Path) -> None:
    """A file system takes any bytes."""
    path = folder / NOT_UTF_8
    ok("documents", "export", "d", "-o", NOT_UTF_8, *STORE)
    assert path.read_bytes() == invoke("documents", "export", "d", *STORE).stdout_bytes
    ok("documents", "import", "e", NOT_UTF_8, *STORE)


def test_who_may_read_an_export(folder: Path) -> None:
    """A file that is replaced is as private as it was; a new one as the umask says."""
    private, new = folder / "private", folder / "new"
    private.touch(0o600)
    umask = os.umask(0o027)
    try:
        for path in (private, new):
            ok("documents", "export", "d", "-o", str(path), *STORE)
    finally:
        os.umask(umask)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (private, new)]
    assert modes == [0o600, 0o640]
    assert private.read_bytes() == new.read_bytes()
    assert {path.name for path in folder.iterdir() if path.suffix == ".tmp"} == set()


@pytest.mark.parametrize(
    ("may_give", "mode"), [(("owner", "group"), 0o640), (("group",), 0o640), ((), 0o600)]
)
def test_whose_an_export_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, may_give: tuple[str, ...], mode: int
) -> None:
    """Whose it was before, as far as this user may give it; no group reads it that might not."""
    older = folder / "older"
    older.touch(0o640)
    owner, group = older.stat().st_uid, older.stat().st_gid
    asked: list[tuple[int, int]] = []

    def chown(path: Path, uid: int, gid: int) -> None:
        assert Path(path).parent == folder
        asked.append((uid, gid))
        if (uid == owner and "owner" not in may_give) or "group" not in may_give:
            raise PermissionError

    monkeypatch.setattr(os, "chown", chown)
    ok("documents", "export", "d", "-o", "older", *STORE)
    assert asked == ([(owner, group)] if "owner" in may_give else [(owner, group), (-1, group)])
    assert stat.S_IMODE(older.stat().st_mode) == mode


def test_an_export_is_on_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before it gets its name, and the name behind it."""
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    ok("documents", "export", "d", "-o", "export", *STORE)
    assert [Path(each).name for each in synced[-2:]] == [
        f".export.{os.getpid()}.tmp",
        folder.name,
    ]


def test_a_key_that_does_not_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No half of one is left, and no public half of none."""
    import crdtsync.cli.tokens as tokens

    def full(descriptor: int, mode: str) -> object:
        os.close(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokens, "open", full, raising=False)
    result = invoke("token", "key", "k")
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert list(folder.glob("k*")) == []
