"""A program that edits offline, says what its local store holds, and is then killed."""

import sys

import anyio
import pycrdt

from crdtsync.client import connect


async def main(url: str, store: str) -> None:
    """Edit for ever; print how much is kept."""
    async with connect(url, store=store) as document:
        text = document.doc.get("text", type=pycrdt.Text)
        number = len(str(text))
        while True:
            text += "x"
            number += 1
            if number % 10 == 0:
                await document.kept()
                print(number, flush=True)  # noqa: T201 - what the test waits for


anyio.run(main, *sys.argv[1:])
