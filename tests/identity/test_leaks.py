"""No token shows: not in logs, errors or metrics, not in a repr, on either transport or REST."""

import base64
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from crdtsync.identity import JWTAuthenticator
from crdtsync.identity.keys import read_keys
from crdtsync.identity.tokens import read_token
from crdtsync.protocol import AuthMessage, decode_frame, token_frame
from tests.docs.kit import Client, Process

from .forgeries import FORGERIES
from .making import OTHER_SECRET, SECRET, issue

ANSWER = 101
"""How the answer to a token on an open connection begins."""
HERE = Path(__file__).parent
KEPT = {"text": [], "json": ["--log-format", "json"]}
SERVE = ("-m", "crdtsync", "serve", "--host", "127.0.0.1", "--port", "0", "--store", "memory:")
QUICK = ("--refusal-delay-s", "10ms", "--log-level", "debug")


def honest(sub: str = "ada", **claims: object) -> str:
    """Return a token that holds now."""
    said = {"sub": sub, "exp": int(time.time()) + 600, "documents": {"doc": "write"}, **claims}
    return issue(SECRET, "HS256", said)


def forged() -> dict[str, str]:
    """Return a few tokens that are refused in different places."""
    now_s = int(time.time())
    return {
        "another secret": issue(OTHER_SECRET, "HS256", {"sub": "eve", "exp": now_s + 600}),
        "expired": honest(exp=now_s - 600),
        "no access": honest(documents={"other": "write"}),
        "alg none": FORGERIES["alg 'none'"](),
        "alg none, signed": FORGERIES["alg 'none' with a signature"](),
        "public key": FORGERIES["HS256 with the public key, no kid"](),
        "kid": FORGERIES["kid '/etc/passwd'"](),
        "jwk": FORGERIES["jwk"](),
        "wrong types": honest(documents=["doc"]),
        "no JSON": FORGERIES["the header is no JSON"](),
        "huge": honest(padding="x" * 9000),
        "a word": "a-secret-word-of-some-length",
    }


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[Process, int]]:
    """Run a server that checks tokens, with debug logging; hand out its port."""
    (folder / "secret").write_bytes(SECRET)
    arguments = (*SERVE, "--auth", "jwt", "--auth-key-file", "secret", *QUICK)
    with Process(*arguments, *options, cwd=folder) as process:
        yield process, int(process.wait_for(r"http://127\.0\.0\.1:(\d+)")[1])


def upgraded(port: int, token: str, way: str) -> tuple[int, str, str]:
    """Bring a token in one of three ways; return close code, reason, and the reason before it."""
    url = f"ws://127.0.0.1:{port}/doc"
    match way:
        case "query":
            socket = connect(f"{url}?token={quote(token)}", proxy=None)
        case "header":
            socket = connect(
                url, proxy=None, additional_headers={"Authorization": f"Bearer {token}"}
            )
        case _:
            socket = connect(url, proxy=None, subprotocols=[Subprotocol(f"token.{token}")])
    with socket:
        code, reason, frames = ended(socket)
    messages = [message for frame in frames for message in decode_frame(frame)]
    told = [message.reason for message in messages if isinstance(message, AuthMessage)]
    return code, reason, "".join(told)


def ended(socket: ClientConnection) -> tuple[int, str, list[bytes]]:
    """Receive until the server closes; return the code, the reason, and what came before."""
    frames: list[bytes] = []
    while True:
        try:
            frame = socket.recv(timeout=10)
        except ConnectionClosed as closed:
            close = closed.rcvd or Close(1006, "")
            return close.code, close.reason, frames
        frames.append(frame if isinstance(frame, bytes) else frame.encode())


def get(port: int, path: str, token: str = "", *, query: bool = False) -> tuple[int, str]:
    """Ask over HTTP; return the status, and all that came back."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Authorization": f"Bearer {token}"} if token and not query else {}
    connection.request("GET", f"{path}?token={quote(token)}" if query else path, headers=headers)
    answer = connection.getresponse()
    text = f"{answer.headers}{answer.read().decode('utf-8', 'replace')}"
    connection.close()
    return answer.status, text


def pieces(token: str) -> list[str]:
    """Return what of a token must be nowhere: each part, and what the parts say."""
    found = [part for part in token.split(".") if len(part) > 12]
    for part in token.split(".")[:2]:
        try:
            found.append(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode())
        except ValueError:
            continue
    return [piece for piece in found if len(piece) > 12] or [token]


@pytest.mark.parametrize("transport", ["native", "asgi"])
@pytest.mark.parametrize("log_format", KEPT)
def test_a_server_shows_no_token(tmp_path: Path, transport: str, log_format: str) -> None:
    """Forged and honest tokens, by every way in: each is refused or let in, and shows nowhere."""
    tokens = forged()
    seen: list[str] = []
    with serving(tmp_path, "--transport", transport, *KEPT[log_format]) as (process, port):
        for name, token in tokens.items():
            ways = ["query"] if name in ("huge", "alg none") else ["query", "header", "protocol"]
            for way in ways:
                code, reason, told = upgraded(port, token, way)
                assert code == (4403 if name == "no access" else 4401), name
                assert told == reason
                seen.append(reason)
            for query in (False, True):
                status, text = get(port, "/api/v1/documents/doc", token, query=query)
                assert status == (403 if name == "no access" else 401), name
                seen.append(text)
        good = honest()
        with Client(f"ws://127.0.0.1:{port}/doc?token={good}") as client:
            client.sync().append("let in")
            status, text = get(port, "/api/v1/documents/doc", good)
            assert status in (200, 404)
            seen.append(text)
        fresh = honest(jti="another one")
        with connect(f"ws://127.0.0.1:{port}/doc?token={good}", proxy=None) as socket:
            for token in (tokens["another secret"], tokens["expired"], fresh):
                socket.send(token_frame(token))
                while (frame := socket.recv(timeout=10))[:1] != bytes((ANSWER,)):
                    pass
                seen.append(repr(frame))
            assert frame[1] == 0, "the fresh token is taken"
        assert get(port, "/api/v1/documents/doc", good, query=True)[0] in (200, 404)
        status, metrics = get(port, "/metrics")
        assert status == 200
        assert 'reason="unauthenticated"' in metrics or "unauthenticated" in metrics
        seen += [metrics, get(port, "/")[1]]
        assert process.stop() == 0
    seen.append(process.output)
    everything = "\n".join(seen)
    for token in (*tokens.values(), good, fresh):
        for piece in pieces(token):
            assert piece not in everything
            assert quote(piece) not in everything
    assert SECRET.decode() not in everything
    assert "Traceback" not in process.output


@pytest.mark.parametrize("transport", ["native", "asgi"])
def test_an_authenticator_that_fails(tmp_path: Path, transport: str) -> None:
    """Errors of a program's own authenticator, which hold the token, are logged without it."""
    token = "abcdefgh.ijklmnopqrstuvwx.yz0123456789+/ secret"
    script = str(HERE / "failing_server.py")
    seen: list[str] = []
    with Process(script, transport, cwd=tmp_path) as process:
        port = int(process.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1])
        for document in ("error", "nested", "reason"):
            url = f"ws://127.0.0.1:{port}/{document}?token={quote(token)}"
            with connect(url, proxy=None) as socket:
                code, reason, frames = ended(socket)
            assert code == (4401 if document == "reason" else 1013)
            seen += [reason, *map(repr, frames)]
            seen.append(get(port, f"/api/v1/documents/{document}", token, query=True)[1])
        assert process.stop() == 0
    assert process.output.count("the authenticator failed") == 4
    assert "ValueError" in process.output
    everything = process.output + "\n".join(seen)
    for piece in (token, quote(token), "ijklmnopqrstuvwx", "yz0123456789"):
        assert piece not in everything


def test_two_tokens_that_differ(tmp_path: Path) -> None:
    """A request with two tokens is refused everywhere, even if one of them is good."""
    good, other = honest(), honest("eve")
    for transport in ("native", "asgi"):
        with serving(tmp_path, "--transport", transport) as (_, port):
            url = f"ws://127.0.0.1:{port}/doc?token={good}"
            header = {"Authorization": f"Bearer {other}"}
            with connect(url, proxy=None, additional_headers=header) as socket:
                code, reason, _ = ended(socket)
            assert code == 4401
            assert "several tokens" in reason
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", f"/api/v1/documents?token={good}", headers=header)
            answer = connection.getresponse()
            assert answer.status == 401
            assert (answer.getheader("www-authenticate") or "").startswith("Bearer")
            assert "several tokens" in json.loads(answer.read())["detail"]
            connection.close()


def test_the_config_command_shows_no_secret(tmp_path: Path) -> None:
    """A key in the place of its file, and a password or query in a URL, are not printed."""
    for option, value in (
        ("--auth-key-file", "c2VjcmV0LXNlY3JldC1zZWNyZXQ"),
        ("--auth-jwks-url", "https://ada:c2VjcmV0@id.example.org/jwks?key=c2VjcmV0"),
    ):
        for form in ([], ["--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "crdtsync", "config", option, value, *form],
                cwd=tmp_path, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert "c2VjcmV0" not in done.stdout + done.stderr
            assert done.returncode == 2  # as of a server: nobody would be asked for a token
            assert done.stdout
    (tmp_path / "key.pem").write_bytes(SECRET)
    options = ["--auth", "jwt", "--auth-key-file", "key.pem"]
    done = subprocess.run(
        [sys.executable, "-m", "crdtsync", "config", *options],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert SECRET.decode() not in done.stdout + done.stderr
    assert "auth_key_file\tkey.pem\t--auth-key-file" in done.stdout


def test_nothing_shows_itself(tmp_path: Path) -> None:
    """Whoever prints what is in memory prints neither tokens nor keys."""
    (tmp_path / "secret").write_bytes(SECRET)
    authenticator = JWTAuthenticator(key_file=tmp_path / "secret")
    good = honest()
    token = read_token(good, max_bytes=8192)
    keys = read_keys(SECRET)
    shown = repr([token, keys, keys.keys, authenticator, vars(authenticator), authenticator.rules])
    assert not any(piece in shown for piece in pieces(good))
    assert SECRET.decode() not in shown
