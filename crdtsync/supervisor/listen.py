"""Binding what a server listens on: before anything large is imported, and by one place.

Owns what an operator is told where a port or a path can't be had.
"""

import errno
import ipaddress
import os
import socket
import stat
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from crdtsync.config import Config
from crdtsync.errors import ConfigError, OperatorError

__all__ = ["BACKLOG", "bind", "check_address", "check_exposure"]

BACKLOG: Final = 2048
"""Connections that wait to be taken; during a restart, all of them."""
PORT_ATTEMPTS: Final = 10
MAX_UNIX_PATH_BYTES: Final = 103 if sys.platform == "darwin" else 107
"""What a socket's address holds of a path, beside the byte that ends it."""
ENDING_WAIT_S: Final = 15.0
"""How long a port is waited for where its server is about to end."""


def bind(config: Config, *, ending: Callable[[], int] = lambda: 0) -> list[socket.socket]:
    """Listen on all that a configuration names: a unix socket, or every address of a host.

    At once, before a server is there to take what comes: a port that is only bound can be bound
    again by another program.

    ``ending`` says which process has the port and is about to give it back, if one is. Raises
    ``OperatorError``.
    """
    deadline = time.monotonic() + ENDING_WAIT_S
    while True:
        try:
            if config.unix_socket:
                return [_bind_unix(config.unix_socket)]
            return _bind(config.host, config.port)
        except OperatorError:
            if not ending() or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def check_exposure(config: Config) -> None:
    """Refuse to let in everyone who reaches this machine, unless that is wanted.

    A unix socket has its file's permissions. Raises ``ConfigError``.
    """
    if config.auth != "none" or config.allow_anonymous or config.unix_socket:
        return
    try:
        found = _resolve(config.host, config.port)
    except OperatorError:
        return  # binding says so
    if all(_is_loopback(str(address[0])) for *_, address in found):
        return
    raise ConfigError(
        f"without authentication, {config.host} would let in everyone who reaches this machine",
        hint="Set --auth jwt, or --allow-anonymous if that is what you want",
    )


def check_address(config: Config) -> None:
    """Raise ``OperatorError`` where no machine could listen there; bind nothing."""
    if config.unix_socket:
        if len(os.fsencode(config.unix_socket)) > MAX_UNIX_PATH_BYTES:
            raise _unix_error(config.unix_socket, OSError("AF_UNIX path too long"))
    else:
        _resolve(config.host, config.port)


def _is_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback


def _bind_unix(path: str) -> socket.socket:
    _clear_stale_socket(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise _unix_error(path, error) from None
    return bound


def _unix_error(path: str, error: OSError) -> OperatorError:
    folder = os.path.dirname(path) or os.curdir
    match error.errno:
        case errno.EADDRINUSE if os.path.isdir(path):
            hint = (
                f"It is a folder: name a file in it, such as {os.path.join(path, 'crdtsync.sock')}"
            )
        case errno.EADDRINUSE:
            hint = "Remove the file if no server uses it, or choose another with --uds"
        case errno.ENOENT | errno.ENOTDIR:
            hint = f"Create the folder {folder} first, or choose another path with --uds"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            hint = f"Give this user write access to the folder {folder}, or choose another"
        case None:  # Python's own: it is not even tried
            hint = f"Choose a path of at most {MAX_UNIX_PATH_BYTES} bytes with --uds"
        case _:
            hint = "Choose another path with --uds"
    return OperatorError(f"can't listen on {path}: {error.strerror or error}", hint=hint)


def _clear_stale_socket(path: str) -> None:
    """Remove the socket of a server that is gone; raise where one still answers."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return  # it isn't ours to remove: binding says so
    except (OSError, ValueError):
        return  # nothing there, or nothing that can be: binding says so, too
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)
            return
    raise OperatorError(
        f"another server listens on {path}",
        hint="Stop the other server, or choose another path with --uds",
    )


def _bind(host: str, port: int) -> list[socket.socket]:
    """Bind every address of a host, all on one port.

    Raises ``OperatorError`` where none can be had.
    """
    for _ in range(PORT_ATTEMPTS - 1):
        try:
            return _bind_once(host, port)
        except OperatorError:
            if port:
                raise
            # Port 0: what the first address got may be taken on the second.
    return _bind_once(host, port)


def _resolve(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise OperatorError(
            f"can't find the address of {host!r}: {error.strerror or error}",
            hint=f"Write {host[1:-1]}, without brackets"
            if host.startswith("[") and host.endswith("]")
            else "Set --host to an address of this machine",
        ) from None


def _bind_once(host: str, port: int) -> list[socket.socket]:
    found = _resolve(host, port)
    bound: list[socket.socket] = []
    problem: OSError | None = None
    seen: set[object] = set()
    for family, kind, protocol, _, address in found:
        if address in seen:
            continue
        seen.add(address)
        try:
            each = socket.socket(family, kind, protocol)
        except OSError as error:
            problem = error
            continue
        try:
            if sys.platform != "win32":
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            chosen = bound[0].getsockname()[1] if bound else port
            each.bind((address[0], chosen, *address[2:]))
            each.listen(BACKLOG)
            each.setblocking(False)
        except OSError as error:
            each.close()
            problem = error
            if error.errno == errno.EADDRINUSE:
                break  # half of "localhost" would be another server's
            continue
        bound.append(each)
    if problem is not None and (not bound or problem.errno == errno.EADDRINUSE):
        for each in bound:
            each.close()
        if problem.errno == errno.EADDRINUSE:
            raise OperatorError(
                f"port {port} on {host} is in use",
                hint="Stop the other server, or choose another port with --port (0: any)",
            )
        raise OperatorError(
            f"can't listen on {host}:{port}: {problem.strerror or problem}",
            hint="Set --host to an address of this machine and --port to one above 1023",
        )
    return bound
