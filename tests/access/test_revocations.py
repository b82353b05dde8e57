"""Revocations: which tokens they refuse, for how long, and whom they send away."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from crdtsync.access.revocations import RevocationError, Revocations
from crdtsync.access.service import Access
from crdtsync.access.shares import KEPT_S
from crdtsync.auth import ConnectRequest
from crdtsync.clock import ManualClock
from crdtsync.errors import StoreError, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.identity.claims import ClaimRules
from crdtsync.store import open_store
from tests.access.beside import beside_a_server
from tests.unit.engine import FAST, Client, until

pytestmark = pytest.mark.anyio


class Issuer:
    """Tokens that say who, and when they were issued: ``ann:1000``."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        who, _, issued = request.token.partition(":")
        return Principal(id=who, issued_s=float(issued) if issued else None)


async def let_in(access: Access, token: str) -> bool:
    request = ConnectRequest(document="doc", token=token)
    try:
        await access.wrap(Issuer()).authenticate(request)
    except Unauthenticated as error:
        return error.kind != "revoked"
    return True


async def test_what_was_issued_before_is_refused(access: Access, clock: ManualClock) -> None:
    """Older tokens, and those that don't say, are refused; newer ones and other people's aren't."""
    now_s = clock.time_ms() / 1000
    assert await let_in(access, f"ann:{now_s - 1}")
    await access.revoke("ann")
    assert not await let_in(access, f"ann:{now_s - 1}")
    assert not await let_in(access, "ann")
    assert await let_in(access, f"ann:{now_s}")
    assert await let_in(access, f"bob:{now_s - 1}")


async def test_before_a_moment(access: Access, clock: ManualClock) -> None:
    """The moment may lie in the past, or ahead."""
    now_s = clock.time_ms() / 1000
    await access.revoke("ann", before_ms=clock.time_ms() - 60_000)
    assert await let_in(access, f"ann:{now_s - 60}")
    assert not await let_in(access, f"ann:{now_s - 61}")
    await access.revoke("ann", before_ms=clock.time_ms() + 60_000)
    assert not await let_in(access, f"ann:{now_s}")


async def test_open_connections_are_closed_at_once(hub: Hub, access: Access) -> None:
    """When ``revoke`` returns, the principal's connections are closed, in all documents."""
    clients = [Client(hub, f"doc-{n}", principal=Principal(id="ann")) for n in range(3)]
    other = Client(hub, principal=Principal(id="bob"))
    _, closed = await access.revoke("ann")
    assert closed == 3
    assert all(client.connection.closed for client in clients)
    assert not other.connection.closed
    assert await clients[0].gone() == (4401, "the token was revoked")


async def test_newer_tokens_stay(hub: Hub, access: Access, clock: ManualClock) -> None:
    """A connection whose token is newer than the revocation is not closed."""
    fresh = Client(hub, principal=Principal(id="ann", issued_s=clock.time_ms() / 1000))
    assert (await access.revoke("ann"))[1] == 0
    assert not fresh.connection.closed


async def test_until(access: Access, clock: ManualClock) -> None:
    """At its end a revocation counts no more, and is forgotten; one without end stays."""
    await access.revoke("ann", until_ms=clock.time_ms() + 1000)
    await access.revoke("bob")
    assert not await let_in(access, "ann")
    assert await access.revocations.purge() == 0
    clock.advance(1)
    assert await let_in(access, "ann")
    assert await access.revocations.purge() == 1
    assert [each.principal for each in access.revocations.listed()] == ["bob"]


async def test_a_revocation_is_never_shortened(access: Access, clock: ManualClock) -> None:
    """Of two revocations of one principal the further-reaching ends count."""
    await access.revoke("ann", before_ms=5000, until_ms=clock.time_ms() + 1000)
    made, _ = await access.revoke("ann", before_ms=4000, until_ms=clock.time_ms() + 10)
    assert (made.before_ms, made.until_ms) == (5000, clock.time_ms() + 1000)
    made, _ = await access.revoke("ann", before_ms=6000)
    assert (made.before_ms, made.until_ms) == (6000, None)
    made, _ = await access.revoke("ann", until_ms=clock.time_ms() + 10)
    assert made.until_ms is None


async def test_undo(access: Access) -> None:
    """What is undone counts no more."""
    await access.revoke("ann")
    assert await access.revocations.undo("ann")
    assert await let_in(access, "ann")
    assert not await access.revocations.undo("ann")


async def test_what_makes_no_sense(access: Access, clock: ManualClock) -> None:
    """The anonymous can't be revoked, and nothing can end before it begins."""
    with pytest.raises(RevocationError):
        await access.revoke("")
    with pytest.raises(RevocationError):
        await access.revoke("ann", until_ms=clock.time_ms())
    assert await let_in(access, "")


async def test_with_the_links_that_it_made(hub: Hub, access: Access) -> None:
    """Where asked for, whoever came by a link of the revoked goes as well."""
    made = await access.shares.create("doc", "read", owner="ann")
    other = await access.shares.create("doc", "read", owner="bob")
    guests = []
    for each in (made, other):
        request = ConnectRequest(document="doc", token=each.token)
        principal = await access.wrap(Issuer()).authenticate(request)
        guests.append(Client(hub, principal=principal))
    await access.revoke("ann")
    assert [guest.connection.closed for guest in guests] == [False, False]
    await access.revoke("ann", links=True)
    assert [guest.connection.closed for guest in guests] == [True, False]


async def test_they_outlive_a_restart(tmp_path: Path) -> None:
    """A revocation is on the disk when ``revoke`` returns."""
    url = f"file:{tmp_path / 'store'}"
    async with Hub(open_store(url), limits=FAST) as hub, Access(hub) as access:
        await access.revoke("ann")
    async with Hub(open_store(url), limits=FAST) as hub, Access(hub) as access:
        assert not await let_in(access, "ann")


async def test_another_process_revokes(tmp_path: Path) -> None:
    """What the command line writes beside a running server closes connections within a second."""
    async with beside_a_server(tmp_path) as (hub, access, database):
        beside = Revocations(database, clock=hub.clock)
        client = Client(hub, principal=Principal(id="ann"))
        await beside.revoke("ann")
        await until(lambda: client.link.closed)
        assert not await let_in(access, "ann")
        await beside.undo("ann")
        await access.look()
        assert await let_in(access, "ann")


async def test_a_database_that_fails(
    access: Access, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the list can't be read anew, what is known counts on; the log says so once."""
    monkeypatch.setattr("crdtsync.access.service.LOOK_S", 0.001)
    await access.revoke("ann")
    failures = 0

    async def fails() -> int:
        nonlocal failures
        failures += 1
        raise StoreError("the disk is gone")

    monkeypatch.setattr(access._database, "version", fails)
    await until(lambda: failures > 3)
    assert not await let_in(access, "ann")
    assert caplog.text.count("can't be read") == 1
    monkeypatch.undo()


async def test_a_jwt_says_when_it_was_issued(access: Access, clock: ManualClock) -> None:
    """Of a JWT it is ``iat`` that counts: the next token of a revoked principal is taken."""
    now_s = clock.time_ms() / 1000
    rules = ClaimRules()
    await access.revoke("ann")
    old, new, silent = (
        rules.principal({"sub": "ann", **moment})
        for moment in ({"iat": now_s - 1}, {"iat": now_s}, {})
    )
    assert access.refusal("doc", old) is not None
    assert access.refusal("doc", new) is None
    assert access.refusal("doc", silent) is not None


async def test_what_has_ended_is_purged_by_itself(access: Access, clock: ManualClock) -> None:
    """Every hour the server forgets what can't matter any more."""
    await access.revoke("ann", until_ms=clock.time_ms() + 1000)
    await access.shares.create("doc", "read", expires_ms=clock.time_ms() + 1000)
    clock.advance(KEPT_S + 2)
    await until(lambda: access.revocations.listed() == [])
    with anyio.fail_after(5):
        while await access.shares.listed():
            await anyio.lowlevel.checkpoint()
