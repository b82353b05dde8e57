"""The example of docs/example.md, built and served, and people at it."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from tests.needs import program, require

from .harness import REPOSITORY
from .pages import served
from .webdriver import BACKSPACE, CONTROL, END, Browser

__all__ = ["CHANNELS", "EXAMPLE", "Visitor", "built", "installed"]

EXAMPLE = REPOSITORY / "docs" / "examples" / "notes"
VITE = EXAMPLE / "node_modules" / "vite" / "bin" / "vite.js"
CHANNELS = ("--chat", "*", "--presence", "*")
"""What the example needs of its server."""
BUILD_TIMEOUT_S = 120.0


def installed() -> None:
    """Make sure of the example's npm packages."""
    require(VITE.is_file(), "the example is not installed: run `npm ci` in docs/examples/notes")


@contextmanager
def built(folder: Path, port: int) -> Iterator[str]:
    """Build the example for a server's port and serve it for the block; hand out the address."""
    installed()
    done = subprocess.run(
        [program("node"), str(VITE), "build", "--outDir", str(folder), "--emptyOutDir"],
        cwd=EXAMPLE,
        env={**os.environ, "VITE_SERVER": f"ws://127.0.0.1:{port}"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with served(folder) as address:
        yield address


class Visitor:
    """Sits at one browser, with the example in it."""

    def __init__(self, browser: Browser, address: str, name: str, called: str = "") -> None:
        self.browser = browser
        self.address = address
        self.name = name
        self.called = called or name

    def open(self, document: str) -> None:
        """Open a document under one's name."""
        self.browser.go(f"{self.address}/?{urlencode({'document': document})}")
        self.saved()
        self.fill("name", self.called)

    def fill(self, id: str, value: str) -> None:
        """Put a value into a field, as if it had been typed and left."""
        self.browser.run(
            f"(field => {{ field.value = {json.dumps(value)};"
            " field.dispatchEvent(new Event('change')) })"
            f"(document.getElementById({id!r}))"
        )

    def write(self, text: str) -> None:
        """Type at the end of the notes."""
        self.browser.click(".ql-editor")
        self.browser.type(END, hold=CONTROL)
        self.browser.type(text)

    def say(self, text: str) -> None:
        """Type into the chat's field, without sending it."""
        self.browser.click("#text")
        self.browser.type("a", hold=CONTROL)
        self.browser.type(BACKSPACE + text)

    def press(self, label: str, message: str) -> None:
        """Click a button of the message with this text."""
        self.browser.see(f"{_message(message)} && {_button(message, label)}")
        self.browser.run(f"{_button(message, label)}.click()")

    def reads(self, *texts: str) -> None:
        """Wait until the notes contain all of it."""
        self.browser.see(
            f"{json.dumps(texts)}.every(text =>"
            " document.querySelector('.ql-editor').innerText.includes(text))"
        )

    def hears(self, text: str) -> None:
        """Wait until a message has this text."""
        self.browser.see(_message(text))

    def meets(self, name: str, notes: str) -> None:
        """Wait until the list of people has somebody with these notes behind the name."""
        wanted = json.dumps(f"{name} {notes}")
        self.browser.see(
            "[...document.querySelectorAll('#people li')]"
            f".some(each => each.textContent.startsWith({wanted}))"
        )

    def saved(self, state: str = "saved") -> None:
        """Wait until the page says that all is saved, or whatever else."""
        self.browser.see(f"document.getElementById('saved').dataset.state === {state!r}")


def _message(text: str) -> str:
    return (
        "[...document.querySelectorAll('#messages li')]"
        f".find(each => each.querySelector('p').textContent === {json.dumps(text)})"
    )


def _button(message: str, label: str) -> str:
    return (
        f"[...{_message(message)}.querySelectorAll('button')]"
        f".find(each => each.textContent.startsWith({json.dumps(label)}))"
    )
