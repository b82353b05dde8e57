"""What the engine needs of a transport: the other side of ``Connection``."""

from typing import Protocol

__all__ = ["Link"]


class Link(Protocol):
    """A transport's side of one connection. Nothing here awaits or raises."""

    def send(self, frame: bytes) -> None:
        """Send one binary message; may call ``pause_writing`` before it returns."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close behind what was sent; idempotent."""
        ...

    def abort(self) -> None:
        """Drop a dead peer at once."""
        ...

    def ping(self) -> None:
        """Send a ping, where the transport has one; the answer comes as ``heard``."""
        ...

    def pause_reading(self) -> None:
        """Take nothing more from the socket for now."""
        ...

    def resume_reading(self) -> None:
        """Go on reading."""
        ...
