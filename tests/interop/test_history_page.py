"""The history page in a real browser: who wrote what, what has changed, and the way back."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import httpx
import pycrdt
import pytest

from crdtsync.gate import Principal
from crdtsync.guarding.keeping import guard_folder
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.service import Histories
from crdtsync.store.base import Record
from crdtsync.store.sqlite import SQLiteStore
from tests.identity.making import SECRET, issue

from .harness import VERSIONS, Clients, Server
from .webdriver import ENTER, Browser

pytestmark = [pytest.mark.node, pytest.mark.browser]

NAME = "team/minutes & more"
PAGE = "/documents/team/minutes%20%26%20more/history"
OPTIONS = ("--auth", "jwt", "--auth-key-file", "secret", "--auth-audience", "crdtsync")
SCRIPT = "<script>window.broken = 1</script>"
HOUR_MS = 3_600_000
DOWN = "\ue015"


class Log:
    """A document that people write, as the log that a server would have of it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self.text = self._doc.get("text", type=pycrdt.Text)
        self.meta = self._doc.get("meta", type=pycrdt.Map)
        self.todo = self._doc.get("todo", type=pycrdt.Array)
        self.prose = self._doc.get("prose", type=pycrdt.XmlFragment)

    def edit(self, author: str, hours_ago: float, change: Callable[[], object]) -> None:
        """Record what somebody changed some hours ago."""
        before = self._doc.get_state()
        with self._doc.transaction():
            change()
        time_ms = int(time.time() * 1000 - hours_ago * HOUR_MS)
        update = self._doc.get_update(before)
        self.records.append(Record(NAME, len(self.records) + 1, time_ms, author, update))


def written() -> Log:
    """Ada writes, names that, then Ben and Cleo change it: a text, a map, a list and XML."""
    log = Log()
    log.edit("ada", 50, lambda: log.text.insert(0, "We met on Monday. The budget is agreed."))
    log.edit("ada", 50, lambda: log.meta.update({"status": "draft", "title": SCRIPT}))
    log.edit("ben", 26, lambda: log.text.insert(18, f"Ben brought {SCRIPT} cake. "))
    log.edit("ben", 26, lambda: log.todo.extend(["buy seeds", "call the printer"]))
    log.edit("cleo", 3, lambda: log.text.__delitem__(slice(0, 18)))
    log.edit("cleo", 3, lambda: log.meta.update({"status": "final"}))
    log.edit("cleo", 3, lambda: log.prose.children.append(pycrdt.XmlElement("p", {"k": "v"})))
    return log


async def store(log: Log, path: Path) -> None:
    """Write the log and its history as a server does, with a version behind Ada's last edit."""
    documents = SQLiteStore(path)
    histories = Histories(documents, HistoryDatabase(guard_folder(documents.url)))
    async with documents, histories:
        await documents.append(log.records[:2])
        ada = Principal(id="ada", name="Ada Lovelace")
        await histories.create(NAME, label="Sent to the printer", note="As agreed", principal=ada)
        await documents.append(log.records[2:])
        await histories.kept.note_authors({"ben": "Ben <b>Bold</b>"}, 0)


def token(role: str, name: str = "Dora") -> str:
    """Return a token of Dora's, who has a role in all documents."""
    claims = {"sub": "dora", "name": name, "aud": "crdtsync", "exp": int(time.time()) + 600}
    return issue(SECRET, "HS256", {**claims, "documents": {"*": role}})


@pytest.fixture
def signed(javascript: None, tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own that checks tokens, and has the document."""
    anyio.run(store, written(), tmp_path / "store.db")
    (tmp_path / "secret").write_bytes(SECRET)
    with Server(tmp_path, *OPTIONS) as server:
        yield server


class Visit:
    """Somebody at the page."""

    def __init__(self, browser: Browser, server: Server, role: str) -> None:
        self.browser = browser
        browser.go(f"{server.http}{PAGE}#token={token(role)}")
        self.see("document.querySelectorAll('#view section').length === 4")

    def see(self, condition: str) -> None:
        """Wait until something holds in the page."""
        self.browser.see(condition)

    def text(self, selector: str) -> str:
        """Return what an element shows."""
        return str(self.browser.run(f"document.querySelector({selector!r})?.innerText"))

    def all(self, selector: str, what: str = "innerText") -> list[str]:
        """Return something of each element that fits."""
        script = f"[...document.querySelectorAll({selector!r})].map(each => each.{what})"
        found: list[str] = self.browser.run(script)
        return found

    def choose(self, title: str) -> None:
        """Click an entry of the timeline, by what it begins with."""
        self.browser.run(
            "[...document.querySelectorAll('#timeline button')]"
            f".find(each => each.innerText.startsWith({title!r})).click()"
        )
        self.see(f"document.querySelector('[aria-current=true]')?.innerText.startsWith({title!r})")
        self.settled()

    def turn(self, tab: str) -> None:
        """Click a tab, and wait for what it shows."""
        self.browser.click(f"#tab-{tab}")
        self.see(f"document.getElementById('tab-{tab}').getAttribute('aria-selected') === 'true'")
        self.settled()

    def settled(self) -> None:
        """Wait until the view is drawn."""
        self.see("!document.getElementById('view').hasAttribute('aria-busy')")


@pytest.fixture
def visit(browser: Browser, signed: Server) -> Iterator[Callable[[str], Visit]]:
    """Opens the page with a role."""
    yield lambda role: Visit(browser, signed, role)
    browser.close_tab()


def test_the_timeline(visit: Callable[[str], Visit]) -> None:
    """Sessions with their authors' names, and versions, the newest first; with their content."""
    page = visit("read")
    assert page.text("#document") == NAME
    titles = [each.split("\n")[0].split(" ")[0] for each in page.all("#timeline button")]
    assert titles == ["Now", "cleo", "Ben", "Sent", "Ada"]
    assert f"Ben brought {SCRIPT} cake" in page.text("[data-root=text]")
    assert "Monday" not in page.text("[data-root=text]")
    assert "final" in page.text("[data-root=meta]")
    assert "call the printer" in page.text("[data-root=todo]")
    page.choose("Sent to the printer")
    assert "As agreed" in page.text("#moment-note")
    assert page.text("[data-root=text] .text") == "We met on Monday. The budget is agreed."
    assert page.all("section", "dataset.root") == ["meta", "text"]
    page.browser.click("#only-named")
    page.see("document.querySelectorAll('#timeline button').length === 2")


def test_what_has_changed(visit: Callable[[str], Visit]) -> None:
    """Insertions and deletions are marked, with who did them and when, for any two moments."""
    page = visit("read")
    page.choose("Sent to the printer")
    page.choose("Now")
    page.turn("diff")
    page.browser.run(
        "(document.getElementById('against').value = [...document.getElementById('against')]"
        ".find(each => each.innerText.startsWith('Sent')).value,"
        " document.getElementById('against').dispatchEvent(new Event('change')))"
    )
    page.see("document.querySelector('[data-root=text] ins')")
    page.settled()
    assert page.all("[data-root=text] ins") == [f"Ben brought {SCRIPT} cake. "]
    assert page.all("[data-root=text] ins", "title")[0].startswith("Ben <b>Bold</b>, ")
    assert page.all("[data-root=text] del") == ["We met on Monday. "]
    assert page.all("[data-root=text] del", "title")[0].startswith("cleo, ")
    assert page.all("[data-root=meta] del") == ["draft"]
    assert page.all("[data-root=meta] ins") == ["final"]
    assert page.all("[data-root=todo] ins") == ["buy seeds", "call the printer"]
    assert "<p" in page.all("[data-root=prose] ins")[0]


def test_who_wrote_it(visit: Callable[[str], Visit]) -> None:
    """Each run of text, key, element and node has its author."""
    page = visit("read")
    page.turn("blame")
    page.see("document.querySelector('.legend .author')")
    assert set(page.all(".legend .author")) == {"Ada Lovelace", "Ben <b>Bold</b>", "cleo"}
    runs = page.all("[data-root=text] .run")
    authors = [each.split(", ")[0] for each in page.all("[data-root=text] .run", "title")]
    assert dict(zip(runs, authors, strict=True)) == {
        f"Ben brought {SCRIPT} cake. ": "Ben <b>Bold</b>",
        "The budget is agreed.": "Ada Lovelace",
    }
    assert "cleo" in page.text("[data-root=meta]")


def test_nothing_in_a_document_runs(visit: Callable[[str], Visit]) -> None:
    """Markup in texts, keys and names is text, wherever it is shown."""
    page = visit("read")
    for tab in ("preview", "diff", "blame"):
        page.turn(tab)
    assert page.browser.run("window.broken") is None
    assert page.browser.run("document.scripts.length") == 1
    assert page.browser.run("document.querySelectorAll('#columns b').length") == 0


def test_naming_and_restoring(
    visit: Callable[[str], Visit], signed: Server, clients: Clients
) -> None:
    """A version gets a name; an older one comes back, live in an editor; then the newer one."""
    editor = clients.open(VERSIONS[-1], signed.url, NAME, params={"token": token("write")})
    editor.wait(synced=True, text=f"Ben brought {SCRIPT} cake. The budget is agreed.")
    page = visit("write")
    page.browser.click("#label")
    page.browser.type("My version")
    page.browser.click("#naming button")
    page.see("document.getElementById('timeline').innerText.includes('My version')")

    page.choose("Sent to the printer")
    page.browser.click("#restore")
    page.see("document.getElementById('confirm').open")
    assert page.all("#root option") == ["The whole document", "Only “meta”", "Only “text”"]
    page.browser.click("#confirm-restore")
    page.see("document.getElementById('status').innerText.startsWith('Restored.')")
    page.settled()
    assert page.text("[data-root=text] .text") == "We met on Monday. The budget is agreed."
    editor.wait(text="We met on Monday. The budget is agreed.")

    page.choose("My version")
    page.browser.click("#restore")
    page.see("document.getElementById('confirm').open")
    page.browser.click("#confirm-restore")
    editor.wait(text=f"Ben brought {SCRIPT} cake. The budget is agreed.")
    page.see("document.getElementById('timeline').innerText.includes('Dora')")


def test_a_reader_may_not(visit: Callable[[str], Visit], signed: Server) -> None:
    """Who may only read is told so, and nothing happens."""
    page = visit("read")
    page.choose("Sent to the printer")
    page.browser.click("#restore")
    page.see("document.getElementById('confirm').open")
    page.browser.click("#confirm-restore")
    page.see("document.getElementById('status').className === 'bad'")
    headers = {"Authorization": f"Bearer {token('read')}"}
    answer = httpx.get(
        f"{signed.http}/api/v1/documents/team/minutes%20%26%20more?format=json", headers=headers
    )
    assert answer.json()["meta"]["status"] == "final"


def narrow(browser: Browser, width: int) -> None:
    """Make the page as wide as a phone's, or with 0 as wide as the window again."""
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width > 0}
    body = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
    if not width:
        body = {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}}
    browser.call("POST", "/goog/cdp/execute", body)


def test_long_names_on_a_phone(
    browser: Browser, visit: Callable[[str], Visit], signed: Server
) -> None:
    """Whatever people and versions are called, nothing is wider than the screen."""
    headers = {"Authorization": f"Bearer {token('write', name='N' * 120)}"}
    body = {"document": NAME, "label": "L" * 200}
    assert httpx.post(f"{signed.http}/api/v1/versions", json=body, headers=headers).is_success
    narrow(browser, 400)
    try:
        page = visit("read")
        for tab in ("preview", "diff", "blame"):
            page.turn(tab)
            assert page.browser.run("document.documentElement.scrollWidth") <= 400, tab
        assert page.browser.run("document.getElementById('head').getBoundingClientRect().top") < 800
    finally:
        narrow(browser, 0)


def test_who_is_not_listed_stays_chosen(visit: Callable[[str], Visit]) -> None:
    """A moment that the timeline no longer lists is the one that is shown, and restored."""
    page = visit("write")
    page.choose("cleo")
    shown = page.text("#moment-note")
    page.browser.click("#only-named")
    page.see("document.querySelectorAll('#timeline button').length === 2")
    page.browser.click("#restore")
    page.see("document.getElementById('confirm').open")
    assert shown in page.text("#confirm-text")
    assert page.text("#moment") == "cleo"


def test_a_timeline_by_keyboard(visit: Callable[[str], Visit]) -> None:
    """Arrows go through the timeline; a link leads past it to the document."""
    page = visit("read")
    page.browser.run("document.querySelector('#timeline button').focus()")
    page.browser.type(DOWN)
    page.browser.type(ENTER)
    page.see("document.querySelector('#moment').innerText === 'cleo'")
    page.browser.run("document.getElementById('skip').focus()")
    page.browser.type(ENTER)
    page.see("document.activeElement.id === 'view'")


def test_authors_have_colours_of_their_own(visit: Callable[[str], Visit]) -> None:
    """People whose ids are much alike can be told apart."""
    page = visit("read")
    ids = "['u1', 'u2', 'u3', 'u4', 'u5', '']"
    found = f"document.body.dataset.hues = {ids}.map(words.hue)"
    page.browser.run(f"void import('/assets/history/words.js').then(words => {{ {found} }})")
    page.see("document.body.dataset.hues")
    hues = sorted(map(int, page.browser.run("document.body.dataset.hues").split(",")))
    assert min(after - before for before, after in pairwise([*hues, hues[0] + 360])) >= 30


def test_signing_in(browser: Browser, signed: Server) -> None:
    """Without a token the page asks for one; it goes into no address and stays in the tab."""
    browser.go(f"{signed.http}{PAGE}")
    script = "!document.getElementById('sign-in').hidden"
    visitor = Visit.__new__(Visit)
    visitor.browser = browser
    visitor.see(script)
    browser.click("#token")
    browser.type(token("read"))
    browser.click("#sign-in button")
    visitor.see("document.querySelectorAll('#view section').length === 4")
    assert "token" not in str(browser.run("location.href"))
    browser.close_tab()
