"""The client against y-websocket's own server under Node.js, which confirms nothing."""

from collections.abc import Iterator

import anyio
import anyio.to_thread
import pytest

from crdtsync.client import Status, connect

from .kit import OPTIONS, TIMEOUT_S, text_of, until, until_text
from .reference import Reference, reference_server

pytestmark = [pytest.mark.anyio, pytest.mark.node]


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    """One server for all."""
    with reference_server() as server:
        yield server


async def test_two_clients_share_a_document(reference: Reference, anyio_backend: str) -> None:
    """Edits and presence travel both ways."""
    url = f"{reference.url}/share/{anyio_backend}"
    async with (
        connect(url, options=OPTIONS, user={"name": "Ann"}) as ann,
        connect(url, options=OPTIONS, user={"name": "Bob"}) as bob,
    ):
        text = text_of(ann)
        text += "Hello 👋"
        await until_text(bob, "Hello 👋")
        names = {"Ann", "Bob"}

        def everybody() -> bool:
            return all(
                {state["user"]["name"] for state in each.awareness.states.values()} == names
                for each in (ann, bob)
            )

        await until(everybody)


async def test_saved_means_in_its_memory(reference: Reference, anyio_backend: str) -> None:
    """``saved()`` returns once the server has the edit, and ``durable`` says what that is worth."""
    url = f"{reference.url}/saved/{anyio_backend}"
    async with connect(url, options=OPTIONS) as document:
        with anyio.fail_after(TIMEOUT_S):
            for number in range(20):
                text = text_of(document)
                text += f"{number} "
                if number % 5 == 4:
                    del text[0:2]
                await document.saved()
                assert not document.unsaved
        assert document.durable is False
        async with connect(url, options=OPTIONS, wait=True) as other:
            assert str(text_of(other)) == str(text)


async def test_a_server_that_forgets_is_told_again(anyio_backend: str) -> None:
    """The server is killed and comes back empty: who was there brings the document back."""
    with reference_server() as reference:
        url = f"{reference.url}/doc"
        async with connect(url, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                text = text_of(document)
                text += "before"
                await document.saved()
                await anyio.to_thread.run_sync(reference.kill)
                await until(lambda: document.status is Status.OFFLINE)
                text += ", after"
                await anyio.to_thread.run_sync(reference.start)
                await document.saved()
            async with connect(url, options=OPTIONS, wait=True) as other:
                await until_text(other, "before, after")
