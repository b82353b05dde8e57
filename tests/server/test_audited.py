"""What administrators do over HTTP, in the audit log: who did what, from where."""

from typing import Any

import anyio
import pytest

from crdtsync.access.service import Access
from crdtsync.audit import Event, What
from crdtsync.auth import ConnectRequest
from crdtsync.errors import Unavailable
from crdtsync.forwarded import Proxies
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.refused.base import RefusedUpdate, Run
from crdtsync.refused.keeping import RefusedUpdates
from crdtsync.roles import ADMIN, READ, WRITE
from crdtsync.server import rest_quarantine
from crdtsync.server.asgi import create_app
from crdtsync.server.doors import Doors
from crdtsync.store.memory import MemoryStore
from tests.native.kit import wait_until
from tests.server.conftest import asgi_client
from tests.unit.engine import join

from .harness import SERVERS, Client, running

pytestmark = pytest.mark.anyio


class Everybody:
    """Takes everybody with a token for an administrator."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        return Principal(id=request.token, role=ADMIN)


class Log:
    """An audit log that keeps its events."""

    lost = 0

    def __init__(self) -> None:
        self.events: list[Event] = []

    def open(self) -> None: ...
    def close(self) -> None: ...

    def record(self, event: Event) -> None:
        self.events.append(event)


async def refuse(hub: Hub, update: bytes) -> None:
    refused = RefusedUpdate(
        document="doc",
        author="ann",
        name="",
        kind="gate",
        reason="no",
        time_ms=1,
        update=update,
        run=Run(),
        step_2=False,
    )
    hub.quarantine.keep(refused)
    done = anyio.Event()
    hub.quarantine.when_kept(done.set)
    await done.wait()


async def test_what_admins_do_over_http() -> None:
    """Each change is one line, with who did it, the client's own address and the request's id."""
    audit = Log()
    async with (
        Hub(MemoryStore(), quarantine=RefusedUpdates(None), audit=audit) as hub,
        Access(hub) as access,
    ):
        proxies = Doors(proxies=Proxies(("127.0.0.1",)))
        authenticator = access.wrap(Everybody())
        app = create_app(
            hub, authenticator=authenticator, access=access, doors=proxies, lifespan=False
        )
        async with asgi_client(app) as http:
            http.headers.update(
                {
                    "Authorization": "Bearer root",
                    "X-Forwarded-For": "6.6.6.6, 192.0.2.7",
                    "X-Request-Id": "abc-1",
                }
            )

            async def does(method: str, path: str, body: Any = None) -> Any:
                answer = await http.request(method, f"/api/v1/{path}", json=body)
                assert answer.is_success, answer.text
                return answer.json() if answer.content else None

            share = await does("POST", "shares", {"document": "doc", "role": "read"})
            await does("DELETE", f"shares/{share['id']}")
            await does("POST", "revocations", {"principal": "eve"})
            await does("DELETE", "revocations?principal=eve")
            for letter in "abc":
                await refuse(hub, b"\x01\x01" + letter.encode() + b"\0\x04\x01\x01t\x01x\0")
            await does("POST", "quarantine/1/apply")
            await does("DELETE", "quarantine/2")
            await does("DELETE", "quarantine?document=doc")
            await does("DELETE", "documents/doc")
            assert (await http.delete("/api/v1/documents/doc")).status_code == 404
    for event in audit.events:
        assert (event.principal, event.caller.address) == ("root", "192.0.2.7")
        assert event.caller.request_id == "abc-1"
    said = [(e.what.value, e.document, *e.detail.values()) for e in audit.events]
    assert said == [
        ("admin", "doc", "share-created", share["id"], "read"),
        ("admin", "doc", "share-revoked", share["id"]),
        ("admin", "", "principal-revoked", "eve", 0),
        ("admin", "", "revocation-undone", "eve"),
        ("admin", "doc", "refused-updates-applied", 1),
        ("admin", "doc", "refused-updates-dropped", 1),
        ("admin", "doc", "refused-updates-dropped", 1),
        ("deleted", "doc"),
    ]


@pytest.mark.parametrize("page", [1, 2, 10])
async def test_what_was_applied_before_the_store_failed(
    page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has entered a document by an admin's hand is in the log, whatever comes after it."""
    monkeypatch.setattr(rest_quarantine, "MAX_PAGE", page)
    audit = Log()
    async with Hub(MemoryStore(), quarantine=RefusedUpdates(None), audit=audit) as hub:
        app = create_app(hub, authenticator=Everybody(), lifespan=False)
        for letter in "abcd":
            await refuse(hub, b"\x01\x01" + letter.encode() + b"\0\x04\x01\x01t\x01x\0")
        edit = hub.edit

        async def failing(document: str, update: bytes, principal: Principal) -> int:
            if b"d" in update:
                raise Unavailable("the store can't take edits now")
            return await edit(document, update, principal)

        monkeypatch.setattr(hub, "edit", failing)
        async with asgi_client(app) as http:
            http.headers["Authorization"] = "Bearer root"
            answer = await http.post("/api/v1/quarantine/apply?document=doc")
            assert answer.status_code == 503
    (event,) = audit.events
    assert event.detail == {"action": "refused-updates-applied", "entries": 3}


async def test_a_role_that_changes() -> None:
    """A connection that gets another role leaves a line; the same one again leaves none."""
    audit = Log()
    async with Hub(MemoryStore(), audit=audit) as hub:
        await join(hub, principal=Principal(id="ann", role=WRITE))
        hub.sessions.update_principal("ann", role=READ)
        hub.sessions.update_principal("ann", role=READ)
        changed = [each for each in audit.events if each.what.value == "role-changed"]
    (event,) = changed
    assert (event.document, event.principal, event.detail) == ("doc", "ann", {"role": READ.name})


@pytest.mark.parametrize("kind", SERVERS)
def test_the_code_that_a_client_closes_with(kind: str) -> None:
    """An ASGI server that hands a client's code on finds it in the log; Hypercorn does not."""
    log = Log()
    with running(kind, hub=Hub(MemoryStore(), audit=log)) as server:
        with Client(server.url("doc")).sync() as client:
            client.ws.close(4001)
        wait_until(lambda: codes(log) != [], "the connection has ended")
    assert codes(log) == [4001 if kind == "uvicorn" else 1006]


def codes(log: Log) -> list[int | None]:
    """Return the codes that connections ended with."""
    return [event.code for event in log.events if event.what is What.DISCONNECT]
