"""A y-websocket client in Python over a real socket, for tests that say when each thing happens."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

import pycrdt
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from crdtsync.protocol import (
    AuthMessage,
    Message,
    SyncStep1,
    SyncStep2,
    SyncUpdate,
    decode_frame,
    step_1_frame,
    step_2_frame,
    update_frame,
)

__all__ = ["TIMEOUT_S", "Client"]

TIMEOUT_S = 30.0
"""After this a test that waits for an event has failed."""


class Client:
    """A y-websocket client: one document, the messages of the protocol, an explicit pace."""

    def __init__(self, url: str, *, doc: pycrdt.Doc[Any] | None = None, **options: Any) -> None:
        self.doc: pycrdt.Doc[Any] = doc or pycrdt.Doc()
        self.text = self.doc.get("text", type=pycrdt.Text)
        options.setdefault("max_size", None)
        options.setdefault("ping_interval", None)
        options.setdefault("compression", None)
        if names := options.pop("subprotocols", None):
            options["subprotocols"] = [Subprotocol(name) for name in names]
        self._stack = ExitStack()
        self.ws: ClientConnection = self._stack.enter_context(connect(url, proxy=None, **options))
        self.messages: list[Message] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def receive(self) -> Message:
        """Wait for one message; integrate what it brings and answer a step 1."""
        frame = self.ws.recv(timeout=TIMEOUT_S)
        assert isinstance(frame, bytes)
        (message,) = decode_frame(frame)
        match message:
            case SyncStep1(vector):
                self.ws.send(step_2_frame(self.doc.get_update(vector)))
            case SyncStep2(update) | SyncUpdate(update):
                self.doc.apply_update(update)
        self.messages.append(message)
        return message

    def receive_until(self, wanted: Callable[[], bool]) -> None:
        """Receive until a condition holds; keepalives alone don't make it wait for ever."""
        deadline = time.monotonic() + TIMEOUT_S
        while not wanted():
            assert time.monotonic() < deadline, f"not in time; the text is {str(self.text)!r}"
            self.receive()

    def sync(self) -> Self:
        """Send step 1, and receive until both sides have what the other had."""
        self.ask(self.doc.get_state())
        self.receive_until(lambda: {SyncStep1, SyncStep2} <= {type(m) for m in self.messages})
        return self

    def ask(self, vector: bytes) -> None:
        """Send a step 1 for a state vector."""
        self.ws.send(step_1_frame(vector))

    def edit(self, change: Callable[[], object]) -> bytes:
        """Change the document, send the update, return it."""
        before = self.doc.get_state()
        change()
        update = self.doc.get_update(before)
        self.ws.send(update_frame(update))
        return update

    def append(self, text: str) -> bytes:
        """Add to the end of the text."""

        def change() -> None:
            self.text += text

        return self.edit(change)

    def ended(self) -> Close | None:
        """Receive until the connection ends; return the server's close, if there was one."""
        try:
            while True:
                self.receive()
        except ConnectionClosed as error:
            return error.rcvd

    def closed(self) -> Close:
        """Receive until the server closes; return what it said."""
        close = self.ended()
        assert close is not None, "the connection broke without a close frame"
        return close

    def refusal(self) -> tuple[list[str], Close]:
        """Receive until the server closes; return the reasons it gave, and the close."""
        close = self.closed()
        return self.reasons, close

    @property
    def reasons(self) -> list[str]:
        """The reasons with which the server has denied something."""
        return [message.reason for message in self.messages if isinstance(message, AuthMessage)]
