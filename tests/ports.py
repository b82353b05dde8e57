"""Ports that stay a test's own, whatever else listens and connects on this machine meanwhile."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["reserved_port"]


@contextmanager
def reserved_port(host: str = "127.0.0.1") -> Iterator[int]:
    """Keep a free port for one server, which may stop and come back on it as often as it likes.

    A bound socket that does not listen refuses whoever connects, and lets a server listen there
    as every server does (SO_REUSEADDR), while nobody who asks for any free port gets this one.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, 0))
        yield int(holder.getsockname()[1])
