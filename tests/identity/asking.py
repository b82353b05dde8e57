"""What an authenticator makes of a token."""

import anyio

from crdtsync.auth import ConnectRequest
from crdtsync.errors import Forbidden, Unauthenticated
from crdtsync.gate import Principal
from crdtsync.identity import JWTAuthenticator

__all__ = ["ask"]


def ask(
    authenticator: JWTAuthenticator, token: str, document: str = "team/plan"
) -> Principal | Unauthenticated | Forbidden:
    """Return who is let in, or why nobody is; anything but these errors is a failure."""

    async def main() -> Principal | Unauthenticated | Forbidden:
        try:
            return await authenticator.authenticate(ConnectRequest(document=document, token=token))
        except (Unauthenticated, Forbidden) as error:
            return error

    return anyio.run(main)
