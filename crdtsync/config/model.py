"""What a server is configured with, as one immutable value."""

import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from crdtsync.clock import Clock, SystemClock
from crdtsync.config.certificates import worry_about
from crdtsync.errors import ConfigError
from crdtsync.forwarded import HeaderName
from crdtsync.limits import Limits
from crdtsync.origins import SAME_HOST
from crdtsync.roles import BUILT_IN, Role

__all__ = ["AuthName", "Config", "DurabilityName", "LogFormat", "LogLevel", "Transport"]

log = logging.getLogger("crdtsync")

AuthName = Literal["none", "jwt"]
DurabilityName = Literal["fsync", "os", "none"]
LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
Transport = Literal["auto", "native", "asgi"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything ``crdtsync serve`` can be told. The defaults here are *the* defaults."""

    host: str = "localhost"
    """Both loopback addresses: Node resolves ``localhost`` to ``::1`` first, browsers and
    Python to ``127.0.0.1``, and anything wider would let the network in unasked."""
    port: int = 1234
    """What y-websocket's own server listens on."""
    unix_socket: str | None = None
    store: str = "sqlite:crdtsync.db"
    durability: DurabilityName = "fsync"
    history: bool = True
    """Whether ``crdtsync serve`` and the application for ASGI servers keep history."""
    history_except: tuple[str, ...] = ()
    history_retention: tuple[str, ...] = ()
    transport: Transport = "auto"
    auth: AuthName = "none"
    allow_anonymous: bool = False
    """Whether ``auth="none"`` may listen beyond loopback; of no concern to a program that
    brings its own authenticator."""
    auth_key_file: str | None = None
    auth_jwks_url: str | None = None
    auth_signing_key_file: str | None = None
    """What tokens are signed with that are issued over HTTP; ``None``: none are."""
    auth_algorithms: str | None = None
    """Like all options that take several values: with commas between them."""
    auth_audience: str | None = None
    auth_issuer: str | None = None
    auth_required_claims: str = "exp"
    auth_documents_claim: str = "documents"
    auth_role_claim: str | None = None
    auth_leeway_s: float = 10.0
    auth_refresh_s: float = 300.0
    auth_stale_s: float = 6 * 3600.0
    certfile: str | None = None
    keyfile: str | None = None
    allowed_origins: tuple[str, ...] = (SAME_HOST,)
    """Of the web pages that may connect."""
    trusted_proxies: tuple[str, ...] = ()
    forwarded_header: HeaderName = "x-forwarded"
    stamp_user: bool = False
    """Whether awareness says who it is from the principal, in every document."""
    chat: tuple[str, ...] = ()
    """Patterns of the documents with a chat,"""
    presence: tuple[str, ...] = ()
    """and of those in which the server keeps presence."""
    audit_log: str | None = None
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
    supervise: bool = True
    """Whether ``crdtsync serve`` has a supervisor; ``run`` and ``serve`` are handed theirs."""
    limits: Limits = field(default_factory=Limits)
    roles: Mapping[str, Role] = field(default_factory=lambda: BUILT_IN)
    """By name: the built-in roles and those of the file's ``[roles.NAME]`` tables, for whoever
    resolves grants."""

    def __post_init__(self) -> None:
        """Refuse options that contradict one another, with ``ConfigError``."""
        if self.keyfile is not None and self.certfile is None:
            raise ConfigError(
                "keyfile is set, certfile is not",
                hint="Set certfile to the PEM file of the certificate",
            )
        if self.unix_socket is not None and self.transport == "native":
            raise ConfigError(
                "the native transport can't listen on a unix socket",
                hint="Set transport to auto or asgi",
            )

    @property
    def tls(self) -> bool:
        """Whether clients connect by TLS."""
        return self.certfile is not None

    def ssl_context(
        self, *, alpn: tuple[str, ...] = ("http/1.1",), clock: Clock | None = None
    ) -> ssl.SSLContext | None:
        """Load the certificate and its key; return ``None`` where none is configured.

        One that clients refuse for its dates, or soon will, is loaded, and told of in the log.
        Raises ``ConfigError`` where a file can't be read, is no PEM file, or the key is not
        the certificate's.
        """
        if self.certfile is None:
            return None
        for option, path in (("certfile", self.certfile), ("keyfile", self.keyfile)):
            if path is None:
                continue
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise ConfigError(
                    f"{option}: can't read {path}: {error.strerror}",
                    hint=f"Set {option} to a PEM file that this user may read",
                ) from None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            # An encrypted key is refused: without the empty password, OpenSSL would ask for
            # one on the terminal and a service would hang.
            context.load_cert_chain(self.certfile, self.keyfile, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or str(error)
            raise ConfigError(
                f"certfile, keyfile: not a certificate and its key ({reason})",
                hint="Use PEM files: the certificate chain, and its key without a password",
            ) from None
        context.set_alpn_protocols(list(alpn))
        worry = worry_about(self.certfile, clock or SystemClock())
        if worry:
            log.warning("%s", worry)
        return context
