"""Bodies in time: how long one may take, how slowly it may come, and whose is not read at all."""

import json
from typing import Any

import anyio
import pytest
import trio.testing
from starlette.requests import Request

from crdtsync.auth import ConnectRequest
from crdtsync.authoring import service
from crdtsync.errors import EditRefused, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.roles import BUILT_IN, READ
from crdtsync.server.asgi import create_app
from crdtsync.server.bodies import LINGER_S, MAX_BODY_S, MIN_BYTES_PER_S, read_bytes
from crdtsync.server.problems import Problem
from crdtsync.server.request import PATIENCE
from crdtsync.store.memory import MemoryStore
from tests.unit.wire import one

REQUEST_TIMEOUT_S = 30.0
MOST = 1 << 30


def coming(steps: list[tuple[float, int]], most: int = MOST) -> tuple[bytes | int, float]:
    """Read a body of which so many bytes come after so many seconds each, in a time of its own;
    return it, or the problem's status, and the seconds it took."""

    async def read() -> tuple[bytes | int, float]:
        left = iter(steps)
        begun_s = anyio.current_time()

        async def receive() -> Any:
            for after_s, size in left:
                await anyio.sleep(after_s)
                return {"type": "http.request", "body": bytes(size), "more_body": True}
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {"type": "http", PATIENCE: REQUEST_TIMEOUT_S}
        read: bytes | int
        try:
            read = await read_bytes(Request(scope, receive), most)
        except Problem as problem:
            read = problem.status
        return read, anyio.current_time() - begun_s

    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(read, backend="trio", backend_options={"clock": clock})


def test_a_body_that_keeps_coming_is_waited_for() -> None:
    """At the slowest rate it may take all of the time that there is."""
    body, took_s = coming([(1.0, MIN_BYTES_PER_S)] * int(MAX_BODY_S))
    assert body == bytes(int(MAX_BODY_S) * MIN_BYTES_PER_S)
    assert took_s == MAX_BODY_S


def test_half_the_slowest_rate() -> None:
    """It lasts until it is behind by ``request_timeout_s``."""
    body, took_s = coming([(1.0, MIN_BYTES_PER_S // 2)] * 300)
    assert body == 408
    assert took_s == pytest.approx(2 * REQUEST_TIMEOUT_S, abs=1)


def test_a_pause() -> None:
    """However much has come, and however quickly: nobody waits longer for more."""
    assert coming([(0.0, 1 << 20), (REQUEST_TIMEOUT_S - 1, 1 << 20)])[0] == bytes(2 << 20)
    assert coming([(0.0, 1 << 20), (REQUEST_TIMEOUT_S + 1, 1)]) == (408, REQUEST_TIMEOUT_S)


def test_the_longest_body() -> None:
    """A fast rate buys no more than ten minutes, and what was waited for at the end."""
    endless = [(1.0, 4 * MIN_BYTES_PER_S)] * 5000
    assert coming(endless) == (408, MAX_BODY_S + REQUEST_TIMEOUT_S)


def test_what_is_too_much_is_read_and_dropped() -> None:
    """To its end, so that the answer is seen; but for so many times what is allowed."""
    assert coming([(1.0, 500)] * 2, 1000) == (bytes(1000), 2.0)
    assert coming([(1.0, 500)] * 3, 1000) == (413, 3.0)
    assert coming([(1.0, 500)] * 8, 1000) == (413, 8.0)
    assert coming([(1.0, 500)] * 100, 1000) == (413, 9.0)
    body, took_s = coming([(1.0, 1001), (60.0, 1)], 1000)
    assert body == 413
    assert took_s == pytest.approx(1 + REQUEST_TIMEOUT_S, abs=1)


# Whose body is not read


class Keys:
    """Takes the name of a role as a token."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        role = BUILT_IN.get(request.token)
        if role is None:
            raise Unauthenticated("sign in first")
        return Principal(id="ann", role=role)


async def exchange(hub: Hub, method: str, role: str, *, pieces: int, ends: bool) -> list[Any]:
    """Send a request of so many pieces of a body; return what went on, in order."""
    went: list[Any] = []
    left = iter([True] * (pieces - 1) + [not ends])

    async def receive() -> Any:
        for more in left:
            went.append("read")
            return {"type": "http.request", "body": b"{", "more_body": more}
        return await anyio.sleep_forever()

    async def send(message: Any) -> None:
        went.append(message.get("status", message.get("body", b"")))
        if message["type"] == "http.response.body" and not message.get("more_body"):
            went.append("end")

    headers = {"Authorization": f"Bearer {role}", "Content-Type": "application/json"}
    scope = {
        **{"type": "http", "http_version": "1.1", "method": method, "scheme": "http"},
        **{"path": "/api/v1/documents/a", "query_string": b"", "root_path": ""},
        "headers": [(key.lower().encode(), value.encode()) for key, value in headers.items()],
    }
    app = create_app(hub, authenticator=Keys(), lifespan=False)
    await app(scope, receive, send)
    return went


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(("role", "status"), [("read", 403), ("nobody", 401)])
async def test_who_may_write_nothing_is_refused_before_the_body(
    hub: Hub, method: str, role: str, status: int
) -> None:
    """It is read only behind the answer, and dropped: it may be 64 MiB of nothing."""
    await hub.edit("a", one(1, 0, "old"))
    told, body, *went = await exchange(hub, method, role, pieces=3, ends=True)
    assert told == status
    assert json.loads(body)["status"] == status
    assert went == ["read"] * 3 + [b"", "end"]
    assert hub.stats.updates_refused["read-only"] == (role == "read")
    first, *_, told, body, end = await exchange(hub, method, "write", pieces=3, ends=True)
    assert (first, told, end) == ("read", 400, "end")
    assert json.loads(body)["code"] == "invalid-body"


def test_an_answer_ends_though_the_body_does_not() -> None:
    """Who goes on sending is waited for a little; then the connection may end."""

    async def play() -> tuple[list[Any], float]:
        async with Hub(MemoryStore()) as hub:
            begun_s = anyio.current_time()
            went = await exchange(hub, "PUT", "nobody", pieces=2, ends=False)
            return went, anyio.current_time() - begun_s

    clock = trio.testing.MockClock(autojump_threshold=0)
    went, took_s = anyio.run(play, backend="trio", backend_options={"clock": clock})
    assert went[0] == 401
    assert went[2:] == ["read", "read", b"", "end"]
    assert took_s == pytest.approx(LINGER_S, abs=0.1)


@pytest.mark.anyio
async def test_a_reader_s_edit_is_not_worked_out(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program is told at once, too, and its operations are for nobody to make."""
    worked: list[object] = []
    monkeypatch.setattr(service, "apply_operations", lambda *each: worked.append(each))
    await hub.documents.create("a", "x", root="text")
    insert = {"op": "insert", "path": ["text"], "text": "x"}
    with pytest.raises(EditRefused, match="read-only"):
        await hub.documents.edit("a", [insert], Principal(id="ann", role=READ))
    assert not worked
