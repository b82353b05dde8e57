"""Who is connecting: the protocol that a custom server implements, and the open default."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from crdtsync.gate import Principal

__all__ = ["Authenticator", "ConnectRequest", "Dependent", "OpenAuthenticator", "Trouble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequest:
    """What a client says when it connects, over WebSocket or HTTP."""

    document: str
    """The document's name, decoded; empty for requests that concern none."""
    token: str = field(default="", repr=False)
    """From ``?token=``, a WebSocket subprotocol or ``Authorization: Bearer``. Never logged."""
    params: dict[str, str] = field(default_factory=dict, repr=False)
    """The query string, decoded, without the token."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Lower-case names."""
    address: str = ""
    """The client's address, or where no proxy is trusted to say it, the peer's."""
    request_id: str = ""
    """Of this connection or request, in the audit log."""


class Authenticator(Protocol):
    """Says who a request speaks for."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        """Return the principal, or raise ``Unauthenticated`` or ``Forbidden`` with a reason."""
        ...


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps an authenticator from its work."""

    reason: str
    """Anybody may read it."""
    fatal: bool
    """Whether nobody is let in until it is over."""


@runtime_checkable
class Dependent(Protocol):
    """An authenticator that depends on something that may be gone."""

    async def trouble(self) -> Trouble | None:
        """Return what is wrong; where nobody is let in, see first whether that has passed."""
        ...


class OpenAuthenticator:
    """Lets everyone in as an anonymous writer."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        return Principal()
