"""Nothing reaches pycrdt unwatched: every call stands between ``enter`` and ``leave``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pycrdt
import pytest

from crdtsync import housekeeping
from crdtsync.elsewhere import Died
from crdtsync.errors import DocumentQuarantined
from crdtsync.gate import Principal
from crdtsync.guard import NoGuard, Watch, Work
from crdtsync.guarding import DocumentGuard
from crdtsync.hub import Hub
from crdtsync.store import MemoryStore

pytestmark = pytest.mark.anyio


class Recorder(NoGuard):
    """A guard that remembers what was watched."""

    def __init__(self) -> None:
        self.now: tuple[str, Work] | None = None
        self.seen: set[Work] = set()

    def watch(self, document: str, /) -> Watch:
        return Recorded(self, document)


class Recorded:
    """One document's watch."""

    def __init__(self, recorder: Recorder, document: str) -> None:
        self._recorder = recorder
        self._document = document

    def enter(self, work: Work, /) -> None:
        assert self._recorder.now is None, "watches don't nest"
        self._recorder.now = (self._document, work)
        self._recorder.seen.add(work)

    def leave(self) -> None:
        self._recorder.now = None


def an_update(text: str) -> bytes:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.get("t", type=pycrdt.Text).insert(0, text)
    return doc.get_update()


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_every_call_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading, integrating, reading, proving and exporting are noted, of the right document."""
    recorder = Recorder()
    calls: list[str] = []

    def watched(name: str) -> Callable[..., Any]:
        original = getattr(pycrdt.Doc, name)

        def call(doc: pycrdt.Doc[Any], *args: Any) -> Any:
            assert recorder.now is not None, f"{name} without a watch"
            assert recorder.now[0] == "d"
            calls.append(name)
            return original(doc, *args)

        return call

    updates = [an_update(text) for text in ("a", "b", "c")]
    names = ("apply_update", "get_update", "get_state")
    for name in names:
        monkeypatch.setattr(pycrdt.Doc, name, watched(name))
    store = MemoryStore()
    async with Hub(store, guard=recorder) as hub:
        for update in updates:
            await hub.edit("d", update, Principal())
        async with hub.open("d") as room:
            room.document.diff(b"\x01\x01\x01")
            room.state()
            assert set(room.export()) == {"t"}
            assert await hub.housekeeping.checkpoint(room)
            room.rest()
            room.document.diff(b"\x01\x01\x02")
    assert set(calls) == set(names)
    assert recorder.seen == set(Work)


async def test_a_proof_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time the document is kept verbatim, the second one it is quarantined."""
    monkeypatch.setattr(housekeeping, "CONDENSE_HERE_BYTES", 0)

    async def dies(*_: object) -> None:
        raise Died(11)

    monkeypatch.setattr(housekeeping, "condense_elsewhere", dies)
    guard = DocumentGuard(tmp_path)
    store = MemoryStore()
    async with Hub(store, guard=guard) as hub:
        await hub.edit("d", an_update("a"), Principal())
        async with hub.open("d") as room:
            assert await hub.housekeeping.checkpoint(room)
            assert room.document.verbatim
            assert guard.quarantined("d") is None
        await hub.edit("e", an_update("b"), Principal())
        guard.suspect("e", Work.INTEGRATING, 11)
        async with hub.open("e") as room:
            assert not await hub.housekeeping.checkpoint(room)
        assert "e" not in hub.rooms
        with pytest.raises(DocumentQuarantined, match="quarantined"):
            await hub.edit("e", an_update("c"), Principal())
        assert await hub.edit("d", an_update("c"), Principal()) == 2
