"""Share links: who gets in by one, how often and how long, and what is kept of its secrets."""

import hmac
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from crdtsync.access import passwords
from crdtsync.access.links import write_token
from crdtsync.access.service import Access
from crdtsync.access.shares import KEPT_S, MadeShare, ShareError, Shares
from crdtsync.auth import ConnectRequest, OpenAuthenticator
from crdtsync.clock import ManualClock
from crdtsync.errors import Forbidden, RemoteError, TooManyRequests, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.hub import Hub
from crdtsync.roles import BUILT_IN, COMMENT, READ, WRITE, Role
from crdtsync.store import open_store
from crdtsync.store.memory import MemoryStore
from tests.access.beside import beside_a_server
from tests.unit.engine import FAST, Client, quick, settle, until

pytestmark = pytest.mark.anyio


class Accounts:
    """People with accounts: the token is the id."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        if not request.token:
            raise Unauthenticated("sign in first")
        return Principal(id=request.token, role=WRITE)


@pytest.fixture(autouse=True)
def cheap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scrypt cost little, but where its cost matters."""
    monkeypatch.setattr(passwords, "COST", 2)
    monkeypatch.setattr(passwords, "LANES", 1)


async def visit(
    access: Access,
    made: MadeShare | str,
    *,
    document: str = "doc",
    address: str = "192.0.2.1",
    **params: str,
) -> Principal:
    """Ask the authenticator as a visitor's browser would make it."""
    token = made if isinstance(made, str) else made.token
    request = ConnectRequest(document=document, token=token, params=params, address=address)
    return await access.wrap(Accounts()).authenticate(request)


async def refusal(call: Callable[[], Any]) -> RemoteError:
    with pytest.raises(RemoteError) as raised:
        await call()
    return raised.value


async def test_a_visitor_comes_in(access: Access, clock: ManualClock) -> None:
    """A visitor is anonymous with a name, in the link's role, for as long as the link lasts."""
    end_ms = clock.time_ms() + 60_000
    made = await access.shares.create("doc", "comment", label="review", expires_ms=end_ms)
    visitor = await visit(access, made, name="  Ann\u202e  Lee ")
    assert visitor.role == COMMENT
    assert visitor.name == "Ann Lee"
    assert visitor.share == made.share.id
    assert visitor.id.startswith(f"share:{made.share.id}:")
    assert visitor.expires_s == end_ms / 1000
    assert not visitor.read_only
    other = await visit(access, made)
    assert other.name == "Guest"
    assert other.id != visitor.id
    assert (await visit(access, await access.shares.create("doc", "read"))).read_only


async def test_who_has_an_account_comes_in_as_before(access: Access) -> None:
    """Tokens that are no link's go to the inner authenticator, and so does no token at all."""
    assert (await visit(access, "ann")).id == "ann"
    assert (await refusal(lambda: visit(access, ""))).close_code == 4401


async def test_nobody_takes_a_visitors_id(access: Access) -> None:
    """An account whose id looks like a visitor's is refused: authors would be mixed up."""
    assert (await refusal(lambda: visit(access, "share:a:b"))).close_code == 4403


async def test_the_same_answer_for_unknown_and_wrong(access: Access) -> None:
    """Unknown link, wrong secret, revoked with a wrong secret, no token: no difference."""
    made = await access.shares.create("doc", "read", password="pass")
    gone = await access.shares.create("doc", "read")
    await access.revoke_share(gone.share.id)
    wrong = "A" * 32
    told = {
        (error.close_code, error.kind, str(error))
        for token in (
            write_token("0" * 16, wrong),
            write_token(made.share.id, wrong),
            write_token(made.share.id, wrong, "pass"),
            write_token(gone.share.id, wrong),
            "share.",
            "share.x.y",
        )
        for error in [await refusal(lambda token=token: visit(access, token))]  # type: ignore[misc]
    }
    assert told == {(4401, "unauthenticated", "the share link is not valid")}


async def test_secrets_are_compared_in_the_same_way(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an unknown link a digest is compared as well, by ``hmac.compare_digest``."""
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    made = await access.shares.create("doc", "read")
    monkeypatch.setattr("crdtsync.access.links.hmac.compare_digest", spy)
    await visit(access, made)
    await refusal(lambda: visit(access, write_token(made.share.id, "A" * 32)))
    await refusal(lambda: visit(access, write_token("0" * 16, "A" * 32)))
    assert compared == [(32, 32)] * 3


async def test_a_link_is_for_one_document(access: Access) -> None:
    """Elsewhere, and where no document is meant, it is worth nothing."""
    made = await access.shares.create("doc", "write")
    for document in ("other", "doc/", "", "DOC"):
        error = await refusal(lambda document=document: visit(access, made, document=document))  # type: ignore[misc]
        assert error.close_code == 4403


async def test_an_expired_link(access: Access, clock: ManualClock) -> None:
    """At its end nobody new gets in."""
    made = await access.shares.create("doc", "read", expires_ms=clock.time_ms() + 1000)
    clock.advance(0.999)
    await visit(access, made)
    clock.advance(0.001)
    error = await refusal(lambda: visit(access, made))
    assert (error.close_code, str(error)) == (4403, "the share link has expired")


async def test_expiry_ends_open_visits(hub: Hub, access: Access, clock: ManualClock) -> None:
    """Who is there when a link ends is sent away by the next sweep."""
    made = await access.shares.create("doc", "read", expires_ms=clock.time_ms() + 1000)
    client = Client(hub, principal=await visit(access, made))
    clock.advance(1)
    await hub.sessions.sweep()
    assert await client.gone() == (4403, "the share link has expired")


async def test_revoking_sends_visitors_away_at_once(hub: Hub, access: Access) -> None:
    """When ``revoke_share`` returns, its visitors are closed with 4403, and others are not."""
    made, kept = [await access.shares.create("doc", "read") for _ in range(2)]
    guest = Client(hub, principal=await visit(access, made))
    other = Client(hub, principal=await visit(access, kept))
    owner = Client(hub, principal=Principal(id="ann"))
    late = await visit(access, made)
    assert await access.revoke_share(made.share.id)
    assert guest.connection.closed
    assert not other.connection.closed
    assert not owner.connection.closed
    assert (await guest.gone()) == (4403, "the share link was revoked")
    assert (await refusal(lambda: visit(access, made))).close_code == 4403
    with pytest.raises(Forbidden):  # was let in by the authenticator, a moment before
        Client(hub, principal=late)
    assert not await access.revoke_share(made.share.id)
    assert await access.shares.reinstate(made.share.id)
    await visit(access, made)


async def test_a_password(access: Access) -> None:
    """A link with a password wants it, in the token or beside it; the secret comes first."""
    made = await access.shares.create("doc", "read", password="schlüssel")
    token = read(made)
    error = await refusal(lambda: visit(access, made))
    assert (error.close_code, error.kind) == (4401, "password-needed")
    error = await refusal(lambda: visit(access, made, password="schluessel"))
    assert (error.close_code, str(error)) == (4401, "the password is wrong")
    assert (await visit(access, made, password="schlüssel")).share == made.share.id
    assert (await visit(access, write_token(*token, "schlüssel"))).share == made.share.id
    error = await refusal(lambda: visit(access, made, password="x" * 5000))
    assert str(error) == "the password is wrong"


def read(made: MadeShare) -> tuple[str, str]:
    _, share, secret = made.token.split(".")
    return share, secret


async def test_a_known_password_costs_no_scrypt(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd that comes back with the right password waits for scrypt once, not once each."""
    count = 0
    scrypt = passwords._scrypt

    def counting(password: str, salt: bytes) -> bytes:
        nonlocal count
        count += 1
        return scrypt(password, salt)

    made = await access.shares.create("doc", "read", password="pass")
    monkeypatch.setattr(passwords, "_scrypt", counting)
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(
                lambda n=number: visit(access, made, password="pass", address=f"192.0.2.{n}")
            )
    assert count == 1
    await refusal(lambda: visit(access, made, password="wrong"))
    assert count == 1
    await visit(access, made, password="pass")


async def test_share_failures_per_minute_of_a_link(clock: ManualClock) -> None:
    """Above the limit no password is looked at, from any address; a minute later again."""
    async with (
        Hub(MemoryStore(), limits=quick(share_failures_per_minute=3), clock=clock) as hub,
        Access(hub) as access,
    ):
        made = await access.shares.create("doc", "read", password="pass")
        for number in range(3):
            error = await refusal(
                lambda n=number: visit(access, made, password="no", address=f"192.0.2.{n}")  # type: ignore[misc]
            )
            assert error.close_code == 4401
        error = await refusal(lambda: visit(access, made, password="pass", address="192.0.2.9"))
        assert error.close_code == 4429
        assert (await visit(access, "ann", address="192.0.2.0")).id == "ann", "accounts aren't"
        clock.advance(60)
        await visit(access, made, password="pass", address="192.0.2.9")


async def test_share_failures_per_minute_of_an_address(clock: ManualClock) -> None:
    """Above the limit an address is not looked at, whatever links it names; others are."""
    async with (
        Hub(MemoryStore(), limits=quick(share_failures_per_minute=3), clock=clock) as hub,
        Access(hub) as access,
    ):
        made = await access.shares.create("doc", "read")
        for number in range(3):
            await refusal(lambda n=number: visit(access, write_token(f"{n:016}", "A" * 32)))  # type: ignore[misc]
        error = await refusal(lambda: visit(access, made))
        assert isinstance(error, TooManyRequests)
        await visit(access, made, address="192.0.2.2")
        assert (await visit(access, "ann")).id == "ann", "who has an account is not locked out"
        clock.advance(60)
        await visit(access, made)


async def test_guesses_at_the_same_time(clock: ManualClock) -> None:
    """A thousand guesses that are sent together are not looked at more often than one by one."""
    tried = 0
    async with (
        Hub(MemoryStore(), limits=quick(share_failures_per_minute=5), clock=clock) as hub,
        Access(hub) as access,
    ):
        made = await access.shares.create("doc", "read", password="pass")
        check = access.shares._passwords.check

        async def counting(*args: Any) -> None:
            nonlocal tried
            tried += 1
            await check(*args)

        access.shares._passwords.check = counting  # type: ignore[method-assign]
        codes: list[int] = []

        async def guess(number: int) -> None:
            error = await refusal(
                lambda: visit(
                    access, made, password=str(number), address=f"198.51.100.{number % 250}"
                )
            )
            codes.append(error.close_code)

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(guess, number)
        assert tried == 5
        assert sorted(codes) == [4401] * 5 + [4429] * 195
        assert access.shares._passwords._turns == {}


async def test_addresses_of_one_network(clock: ManualClock) -> None:
    """Of IPv6 the whole /64 counts together; an IPv4 address is itself however it is written."""
    async with (
        Hub(MemoryStore(), limits=quick(share_failures_per_minute=2), clock=clock) as hub,
        Access(hub) as access,
    ):
        made = await access.shares.create("doc", "read")
        for address in ("2001:db8::1", "2001:db8::2"):
            await refusal(lambda a=address: visit(access, "share.x", address=a))  # type: ignore[misc]
        error = await refusal(lambda: visit(access, made, address="2001:db8::3"))
        assert error.close_code == 4429
        await visit(access, made, address="2001:db8:0:1::1")
        for address in ("192.0.2.1", "::ffff:192.0.2.1"):
            await refusal(lambda a=address: visit(access, "share.x", address=a))  # type: ignore[misc]
        assert (await refusal(lambda: visit(access, made))).close_code == 4429
        await visit(access, made, address="")
        await visit(access, made, address="fe80::1%eth0")


async def test_max_uses(access: Access) -> None:
    """So many visitors join, and no more."""
    made = await access.shares.create("doc", "read", max_uses=2)
    await visit(access, made)
    await visit(access, made)
    error = await refusal(lambda: visit(access, made))
    assert str(error) == "the share link has been used as often as it may"
    found = await access.shares.find(made.share.id)
    assert found is not None
    assert found.uses == 2


async def test_max_uses_is_not_raced_past(access: Access) -> None:
    """Of many who come at the same moment exactly so many get in."""
    made = await access.shares.create("doc", "read", max_uses=7)
    outcomes: list[bool] = []

    async def come(number: int) -> None:
        try:
            await visit(access, made, visitor=f"visitor-{number % 20:016}")
        except Forbidden:
            outcomes.append(False)
        else:
            outcomes.append(True)

    async with anyio.create_task_group() as tasks:
        for number in range(40):  # each of 20 visitors twice
            tasks.start_soon(come, number)
    assert sum(outcomes) == 14
    found = await access.shares.find(made.share.id)
    assert found is not None
    assert found.uses == 7


async def test_a_visitor_who_comes_back(access: Access, clock: ManualClock) -> None:
    """Who brings a key of his own is counted once, and is the same principal."""
    made = await access.shares.create("doc", "read", max_uses=1)
    first = await visit(access, made, visitor="k" * 22)
    again = await visit(access, made, visitor="k" * 22)
    assert first.id == again.id
    assert (await refusal(lambda: visit(access, made, visitor="l" * 22))).close_code == 4403
    assert (await refusal(lambda: visit(access, made))).close_code == 4403
    await access.revoke_share(made.share.id)
    assert (await refusal(lambda: visit(access, made, visitor="k" * 22))).close_code == 4403


async def test_never_above_the_makers_own_role(access: Access) -> None:
    """A link gives no more than its maker may do, and never the right to manage."""
    keeper = Role(name="keeper", write=COMMENT.write, shares=True)
    await access.shares.create("doc", "comment", own_role=keeper)
    with pytest.raises(Forbidden):
        await access.shares.create("doc", "write", own_role=keeper)
    for role in ("admin", "nonsense"):
        with pytest.raises(ShareError):
            await access.shares.create("doc", role)
    assert len(await access.shares.listed()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"expires_ms": 0},
        {"max_uses": 0},
        {"max_uses": 1_000_001},
        {"password": "x" * 1025},
    ],
)
async def test_links_that_make_no_sense(access: Access, wrong: dict[str, Any]) -> None:
    """Each is refused with a reason."""
    with pytest.raises(ShareError):
        await access.shares.create("doc", "read", **wrong)


async def test_max_shares(clock: ManualClock) -> None:
    """A document has so many links that can be joined by; those that ended don't count."""
    async with (
        Hub(MemoryStore(), limits=quick(max_shares=2), clock=clock) as hub,
        Access(hub) as access,
    ):
        first = await access.shares.create("doc", "read")
        await access.shares.create("doc", "read", expires_ms=clock.time_ms() + 1000)
        with pytest.raises(ShareError, match="2 links"):
            await access.shares.create("doc", "read")
        await access.shares.create("other", "read")
        await access.revoke_share(first.share.id)
        await access.shares.create("doc", "read")
        clock.advance(1)
        await access.shares.create("doc", "read")


async def test_a_role_that_is_gone(hub: Hub) -> None:
    """A link whose role nobody defines any more lets nobody in."""
    mine = Role(name="mine")
    async with Access(hub, roles={**BUILT_IN, "mine": mine}) as access:
        made = await access.shares.create("doc", "mine")
        assert (await visit(access, made)).role == mine
        access.shares._roles = BUILT_IN
        assert (await refusal(lambda: visit(access, made))).close_code == 4403


async def test_who_is_there(hub: Hub, access: Access, clock: ManualClock) -> None:
    """The owner sees each visitor's name, since when, and on how many connections."""
    made = await access.shares.create("doc", "read")
    other = await access.shares.create("doc", "read")
    since_ms = clock.time_ms()
    for _ in range(2):
        Client(hub, principal=await visit(access, made, visitor="k" * 16, name="Ann"))
        clock.advance(1)
    bob = Client(hub, principal=await visit(access, made, name="Bob"))
    Client(hub, principal=await visit(access, other))
    Client(hub, principal=Principal(id="ann"))
    seen = [(v.name, v.since_ms, v.connections) for v in access.visitors(made.share.id)]
    assert seen == [("Ann", since_ms, 2), ("Bob", since_ms + 2000, 1)]
    bob.connection.lost()
    by_share = access.visitors_of([made.share, other.share])
    assert [len(by_share[each.share.id]) for each in (made, other)] == [1, 1]


async def test_ended_links_are_forgotten(access: Access, clock: ManualClock) -> None:
    """A month behind its end a link is gone, with those who used it; open ones stay."""
    gone = [
        await access.shares.create("doc", "read", expires_ms=clock.time_ms() + 1, max_uses=5),
        await access.shares.create("doc", "read"),
    ]
    await visit(access, gone[0], visitor="k" * 16)
    await access.revoke_share(gone[1].share.id)
    kept = await access.shares.create("doc", "read")
    clock.advance(KEPT_S)
    assert await access.shares.purge() == 0
    clock.advance(1)
    assert await access.shares.purge() == 2
    assert [each.id for each in await access.shares.listed()] == [kept.share.id]
    counted = await access._database.call(
        lambda database: database.execute("SELECT count(*) FROM joins").fetchone()
    )
    assert counted == (0,)


async def test_links_outlive_a_restart(tmp_path: Path) -> None:
    """Links, their uses and their passwords are there after a restart."""
    url = f"sqlite:{tmp_path / 'store.db'}"
    async with Hub(open_store(url), limits=FAST) as hub, Access(hub) as access:
        made = await access.shares.create("doc", "read", password="pass", max_uses=2)
        await visit(access, made, password="pass", visitor="k" * 16)
    async with Hub(open_store(url), limits=FAST) as hub, Access(hub) as access:
        await visit(access, made, password="pass", visitor="k" * 16)
        await visit(access, made, password="pass")
        assert (await refusal(lambda: visit(access, made, password="pass"))).close_code == 4403


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_secrets_are_in_no_file_and_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the database nor its log, nor any line of ours, holds a secret or a password."""
    caplog.set_level(logging.DEBUG)
    url = f"sqlite:{tmp_path / 'store.db'}"
    async with Hub(open_store(url), limits=FAST) as hub, Access(hub) as access:
        made = await access.shares.create("doc", "read", password="open sesame")
        key = "visitors-own-key-1"
        client = Client(
            hub, principal=await visit(access, made, password="open sesame", visitor=key)
        )
        await refusal(lambda: visit(access, made, password="guessed"))
        await access.look(visitors=True)
        await settle()
        written = everything_in(tmp_path)
        client.connection.lost()
    written += everything_in(tmp_path)
    _, secret = read(made)
    assert made.share.id.encode() in written
    for hidden in (secret, "open sesame", "guessed", key):
        assert hidden.encode() not in written
        assert hidden not in caplog.text
    assert secret not in repr(made)


async def test_another_process_revokes(tmp_path: Path) -> None:
    """What the command line writes beside a running server is applied by the next look."""
    async with beside_a_server(tmp_path) as (hub, access, database):
        beside = Shares(database, clock=hub.clock, limits=FAST, roles=BUILT_IN)
        made = await access.shares.create("doc", "read")
        guest = Client(hub, principal=await visit(access, made, name="Ann"))
        await access.look(visitors=True)
        (seen,) = await beside.kept_visitors()
        assert (seen.share, seen.name, seen.connections) == (made.share.id, "Ann", 1)
        await beside.revoke(made.share.id)
        await until(lambda: guest.link.closed)  # by the look that goes on by itself
        assert guest.link.closed == (4403, "the share link was revoked")
        await beside.reinstate(made.share.id)
        await access.look(visitors=True)
        Client(hub, principal=await visit(access, made))


async def test_visitors_of_a_server_that_is_gone(access: Access, clock: ManualClock) -> None:
    """A list that nobody confirms any more is not believed."""
    made = await access.shares.create("doc", "read")
    Client(access._hub, principal=await visit(access, made))
    await access.look(visitors=True)
    assert len(await access.shares.kept_visitors()) == 1
    clock.advance(31)
    assert await access.shares.kept_visitors() == []
    await access.look(visitors=True)
    assert len(await access.shares.kept_visitors()) == 1


async def test_an_open_server_has_links_too(access: Access) -> None:
    """Without authentication everybody writes, but a visitor by a link has the link's role."""
    made = await access.shares.create("doc", "read")
    opened = access.wrap(OpenAuthenticator())
    visitor = await opened.authenticate(ConnectRequest(document="doc", token=made.token))
    assert visitor.role == READ
    assert await opened.authenticate(ConnectRequest(document="doc")) == Principal()
