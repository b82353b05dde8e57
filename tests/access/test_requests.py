"""Access that ends while a request is on its way: nothing that comes later is written by it."""

from pathlib import Path

import pytest

from crdtsync.access.service import Access
from crdtsync.access.shares import REQUEST_S, Shares
from crdtsync.auth import ConnectRequest, OpenAuthenticator
from crdtsync.clock import ManualClock
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.roles import BUILT_IN
from tests.access.beside import beside_a_server
from tests.unit.engine import FAST
from tests.unit.wire import one

pytestmark = pytest.mark.anyio


async def visit(access: Access, token: str) -> Principal:
    """Let somebody in by a link, as a request is before its body has come."""
    opened = access.wrap(OpenAuthenticator())
    return await opened.authenticate(ConnectRequest(document="doc", token=token))


async def test_a_token_ends_while_the_body_comes(hub: Hub, clock: ManualClock) -> None:
    """Who may write until now may not write from now on, as over a connection."""
    await hub.edit("doc", one(1, 0, "old"))
    ann = Principal(id="ann", expires_s=clock.time_ms() / 1000 + 10)
    clock.advance(9)
    await hub.documents.apply("doc", one(2, 0, "in time"), principal=ann)
    clock.advance(1)
    with pytest.raises(Unauthenticated, match="expired"):
        await hub.documents.apply("doc", one(3, 0, "late"), principal=ann)
    assert len((await hub.store.load("doc")).records) == 2


async def test_a_link_ends_while_the_body_comes(hub: Hub, access: Access) -> None:
    """No connection is open by the link: that it is revoked is known all the same."""
    await hub.edit("doc", one(1, 0, "old"))
    made = await access.shares.create("doc", "write")
    guest = await visit(access, made.token)
    await hub.documents.apply("doc", one(2, 0, "in time"), principal=guest)
    await access.revoke_share(made.share.id)
    for _ in range(3):
        with pytest.raises(Forbidden, match="revoked"):
            await hub.documents.apply("doc", one(3, 0, "late"), principal=guest)
        await access.look(visitors=True)
    assert len((await hub.store.load("doc")).records) == 2


async def test_another_process_ends_the_link(tmp_path: Path) -> None:
    """What the command line revokes is refused from the next look on."""
    async with beside_a_server(tmp_path) as (hub, access, database):
        beside = Shares(database, clock=hub.clock, limits=FAST, roles=BUILT_IN)
        await hub.edit("doc", one(1, 0, "old"))
        made = await access.shares.create("doc", "write")
        guest = await visit(access, made.token)
        await beside.revoke(made.share.id)
        await access.look(visitors=True)
        with pytest.raises(Forbidden, match="revoked"):
            await hub.documents.apply("doc", one(2, 0, "late"), principal=guest)
        await beside.reinstate(made.share.id)
        await access.look(visitors=True)
        await hub.documents.apply("doc", one(2, 0, "again"), principal=guest)


async def test_links_of_requests_are_forgotten(access: Access, clock: ManualClock) -> None:
    """As soon as no request by them can be on its way any more."""
    made = await access.shares.create("doc", "write")
    guest = await visit(access, made.token)
    await access.revoke_share(made.share.id)
    clock.advance(REQUEST_S - 1)
    await access.look(visitors=True)
    assert access.shares.refusal(guest) is not None
    clock.advance(2)
    await access.look(visitors=True)
    assert access.shares.refusal(guest) is None


async def test_a_link_is_revoked_while_the_database_is_asked(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the database said before that doesn't let its visitors in again."""
    made = await access.shares.create("doc", "write")
    guest = await visit(access, made.token)
    ask, revoke = access._database.call, access.revoke_share

    async def call(function: object, *values: object) -> object:
        answer = await ask(function, *values)  # type: ignore[arg-type]
        if function.__name__ == "ended_shares":  # type: ignore[attr-defined]
            monkeypatch.undo()
            await revoke(made.share.id)
        return answer

    monkeypatch.setattr(access._database, "call", call)
    await access.look(visitors=True)
    assert access.shares.refusal(guest) is not None
