"""A network between clients and a server that can be cut, and mended."""

import socket
import threading
from typing import Self

__all__ = ["Line"]


class Line:
    """Passes connections on to a port of this machine, as long as it is whole."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._whole = True
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target if self._whole else 1))
            except ConnectionRefusedError:
                near.close()
            except OSError:
                return
            else:
                self._ends += (near, far)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, to: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                to.sendall(data)
        except OSError:
            pass
        _end(source)
        _end(to)

    def cut(self) -> None:
        """End all connections, and let none through."""
        self._whole = False
        ends, self._ends = self._ends, []
        for each in ends:
            _end(each)

    def mend(self) -> None:
        """Let connections through again."""
        self._whole = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        _end(self._listener)
        self._listener.close()


def _end(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
