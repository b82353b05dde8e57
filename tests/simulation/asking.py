"""Who asks something of the server by the library, and may never hear what became of it.

Owns the calls that are under way: a killed life answers nobody, and what it has done is found out
by what is stored.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from crdtsync.errors import CrdtsyncError
from crdtsync.hub import Hub

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Asking"]

Answer = Callable[[Any], None]


class Asking:
    """The calls of one story's programs: of each one at a time."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._calls: dict[str, int] = {}

    def waits(self, who: str = "") -> bool:
        """Return whether somebody waits for an answer of the present life."""
        life = self._world.server.life
        return life in ([self._calls.get(who)] if who else self._calls.values())

    def ask(
        self,
        who: str,
        what: str,
        work: Callable[[Hub], Awaitable[Any]],
        done: Answer,
        refused: Answer = lambda error: None,
    ) -> bool:
        """Ask; ``done`` gets the answer, ``refused`` the error. Return whether it goes."""
        server = self._world.server
        hub, life = server.hub, server.life
        if hub is None or hub.draining or self.waits(who):
            return False
        self._calls[who] = life
        tell = self._world.kernel.tell
        tell(who, what)

        async def call() -> None:
            assert hub is not None
            try:
                answer = await work(hub)
            except CrdtsyncError as error:
                if server.life == life:
                    tell(who, f"is told: {type(error).__name__}: {error}")
                    refused(error)
            else:
                if server.life == life:
                    done(answer)
            finally:
                if self._calls.get(who) == life:
                    del self._calls[who]

        hub.spawn(call)
        return True
