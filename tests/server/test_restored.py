"""A store that was restored from a backup: what programs remember of the other means nothing."""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from crdtsync.hub import Hub
from crdtsync.server.asgi import create_app
from crdtsync.store import open_store
from crdtsync.store.base import Record
from crdtsync.store.memory import MemoryStore
from tests.unit.engine import join, until

from .conftest import asgi_client, is_problem

pytestmark = pytest.mark.anyio

DOC = "/api/v1/documents/a"
HELLO: Any = {"roots": {"text": {"kind": "text", "value": "Hello"}}}
SHAPES = ("json", "text", "update", "rich")


def typed(text: str) -> dict[str, Any]:
    return {"operations": [{"op": "insert", "path": ["text"], "text": text}]}


@asynccontextmanager
async def served(folder: Path, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Serve what is in a folder."""
    store = open_store(f"{url}:{folder / 'store'}")
    async with (
        Hub(store) as hub,
        asgi_client(create_app(hub, lifespan=False)) as http,
    ):
        yield http


async def tags_of(http: httpx.AsyncClient) -> dict[str, str]:
    read = {shape: await http.get(DOC, params={"format": shape}) for shape in SHAPES}
    return {shape: answer.headers["etag"] for shape, answer in read.items()}


@pytest.mark.parametrize("url", ["sqlite", "file"])
async def test_tags_of_what_a_backup_lacks(url: str, tmp_path: Path) -> None:
    """A document that grows to the same length again after a restore is another state."""
    live, backup = tmp_path / "live", tmp_path / "backup"
    live.mkdir()
    async with served(live, url) as http:
        await http.put(DOC, json=HELLO)
        kept = await tags_of(http)
    shutil.copytree(live, backup)
    async with served(live, url) as http:
        assert await tags_of(http) == kept, "the same state, after a restart"
        await http.patch(DOC, json=typed(", Ada"))
        lost = await tags_of(http)
        again = await http.get(
            DOC, params={"format": "text"}, headers={"If-None-Match": lost["text"]}
        )
        assert again.status_code == 304
    shutil.rmtree(live)
    shutil.copytree(backup, live)
    async with served(live, url) as http:
        assert await tags_of(http) == kept
        done = await http.patch(DOC, json=typed(", Bob"), headers={"If-Match": kept["rich"]})
        assert done.status_code == 200
        for shape in SHAPES:
            read = await http.get(
                DOC, params={"format": shape}, headers={"If-None-Match": lost[shape]}
            )
            assert read.status_code == 200, shape
        wrong = await http.patch(DOC, json=typed("!"), headers={"If-Match": lost["text"]})
        is_problem(wrong, 412, "precondition-failed")
        current = await tags_of(http)
    async with served(live, url) as http:  # loaded again, from what was condensed
        assert await tags_of(http) == current
        done = await http.patch(DOC, json=typed("!"), headers={"If-Match": current["text"]})
        assert done.status_code == 200


class Ahead(MemoryStore):
    """A store that has a batch, and doesn't say so yet."""

    def __init__(self) -> None:
        super().__init__()
        self.gate: anyio.Event | None = None
        self.stored = False

    async def append(self, batch: Sequence[Record]) -> None:
        await super().append(batch)
        if self.gate is not None:
            self.stored = True
            await self.gate.wait()


async def test_a_tag_while_the_store_is_ahead() -> None:
    """What the store has and the room is not told of yet gets into tag and content alike."""
    store = Ahead()
    async with Hub(store) as hub, asgi_client(create_app(hub, lifespan=False)) as http:
        await http.put(DOC, json=HELLO)
    async with Hub(store) as hub, asgi_client(create_app(hub, lifespan=False)) as http:
        read: list[httpx.Response] = []

        async def get() -> None:
            read.append(await http.get(DOC, params={"format": "text"}))

        client = await join(hub, "a")
        store.gate = anyio.Event()
        client.type("!")
        async with anyio.create_task_group() as tasks:
            await until(lambda: store.stored)
            tasks.start_soon(get)
            await until(lambda: hub.rooms["a"].pins == 1)
            store.gate.set()
        await until(lambda: not hub.rooms["a"].uncommitted)
        await get()
        assert [each.text for each in read] == ["Hello!", "Hello!"]
        assert read[0].headers["etag"] == read[1].headers["etag"]
