"""A restore reaches real clients as an ordinary change, and what they type meanwhile stays."""

import re
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from pycrdt import Doc, Text

from crdtsync.gate import Principal
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.store.memory import MemoryStore
from tests.server.harness import Server, running
from tests.unit.engine import until

from .harness import Clients
from .test_pycrdt_provider import TIMEOUT_S, provided, until_text

pytestmark = [pytest.mark.anyio, pytest.mark.node]

EVE = Principal(id="eve", name="Eve")


@pytest.fixture
def anyio_backend() -> str:
    """The websockets package is for asyncio."""
    return "asyncio"


class Recording:
    """A server that keeps history, and calls of what its surfaces call."""

    def __init__(self, server: Server, histories: Histories) -> None:
        self._server = server
        self.histories = histories
        self.hub = server.hub
        self.url = server.url("", "ws").rstrip("/")

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of the histories on the server's event loop, from the test's."""

        async def run() -> Any:
            return await getattr(self.histories, method)(*args, **options)

        return await anyio.to_thread.run_sync(self._server.call, run)

    async def sequence(self, room: str) -> int:
        return int((await self.call("resolve", room, "now")).sequence)


@pytest.fixture
def recording() -> Iterator[Recording]:
    """A server in a thread."""
    histories = Histories(store := MemoryStore(), HistoryDatabase(None))
    with running("hypercorn-asyncio", hub=Hub(store, history=histories)) as server:
        yield Recording(server, histories)


async def test_a_restore_is_an_ordinary_change(
    clients: Clients, recording: Recording, room: str
) -> None:
    """Yjs and pycrdt see a restore, type on, and see its undoing: all have the same text."""
    ann = clients.open("3.1", recording.url, room)
    async with provided(recording, room) as bob:  # type: ignore[arg-type]
        text = bob.get("text", type=Text)
        ann.insert("kept 👋 ")
        await until_text(bob, "kept 👋 ")
        first = await recording.sequence(room)
        ann.set("k", [1, {"n": None}])
        ann.remove(0, 5)
        ann.insert("new")
        await until_text(bob, "👋 new")
        done = await recording.call("restore", room, f"s{first}", principal=EVE)
        await until_text(bob, "kept 👋 ")
        seen = await anyio.to_thread.run_sync(lambda: ann.wait(text="kept 👋 "))
        assert seen["map"] == {}
        text += "typed on"
        await anyio.to_thread.run_sync(lambda: ann.wait(text="kept 👋 typed on"))
        back = f"v{done.version_before.id}"
        await recording.call("restore", room, back, principal=EVE)
        await anyio.to_thread.run_sync(lambda: ann.wait(text="👋 new", map={"k": [1, {"n": None}]}))
        await until_text(bob, "👋 new")


async def until_shown(doc: Doc[Any], word: str) -> str:
    """Return the document's text as soon as a word is in it."""
    text = doc.get("text", type=Text)
    there = anyio.Event()

    def look(_: object) -> None:
        if word in str(text):
            there.set()

    subscription = text.observe(look)
    look(None)
    try:
        with anyio.fail_after(TIMEOUT_S):
            await there.wait()
    finally:
        text.unobserve(subscription)
    return str(text)


async def test_keystrokes_survive(clients: Clients, recording: Recording, room: str) -> None:
    """Who types through a restore keeps all that came once it was worked out."""
    ann = clients.open("3.1", recording.url, room)
    async with provided(recording, room) as bob:  # type: ignore[arg-type]
        ann.insert("kept ")
        await until_text(bob, "kept ")
        first = await recording.sequence(room)
        real = recording.histories.apart

        async def apart(*args: Any) -> Any:
            found = await real(*args)
            known = recording.hub.rooms[room]
            border = known.committed_sequence + 5
            await until(lambda: known.committed_sequence >= border)
            return found

        recording.histories.apart = apart  # type: ignore[method-assign]
        ann.type("w")
        await until_shown(bob, "w5 ")
        await recording.call("restore", room, f"s{first}", principal=EVE)
        ann.insert("after")
        await until_shown(bob, "after")
        typed = await anyio.to_thread.run_sync(ann.rest)
        shown = await until_shown(bob, f"w{typed - 1} ")
        await anyio.to_thread.run_sync(lambda: ann.wait(text=shown))
        numbers = [int(number) for number in re.findall(r"w(\d+) ", shown)]
        assert shown.startswith("kept ")
        assert 5 < numbers[0] < typed - 5
        assert numbers == list(range(numbers[0], typed))
