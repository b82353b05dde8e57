"""The example of docs/example.md, with two people in two real browsers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pycrdt
import pytest

from crdtsync.channels.model import Message, message_id
from crdtsync.store.base import Record
from crdtsync.store.sqlite import SQLiteStore
from tests.ports import reserved_port
from tests.processes import environment

from .harness import Output, Server
from .line import Line
from .notes import CHANNELS, EXAMPLE, Visitor, built, installed
from .webdriver import ENTER, TAB, Browser
from .webdriver import Driver as ChromeDriver

pytestmark = [pytest.mark.node, pytest.mark.browser]

BOB = "<img src=x onerror='window.broken = 1'>"
"""Bob is called what no page may take for anything but a name."""
TIME_MS = 1_700_000_000_000
START_TIMEOUT_S = 120.0


async def store_archive(path: Path) -> None:
    """Write a document whose oldest messages are in an archive, as a server leaves it."""
    chat, archive = pycrdt.Doc[Any](), pycrdt.Doc[Any]()
    old, new = (
        Message(id=message_id(TIME_MS + each), author="guest-1", text=text, time_ms=TIME_MS + each)
        for each, text in enumerate(("In the beginning", "Nowadays"))
    )
    archive.get("chat", type=pycrdt.Map)[old.id] = old.value()
    chat.get("chat", type=pycrdt.Map)[new.id] = new.value()
    listed = {"first": old.id, "last": old.id, "count": 1}
    chat.get("chat-archives", type=pycrdt.Map)["000001"] = listed
    documents = {"old": chat, "old/chat-archive/000001": archive}
    async with SQLiteStore(path) as store:
        for name, document in documents.items():
            await store.append([Record(name, 1, TIME_MS, "ada", document.get_update())])


@pytest.fixture(scope="module")
def keeper(javascript: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of all tests here."""
    folder = tmp_path_factory.mktemp("keeper")
    anyio.run(store_archive, folder / "store.db")
    with Server(folder, *CHANNELS) as server:
        yield server


@pytest.fixture(scope="module")
def line(keeper: Server) -> Iterator[Line]:
    """What is between Bob and the server."""
    with Line(keeper.port) as line:
        yield line


@pytest.fixture(scope="module")
def browsers(
    chromedriver: ChromeDriver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Browser, Browser]]:
    """Ann's browser and Bob's."""
    profiles = tmp_path_factory.mktemp("profiles")
    both = (chromedriver.open(profiles / "ann"), chromedriver.open(profiles / "bob"))
    yield both
    for browser in both:
        browser.close()


@pytest.fixture(scope="module")
def addresses(
    keeper: Server, line: Line, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Where Ann finds the page, and where Bob does: his goes over the line."""
    folder = tmp_path_factory.mktemp("example")
    with built(folder / "ann", keeper.port) as ann, built(folder / "bob", line.port) as bob:
        yield ann, bob


@pytest.fixture
def people(
    browsers: tuple[Browser, Browser], addresses: tuple[str, str], room: str
) -> Iterator[tuple[Visitor, Visitor]]:
    """Ann and Bob, in a document of their own."""
    visitors = (
        Visitor(browsers[0], addresses[0], "Ann"),
        Visitor(browsers[1], addresses[1], "bob", BOB),
    )
    for visitor in visitors:
        visitor.open(room)
    yield visitors
    for visitor in visitors:
        assert visitor.browser.run("window.broken") is None
        visitor.browser.close_tab()


def test_they_write(people: tuple[Visitor, Visitor], keeper: Server, room: str) -> None:
    """Each sees what the other types, and the other's cursor with its name; it is saved."""
    ann, bob = people
    ann.write("Ann was here." + ENTER)
    bob.reads("Ann was here.")
    bob.write("Bob, too.")
    for person in people:
        person.reads("Ann was here.", "Bob, too.")
        person.saved()
    flag = "document.querySelector('.ql-cursor-name')?.textContent"
    ann.browser.see(f"{flag} === {json.dumps(BOB)}")
    bob.browser.see(f"{flag} === 'Ann'")
    address = ann.browser.run("document.getElementById('history').href")
    assert httpx.get(address).status_code == 200
    assert f"/documents/{room}/history" in address


def test_by_keyboard(people: tuple[Visitor, Visitor]) -> None:
    """The tab key leads into the editor, on from there, and to the chat; all fields have names."""
    ann, _ = people
    ann.browser.click(".ql-editor")
    ann.browser.type(TAB)
    assert ann.browser.run("document.activeElement.id") == "name"
    ann.browser.type(TAB * 3)
    ann.browser.type("By keyboard" + ENTER)
    ann.hears("By keyboard")
    unnamed = (
        "[...document.querySelectorAll('main input:not([data-link]), main select:not([class])')]"
        ".filter(each => !each.labels.length).length"
    )
    assert ann.browser.run(unnamed) == 0


def test_they_talk(people: tuple[Visitor, Visitor]) -> None:
    """Who is typing is shown; messages are sent, answered with an emoji, changed and deleted."""
    ann, bob = people
    bob.say("Lunch <b>now</b>?")
    ann.browser.see("document.getElementById('typing').textContent.endsWith('is typing…')")
    assert ann.browser.run("document.getElementById('typing').textContent").startswith(BOB)
    bob.browser.type(ENTER)
    ann.hears("Lunch <b>now</b>?")
    ann.browser.see("document.getElementById('typing').textContent === ''")
    ann.press("♥", "Lunch <b>now</b>?")
    bob.press("♥ 1", "Lunch <b>now</b>?")
    ann.browser.see("document.querySelector('.tools').textContent.includes('♥ 2')")
    ann.browser.run("document.querySelector('.tools [aria-pressed=true]').focus()")
    ann.browser.type(ENTER)
    ann.browser.see("document.querySelector('.tools').textContent.includes('♥ 1')")
    assert ann.browser.run("document.activeElement.textContent") == "♥ 1"
    bob.press("Edit", "Lunch <b>now</b>?")
    bob.say("Lunch at one?" + ENTER)
    ann.hears("Lunch at one?")
    assert ann.browser.run("document.querySelector('#messages small').textContent") == "edited"
    assert "Edit" not in ann.browser.run("document.querySelector('#messages .tools').textContent")
    ann.say("Yes" + ENTER)
    bob.hears("Yes")
    bob.press("Delete", "Lunch at one?")
    ann.hears("deleted")
    texts = "[...document.querySelectorAll('#messages p')].map(each => each.textContent)"
    assert ann.browser.run(texts) == bob.browser.run(texts) == ["deleted", "Yes"]


def test_who_is_here(people: tuple[Visitor, Visitor], addresses: tuple[str, str]) -> None:
    """People show how they are; their tabs are one person, who is gone with the last of them."""
    ann, bob = people
    ann.meets(BOB, "online")
    bob.meets("Ann", "online")
    ann.meets("Ann", "you, online")
    bob.fill("status", "busy")
    ann.meets(BOB, "busy")
    tab = bob.browser.call("GET", "/window")
    here = bob.browser.run("location.href")
    second = bob.browser.call("POST", "/window/new", {"type": "tab"})["handle"]
    bob.browser.call("POST", "/window", {"handle": second})
    bob.browser.go(here)
    ann.meets(BOB, "busy, 2 tabs")
    bob.browser.call("DELETE", "/window")
    bob.browser.call("POST", "/window", {"handle": tab})
    tabs = "document.getElementById('people').textContent.includes('tabs')"
    ann.browser.see(f"!{tabs}")
    ann.meets(BOB, "busy")
    bob.browser.go("about:blank")
    ann.meets(BOB, "offline, seen ")
    bob.browser.go(here)
    ann.meets(BOB, "busy")
    bob.fill("status", "online")


def test_one_goes_offline(people: tuple[Visitor, Visitor], line: Line) -> None:
    """Bob writes without a network, even loads the page anew; when he returns, all is there."""
    ann, bob = people
    ann.write("Together." + ENTER)
    bob.reads("Together.")
    bob.saved()
    line.cut()
    try:
        bob.saved("offline")
        bob.write("Bob alone.")
        bob.say("From the train" + ENTER)
        waiting = "document.getElementById('saved').textContent.includes('kept in this browser')"
        bob.browser.see(waiting)
        bob.browser.call("POST", "/refresh")
        bob.reads("Together.", "Bob alone.")
        bob.browser.see(waiting)
        ann.meets(BOB, "offline")
        ann.write("Ann alone.")
        ann.saved()
        assert "Bob alone" not in ann.browser.run("document.querySelector('.ql-editor').innerText")
    finally:
        line.mend()
    for person in people:
        person.reads("Together.", "Bob alone.", "Ann alone.")
        person.hears("From the train")
        person.saved()
    ann.meets(BOB, "online")


def test_earlier_messages(browsers: tuple[Browser, Browser], addresses: tuple[str, str]) -> None:
    """What the server moved into an archive is shown when it is asked for, above the rest."""
    ann = Visitor(browsers[0], addresses[0], "Ann")
    ann.open("old")
    ann.hears("Nowadays")
    ann.browser.click("#earlier")
    ann.hears("In the beginning")
    texts = "[...document.querySelectorAll('#messages p')].map(each => each.textContent)"
    assert ann.browser.run(texts) == ["In the beginning", "Nowadays"]
    ann.browser.see("document.getElementById('earlier').hidden")
    ann.browser.close_tab()


def test_what_the_server_would_refuse_is_not_offered(
    browsers: tuple[Browser, Browser], addresses: tuple[str, str]
) -> None:
    """A message of long ago can be deleted by its author, and no longer edited."""
    ann = Visitor(browsers[0], addresses[0], "Ann")
    ann.browser.go(f"{ann.address}/?document=another")
    ann.browser.run("localStorage.setItem('notes-id', 'guest-1')")
    ann.open("old")
    ann.hears("Nowadays")
    buttons = "document.querySelector('.own .tools').textContent"
    assert ann.browser.run(buttons).endswith("☺Delete")
    ann.press("Delete", "Nowadays")
    ann.hears("deleted")
    ann.saved()
    ann.browser.run("localStorage.removeItem('notes-id')")
    ann.browser.close_tab()


def test_what_is_refused_can_be_discarded(
    browsers: tuple[Browser, Browser], javascript: None, tmp_path: Path, room: str
) -> None:
    """Who wrote more than the server takes sees why, and goes on without it."""
    with (
        Server(tmp_path, *CHANNELS, "--max-document-bytes", "4kB") as server,
        built(tmp_path / "page", server.port) as address,
    ):
        ann = Visitor(browsers[0], address, "Ann")
        ann.open(room)
        ann.write("Short.")
        ann.saved()
        at_once = "document.execCommand('insertText', false, 'far too much, '.repeat(400))"
        ann.browser.run(at_once)
        ann.saved("refused")
        assert "Not taken: " in ann.browser.run("document.getElementById('saved').textContent")
        ann.browser.click("#discard")
        ann.saved()
        ann.reads("Short.")
        ann.write("And on.")
        ann.browser.call("POST", "/refresh")
        ann.reads("Short.And on.")
        ann.saved()
        assert "too much" not in ann.browser.run("document.querySelector('.ql-editor').innerText")
        ann.browser.close_tab()


def test_one_command(tmp_path: Path, javascript: None) -> None:
    """`run.py` starts the server and the page, and ends both on Ctrl-C."""
    installed()
    with reserved_port() as port, reserved_port() as page:
        variables = environment(PYTHONUNBUFFERED="1", PORT=str(page), SERVER_PORT=str(port))
        with subprocess.Popen(
            [sys.executable, str(EXAMPLE / "run.py")],
            cwd=tmp_path,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            output = Output(process.stdout)
            try:
                output.wait_for(rf"Open http://localhost:{page}", START_TIMEOUT_S)
                assert "Notes" in httpx.get(f"http://localhost:{page}").text
                assert httpx.get(f"http://localhost:{port}/health/live").status_code == 200
            finally:
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does
                assert process.wait(START_TIMEOUT_S) == 0, str(output)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://localhost:{port}/health/live")
