"""Chats for tests: a hub that has them, people in them, and what is said in all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pycrdt

from crdtsync.channels.model import Message, message_id
from crdtsync.channels.rules import ChannelRules
from crdtsync.channels.service import Channels
from crdtsync.clock import Clock, ManualClock
from crdtsync.gate import ContentGate, Gate, Principal
from crdtsync.hub import Hub
from crdtsync.protocol import update_frame
from crdtsync.roles import Role
from crdtsync.store.base import Record, Store
from crdtsync.store.memory import MemoryStore
from tests.unit.engine import Client, quick, settle

ROOM = "rooms/general"
ANN, BOB = Principal(id="ann"), Principal(id="bob")
NOON_MS = ManualClock().time_ms()


@asynccontextmanager
async def chat_hub(
    store: Store | None = None,
    *,
    clock: Clock | None = None,
    chat: str = "*",
    gate: Gate | ContentGate | None = None,
    **limits: Any,
) -> AsyncIterator[Hub]:
    """Open a hub whose documents have chats that are short."""
    short = {"chat_live_messages": 10, "chat_archive_messages": 25}
    limits = short | {"chat_messages_per_minute": 0} | limits
    async with Hub(
        store or MemoryStore(),
        limits=quick(**limits),
        clock=clock or ManualClock(),
        channels=Channels(ChannelRules(chat=(chat,))),
        gate=gate,
    ) as hub:
        yield hub


class Speaker:
    """Somebody's editor, which writes to the chat as the documented lines do."""

    def __init__(
        self, hub: Hub, who: str, document: str = ROOM, *, role: Role | None = None
    ) -> None:
        self.who = who
        self.client = Client(hub, document, principal=Principal(id=who, role=role))
        self.doc = self.client.doc
        self.client.sync()

    def map(self, root: str) -> "pycrdt.Map[Any]":
        self.client.read()
        return self.doc.get(root, type=pycrdt.Map)

    def put(self, root: str, sets: dict[str, Any], deletes: tuple[str, ...] = ()) -> None:
        """Set and delete keys of a root map, in one update."""
        shared = self.map(root)
        before = self.doc.get_state()
        with self.doc.transaction():
            for key, value in sets.items():
                shared[key] = value
            for key in deletes:
                if key in shared:
                    del shared[key]
        self.client.say(update_frame(self.doc.get_update(before)))

    def say(self, text: str, *, time_ms: int = NOON_MS, thread: str = "") -> str:
        """Say something; return its id."""
        id = message_id(time_ms)
        message = Message(id=id, author=self.who, text=text, time_ms=time_ms)
        self.put(f"chat/{thread}" if thread else "chat", {id: message.value()})
        return id

    def change(self, id: str, **members: Any) -> None:
        """Change members of a message."""
        value = dict(self.map("chat")[id])
        if not members.get("deleted"):
            members.setdefault("edited", int(value["time"]) + 1)
        self.put("chat", {id: value | members})

    def take_out(self, id: str) -> None:
        self.put("chat", {}, (id,))

    def react(self, id: str, emoji: str = "x", time_ms: int = NOON_MS) -> None:
        self.put("chat-reactions", {f"{id} {emoji} {self.who}": time_ms})


async def everything(hub: Hub, document: str = ROOM, thread: str = "") -> list[Message]:
    """Return all messages of a chat, page by page, the earliest first."""
    chat = hub.channels.chat(document)
    found: list[Message] = []
    while page := await chat.messages(found[0].id if found else None, 7, thread=thread):
        found = page + found
    return found


async def live(hub: Hub, root: str = "chat", document: str = ROOM) -> dict[str, Any]:
    """Return what a root map of the document itself holds."""
    async with hub.open(document) as room:
        await hub.committed(room)
        found = room.export().get(root)
        return found.value if found is not None and found.kind == "map" else {}


async def rested(hub: Hub) -> None:
    """Wait until no chat rolls any more."""
    await settle()
    with anyio.fail_after(20):
        while hub.channels.archiving.busy:
            await anyio.lowlevel.checkpoint()
    await settle()


async def again(batches: list[list[Record]]) -> MemoryStore:
    """Return a store that holds the first of what another one was given."""
    store = MemoryStore()
    async with store:
        for batch in batches:
            await store.append(batch)
    return store
