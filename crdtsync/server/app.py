"""Another name of ``crdtsync.server.asgi``.

Importing it hides ``crdtsync.server:app`` in that process, as every submodule of that name does.
"""

from crdtsync.server.asgi import create_app

__all__ = ["create_app"]
