"""A server whose tokens end: `NAME:ROLE:SECONDS`, from the moment at which one is looked at.

Takes the same options as `crdtsync serve` (tests start it in its place).
"""

import time

from crdtsync.auth import ConnectRequest
from crdtsync.errors import Unauthenticated
from crdtsync.gate import Principal
from crdtsync.roles import BUILT_IN
from tests.interop.serving import main


class Tokens:
    """Lets in whoever has a token of that form."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        match request.token.split(":"):
            case [name, role, seconds] if role in BUILT_IN:
                now_s = time.time()
                return Principal(
                    id=name, role=BUILT_IN[role], expires_s=now_s + float(seconds), issued_s=now_s
                )
        raise Unauthenticated("the token is not valid")


if __name__ == "__main__":
    main(authenticator=Tokens())
