"""Opening the configured store for a command, and running the command's coroutine."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from crdtsync.config import Config
from crdtsync.store import open_store
from crdtsync.store.base import Store

__all__ = ["with_store"]

T = TypeVar("T")


def with_store(
    config: Config, work: Callable[[Store], Awaitable[T]], *, read_only: bool = True
) -> T:
    """Enter the store, run ``work`` on it, leave it.

    Read-only works beside a running server; writing takes the store for itself, and raises
    ``StoreLocked`` where a server has it.
    """

    async def run() -> T:
        store = open_store(config.store, durability=config.durability, read_only=read_only)
        async with store:
            return await work(store)

    return anyio.run(run)
