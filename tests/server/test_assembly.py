"""A server's parts: each of them is there, as the configuration says, however it is started."""

from pathlib import Path

import httpx
import pytest

from crdtsync.auth import OpenAuthenticator
from crdtsync.config import Config
from crdtsync.guarding import guard_folder
from crdtsync.limits import Limits
from crdtsync.server.assembly import assemble
from crdtsync.server.doors import doors_of
from crdtsync.store import open_store

pytestmark = pytest.mark.anyio


async def test_every_part_is_there(tmp_path: Path) -> None:
    """Guard, quarantine, access database and audit log are opened with the hub."""
    audit_log = tmp_path / "audit.jsonl"
    config = Config(
        store=f"sqlite:{tmp_path / 'app.db'}",
        audit_log=str(audit_log),
        stamp_user=True,
        limits=Limits(max_document_name_bytes=5),
    )
    store = open_store(config.store)
    folder = guard_folder(store.url)
    assert folder is not None
    parts = assemble(config, store, OpenAuthenticator(), doors_of(config), folder=folder)
    transport = httpx.ASGITransport(parts.app(lifespan=False))
    async with (
        parts.running(),
        httpx.AsyncClient(transport=transport, base_url="http://test") as http,
    ):
        assert {"note", "refused.db", "access.db"} <= {each.name for each in folder.iterdir()}
        assert (await http.get("/health/ready")).status_code == 200
        assert (await http.get("/api/v1/documents/123456")).status_code == 400
        assert (await http.get("/api/v1/shares")).status_code == 403
    assert audit_log.exists()


async def test_parts_that_are_on_no_disk() -> None:
    """With a store in memory nothing is left behind, and all routes are there all the same."""
    config = Config(store="memory:")
    store = open_store(config.store)
    parts = assemble(config, store, OpenAuthenticator(), doors_of(config), folder=None)
    transport = httpx.ASGITransport(parts.app(lifespan=False))
    async with (
        parts.running(),
        httpx.AsyncClient(transport=transport, base_url="http://test") as http,
    ):
        assert (await http.get("/api/v1/documents")).json() == {"documents": [], "next": None}
        assert (await http.get("/api/v1/quarantine")).status_code == 403
