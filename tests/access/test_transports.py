"""Sessions, links and revocations end to end: the real server, on both of its transports."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from crdtsync.auth import ConnectRequest
from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from crdtsync.protocol import AuthMessage, token_frame
from crdtsync.roles import ADMIN, READ, WRITE
from crdtsync.store import open_store
from tests.native.kit import Server
from tests.server.harness import TIMEOUT_S, Client

SECRETS = ("ann-secret-token", "open-sesame", "a-wrong-guess")


class Issuer:
    """Tokens that last: ``ROLE:SECONDS``, of one person with one secret."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        match request.token.split(":"):
            case ["ann-secret-token", role, seconds]:
                now_s = time.time()
                role_ = {"read": READ, "write": WRITE, "admin": ADMIN}[role]
                return Principal(
                    id="ann", role=role_, expires_s=now_s + float(seconds), issued_s=now_s
                )
        raise Unauthenticated("the token is not valid")


@pytest.fixture(params=["native", "asgi"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server with a store on a disk, on one transport."""
    store = open_store(f"sqlite:{tmp_path / 'store.db'}")
    with Server("uvloop", store=store, authenticator=Issuer(), transport=request.param) as server:
        assert server.listening.transport == request.param
        yield server


def ann(role: str, seconds: float) -> str:
    return f"ann-secret-token:{role}:{seconds}"


def connect(server: Server, token: str, **options: Any) -> Client:
    url = f"ws://127.0.0.1:{server.port}/doc"
    return Client(f"{url}?token={token}" if token else url, **options)


def api(server: Server, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {ann('admin', 60)}"}
    url = f"{server.url}/api/v1{path}"
    return httpx.request(method, url, headers=headers, timeout=TIMEOUT_S, **options)


def share(server: Server, **fields: Any) -> dict[str, Any]:
    response = api(server, "POST", "/shares", json={"document": "doc", "role": "read"} | fields)
    assert response.status_code == 201, response.text
    return dict(response.json())


def hand_in(client: Client, token: str) -> bytes:
    """Send a token; return the answer."""
    client.ws.send(token_frame(token))
    while True:
        frame = client.ws.recv(timeout=TIMEOUT_S)
        assert isinstance(frame, bytes)
        if frame[0] == 101:
            return frame


def test_expiry_within_five_seconds(server: Server) -> None:
    """A token that ends closes its connection with 4401, not before and at most 5 s later."""
    begun = time.time()
    with connect(server, ann("write", 1.5)).sync() as client:
        client.append("typed in time")
        reasons, close = client.refusal()
    assert 1.5 <= time.time() - begun < 1.5 + 5
    assert (close.code, close.reason) == (4401, "the token has expired")
    assert reasons == ["the token has expired"]
    assert server.text() == "typed in time"


def test_a_fresh_token(server: Server) -> None:
    """One connection lives through two tokens, changes role with them, and ends with the last."""
    with connect(server, ann("write", 1.5)).sync() as client:
        assert hand_in(client, ann("read", 100)) in (b"\x65\x00\x63", b"\x65\x00\x64")
        client.append("refused")
        client.receive_until(lambda: any(isinstance(m, AuthMessage) for m in client.messages))
        assert hand_in(client, "nonsense") == b"\x65\x01\x16the token is not valid"
        assert hand_in(client, ann("write", 1))[:2] == b"\x65\x00"
        _, close = client.refusal()
    assert close.code == 4401
    assert server.text() == ""


def test_another_role(server: Server) -> None:
    """What a program changes holds for an open connection at once."""
    with connect(server, ann("write", 100)).sync() as client:
        changed = server.call(lambda: server.hub.sessions.update_principal("ann", role=READ))
        assert changed == 1
        client.append("refused")
        client.receive_until(lambda: any(isinstance(m, AuthMessage) for m in client.messages))
        server.call(lambda: server.hub.sessions.update_principal("ann", role=None))
        _, close = client.refusal()
    assert close.code == 4403


def test_a_revoked_principal(server: Server) -> None:
    """Over HTTP it is closed at once; its old token is refused, one issued later is taken."""
    with connect(server, ann("write", 100)).sync() as client:
        response = api(server, "POST", "/revocations", json={"principal": "ann"})
        assert (response.status_code, response.json()["closed"]) == (201, 1)
        _, close = client.refusal()
    assert (close.code, close.reason) == (4401, "the token was revoked")
    with connect(server, ann("write", 100)).sync():
        pass


def test_a_visit(server: Server) -> None:
    """A visitor follows, is seen by the owner, can't edit, and goes when the link is revoked."""
    made = share(server, label="for Bob")
    with (
        connect(server, ann("write", 100)).sync() as owner,
        connect(server, made["token"] + "&name=Bob%20B").sync() as guest,
    ):
        owner.append("hello")
        guest.receive_until(lambda: str(guest.text) == "hello")
        (visitor,) = api(server, "GET", f"/shares/{made['id']}").json()["visitors"]
        assert (visitor["name"], visitor["connections"]) == ("Bob B", 1)
        guest.append(" from me")
        guest.receive_until(lambda: any(isinstance(m, AuthMessage) for m in guest.messages))
        begun = time.monotonic()
        assert api(server, "DELETE", f"/shares/{made['id']}").status_code == 204
        _, close = guest.refusal()
        assert time.monotonic() - begun < 2
        assert (close.code, close.reason) == (4403, "the share link was revoked")
        owner.append("!")
        assert api(server, "GET", f"/shares/{made['id']}").json()["visitors"] == []
    with connect(server, made["token"]) as late:
        assert late.closed().code == 4403


def test_a_link_that_ends(server: Server) -> None:
    """A visitor is sent away when the link expires, at most 5 s later."""
    end_s = time.time() + 1.5
    expires = (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end_s)) + f".{int(end_s % 1 * 1000):03}Z"
    )
    made = share(server, expires=expires)
    with connect(server, made["token"]).sync() as guest:
        _, close = guest.refusal()
    assert -0.01 <= time.time() - end_s < 5
    assert (close.code, close.reason) == (4403, "the share link has expired")


def test_a_password(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """It comes within the token, in a subprotocol that no log shows; no secret is logged."""
    caplog.set_level(logging.DEBUG)
    made = share(server, password="open-sesame")
    with connect(server, made["token"]) as guest:
        assert guest.refusal()[0] == ["the share link wants a password"]
    with connect(server, made["token"] + "&password=a-wrong-guess") as guest:
        assert guest.refusal()[0] == ["the password is wrong"]
    encoded = "b3Blbi1zZXNhbWU"
    offered = ["crdtsync", f"token.{made['token']}.{encoded}"]
    with connect(server, "", subprotocols=offered).sync() as guest:
        assert guest.ws.subprotocol == "crdtsync"
    with connect(server, made["token"] + "&password=open-sesame").sync() as guest:
        hand_in(guest, ann("write", 100))
    for secret in (*SECRETS, made["token"].split(".")[2], encoded):
        ours = [r for r in caplog.records if r.name.startswith(("crdtsync", "picows"))]
        assert not any(secret in record.getMessage() for record in ours)


def test_too_many_guesses(server: Server) -> None:
    """Who guesses on is closed with 4429; who has an account is let in."""
    limit = server.hub.limits.share_failures_per_minute
    for _ in range(limit):
        with connect(server, "share.nothing") as guest:
            assert guest.closed().code == 4401
    with connect(server, "share.nothing") as guest:
        assert guest.closed().code == 4429
    with connect(server, ann("write", 100)).sync():
        pass
