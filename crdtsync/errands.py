"""What a hub does in the background: started from anywhere, run in one of its own tasks.

Transports call from the event loop itself, where no task is current and AnyIO can't start one.
"""

from collections.abc import Callable, Coroutine

import anyio

from crdtsync.waiting import Alarm

__all__ = ["Errand", "Errands"]

Errand = Callable[[], Coroutine[object, object, None]]


class Errands:
    """Runs errands, side by side, for as long as ``run`` does."""

    def __init__(self) -> None:
        self._waiting: list[Errand] = []
        self._alarm = Alarm()

    def spawn(self, errand: Errand) -> None:
        """Have something run."""
        self._waiting.append(errand)
        self._alarm.set()

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call something after a while, or when ``run`` ends before."""

        async def wait() -> None:
            try:
                await anyio.sleep(delay_s)
            finally:
                call()

        self.spawn(wait)

    async def run(self) -> None:
        """Run what is handed in, until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                await self._alarm.wait()
                errands, self._waiting = self._waiting, []
                for errand in errands:
                    tasks.start_soon(errand)
