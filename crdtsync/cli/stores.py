"""Opening the configured store for a command, and running the command's coroutine."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from crdtsync.config import Config

if TYPE_CHECKING:
    from crdtsync.store.base import Store

__all__ = ["with_store"]

T = TypeVar("T")


def with_store(
    config: Config,
    work: Callable[["Store"], Awaitable[T]],
    *,
    read_only: bool = True,
    create: bool = False,
) -> T:
    """Enter the store, run ``work`` on it, leave it.

    Read-only works beside a running server; writing takes the store for itself, and raises
    ``StoreLocked`` where a server has it. A store that isn't there is only made with ``create``.
    """

    import anyio  # here, for a supervisor would have it, too

    from crdtsync.store import open_store

    async def run() -> T:
        # Opening for reading refuses memory: as well, in which nothing would be found or kept.
        reading = open_store(config.store, durability=config.durability, read_only=True)
        if read_only:
            async with reading:
                return await work(reading)
        if not create:
            async with reading:
                pass  # it is there
        async with open_store(config.store, durability=config.durability) as store:
            return await work(store)

    return anyio.run(run)
