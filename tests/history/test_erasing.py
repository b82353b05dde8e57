"""Content and names that are erased are nowhere; what is left says what it said."""

import random
import sqlite3
from pathlib import Path

import pycrdt
import pytest
from hypothesis import strategies as st

from crdtsync.clock import ManualClock
from crdtsync.gate import Principal
from crdtsync.history import erasing, tables
from crdtsync.history.base import HistoryChanged
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.erasing import erased, renamed
from crdtsync.history.model import HistoryUnavailable, UnknownMoment
from crdtsync.history.past import Past
from crdtsync.history.proving import Unproven
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.store.sqlite import SQLiteStore
from crdtsync.structs import STRING
from tests.history.recording import ANN, BOB, checkpointed, moments, past_of, recorded, text_at
from tests.history.recording import typed as typing
from tests.history.test_past import past_of as folded
from tests.history.test_past import replayed
from tests.properties.authors import History, histories
from tests.properties.edits import content
from tests.properties.profile import checked
from tests.unit.documents import fresh
from tests.unit.engine import Client, quick, until

SLOW = quick(housekeeping_interval_s=1e6)
SECRET = Principal(id="secret-id", name="Secret Name")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    return str(request.param)


@checked(100, history=histories, place=st.floats(0, 1), verbatim=st.booleans())
def test_moments_from_there_on(history: History, place: float, verbatim: bool) -> None:
    """Erasing before any moment leaves it, and all behind it, as they were, and nothing before."""
    count = len(history.updates)
    if not count:
        return
    sequence = max(1, round(place * count))
    past = Past.open(erased(folded(history.updates).stored(), sequence, verbatim))
    assert [each for each, _ in past.timeline.moments()] == list(range(sequence, count + 1))
    for each in range(sequence, count + 1):
        then = replayed(history.updates[:each])
        assert content(replayed([past.update_at(each)])) == content(then)
    gone = past.timeline.snapshot(sequence).deletes
    for struct in past.found.structs or ():
        if struct.kind == STRING:
            end = struct.clock + struct.length
            live = list(gone.missing(struct.client, struct.clock, end))
            assert live == [(struct.clock, end)]


def typed_updates(*words: str) -> list[bytes]:
    """Return what somebody sends who types words; an empty one deletes the first four letters."""
    doc = fresh()
    text = doc.get("text", type=pycrdt.Text)
    updates: list[bytes] = []
    subscription = doc.observe(lambda event: updates.append(event.update))
    for word in words:
        if word:
            text += word
        else:
            del text[0:4]
    doc.unobserve(subscription)
    return updates


def test_a_lie_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What blanks too little, or too much, is found out before anything is written."""
    stored = folded(typed_updates("one ", "two ", "three ", "")).stored()
    assert erased(stored, 4, False).sequence == 4
    with monkeypatch.context() as patched:
        patched.setattr(erasing, "blanked", lambda data, found, gone: data)
        with pytest.raises(Unproven, match="still there"):
            erased(stored, 4, False)
    real = erasing.blanked

    def too_much(data: bytes, found: object, gone: object) -> bytes:
        (struct, *_) = found.structs  # type: ignore[attr-defined]
        gone.insert(struct.client, struct.clock, struct.clock + 6)  # type: ignore[attr-defined]
        return real(data, found, gone)  # type: ignore[arg-type]

    monkeypatch.setattr(erasing, "blanked", too_much)
    with pytest.raises(Unproven, match="would not be"):
        erased(stored, 4, False)


def test_a_name_is_replaced() -> None:
    """An author's work is nobody's then; others' stays theirs."""
    stored = folded(typed_updates("one ", "two ", "three ", "four ")).stored()
    before = [each.author for each in Past.open(stored).timeline.changes()]
    assert sorted(set(before)) == ["", "ada", "ben"]
    new = renamed(stored, "ada", "")
    assert new is not None
    after = [each.author for each in Past.open(new).timeline.changes()]
    assert after == ["" if author == "ada" else author for author in before]
    assert renamed(stored, "nobody", "") is None


async def delete_first(hub: object, client: Client, count: int) -> None:
    """Have a client delete its first characters."""
    from crdtsync.protocol import update_frame

    room = client.connection.room
    before = room.committed_sequence
    vector = client.doc.get_state()
    del client.text[0:count]
    client.say(update_frame(client.doc.get_update(vector)))
    await until(lambda: room.committed_sequence > before)


def everything(folder: Path) -> bytes:
    """Return what lies in the history's files."""
    return b"".join(path.read_bytes() for path in folder.glob(f"{tables.FILE}*"))


@pytest.mark.anyio
async def test_erasing_content(tmp_path: Path) -> None:
    """What was deleted by a moment is in no answer and in no file; what was there then stays."""
    async with recorded(folder=tmp_path, limits=SLOW) as (hub, histories):
        client = await typing(hub, "SECRET ", "public ")
        early = await histories.create("doc", label="early", principal=ANN)
        await delete_first(hub, client, 7)
        late = await histories.create("doc", label="late", principal=ANN)
        await typing(hub, "more ")
        await histories.kept.set_aside("doc", "a test says so", 1)
        late = await histories.create("doc", label="late", principal=ANN)
        with pytest.raises(UnknownMoment):
            await histories.resolve("doc", f"v{early.id}")
        done = await histories.erase_before("doc", "s3")
        assert (done.moments_before, done.moments) == (4, 2)
        assert await moments(histories) == [3, 4]
        assert [await text_at(histories, n) for n in (3, 4)] == ["public ", "public more "]
        assert await histories.versions("doc") == [late]
        with pytest.raises(UnknownMoment) as gone:
            await histories.resolve("doc", "s2")
        assert gone.value.pruned
        assert b"SECRET" not in everything(tmp_path)
        stored = (await histories.inputs("doc")).stored
        assert stored is not None
        assert b"SECRET" not in Past.open(stored).structs
        await typing(hub, "after ")
        assert await checkpointed(hub)
        assert await text_at(histories, 5) == "public more after "
        assert await text_at(histories, 3) == "public "
        assert not histories.stats.errors


@pytest.mark.anyio
async def test_what_was_set_aside_goes_too(tmp_path: Path) -> None:
    """A history that was set aside holds what is erased, and goes with it."""
    async with recorded(folder=tmp_path, limits=SLOW) as (hub, histories):
        client = await typing(hub, "SECRET ", "public ")
        await delete_first(hub, client, 7)
        assert await checkpointed(hub)
        await histories.kept.set_aside("doc", "a test says so", 1)
        await typing(hub, "more ")
        assert await checkpointed(hub)
        await histories.erase_before("doc", "now")
        connection = sqlite3.connect(tmp_path / tables.FILE)
        assert connection.execute("SELECT COUNT(*) FROM histories").fetchone() == (1,)
        connection.close()
        assert await text_at(histories, 4) == "public more "


@pytest.mark.anyio
async def test_the_file_shrinks(tmp_path: Path) -> None:
    """What is erased is given back to the disk."""
    async with recorded(folder=tmp_path, limits=SLOW) as (hub, histories):
        client = await typing(hub, random.Random(1).randbytes(300_000).hex())
        await delete_first(hub, client, 600_000)
        assert await checkpointed(hub)
        await histories.kept.shrink()
        before = (tmp_path / tables.FILE).stat().st_size
        assert before > 300_000
        done = await histories.erase_before("doc", "s2")
        assert done.bytes < 1_000 < 300_000 < done.bytes_before
        assert (tmp_path / tables.FILE).stat().st_size < before - 300_000


@pytest.mark.anyio
async def test_erasing_a_person(tmp_path: Path) -> None:
    """A person's id and name are in no history, no version and no log any more."""
    store = SQLiteStore(tmp_path / "db")
    async with recorded(store, tmp_path / "guard", limits=SLOW) as (hub, histories):
        for name in ("folded", "logged", "other"):
            await typing(hub, "x", name=name, who=BOB if name == "other" else SECRET)
        assert await checkpointed(hub, "folded")
        await histories.create("folded", label="", principal=SECRET)
        histories.automatic.look(hub.spawn)
        await until(lambda: not histories.automatic._writing)
        assert await histories.erase_author("secret-id") == 2
        for name in ("folded", "logged"):
            past = await past_of(histories, name)
            assert {each.author for each in past.timeline.changes()} == {""}
            assert not (await hub.store.load(name)).records
        (version,) = await histories.versions("folded")
        assert (version.author, version.author_name) == ("", "")
        assert (await past_of(histories, "other")).timeline.authors == ["bob"]
        assert b"secret-id" not in everything(tmp_path / "guard")
        assert b"Secret Name" not in everything(tmp_path / "guard")
        await typing(hub, "y", name="folded", who=SECRET)  # comes again
        histories.automatic.look(hub.spawn)
        await until(lambda: not histories.automatic._writing)
        assert await histories.kept.names(["secret-id"]) == {"secret-id": "Secret Name"}


@pytest.mark.anyio
async def test_erasing_beside_a_server(tmp_path: Path) -> None:
    """Without the server nobody can take a log away: that is said, and nothing is erased."""
    folder = tmp_path / "guard"
    async with recorded(SQLiteStore(tmp_path / "db"), folder, limits=SLOW) as (hub, _):
        await typing(hub, "one ", "two ", who=SECRET)
        store = SQLiteStore(tmp_path / "db", read_only=True)
        async with store, Histories(store, HistoryDatabase(folder)) as beside:
            with pytest.raises(HistoryUnavailable, match="still holds"):
                await beside.erase_before("doc", "s2")
            with pytest.raises(HistoryUnavailable, match="still in 1 documents, such as 'doc'"):
                await beside.erase_author("secret-id")


@pytest.mark.anyio
async def test_erasing_without_a_server(tmp_path: Path) -> None:
    """Who has the store for himself takes the log away as a server would."""
    folder = tmp_path / "guard"
    async with Hub(SQLiteStore(tmp_path / "db"), limits=SLOW) as hub:
        await typing(hub, "SECRET ", who=SECRET)
        client = await typing(hub, "public ")
        client.read()
        await delete_first(hub, client, 7)
        hub.housekeeping.checkpoint = refuses  # type: ignore[method-assign]
    store = SQLiteStore(tmp_path / "db")
    async with store, Histories(store, HistoryDatabase(folder)) as alone:
        assert len((await store.load("doc")).records) == 3
        assert (await alone.erase_before("doc", "s3")).moments == 1
        assert await alone.erase_author("secret-id") == 1
        assert (await store.load("doc")).records == ()
        assert await text_at(alone, 3) == "public "
        assert b"SECRET" not in everything(folder)
        assert b"secret-id" not in everything(folder)


async def refuses(room: object) -> bool:
    """Leave the log as it is."""
    return False


@pytest.mark.anyio
async def test_killed_while_erasing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document's erasure is one transaction: cut short, it has not happened."""
    async with recorded(folder=tmp_path, limits=SLOW, clock=ManualClock()) as (hub, histories):
        client = await typing(hub, "SECRET ", "public ")
        version = await histories.create("doc", label="", principal=ANN)
        await delete_first(hub, client, 7)
        assert await checkpointed(hub)

        def fails(*args: object) -> int:
            raise KeyboardInterrupt

        from crdtsync.history import version_rows

        with monkeypatch.context() as patched:
            patched.setattr(version_rows, "remove_version", fails)
            with pytest.raises(KeyboardInterrupt):
                await histories.erase_before("doc", "s3")
        assert await moments(histories) == [1, 2, 3]
        assert await text_at(histories, 1) == "SECRET "
        assert await histories.versions("doc") == [version]
        await histories.erase_before("doc", "s3")
        assert await moments(histories) == [3]


@pytest.mark.anyio
async def test_somebody_writes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a history changes while it is erased, it is read again, and given up at last."""
    async with recorded(limits=SLOW) as (hub, histories):
        await typing(hub, "one ", "two ", who=SECRET)
        real = histories.kept.save
        tries: list[int] = []
        most = 1

        async def save(*args: object, **options: object) -> int:
            tries.append(1)
            if len(tries) <= most:
                raise HistoryChanged("meanwhile")
            return await real(*args, **options)  # type: ignore[arg-type]

        assert await checkpointed(hub)
        monkeypatch.setattr(histories.kept, "save", save)
        await histories.erase_before("doc", "s2")
        tries.clear()
        assert await histories.erase_author("secret-id") == 1
        tries.clear()
        most = 10**9
        with pytest.raises(HistoryUnavailable, match="all the time"):
            await histories.erase_before("doc", "s2")
