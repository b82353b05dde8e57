"""What ``check --repair`` makes of updates that are as they were written, but can't be loaded."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from crdtsync.documents import document_info
from crdtsync.hub import Hub
from crdtsync.store import open_store
from crdtsync.store.base import Checkpoint, Loaded, Record

from .invoking import invoke
from .making import text

GAP = bytes.fromhex("01010109c401000101016100")
"""Something behind an item that no update has."""
HELLO = text("hello")


@pytest.fixture(params=["sqlite:store.db", "file:store"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store in the current folder."""
    monkeypatch.chdir(tmp_path)
    return str(request.param)


def records(*updates: bytes, first: int = 1) -> list[Record]:
    return [Record("d", number, 0, "ann", each) for number, each in enumerate(updates, first)]


@pytest.mark.parametrize(
    ("checkpoint", "stored", "at", "left"),
    [
        (None, records(HELLO, GAP, HELLO), 2, records(HELLO)),
        (None, records(b"junk", HELLO), 1, []),
        (Checkpoint("d", 7, 0, HELLO), records(HELLO, GAP, first=8), 9, records(HELLO, first=8)),
        (Checkpoint("d", 7, 0, HELLO), records(GAP, first=8), 8, []),
        (Checkpoint("d", 7, 0, b"junk"), records(HELLO, first=8), 7, None),
    ],
    ids=["a gap", "the first record", "behind a checkpoint", "right behind it", "the checkpoint"],
)
def test_what_cannot_be_loaded_is_cut(
    url: str,
    checkpoint: Checkpoint | None,
    stored: Sequence[Record],
    at: int,
    left: Sequence[Record] | None,
) -> None:
    """It is reported, and cut off with all behind it; then the document can be written again."""
    other = Record("other", 1, 0, "", HELLO)

    async def make() -> None:
        async with open_store(url) as store:
            if checkpoint is not None:
                await store.checkpoint(checkpoint)
            await store.append([other, *stored])

    async def written_again() -> None:
        expected = Loaded(None, ()) if left is None else Loaded(checkpoint, tuple(left))
        async with open_store(url) as store:
            assert await store.load("d") == expected
            assert (await store.load("other")).records == (other,)
        async with Hub(open_store(url)) as hub:
            await hub.edit("d", HELLO)
            await hub.edit("d", text("more", client=5))
            assert (await document_info(hub.store, "d")).damage is None

    anyio.run(make)
    found = invoke("check", "--store", url)
    assert found.exit_code == 1
    assert f"error: d at {at}: can't be loaded: " in found.stdout
    assert "(repaired)" not in found.stdout
    repaired = invoke("check", "--store", url, "--repair")
    assert repaired.exit_code == 1
    assert f"error: d at {at}: can't be loaded: " in repaired.stdout
    assert "the document ends before it (repaired)" in repaired.stdout
    sound = invoke("check", "--store", url)
    assert sound.exit_code == 0, sound.output
    assert "warning: the store: " in sound.stdout, "what was cut is kept"
    anyio.run(written_again)
    assert invoke("check", "--store", url).exit_code == 0
