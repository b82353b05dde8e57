"""A server whose authenticator fails in ways that show the token."""

import logging
import sys

from crdtsync import Config, ConnectRequest, Limits, Principal, Unauthenticated, run
from crdtsync.server.serve import Listening

LIMITS = Limits(refusal_delay_s=0.01)


class Careless:
    """Puts the token into whatever it raises."""

    async def authenticate(self, request: ConnectRequest) -> Principal:
        match request.document:
            case "reason":
                raise Unauthenticated(f"{request.token} is not known here")
            case "nested":
                try:
                    raise KeyError(request.token)
                except KeyError as error:
                    raise ValueError("can't be looked up") from error
        raise ValueError(f"https://id.example.org/introspect?token={request.token}")


def started(listening: Listening) -> None:
    """Say what the test waits for."""
    print(f"listening on {listening.urls[0]}", flush=True)  # noqa: T201 - what tests wait for


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG)
    run(
        Config(host="127.0.0.1", port=0, store="memory:", transport=sys.argv[1], limits=LIMITS),
        authenticator=Careless(),
        started=started,
    )
