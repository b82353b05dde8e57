"""The audit log as a file of JSON lines, or on standard output.

Owns one thread that writes, so that no connection waits for a disk, and the queue in front of
it, which is bounded: what does not fit is counted, and the log says how many there were. A file
that was moved away or removed (log rotation) is made anew. A disk that fails is reported in the
server's own log and the lines are lost; nothing else stops.
"""

import errno
import json
import logging
import os
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final

from crdtsync.audit import Event
from crdtsync.clock import Clock, SystemClock
from crdtsync.errors import ConfigError

__all__ = ["MAX_QUEUED_EVENTS", "STANDARD_OUTPUT", "AuditLog", "line"]

log = logging.getLogger("crdtsync.audit")

MAX_QUEUED_EVENTS: Final = 10_000
"""Events that wait for the disk; what comes beyond is lost, and counted."""
STANDARD_OUTPUT: Final = "-"
CLOSE_TIMEOUT_S: Final = 5.0
"""How long the end waits for a disk that hangs."""
MODE: Final = 0o640


class AuditLog:
    """Appends one JSON object per line to a file."""

    def __init__(self, path: str, *, clock: Clock | None = None) -> None:
        self._path = path
        self._clock: Clock = clock or SystemClock()
        self._queue: deque[tuple[int, Event]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._file: int | None = None
        self._lost = 0
        self._unsaid = 0  # lost, and not yet said so in the log
        self._failed = False

    @property
    def lost(self) -> int:
        """How many events could not be written."""
        return self._lost

    def open(self) -> None:
        """Open the file and start the thread. Raises ``ConfigError``."""
        try:
            self._file = self._opened()
        except OSError as error:
            raise self._unwritable(error.strerror) from None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what ``open`` would, and make no file."""
        if self._path == STANDARD_OUTPUT:
            return
        folder = os.path.dirname(self._path) or os.curdir
        if os.path.isdir(self._path):
            raise self._unwritable(os.strerror(errno.EISDIR))
        if not os.path.exists(folder):
            raise self._unwritable(os.strerror(errno.ENOENT))
        if not os.access(self._path if os.path.exists(self._path) else folder, os.W_OK):
            raise self._unwritable(os.strerror(errno.EACCES))

    def _unwritable(self, reason: str | None) -> ConfigError:
        return ConfigError(
            f"audit_log: can't write {self._path}: {reason}",
            hint="Set audit_log to a file in a folder that this user may write, or to -",
        )

    def close(self) -> None:
        """Write what waits, and end; idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._closing = True
        self._wake.set()
        thread.join(CLOSE_TIMEOUT_S)
        if thread.is_alive():
            log.error("the audit log hangs: %d events are not written", len(self._queue))
            return
        if self._file is not None and self._path != STANDARD_OUTPUT:
            os.close(self._file)
        self._file = None

    def record(self, event: Event) -> None:
        """Take an event; it is written soon."""
        if self._thread is None:
            return
        if len(self._queue) >= MAX_QUEUED_EVENTS:
            self._lost += 1
            self._unsaid += 1
            return
        self._queue.append((self._clock.time_ms(), event))
        if not self._wake.is_set():
            self._wake.set()

    # On the thread

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            ending = self._closing
            self._write_out()
            if ending and not self._queue:
                return

    def _write_out(self) -> None:
        events = []
        while self._queue:
            events.append(self._queue.popleft())
        if not events:
            return
        lines = [line(time_ms, event) for time_ms, event in events]
        unsaid = self._unsaid
        if unsaid:
            lines.append(_json({"time": _iso(events[-1][0]), "event": "lost", "count": unsaid}))
        try:
            # Behind a failure: a line may have been cut off.
            self._write((b"\n" if self._failed else b"") + b"".join(lines))
        except OSError as error:
            self._lost += len(events)
            self._unsaid += len(events)
            if not self._failed:
                log.error("the audit log can't be written: %s", error)
            self._failed = True
            return
        self._unsaid -= unsaid
        if self._failed:
            log.warning("the audit log is written again")
        self._failed = False

    def _write(self, data: bytes) -> None:
        if self._file is None or self._moved(self._file):
            old, self._file = self._file, None
            if old is not None:
                os.close(old)
            self._file = self._opened()
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def _moved(self, file: int) -> bool:
        """Return whether the path is another file now, or none."""
        if self._path == STANDARD_OUTPUT:
            return False
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(file))

    def _opened(self) -> int:
        if self._path == STANDARD_OUTPUT:
            return sys.__stdout__.fileno() if sys.__stdout__ is not None else 1
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)


def line(time_ms: int, event: Event) -> bytes:
    """Return an event as one line of JSON; what it leaves empty is left out."""
    fields: dict[str, Any] = {
        "time": _iso(time_ms),
        "event": event.what.value,
        "document": event.document,
        "principal": event.principal,
        "share": event.share,
        "address": event.caller.address,
        "request": event.caller.request_id,
        "code": event.code,
        "reason": event.reason,
        **event.detail,
    }
    return _json({name: value for name, value in fields.items() if value not in ("", None)})


def _json(fields: dict[str, Any]) -> bytes:
    # In ASCII: no name of a document moves a terminal's cursor, or starts a line of its own.
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _iso(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
