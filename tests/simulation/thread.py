"""A store's thread without a thread: its jobs run in virtual time.

Owns the order of the jobs, one after another, each all at once; the kernel says when.
"""

from typing import Any

from crdtsync.store.thread import StoreThread
from tests.simulation.faults import Faults
from tests.simulation.kernel import Kernel

__all__ = ["SimThread"]


class SimThread(StoreThread):
    """The store's thread: its jobs run in virtual time, one after another, each all at once."""

    def __init__(self, kernel: Kernel, faults: Faults) -> None:
        super().__init__("simulated")
        self._jobs = _Queue(kernel, faults)  # type: ignore[assignment]

    async def __aenter__(self) -> "SimThread":
        self._thread = _Joined()  # type: ignore[assignment]
        return self


class _Joined:
    def join(self) -> None: ...


class _Queue:
    def __init__(self, kernel: Kernel, faults: Faults) -> None:
        self._kernel = kernel
        self._faults = faults
        self._last_s = 0.0
        self._waiting: list[Any] = []
        self._dead = False

    def put(self, job: Any) -> None:
        if job is None:
            return
        if self._dead:
            job.work()
            return
        self._waiting.append(job)
        self._last_s = max(self._last_s, self._kernel.now_s) + self._faults.delay_s()
        self._kernel.at(self._last_s, self._work)

    def _work(self) -> None:
        if not self._waiting:
            return
        self._faults.step("before a job")
        if not self._faults.dying:
            self._waiting.pop(0).work()
            self._faults.step("behind a job")

    def die(self) -> None:
        """Let all jobs fail, now and later, for nothing of them reaches the disk."""
        self._dead = True
        while self._waiting:
            self._waiting.pop(0).work()
