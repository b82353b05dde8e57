"""The authenticator that a configuration names."""

from crdtsync.auth import Authenticator, OpenAuthenticator
from crdtsync.config import Config
from crdtsync.errors import ConfigError
from crdtsync.identity.authenticators import JWTAuthenticator
from crdtsync.identity.desk import TokenDesk

__all__ = [
    "configured_authenticator",
    "configured_desk",
    "jwt_authenticator",
    "make_authenticator",
]


async def configured_authenticator(config: Config) -> Authenticator:
    """Return it; raise ``ConfigError`` where its options are wrong or its file can't be read.

    A URL that does not answer is logged: a server starts all the same, and asks again.
    """
    authenticator = make_authenticator(config)
    if isinstance(authenticator, JWTAuthenticator):
        await authenticator.prepare()
    return authenticator


def make_authenticator(config: Config) -> Authenticator:
    """Return it before a URL was asked for keys. Raises ``ConfigError``."""
    if config.auth == "jwt":
        return jwt_authenticator(config)
    if (config.auth_key_file, config.auth_jwks_url, config.auth_signing_key_file) != (None,) * 3:
        raise ConfigError(
            "there are keys for tokens, but auth is none: nobody would be asked for one",
            hint="Set auth to jwt",
        )
    return OpenAuthenticator()


def configured_desk(config: Config, authenticator: Authenticator) -> TokenDesk | None:
    """Return what issues and explains the tokens that an authenticator takes, if any.

    Raises ``ConfigError`` where the key that signs can't be used.
    """
    if not isinstance(authenticator, JWTAuthenticator):
        return None
    return TokenDesk(
        authenticator,
        key_file=config.auth_signing_key_file,
        algorithms=words(config.auth_algorithms),
        issuer=next(iter(words(config.auth_issuer)), None),
        audience=next(iter(words(config.auth_audience)), None),
        documents_claim=config.auth_documents_claim,
    )


def jwt_authenticator(config: Config) -> JWTAuthenticator:
    """Return one that takes tokens, whatever ``auth`` is."""
    return JWTAuthenticator(
        key_file=config.auth_key_file,
        jwks_url=config.auth_jwks_url,
        algorithms=words(config.auth_algorithms) or None,
        audience=words(config.auth_audience),
        issuer=words(config.auth_issuer),
        leeway_s=config.auth_leeway_s,
        required=words(config.auth_required_claims),
        documents_claim=config.auth_documents_claim,
        role_claim=config.auth_role_claim,
        roles=config.roles,
        max_token_bytes=config.limits.max_token_bytes,
        refresh_s=config.auth_refresh_s,
        stale_s=config.auth_stale_s,
    )


def words(text: str | None) -> tuple[str, ...]:
    """Return the values of an option that takes several."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
