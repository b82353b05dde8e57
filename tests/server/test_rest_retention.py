"""Pruning and erasing over HTTP: for admins, told to the audit log, and nothing on bad input."""

import json
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from crdtsync.audit import NO_AUDIT, Event, What
from crdtsync.auth import ConnectRequest
from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from crdtsync.history.model import HistoryDamaged
from crdtsync.history.retention import Retention
from crdtsync.hub import Hub
from crdtsync.roles import ADMIN, READ, WRITE
from crdtsync.server.asgi import create_app
from crdtsync.server.bodies import MAX_BODY_BYTES

from .conftest import asgi_client, is_problem, sample
from .histories import MadeUp, plant

pytestmark = pytest.mark.anyio

PRUNE = "/api/v1/history/prune"
ERASE = "/api/v1/history/erase"
DOC = {"document": "doc"}
DAY_S = 86_400


class Admins:
    """``root`` administers all, ``ann`` only ``doc``; others have a role, or none."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        match request.token:
            case "root":
                return Principal(id="root", role=ADMIN)
            case "ann":
                return Principal(id="ann", role=ADMIN if request.document == "doc" else READ)
            case "writer":
                return Principal(id="bob", role=WRITE)
            case "plain":
                return Principal(id="eve")
        raise Unauthenticated("sign in first")


@pytest.fixture
def history() -> MadeUp:
    """Three moments of ``doc``."""
    return MadeUp(doc=["one", "two", "three"])


@pytest.fixture
async def http(
    hub: Hub, history: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client who administers all."""
    plant(monkeypatch, history)
    await hub.edit("doc", sample().get_update(), Principal())
    async with asgi_client(create_app(hub, authenticator=Admins(), lifespan=False)) as client:
        client.headers["Authorization"] = "Bearer root"
        yield client


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What is written into the audit log of what is done."""
    found: list[Event] = []
    monkeypatch.setattr(NO_AUDIT, "record", found.append)
    return found


async def test_pruning(http: httpx.AsyncClient, history: MadeUp, events: list[Event]) -> None:
    """By the configured ages or by others; what only tells stands in no audit log."""
    answer = await http.post(PRUNE, json=DOC | {"dry_run": True})
    assert answer.json() == DOC | {
        "moments_before": 3,
        "moments": 1,
        "versions": 2,
        "bytes_before": 30,
        "bytes": 10,
    }
    assert history.calls == [("prune", "doc", None, True)]
    assert not events
    for ages, retention in (
        ("30d", Retention(everything_s=30 * DAY_S)),
        ("1d/2d", Retention(everything_s=DAY_S, hourly_s=2 * DAY_S)),
        ("1d/2d/3d", Retention(everything_s=DAY_S, hourly_s=2 * DAY_S, daily_s=3 * DAY_S)),
        ("forever", Retention(everything_s=math.inf)),
    ):
        assert (await http.post(PRUNE, json=DOC | {"retention": ages})).status_code == 200
        assert history.calls[-1] == ("prune", "doc", retention, False)
    assert {(each.what, each.document, each.principal) for each in events} == {
        (What.ADMIN, "doc", "root")
    }
    assert events[0].detail == {"action": "history-pruned", "moments": 2}


async def test_erasing_content(
    http: httpx.AsyncClient, history: MadeUp, events: list[Event]
) -> None:
    """All before a moment goes."""
    assert (await http.post(ERASE, json=DOC | {"before": "s2"})).json()["moments"] == 1
    assert history.calls == [("erase_before", "doc", "s2")]
    (event,) = events
    assert (event.what, event.document) == (What.ADMIN, "doc")
    assert event.detail == {"action": "history-erased", "moments": 2}


async def test_erasing_a_person(
    http: httpx.AsyncClient, history: MadeUp, events: list[Event]
) -> None:
    """It goes everywhere; the audit log doesn't say who it was."""
    assert (await http.post(ERASE, json={"author": "eve"})).json() == {"documents": 3}
    assert history.calls == [("erase_author", "eve")]
    (event,) = events
    assert event.detail == {"action": "author-erased", "documents": 3}


@pytest.mark.parametrize("token", ["root", "ann", "writer", "plain", ""])
async def test_who_may(http: httpx.AsyncClient, history: MadeUp, token: str) -> None:
    """Who administers the document; a person is erased by who administers all."""
    for url, body, may in (
        (PRUNE, DOC, {"root", "ann"}),
        (PRUNE, {"document": "nothing"}, {"root"}),
        (ERASE, DOC | {"before": "s2"}, {"root", "ann"}),
        (ERASE, {"author": "eve"}, {"root"}),
    ):
        history.calls.clear()
        answer = await http.post(url, json=body, headers={"Authorization": f"Bearer {token}"})
        if token in may:
            assert answer.status_code == (404 if "nothing" in body.values() else 200)
            continue
        assert not history.calls
        if token:
            is_problem(answer, 403, "forbidden")
        else:
            is_problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize(
    ("url", "body", "status", "code"),
    [
        (PRUNE, {}, 400, "invalid-parameter"),
        (PRUNE, [], 400, "invalid-body"),
        (PRUNE, {"document": "a\0"}, 400, "invalid-document-name"),
        (PRUNE, {"document": "nothing"}, 404, "unknown-document"),
        (PRUNE, DOC | {"retention": "x"}, 400, "invalid-parameter"),
        (PRUNE, DOC | {"retention": ""}, 400, "invalid-parameter"),
        (PRUNE, DOC | {"retention": "1d/2d/3d/4d"}, 400, "invalid-parameter"),
        (PRUNE, DOC | {"retention": 30}, 400, "invalid-parameter"),
        (PRUNE, DOC | {"dry_run": "yes"}, 400, "invalid-parameter"),
        (PRUNE, DOC | {"force": True}, 400, "invalid-parameter"),
        (PRUNE, DOC | {"retention": "x" * MAX_BODY_BYTES}, 413, "body-too-large"),
        (ERASE, {}, 400, "invalid-parameter"),
        (ERASE, DOC, 400, "invalid-parameter"),
        (ERASE, {"before": "s2"}, 400, "invalid-parameter"),
        (ERASE, {"author": ""}, 400, "invalid-parameter"),
        (ERASE, DOC | {"author": "eve"}, 400, "invalid-parameter"),
        (ERASE, {"author": "eve", "before": "s2"}, 400, "invalid-parameter"),
        (ERASE, DOC | {"before": "yesterday"}, 400, "invalid-parameter"),
        (ERASE, DOC | {"before": "s9"}, 404, "unknown-moment"),
        (ERASE, DOC | {"before": "s1"}, 410, "moment-pruned"),
        (ERASE, {"document": "nothing", "before": "s1"}, 404, "unknown-document"),
    ],
)
async def test_bad_input(
    http: httpx.AsyncClient, history: MadeUp, url: str, body: Any, status: int, code: str
) -> None:
    """What is wrong is told, and nothing goes."""
    history.first["doc"] = 2
    is_problem(await http.post(url, content=json.dumps(body).encode()), status, code)
    assert not history.calls


async def test_a_damaged_history(
    http: httpx.AsyncClient, history: MadeUp, events: list[Event]
) -> None:
    """Nothing goes of what can't be read, and nothing is said to have gone."""
    history.error = HistoryDamaged("x")
    for url, body in ((PRUNE, DOC), (ERASE, DOC | {"before": "s1"}), (ERASE, {"author": "eve"})):
        is_problem(await http.post(url, json=body), 500, "history-damaged")
    assert not events
