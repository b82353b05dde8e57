"""Documents over HTTP: the list, the representations, conditional requests, and every error."""

import base64
from datetime import datetime
from typing import Any

import httpx
import pycrdt
import pytest

from crdtsync.content import written
from crdtsync.errors import StoreError
from crdtsync.gate import Principal
from crdtsync.history.worker import Workers
from crdtsync.hub import Hub
from crdtsync.server.representations import PIECE_BYTES, in_pieces

from .conftest import is_problem, sample

pytestmark = pytest.mark.anyio

DOCUMENTS = "/api/v1/documents"


async def put(hub: Hub, name: str, doc: pycrdt.Doc[object] | None = None) -> None:
    """Store a document."""
    await hub.edit(name, (doc or sample()).get_update(), Principal())


async def test_an_empty_list(http: httpx.AsyncClient) -> None:
    """A store without documents lists none."""
    response = await http.get(DOCUMENTS)
    assert response.json() == {"documents": [], "next": None}


async def test_the_list_is_paged(hub: Hub, http: httpx.AsyncClient) -> None:
    """Following ``next`` visits every document once, in order, and ends."""
    names = [f"n/{number}" for number in range(5)] + ["other", "ü ?&#%2F"]
    for name in reversed(names):
        await put(hub, name)
    found: list[str] = []
    url: str | None = f"{DOCUMENTS}?limit=3"
    pages = 0
    while url is not None:
        response = await http.get(url)
        body = response.json()
        found += [entry["name"] for entry in body["documents"]]
        url = body["next"]
        assert ("link" in response.headers) == (url is not None)
        pages += 1
    assert found == sorted(names)
    assert pages == 3


async def test_a_full_last_page_has_no_next(hub: Hub, http: httpx.AsyncClient) -> None:
    """A page that ends with the last document leads nowhere, even where it is full."""
    await put(hub, "a")
    await put(hub, "b")
    assert (await http.get(f"{DOCUMENTS}?limit=2")).json()["next"] is None


async def test_the_list_by_prefix(hub: Hub, http: httpx.AsyncClient) -> None:
    """``prefix`` is kept from page to page."""
    for name in ("a/1", "a/2", "b/1"):
        await put(hub, name)
    body = (await http.get(DOCUMENTS, params={"prefix": "a/", "limit": 1})).json()
    assert [entry["name"] for entry in body["documents"]] == ["a/1"]
    body = (await http.get(body["next"])).json()
    assert [entry["name"] for entry in body["documents"]] == ["a/2"]
    assert body["next"] is None


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "1.5", "²", "9" * 5000])
async def test_a_bad_limit(http: httpx.AsyncClient, limit: str) -> None:
    """A limit that is no number of the range is refused, not guessed."""
    is_problem(await http.get(DOCUMENTS, params={"limit": limit}), 400, "invalid-parameter")


@pytest.mark.parametrize("name", ["a", "a/b", "a b", "ü", "a%2Fb", "?", "#", "/x", "x/", "\n", "+"])
async def test_every_name_can_be_read(hub: Hub, http: httpx.AsyncClient, name: str) -> None:
    """A listed document's URL leads to it, whatever its name."""
    await put(hub, name)
    entry = (await http.get(DOCUMENTS)).json()["documents"][0]
    assert entry["name"] == name
    response = await http.get(entry["url"])
    assert response.status_code == 200
    assert response.json()["name"] == name


async def test_slashes_may_be_encoded(hub: Hub, http: httpx.AsyncClient) -> None:
    """``a%2Fb`` and ``a/b`` in a URL are the same document."""
    await put(hub, "a/b")
    assert (await http.get(f"{DOCUMENTS}/a%2Fb")).json()["name"] == "a/b"


async def test_metadata(hub: Hub, http: httpx.AsyncClient) -> None:
    """Metadata say how much there is, since when, and what clients have of it."""
    doc = sample()
    await put(hub, "a", doc)
    body = (await http.get(f"{DOCUMENTS}/a")).json()
    assert body["sequence"] == 1
    assert body["bytes"] == len(doc.get_update())
    assert body["connections"] == 0
    assert body["damage"] is None
    assert base64.b64decode(body["state_vector"]) == doc.get_state()
    for key in ("created", "updated"):
        assert body[key].endswith("Z")
        assert datetime.fromisoformat(body[key]).year >= 2023


async def test_json(hub: Hub, http: httpx.AsyncClient) -> None:
    """``format=json`` is every root, or the one that is named."""
    await put(hub, "a")
    response = await http.get(f"{DOCUMENTS}/a?format=json")
    assert response.headers["content-type"] == "application/json"
    roots = {"text": "Hello, wörld", "map": {"a": 1}, "array": ["x", True, None]}
    assert response.json() == roots
    response = await http.get(f"{DOCUMENTS}/a?format=json&root=map")
    assert response.json() == {"map": {"a": 1}}


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("?format=text", {}),
        ("?format=text&root=text", {}),
        ("?root=text", {"Accept": "text/plain"}),
        ("", {"Accept": "application/json;q=0.5, text/*"}),
        ("?format=text", {"Accept": "image/png"}),
    ],
)
async def test_text(hub: Hub, http: httpx.AsyncClient, query: str, headers: dict[str, str]) -> None:
    """The text is had by ``format`` or ``Accept``; with one text, no root need be named."""
    await put(hub, "a")
    response = await http.get(f"{DOCUMENTS}/a{query}", headers=headers)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "Hello, wörld"


@pytest.mark.parametrize(
    ("query", "accept"),
    [("?format=update", "*/*"), ("", "application/octet-stream"), ("", "application/octet-*, a/b")],
)
async def test_update(hub: Hub, http: httpx.AsyncClient, query: str, accept: str) -> None:
    """The update makes the same document elsewhere."""
    if accept.startswith("application/octet-*"):
        accept = "application/octet-stream;q=x"
    await put(hub, "a")
    response = await http.get(f"{DOCUMENTS}/a{query}", headers={"Accept": accept})
    assert response.headers["content-type"] == "application/octet-stream"
    doc: pycrdt.Doc[object] = pycrdt.Doc()
    doc.apply_update(response.content)
    assert str(doc.get("text", type=pycrdt.Text)) == "Hello, wörld"


@pytest.mark.parametrize("accept", [None, "*/*", "application/*", "application/json", "a, */*;q=0"])
async def test_metadata_is_the_default(
    hub: Hub, http: httpx.AsyncClient, accept: str | None
) -> None:
    """Who asks for nothing special gets the metadata; who refuses everything gets 406."""
    await put(hub, "a")
    headers = {} if accept is None else {"Accept": accept}
    response = await http.get(f"{DOCUMENTS}/a", headers=headers)
    if accept == "a, */*;q=0":
        is_problem(response, 406, "not-acceptable")
    else:
        assert "state_vector" in response.json()


@pytest.mark.parametrize("shape", ["metadata", "json", "text", "update"])
async def test_not_modified(hub: Hub, http: httpx.AsyncClient, shape: str) -> None:
    """A representation has its own tag; it holds until the document changes, by a deletion too."""
    doc = sample()
    await put(hub, "a", doc)
    url = f"{DOCUMENTS}/a?format={shape}"
    tag = (await http.get(url)).headers["etag"]
    for condition in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        response = await http.get(url, headers={"If-None-Match": condition})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == tag
    vector = doc.get_state()
    del doc.get("text", type=pycrdt.Text)[0:1]
    assert doc.get_state() == vector
    await put(hub, "a", doc)
    response = await http.get(url, headers={"If-None-Match": tag})
    assert response.status_code == 200
    assert response.headers["etag"] != tag


async def test_representations_have_different_tags(hub: Hub, http: httpx.AsyncClient) -> None:
    """No two representations of one moment share a tag."""
    await put(hub, "a")
    queries = ["", "?format=json", "?format=json&root=map", "?format=text", "?format=update"]
    tags = {(await http.get(f"{DOCUMENTS}/a{query}")).headers["etag"] for query in queries}
    assert len(tags) == len(queries)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/none", 404, "unknown-document"),
        ("/", 400, "invalid-document-name"),
        ("/%FF", 400, "invalid-document-name"),
        ("/%00", 400, "invalid-document-name"),
        ("/" + "x" * 513, 400, "invalid-document-name"),
        ("/a?format=yaml", 400, "invalid-parameter"),
        ("/a?root=text", 400, "invalid-parameter"),
        ("/a?format=update&root=text", 400, "invalid-parameter"),
        ("/a?format=json&root=none", 404, "unknown-root"),
        ("/a?format=text&root=none", 404, "unknown-root"),
        ("/a?format=text&root=map", 406, "not-acceptable"),
    ],
)
async def test_errors(hub: Hub, http: httpx.AsyncClient, path: str, status: int, code: str) -> None:
    """What can't be had is a problem document that says why."""
    await put(hub, "a")
    is_problem(await http.get(DOCUMENTS + path), status, code)


async def test_several_texts(hub: Hub, http: httpx.AsyncClient) -> None:
    """Where a document has several texts, one has to be named."""
    doc = sample()
    doc["second"] = pycrdt.Text("two")
    await put(hub, "a", doc)
    is_problem(await http.get(f"{DOCUMENTS}/a?format=text"), 406, "not-acceptable")
    assert (await http.get(f"{DOCUMENTS}/a?format=text&root=second")).text == "two"


async def test_reading_makes_no_document(hub: Hub, http: httpx.AsyncClient) -> None:
    """Asking for an unknown document neither stores nor opens it."""
    await http.get(f"{DOCUMENTS}/none")
    assert not hub.rooms
    assert await hub.store.documents() == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [DOCUMENTS, f"{DOCUMENTS}/a", "/health/live", "/metrics", "/"])
async def test_other_methods(http: httpx.AsyncClient, method: str, path: str) -> None:
    """Every route says which methods it has; one document can be written, all else only read."""
    response = await http.request(method, path)
    allowed = {"GET", "HEAD"}
    if path == f"{DOCUMENTS}/a":
        allowed |= {"PUT", "PATCH", "DELETE"}
    if method not in allowed:
        is_problem(response, 405, "method-not-allowed")
        assert set(response.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/none", "/api", "/api/v1", "/health", "/healthz", "/api/v2/x"])
async def test_unknown_paths(http: httpx.AsyncClient, path: str) -> None:
    """An unknown path is a problem document as well."""
    is_problem(await http.get(path), 404, "not-found")


async def test_head(hub: Hub, http: httpx.AsyncClient) -> None:
    """HEAD is GET without the body."""
    await put(hub, "a")
    response = await http.head(f"{DOCUMENTS}/a?format=update")
    assert response.status_code == 200
    assert response.headers["etag"]


async def test_a_failing_store(
    hub: Hub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store error is a 503 that keeps the operator's details to the log."""

    async def fail(**_: object) -> None:
        raise StoreError("disk /dev/secret is gone", hint="Mount it.")

    monkeypatch.setattr(hub.store, "documents", fail)
    response = await http.get(DOCUMENTS)
    is_problem(response, 503, "store-error")
    assert "secret" not in response.text
    assert response.headers["retry-after"]


async def test_a_bug(hub: Hub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is a 500 without any of its details."""

    async def fail(**_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(hub.store, "documents", fail)
    response = await http.get(DOCUMENTS)
    is_problem(response, 500, "internal-error")
    assert "secret" not in response.text


async def test_while_draining(hub: Hub, http: httpx.AsyncClient) -> None:
    """A server that shuts down opens no more documents."""
    await put(hub, "a")
    await hub.drain()
    is_problem(await http.get(f"{DOCUMENTS}/a"), 503, "restarting")


async def test_a_large_document_is_written_elsewhere(hub: Hub, http: httpx.AsyncClient) -> None:
    """JSON and text of a large document are what they are of a small one, by another process."""
    doc = sample()
    doc.get("long", type=pycrdt.Text).insert(0, "wide \u00fc \U0001f600\n" * 4_000)
    await put(hub, "large", doc)
    await hub.edit("large", _appended(doc), Principal())
    async with hub.open("large") as room:
        meant = {name: each.value for name, each in room.export().items()}
    ran: list[object] = []
    run = Workers.run

    async def noting(self: Workers, function: Any, *args: Any) -> Any:
        ran.append(function)
        return await run(self, function, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workers, "run", noting)
        answer = await http.get(f"{DOCUMENTS}/large?format=json")
        assert answer.json() == meant
        assert answer.headers["content-length"] == str(len(answer.content))
        one = await http.get(f"{DOCUMENTS}/large?format=json&root=long")
        assert one.json() == {"long": meant["long"]}
        text = await http.get(f"{DOCUMENTS}/large?format=text&root=long")
        assert text.text == meant["long"]
        assert meant["long"].endswith("more")
        for shape in ("text", "json"):
            url = f"{DOCUMENTS}/large?format={shape}&root=none"
            is_problem(await http.get(url), 404, "unknown-root")
    assert ran == [written] * 5


def _appended(doc: "pycrdt.Doc[object]") -> bytes:
    before = doc.get_state()
    text = doc.get("long", type=pycrdt.Text)
    text += "more"
    return doc.get_update(before)


async def test_much_that_is_new_is_put_together_elsewhere(
    hub: Hub, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update of all with a large tail is made by another process; the room's stays as it is."""
    monkeypatch.setattr("crdtsync.state.INTEGRATE_HERE_BYTES", 1_000)
    doc: pycrdt.Doc[object] = pycrdt.Doc()
    doc.get("long", type=pycrdt.Text).insert(0, "x" * 3_000)
    async with hub.open("large") as room:
        await put(hub, "large", doc)
        await hub.edit("large", _appended(doc), Principal())
        tail = room.document.tail_updates
        answer = await http.get(f"{DOCUMENTS}/large?format=update")
        assert room.document.tail_updates == tail == 2
    read: pycrdt.Doc[object] = pycrdt.Doc()
    read.apply_update(answer.content)
    assert str(read.get("long", type=pycrdt.Text)) == "x" * 3_000 + "more"


async def test_a_large_answer_is_handed_on_piece_by_piece() -> None:
    """Of an answer that nobody takes only one piece waits."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    data = bytes(range(256)) * 1_000
    answer = in_pieces(data, "application/octet-stream", {"ETag": '"x"'})
    await answer({"type": "http"}, Any, send)  # type: ignore[arg-type]
    start, *pieces = sent
    assert dict(start["headers"])[b"content-length"] == b"256000"
    assert dict(start["headers"])[b"etag"] == b'"x"'
    assert b"".join(each["body"] for each in pieces) == data
    assert max(len(each["body"]) for each in pieces) == PIECE_BYTES
    assert [each["more_body"] for each in pieces] == [True] * 3 + [False]
