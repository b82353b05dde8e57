"""People in rooms whose presence is kept: a hub by a clock of the test's, clients, their map."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pycrdt

from crdtsync.channels.names import PRESENCE
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.clock import ManualClock
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.limits import Limits
from crdtsync.protocol import update_frame
from crdtsync.roles import BUILT_IN
from crdtsync.room import Room
from crdtsync.store.base import Store
from tests.unit.engine import Client, TestStore, quick, settle, until

__all__ = [
    "GRACE_S",
    "Somebody",
    "come",
    "here",
    "person",
    "presence_hub",
    "settled",
    "shown",
    "stored",
    "times",
]

GRACE_S = 5.0


def times(**changed: Any) -> Limits:
    """Return quick limits with presence's tick as quick, and its grace as usual."""
    return quick(**({"presence_interval_s": 0.001, "presence_grace_s": GRACE_S} | changed))


class Ungated(Channels):
    """Channels whose rules nobody enforces: whatever is written comes in."""

    def judge(self, room: Room) -> None:
        return None


@asynccontextmanager
async def presence_hub(
    store: Store | None = None,
    *,
    clock: ManualClock | None = None,
    limits: Limits | None = None,
    rules: ChannelRules | None = None,
    gated: bool = False,
    **options: Any,
) -> AsyncIterator[Hub]:
    """Open a hub that keeps presence everywhere; without ``gated`` it takes any lie."""
    channels = (Channels if gated else Ungated)(rules or ChannelRules(presence=("*",)))
    async with Hub(
        store or TestStore(),
        limits=limits or times(),
        clock=clock or ManualClock(),
        channels=channels,
        **options,
    ) as hub:
        yield hub


def person(id: str, name: str = "", role: str | None = None) -> Principal:
    """Return somebody's principal."""
    return Principal(id=id, name=name or id.title(), role=None if role is None else BUILT_IN[role])


class Somebody(Client):
    """A client that reads and writes presence."""

    def own(self, key: str, value: Any) -> None:
        """Write a key of presence, as a page does."""
        self.read()
        before = self.doc.get_state()
        people = self.doc.get(PRESENCE, type=pycrdt.Map)
        if value is None:
            del people[key]
        else:
            people[key] = value
        self.say(update_frame(self.doc.get_update(before)))

    @property
    def sees(self) -> dict[str, Any]:
        """What presence says, here."""
        self.read()
        return read(self.doc)


def read(doc: "pycrdt.Doc[Any]") -> dict[str, Any]:
    """Return what a document's presence says, as JSON's kinds."""
    found: dict[str, Any] = doc.get(PRESENCE, type=pycrdt.Map).to_py() or {}
    return {
        key: {
            name: int(one) if isinstance(one, float) and one.is_integer() else one
            for name, one in value.items()
        }
        if isinstance(value, dict)
        else value
        for key, value in found.items()
    }


async def come(hub: Hub, who: Principal | str = "", document: str = "doc") -> Somebody:
    """Connect somebody and wait until it is in sync."""
    principal = person(who) if isinstance(who, str) and who else who or Principal()
    client = Somebody(hub, document, principal=principal)
    client.sync()
    await until(lambda: client.read() or client.messages)
    return client


def here(hub: Hub, document: str = "doc") -> dict[str, Any]:
    """Return what an open room's committed state says of presence."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(hub.rooms[document].state())
    return read(doc)


async def stored(store: TestStore, document: str = "doc") -> dict[str, Any]:
    """Return what a store holds of presence."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    loaded = await store.load(document)
    if loaded.checkpoint is not None:
        doc.apply_update(loaded.checkpoint.state)
    for record in loaded.records:
        doc.apply_update(record.update)
    return read(doc)


async def settled(hub: Hub, document: str = "doc") -> dict[str, Any]:
    """Write what is to be written now; return what presence says then."""
    await settle()
    await hub.channels.keeping.tick()
    room = hub.rooms[document]
    await until(lambda: not room.uncommitted)
    return here(hub, document)


def shown(values: dict[str, Any], id: str) -> tuple[str, int]:
    """Return somebody's status and connections."""
    return values[id]["status"], values[id]["connections"]
