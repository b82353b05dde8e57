"""Who gets in: authentication of WebSockets, its refusals and limits, and where tokens are."""

import threading
import time
from collections.abc import Iterator

import anyio
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.errors import Forbidden, Unauthenticated, Unavailable
from crdtsync.gate import Principal
from crdtsync.limits import Limits
from crdtsync.protocol import AuthMessage, SyncUpdate, step_1_frame
from crdtsync.server import admission

from .harness import SERVERS, Client, Server, running

LIMITS = Limits(refusal_delay_s=0.1, max_connections=3)


class Doorkeeper:
    """Lets some tokens in and refuses each other one in its own way."""

    def __init__(self) -> None:
        self.requests: list[ConnectRequest] = []
        self.open = threading.Event()

    async def authenticate(self, request: ConnectRequest) -> Principal:
        self.requests.append(request)
        match request.token:
            case "good":
                return Principal(id="someone")
            case "viewer":
                return Principal(id="viewer", read_only=True)
            case "slow":
                await anyio.to_thread.run_sync(self.open.wait)
                return Principal(id="late")
            case "stuck":
                await anyio.sleep_forever()
            case "other":
                raise Forbidden("this document is not yours")
            case "later":
                raise Unavailable("the directory does not answer")
            case "bug":
                raise KeyError("secret detail")
        raise Unauthenticated("sign in first")


@pytest.fixture(scope="module")
def doorkeeper() -> Doorkeeper:
    return Doorkeeper()


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, doorkeeper: Doorkeeper) -> Iterator[Server]:
    """A server that wants tokens, one of each kind."""
    with running(request.param, authenticator=doorkeeper, limits=LIMITS) as server:
        yield server


@pytest.mark.parametrize(
    ("token", "code", "reason"),
    [
        ("", 4401, "sign in first"),
        ("other", 4403, "this document is not yours"),
    ],
)
def test_refusal(server: Server, token: str, code: int, reason: str) -> None:
    """A refused client is told the reason first, and closed for good a moment later."""
    with Client(server.url(f"doc?token={token}")) as client:
        message = client.receive()
        told = time.monotonic()
        close = client.closed()
        waited = time.monotonic() - told
    assert message == AuthMessage(reason)
    assert (close.code, close.reason) == (code, reason)
    assert client.messages == [message]
    assert waited > LIMITS.refusal_delay_s / 2


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("later", "the directory does not answer"),
        ("bug", "authentication is not possible at the moment"),
    ],
)
def test_not_at_the_moment(server: Server, token: str, reason: str) -> None:
    """Where authentication itself fails, the client comes back later, and sees no details."""
    with Client(server.url(f"doc?token={token}")) as client:
        close = client.closed()
    assert (close.code, close.reason) == (1013, reason)


def test_a_stuck_authenticator(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authenticator that does not answer keeps no connection for ever."""
    monkeypatch.setattr(admission, "AUTHENTICATION_TIMEOUT_S", 0.05)
    with Client(server.url("doc?token=stuck")) as client:
        close = client.closed()
    assert close.code == 1013


def test_refusals_are_counted(server: Server) -> None:
    """Every refusal shows in the metrics, by its kind."""
    before = server.hub.stats.rejected["unauthenticated"]
    with Client(server.url("doc")) as client:
        client.closed()
    assert server.hub.stats.rejected["unauthenticated"] == before + 1


@pytest.mark.parametrize(
    "options",
    [
        {"path": "doc?token=good"},
        {"path": "doc", "additional_headers": {"Authorization": "Bearer good"}},
        {"path": "doc", "subprotocols": ["crdtsync", "token.good"]},
        {"path": "doc", "subprotocols": ["token.good", "crdtsync"]},
    ],
)
def test_where_tokens_come_from(
    server: Server, doorkeeper: Doorkeeper, options: dict[str, object]
) -> None:
    """A token gets in by query, header or subprotocol, and is never sent back."""
    options = dict(options)
    with Client(server.url(str(options.pop("path"))), **options).sync() as client:
        assert client.ws.subprotocol in (None, "crdtsync")
        assert (client.ws.subprotocol == "crdtsync") == ("subprotocols" in options)
    assert doorkeeper.requests[-1].token == "good"


def test_what_the_authenticator_gets(server: Server, doorkeeper: Doorkeeper) -> None:
    """The authenticator sees document, parameters, headers and the peer's address."""
    url = server.url("a%20b/c?token=good&role=x%26y")
    with Client(url, additional_headers={"X-Team": "blue"}).sync():
        request = doorkeeper.requests[-1]
    assert request.document == "a b/c"
    assert request.params == {"role": "x&y"}
    assert request.headers["x-team"] == "blue"
    assert request.address == "127.0.0.1"


def test_frames_during_authentication_wait(server: Server, doorkeeper: Doorkeeper) -> None:
    """What a client sends before it is let in is kept, and answered afterwards."""
    doorkeeper.open.clear()
    with Client(server.url("early?token=slow")) as client:
        client.ws.send(step_1_frame(b"\x00"))
        client.append("early")
        doorkeeper.open.set()
        client.sync()
        with Client(server.url("early?token=good")).sync() as other:
            other.receive_until(lambda: str(other.text) == "early")


def test_a_viewer_reads_and_is_told(server: Server) -> None:
    """A read-only client follows; its edit is denied, told, and reaches nobody."""
    with (
        Client(server.url("view?token=viewer")).sync() as viewer,
        Client(server.url("view?token=good")).sync() as writer,
    ):
        writer.append("seen")
        viewer.receive_until(lambda: str(viewer.text) == "seen")
        refused = viewer.append(" and denied")
        viewer.receive_until(lambda: any(isinstance(m, AuthMessage) for m in viewer.messages))
        writer.append("!")
        viewer.receive_until(lambda: "!" in str(viewer.text))
        assert SyncUpdate(refused) not in writer.messages


def test_too_many_connections(server: Server) -> None:
    """Above the limit a client is refused, and let in once another has gone."""
    url = server.url("full?token=good")
    with Client(url).sync(), Client(url).sync():
        with Client(url).sync(), Client(url) as refused:
            assert refused.closed().code == 1013
        _until_let_in(url)


def _until_let_in(url: str) -> None:
    for _ in range(100):
        with Client(url) as client:
            if not isinstance(client.receive(), AuthMessage):
                return
    raise AssertionError("nobody was let in")
