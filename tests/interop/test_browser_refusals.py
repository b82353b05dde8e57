"""A page that does what docs/refusals.md says, in a real browser: its user sees every refusal."""

from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import httpx
import pytest

from tests.docs.kit import blocks
from tests.docs.kit import page as docs_page

from .harness import HERE, Server
from .pages import bundle, served
from .webdriver import Browser

pytestmark = [pytest.mark.node, pytest.mark.browser]

VERSIONS = {"1.5": "y-websocket-1.5", "3.1": "y-websocket-3.1"}
"""One client that comes back after every close, and one that takes some as final."""


@pytest.fixture(scope="module")
def pages(node: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bundles the page for each version and serves it."""
    folder = tmp_path_factory.mktemp("pages")
    for version, package in VERSIONS.items():
        bundle(node, "recipe", {"y-websocket": package}, folder / version)
    with served(folder) as address:
        yield address


@pytest.fixture(params=VERSIONS)
def visit(
    request: pytest.FixtureRequest, pages: str, browser: Browser, guarded: Server, room: str
) -> Iterator[Callable[[str], Browser]]:
    """Opens the test's document in the browser, with a token, and waits until it is synced."""

    def go(token: str) -> Browser:
        query = urlencode({"server": guarded.url, "room": room, "token": token})
        browser.go(f"{pages}/{request.param}/index.html?{query}")
        browser.wait("editor.provider.synced")
        return browser

    yield go
    browser.close_tab()


def stored(server: Server, room: str) -> str:
    """Return what the server has of the document's text."""
    url = f"{server.http}/api/v1/documents/{room}"
    query = {"format": "json", "token": "root"}
    return str(httpx.get(url, params=query, trust_env=False).raise_for_status().json())


def test_the_user_sees_why_and_goes_on(
    visit: Callable[[str], Browser], guarded: Server, room: str
) -> None:
    """The reason is shown, the page begins with a fresh document, and the user writes on."""
    browser = visit("ann")
    browser.run("editor.write('kept')")
    before = browser.run("editor.doc.clientID")
    browser.run("editor.set('key', 'refused')")
    browser.wait("editor.notice() === 'Your edit was not taken: the map is not yours'")
    browser.wait("editor.opened === 2 && editor.provider.synced")
    browser.wait("editor.shown() === 'kept'")
    assert browser.run("editor.doc.clientID") != before
    assert browser.run("editor.map()") == {}
    browser.run("editor.write(' and more')")
    browser.run("editor.provider.disconnect()")
    browser.run("editor.provider.connect()")
    browser.wait("editor.provider.synced")
    assert browser.run("editor.opened") == 2
    assert stored(guarded, room) == "{'text': 'kept and more'}"


def test_a_reader_sees_why_and_stays(
    visit: Callable[[str], Browser], guarded: Server, room: str
) -> None:
    """A read-only user is told, and the connection is the same one as before."""
    visit("ann").run("editor.write('to read')")
    browser = visit("reader")
    browser.wait("editor.shown() === 'to read'")
    browser.run("editor.write(' scribble')")
    browser.wait(
        "editor.notice() === 'Your edit was not taken: this document is read-only for you'"
    )
    browser.run("editor.write(' scribble')")
    assert browser.run("editor.provider.wsconnected")
    assert "disconnected" not in browser.run("editor.events")
    assert browser.run("editor.opened") == 1
    assert stored(guarded, room) == "{'text': 'to read'}"


def test_the_page_has_the_recipe() -> None:
    """What the pages say to applications is what this page does, letter by letter."""
    script = (HERE / "page" / "recipe.js").read_text("utf-8")
    (recipe,) = (block for block in blocks(docs_page("docs/refusals.md"), "js") if "4409" in block)
    start, rest = recipe.index("const START_AFRESH"), recipe.rindex("openDocument('wss:")
    assert recipe[start:rest].strip() in script
