"""Where to connect: a URL taken apart, and what the upgrade request says."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from crdtsync.client.errors import ClientError
from crdtsync.errors import InvalidDocumentName
from crdtsync.protocol import document_name

__all__ = ["Headers", "Target", "TokenPlace"]

TokenPlace = Literal["header", "query", "subprotocol"]
Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]

OURS = "crdtsync"
PLAIN = "y-websocket"
"""Offered first: servers that take whatever comes first take this, and crdtsync its own name."""


@dataclass(frozen=True, slots=True)
class Target:
    """A document on a server, and how to ask for it."""

    host: str
    port: int
    secure: bool
    path: str
    """As it goes over the wire: percent-encoded."""
    document: str
    """The document's canonical name."""
    params: tuple[tuple[str, str], ...] = ()
    headers: Headers = field(default_factory=dict)
    subprotocols: tuple[str, ...] = ()
    ssl_context: ssl.SSLContext | None = None
    token_in: TokenPlace = "header"

    @classmethod
    def of(
        cls,
        url: str,
        *,
        params: Mapping[str, str],
        subprotocols: Sequence[str],
        headers: Headers,
        token_in: TokenPlace,
        has_token: bool,
        ssl_context: ssl.SSLContext | None,
    ) -> "Target":
        """Take a ``ws://`` or ``wss://`` URL apart.

        Raises ``ClientError`` for any other, and where the token would not go out.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
            (parts.hostname or "").encode("idna")
        except ValueError as error:  # its own words: "Invalid IPv6 URL", "Port out of range"
            raise ClientError(f"the URL can't be used: {error}") from None
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ClientError(f"{parts.scheme or 'this'}: is no WebSocket URL: ws://HOST/DOCUMENT")
        if token_in not in get_args(TokenPlace):
            raise ClientError(f"token_in is one of {', '.join(get_args(TokenPlace))}")
        if has_token and token_in == "header" and not callable(headers) and _authorizes(headers):
            raise ClientError(
                "headers has an Authorization, where the token goes: leave one of them out,"
                " or set token_in"
            )
        if parts.username is not None:
            raise ClientError("a URL with a password in it shows in logs: use token or headers")
        secure = parts.scheme == "wss"
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        try:
            document = document_name(path)
        except InvalidDocumentName as error:
            raise ClientError(str(error)) from None
        return cls(
            host=parts.hostname,
            port=port or (443 if secure else 80),
            secure=secure,
            path=path,
            document=document,
            params=tuple({**query, **params}.items()),
            subprotocols=tuple(subprotocols),
            headers=headers,
            token_in=token_in,
            ssl_context=ssl_context,
        )

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    def request_target(self, token: str | None) -> str:
        """Return path and query. The own edits are asked back (``ack=1``)."""
        params = [*self.params, ("ack", "1")]
        if token is not None and self.token_in == "query":
            params.append(("token", token))
        return f"{self.path}?{urlencode(params)}"

    def offered(self, token: str | None) -> list[str]:
        """Return the subprotocols that are offered."""
        offered = [*self.subprotocols, PLAIN, OURS]
        if token is not None and self.token_in == "subprotocol":
            offered.append(f"token.{token}")
        return list(dict.fromkeys(offered))

    def extra_headers(self, token: str | None) -> list[tuple[bytes, bytes]]:
        """Return the headers of the request, beside those of every upgrade.

        A function's own ``Authorization`` goes before the token: it was made for this connection.
        """
        headers = dict(self.headers() if callable(self.headers) else self.headers)
        if token is not None and self.token_in == "header" and not _authorizes(headers):
            headers["Authorization"] = f"Bearer {token}"
        try:
            return [
                (name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()
            ]
        except UnicodeEncodeError:  # its own words have the token in them
            raise ValueError("the token or a header has characters that no header has") from None


def _authorizes(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == "authorization" for name in headers)
