"""Bodies of requests: JSON objects of bounded size, read member by member.

Owns what is said about a body that is wrong. It never repeats what the body says.
"""

import json
from datetime import UTC, datetime
from typing import Any, Final

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.types import Message, Receive, Send

from crdtsync.server.problems import Problem
from crdtsync.server.request import PATIENCE

__all__ = ["LINGER_S", "MAX_BODY_BYTES", "Fields", "Lingering", "read_body", "read_bytes"]

MAX_BODY_BYTES: Final = 64 * 1024
MIN_BYTES_PER_S: Final = 1024
"""So much of a body earns it a second more,"""
MAX_BODY_S: Final = 600.0
"""up to so many in all."""
MAX_DROPPED: Final = 4
"""Of a body that is too large, so many times what is allowed are read at most."""
LINGER_S: Final = 2.0
"""So long a body is read behind an answer that did not wait for it."""
READ_HERE_BYTES: Final = 128 * 1024
"""Larger JSON is read on a thread."""
_BAD: Final = "invalid-parameter"


async def read_body(request: Request, most: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Read a JSON object of bounded size."""
    raw = await read_bytes(request, most)
    try:
        large = len(raw) > READ_HERE_BYTES
        value = await anyio.to_thread.run_sync(json.loads, raw) if large else json.loads(raw)
    except (ValueError, RecursionError):
        raise Problem(400, "The body is no JSON.", code="invalid-body") from None
    if not isinstance(value, dict):
        raise Problem(400, "The body is no JSON object.", code="invalid-body")
    return value


async def read_bytes(request: Request, most: int) -> bytes:
    """Read a body of bounded size, as long as it keeps coming.

    What is too much is dropped, but read: who still sends while the connection ends may never see
    the answer, and a proxy says 502 then.
    """
    raw = bytearray()
    size = 0
    patience_s = request.scope[PATIENCE]
    begun_s = anyio.current_time()
    with anyio.move_on_after(patience_s) as patience:
        async for chunk in request.stream():
            size += len(chunk)
            earned_s = min(size / MIN_BYTES_PER_S, MAX_BODY_S)
            patience.deadline = min(anyio.current_time(), begun_s + earned_s) + patience_s
            if size <= most:
                raw += chunk
            elif size > MAX_DROPPED * most:
                break
    if size > most:
        raise Problem(413, f"The body is over {most} bytes.", code="body-too-large")
    if patience.cancelled_caught:
        raise Problem(408, "The body comes too slowly.", code="body-timeout")
    return bytes(raw)


class Lingering:
    """One request, whose body is read for a while where its answer did not wait for it.

    What is dropped unread makes the system reset the connection: the answer is lost for who still
    sends, and a proxy says 502.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._more = True

    async def receive(self) -> Message:
        """Read what there is of the body."""
        message = await self._receive()
        self._more = bool(message.get("more_body", False))
        return message

    async def send(self, message: Message) -> None:
        """Send a piece of the answer; it ends where the body has, or after a while."""
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not last or not self._more:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        with anyio.move_on_after(LINGER_S):
            while self._more:
                await self.receive()
        await self._send({"type": "http.response.body"})


class Fields:
    """Reads the members of a body, each once; what is left over is a mistake.

    One that may be left out may be null as well.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def text(self, name: str, *, required: bool = False) -> str:
        value = self._body.pop(name, None)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or (required and not value):
            raise Problem(400, f"{name} is a text.", code=_BAD)
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Problem(400, f"{name} is no text of Unicode.", code=_BAD) from None
        return value

    def either(self, name: str) -> str | None:
        """Return a text that may be empty; ``None`` where it is left out."""
        if self._body.get(name) is None:
            self._body.pop(name, None)
            return None
        return self.text(name)

    def given(self, name: str) -> str | None:
        """Return a text that may be empty; ``None`` where it is left out, what null is not."""
        if name in self._body and self._body[name] is None:
            raise Problem(400, f"{name} is a text.", code=_BAD)
        return self.either(name)

    def number(self, name: str) -> int | None:
        value = self._body.pop(name, None)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # 3.0 is the number 3 to JSON
        if isinstance(value, bool) or not isinstance(value, int):
            raise Problem(400, f"{name} is a whole number.", code=_BAD)
        return value

    def flag(self, name: str) -> bool:
        value = self._body.pop(name, None)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise Problem(400, f"{name} is true or false.", code=_BAD)
        return value

    def time_ms(self, name: str) -> int | None:
        value = self._body.pop(name, None)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError
            return int(moment.astimezone(UTC).timestamp() * 1000)
        except (TypeError, ValueError, OverflowError):
            example = "2030-01-31T12:00:00Z"
            raise Problem(400, f"{name} is a time such as {example}.", code=_BAD) from None

    def texts(self, name: str, *, most: int) -> list[str]:
        """Return a list of texts; empty where it is left out."""
        value = self._body.pop(name, None)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > most or not all(map(_is_word, value)):
            raise Problem(400, f"{name} is a list of up to {most} texts.", code=_BAD)
        return value

    def table(self, name: str, *, most: int) -> dict[str, str]:
        """Return an object of texts, which has to be there, with a member at least."""
        value = self._body.pop(name, None)
        if (
            not isinstance(value, dict)
            or not 0 < len(value) <= most
            or not all(_is_word(each) for pair in value.items() for each in pair)
        ):
            raise Problem(400, f"{name} is an object of 1 to {most} texts.", code=_BAD)
        return value

    def end(self) -> None:
        if self._body:
            raise Problem(400, "The body has members that mean nothing here.", code=_BAD)


def _is_word(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
