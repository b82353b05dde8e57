"""Two people edit one document with Quill in two real browsers."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from .harness import Server
from .pages import bundle, served
from .webdriver import CONTROL, END, ENTER, HOME, Browser
from .webdriver import Driver as ChromeDriver

pytestmark = [pytest.mark.node, pytest.mark.browser]

EDITORS = {
    "quill-1": {
        "quill": "quill-1",
        "quill-cursors": "quill-cursors-3",
        "y-quill": "y-quill-0",
        "y-websocket": "y-websocket-1.5",
    },
    "quill-2": {
        "quill": "quill-2",
        "quill-cursors": "quill-cursors-4",
        "y-quill": "y-quill-1",
        "y-websocket": "y-websocket-3.1",
    },
}
"""What each page is made of, as names in package.json."""

every_editor = pytest.mark.parametrize("editor", EDITORS)


@pytest.fixture(scope="module")
def pages(node: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bundles one page per editor and serves them; the address ends before the editor's name."""
    folder = tmp_path_factory.mktemp("pages")
    for editor, packages in EDITORS.items():
        bundle(node, "editor", packages, folder / editor)
    with served(folder) as address:
        yield address


@pytest.fixture(scope="module")
def chromium(
    chromedriver: ChromeDriver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Browser, Browser]]:
    """Two browsers with empty profiles of their own, for all tests of this module."""
    profiles = tmp_path_factory.mktemp("profiles")
    browsers = (chromedriver.open(profiles / "ann"), chromedriver.open(profiles / "bob"))
    yield browsers
    for browser in browsers:
        browser.close()


class Person:
    """Sits at one browser."""

    def __init__(self, name: str, browser: Browser, page: str) -> None:
        self.name = name
        self.browser = browser
        self.page = page

    def open(self, server: Server, room: str) -> None:
        """Open the document, wait until it is synced, and put the caret into it."""
        query = urlencode({"server": server.url, "room": room, "name": self.name})
        self.browser.go(f"{self.page}/index.html?{query}")
        self.browser.wait("editor.provider.synced")
        self.browser.click(".ql-editor")

    def leave(self) -> None:
        """Close the document."""
        self.browser.close_tab()

    def sees(self, *parts: str) -> None:
        """Wait until the editor's text contains all parts."""
        self.browser.wait(f"{json.dumps(parts)}.every(part => editor.text().includes(part))")

    def contents(self) -> Any:
        """Return the editor's delta; it has to be the document's own and Quill's final newline."""
        shown, stored = self.browser.run("[editor.contents(), editor.stored()]")
        assert shown[-1]["insert"].endswith("\n")
        shown[-1]["insert"] = shown[-1]["insert"].removesuffix("\n")
        shown = [op for op in shown if op["insert"]]
        assert shown == stored
        return shown


def same_contents(ann: Person, bob: Person) -> Any:
    """Wait until both editors hold the same and return it."""
    wanted = json.dumps(ann.browser.run("JSON.stringify(editor.contents())"))
    bob.browser.wait(f"JSON.stringify(editor.contents()) === {wanted}")
    assert ann.contents() == bob.contents()
    return ann.contents()


def plain(delta: Any) -> str:
    """Return a delta's text."""
    return "".join(op["insert"] for op in delta)


def at_once(*actions: Callable[[], None]) -> None:
    """Do all of it at the same time."""
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result()


@pytest.fixture
def people(
    editor: str, chromium: tuple[Browser, Browser], pages: str
) -> Iterator[tuple[Person, Person]]:
    """Ann and Bob, with this editor's page; their documents are closed afterwards."""
    ann, bob = chromium
    both = (Person("ann", ann, f"{pages}/{editor}"), Person("bob", bob, f"{pages}/{editor}"))
    yield both
    for person in both:
        person.leave()


@every_editor
def test_two_people_type_at_once(
    people: tuple[Person, Person], shared_server: Server, room: str
) -> None:
    """Both type at the same time; each sees the other's text, formats and cursor."""
    ann, bob = people
    ann.open(shared_server, room)
    bob.open(shared_server, room)
    ann.browser.type("Title" + ENTER)
    bob.sees("Title\n\n")
    ann.browser.type(HOME, hold=CONTROL)
    bob.browser.type(END, hold=CONTROL)
    ann.browser.type("b", hold=CONTROL)
    at_once(
        lambda: ann.browser.type("Ann writes this in bold. ", pause_ms=8),
        lambda: bob.browser.type("Bob writes down here." + ENTER, pause_ms=8),
    )
    for person in people:
        person.sees("Ann writes this in bold. ", "Bob writes down here.\n")
    contents = same_contents(ann, bob)
    assert contents[0] == {"insert": "Ann writes this in bold. ", "attributes": {"bold": True}}
    assert plain(contents) == "Ann writes this in bold. Title\nBob writes down here.\n"
    ann.browser.wait("editor.cursors().join() === 'bob'")
    bob.browser.wait("editor.cursors().join() === 'ann'")
    bob.leave()
    ann.browser.wait("editor.cursors().length === 0")


@every_editor
def test_one_goes_offline_and_returns(
    people: tuple[Person, Person], shared_server: Server, room: str
) -> None:
    """Bob types without a connection while Ann goes on; when he returns, both have everything."""
    ann, bob = people
    ann.open(shared_server, room)
    bob.open(shared_server, room)
    ann.browser.type("Together." + ENTER)
    bob.sees("Together.\n\n")  # an empty text ends with a line break of its own
    bob.browser.run("editor.provider.disconnect()")  # sockets outlive Chromium's offline switch
    bob.browser.wait("!editor.provider.wsconnected")
    ann.browser.wait("editor.cursors().length === 0")
    bob.browser.type(END, hold=CONTROL)
    bob.browser.type("Bob alone." + ENTER)
    ann.browser.type("Ann alone." + ENTER)
    ann.sees("Ann alone.\n")
    assert "Ann" not in bob.browser.run("editor.text()")
    bob.browser.run("editor.provider.connect()")
    for person in people:
        person.sees("Together.\n", "Bob alone.\n", "Ann alone.\n")
    same_contents(ann, bob)


@every_editor
def test_the_server_restarts_while_they_type(
    people: tuple[Person, Person], server: Server, room: str
) -> None:
    """Both type on while the server stops and starts; afterwards both have everything."""
    ann, bob = people
    ann.open(server, room)
    bob.open(server, room)
    ann.browser.type("Before." + ENTER)
    bob.sees("Before.\n\n")
    bob.browser.type(END, hold=CONTROL)
    at_once(
        lambda: ann.browser.type("Ann goes on. ", pause_ms=30),
        lambda: bob.browser.type("Bob too. " + ENTER, pause_ms=30),
        server.restart,
    )
    for person in people:
        person.browser.wait("editor.provider.synced")
        person.sees("Before.\n", "Ann goes on. ", "Bob too. ")
    same_contents(ann, bob)


@every_editor
def test_the_server_is_killed_and_they_return_tomorrow(
    people: tuple[Person, Person], server: Server, room: str
) -> None:
    """The server is killed, all is closed; the next day Bob finds what he had seen, formats too."""
    ann, bob = people
    ann.open(server, room)
    bob.open(server, room)
    ann.browser.type("i", hold=CONTROL)
    ann.browser.type("Ann's last words")
    bob.sees("Ann's last words")
    seen = bob.contents()
    server.kill()
    ann.leave()
    bob.leave()
    server.start()
    bob.open(server, room)
    bob.sees("Ann's last words")
    assert bob.contents() == seen
    assert seen[0] == {"insert": "Ann's last words", "attributes": {"italic": True}}
    bob.browser.type(END, hold=CONTROL)
    bob.browser.type(" and Bob's")
    bob.browser.type(HOME, hold=CONTROL)
    bob.browser.type("😀")
    ann.open(server, room)
    ann.sees("😀Ann's last words and Bob's")
    same_contents(ann, bob)
    same_contents(ann, bob)


@every_editor
def test_all_is_closed_and_reopened_tomorrow(
    people: tuple[Person, Person], server: Server, room: str
) -> None:
    """Everyone leaves, the server stops in good order; the next day all is as it was left."""
    ann, bob = people
    ann.open(server, room)
    ann.browser.type("Plan" + ENTER + "one" + ENTER)
    ann.browser.type("b", hold=CONTROL)
    ann.browser.type("two")
    bob.open(server, room)
    bob.sees("Plan\none\ntwo")
    left = same_contents(ann, bob)
    ann.leave()
    bob.leave()
    assert server.stop() == 0
    server.start()
    ann.open(server, room)
    bob.open(server, room)
    for person in people:
        person.sees("Plan\none\ntwo")
        assert person.contents() == left
    assert left == [
        {"insert": "Plan\none\n"},
        {"insert": "two", "attributes": {"bold": True}},
    ]
