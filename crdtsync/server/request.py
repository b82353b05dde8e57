"""What a request says about itself: the document that it names, and who it comes from.

Owns the reading of an ASGI scope's path, query, headers and subprotocols, for WebSockets and
REST alike, so that both mean the same document and find the same token. Refuses to know what
a token is worth: that is the authenticator's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl, quote

from starlette.types import Scope

from crdtsync.audit import Caller
from crdtsync.auth import ConnectRequest
from crdtsync.errors import Unauthenticated

__all__ = [
    "CALLER",
    "PATIENCE",
    "SUBPROTOCOL",
    "TOKEN_SUBPROTOCOL",
    "below",
    "connect_request",
    "encoded_path",
    "fold",
    "is_secure",
    "peer_address",
    "scope_request",
    "select_subprotocol",
    "strip_prefix",
]

SUBPROTOCOL = "crdtsync"
"""The WebSocket subprotocol that the server selects where a client offers it."""
TOKEN_SUBPROTOCOL = "token."
"""A client may offer ``token.<value>`` beside it, to carry a token that no log shows."""
CALLER: Final = "crdtsync.caller"
PATIENCE: Final = "crdtsync.request_timeout_s"
"""Where a scope has its ``Caller``, once the doors have found out who that is."""
MAX_QUERY_FIELDS = 100
"""Fields of one query string; the rest is ignored as a whole."""


def strip_prefix(raw_path: bytes, prefix: str) -> bytes | None:
    """Return what follows a decoded prefix in a path that is still percent-encoded.

    ``None`` where the path does not begin with the prefix.
    """
    position = 0
    for byte in prefix.encode("utf-8", "surrogateescape"):
        width = 1
        got = raw_path[position : position + 1]
        if got == b"%":
            width = 3
            try:
                got = bytes.fromhex(raw_path[position + 1 : position + 3].decode("latin-1"))
            except ValueError:
                return None
        if got != bytes((byte,)):
            return None
        position += width
    return raw_path[position:]


def encoded_path(scope: Scope) -> bytes:
    """Return the path below the application's mount, percent-encoded as the client sent it.

    ``scope["path"]`` is decoded already, and decoding it again would turn ``%252F`` into a
    slash; so this reads ``raw_path`` where the server gives it (ASGI, HTTP Connection Scope).
    Servers disagree whether a configured ``root_path`` is part of the path: both are read.
    """
    raw_path = scope.get("raw_path")
    if raw_path is None:
        raw_path = quote(scope["path"], safe="/").encode()
    below = strip_prefix(raw_path, scope.get("root_path", ""))
    return raw_path if below is None else below


def below(scope: Scope, prefix: str) -> Scope:
    """Return an HTTP scope as a server gives it whose application is mounted at ``prefix``.

    It is what a proxy has taken off the path. A server that is itself told of it (``root_path``)
    says the same twice.
    """
    mount, path = scope.get("root_path", ""), scope["path"]
    if not prefix or f"{mount}/".startswith(f"{prefix}/"):
        return scope
    if f"{path}/".startswith(f"{mount}/"):
        path = path[len(mount) :]
    raw_path = quote(prefix + mount).encode() + encoded_path(scope)
    mount = prefix + mount
    return {**scope, "root_path": mount, "path": mount + path, "raw_path": raw_path}


def select_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the subprotocol to answer with: ours, or else the first that is not a token.

    A browser that offers some and gets none drops the connection (WHATWG WebSockets, 4).
    """
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    return next((name for name in offered if not name.startswith(TOKEN_SUBPROTOCOL)), None)


def connect_request(
    document: str,
    *,
    query: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    subprotocols: Sequence[str] = (),
    address: str = "",
) -> ConnectRequest:
    """Return what the client says; the token is the query's, a subprotocol's or the header's.

    Raises ``Unauthenticated`` where it brings several that differ: one of them would be looked
    at, and nobody could say which.
    """
    headers = list(headers)
    tokens = {
        name.removeprefix(TOKEN_SUBPROTOCOL)
        for name in subprotocols
        if name.startswith(TOKEN_SUBPROTOCOL)
    }
    tokens.update(
        _bearer_token(value.decode("latin-1"))
        for name, value in headers
        if name.lower() == b"authorization"
    )
    pairs = _pairs(query)
    tokens.update(value for name, value in pairs if name == "token")
    tokens.discard("")
    if len(tokens) > 1:
        raise Unauthenticated("the request brings several tokens, and they differ")
    return ConnectRequest(
        document=document,
        token=next(iter(tokens), ""),
        params={name: value for name, value in pairs if name != "token"},
        headers=fold(headers),
        address=address,
    )


def fold(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name, in lower case; those that come several times with commas between."""
    fields: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def peer_address(scope: Scope) -> str:
    """Return the address that an ASGI scope comes from; empty where it has none."""
    client = scope.get("client")
    return client[0] if client else ""


def is_secure(scope: Scope) -> bool:
    """Return whether an ASGI scope came to this server by TLS."""
    return scope.get("scheme") in ("https", "wss")


def scope_request(scope: Scope, document: str) -> ConnectRequest:
    """Return the connect request of an ASGI scope, HTTP or WebSocket. Raises as above."""
    asked = connect_request(
        document,
        query=scope.get("query_string", b""),
        headers=scope["headers"],
        subprotocols=scope.get("subprotocols", ()),
        address=peer_address(scope),
    )
    caller: Caller | None = scope.get(CALLER)
    if caller is None:
        return asked
    return replace(asked, address=caller.address, request_id=caller.request_id)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("latin-1"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=MAX_QUERY_FIELDS,
        )
    except ValueError:
        return []


def _bearer_token(header: str) -> str:
    scheme, _, value = header.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""
