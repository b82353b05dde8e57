"""What the client's tests share: quick options, texts, waiting for what is to come."""

from collections.abc import Callable
from typing import Any, Final

import anyio
import pycrdt

from crdtsync.client import Backoff, Document, Options
from tests.native.kit import Server

__all__ = ["OPTIONS", "TIMEOUT_S", "address", "text_of", "until", "until_text"]

TIMEOUT_S: Final = 30.0
OPTIONS: Final = Options(backoff=Backoff(first_s=0.05, max_s=0.2, quick_s=0.05))


def address(server: Server, name: str = "doc") -> str:
    """Return a document's URL."""
    return f"{server.url.replace('http', 'ws')}/{name}"


def text_of(document: Document, root: str = "text") -> pycrdt.Text:
    """Return a root of the document as a text."""
    return document.doc.get(root, type=pycrdt.Text)


async def until(holds: Callable[[], bool], what: str = "it") -> None:
    """Wait until something holds; how long it takes proves nothing."""
    with anyio.move_on_after(TIMEOUT_S):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await anyio.sleep(0.005)
        return
    raise AssertionError(f"{what} is not so in time")


async def until_text(document: Document, wanted: str, root: str = "text") -> None:
    """Wait for a document's text."""
    text: Any = text_of(document, root)
    await until(lambda: str(text) == wanted, f"{str(text)!r} == {wanted!r}")
