"""What docs/saved.md shows: never "saved" before it is on the disk, and "saved" again always."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .harness import HERE, REPOSITORY, Client, Clients, Server

pytestmark = pytest.mark.node

VERSIONS = ("1.5", "2.1", "3.0", "3.1", "3.1-rc")
"""What is on Yjs 13."""

every_version = pytest.mark.parametrize("version", VERSIONS)
ACK = {"ack": "1"}
KILLS = 6


@pytest.fixture
def held(javascript: None, tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own whose commits can be held up."""
    with Server(tmp_path, script=HERE / "held_server.py") as server:
        yield server
        (tmp_path / "held").unlink(missing_ok=True)


def hold(server: Server) -> Path:
    """Let no commit through as long as this file is there."""
    path = server.store.parent / "held"
    path.touch()
    return path


def editor(
    clients: Clients, server: Server, room: str, version: str = "3.1", **more: object
) -> Client:
    """Open an editor that is told what is saved."""
    options = {"params": ACK, "maxBackoffTime": 200, "saved": True, **more}
    return clients.open(version, server.url, room, **options)


@every_version
def test_saved_is_said_after_the_commit(
    version: str, clients: Clients, held: Server, room: str
) -> None:
    """An insertion and a deletion are each "saving" until they are on the disk, then "saved"."""
    ann = editor(clients, held, room, version)
    ann.wait(synced=True, saved="saved")
    for change in (lambda: ann.insert("words"), lambda: ann.remove(1, 2)):
        path = hold(held)
        change()
        assert ann.read()["saved"] == "saving"
        ann.wait(frames={"step2": ann.read()["frames"]["step2"] + 1})  # it has asked, in vain
        assert ann.read()["saved"] == "saving"
        path.unlink()
        ann.wait(saved="saved")


def test_without_ack_it_asks(clients: Clients, held: Server, room: str) -> None:
    """Where the server was not asked to send own updates back, saved takes a second."""
    ann = editor(clients, held, room, params={})
    ann.wait(synced=True, saved="saved")
    ann.insert("words")
    ann.remove(1, 2)
    ann.wait(saved="saved")


@pytest.mark.parametrize("change", [("insert", " and more"), ("remove", 0, 2)])
def test_who_returns_while_a_commit_is_held_up(
    change: tuple[Any, ...], clients: Clients, held: Server, room: str
) -> None:
    """What the server had taken in but not written when the line broke is not saved on return."""
    ann = editor(clients, held, room)
    ann.insert("words")
    ann.wait(saved="saved")
    path = hold(held)
    name, *arguments = change
    getattr(ann, name)(*arguments)
    text = ann.wait(frames={"step2": ann.read()["frames"]["step2"] + 1})["text"]  # it has asked
    bob = clients.open("3.1", held.url, room)
    bob.wait(synced=True)
    ann.drop()
    ann.wait(synced=False)
    ann.wait(synced=True, frames={"step2": ann.read()["frames"]["step2"] + 2})
    assert ann.read()["saved"] == "saving"
    assert bob.read()["text"] == "words"
    path.unlink()
    ann.wait(saved="saved")
    bob.wait(text=text)


def test_a_page_with_offline_work(clients: Clients, held: Server, room: str) -> None:
    """What a page loads from its own storage is in doubt until the server has said it has it."""
    ann = editor(clients, held, room, text="one")
    ann.insert(" two👋")
    ann.remove(0, 1)
    ann.wait(saved="saved")
    stored = ann.carry()
    ann.destroy()

    early = editor(clients, held, room, connect=False)
    early.bring(stored)
    assert early.read()["saved"] == "offline"
    assert early.read()["unsaved"]
    early.connect()
    early.wait(saved="saved", text="ne two👋")

    late = editor(clients, held, room)
    late.wait(saved="saved")
    late.bring(stored)
    late.wait(saved="saved", text="ne two👋")

    more = editor(clients, held, room, connect=False)
    more.bring(stored)
    more.insert(" three")
    path = hold(held)
    more.connect()
    more.wait(synced=True, frames={"step2": 2})
    assert more.read()["saved"] == "saving"
    path.unlink()
    more.wait(saved="saved")


def test_tabs_that_share_edits(clients: Clients, held: Server, room: str) -> None:
    """What came from another tab is in doubt in this one, too; both are told."""
    ann, tab = (editor(clients, held, room, disableBc=False) for _ in range(2))
    for each in (ann, tab):
        each.wait(synced=True, saved="saved")
    path = hold(held)
    ann.insert("words")
    tab.wait(text="words")
    assert tab.read()["saved"] == "saving"
    path.unlink()
    for each in (ann, tab):
        each.wait(saved="saved")
    held.kill()
    tab.wait(saved="offline")
    tab.remove(0, 1)
    ann.wait(saved="offline", text="ords")
    held.start()
    for each in (ann, tab):
        each.wait(saved="saved")
    clients.open("3.1", held.url, room).wait(text="ords")


def test_offline_and_back(clients: Clients, held: Server, room: str) -> None:
    """Without a connection it says so, and whether something waits; then "saved" again."""
    ann = editor(clients, held, room)
    ann.insert("words")
    ann.wait(saved="saved")
    held.kill()
    ann.wait(saved="offline")
    assert not ann.read()["unsaved"]
    ann.insert(" more")
    assert ann.read()["unsaved"]
    held.start()
    ann.wait(saved="saved")


def test_a_server_that_went_back(clients: Clients, held: Server, room: str) -> None:
    """Where the server comes back without what it had saved, it is saved anew before it says so."""
    ann = editor(clients, held, room)
    ann.insert("words")
    ann.remove(0, 1)
    ann.wait(saved="saved")
    held.stop()
    ann.wait(saved="offline")
    for path in held.store.parent.glob("store.db*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    path = hold(held)
    held.start()
    ann.wait(synced=True, frames={"step2": ann.read()["frames"]["step2"] + 2})
    assert ann.read()["saved"] == "saving"
    path.unlink()
    ann.wait(saved="saved")
    held.kill()
    held.start()
    clients.open("3.1", held.url, room).wait(text="ords")


@every_version
def test_a_refused_edit(version: str, clients: Clients, held: Server, room: str) -> None:
    """Refused stays refused, with the reason, whatever the client does."""
    ann = editor(clients, held, room, version)
    ann.wait(saved="saved")
    ann.set("key", 1)
    seen = ann.wait(saved="refused")
    assert seen["reason"] == "the map is not yours"
    assert seen["unsaved"]
    ann.wait(connected=False)
    assert ann.read()["saved"] == "refused"


def test_kills(clients: Clients, held: Server, room: str) -> None:
    """Whatever it called saved outlives kill -9 at any moment; what was not is saved afterwards."""
    chance = random.Random(5)
    people = [editor(clients, held, room, version) for version in VERSIONS]
    told = 0
    for _ in range(KILLS):
        for _ in range(chance.randrange(5, 40)):
            person = chance.choice(people)
            person.scribble(chance.randrange(1, 4))
            if chance.random() < 0.1:
                person.drop()
        promised = [person.seen() for person in people]
        held.kill()
        for person in people:
            person.wait(connected=False)
            person.disconnect()
        promised += [person.seen() for person in people]
        held.start()
        witness = clients.open("3.1", held.url, room)
        witness.wait(synced=True)
        for promise in filter(None, promised):
            assert witness.has(promise)
            told += 1
        for person in people:
            person.scribble(2)
            person.connect()
        for person in people:
            person.wait(saved="saved")
    assert told
    marks = [f"[{version}]" for version in VERSIONS]
    for person, mark in zip(people, marks, strict=True):
        person.insert(mark)
    assert len({person.wait(contains=marks)["text"] for person in people}) == 1


def test_sync_status_is_green_after_the_commit(clients: Clients, held: Server, room: str) -> None:
    """y-websocket's own `sync-status` turns green by itself, not before the commit."""
    ann = clients.open("3.1-rc", held.url, room, params=ACK)
    ann.wait(synced=True, syncStatus="green")
    path = hold(held)
    ann.insert("words")
    ann.wait(syncStatus="yellow", unconfirmed=1)
    path.unlink()
    ann.wait(syncStatus="green", unconfirmed=0)
    ann.remove(0, 1)
    ann.wait(syncStatus="green", unconfirmed=0)


def test_the_page_shows_the_code() -> None:
    """What docs/saved.md shows is what is tested here."""
    page = (REPOSITORY / "docs" / "saved.md").read_text("utf-8")
    code = (REPOSITORY / "docs" / "examples" / "notes" / "src" / "saved.js").read_text("utf-8")
    assert f"```js\n{code}```\n" in page
