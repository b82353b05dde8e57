"""Long work in processes of its own, so that typing doesn't wait for it.

Owns the processes: few at a time, each for one call after another, ended when they are idle for
a while, when a call takes too long, and with the server, however that ends. Not AnyIO's worker
processes: those run the program's main module again, which may be anybody's.

A call begins in a process that gives way to everything else, and is made again in an ordinary
one where that hardly runs: see ``crdtsync.yielding``. So calls are repeatable.
"""

import logging
import os
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

from crdtsync.errors import CrdtsyncError
from crdtsync.history.model import HistoryUnavailable
from crdtsync.history.saying import Said
from crdtsync.history.working import Mail, answer
from crdtsync.limits import Limits
from crdtsync.turns import Turns
from crdtsync.yielding import LOOK_S, Job, Yielding, end, nameless

__all__ = ["Workers"]

log = logging.getLogger("crdtsync.history")

IDLE_S: Final = 60.0
"""A process that had nothing to do for so long is ended."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Workers:
    """Processes for long work. Use it as ``async with``; leaving ends them all.

    With ``here`` there are none: a thread of this process does the work, for a program that ends
    with the answer and has nobody whose typing would wait.
    """

    def __init__(self, limits: Limits | None = None, *, here: bool = False) -> None:
        limits = limits or Limits()
        self._here = here
        self._most = limits.history_processes
        self._timeout_s = limits.history_timeout_s
        self._turns: Turns
        self._idle: deque[tuple[_Worker, float]] = deque()
        self._yielding = Yielding()
        self._at_work: dict[_Worker, tuple[Job, anyio.CancelScope]] = {}
        """Those that give way, with what ends the waiting for them."""
        self._stack = AsyncExitStack()
        self._told = False

    async def __aenter__(self) -> Self:
        self._turns = Turns(self._most)
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(self._look_after)
        tasks.start_soon(self._look_on)
        self._stack.callback(tasks.cancel_scope.cancel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._stack.aclose()
        finally:
            while self._idle:
                self._idle.pop()[0].end()

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Call a function of a module in a worker; return what it returns, raise what it raises.

        Function, arguments and result are pickled; it may be called twice. Raises
        ``HistoryUnavailable`` where it takes over ``history_timeout_s``, its process dies, or it
        fails in a way that nobody foresaw. Who asks for much waits for their own (``turns``).
        """
        async with self._turns.turn():
            try:
                with anyio.fail_after(self._timeout_s) as limit:
                    try:
                        good, value = await self._ask(function, args)
                    except _Starved:
                        log.info("the cores are never free: an ordinary process does the work")
                        self._yielding.insist()
                        limit.deadline = anyio.current_time() + self._timeout_s
                        good, value = await self._ask(function, args)
            except TimeoutError:
                raise HistoryUnavailable(
                    f"it takes over {self._timeout_s:g} s to work it out",
                    hint="Allow it more by history_timeout_s",
                ) from None
            except (_Died, OSError) as error:
                raise HistoryUnavailable("the process that worked it out died") from error
        if good:
            result: T = value
            return result
        if isinstance(value, CrdtsyncError):
            raise value
        log.error("%s failed: %r", getattr(function, "__name__", function), value, exc_info=value)
        raise HistoryUnavailable(f"it could not be worked out: {type(value).__name__}") from value

    async def _ask(
        self, function: Callable[..., object], args: tuple[object, ...]
    ) -> tuple[bool, Any]:
        if self._here:
            return await anyio.to_thread.run_sync(answer, function, args, abandon_on_cancel=True)
        worker = self._take()
        if worker is not None:
            try:
                return await self._have(worker, function, args)
            except (_Died, OSError):
                log.debug("a worker was gone already")
        worker = await anyio.to_thread.run_sync(_Worker.start, self._yielding)
        if worker is not None:
            return await self._have(worker, function, args)
        if not self._told:
            self._told = True
            log.warning("no process for long work can be started: it is done in this one")
        return await anyio.to_thread.run_sync(answer, function, args, abandon_on_cancel=True)

    async def _have(
        self, worker: "_Worker", function: Callable[..., object], args: tuple[object, ...]
    ) -> tuple[bool, Any]:
        try:
            with anyio.CancelScope() as waiting:
                if worker.yields:
                    self._at_work[worker] = Job(worker.pid), waiting
                found = await anyio.to_thread.run_sync(
                    worker.ask, function, args, abandon_on_cancel=True
                )
            if waiting.cancelled_caught:
                raise _Starved
        except BaseException:
            worker.end()
            raise
        finally:
            self._at_work.pop(worker, None)
        self._idle.append((worker, anyio.current_time()))
        return found

    def _take(self) -> "_Worker | None":
        while self._idle:
            worker, _ = self._idle.pop()  # the one that was at work last
            if worker.alive and worker.yields == self._yielding.wanted:
                return worker
            worker.end()
        return None

    async def _look_on(self) -> None:
        while True:
            await anyio.sleep(LOOK_S)
            for job, waiting in list(self._at_work.values()):
                if job.starved():
                    waiting.cancel()

    async def _look_after(self) -> None:
        while True:
            await anyio.sleep(IDLE_S / 4)
            while self._idle and anyio.current_time() - self._idle[0][1] >= IDLE_S:
                self._idle.popleft()[0].end()


class _Died(Exception):
    """A worker ended before it answered."""


class _Starved(Exception):
    """A worker that gives way got no turn."""


class _Worker:
    """One process. ``start`` and ``ask`` block."""

    def __init__(
        self, process: subprocess.Popen[bytes], questions: int, answers: int, *, yields: bool
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        for file in (questions, answers):
            weakref.finalize(self, os.close, file)  # whoever is in ``ask`` still needs them
        self._process = process
        self._questions = Mail(questions, process.stdin)
        self._answers = Mail(answers, process.stdout)
        self._said = Said()
        self.yields = yields
        """Whether it gives way."""

    @classmethod
    def start(cls, yielding: Yielding) -> "_Worker | None":
        """Start a process; ``None`` where there can be none."""
        path = os.pathsep.join(each or os.getcwd() for each in sys.path)
        files: list[int] = []
        try:
            files.extend(nameless() for _ in range(2))
            process = subprocess.Popen(
                [sys.executable, "-m", "crdtsync.history.working", *map(str, files)],
                pass_fds=files,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                # A Ctrl-C is the server's. No session: nice would say nothing outside of it.
                process_group=0,
            )
        except (OSError, ValueError, TypeError) as error:
            log.debug("no process: %s", error)
            for file in files:
                os.close(file)
            return None
        return cls(process, *files, yields=yielding.begin(process.pid))

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as is known."""
        return self._process.poll() is None

    def ask(self, function: Callable[..., object], args: tuple[object, ...]) -> tuple[bool, Any]:
        """Have it call a function; return whether that returned, and what. Raises ``_Died``."""
        self._questions.send(self._said.shorten((function, *args)))
        try:
            good, value = self._answers.receive()
        except EOFError:
            raise _Died from None
        return good, value

    def end(self) -> None:
        """End it at once; whoever waits for an answer gets none."""
        end(self._process)
