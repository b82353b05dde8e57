"""A server whose commits take their time: up to 40 ms each, or as long as a file `held` is there.

Takes the same options as `crdtsync serve` (tests start it in its place), in the file's folder.
"""

import os
import random
import time
from collections.abc import Sequence

import anyio

from crdtsync.gate import ALLOW, Decision, Deny, Principal
from crdtsync.store.base import Record
from crdtsync.store.sqlite import SQLiteStore
from crdtsync.structs import Scan
from tests.interop.serving import main


def wait() -> None:
    """Wait until another process takes the file away."""
    while os.path.exists("held"):
        time.sleep(0.005)


class SlowStore(SQLiteStore):
    """Writes nothing before its time."""

    async def append(self, batch: Sequence[Record]) -> None:
        await anyio.sleep(random.uniform(0, 0.04))
        await anyio.to_thread.run_sync(wait, abandon_on_cancel=True)
        await super().append(batch)


class Rules:
    """Lets everybody write everywhere but in the map."""

    def check(self, principal: Principal, document: str, update: bytes, scan: Scan) -> Decision:
        return Deny("the map is not yours") if "map" in scan.roots else ALLOW


if __name__ == "__main__":
    main(store=SlowStore("store.db"), gate=Rules())
