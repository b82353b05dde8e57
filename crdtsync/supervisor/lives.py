"""The serving process's lives: starting it, and deciding what its end means.

The supervisor binds the sockets, so that clients who come during a restart wait instead of
being refused, and the port stays the same. It forks before anything large is imported, so that
it stays small and a restart finds nothing of the last life in memory. Owns: which ends are
passed on, when there is another start, and when it gives up.

====================================  ==========================================================
the serving process ends              the supervisor
====================================  ==========================================================
after SIGTERM or SIGINT               ends the same way
with 0, 2 or 130                      ends with the same code: it was told to, or can't be helped
with any other code before it served  ends with the same code
in any other way                      starts it again
====================================  ==========================================================

When the supervisor itself is gone, the serving process sees the end of its channel, and drains.
"""

import gc
import logging
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from crdtsync.config import Config
from crdtsync.errors import CrdtsyncError
from crdtsync.guarding import NOTE, ending_process, guard_folder, read_note
from crdtsync.supervisor.listen import bind

__all__ = ["MAX_RAPID_DEATHS", "GaveUp", "Supervised", "can_supervise", "supervise"]

log = logging.getLogger("crdtsync.supervisor")

RAPID_S: Final = 10.0
"""Who lives shorter than this died rapidly."""
MAX_RAPID_DEATHS: Final = 8
"""After so many rapid deaths in a row, none of them over a document, there is no other start."""
RESTART_DELAYS_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Before the start behind the first, second, ... of rapid deaths in a row."""
_PASSED_ON: Final = (0, 2, 130)
_STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_MAX_PATH_BYTES: Final = 4096
_Handler = Callable[[int, FrameType | None], Any] | int | None


class GaveUp(CrdtsyncError):
    """The server died again and again, and no document is to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    """What a serving process has from its supervisor."""

    sockets: tuple[socket.socket, ...]
    """They listen already; closing them here leaves the supervisor's open."""
    channel: socket.socket
    """Its end means that the supervisor is gone."""
    pid: int
    """The supervisor's process id: what an operator has to end."""
    folder: Path
    """Where the guard keeps its files, unless the server has another store."""
    restarts: int
    """How often the server was started again before this."""
    ended: tuple[int, int]
    """Process id and signal of the life before; zeros in the first."""

    def ready(self, folder: Path) -> None:
        """Tell the supervisor that clients are served, and where the guard keeps its files."""
        try:
            self.channel.send(os.fsencode(folder))
        except OSError:  # it is gone, which the channel's end says, too
            log.debug("nobody hears that the server is ready")


def can_supervise() -> bool:
    """Return whether this system has what it takes."""
    return hasattr(os, "fork")


def supervise(config: Config) -> Supervised:
    """Become a supervisor, and return in each serving process that it starts.

    Call it before there are threads or an event loop, and hand the result to ``serve`` or
    ``run``. The supervisor itself never returns: it raises ``SystemExit`` with the serving
    process's last exit code, or ``GaveUp``. Raises ``OperatorError`` where the configured
    address can't be had.
    """
    return _Supervisor(config).run()


class _Supervisor:
    def __init__(self, config: Config) -> None:
        folder = guard_folder(config.store)
        self._temporary = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="crdtsync-"))
        self._note = self._folder / NOTE
        try:
            self._sockets = tuple(bind(config, ending=lambda: ending_process(self._note)))
        except BaseException:
            self._clean_up()
            raise
        self._channel: socket.socket
        self._pid = os.getpid()
        self._child = 0
        self._last = 0
        self._asked: signal.Signals | None = None
        self._served = False
        self._restarts = 0
        self._rapid = 0
        self._unexplained = 0

    def run(self) -> Supervised:
        """Start, wait, decide; return in the serving process alone."""
        wake, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, nobody could wait for an end
        outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup says so
        stops = [each for each in _STOPS if each != signal.SIGHUP or not outlives]
        before = {each: signal.signal(each, self._forward) for each in stops}
        signal.set_wakeup_fd(woken)
        gc.freeze()  # what is shared with the serving process stays shared
        ended = (0, 0)
        try:
            while True:
                started_s = time.monotonic()
                channel = self._start()
                if channel is not None:
                    break
                code = self._wait()
                delay_s = self._judge(code, time.monotonic() - started_s)
                if delay_s:
                    select.select([wake], [], [], delay_s)
                ended = (self._last, max(0, -code))
                self._restarts += 1
        except BaseException:
            self._clean_up()
            raise
        signal.set_wakeup_fd(-1)
        os.close(wake)
        os.close(woken)
        _restore(before)
        gc.unfreeze()
        return Supervised(
            sockets=self._sockets,
            channel=channel,
            pid=self._pid,
            folder=self._folder,
            restarts=self._restarts,
            ended=ended,
        )

    def _start(self) -> socket.socket | None:
        """Start a serving process; return its channel in there, and nothing here."""
        ours, theirs = socket.socketpair()
        _flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        if self._asked is not None:  # between two lives, where there is nothing to stop
            self._end(0)
        child = os.fork()
        if child == 0:
            ours.close()
            return theirs
        self._child = child
        theirs.close()
        ours.setblocking(False)
        self._channel = ours
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        return None

    def _forward(self, signum: int, frame: FrameType | None) -> None:
        """Hand the first signal on; those behind it change nothing."""
        if self._asked is not None:
            return
        self._asked = signal.Signals(signum)
        for each in self._sockets:  # who comes from now on is refused
            each.close()
        if self._child:
            try:
                os.kill(self._child, signum)
            except ProcessLookupError:
                pass

    def _wait(self) -> int:
        """Wait for the serving process; return its exit code, or its signal below zero."""
        _, status = os.waitpid(self._child, 0)
        self._last, self._child = self._child, 0
        with self._channel as channel:
            try:
                if folder := channel.recv(_MAX_PATH_BYTES):
                    self._served = True
                    self._note = Path(os.fsdecode(folder)) / NOTE
            except OSError:
                pass
        if os.getpid() == 1:
            _reap()
        return os.waitstatus_to_exitcode(status)

    def _judge(self, code: int, lived_s: float) -> float:
        """Return the delay before the next start, or end."""
        if self._asked is not None or code in _PASSED_ON or -code in _STOPS:
            self._end(code)
        if code > 0 and not self._served:
            self._end(code)
        over = self._over()
        how = f"with exit code {code}" if code > 0 else f"by {_signal(-code)}"
        if lived_s >= RAPID_S:
            self._rapid = self._unexplained = 0
        else:
            self._rapid += 1
            self._unexplained = 0 if over else self._unexplained + 1
        if self._unexplained >= MAX_RAPID_DEATHS:
            raise GaveUp(
                f"the server died {self._unexplained} times within {RAPID_S:.0f} s of its start, "
                f"the last time {how}; --no-supervise runs it once"
            )
        delay_s = RESTART_DELAYS_S[min(max(self._rapid - 1, 0), len(RESTART_DELAYS_S) - 1)]
        log.error(
            "the server (process %d) died after %.1f s %s%s; it is started again %s",
            self._last,
            lived_s,
            how,
            over,
            f"in {delay_s:g} s" if delay_s else "at once",
        )
        return delay_s

    def _over(self) -> str:
        """Return what the process had in hand when it died; empty where that was no document."""
        entry = read_note(self._note)
        if entry is None or entry.pid != self._last or entry.work is None:
            return ""
        return f", document {entry.document!r} in hand: {entry.work.phrase}"

    def _end(self, code: int) -> None:
        if code >= 0:
            raise SystemExit(code)
        signum = -code
        if signum == signal.SIGINT:
            raise KeyboardInterrupt
        if signum in (signal.SIGTERM, signal.SIGHUP):
            self._clean_up()
            signal.signal(signum, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
            os.kill(os.getpid(), signum)
        raise GaveUp(f"the server died by {_signal(signum)} while it stopped")

    def _clean_up(self) -> None:
        if self._temporary:
            shutil.rmtree(self._folder, ignore_errors=True)


def _signal(signum: int) -> str:
    try:
        return f"signal {signum}, {signal.Signals(signum).name}"
    except ValueError:
        return f"signal {signum}"


def _flush() -> None:
    """Write out what the serving process would write again, where it can be written."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a service may have closed it
            with suppress(OSError, ValueError):
                stream.flush()


def _reap() -> None:
    """Let go of what became the first process's children by their parents' deaths."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _restore(before: Mapping[signal.Signals, _Handler]) -> None:
    """Take signals as a server that nobody supervises does, but a second Ctrl-C is none.

    The terminal sends one to both processes, and the supervisor hands its own on.
    """

    def interrupt(signum: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each, handler in before.items():
        signal.signal(each, handler)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
