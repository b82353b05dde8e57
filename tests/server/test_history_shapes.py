"""What HTTP answers of a real history is what the description says, for content of every kind."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pycrdt
import pytest

from crdtsync.gate import Principal
from crdtsync.history.database import HistoryDatabase
from crdtsync.history.service import Histories
from crdtsync.hub import Hub
from crdtsync.server.asgi import create_app
from crdtsync.store.memory import MemoryStore

from .conftest import asgi_client
from .schemas import violations

pytestmark = pytest.mark.anyio

HISTORY = "/api/v1/history"
ANN, BOB = Principal(id="ann", name="Ann"), Principal(id="bob")


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """A hub that keeps history."""
    store = MemoryStore()
    async with Hub(store, history=Histories(store, HistoryDatabase(None))) as hub:
        yield hub


@pytest.fixture
async def http(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """A client, who finds a document of five moments; the first two are folded."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc["text"] = text = pycrdt.Text("plain")
    doc["map"] = keys = pycrdt.Map({"gone": 1, "changed": 1, "inner": pycrdt.Array([1])})
    doc["array"] = array = pycrdt.Array(["a", pycrdt.Text("nested"), None])
    doc["xml"] = xml = pycrdt.XmlFragment()
    known = await commit(hub, doc, ANN)
    text.insert(5, " bold", {"bold": True})
    text.insert_embed(0, {"image": "x"})
    array[1].insert(0, "deep ")
    paragraph = xml.children.append(pycrdt.XmlElement("p"))
    paragraph.attributes["class"] = "x"
    paragraph.children.append(pycrdt.XmlText("in a paragraph"))
    known = await commit(hub, doc, BOB, known)
    async with hub.open("doc") as room:
        assert await hub.housekeeping.checkpoint(room)
    del keys["gone"]
    keys["changed"] = {"any": [1.5, True]}
    keys["inner"].append("x")
    del text[0]
    text.format(0, 3, {"italic": True})
    known = await commit(hub, doc, ANN, known)
    paragraph.attributes["class"] = "y"
    paragraph.children.append(pycrdt.XmlElement("br"))
    del array[0]
    known = await commit(hub, doc, BOB, known)
    doc["new"] = pycrdt.Map({"k": "v"})
    await commit(hub, doc, ANN, known)
    async with asgi_client(create_app(hub, lifespan=False)) as client:
        yield client


async def commit(
    hub: Hub, doc: pycrdt.Doc[Any], who: Principal, known: bytes | None = None
) -> bytes:
    await hub.edit("doc", doc.get_update(known), who)
    return doc.get_state()


async def test_shapes(http: httpx.AsyncClient) -> None:
    """Contents, differences both ways, authors and activity at each moment."""
    description = (await http.get("/api/v1/openapi.json")).json()
    schemas = description["components"]["schemas"]
    asked: list[tuple[str, dict[str, str]]] = []
    for moment in ("s0", "s1", "s2", "s3", "s4", "now"):
        asked += [("content", {"at": moment, "format": form}) for form in ("json", "rich", "delta")]
        asked.append(("blame", {"at": moment}))
        asked += [("diff", {"from": moment, "to": other}) for other in ("s0", "s2", "now")]
    asked.append(("activity", {}))
    kinds: set[str] = set()
    names = {"content": "HistoryContent", "diff": "Diff", "blame": "Blame", "activity": "Activity"}
    for what, params in asked:
        answer = await http.get(f"{HISTORY}/{what}", params={"document": "doc"} | params)
        assert answer.status_code == 200, (what, params, answer.text)
        errors = list(violations(answer.json(), schemas[names[what]], description))
        assert errors == [], (what, params)
        kinds |= {root["kind"] for root in answer.json().get("roots", {}).values()}
    assert kinds == {"text", "map", "array", "xml"}


async def test_who_and_what(http: httpx.AsyncClient) -> None:
    """Authors, places and values are the document's own."""
    params = {"document": "doc", "from": "s2", "to": "s3"}
    roots = (await http.get(f"{HISTORY}/diff", params=params)).json()["roots"]
    assert roots.keys() == {"map", "text"}
    assert roots["map"]["keys"]["gone"]["change"] == "removed"
    assert roots["map"]["keys"]["inner"]["diff"]["ops"][-1]["insert"] == ["x"]
    by = roots["map"]["keys"]["changed"]["by"]
    assert by["author"] == "ann"
    assert roots["text"]["ops"][0]["content"] == [{"image": "x"}]
    params = {"document": "doc", "at": "s2", "format": "xml"}
    xml = (await http.get(f"{HISTORY}/content", params=params)).text
    assert xml == '<p class="x">in a paragraph</p>'
    activity = (await http.get(f"{HISTORY}/activity", params={"document": "doc"})).json()
    assert {each["author"] for each in activity["sessions"]} == {"ann", "bob"}


async def test_exports_open_again(http: httpx.AsyncClient) -> None:
    """An update of a moment makes the document that it was; a restore makes it the present."""
    url = f"{HISTORY}/content"
    params = {"document": "doc", "at": "s1", "format": "update"}
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update((await http.get(url, params=params)).content)
    assert str(doc.get("text", type=pycrdt.Text)) == "plain"
    body = {"document": "doc", "at": "s1"}
    done = (await http.post(f"{HISTORY}/restore", json=body)).json()
    assert (done["changed"], done["version_before"]["sequence"]) == (True, 5)
    present = (await http.get(url, params={"document": "doc", "format": "json"})).json()["roots"]
    assert present["text"]["value"] == "plain"
    assert present["array"]["value"] == ["a", "nested", None]
    assert present["map"]["value"] == {"changed": 1, "gone": 1, "inner": [1]}


async def test_a_damaged_history_harms_nobody(hub: Hub, http: httpx.AsyncClient) -> None:
    """What is stored is not what was written: a problem, and the document is served and edited."""
    assert hub.history is not None
    side: Any = hub.history.kept
    await side._side.call(
        lambda database: database.execute("UPDATE parts SET data = zeroblob(length(data))")
    )
    for what in ("content", "blame", "diff", "activity"):
        answer = await http.get(f"{HISTORY}/{what}", params={"document": "doc", "from": "s1"})
        assert (answer.status_code, answer.json()["code"]) == (500, "history-damaged")
    body = {"document": "doc", "at": "s1"}
    answer = await http.post(f"{HISTORY}/restore", json=body)
    assert (answer.status_code, answer.json()["code"]) == (500, "history-damaged")
    assert (await http.get("/api/v1/documents/doc", params={"format": "json"})).status_code == 200
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc["more"] = pycrdt.Text("x")
    assert await hub.edit("doc", doc.get_update(), ANN) == 6
