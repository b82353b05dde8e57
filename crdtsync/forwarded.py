"""What a proxy says of the client behind it, and when that is believed.

Owns the reading of ``X-Forwarded-For``, ``-Proto``, ``-Host`` and ``-Prefix``, or of ``Forwarded``
(RFC 7239), which has no prefix, whichever one the proxies write: a header that a proxy does not
write, a client may have. They are believed only from peers that were declared as trusted; an
address counts from the right, up to the first that is not trusted. Where a header can't be read,
what is known to the right of it counts.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote

from crdtsync.addresses import Network, read_address, read_network
from crdtsync.origins import host_name

__all__ = ["UNIX", "HeaderName", "Proxies", "Seen", "check_proxy"]

UNIX: Final = "unix"
"""Stands for a peer on a unix socket, which has no address."""
MAX_HOPS: Final = 32
"""Proxies of one request, read from the right."""
MAX_HEADER_CHARACTERS: Final = 8192
MAX_PREFIX_CHARACTERS: Final = 512
"""A longer path in front of ours is none."""

HeaderName = Literal["x-forwarded", "forwarded"]

_SECURE: Final = {"https": True, "wss": True, "http": False, "ws": False}
_WITH_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([0-9.]+))(?::[0-9]{1,5})?")
_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_VALUE: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~:\[\]-]+"  # wider than a token: some quote nothing
_PAIR: Final = re.compile(rf'\s*({_TOKEN})=({_VALUE}|"(?:[^"\\]|\\.)*")\s*')


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it was made by the client itself."""

    address: str
    secure: bool
    host: str
    prefix: str = ""
    """What a proxy has taken off the path, decoded: ``/collab``."""


@dataclass(frozen=True, slots=True)
class _Hop:
    address: str | None
    """``None`` where it can't be read, or is hidden."""
    scheme: str = ""
    host: str = ""
    prefix: str = ""


def check_proxy(entry: str) -> str:
    """Return an entry of ``trusted_proxies``; raise ``ValueError`` where it is none."""
    if entry != UNIX:
        try:
            read_network(entry)
        except ValueError:
            raise ValueError("is not an address, a network like 10.0.0.0/8, or unix") from None
    return entry


class Proxies:
    """The proxies that are trusted, and the headers that they write."""

    __slots__ = ("_header", "_networks", "_unix")

    def __init__(self, entries: tuple[str, ...] = (), header: HeaderName = "x-forwarded") -> None:
        """Read the entries; raise ``ValueError`` where one is none."""
        self._unix = UNIX in entries
        self._networks: list[Network] = [
            read_network(check_proxy(each)) for each in entries if each != UNIX
        ]
        self._header = header

    def trusts(self, address: str) -> bool:
        """Return whether a peer is a trusted proxy; one without an address is a unix socket's."""
        if not address:
            return self._unix
        if not self._networks:
            return False
        found = read_address(address)
        return found is not None and any(
            found.version == network.version and found in network for network in self._networks
        )

    def seen(self, headers: Mapping[str, str], *, peer: str, secure: bool) -> Seen:
        """Return who made a request, and how. ``headers`` have lower-case names."""
        address = _canonical(peer)
        host = headers.get("host", "")
        if not self.trusts(address):
            return Seen(address, secure, host)
        prefix = ""
        hops = self._hops(headers)
        for number, hop in enumerate(hops):
            if number == 0:
                secure = _SECURE.get(hop.scheme.lower(), secure)
                host = hop.host if host_name(hop.host) is not None else host
                prefix = hop.prefix
            if hop.address is None:
                break
            address = hop.address
            if not self.trusts(address):
                break
        return Seen(address, secure, host, prefix)

    def _hops(self, headers: Mapping[str, str]) -> Iterator[_Hop]:
        """Yield what each proxy said, the nearest first."""
        if self._header == "forwarded":
            yield from _forwarded(headers.get("forwarded", "")[-MAX_HEADER_CHARACTERS:])
            return
        listed = headers.get("x-forwarded-for", "")[-MAX_HEADER_CHARACTERS:]
        scheme, host = _last(headers, "x-forwarded-proto"), _last(headers, "x-forwarded-host")
        prefix = _prefix(_last(headers, "x-forwarded-prefix"))
        for part in reversed(listed.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            yield _Hop(_node(part.strip()), scheme, host, prefix)


def _last(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").rpartition(",")[2].strip()


def _prefix(text: str) -> str:
    """Read a path that others stand below; empty where it is none.

    It goes in front of links: two slashes at its beginning would make its first part a host.
    """
    path = unquote(text[:MAX_PREFIX_CHARACTERS]).removesuffix("/")
    if len(text) > MAX_PREFIX_CHARACTERS or not path.startswith("/") or not path.isprintable():
        return ""
    return path if all(part.strip(".") for part in path[1:].split("/")) else ""


def _canonical(address: str) -> str:
    found = read_address(address)
    return address if found is None else str(found)


def _node(text: str) -> str | None:
    """Read the address of a node, with or without a port; ``None`` for any other."""
    match = _WITH_PORT.fullmatch(text)
    found = read_address((match[1] or match[2]) if match else text)
    return None if found is None else str(found)


def _forwarded(header: str) -> Iterator[_Hop]:
    """Yield the elements of a ``Forwarded`` header from the right; the first bad one ends it.

    An element is the shortest end of the header that is one: no quote that a client left open
    swallows what a proxy wrote behind it.
    """
    for _ in range(MAX_HOPS):
        end = len(header)
        for _ in range(MAX_HOPS):
            start = header.rfind(",", 0, end)
            hop = _element(header[start + 1 :])
            if hop is not None or start < 0:
                break
            end = start
        yield hop or _Hop(None)
        if hop is None or start < 0:
            return
        header = header[:start]


def _element(text: str) -> _Hop | None:
    """Read one element, ``for=...;proto=...``; ``None`` where it is none."""
    pairs: dict[str, str] = {}
    position = 0
    while True:
        match = _PAIR.match(text, position)
        if match is None or match[1].lower() in pairs:
            return None
        value = match[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        pairs[match[1].lower()] = value
        position = match.end()
        if position == len(text):
            break
        if text[position] != ";":
            return None
        position += 1
    return _Hop(_node(pairs.get("for", "")), pairs.get("proto", ""), pairs.get("host", ""))
