"""A document that very many clients wrote, as each does in time: one id for each page load."""

import pytest

from crdtsync.hub import Hub
from crdtsync.limits import Limits, naming
from crdtsync.protocol import SyncStep2, step_1_frame, step_2_frame, update_frame
from crdtsync.store.memory import MemoryStore

from .engine import Client, join, quick, until
from .wire import one, state_vector

pytestmark = pytest.mark.anyio


async def test_a_document_of_many_clients_is_named_by_its_clients() -> None:
    """Who has a document names all who wrote it, and who ever deleted: how many is up to it."""
    async with Hub(MemoryStore(), limits=quick(max_update_clients=4)) as hub:
        old, writer = await join(hub), await join(hub)
        for number in range(20):
            writer.say(update_frame(one(100 + number, 0, "0123456789")))
        await until(lambda: (old.read(), len(old.text))[1] == 200)
        with old.doc.transaction():
            for start in range(0, 150, 5):
                del old.text[start]
        whole = old.doc.get_update()
        back = Client(hub)
        back.doc.apply_update(whole)
        back.sync()
        back.say(step_2_frame(whole))
        await back.hears(SyncStep2)
        await until(lambda: (old.read(), len(old.text))[1] == 170)
        assert back.link.closed is None


async def test_a_vector_far_beyond_the_document_is_refused() -> None:
    """A client may know of others than the document: not of more than twice as many."""
    async with Hub(MemoryStore(), limits=quick(max_update_clients=4)) as hub:
        client = await join(hub)
        for number in range(20):
            client.say(update_frame(one(100 + number, 0, "x")))
        await until(lambda: hub.stats.updates_committed == 20)
        client.say(step_1_frame(state_vector(*((number, 1) for number in range(40)))))
        assert client.link.closed is None
        client.say(step_1_frame(state_vector(*((number, 1) for number in range(41)))))
        await until(lambda: client.link.closed is not None)
        assert client.link.closed is not None
        assert client.link.closed[0] == 4422


def test_the_limit_is_as_configured_for_a_document_of_fewer() -> None:
    """It is raised by what a document has, not lowered."""
    limits = Limits(max_update_clients=10)
    assert naming(limits, 5) is limits
    assert naming(limits, 6).max_update_clients == 12
