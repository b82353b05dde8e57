"""Make the pictures of docs/example.md: `python -m tests.interop.screenshots`."""

import tempfile
from pathlib import Path
from typing import Any

from .harness import REPOSITORY, Server
from .notes import CHANNELS, Visitor, built
from .webdriver import ENTER, Browser, running

PICTURES = REPOSITORY / "docs" / "pictures"
DOCUMENT = "Garden party"
WIDE = {"width": 1080, "height": 640, "deviceScaleFactor": 1, "mobile": False}
NARROW = {"width": 400, "height": 780, "deviceScaleFactor": 1, "mobile": True}


def devtools(browser: Browser, command: str, **params: Any) -> None:
    """Send a command of the DevTools protocol."""
    browser.call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})


def dressed(browser: Browser, size: dict[str, object], scheme: str) -> None:
    """Give a page a size, and its user a liking for light or dark."""
    devtools(browser, "Emulation.setDeviceMetricsOverride", **size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    devtools(browser, "Emulation.setEmulatedMedia", features=features)


def play(ada: Visitor, ben: Visitor, server: Server) -> None:
    """Let two people plan a party, with a look at it now and then."""
    ada.open(DOCUMENT)
    ben.open(DOCUMENT)
    ada.browser.click(".ql-header")
    ada.browser.run("document.querySelector('.ql-picker-options [data-value=\"1\"]').click()")
    ada.write("Garden party" + ENTER)
    ada.write("Saturday at four, behind the library. Ada brings lemonade and two tables." + ENTER)
    ada.say("Shall we ask the neighbours?" + ENTER)
    ben.hears("Shall we ask the neighbours?")
    ben.press("♥", "Shall we ask the neighbours?")
    ben.say("I did, they bring chairs" + ENTER)
    ada.hears("I did, they bring chairs")
    ben.fill("status", "busy")
    ada.meets("Ben", "busy")
    ben.write("Ben brings a cake, and looks after the music")
    ada.saved()
    ben.say("Does anybody have a long")
    ada.browser.see("document.getElementById('typing').textContent !== ''")
    ben.browser.click(".ql-editor")
    ada.browser.see("document.querySelector('.ql-cursor-name')?.textContent === 'Ben'")
    ada.browser.screenshot(PICTURES / "example.png")
    ada.saved()
    server.stop()
    ben.saved("offline")
    ben.write(" from the train")
    ben.browser.see("document.getElementById('saved').textContent.includes('kept')")
    ben.browser.run("scrollTo(0, 0)")
    ben.browser.screenshot(PICTURES / "example-offline.png")


def main() -> None:
    """Write the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            Server(folder, *CHANNELS) as server,
            built(folder / "page", server.port) as address,
            running() as driver,
        ):
            ada = Visitor(driver.open(folder / "ada"), address, "Ada")
            ben = Visitor(driver.open(folder / "ben"), address, "Ben")
            dressed(ada.browser, WIDE, "light")
            dressed(ben.browser, NARROW, "dark")
            play(ada, ben, server)
            ada.browser.close()
            ben.browser.close()


if __name__ == "__main__":
    main()
