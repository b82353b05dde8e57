"""The servers: the ASGI application, the native transport, and ``app`` for ASGI servers.

``crdtsync.server:app`` is configured by the ``CRDTSYNC_*`` variables and the configuration file
when its server starts it, so that importing this package opens nothing.
"""

import os

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from crdtsync.config import load
from crdtsync.errors import OperatorError
from crdtsync.guarding import guard_folder
from crdtsync.server.asgi import create_app
from crdtsync.server.assembly import assemble
from crdtsync.server.doors import doors_of
from crdtsync.store import open_store

__all__ = ["app", "create_app"]


class ConfiguredApp:
    """An ASGI application that reads its configuration when it is first called.

    An object rather than a lazy module attribute, because Hypercorn looks for the name in the
    module's dictionary.
    """

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._once = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; refuse to start, with one line, where the configuration is wrong."""
        problem = ""
        if self._app is None:
            try:
                async with self._once:
                    self._app = self._app or await _configured()
            except OperatorError as error:
                if scope["type"] != "lifespan":
                    raise
                problem = f"{error}. {error.hint}" if error.hint else str(error)
        if self._app is None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": problem})
        else:
            await self._app(scope, receive, send)


async def _configured() -> ASGIApp:
    # What reads keys is large.
    from crdtsync.identity.configured import configured_authenticator, configured_desk

    config = load(env=os.environ).config
    authenticator = await configured_authenticator(config)
    store = open_store(config.store, durability=config.durability)
    return assemble(
        config,
        store,
        authenticator,
        doors_of(config),
        folder=guard_folder(store.url),
        tokens=configured_desk(config, authenticator),
    ).app()


app = ConfiguredApp()
