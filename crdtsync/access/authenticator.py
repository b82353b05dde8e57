"""Share links and revocations in front of any authenticator."""

from collections.abc import Callable

from crdtsync.access.links import PREFIX, PRINCIPAL_PREFIX
from crdtsync.access.shares import Shares
from crdtsync.auth import Authenticator, ConnectRequest
from crdtsync.errors import Forbidden, RemoteError
from crdtsync.gate import Principal

__all__ = ["ShareAuthenticator"]


class ShareAuthenticator:
    """Takes tokens that begin with ``share.`` to the links, all others to ``inner``."""

    def __init__(
        self,
        inner: Authenticator,
        shares: Shares,
        refusal: Callable[[str, Principal], RemoteError | None],
    ) -> None:
        """``refusal`` says what speaks against a principal at this moment, such as a revocation."""
        self.inner = inner
        self._shares = shares
        self._refusal = refusal

    async def authenticate(self, request: ConnectRequest) -> Principal:
        if request.token.startswith(PREFIX):
            principal = await self._shares.join(request)
        else:
            principal = await self.inner.authenticate(request)
            if principal.share or principal.id.startswith(PRINCIPAL_PREFIX):
                raise Forbidden("this id is a visitor's, and can't be yours")
        error = self._refusal(request.document, principal)
        if error is not None:
            raise error
        return principal
