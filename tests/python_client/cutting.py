"""A TCP proxy that cuts connections where it is told to, in the middle of a frame if need be."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterable
from typing import Self

__all__ = ["Cutter"]


class Cutter:
    """Stands between clients and a server. Each connection is cut behind so many bytes.

    ``cuts`` are for the connections in the order in which they come; later ones live on.
    """

    def __init__(self, port: int, cuts: Iterable[int] = ()) -> None:
        self._server = port
        self._cuts = list(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.open = True
        """Whether it takes connections."""
        self.deaf = False
        """Whether what the server sends is lost; such a connection is to be cut then."""
        self._ended = False
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def cut(self) -> None:
        """Cut all connections that there are."""
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.open:
                client.close()
                continue
            left = self._cuts.pop(0) if self._cuts else 1 << 62
            self.connections += 1
            self._start(self._carry, client, left)

    def _carry(self, client: socket.socket, left: int) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server))
        except OSError:
            client.close()
            return
        other = {client: server, server: client}
        self._sockets |= {client, server}
        with client, server, selectors.DefaultSelector() as selector:
            for each in other:
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(each, selectors.EVENT_READ)
            try:
                while left > 0:
                    for key, _ in selector.select():
                        source = key.fileobj
                        assert isinstance(source, socket.socket)
                        data = source.recv(min(65536, left))
                        if not data:
                            return
                        if not (self.deaf and source is server):
                            other[source].sendall(data)
                        left -= len(data)
            except OSError:
                pass
            finally:
                self._sockets -= {client, server}
                for each in other:
                    with contextlib.suppress(OSError):
                        each.shutdown(socket.SHUT_RDWR)
