"""``crdtsync shares`` and ``revoke``, with the server stopped and beside a running one."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pycrdt
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from crdtsync.protocol import step_1_frame

from .invoking import STORES, in_a_folder, invoke, ok
from .running import server

TIMEOUT_S = 20.0


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_folder(tmp_path, monkeypatch)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store that is there, with no server on it."""
    monkeypatch.setenv("CRDTSYNC_STORE", request.param)
    doc: pycrdt.Doc = pycrdt.Doc()
    doc.get("text", type=pycrdt.Text).insert(0, "x")
    ok("documents", "import", "doc", "-", data=doc.get_update())
    return str(request.param)


def fails(*args: str) -> str:
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    return result.stderr


@contextmanager
def visit(port: str, token: str, **params: str) -> Iterator[ClientConnection]:
    query = "&".join(f"{name}={value}" for name, value in params.items())
    url = f"ws://127.0.0.1:{port}/doc?token={token}&{query}"
    with connect(url, proxy=None, compression=None) as client:
        client.send(step_1_frame(b"\x00"))
        assert client.recv(timeout=TIMEOUT_S)
        yield client


def closed(client: ClientConnection) -> tuple[int, str]:
    try:
        while True:
            client.recv(timeout=TIMEOUT_S)
    except ConnectionClosed as error:
        if error.rcvd is None:
            raise AssertionError("it broke without a close frame") from error
        return error.rcvd.code, error.rcvd.reason


def test_links_without_a_server(store: str) -> None:
    """They are made, listed, shown and revoked on the store alone."""
    made = json.loads(
        ok("shares", "create", "doc", "--label", "for Bob", "--max-uses", "3", "--json").stdout
    )
    assert made["token"].startswith(f"share.{made['id']}.")
    assert made["path"] == f"/doc?token={made['token']}"
    (listed,) = json.loads(ok("shares", "list", "--json").stdout)["shares"]
    assert (listed["id"], listed["label"], listed["role"]) == (made["id"], "for Bob", "read")
    assert "secret" not in ok("shares", "list", "--json").stdout
    assert "for Bob" in ok("shares", "list", "doc").stdout
    assert json.loads(ok("shares", "list", "other", "--json").stdout)["shares"] == []
    assert "No share links" in ok("shares", "list", "other").stderr
    assert "label\tfor Bob" in ok("shares", "show", made["id"]).stdout
    ok("shares", "revoke", made["id"])
    assert "\trevoked\t" in ok("shares", "list").stdout
    assert "no open share link" in fails("shares", "revoke", made["id"])
    assert "no open share link" in fails("shares", "show", "nonsense")


def test_the_token_alone_is_on_standard_output(store: str) -> None:
    """A script can take it from there; what people read is on standard error."""
    result = ok("shares", "create", "a b", "--expires", "7d", "--role", "write")
    assert result.stdout.count("\n") == 1
    token = result.stdout.strip()
    assert f"/a%20b?token={token}" in result.stderr
    assert token not in ok("shares", "list").stdout + ok("shares", "list", "--json").stdout


def test_roles_of_the_configuration_file(store: str, tmp_path: Path) -> None:
    """A link may give a role of the file's own."""
    (tmp_path / "crdtsync.toml").write_text('[roles.reviewer]\nwrite = [{ root = "comments" }]\n')
    made = json.loads(ok("shares", "create", "doc", "--role", "reviewer", "--json").stdout)
    assert made["role"] == "reviewer"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("create", "doc", "--role", "admin"), "manages links or the server"),
        (("create", "doc", "--role", "nonsense"), "no role of this name"),
        (("create", "doc", "--expires", "2001-01-01"), "expired already"),
        (("create", "doc", "--expires", "soon"), "2030-01-31T12:00Z"),
        (("create", "doc", "--password"), "password is empty"),
    ],
)
def test_links_that_make_no_sense(store: str, args: tuple[str, ...], message: str) -> None:
    """Each is refused with one line that says what is wrong."""
    assert message in fails("shares", *args)


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    """A wrong path makes no folder, and a store in memory is said to have none."""
    fails("shares", "list", "--store", "sqlite:nowhere.db")
    assert not list(tmp_path.iterdir())
    fails("shares", "list", "--store", "memory:")


def test_revocations_without_a_server(store: str) -> None:
    """Somebody is revoked, listed and reinstated on the store alone."""
    ok("revoke", "ann", "--before", "2026-01-01T00:00Z", "--until", "12h")
    (found,) = json.loads(ok("revoke", "--list", "--json").stdout)["revocations"]
    assert (found["principal"], found["before_ms"]) == ("ann", 1767225600000)
    assert 11 < (found["until_ms"] / 1000 - time.time()) / 3600 < 13
    assert "ann\t2026-01-01 00:00:00Z\t" in ok("revoke", "--list").stdout
    ok("revoke", "ann", "--undo")
    assert "ann is not revoked" in fails("revoke", "ann", "--undo")
    assert "Nobody is revoked" in ok("revoke", "--list").stderr
    made = json.loads(ok("shares", "create", "doc", "--json").stdout)
    ok("revoke", "--share", made["id"])
    assert "no open share link" in fails("revoke", "--share", made["id"])
    ok("revoke", "--share", made["id"], "--undo")
    assert "\topen\t" in ok("shares", "list").stdout


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("ann", "--list"),
        ("ann", "--share", "x"),
        ("--list", "--links"),
        ("--share", "x", "--before", "1h"),
        ("ann", "--before", "yesterday"),
        ("ann", "--until", "2001-01-01"),
        ("",),
    ],
)
def test_revocations_that_make_no_sense(store: str, args: tuple[str, ...]) -> None:
    """Each is refused."""
    fails("revoke", *args)


def test_beside_a_running_server(store: str, tmp_path: Path) -> None:
    """A visitor is seen by the command line, and sent away within a second or so."""
    with server(tmp_path, "--host", "127.0.0.1", "--port", "0", "--store", store) as running:
        port = running.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1]
        made = json.loads(
            ok("shares", "create", "doc", "--password", "--json", data="open sesame\n").stdout
        )
        with visit(port, made["token"], name="Bob", password="open%20sesame") as guest:
            deadline = time.monotonic() + TIMEOUT_S
            while not (seen := json.loads(ok("shares", "show", made["id"], "--json").stdout))[
                "visitors"
            ]:
                assert time.monotonic() < deadline
            (visitor,) = seen["visitors"]
            assert (visitor["name"], visitor["connections"]) == ("Bob", 1)
            assert "\t1\t" in ok("shares", "list").stdout
            begun = time.monotonic()
            ok("shares", "revoke", made["id"])
            assert closed(guest) == (4403, "the share link was revoked")
            assert time.monotonic() - begun < 4
        _, out, err = running.stop()
    secret = made["token"].split(".")[2]
    assert secret not in out + err
    assert "open sesame" not in out + err
    assert json.loads(ok("shares", "show", made["id"], "--json").stdout)["visitors"] == []
