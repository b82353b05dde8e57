"""What the command line does to share links and revocations while a server runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from crdtsync.access.service import Access
from crdtsync.access.tables import FILE, MIGRATIONS
from crdtsync.hub import Hub
from crdtsync.store import open_store
from crdtsync.store.side import SideDatabase
from tests.unit.engine import FAST

__all__ = ["beside_a_server"]


@asynccontextmanager
async def beside_a_server(folder: Path) -> AsyncIterator[tuple[Hub, Access, SideDatabase]]:
    """Open a hub on a store, its access, and their database once more, as another process would."""
    async with (
        Hub(open_store(f"sqlite:{folder / 'store.db'}"), limits=FAST) as hub,
        Access(hub) as access,
        SideDatabase(folder / "store.db.guard" / FILE, MIGRATIONS) as database,
    ):
        yield hub, access, database
