"""Tokens on request: issued with a key that was set aside for that, and explained.

Owns what an issued token says, and that it is one which this server takes. Who may have one, and
for what, is decided where the request comes in.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from crdtsync.clock import Clock, SystemClock
from crdtsync.errors import ConfigError, Unauthenticated, Unavailable
from crdtsync.identity.authenticators import JWTAuthenticator
from crdtsync.identity.explaining import Explanation, explain
from crdtsync.identity.issuing import issue_token
from crdtsync.identity.keyfiles import key_file_bytes
from crdtsync.identity.keys import KeyProblem, read_signing_key
from crdtsync.identity.tokens import ALGORITHMS

__all__ = ["Issued", "TokenDesk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A token, with what it says."""

    token: str
    id: str
    """Its ``jti``: what a log may name it by."""
    issued_s: int
    expires_s: int

    def __repr__(self) -> str:
        return f"Issued(id={self.id!r})"


class TokenDesk:
    """Explains tokens; issues them where there is a key to sign with."""

    def __init__(
        self,
        authenticator: JWTAuthenticator,
        *,
        key_file: str | Path | None = None,
        algorithms: Sequence[str] = (),
        issuer: str | None = None,
        audience: str | None = None,
        documents_claim: str = "documents",
        clock: Clock | None = None,
    ) -> None:
        """``key_file`` has a private key, or the shared secret. Raises ``ConfigError``.

        Of ``algorithms`` the first that fits the key signs; without, the usual one.
        """
        self._authenticator = authenticator
        self._path = None if key_file is None else Path(key_file)
        self._algorithms = algorithms
        self._claims = {"iss": issuer, "aud": audience}
        self._documents_claim = documents_claim
        self._clock = clock or SystemClock()
        if self._path is not None:
            try:
                self._sign(self._path, {})
            except KeyProblem as problem:
                # Not the path: who takes the option for the key itself would read it in logs.
                raise ConfigError(
                    f"auth_signing_key_file: {problem}",
                    hint="Set it to a file with a private key in PEM, a JWK, or the shared secret",
                ) from None

    @property
    def issues(self) -> bool:
        """Whether it has a key."""
        return self._path is not None

    async def issue(
        self, subject: str, *, name: str, documents: Mapping[str, str], lifetime_s: int
    ) -> Issued:
        """Return a new token. Raises ``Unavailable`` where none can be made that is taken here.

        Raises ``Unauthenticated`` where the token would be refused for what it says.
        """
        assert self._path is not None, "there is no key to sign with"
        now_s = self._clock.time_ms() // 1000
        made = Issued(
            token="", id=secrets.token_hex(16), issued_s=now_s, expires_s=now_s + lifetime_s
        )
        claims: dict[str, Any] = {key: value for key, value in self._claims.items() if value}
        claims |= {"sub": subject, "jti": made.id, "iat": now_s, "exp": made.expires_s}
        claims |= {"name": name} if name else {}
        claims[self._documents_claim] = dict(documents)
        try:
            token = await anyio.to_thread.run_sync(self._sign, self._path, claims)
        except KeyProblem:
            raise Unavailable("tokens can't be signed at the moment") from None
        rules = self._authenticator.rules
        rules.check(claims, now_s)
        rules.principal(claims)
        if len(token) > self._authenticator.max_token_bytes:
            raise Unauthenticated("the token is too long")
        try:
            await self._authenticator.claims(token)
        except Unauthenticated as error:
            raise Unavailable(f"a token that is signed here is not taken here: {error}") from None
        return Issued(token=token, id=made.id, issued_s=made.issued_s, expires_s=made.expires_s)

    async def explain(self, token: str, documents: Sequence[str]) -> Explanation:
        """Say what a token means here, genuine or not."""
        return await explain(token, self._authenticator, documents)

    def _sign(self, path: Path, claims: Mapping[str, Any]) -> str:
        data = key_file_bytes(path)
        _, kind, _ = read_signing_key(data)
        fitting = [each for each in self._algorithms if ALGORITHMS[each] == kind]
        return issue_token(data, claims, algorithm=fitting[0] if fitting else None)
