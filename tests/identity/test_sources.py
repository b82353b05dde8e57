"""Keys that rotate, are withdrawn, are broken or can't be had; how often anybody is asked."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.clock import ManualClock
from crdtsync.errors import Unauthenticated, Unavailable
from crdtsync.gate import Principal
from crdtsync.identity import JWTAuthenticator, fetching
from crdtsync.identity.authenticators import FILE_REFRESH_S, UNKNOWN_KEY_PAUSE_S

from .issuer import Issuer, issuing
from .making import CLAIMS, ec_key, issue, jwks, public_jwk, public_pem

pytestmark = pytest.mark.anyio
REFRESH_S, STALE_S = 300.0, 3600.0
LASTING = {**CLAIMS, "exp": 2_000_000_000, "aud": ...}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each test on both event loops."""
    return str(request.param)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer that publishes one key, ``old``."""
    with issuing() as issuer:
        issuer.body = jwks(public_jwk(ec_key(), kid="old"))
        yield issuer


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock()


@pytest.fixture
def authenticator(issuer: Issuer, clock: ManualClock) -> JWTAuthenticator:
    """An authenticator that has asked nobody yet."""
    return JWTAuthenticator(jwks_url=issuer.url, refresh_s=REFRESH_S, stale_s=STALE_S, clock=clock)


def token(number: int = 0, kid: str | None = "old") -> str:
    """Return a token that is signed by one of the keys and names one of them."""
    headers = None if kid is None else {"kid": kid}
    return issue(ec_key("P-256", number), "ES256", LASTING, headers)


async def ask(authenticator: JWTAuthenticator, text: str) -> Principal:
    """Ask for a document."""
    return await authenticator.authenticate(ConnectRequest(document="team/x", token=text))


async def refused(authenticator: JWTAuthenticator, text: str) -> bool:
    """Return whether a token is refused for good."""
    try:
        await ask(authenticator, text)
    except Unauthenticated:
        return True
    return False


async def test_one_request_for_many_clients(
    issuer: Issuer, authenticator: JWTAuthenticator
) -> None:
    """Many clients at once make one request, and no token is in it."""
    issuer.hold = threading.Event()
    let_in: list[str] = []

    async def client() -> None:
        let_in.append((await ask(authenticator, token())).id)

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(client)
        await anyio.to_thread.run_sync(issuer.asked.wait)
        issuer.hold.set()
    assert let_in == ["ada"] * 50
    assert len(issuer.requests) == 1
    assert token().split(".")[0] not in issuer.requests[0]


async def test_a_rotated_key_is_found(
    issuer: Issuer, authenticator: JWTAuthenticator, clock: ManualClock
) -> None:
    """A token with a key that is new makes the set be fetched, once the pause is over."""
    await ask(authenticator, token())
    issuer.body = jwks(public_jwk(ec_key(), kid="old"), public_jwk(ec_key("P-256", 1), kid="new"))
    clock.advance(UNKNOWN_KEY_PAUSE_S)
    assert (await ask(authenticator, token(1, "new"))).id == "ada"
    assert (await ask(authenticator, token())).id == "ada"
    assert len(issuer.requests) == 2


async def test_unknown_keys_are_no_flood(
    issuer: Issuer, authenticator: JWTAuthenticator, clock: ManualClock
) -> None:
    """However many tokens name keys that nobody knows: one request in each pause."""
    await authenticator.prepare()
    for pause in range(3):
        clock.advance(UNKNOWN_KEY_PAUSE_S)
        for number in range(40):
            assert await refused(authenticator, token(1, f"unknown {pause} {number}"))
        assert len(issuer.requests) == 2 + pause
    assert not await refused(authenticator, token())
    assert await refused(authenticator, token(1))  # a known kid asks nobody at all
    assert await refused(authenticator, token(1, None))
    clock.advance(UNKNOWN_KEY_PAUSE_S)
    assert await refused(authenticator, issue(ec_key("P-384"), "ES384", LASTING))
    assert len(issuer.requests) == 4


async def test_who_has_keys_does_not_wait_for_an_issuer_in_trouble(
    issuer: Issuer, authenticator: JWTAuthenticator, clock: ManualClock
) -> None:
    """While the issuer is in trouble one client at a time waits for it; all others get in."""
    await ask(authenticator, token())
    issuer.status = 500
    clock.advance(REFRESH_S + 1)
    await ask(authenticator, token())
    clock.advance(UNKNOWN_KEY_PAUSE_S)
    issuer.asked.clear()
    issuer.hold = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, authenticator, token())
        await anyio.to_thread.run_sync(issuer.asked.wait)
        with anyio.fail_after(4):
            assert (await ask(authenticator, token())).id == "ada"
        issuer.hold.set()


async def test_a_withdrawn_key_ends(
    issuer: Issuer, authenticator: JWTAuthenticator, clock: ManualClock
) -> None:
    """A key that the issuer takes back lets in nobody once the set is older than its refresh."""
    await ask(authenticator, token())
    issuer.body = jwks(public_jwk(ec_key("P-256", 1), kid="new"))
    clock.advance(REFRESH_S)
    assert not await refused(authenticator, token())
    clock.advance(1)
    assert await refused(authenticator, token())
    assert not await refused(authenticator, token(1, "new"))


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500},
        {"status": 404},
        {"status": 302, "headers": {"Location": "https://evil.example.org/"}},
        {"body": b"<html>sign in</html>"},
        {"body": b""},
        {"body": b'{"keys": []}'},
        {"body": b'{"keys": [{"kty": "oct", "k": "%s"}]}' % (b"A" * 64)},
        {"body": public_pem(ec_key("P-256", 2))[:60]},
        {"body": b" " * (fetching.MAX_SET_BYTES + 1)},
        {"headers": {"Content-Length": "100000"}},
        {"body": b"{" * 200_000},
    ],
    ids=str,
)
async def test_an_issuer_in_trouble(
    issuer: Issuer,
    authenticator: JWTAuthenticator,
    clock: ManualClock,
    trouble: dict[str, object],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the set can't be had anew the old keys hold, for a while; then nobody gets in."""
    monkeypatch.setattr(fetching, "FETCH_TIMEOUT_S", 0.3)
    await ask(authenticator, token())
    for name, value in trouble.items():
        setattr(issuer, name, value)
    clock.advance(REFRESH_S + 1)
    assert not await refused(authenticator, token())
    assert await refused(authenticator, token(1, "new"))
    assert len(issuer.requests) == 2
    assert "can't be read again" in caplog.text
    assert issuer.url in caplog.text
    clock.advance(STALE_S)
    with pytest.raises(Unavailable, match="at the moment"):
        await ask(authenticator, token())
    issuer.status, issuer.headers = 200, {}
    issuer.body = jwks(public_jwk(ec_key(), kid="old"))
    clock.advance(UNKNOWN_KEY_PAUSE_S)
    assert not await refused(authenticator, token())


async def test_nobody_gets_in_without_keys(
    issuer: Issuer, authenticator: JWTAuthenticator, clock: ManualClock
) -> None:
    """Without any keys clients are told to come back, and the issuer is spared."""
    issuer.status = 503
    await authenticator.prepare()
    for _ in range(20):
        with pytest.raises(Unavailable):
            await ask(authenticator, token())
    assert len(issuer.requests) == 1
    clock.advance(UNKNOWN_KEY_PAUSE_S)
    issuer.status = 200
    assert not await refused(authenticator, token())


async def test_who_hangs_up_takes_no_key_along(
    issuer: Issuer, authenticator: JWTAuthenticator
) -> None:
    """A client that goes while the set is fetched for it does not keep others from having it."""
    issuer.hold = threading.Event()
    async with anyio.create_task_group() as tasks:
        scope = anyio.CancelScope()

        async def hasty() -> None:
            with scope:
                await ask(authenticator, token())

        tasks.start_soon(hasty)
        await anyio.to_thread.run_sync(issuer.asked.wait)
        scope.cancel()
        issuer.hold.set()
    assert not await refused(authenticator, token())
    assert len(issuer.requests) == 1


async def test_an_answer_without_end(
    issuer: Issuer,
    authenticator: JWTAuthenticator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An issuer that sends a byte now and then is given up all the same."""
    monkeypatch.setattr(fetching, "FETCH_TIMEOUT_S", 0.5)
    issuer.drip_s = 0.05
    issuer.headers = {"Content-Length": "100000"}
    with anyio.fail_after(10):
        with pytest.raises(Unavailable):
            await ask(authenticator, token())
    assert "breaks off" in caplog.text


async def test_a_query_is_in_no_log(
    issuer: Issuer, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What stands behind the question mark of a URL is sent, and shown nowhere."""
    issuer.status = 500
    authenticator = JWTAuthenticator(jwks_url=f"{issuer.url}?apikey=hunter2", clock=clock)
    await authenticator.prepare()
    assert "hunter2" in issuer.requests[0]
    assert "can't be had" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_file_is_read_again(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A changed key file counts soon; a broken one leaves the old keys, and says so."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "key.pem"
    path.write_bytes(public_pem(ec_key()))
    authenticator = JWTAuthenticator(key_file=path, stale_s=60, clock=clock)
    assert not await refused(authenticator, token())
    path.write_bytes(public_pem(ec_key("P-256", 1)))
    assert await refused(authenticator, token(1))
    clock.advance(FILE_REFRESH_S + 1)
    assert not await refused(authenticator, token(1))
    assert await refused(authenticator, token())
    path.write_bytes(b"-----BEGIN nothing")
    clock.advance(FILE_REFRESH_S + 1)
    assert not await refused(authenticator, token(1))
    assert "can't be read again" in caplog.text
    clock.advance(61)
    with pytest.raises(Unavailable):
        await ask(authenticator, token(1))


async def test_a_certificate_of_nobody(issuer: Issuer, clock: ManualClock) -> None:
    """A server that can't prove its name is not believed, and asked for nothing."""
    url = issuer.url.replace("http://", "https://")
    authenticator = JWTAuthenticator(jwks_url=url, clock=clock)
    with pytest.raises(Unavailable):
        await ask(authenticator, token())
    assert issuer.requests == []
