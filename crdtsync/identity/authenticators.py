"""The authenticators that come with crdtsync, beside the open one: by signed token, by function.

Owns what both share: from a principal's grants to its role in the document that is asked for,
default deny.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from crdtsync.auth import ConnectRequest, Trouble
from crdtsync.clock import Clock, SystemClock
from crdtsync.errors import ConfigError, Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.identity.claims import ClaimRules
from crdtsync.identity.fetching import check_url, fetch, shown_url
from crdtsync.identity.keyfiles import read_key_file
from crdtsync.identity.keys import KeyProblem, read_keys
from crdtsync.identity.sources import KeySource
from crdtsync.identity.tokens import ALGORITHMS, read_object, read_token
from crdtsync.limits import Limits
from crdtsync.roles import BUILT_IN, Role

__all__ = ["CallableAuthenticator", "JWTAuthenticator", "authorised"]

FILE_REFRESH_S: Final = 5.0
"""A key file is looked at again when it was last read so long ago, and somebody comes."""
UNKNOWN_KEY_PAUSE_S: Final = 10.0
"""Tokens with keys that nobody knows make a URL be asked at most once in this time."""

MAX_TOKEN_BYTES: Final = Limits().max_token_bytes
NOTHING: Final = Role(name="", awareness=False, history=False)
"""The role of somebody who has none; only requests that concern no document are let in with it."""


def authorised(principal: Principal, document: str, roles: Mapping[str, Role]) -> Principal:
    """Return the principal with the role that its grants give it in a document.

    Raises ``Forbidden`` where they give none. Where the request concerns no document
    (``""``), the role is the one that it has everywhere, or one that may nothing.
    """
    if principal.grants is None:
        return principal
    role = principal.grants.role(document, roles)
    if role is None:
        if document:
            raise Forbidden("you have no access to this document")
        role = NOTHING
    return replace(principal, role=role, read_only=principal.read_only or role.reads_only)


class JWTAuthenticator:
    """Lets in who brings a token that is signed by a known key, as what the token says.

    The keys come from ``key_file`` (PEM, JWK, JWKS, or a shared secret) or ``jwks_url``. What
    they may be used with is ``algorithms``; without it, each key has the one algorithm that it
    names or that is usual for its kind. Raises ``ConfigError``.
    """

    def __init__(
        self,
        *,
        key_file: str | Path | None = None,
        jwks_url: str | None = None,
        algorithms: Sequence[str] | None = None,
        audience: Sequence[str] = (),
        issuer: Sequence[str] = (),
        leeway_s: float = 10.0,
        required: Sequence[str] = ("exp",),
        documents_claim: str = "documents",
        role_claim: str | None = None,
        roles: Mapping[str, Role] = BUILT_IN,
        max_token_bytes: int = MAX_TOKEN_BYTES,
        refresh_s: float = 300.0,
        stale_s: float = 6 * 3600.0,
        clock: Clock | None = None,
    ) -> None:
        for name in algorithms or ():
            if name not in ALGORITHMS:
                raise ConfigError(
                    f"auth_algorithms: {name} is not one of {', '.join(ALGORITHMS)}",
                    hint="Name the algorithms that your issuer signs with",
                )
        self._clock = clock or SystemClock()
        self.max_token_bytes = max_token_bytes
        self.roles = roles
        self.rules = ClaimRules(
            audience=frozenset(audience),
            issuer=frozenset(issuer),
            leeway_s=leeway_s,
            required=tuple(required),
            documents_claim=documents_claim,
            role_claim=role_claim,
        )
        if (key_file is None) == (jwks_url is None):
            raise ConfigError(
                "tokens are checked with the keys of one place",
                hint="Set either auth_key_file or auth_jwks_url",
            )
        chosen = None if algorithms is None else tuple(algorithms)
        if key_file is not None:
            self.source = _from_file(Path(key_file), chosen, stale_s, self._clock)
        else:
            assert jwks_url is not None
            self.source = _from_url(jwks_url, chosen, refresh_s, stale_s, self._clock)

    async def prepare(self) -> None:
        """Have the keys before the first client comes; where that fails, it is logged."""
        await self.source.prepare()

    async def trouble(self) -> Trouble | None:
        """Return what is wrong with the keys."""
        return await self.source.trouble()

    async def authenticate(self, request: ConnectRequest) -> Principal:
        """Return who the token is for, with its role in the document."""
        principal = self.rules.principal(await self.claims(request.token))
        return authorised(principal, request.document, self.roles)

    async def claims(self, token: str) -> Mapping[str, Any]:
        """Return what a token says, if it is genuine and holds; else ``Unauthenticated``."""
        read = read_token(token, max_bytes=self.max_token_bytes)
        payload = await self.source.payload(read)
        if payload is None:
            raise Unauthenticated("the token is not signed by a key that is known here")
        claims = read_object(payload, "claims")
        self.rules.check(claims, self._clock.time_ms() / 1000)
        return claims


class CallableAuthenticator:
    """Lets in whom a function returns.

    The function takes the ``ConnectRequest`` and returns a ``Principal``, or ``None`` for
    somebody it does not know; or raises ``Unauthenticated`` or ``Forbidden``. An async one is
    awaited, any other runs on a thread, so that it may block. A principal that has ``grants``
    gets its role in the document from them, default deny.
    """

    def __init__(
        self,
        function: Callable[[ConnectRequest], Principal | Awaitable[Principal | None] | None],
        *,
        roles: Mapping[str, Role] = BUILT_IN,
    ) -> None:
        self._function = function
        self._awaited = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
        )
        self._roles = roles

    async def authenticate(self, request: ConnectRequest) -> Principal:
        """Return whom the function returns, with the role that its grants give it."""
        if self._awaited:
            found = self._function(request)
        else:
            # Boxed: a function that returns a coroutine is no mistake, but trio takes it for one.
            (found,) = await anyio.to_thread.run_sync(
                lambda: (self._function(request),), abandon_on_cancel=True
            )
        if inspect.isawaitable(found):
            found = await found
        if found is None:
            raise Unauthenticated("that is nobody who is known here")
        if not isinstance(found, Principal):
            raise TypeError(f"the function returned {type(found).__name__}, no Principal")
        return authorised(found, request.document, self._roles)


def _from_file(
    path: Path, algorithms: Sequence[str] | None, stale_s: float, clock: Clock
) -> KeySource:
    source = KeySource(
        partial(read_key_file, path, algorithms),
        where=str(path),
        refresh_s=FILE_REFRESH_S,
        pause_s=FILE_REFRESH_S,
        stale_s=stale_s,
        clock=clock,
    )
    try:
        source.load_now()
    except KeyProblem as problem:
        # Not the path: who takes the option for the key itself would read it in every log.
        raise ConfigError(
            f"auth_key_file: {problem}",
            hint="Set auth_key_file to a file with a PEM key, a JWK, a JWK set or a secret",
        ) from None
    return source


def _from_url(
    url: str, algorithms: Sequence[str] | None, refresh_s: float, stale_s: float, clock: Clock
) -> KeySource:
    try:
        check_url(url)
    except KeyProblem as problem:
        raise ConfigError(
            f"auth_jwks_url {problem}", hint="Set it to the https:// URL of a JWK set"
        ) from None
    if any(ALGORITHMS[name] == "secret" for name in algorithms or ()):
        raise ConfigError(
            "auth_algorithms: a shared secret's algorithm does not go with auth_jwks_url",
            hint="Name algorithms of public keys alone, or set auth_key_file",
        )
    return KeySource(
        lambda: read_keys(fetch(url), algorithms=algorithms, secrets=False),
        where=shown_url(url),
        refresh_s=refresh_s,
        pause_s=min(UNKNOWN_KEY_PAUSE_S, refresh_s),
        stale_s=stale_s,
        clock=clock,
    )
