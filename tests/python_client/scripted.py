"""A server that says what a test wants, in a thread of its own."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

__all__ = ["Handler", "drain", "raw_server", "scripted_server"]

Handler = Callable[[ServerConnection, int], None]
"""Gets each connection, and how many came before it."""


def drain(connection: ServerConnection) -> list[bytes]:
    """Read until the client goes; return what it sent."""
    found: list[bytes] = []
    with suppress(ConnectionClosed):
        for frame in connection:
            assert isinstance(frame, bytes)
            found.append(frame)
    return found


@contextmanager
def scripted_server(handler: Handler, *, ours: bool = True) -> Iterator[str]:
    """Serve; ``ours`` says whether it passes for crdtsync."""
    count = 0

    def handle(connection: ServerConnection) -> None:
        nonlocal count
        count += 1
        with suppress(ConnectionClosed):
            handler(connection, count - 1)

    names = [Subprotocol("crdtsync" if ours else "y-websocket")]
    with serve(
        handle, "127.0.0.1", 0, subprotocols=names, ping_interval=None, compression=None
    ) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/doc"
        finally:
            server.shutdown()
            thread.join(10)


@contextmanager
def raw_server(answer: bytes) -> Iterator[tuple[str, list[socket.socket]]]:
    """Accept, answer whatever comes first with some bytes, and say nothing more."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])
                    taken[-1].recv(65536)
                    taken[-1].sendall(answer)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/doc", taken
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for each in taken:
                each.close()
