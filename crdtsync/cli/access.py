"""Opening the access database of the configured store for a command, and reading times."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import click

from crdtsync.cli.stores import exists, with_store
from crdtsync.config import Config
from crdtsync.errors import OperatorError

if TYPE_CHECKING:
    from crdtsync.access.revocations import Revocations
    from crdtsync.access.shares import Shares
    from crdtsync.store.base import Store

__all__ = ["WHEN", "When", "with_access"]

T = TypeVar("T")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class When(click.ParamType[int]):
    """A moment: a time of ISO 8601, or so long from now (``90s``, ``15m``, ``12h``, ``7d``)."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return it in milliseconds since 1970."""
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            if text[-1:] in _UNITS and text[:-1].isdecimal():
                moment = datetime.now(UTC) + timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
            else:
                moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return int(moment.timestamp() * 1000)
        except (ValueError, OverflowError):
            self.fail(
                "write 2030-01-31T12:00Z (UTC where nothing else is said), or 12h", param, ctx
            )


WHEN = When()


def with_access(
    config: Config,
    work: Callable[["Shares", "Revocations"], Awaitable[T]],
    *,
    read_only: bool = False,
) -> T:
    """Run ``work`` on the access database of the store, which has to be there.

    Works beside a running server, which notices what is written. Read-only writes nothing, also
    where there is no access database yet.
    """

    async def run(store: "Store") -> T:
        from crdtsync.access.revocations import Revocations
        from crdtsync.access.shares import Shares
        from crdtsync.access.tables import FILE, MIGRATIONS
        from crdtsync.clock import SystemClock
        from crdtsync.guarding import guard_folder
        from crdtsync.store.side import SideDatabase

        folder = guard_folder(config.store)
        if folder is None:
            raise OperatorError(
                "share links and revocations of a store in memory are in the server's memory",
                hint="Use the HTTP API of the server",
            )
        clock = SystemClock()
        path = folder / FILE
        place = None if read_only and not exists(path) else path
        async with SideDatabase(place, MIGRATIONS, read_only=read_only) as database:
            revocations = Revocations(database, clock=clock)
            await revocations.load()
            shares = Shares(database, clock=clock, limits=config.limits, roles=config.roles)
            return await work(shares, revocations)

    return with_store(config, run)
