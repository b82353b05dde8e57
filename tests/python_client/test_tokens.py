"""Tokens: where they go, when they end, how the next one is handed in."""

import time
from collections.abc import Callable
from typing import Literal

import anyio
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.client import ClientError, Options, Refused, Status, Token, TokenRefused, connect
from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from tests.native.kit import LIMITS, Server

from .kit import OPTIONS, TIMEOUT_S, address, text_of, until

pytestmark = pytest.mark.anyio


class Lasting:
    """Tokens are ``NAME.SECONDS``: how long one lasts from now; each is good once."""

    def __init__(self) -> None:
        self.requests: list[ConnectRequest] = []

    async def authenticate(self, request: ConnectRequest) -> Principal:
        self.requests.append(request)
        name, _, lasts = request.token.rpartition("@") if request.token else ("", "", "")
        if not name:
            raise Unauthenticated("who are you?")
        return Principal(id=name, expires_s=time.time() + float(lasts) if lasts else None)


@pytest.fixture
def lasting() -> Lasting:
    """What the server asks."""
    return Lasting()


@pytest.mark.parametrize("place", ["header", "query", "subprotocol"])
async def test_where_tokens_go(
    lasting: Lasting, place: Literal["header", "query", "subprotocol"]
) -> None:
    """A token arrives by each of the three ways, with parameters and headers beside it."""
    token = "ann.9" if place == "subprotocol" else "ann@9"
    with Server(authenticator=_named(lasting)) as server:
        async with connect(
            address(server, "a%20b/ü?x=1"),
            token=token,
            token_in=place,
            params={"y": "2"},
            headers={"X-Test": "yes"},
            subprotocols=("mine",),
            options=OPTIONS,
            wait=True,
        ) as document:
            assert document.name == "a b/ü"
            assert document.durable
        (request,) = lasting.requests
        assert request.token == token
        assert request.document == "a b/ü"
        assert dict(request.params) == {"x": "1", "y": "2", "ack": "1"}
        assert request.headers["x-test"] == "yes"


async def test_places_that_are_none() -> None:
    """A token that would not go out is a mistake that is told at once."""
    for place in ("cookie", "Header", ""):
        with pytest.raises(ClientError, match="token_in is one of header, query, subprotocol"):
            connect("ws://localhost/doc", token="x", token_in=place)  # type: ignore[arg-type]
    for name in ("Authorization", "authorization"):
        with pytest.raises(ClientError, match="leave one of them out"):
            connect("ws://localhost/doc", token="x", headers={name: "Bearer y"})
        connect("ws://localhost/doc", headers={name: "Bearer y"})
        connect("ws://localhost/doc", token="x", token_in="query", headers={name: "Basic y"})


async def test_a_function_that_authorizes(lasting: Lasting) -> None:
    """An Authorization that a function makes for each connection goes before the token."""
    with Server(authenticator=_named(lasting)) as server:
        async with connect(
            address(server),
            token="old",
            headers=lambda: {"authorization": "Bearer new"},
            options=OPTIONS,
            wait=True,
        ):
            pass
    (request,) = lasting.requests
    assert request.token == "new"


def _named(lasting: Lasting) -> Lasting:
    class Named(Lasting):
        async def authenticate(self, request: ConnectRequest) -> Principal:
            lasting.requests.append(request)
            return Principal(id="ann")

    return Named()


async def test_an_expired_token_is_replaced(lasting: Lasting) -> None:
    """A connection whose token ends comes back with the next one, and loses nothing."""
    with Server(authenticator=lasting) as server:
        made: list[str] = []

        def next_one() -> str:
            made.append(f"ann@{1 if not made else 600}")
            return made[-1]

        async with connect(address(server), token=next_one, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.synced()
                await until(lambda: len(made) == 2)
                text = text_of(document)
                text += "still here"
                await document.saved()
                await document.synced()
            assert server.text() == "still here"


async def test_a_fixed_token_that_ended_is_final(lasting: Lasting) -> None:
    """Without a source of tokens an expired one refuses for good."""
    with Server(authenticator=lasting) as server:
        async with connect(address(server), token="ann@1", options=OPTIONS, wait=True) as document:
            with anyio.fail_after(TIMEOUT_S):
                await until(lambda: document.status is Status.REFUSED)
            await document.saved()  # there is nothing that isn't
            with pytest.raises(Refused) as raised:
                await document.synced()
            assert raised.value.code == 4401


async def test_a_source_of_bad_tokens_is_final(lasting: Lasting) -> None:
    """Two tokens in a row that don't let in are one too many."""
    with Server(authenticator=lasting) as server:
        async with connect(address(server), token=lambda: "nobody", options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S), pytest.raises(Refused):
                await document.synced()
        assert len(lasting.requests) == 2


async def test_fresh_tokens_go_over_the_open_connection(lasting: Lasting) -> None:
    """A token that says how long it lasts is replaced before it ends: no connection is lost."""
    options = Options(backoff=OPTIONS.backoff, renew_before_s=1.0)
    with Server(authenticator=lasting, limits=LIMITS) as server:

        async def source() -> Token:
            return Token("ann@2", lasts_s=2)

        async with connect(address(server), token=source, options=options) as document:
            seen: list[Status] = []
            await document.synced()
            document.on_status(seen.append)
            with anyio.fail_after(TIMEOUT_S):
                await until(lambda: len(lasting.requests) >= 4)
            assert seen == []
            assert "2" not in repr(await source()).replace("lasts_s=2", "")


async def test_renewing_by_hand(lasting: Lasting) -> None:
    """``renew`` returns how long the token lasts, or raises why it is not taken."""
    with Server(authenticator=lasting) as server:
        async with connect(address(server), token="ann@600", options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.synced()
                assert 890 <= await document.renew("ann@900") <= 900
                assert await document.renew("ann@") == 0
                with pytest.raises(TokenRefused):
                    await document.renew("bob@900")
            assert document.status is Status.SYNCED


@pytest.mark.parametrize("fails", [1, 3])
async def test_a_failing_source_is_asked_again(lasting: Lasting, fails: int) -> None:
    """A source of tokens that raises costs time, not the client."""
    left = [fails]

    def source() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError("the identity provider is away")
        return "ann@600"

    checked: Callable[[], str] = source
    with Server(authenticator=lasting) as server:
        async with connect(address(server), token=checked, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.synced()


@pytest.mark.parametrize("fails", [1, 3])
async def test_failing_headers_are_asked_for_again(lasting: Lasting, fails: int) -> None:
    """So is a function for headers."""
    left = [fails]

    def headers() -> dict[str, str]:
        left[0] -= 1
        if left[0] >= 0:
            raise KeyError("NOT_THERE")
        return {"X-Test": "yes"}

    with Server(authenticator=_named(lasting)) as server:
        async with connect(address(server), headers=headers, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.synced()
    assert lasting.requests[-1].headers["x-test"] == "yes"


BAD = ["ann\n", "ann\r\nX-Evil: 1", "ann€", "ann\0"]


@pytest.mark.parametrize("bad", BAD)
async def test_what_no_header_can_hold(bad: str) -> None:
    """A token or header that can't be sent is a mistake that is told at once, without it."""
    for options in ({"token": bad}, {"token": Token(bad)}, {"headers": {"X-Name": bad}}):
        with pytest.raises(ClientError, match="header") as raised:
            connect("ws://localhost/doc", **options)  # type: ignore[arg-type]
        assert "ann" not in str(raised.value)
        assert raised.value.__cause__ is None
    with pytest.raises(ClientError):
        connect("ws://localhost/doc", headers={"X Name\n": "x"})
    connect("ws://localhost/doc", token=bad, token_in="query")


@pytest.mark.parametrize("bad", BAD)
async def test_a_source_of_what_no_header_can_hold(
    lasting: Lasting, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    """From a function it costs time, not the program, and no log has it."""
    made: list[str] = []

    def source() -> str:
        made.append(bad if not made else "ann@600")
        return made[-1]

    with Server(authenticator=lasting) as server:
        async with connect(address(server), token=source, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.synced()
    assert made == [bad, "ann@600"]
    assert "there is no token" in caplog.text
    assert bad.strip() not in caplog.text.replace("ann@600", "")


async def test_renewal_ends_with_its_connection(lasting: Lasting) -> None:
    """However often a client comes back, one token is about to be renewed."""
    with Server(authenticator=_named(lasting)) as server:
        source: Callable[[], Token] = lambda: Token("ann", lasts_s=86400)  # noqa: E731
        async with connect(address(server), token=source, options=OPTIONS, wait=True) as document:
            before = len(anyio.get_running_tasks())
            for _ in range(5):
                session = document._core.session
                assert session is not None
                await session._socket.close()
                with anyio.fail_after(TIMEOUT_S):
                    await until(lambda last=session: document._core.session is not last)
                    await document.synced()
            await until(lambda: len(anyio.get_running_tasks()) == before)
