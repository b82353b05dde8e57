"""Exactly once, also where the process is killed in the middle of it."""

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from crdtsync.authoring.model import KeyReused
from crdtsync.documents.model import DocumentExists
from tests.processes import environment

from .dying import EDIT, KEY, WHO, hub_in

TIMEOUT_S = 60


@pytest.mark.parametrize(("when", "stored"), [("kept", "Hello"), ("committed", "Hello!")])
def test_killed_in_the_middle(tmp_path: Path, when: str, stored: str) -> None:
    """Whenever the process is killed, the request that comes again is done once in all."""

    async def prepare() -> None:
        async with hub_in(tmp_path) as hub:
            await hub.documents.create("doc", "Hello", root="text")

    async def again() -> None:
        async with hub_in(tmp_path) as hub:
            assert (await hub.documents.read("doc", format="text")).value == stored
            with pytest.raises(KeyReused):
                await hub.documents.edit("doc", [*EDIT, *EDIT], WHO, idempotency_key=KEY)
            for _ in range(3):
                edited = await hub.documents.edit("doc", EDIT, WHO, idempotency_key=KEY)
                assert (edited.changed, edited.sequence) == (True, 2)
            assert edited.replayed
            assert (await hub.documents.read("doc", format="text")).value == "Hello!"
        async with hub_in(tmp_path) as hub:  # and after a restart
            edited = await hub.documents.edit("doc", EDIT, WHO, idempotency_key=KEY)
            assert edited.replayed
            with pytest.raises(DocumentExists):
                await hub.documents.create("doc", "Hello", root="text")

    anyio.run(prepare)
    died = subprocess.run(
        [sys.executable, "-m", "tests.authoring.dying", str(tmp_path), when],
        cwd=Path(__file__).parents[2],
        env=environment(),
        timeout=TIMEOUT_S,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    anyio.run(again)
