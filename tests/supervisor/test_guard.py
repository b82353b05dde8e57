"""The note and the records behind it, without a server: what counts, and for how long."""

import os
import signal
from pathlib import Path

import pytest

from crdtsync.clock import ManualClock
from crdtsync.guard import Death, Quarantined, Work
from crdtsync.guarding import NOTE, DocumentGuard, guard_folder, read_note
from crdtsync.guarding.note import MAX_NAME_BYTES, SIZE, ending_process
from crdtsync.guarding.records import MAX_SUSPECTS, SUSPICION_S, Records


def die(folder: Path, document: str, work: Work, *, ending: bool = False) -> None:
    """Leave a note as a process does that dies: nothing is closed."""
    guard = DocumentGuard(folder)
    guard.open()
    watch = guard.watch(document)
    if ending:
        guard.ending()
    watch.enter(work)


def start(folder: Path, signum: int = 0, clock: ManualClock | None = None) -> DocumentGuard:
    """Start behind a death by a signal that the supervisor saw, or by one that nobody did."""
    guard = DocumentGuard(folder, ended=(os.getpid(), signum), clock=clock)
    guard.open()
    return guard


@pytest.mark.parametrize("work", Work)
@pytest.mark.parametrize("name", ["d", "a/b", "ü€😀\n\0", "x" * MAX_NAME_BYTES])
def test_the_note(tmp_path: Path, name: str, work: Work) -> None:
    """It names the document and the work from ``enter`` to ``leave``, and the process."""
    guard = DocumentGuard(tmp_path)
    guard.open()
    watch, other = guard.watch(name), guard.watch("other")
    for each, document in ((watch, name), (other, "other"), (watch, name), (watch, name)):
        each.enter(work)
        entry = read_note(tmp_path / NOTE)
        assert entry is not None
        assert (entry.document, entry.work, entry.pid) == (document, work, os.getpid())
        each.leave()
        entry = read_note(tmp_path / NOTE)
        assert entry is not None
        assert entry.work is None


@pytest.mark.parametrize("data", [b"", b"crdtnote", bytes(SIZE), b"crdtnote" + b"\xff" * SIZE])
def test_a_note_that_is_none(tmp_path: Path, data: bytes) -> None:
    """What is no note accuses nobody, and is written over."""
    (tmp_path / NOTE).write_bytes(data)
    assert read_note(tmp_path / NOTE) is None
    guard = start(tmp_path)
    assert guard.listed() == []
    guard.watch("d").enter(Work.LOADING)
    assert read_note(tmp_path / NOTE) is not None


def test_no_place_for_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where it can't be written the server serves on, with a warning."""
    (tmp_path / "file").touch()
    guard = start(tmp_path / "file" / "x")
    guard.watch("d").enter(Work.LOADING)
    guard.watch("d").leave()
    guard.close()
    assert "no guard for documents" in caplog.text


def test_crashes_count_for_a_day(tmp_path: Path) -> None:
    """Two crashes over one document within a day quarantine it, whatever went well between."""
    clock = ManualClock()
    die(tmp_path, "d", Work.READING)
    guard = start(tmp_path, signal.SIGSEGV, clock)
    assert guard.quarantined("d") is None
    guard.watch("d").enter(Work.READING)
    guard.watch("d").leave()
    guard.close()
    clock.advance(SUSPICION_S - 1)
    die(tmp_path, "d", Work.INTEGRATING)
    record = start(tmp_path, signal.SIGABRT, clock).quarantined("d")
    assert record is not None
    assert [death.work for death in record.deaths] == [Work.READING, Work.INTEGRATING]


def test_a_crash_is_forgotten_after_a_day(tmp_path: Path) -> None:
    """One a day quarantines nothing."""
    clock = ManualClock()
    for _ in range(5):
        die(tmp_path, "d", Work.INTEGRATING)
        guard = start(tmp_path, signal.SIGSEGV, clock)
        assert guard.quarantined("d") is None
        clock.advance(SUSPICION_S + 1)


@pytest.mark.parametrize("signum", [signal.SIGKILL, 0])
def test_an_accident_is_forgiven(tmp_path: Path, signum: int) -> None:
    """A kill from outside counts no more once the same work on the document went well."""
    for _ in range(5):
        die(tmp_path, "d", Work.INTEGRATING)
        guard = start(tmp_path, signum)
        assert guard.quarantined("d") is None
        watch = guard.watch("d")
        watch.enter(Work.INTEGRATING)
        watch.leave()


@pytest.mark.parametrize("signum", [signal.SIGKILL, 0])
def test_two_in_a_row_are_no_accident(tmp_path: Path, signum: int) -> None:
    """Killed at the same work again (too much memory, say), it is quarantined."""
    die(tmp_path, "d", Work.INTEGRATING)
    watch = start(tmp_path, signum).watch("d")
    watch.enter(Work.LOADING)
    watch.leave()  # other work went well
    watch.enter(Work.INTEGRATING)
    record = start(tmp_path, signum).quarantined("d")
    assert record is not None
    assert len({death.pid for death in record.deaths}) == 1  # in a container they may be the same


def test_a_death_counts_once(tmp_path: Path) -> None:
    """The note is a new one before the old one's death is counted."""
    die(tmp_path, "d", Work.INTEGRATING)
    for _ in range(3):
        assert start(tmp_path, signal.SIGSEGV).quarantined("d") is None


def test_a_kill_while_it_stops(tmp_path: Path) -> None:
    """Who kills a server that stops too slowly blames no document; a crash still does."""
    for signum, count in ((signal.SIGKILL, 0), (0, 0), (signal.SIGSEGV, 1)):
        die(tmp_path, "d", Work.PROVING, ending=True)
        guard = start(tmp_path, signum)
        assert len(guard._suspects) == count


def test_another_process_s_note(tmp_path: Path) -> None:
    """The signal is that of the process that wrote the note, or nobody saw."""
    die(tmp_path, "d", Work.INTEGRATING)
    guard = DocumentGuard(tmp_path, ended=(1, signal.SIGSEGV))
    guard.open()
    (death,) = guard._suspects["d"]
    assert death.signum == 0


def test_suspects_are_bounded(tmp_path: Path) -> None:
    """The latest ``MAX_SUSPECTS`` are remembered."""
    guard = start(tmp_path)
    for number in range(3):
        guard.suspect(f"d{number}", Work.PROVING, signal.SIGSEGV)
    guard._suspects |= {f"x{number}": guard._suspects["d0"] for number in range(MAX_SUSPECTS)}
    guard.suspect("last", Work.PROVING, signal.SIGSEGV)
    kept = guard._records.suspects(0)
    assert len(kept) == MAX_SUSPECTS
    assert "last" in kept


def test_records_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is synced before it has its name, and its name before anything else happens."""
    steps: list[tuple[str, int, int]] = []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        sync(descriptor)
        found = os.fstat(descriptor)
        steps.append(("sync", found.st_ino, found.st_size))

    def replaced(self: Path, target: Path) -> Path:
        made = replace(self, target)
        steps.append(("name", made.stat().st_ino, made.stat().st_size))
        return made

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    records = Records(tmp_path)
    death = Death(1, Work.INTEGRATING, 7, 11)
    records.keep_suspects({"d": (death,)})
    records.quarantine(Quarantined("d", 1, (death,)))
    written = [tmp_path / "suspects.json", *(tmp_path / "quarantined").iterdir()]
    assert len(written) == 2
    for at, path in enumerate(written):
        found = path.stat()
        first, second, third = steps[3 * at : 3 * at + 3]
        assert first == ("sync", found.st_ino, found.st_size)
        assert second == ("name", found.st_ino, found.st_size)
        assert third[:2] == ("sync", path.parent.stat().st_ino)
    assert len(steps) == 6


def test_a_release_is_seen(tmp_path: Path) -> None:
    """Another process's release holds at once, and deaths count from none on."""
    guard = start(tmp_path)
    for _ in range(2):
        guard.suspect("d", Work.PROVING, signal.SIGSEGV)
        assert guard.quarantined("d") is None
        guard.suspect("d", Work.PROVING, signal.SIGSEGV)
        assert guard.quarantined("d") is not None
        assert [record.document for record in DocumentGuard(tmp_path).listed()] == ["d"]
        assert DocumentGuard(tmp_path).release("d")
        assert not DocumentGuard(tmp_path).release("d")
        assert guard.quarantined("d") is None


def test_an_ending_process(tmp_path: Path) -> None:
    """It is seen from outside only, for as long as it lives."""
    die(tmp_path, "d", Work.PROVING, ending=True)
    assert ending_process(tmp_path / NOTE) == 0  # this process itself
    note = bytearray((tmp_path / NOTE).read_bytes())
    for pid, seen in ((os.getppid(), os.getppid()), (2**22 + 1, 0)):
        note[12:16] = pid.to_bytes(4, "little")
        (tmp_path / NOTE).write_bytes(note)
        assert ending_process(tmp_path / NOTE) == seen
    assert ending_process(tmp_path / "gone") == 0


def test_where_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a database, within a folder of files; two names of one store have one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to("real.db")
    assert guard_folder("sqlite:link.db") == tmp_path / "real.db.guard"
    assert guard_folder("file:docs") == tmp_path / "docs" / "guard"
    assert guard_folder("memory:") is None
