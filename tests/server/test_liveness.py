"""Peers that fall silent: who is asked, who is dropped, and who is left alone."""

from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed

from crdtsync.limits import Limits
from crdtsync.protocol import AwarenessMessage, QueryAwareness

from .harness import SERVERS, Client, Server, running

LIMITS = Limits(ping_interval_s=0.15, housekeeping_interval_s=0.05, keepalive_s=0.2)
HERE = b"\x01\x0b\x01\x05\x01\x07" + b'{"a":1}'


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param, limits=LIMITS) as server:
        yield server


def asked(client: Client) -> int:
    """Return how often the server asked for a sign of life."""
    return sum(isinstance(message, QueryAwareness) for message in client.messages)


def test_a_silent_peer_is_asked_and_dropped(server: Server) -> None:
    """A peer that has shown awareness and does not answer the question is dropped."""
    with Client(server.url("silent")).sync() as client:
        client.ws.send(HERE)
        with pytest.raises(ConnectionClosed):
            client.receive_until(lambda: False)
        assert asked(client) == 1


def test_a_peer_that_answers_stays(server: Server) -> None:
    """A peer that answers is asked again and again."""
    with Client(server.url("answers")).sync() as client:
        client.ws.send(HERE)
        while asked(client) < 4:
            if isinstance(client.receive(), QueryAwareness):
                client.ws.send(HERE)


def test_a_peer_without_awareness_stays(server: Server) -> None:
    """A peer that never showed awareness gets keepalives, and is not dropped for silence."""
    with Client(server.url("plain")).sync() as client:
        keepalive = AwarenessMessage(b"\x00")
        client.receive_until(lambda: client.messages.count(keepalive) > 5)
        assert asked(client) == 0
