"""Presence of a real server: in y-websocket, through kills, and through an orderly end."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pycrdt
import pytest

from crdtsync.protocol import update_frame
from tests.channels.people import read
from tests.client import Client
from tests.interop.conftest import javascript, node
from tests.interop.harness import REPOSITORY, Server

__all__ = ["javascript", "node"]

QUICK = ("--presence", "*", "--presence-interval-s", "50ms", "--presence-grace-s", "300ms")
PAGE = REPOSITORY / "docs" / "presence.md"


@pytest.mark.node
def test_the_documented_lines(node: Callable[..., str], tmp_path: Path) -> None:
    """y-websocket clients with the lines of the documentation see each other come and go."""
    lines = tmp_path / "lines.js"
    lines.write_text(re.findall(r"```js\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0])
    assert len(lines.read_text().splitlines()) <= 12
    script = Path(__file__).with_name("presence.mjs")
    with Server(tmp_path, *QUICK) as server:
        before_ms = int(time.time() * 1000)
        said = json.loads(node(script, str(lines), server.url))
    assert said["told"] == [["online", 1], ["busy", 1], ["online", 2], ["offline", 0]]
    ben = said["ben"]
    assert (ben["name"], ben["color"]) == ("<b>Ben</b>", "#00aa00")
    assert before_ms <= ben["lastSeen"] <= time.time() * 1000


def announce(client: Client, guest: str, status: str = "online") -> None:
    """Write a guest's key, and wait until the server counts its connections."""
    before = client.doc.get_state()
    client.doc.get("presence", type=pycrdt.Map)[guest] = {"status": status}
    client.ws.send(update_frame(client.doc.get_update(before)))
    client.receive_until(lambda: read(client.doc).get(guest, {}).get("connections") == 1)


def people(client: Client) -> dict[str, Any]:
    return {id: each["status"] for id, each in read(client.doc).items()}


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "stopped"])
def test_a_server_that_ends(killed: bool, tmp_path: Path) -> None:
    """After a kill, or an orderly end, nobody is there but those who have come since."""
    with Server(tmp_path, *QUICK) as server:
        with Client(f"{server.url}/room") as ann, Client(f"{server.url}/room") as ben:
            announce(ann.sync(), "guest-ann")
            announce(ben.sync(), "guest-ben", "busy")
            before_ms = read(ben.doc)["guest-ben"]["lastSeen"]
            if killed:
                server.kill()
            else:
                assert server.stop() == 0
        server.restart()
        with Client(f"{server.url}/room") as cora:
            cora.sync()
            if not killed:
                assert people(cora) == {"guest-ann": "offline", "guest-ben": "offline"}
            announce(cora, "guest-cora")
            gone = {"guest-ann": "offline", "guest-ben": "offline", "guest-cora": "online"}
            cora.receive_until(lambda: people(cora) == gone)
            ben_record = read(cora.doc)["guest-ben"]
            assert ben_record["connections"] == 0
            assert before_ms <= ben_record["lastSeen"] <= time.time() * 1000
