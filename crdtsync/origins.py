"""Which web pages may use this server: the allow-list for the ``Origin`` header.

A browser lets every page open a WebSocket to every server, with the visitor's cookies and from
within the visitor's network, and only tells the server whose page it was (RFC 6455, 10.2). Owns
the reading of origins and of the patterns that they are compared with. A request without an
origin comes from no web page, and is none of this module's business.
"""

import re
from dataclasses import dataclass
from typing import Final

from crdtsync.addresses import read_address

__all__ = ["ANY", "NULL", "SAME_HOST", "Origin", "Origins", "host_name", "read_origin"]

ANY: Final = "*"
SAME_HOST: Final = "same-host"
NULL: Final = "null"

_WEB_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_ORIGIN: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]{0,30})://(\[[0-9A-Fa-f:.]{2,45}\]|[^\s/?#@:\[\]\\,%]{1,253})"
    r"(?::([0-9]{1,5}|\*))?"
)
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[^\s/?#@:\[\]\\,%]{1,253})(?::[0-9]{1,5})?")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a page comes from. In a pattern the host may begin with ``*.``."""

    scheme: str
    host: str
    port: int | None
    """``None``: the scheme has none of its own, or in a pattern: any."""


def read_origin(text: str, *, pattern: bool = False) -> Origin | None:
    """Read an origin as browsers write it (RFC 6454, 6.1); ``None`` where it is none."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme = match[1].lower()
    written = match[2]
    below = pattern and written.startswith("*.")
    host = _host(written[2:] if below else written)
    if host is None or (below and read_address(host) is not None):
        return None
    if match[3] == "*":
        return Origin(scheme, ("*." if below else "") + host, None) if pattern else None
    port = int(match[3]) if match[3] else _WEB_PORTS.get(scheme, 0)
    return None if port > 65535 else Origin(scheme, ("*." if below else "") + host, port)


def host_name(text: str) -> str | None:
    """Return the host of a ``Host`` header in its one spelling; ``None`` where it is none."""
    match = _HOST.fullmatch(text)
    return None if match is None else _host(match[1])


def _host(text: str) -> str | None:
    """Write a host in one way: lower case, IDN as ``xn--``, no dot at the end, short addresses."""
    if text.startswith("["):
        address = read_address(text[1:-1])
        return None if address is None else str(address)
    text = text.removesuffix(".").lower()
    if not text.isascii():
        try:
            text = text.encode("idna").decode()
        except UnicodeError:
            return None
    labels = text.split(".")
    return text if all(_LABEL.fullmatch(label) for label in labels) else None


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = read_address(host)
    return address is not None and address.is_loopback


class Origins:
    """The allow-list."""

    __slots__ = ("_any", "_null", "_patterns", "_same_host")

    def __init__(self, entries: tuple[str, ...] = (SAME_HOST,)) -> None:
        """Read the entries; raise ``ValueError`` with words that follow one ("is not ...")."""
        self._any = ANY in entries
        self._null = NULL in entries
        self._same_host = SAME_HOST in entries
        self._patterns = [_pattern(each) for each in entries if each not in (ANY, NULL, SAME_HOST)]

    def allows(self, origin: str, *, host: str) -> bool:
        """Return whether pages of an origin may use a server that was addressed as ``host``."""
        if self._any or not origin:
            return True
        if origin == NULL:  # a sandboxed frame, or a file: anybody's
            return self._null
        found = read_origin(origin)
        if found is None:
            return False
        if self._same_host and found.scheme in _WEB_PORTS:
            # Without the port: in development a page is served on one and this server on another.
            own = host_name(host)
            if own == found.host or (own is not None and _is_local(own) and _is_local(found.host)):
                return True
        return any(_fits(pattern, found) for pattern in self._patterns)


def _pattern(entry: str) -> Origin:
    pattern = read_origin(entry, pattern=True)
    if pattern is None:
        raise ValueError(
            "is not an origin: write https://example.com, https://*.example.com,"
            " http://localhost:*, same-host, null or *"
        )
    return pattern


def _fits(pattern: Origin, origin: Origin) -> bool:
    if pattern.scheme != origin.scheme or pattern.port not in (None, origin.port):
        return False
    if pattern.host.startswith("*."):
        return origin.host.endswith(pattern.host[1:])
    return pattern.host == origin.host
