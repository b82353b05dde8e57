"""The client against pycrdt-websocket's server, which confirms nothing either."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from crdtsync.client import connect
from tests.docs.kit import Process
from tests.ports import reserved_port

from .kit import OPTIONS, TIMEOUT_S, text_of, until_text

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """pycrdt-websocket as an ASGI application under Hypercorn."""
    with reserved_port() as port:
        arguments = ("-m", "hypercorn", "benchmarks.peers.pycrdt_server:app")
        folder: Path = tmp_path_factory.mktemp("other")
        with Process(*arguments, "--bind", f"127.0.0.1:{port}", cwd=folder) as process:
            process.wait_for("Running on")
            yield f"ws://127.0.0.1:{port}"


async def test_two_clients_share_a_document(other: str, anyio_backend: str) -> None:
    """Edits travel both ways and are known to be in its memory."""
    url = f"{other}/share-{anyio_backend}"
    # One behind the other: those who come to a new room at once, it may never answer.
    async with (
        connect(url, options=OPTIONS, wait=True) as ann,
        connect(url, options=OPTIONS, wait=True) as bob,
    ):
        with anyio.fail_after(TIMEOUT_S):
            text = text_of(ann)
            text += "Hello 👋"
            await ann.saved()
            assert ann.durable is False
            await until_text(bob, "Hello 👋")
            other_text = text_of(bob)
            del other_text[0:1]
            await bob.saved()
            await until_text(ann, "ello 👋")
