"""Relay WebSocket frames between the clients of a room without reading them: the limit.

Whatever a Python server does beyond this, checking, storing, merging, it pays for on top.
Started as ``python relay.py PORT``.
"""

from __future__ import annotations

import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

rooms: dict[bytes, list[WSTransport]] = {}


class Member(WSListener):
    """Send every binary frame of one connection to all others in its room."""

    def __init__(self, room: bytes) -> None:
        self.peers = rooms.setdefault(room, [])

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.peers.append(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.peers.remove(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            payload = frame.get_payload_as_bytes()
            for peer in self.peers:
                if peer is not transport:
                    peer.send(WSMsgType.BINARY, payload)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


def accept(request: WSUpgradeRequest) -> WSListener:
    return Member(request.path)


async def main() -> None:
    server = await ws_create_server(accept, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
