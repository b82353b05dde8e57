"""Pings, keepalives and peers that are gone."""

from crdtsync.limits import Limits
from crdtsync.protocol import KEEPALIVE

from .kit import CLOSE, PING, PONG, Server, typed, wait_until

QUICK = Limits(
    refusal_delay_s=0.01, housekeeping_interval_s=0.02, ping_interval_s=0.1, keepalive_s=1000
)


def test_who_answers_pings_stays(loop: str) -> None:
    """A client that does nothing but answer pings is not dropped."""
    with Server(loop, limits=QUICK) as server, server.synced() as peer:
        for _ in range(6):
            frame = peer.frame()
            assert frame is not None
            assert frame.opcode == PING
            peer.send_frame(PONG, frame.payload)
        peer.send(typed(1, 0, "alive"))
        peer.sync()


def test_who_is_silent_is_dropped(loop: str) -> None:
    """A peer that answers no ping is dropped without a word."""
    with Server(loop, limits=QUICK) as server, server.synced() as peer:
        opcodes = []
        try:
            while (frame := peer.frame()) is not None:
                opcodes.append(frame.opcode)
        except ConnectionResetError:
            pass
        assert set(opcodes) <= {PING}
        assert CLOSE not in opcodes
        wait_until(lambda: server.call(lambda: server.hub.connections) == 0, "it is gone")


def test_keepalive(loop: str) -> None:
    """A client that hears nothing gets an empty awareness message."""
    limits = Limits(
        refusal_delay_s=0.01, housekeeping_interval_s=0.02, ping_interval_s=1000, keepalive_s=0.1
    )
    with Server(loop, limits=limits) as server, server.synced() as peer:
        assert KEEPALIVE == b"\x01\x01\x00"
        for _ in range(3):
            assert peer.message() == KEEPALIVE
