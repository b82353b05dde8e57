"""One HTTP request for a key set: encrypted, bounded in time and size, without redirects.

Runs on a thread. Owns what an operator is told where it fails; says nothing of a URL's query.
"""

import ipaddress
import socket
import threading
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from crdtsync.identity.keys import KeyProblem

__all__ = ["FETCH_TIMEOUT_S", "MAX_SET_BYTES", "check_url", "fetch", "shown_url"]

FETCH_TIMEOUT_S: Final = 5.0
"""For connecting, and again for the whole answer."""
MAX_SET_BYTES: Final = 256 * 1024
"""A key set; a key has some 500 bytes."""
_ACCEPT: Final = "application/jwk-set+json, application/json"


class _Ending:
    """A connection whose answer is over when its time is, however slowly it comes."""

    sock: socket.socket
    timer: threading.Timer

    def connect(self) -> None:
        super().connect()  # type: ignore[misc] # http.client's, below in the order
        self.timer = threading.Timer(FETCH_TIMEOUT_S, _shut, (self.sock,))
        self.timer.daemon = True
        self.timer.start()


class _Http(_Ending, HTTPConnection):
    pass


class _Https(_Ending, HTTPSConnection):
    pass


class _HttpHandler(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_Http, req)


class _HttpsHandler(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        context: dict[str, Any] = {"context": self._context}  # type: ignore[attr-defined]
        return self.do_open(_Https, req, **context)


def check_url(url: str) -> None:
    """Raise ``KeyProblem`` where a key set is not to be had from a URL safely."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise KeyProblem("is no URL") from None
    if parts.username is not None or parts.password is not None:
        raise KeyProblem("holds a user name or a password")
    if not host or not url.isascii() or any(c.isspace() or not c.isprintable() for c in url):
        raise KeyProblem("is no URL")
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(host)):
        raise KeyProblem("has to be an https:// URL: whoever changes it on the way gets in")


def shown_url(url: str) -> str:
    """Return what of a URL may be in a log: not its query."""
    return url.partition("?")[0].partition("#")[0]


def fetch(url: str) -> bytes:
    """Return what is at a URL. Raises ``KeyProblem``."""
    opener = OpenerDirector()
    direct = url.startswith("http:")  # loopback: no proxy could reach it
    for handler in (
        ProxyHandler({} if direct else None),
        _HttpHandler(),
        _HttpsHandler(),
        HTTPDefaultErrorHandler(),
        HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    request = Request(url, headers={"Accept": _ACCEPT, "User-Agent": "crdtsync"})
    try:
        with opener.open(request, timeout=FETCH_TIMEOUT_S) as answer:
            data: bytes = answer.read(MAX_SET_BYTES + 1)
            missing = answer.length  # http.client leaves an early end to its caller
    except HTTPError as error:
        with error:
            raise KeyProblem(f"the server answers with {error.code}") from None
    except URLError as error:
        raise KeyProblem(f"the server can't be reached: {_reason(error.reason)}") from None
    except (OSError, HTTPException) as error:
        raise KeyProblem(f"the answer breaks off: {_reason(error)}") from None
    if len(data) > MAX_SET_BYTES:
        raise KeyProblem(f"the answer is over {MAX_SET_BYTES} bytes")
    if missing:
        raise KeyProblem("the answer breaks off")
    return data


def _shut(sock: socket.socket) -> None:
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass


def _reason(error: object) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__ if isinstance(error, Exception) else str(error)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
