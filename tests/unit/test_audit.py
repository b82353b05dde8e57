"""The audit log: what it says, what it never says, and how it fares with disks and rotation."""

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from crdtsync import audit_log
from crdtsync.audit import Caller, Event, What
from crdtsync.audit_log import AuditLog, line
from crdtsync.clock import ManualClock
from crdtsync.errors import ConfigError, Forbidden
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.store.memory import MemoryStore

from .engine import join, quick

pytestmark = pytest.mark.anyio


def read(path: Path) -> list[dict[str, Any]]:
    """Return the events of a file."""
    return [json.loads(text) for text in path.read_text("ascii").splitlines() if text]


def test_a_line() -> None:
    """An event is one line of JSON in ASCII; what is empty is left out."""
    event = Event(
        what=What.REFUSED,
        document="a\nb\x1b[31m\u2028ü",
        caller=Caller(address="192.0.2.1", request_id="r1"),
        code=4403,
        reason="no",
        detail={"kind": "forbidden"},
    )
    written = line(1_700_000_000_123, event)
    assert written.isascii()
    assert written.count(b"\n") == 1
    assert b"\x1b" not in written
    assert json.loads(written) == {
        "time": "2023-11-14T22:13:20.123Z",
        "event": "refused",
        "document": "a\nb\x1b[31m\u2028ü",
        "address": "192.0.2.1",
        "request": "r1",
        "code": 4403,
        "reason": "no",
        "kind": "forbidden",
    }


async def test_what_connections_leave(tmp_path: Path) -> None:
    """Connects, refusals and ends are written with who, where and why, in order."""
    path = tmp_path / "audit.jsonl"
    async with Hub(MemoryStore(), limits=quick(), audit=AuditLog(str(path))) as hub:
        ada = Principal(id="ada", share="s1", attributes={"token": "SECRET"})
        caller = Caller(address="192.0.2.1", request_id="r1")
        client = await join(hub, principal=ada, caller=caller)
        client.type("SECRET content")
        client.connection.refuse(Forbidden("you may not"))
        other = await join(hub)
        other.connection.lost(1001)
        (await join(hub, "b")).connection.lost()
    events = read(path)
    for event in events:
        event.pop("time")
    who = {"document": "doc", "principal": "ada", "share": "s1"}
    where = {"address": "192.0.2.1", "request": "r1"}
    why = {"code": 4403, "reason": "you may not", "kind": "forbidden"}
    assert events == [
        {"event": "connect", **who, **where},
        {"event": "refused", **who, **where, **why},
        {"event": "disconnect", **who, **where, "code": 4403},
        {"event": "connect", "document": "doc"},
        {"event": "disconnect", "document": "doc", "code": 1001},
        {"event": "connect", "document": "b"},
        {"event": "disconnect", "document": "b", "code": 1006},
    ]
    assert "SECRET" not in path.read_text()


async def test_denials_and_deletions(tmp_path: Path) -> None:
    """The first edit of a connection that is not taken is there, and a document's deletion."""
    path = tmp_path / "audit.jsonl"
    async with Hub(MemoryStore(), limits=quick(), audit=AuditLog(str(path))) as hub:
        writer, viewer = await join(hub), await join(hub, principal=Principal(read_only=True))
        writer.type("x")
        viewer.type("y")
        viewer.type("z")
        await writer.shows("x")
        assert await hub.delete("doc")
        assert not await hub.delete("doc")
    events = [(event["event"], event.get("reason", "")) for event in read(path)]
    denied = ("denied", "this document is read-only for you")
    assert events.count(denied) == 1
    assert events[-1] == ("deleted", "")
    assert [what for what, _ in events].count("deleted") == 1


async def test_a_shutdown_is_in_it(tmp_path: Path) -> None:
    """The end of the server writes what waits: every connection's end is there."""
    path = tmp_path / "audit.jsonl"
    async with Hub(MemoryStore(), limits=quick(), audit=AuditLog(str(path))) as hub:
        for number in range(50):
            await join(hub, f"doc{number}")
    ends = [event for event in read(path) if event["event"] == "disconnect"]
    assert len(ends) == 50
    assert {event["code"] for event in ends} == {1012}


class Written(AuditLog):
    """An audit log that tells when it has written."""

    def __init__(self, path: str) -> None:
        super().__init__(path, clock=ManualClock())
        self.turn = threading.Semaphore(0)

    def _write_out(self) -> None:
        super()._write_out()
        self.turn.release()

    def say(self, document: str) -> None:
        """Record something, and wait until the thread has dealt with it."""
        self.record(Event(what=What.CONNECT, document=document))
        assert self.turn.acquire(timeout=10)


def names(path: Path) -> list[str]:
    return [event["document"] for event in read(path) if "document" in event]


def test_rotation(tmp_path: Path) -> None:
    """A file that was moved or removed is made anew, with rights for its owner and group only."""
    path = tmp_path / "audit.jsonl"
    log = Written(str(path))
    log.open()
    log.say("a")
    path.rename(tmp_path / "audit.1")
    log.say("b")
    path.unlink()
    log.say("c")
    log.say("d")
    log.close()
    log.close()
    assert names(tmp_path / "audit.1") == ["a"]
    assert names(path) == ["c", "d"]
    assert path.stat().st_mode & 0o007 == 0


def test_a_failing_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the disk refuses is reported once and counted, in the log itself too; it goes on."""
    path = tmp_path / "audit.jsonl"
    log = Written(str(path))
    log.open()
    log.say("a")
    write = os.write

    def full(file: int, data: Any) -> int:
        if bytes(data[:1]) == b"{" and len(data) > 10:
            write(file, bytes(data[:10]))  # some of it gets there
        raise OSError(28, "No space left on device")

    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(audit_log.os, "write", full)
        log.say("b")
        log.say("c")
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        monkeypatch.setattr(audit_log.os, "write", write)
        log.say("d")
        log.say("e")
    log.close()
    assert log.lost == 2
    lines = path.read_text().splitlines()
    sound = [json.loads(each) for each in lines if each.endswith("}")]
    assert [each.get("document", each["event"]) for each in sound] == ["a", "d", "lost", "e"]
    assert sound[2]["count"] == 2
    assert "No space left" in caplog.text


def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk hangs events wait, up to a limit; the rest is counted, and nobody waits."""
    monkeypatch.setattr(audit_log, "MAX_QUEUED_EVENTS", 3)
    path = tmp_path / "audit.jsonl"
    log = AuditLog(str(path))
    hangs, go_on = threading.Event(), threading.Event()
    opened = log._write

    def write(data: bytes) -> None:
        hangs.set()
        assert go_on.wait(10)
        opened(data)

    monkeypatch.setattr(log, "_write", write)
    log.open()
    log.record(Event(what=What.CONNECT, document="first"))
    assert hangs.wait(10)
    for number in range(5):
        log.record(Event(what=What.CONNECT, document=str(number)))
    assert log.lost == 2
    go_on.set()
    log.close()
    assert names(path) == ["first", "0", "1", "2"]
    assert [event["count"] for event in read(path) if event["event"] == "lost"] == [2]


def test_a_disk_that_hangs_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of the server does not wait for ever."""
    monkeypatch.setattr(audit_log, "CLOSE_TIMEOUT_S", 0.05)
    log = AuditLog(str(tmp_path / "audit.jsonl"))
    go_on = threading.Event()
    monkeypatch.setattr(log, "_write", lambda data: go_on.wait(10))
    log.open()
    thread = log._thread
    log.record(Event(what=What.CONNECT, document="x"))
    log.close()
    assert "the audit log hangs" in caplog.text
    go_on.set()
    assert thread is not None
    thread.join(10)


@pytest.mark.parametrize("name", ["missing/audit.jsonl", "."])
def test_a_file_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    """A server whose audit log can't be written does not start, and says why."""
    log = AuditLog(str(tmp_path / name))
    with pytest.raises(ConfigError, match="audit_log: can't write"):
        log.open()
    log.record(Event(what=What.CONNECT))
    log.close()


def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """``-`` writes to standard output, and leaves it open."""
    log = Written("-")
    log.open()
    log.say("a")
    log.close()
    os.write(1, b"still open\n")
    first, second = capfd.readouterr().out.splitlines()
    assert json.loads(first)["document"] == "a"
    assert second == "still open"
