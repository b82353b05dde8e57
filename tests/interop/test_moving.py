"""The scripts of ``docs/moving.md``: documents of other servers come here, as they were."""

import json
from pathlib import Path

import httpx
import pytest

from tests.docs.kit import blocks, page
from tests.needs import require

from .harness import NODE_MODULES, Server, run_node

FROM_LEVELDB, FROM_A_CLIENT = blocks(page("docs/moving.md"), "js")
STORED = {"notes": "notes", "a%20b/%C3%BC": "a b/ü", "50%25%3F": "50%?"}
"""As y-websocket's server names them, by the paths of URLs."""
FILL = """
import { LeveldbPersistence } from 'y-leveldb'
import * as Y from 'yjs'

const [folder, names] = process.argv.slice(2)
const store = new LeveldbPersistence(folder)
for (const [path, name] of Object.entries(JSON.parse(names))) {
  const doc = new Y.Doc()
  const updates = []
  doc.on('update', (update) => updates.push(update))
  doc.getText('text').insert(0, name)
  doc.getText('text').insert(0, 'this is ')
  for (const update of updates) await store.storeUpdate(path, update)
}
await store.destroy()
"""


def said(folder: Path, script: str, *arguments: str) -> list[str]:
    """Run a script where it finds its packages; return its lines."""
    packages = folder / "node_modules"
    if not packages.is_symlink():
        packages.symlink_to(NODE_MODULES)
    file = folder / "move.mjs"
    file.write_text(script.replace("'y-websocket'", "'y-websocket-3.1'"), "utf-8")
    return sorted(run_node(file, *arguments).splitlines())


def text(server: Server, name: str) -> str:
    path = name.replace("%", "%25").replace("?", "%3F")
    return httpx.get(f"{server.http}/api/v1/documents/{path}?format=text").text


@pytest.mark.usefixtures("javascript")
def test_from_leveldb(shared_server: Server, tmp_path: Path) -> None:
    """What y-websocket's server has stored comes under the names that clients use."""
    require((NODE_MODULES / "y-leveldb").is_dir(), "y-leveldb is not installed")
    folder = str(tmp_path / "level")
    names = json.dumps(STORED)
    assert said(tmp_path, FILL, folder, names) == []
    for status in (201, 409):
        expected = sorted(f"{status} {name}" for name in STORED.values())
        assert said(tmp_path, FROM_LEVELDB, folder, shared_server.http) == expected
    for name in STORED.values():
        assert text(shared_server, name) == f"this is {name}"


@pytest.mark.usefixtures("javascript")
def test_from_a_client(shared_server: Server, tmp_path: Path) -> None:
    """What a client is shown by another server comes, and nothing else."""
    update = {"Content-Type": "text/plain"}
    with Server(tmp_path) as other:
        for name in ("one", "two"):
            url = f"{other.http}/api/v1/documents/moved/{name}"
            assert httpx.put(url, content=f"this is {name}", headers=update).status_code == 201
        names = [f"moved/{name}" for name in ("one", "two", "none")]
        lines = said(tmp_path, FROM_A_CLIENT, other.url, shared_server.http, *names)
    assert lines == ["201 moved/one", "201 moved/two", "422 moved/none"]
    assert text(shared_server, "moved/one") == "this is one"
