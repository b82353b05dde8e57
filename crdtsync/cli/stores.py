"""Opening the configured store for a command, and running the command's coroutine."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from crdtsync.config import Config
from crdtsync.errors import StoreError

if TYPE_CHECKING:
    from crdtsync.history.base import HistoryStore
    from crdtsync.store.base import Store

__all__ = ["exists", "histories_of", "with_store"]

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


@asynccontextmanager
async def histories_of(
    config: Config, *, read_only: bool = False
) -> "AsyncIterator[HistoryStore | None]":
    """Open what keeps the histories of the configured store; ``None`` where there is none yet.

    Read-only works on a medium that can't be written to, and beside a running server.
    """
    from crdtsync.guarding import guard_folder
    from crdtsync.history.database import HistoryDatabase
    from crdtsync.history.tables import FILE

    folder = guard_folder(config.store)
    if folder is None or not exists(folder / FILE):
        yield None
        return
    async with HistoryDatabase(folder, insist=True, read_only=read_only) as histories:
        yield histories


def exists(path: Path) -> bool:
    """Return whether there is a file. Raises ``StoreError`` where nobody may know."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:  # in a folder that this user may not look into
        raise StoreError(
            f"can't read {path}: {error.strerror}", hint="Run this as a user that may read it."
        ) from error
    return True
