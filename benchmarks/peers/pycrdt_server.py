"""Serve pycrdt-websocket as an ASGI application, documents in memory, every option at its default.

Started as ``hypercorn pycrdt_server:app``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pycrdt.websocket import ASGIServer, WebsocketServer

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

rooms = WebsocketServer()
documents = ASGIServer(rooms)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Run the room server for as long as the ASGI lifespan lasts."""
    if scope["type"] == "lifespan":
        async with rooms:
            await documents(scope, receive, send)
    else:
        await documents(scope, receive, send)
