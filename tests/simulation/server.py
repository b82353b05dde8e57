"""The lives of one server: started, stopped in order, or killed between any two steps.

Owns the hub of the present life, its event loop and its wires. A killed life runs no line more
that could reach anything: its sockets, its disk and its clients are cut off first.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from crdtsync.channels.service import Channels
from crdtsync.errors import CrdtsyncError
from crdtsync.gate import Gate
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.store.base import Record, Store
from tests.simulation.archive import Archive, SimHistories
from tests.simulation.kernel import Kernel, SimClock
from tests.simulation.loop import SimLoop
from tests.simulation.network import Wire
from tests.simulation.programs import Notes
from tests.simulation.seams import Here

__all__ = ["Medium", "Server"]

MAX_BURIAL_STEPS = 20_000


class Medium(Protocol):
    """Where a store keeps what outlives the process."""

    kind: str

    def store(self) -> Store: ...

    def crash(self, *, power: bool) -> None: ...

    def buried(self) -> None: ...

    def copy(self) -> Store: ...

    def close(self) -> None: ...


class Server:
    """One machine that serves, life after life."""

    def __init__(
        self,
        kernel: Kernel,
        medium: Medium,
        *,
        limits: Limits,
        gate: Gate | None,
        failed: Callable[[str], None],
        archive: Archive | None = None,
        committed: Callable[[int, Sequence[Record]], None] = lambda *_: None,
    ) -> None:
        self.kernel = kernel
        self.medium = medium
        self.clock = SimClock(kernel)
        self._limits = limits
        self._gate = gate
        self._failed = failed
        self._archive = archive
        self._committed = committed
        self.channels: Callable[[], Channels | None] = lambda: None
        """Makes the channels of a new life."""
        self.notes: Notes | None = None
        """Where answers to requests are kept; ``None`` where nobody asks twice."""
        self.loop: SimLoop | None = None
        self.hub: Hub | None = None
        """The hub, once it is open."""
        self._store: Store
        self._task: asyncio.Task[None] | None = None
        self._stop: asyncio.Event
        self.wires: list[Wire] = []
        self.lives = 0
        self._killed = False
        """Whether the present life is dead, and what it still does is nothing."""
        self.base_tasks = 0
        """The number of tasks of a hub with nothing to do."""
        self.kill_at_step: int | None = None
        self.orderly = False
        """Whether the present life, or the last, was told to stop while all was well."""
        self.dying = ""
        """Why the process ends at this step; empty where it does not."""

    @property
    def up(self) -> bool:
        """Whether clients get in."""
        return self.hub is not None and not self.hub.draining

    def start(self) -> None:
        """Begin a life."""
        assert self.loop is None
        self.lives += 1
        self._killed = self.orderly = False
        self.kernel.tell("server", f"starts for the {self.lives}. time")
        loop = SimLoop(self.kernel, self.kernel.stream(f"loop/{self.lives}"), self._failed)
        self.loop = loop
        self.dying = ""
        self.kill_at_step = None
        loop.enter()
        self._stop = asyncio.Event()
        self._store = self.medium.store()
        history = None
        if self._archive is not None:
            self._listen(self._store)
            history = SimHistories(self._store, self._archive, self._limits, self.clock)
        hub = Hub(
            self._store,
            limits=self._limits,
            gate=self._gate,
            clock=self.clock,
            history=history,
            channels=self.channels(),
        )
        hub.documents._workers = Here()
        if self.notes is not None:
            hub.documents.remember_in(self.notes.store(self._limits, self.clock))
        self._task = loop.create_task(self._live(hub))

    def _listen(self, store: Store) -> None:
        """Take note of what is acknowledged in this life."""
        append, life = store.append, self.lives

        async def note(batch: Sequence[Record]) -> None:
            await append(batch)
            if self.lives == life and not self._killed:
                self._committed(life, batch)

        store.append = note  # type: ignore[method-assign]

    async def _live(self, hub: Hub) -> None:
        try:
            async with hub:
                self.hub = hub
                for _ in range(20):  # until all of the hub's tasks wait
                    await asyncio.sleep(0)
                self.base_tasks = len(asyncio.all_tasks())
                await self._stop.wait()
        except CrdtsyncError as error:
            self.kernel.tell("server", f"does not start: {error}")
        finally:
            if self.hub is hub:
                self.hub = None

    def stop(self, *, calm: bool) -> None:
        """Let the life end in order."""
        if self.loop is not None:
            self.kernel.tell("server", "is told to stop")
            self.orderly = calm
            self._stop.set()

    @property
    def ended(self) -> bool:
        """Whether the life has ended by itself."""
        return self._task is not None and self._task.done()

    def reap(self) -> None:
        """Take note that a life has ended by itself."""
        task, loop = self._task, self.loop
        assert task is not None
        assert loop is not None
        self.kernel.tell("server", "has stopped")
        if not task.cancelled() and task.exception() is not None:
            self._failed(f"the server ended with {task.exception()!r}")
        for wire in self.wires:
            wire.server_died(silently=False)
        self._gone()
        loop.leave()
        loop.close()

    def kill(self, why: str, *, power: bool, silently: bool) -> None:
        """End the life between two steps; nothing of it acts any more."""
        loop, task = self.loop, self._task
        assert loop is not None
        assert task is not None
        self.kernel.tell("server", f"dies {why}{', with the whole machine' * power}")
        for wire in self.wires:
            wire.server_died(silently=silently)
        self._killed, self.orderly = True, False
        self.medium.crash(power=power)
        if self._archive is not None:
            self._archive.crash()
            self._archive.unplug()
        if self.notes is not None:
            self.notes.crash()
        self._unplug()
        hub = self.hub
        self._bury(loop, task, hub)
        self.medium.buried()
        self._gone()

    @property
    def life(self) -> int:
        """The number of the life that is lived; 0 where there is none."""
        return 0 if self._killed or self.loop is None else self.lives

    def _gone(self) -> None:
        self.wires = []
        self.dying = ""
        self.kill_at_step = None
        self.hub = None
        self.loop = None
        self._task = None

    def _unplug(self) -> None:
        unplug: Any = getattr(self._store, "unplug", None)
        if unplug is not None:
            unplug()

    def _bury(self, loop: SimLoop, task: "asyncio.Task[None]", hub: Hub | None) -> None:
        """Let what is left of a dead process run out, out of anybody's sight."""
        loop.muted = True
        now_s = self.kernel.now_s
        if hub is not None:
            hub.draining = True  # nothing to wait for
        task.cancel()
        for _ in range(MAX_BURIAL_STEPS):
            if task.done():
                break
            next_s = loop.next_s()
            if next_s == float("inf"):
                self._failed("a dead life does not end: its tasks wait for each other")
                break
            self.kernel.now_s = max(self.kernel.now_s, next_s)
            loop.step()
        else:
            self._failed("a dead life does not end: it goes on and on")
        self.kernel.now_s = now_s
        if task.done() and not task.cancelled():
            task.exception()
        loop.leave()
        loop.close()
