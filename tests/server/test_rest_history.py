"""History over HTTP: what its routes answer, to whom, and what they say of bad requests."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.history.model import (
    HistoryDamaged,
    HistoryError,
    HistoryOff,
    HistoryUnavailable,
    NotRestorable,
    UnknownRoot,
    WrongKind,
)
from crdtsync.hub import Hub
from crdtsync.roles import BUILT_IN, EVERYTHING, Role
from crdtsync.server.asgi import create_app
from crdtsync.server.bodies import MAX_BODY_BYTES

from .conftest import asgi_client, is_problem, sample
from .histories import MadeUp, plant

pytestmark = pytest.mark.anyio

HISTORY = "/api/v1/history"
READS = ("content", "diff", "blame", "activity")
DOC = {"document": "doc"}


class Roles:
    """The token names a role; ``none`` may do nothing, ``plain`` and ``follower`` have no role."""

    def __init__(self) -> None:
        self.roles = dict(BUILT_IN) | {
            "blind": Role(name="blind", write=EVERYTHING, history=False, restore=True),
            "keeper": Role(name="keeper", restore=True),
        }

    async def authenticate(self, request: ConnectRequest) -> Principal:
        role = self.roles.get(request.token)
        if role is not None:
            return Principal(id="ann", name="Ann", role=role, read_only=role.reads_only)
        match request.token:
            case "plain":
                return Principal(id="ann")
            case "follower":
                return Principal(id="ann", read_only=True)
            case "none":
                raise Forbidden("you have no access to this document")
        raise Unauthenticated("sign in first")


@pytest.fixture
def history() -> MadeUp:
    """What the hub remembers of three moments of ``doc``, and of one of ``other``."""
    return MadeUp(doc=["one", "two", "three"], other=["else"])


@pytest.fixture
async def http(
    hub: Hub, history: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client who may write."""
    plant(monkeypatch, history)
    for name in ("doc", "other", "unkept"):
        await hub.edit(name, sample().get_update(), Principal())
    async with asgi_client(create_app(hub, authenticator=Roles(), lifespan=False)) as client:
        client.headers["Authorization"] = "Bearer write"
        yield client


async def get(http: httpx.AsyncClient, what: str, **params: str) -> httpx.Response:
    return await http.get(f"{HISTORY}/{what}", params=DOC | params)


@pytest.mark.parametrize(
    ("moment", "sequence"),
    [
        ("now", 3),
        ("s1", 1),
        ("s2", 2),
        ("v1", 2),
        ("2026-01-01T02:30:00Z", 2),
        ("2026-01-01T04:30:00.5+02:00", 2),
    ],
)
async def test_content_of_a_moment(
    http: httpx.AsyncClient, history: MadeUp, moment: str, sequence: int
) -> None:
    """A moment is named as the present, a version, a sequence or a time."""
    history.add("doc", 2)
    answer = await get(http, "content", at=moment)
    text = history.texts["doc"][sequence - 1]
    assert answer.json() == {
        "moment": {"sequence": sequence, "time": f"2026-01-01T0{sequence}:00:00.000Z"},
        "roots": {"text": {"kind": "text", "value": text}},
    }
    assert (await get(http, "content", at=moment, format="text", root="text")).text == text


async def test_forms_of_content(http: httpx.AsyncClient, history: MadeUp) -> None:
    """Each form has its media type; bytes come as a file that is named after the moment."""
    delta = await get(http, "content", at="s1", format="delta", root="text")
    assert delta.json()["roots"]["text"]["delta"] == [{"insert": "one"}]
    for form in ("text", "xml"):
        answer = await get(http, "content", at="s1", format=form, root="text")
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["x-content-type-options"] == "nosniff"
    for form in ("update", "snapshot"):
        answer = await get(http, "content", at="s1", format=form)
        assert answer.headers["content-type"] == "application/octet-stream"
        shown = f"attachment; filename=\"doc-s1.{form}\"; filename*=UTF-8''doc-s1.{form}"
        assert answer.headers["content-disposition"] == shown
        assert answer.content == b"one"
    assert [call[3] for call in history.calls] == ["delta", "text", "xml", "update", "snapshot"]


@pytest.mark.parametrize(
    ("name", "plain", "whole"),
    [
        ('a/b "c"\r\n', "b_c_-s1.update", 'b "c"\r\n-s1.update'),
        ("ü/日本", "_-s1.update", "日本-s1.update"),
        ("a/", "document-s1.update", "document-s1.update"),
    ],
)
async def test_file_names(
    hub: Hub, http: httpx.AsyncClient, history: MadeUp, name: str, plain: str, whole: str
) -> None:
    """A document's name breaks no header, whatever is in it."""
    await hub.edit(name, sample().get_update(), Principal())
    history.texts[name] = ["x"]
    answer = await http.get(
        f"{HISTORY}/content", params={"document": name, "at": "s1", "format": "update"}
    )
    told = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(whole, safe='')}"
    assert answer.headers["content-disposition"] == told


async def test_diff_blame_and_activity(http: httpx.AsyncClient) -> None:
    """They are what the history says."""
    diff = (await get(http, "diff", **{"from": "s1", "to": "s2"})).json()
    assert (diff["from"]["sequence"], diff["to"]["sequence"]) == (1, 2)
    assert diff["roots"]["text"]["ops"][0] == {
        "delete": 3,
        "text": "one",
        "by": {"author": "ada", "name": "Ada", "time": "2026-01-01T02:00:00.000Z"},
    }
    assert (await get(http, "diff", **{"from": "s1"})).json()["to"]["sequence"] == 3
    blame = (await get(http, "blame")).json()
    assert blame["roots"]["text"]["runs"][0]["text"] == "three"
    activity = (await get(http, "activity", limit="2")).json()
    assert [each["first_sequence"] for each in activity["sessions"]] == [3, 2]
    rest = (await get(http, "activity", before=activity["next"])).json()
    assert [each["first_sequence"] for each in rest["sessions"]] == [1]
    assert rest["next"] is None


@pytest.mark.parametrize("what", READS)
async def test_who_has_it_already(http: httpx.AsyncClient, history: MadeUp, what: str) -> None:
    """What one has already is a 304; where it changed, it is had anew. No shared cache keeps it."""
    params = {"from": "s1", "at": "now"}
    first = await get(http, what, **params)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for sent in (tag, f'"x", W/{tag}', "*"):
        again = await http.get(
            f"{HISTORY}/{what}", params=DOC | params, headers={"If-None-Match": sent}
        )
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    history.texts["doc"].append("four")
    changed = await http.get(
        f"{HISTORY}/{what}", params=DOC | params, headers={"If-None-Match": tag}
    )
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


async def test_restore(http: httpx.AsyncClient, history: MadeUp) -> None:
    """A restore tells the version that it made of the moment before, and who did it from where."""
    body = DOC | {"at": "s1", "root": "text", "note": "why"}
    answer = await http.post(f"{HISTORY}/restore", json=body)
    done = answer.json()
    assert (done["document"], done["sequence"], done["changed"]) == ("doc", 4, True)
    assert (done["version_before"]["sequence"], done["version_before"]["kind"]) == (3, "restore")
    assert history.calls[-1] == ("restore", "doc", "s1", "text", "why", "ann", "127.0.0.1")
    again = (await http.post(f"{HISTORY}/restore", json=body)).json()
    assert (again["changed"], again["version_before"]) == (False, None)


async def test_undo(http: httpx.AsyncClient, history: MadeUp) -> None:
    """What one author did is taken back, from a moment to another; anonymous is an author, too."""
    for author in ("ada", ""):
        body = DOC | {"author": author, "since": "s1", "until": "s2"}
        assert (await http.post(f"{HISTORY}/undo", json=body)).status_code == 200
        undone = next(call for call in reversed(history.calls) if call[0] == "undo")
        assert undone == ("undo", "doc", author, "s1", "s2", "ann", "127.0.0.1")


# Who may

MAY_READ = {"read", "comment", "write", "admin", "keeper", "plain", "follower"}
MAY_RESTORE = {"write", "admin", "plain"}
TOKENS = sorted(MAY_READ | {"blind", "none", ""})


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("token", TOKENS)
async def test_who_may_read(http: httpx.AsyncClient, token: str) -> None:
    """A role with ``history`` reads, and who has no role; the same whether there is a document."""
    for what in READS:
        for document in ("doc", "nothing"):
            answer = await http.get(
                f"{HISTORY}/{what}",
                params={"document": document, "from": "s1"},
                headers=as_(token),
            )
            if token in MAY_READ:
                assert answer.status_code == (200 if document == "doc" else 404)
            elif token:
                is_problem(answer, 403, "forbidden")
                assert answer.json()["detail"] == "this takes a role that may read the history"
            else:
                is_problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize("token", TOKENS)
async def test_who_may_restore(http: httpx.AsyncClient, history: MadeUp, token: str) -> None:
    """A role with ``restore`` does, that may write and read the history; so does who has none."""
    bodies = {"restore": {"at": "s1"}, "undo": {"author": "ada", "since": "s1"}}
    for what, body in bodies.items():
        for document in ("doc", "nothing"):
            answer = await http.post(
                f"{HISTORY}/{what}", json=body | {"document": document}, headers=as_(token)
            )
            if token in MAY_RESTORE:
                assert answer.status_code == (200 if document == "doc" else 404)
            elif token:
                is_problem(answer, 403, "forbidden")
                assert answer.json()["detail"] == "this takes a role that may restore"
            else:
                is_problem(answer, 401, "unauthenticated")
    assert bool(history.calls) == (token in MAY_RESTORE)


async def test_strangers_are_sent_away_before_their_body_is_read(http: httpx.AsyncClient) -> None:
    """Who comes without a token is told so, whatever it sends; nobody's body is unbounded."""
    huge = b'{"document": "' + b"x" * MAX_BODY_BYTES + b'"}'
    for what in ("restore", "undo"):
        for data in (huge, b"{", b""):
            answer = await http.post(f"{HISTORY}/{what}", content=data, headers=as_(""))
            is_problem(answer, 401, "unauthenticated")
        is_problem(await http.post(f"{HISTORY}/{what}", content=huge), 413, "body-too-large")
        is_problem(await http.post(f"{HISTORY}/{what}", content=b"{"), 400, "invalid-body")


# Bad input


@pytest.mark.parametrize("what", READS)
@pytest.mark.parametrize(
    ("params", "status", "code"),
    [
        ({"document": ""}, 400, "invalid-document-name"),
        ({"document": "a\0b"}, 400, "invalid-document-name"),
        ({"document": "x" * 1000}, 400, "invalid-document-name"),
        ({"document": "nothing"}, 404, "unknown-document"),
        ({"document": "unkept"}, 404, "history-off"),
    ],
)
async def test_wrong_documents(
    http: httpx.AsyncClient, what: str, params: dict[str, str], status: int, code: str
) -> None:
    """A name that is none, a document that isn't there, and one without history."""
    is_problem(await get(http, what, **{"from": "now"} | params), status, code)


MOMENTS = [
    ("s99", 404, "unknown-moment"),
    ("s0", 404, "unknown-moment"),
    ("v99", 404, "unknown-moment"),
    ("v2", 404, "unknown-moment"),  # another document's
    ("2000-01-01T00:00:00Z", 404, "unknown-moment"),
    ("s1", 410, "moment-pruned"),
    ("v1", 410, "moment-pruned"),
    ("2026-01-01T01:30:00Z", 410, "moment-pruned"),
    ("", 400, "invalid-parameter"),
    ("v", 400, "invalid-parameter"),
    ("v0", 400, "invalid-parameter"),
    ("s-1", 400, "invalid-parameter"),
    ("s1 ", 400, "invalid-parameter"),
    ("s" + "9" * 30, 400, "invalid-parameter"),
    ("s\u0661", 400, "invalid-parameter"),
    ("NOW", 400, "invalid-parameter"),
    ("yesterday", 400, "invalid-parameter"),
    ("2026-01-01", 400, "invalid-parameter"),
    ("2026-01-01T00:00:00", 400, "invalid-parameter"),
    ("2026-13-01T00:00:00Z", 400, "invalid-parameter"),
    ("0001-01-01T00:00:00+14:00", 400, "invalid-parameter"),
]


@pytest.mark.parametrize(("moment", "status", "code"), MOMENTS)
async def test_wrong_moments(
    http: httpx.AsyncClient, history: MadeUp, moment: str, status: int, code: str
) -> None:
    """Moments that are none, never were, are another document's, or were let go: everywhere."""
    history.add("doc", 1)
    history.add("other", 1)
    history.first["doc"] = 2
    for what, name in (
        ("content", "at"),
        ("blame", "at"),
        ("activity", "before"),
        ("diff", "from"),
        ("diff", "to"),
    ):
        params = {"from": "s2"} | {name: moment}
        is_problem(await get(http, what, **params), status, code)
    for what, name in (("restore", "at"), ("undo", "since"), ("undo", "until")):
        if name == "until" and status != 400:
            continue  # which ends there are is the history's business
        body: dict[str, Any] = {"restore": {}, "undo": {"author": "ada", "since": "s2"}}[what]
        answer = await http.post(f"{HISTORY}/{what}", json=DOC | body | {name: moment})
        is_problem(answer, status, code)
    assert history.texts["doc"] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("what", "params"),
    [
        ("content", {"format": "html"}),
        ("content", {"format": "update", "root": "text"}),
        ("content", {"format": "snapshot", "root": ""}),
        ("diff", {}),
        ("activity", {"limit": "0"}),
        ("activity", {"limit": "1001"}),
        ("activity", {"limit": "x"}),
    ],
)
async def test_wrong_parameters(http: httpx.AsyncClient, what: str, params: dict[str, str]) -> None:
    """Forms that there are not, what doesn't go together, and what is missing."""
    is_problem(await get(http, what, **params), 400, "invalid-parameter")


@pytest.mark.parametrize("what", READS)
async def test_no_document_is_named(http: httpx.AsyncClient, what: str) -> None:
    """Each reading is of one document."""
    is_problem(await http.get(f"{HISTORY}/{what}"), 400, "invalid-parameter")
    is_problem(await http.get(f"{HISTORY}/{what}", headers=as_("")), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("what", "body", "code"),
    [
        ("restore", {"at": "s1"}, "invalid-parameter"),
        ("restore", {"document": 7, "at": "s1"}, "invalid-parameter"),
        ("restore", {"document": "a\0b", "at": "s1"}, "invalid-document-name"),
        ("restore", {"document": "\ud800", "at": "s1"}, "invalid-parameter"),
        ("restore", DOC, "invalid-parameter"),
        ("restore", DOC | {"at": 1}, "invalid-parameter"),
        ("restore", DOC | {"at": "s1", "root": 1}, "invalid-parameter"),
        ("restore", DOC | {"at": "s1", "note": []}, "invalid-parameter"),
        ("restore", DOC | {"at": "s1", "force": True}, "invalid-parameter"),
        ("undo", DOC | {"since": "s1"}, "invalid-parameter"),
        ("undo", DOC | {"since": "s1", "author": None}, "invalid-parameter"),
        ("undo", DOC | {"author": "ada"}, "invalid-parameter"),
        ("undo", DOC | {"author": "ada", "since": "s1", "x": 1}, "invalid-parameter"),
    ],
)
async def test_wrong_bodies(
    http: httpx.AsyncClient, history: MadeUp, what: str, body: Any, code: str
) -> None:
    """Bodies that lack something, or have too much: nothing is done."""
    content = json.dumps(body).encode()
    is_problem(await http.post(f"{HISTORY}/{what}", content=content), 400, code)
    assert history.calls == []


@pytest.mark.parametrize(
    ("error", "status", "code", "detail"),
    [
        (HistoryOff("secret"), 404, "history-off", "No history is kept of this document."),
        (NotRestorable("the root is gone"), 409, "not-restorable", "The root is gone."),
        (HistoryDamaged("/secret/path"), 500, "history-damaged", "The stored history is damaged."),
        (HistoryUnavailable("secret pid"), 503, "history-unavailable", None),
        (WrongKind("its kind differs."), 422, "wrong-kind", "Its kind differs."),
        (UnknownRoot("there is no root 'x'"), 404, "unknown-root", "There is no root 'x'."),
        (HistoryError("secret"), 503, "history-unavailable", None),
    ],
)
async def test_what_a_history_can_not_do(
    http: httpx.AsyncClient,
    history: MadeUp,
    error: HistoryError,
    status: int,
    code: str,
    detail: str | None,
) -> None:
    """Each way to fail has its own problem, and the document is read as ever."""
    history.error = error
    answers = [await get(http, what, **{"from": "s1"}) for what in READS]
    answers.append(await http.post(f"{HISTORY}/restore", json=DOC | {"at": "s1"}))
    body = DOC | {"author": "ada", "since": "s1"}
    answers.append(await http.post(f"{HISTORY}/undo", json=body))
    for answer in answers:
        is_problem(answer, status, code)
        assert "secret" not in answer.text
        assert detail in (None, answer.json()["detail"])
        assert ("retry-after" in answer.headers) == (status == 503)
    whole = await http.get("/api/v1/documents/doc", params={"format": "text"})
    assert whole.text == "Hello, wörld"


async def test_a_hub_without_history(hub: Hub) -> None:
    """Where no history is kept at all, that is what is said."""
    await hub.edit("doc", sample().get_update(), Principal())
    async with asgi_client(create_app(hub, lifespan=False)) as client:
        for what in READS:
            is_problem(await get(client, what, **{"from": "s1"}), 404, "history-off")


async def test_other_methods(http: httpx.AsyncClient) -> None:
    """What answers GET answers HEAD; nothing else is answered."""
    for what in READS:
        url, params = f"{HISTORY}/{what}", DOC | {"from": "s1"}
        head = await http.head(url, params=params)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["etag"] == (await http.get(url, params=params)).headers["etag"]
        is_problem(await http.post(url, params=params), 405, "method-not-allowed")
    for what in ("restore", "undo"):
        is_problem(await http.get(f"{HISTORY}/{what}"), 405, "method-not-allowed")
