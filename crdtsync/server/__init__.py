"""The servers: the ASGI application, the native transport, and ``app`` for ASGI servers.

``crdtsync.server:app`` is made when it is first asked for, from the ``CRDTSYNC_*`` variables
and the configuration file, so that importing this package opens nothing.
"""

import os
from typing import TYPE_CHECKING

from crdtsync.server.asgi import create_app

if TYPE_CHECKING:
    from starlette.applications import Starlette

    app: Starlette

__all__ = ["app", "create_app"]


def _configured() -> "Starlette":
    from crdtsync.config import load
    from crdtsync.hub import Hub
    from crdtsync.store import open_store

    config = load(env=os.environ).config
    store = open_store(config.store, durability=config.durability)
    return create_app(Hub(store, limits=config.limits))


def __getattr__(name: str) -> "Starlette":
    """Make ``app`` on first use; it stays the same one from then on."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()["app"] = _configured()
    return made
