"""Tokens that end, and the recipes of docs/sessions.md, with real y-websocket clients."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.kit import blocks, page

from .harness import HERE, VERSIONS, Clients, Server

pytestmark = pytest.mark.node

PACKAGES = {version: f"y-websocket-{version}" for version in VERSIONS} | {"4.0": "@y/websocket"}

PROGRAM = """
import * as Y from '%(yjs)s'
import WebSocket from 'ws'
import { WebsocketProvider } from '%(package)s'
%(recipe)s
globalThis.WebSocket = WebSocket
const doc = new Y.Doc()
const provider = new WebsocketProvider('%(server)s', '%(room)s', doc, {
  WebSocketPolyfill: WebSocket, disableBc: true, params: { token: 'ann:write:1.5' }
})
const found = { closes: [] }
provider.on('connection-close', event => event && found.closes.push(event.code))
await new Promise(resolve => provider.once('synced', resolve))
found.left = await handIn(provider, 'ann:write:100')
found.refused = await handIn(provider, 'bob:write:100').catch(error => error.message)
found.nonsense = await handIn(provider, 'nonsense').catch(error => error.message)
await new Promise(resolve => setTimeout(resolve, 3500))
found.connected = provider.wsconnected
const answer = new Promise(resolve => { provider.messageHandlers[2] = () => resolve('denied') })
found.read = await handIn(provider, 'ann:read:100')
const root = doc.getText ? doc.getText('text') : doc.get('text')
root.insert(0, 'x')
found.edit = await answer
console.log(JSON.stringify(found))
process.exit(0)
"""


COMING_BACK = """
import * as Y from 'yjs'
import WebSocket from 'ws'
import { WebsocketProvider } from 'y-websocket-3.1'
globalThis.WebSocket = WebSocket
const freshToken = async () => 'ann:write:100'
const provider = new WebsocketProvider('%(server)s', '%(room)s', new Y.Doc(), {
  WebSocketPolyfill: WebSocket, disableBc: true, params: { token: 'ann:write:1' }
})
%(recipe)s
const found = { closes: [], synced: 0 }
provider.on('connection-close', event => event && found.closes.push(event.code))
await new Promise(resolve => provider.on('sync', synced => {
  if (synced && ++found.synced === 2) resolve()
}))
found.token = provider.params.token
console.log(JSON.stringify(found))
process.exit(0)
"""


def run(program: str) -> dict[str, Any]:
    """Run a module where the clients are installed; return the JSON that it prints last."""
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", program],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def timed(javascript: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose tokens end (timed_server.py)."""
    with Server(tmp_path_factory.mktemp("timed"), script=HERE / "timed_server.py") as server:
        yield server


@pytest.mark.parametrize("version", ["1.5", "3.1", "4.0"])
def test_the_recipe_for_a_fresh_token(version: str, timed: Server, room: str) -> None:
    """The page's own code keeps a connection past the end of its token, and says what is wrong."""
    (recipe,) = (block for block in blocks(page("docs/sessions.md"), "js") if "handIn" in block)
    program = PROGRAM % {
        "yjs": "@y/y" if version == "4.0" else "yjs",
        "package": PACKAGES[version],
        "recipe": recipe,
        "server": timed.url,
        "room": room,
    }
    found = run(program)
    assert found == {
        "closes": [],
        "left": found["left"],
        "refused": "the token is somebody else's",
        "nonsense": "the token is not valid",
        "connected": True,
        "read": found["read"],
        "edit": "denied",
    }
    assert 98 <= found["left"] <= 100


def test_the_recipe_for_a_token_that_ended(timed: Server, room: str) -> None:
    """The page's own code gets a new token when 4401 says that the last one ended, and is back."""
    (recipe,) = (block for block in blocks(page("docs/sessions.md"), "js") if "freshToken" in block)
    assert run(COMING_BACK % {"recipe": recipe, "server": timed.url, "room": room}) == {
        "closes": [4401],
        "synced": 2,
        "token": "ann:write:100",
    }


def test_a_client_whose_token_ends(clients: Clients, timed: Server, room: str) -> None:
    """It is told with 4401, stops, and comes back with another token."""
    client = clients.open("3.1", timed.url, room, params={"token": "ann:write:1"}, text="kept")
    client.wait(synced=True)
    seen = client.wait(events={"closed": 1})
    assert seen["closed"]["code"] == 4401
    again = clients.open("3.1", timed.url, room, params={"token": "ann:write:100"})
    again.wait(text="kept", synced=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_visitor(version: str, clients: Clients, timed: Server, room: str) -> None:
    """Clients of all versions come by a link, follow, and are sent away when it is revoked."""
    made = api(timed, "POST", "/shares", {"document": room, "role": "read"})
    writer = clients.open(version, timed.url, room, params={"token": "ann:write:100"}, text="hi")
    writer.wait(synced=True)
    visitor = clients.open(version, timed.url, room, params={"token": made["token"], "name": "Bob"})
    visitor.wait(text="hi", synced=True)
    (seen,) = api(timed, "GET", f"/shares/{made['id']}")["visitors"]
    assert seen["name"] == "Bob"
    api(timed, "DELETE", f"/shares/{made['id']}")
    visitor.wait(warning="the share link was revoked", events={"connection-close": 1})


def api(server: Server, method: str, path: str, body: object = None) -> dict[str, object]:
    """Call the HTTP API as an administrator."""
    request = urllib.request.Request(
        f"{server.http}/api/v1{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer root:admin:100", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return dict(json.loads(response.read() or b"{}"))
