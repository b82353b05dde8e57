"""Drive Chromium over the W3C WebDriver protocol: only what these tests need of it.

A `Driver` is one ChromeDriver process; a `Browser` is one session of it, a Chromium of its own
with an empty profile.
"""

import base64
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx

from tests.needs import require

from .harness import Output

START_TIMEOUT_S = 30.0
WAIT_TIMEOUT_S = 20.0

ENTER = "\ue007"
BACKSPACE = "\ue003"
TAB = "\ue004"
CONTROL = "\ue009"
SHIFT = "\ue008"
HOME = "\ue011"
END = "\ue010"

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=800,600",
)

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of an element's reference (WebDriver, section 12)."""


def find_chromium() -> str | None:
    """Return the path of the installed Chromium."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def find_chromedriver() -> str | None:
    """Return the path of the installed ChromeDriver."""
    return shutil.which("chromedriver")


def running() -> "Driver":
    """Start ChromeDriver; skip, or fail in CI, where it or Chromium is not installed."""
    require(find_chromium(), "Chromium is not installed")
    require(find_chromedriver(), "ChromeDriver is not installed")
    return Driver()


class WebDriverError(AssertionError):
    """Says what ChromeDriver or the page's script answered."""


class Driver:
    """Owns one ChromeDriver process."""

    def __init__(self) -> None:
        path = find_chromedriver()
        assert path is not None
        self._process = subprocess.Popen(
            [path, "--port=0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        found = Output(self._process.stdout).wait_for(r"on port (\d+)\.", START_TIMEOUT_S)
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{found[1]}", timeout=60.0, trust_env=False
        )

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one command and return its value."""
        if method == "POST" and body is None:
            body = {}
        response = self._http.request(method, path, json=body)
        value = response.json()["value"]
        if response.status_code != 200:
            raise WebDriverError(f"{value['error']}: {value['message']}")
        return value

    def open(self, profile: Path) -> "Browser":
        """Start a Chromium whose profile is this new folder."""
        options = {
            "binary": find_chromium(),
            "args": [*FLAGS, f"--user-data-dir={profile}"],
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": options}
        session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        browser = Browser(self, f"/session/{session['sessionId']}")
        browser.call("POST", "/timeouts", {"script": 60_000, "pageLoad": 30_000})
        return browser

    def close(self) -> None:
        """End ChromeDriver, and the browsers that are still open with it."""
        self._http.close()
        self._process.terminate()
        self._process.wait(START_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Browser:
    """Speaks for one Chromium."""

    def __init__(self, driver: Driver, path: str) -> None:
        self._driver = driver
        self._path = path

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one command of this session."""
        return self._driver.call(method, self._path + path, body)

    def go(self, url: str) -> None:
        """Load a page; returns when it has loaded."""
        self.call("POST", "/url", {"url": url})

    def close_tab(self) -> None:
        """Close the page with its tab (a page one navigates away from may live on, hidden)."""
        fresh = self.call("POST", "/window/new", {"type": "tab"})["handle"]
        self.call("DELETE", "/window")
        self.call("POST", "/window", {"handle": fresh})

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        return self.call("POST", "/execute/sync", {"script": f"return {expression}", "args": []})

    def wait(self, expression: str, *, timeout_s: float = WAIT_TIMEOUT_S) -> None:
        """Return as soon as the expression holds in the page (`until` in page/until.js)."""
        script = "window.until(arguments[0], arguments[1], arguments[2])"
        arguments = {"script": script, "args": [expression, timeout_s]}
        if not self.call("POST", "/execute/async", arguments):
            seen = self.run("JSON.stringify([editor.contents(), editor.cursors()])")
            raise WebDriverError(f"not within {timeout_s:g} s: {expression}; the page has {seen}")

    def see(self, condition: str, *, timeout_s: float = WAIT_TIMEOUT_S) -> None:
        """Wait until something holds in any page; looked at whenever its elements change."""
        script = f"""
            const done = arguments[0]
            const holds = () => {{ try {{ return Boolean({condition}) }} catch {{ return false }} }}
            if (holds()) return done(true)
            const end = found => {{ seen.disconnect(); clearTimeout(late); done(found) }}
            const seen = new MutationObserver(() => holds() && end(true))
            const all = {{ subtree: true, childList: true, attributes: true, characterData: true }}
            seen.observe(document, all)
            const late = setTimeout(() => end(holds()), {timeout_s * 1000:g})
        """
        if not self.call("POST", "/execute/async", {"script": script, "args": []}):
            shown = self.run("document.body.innerText")
            raise WebDriverError(f"not seen: {condition}; the page says {shown!r}")

    def click(self, selector: str) -> None:
        """Click an element."""
        found = self.call("POST", "/element", {"using": "css selector", "value": selector})
        self.call("POST", f"/element/{found[ELEMENT]}/click")

    def type(self, keys: str, *, hold: str = "", pause_ms: int = 0) -> None:
        """Press and release each key, as a person would, with a pause after each."""
        actions: list[dict[str, Any]] = [{"type": "keyDown", "value": key} for key in hold]
        for key in keys:
            actions.append({"type": "keyDown", "value": key})
            actions.append({"type": "keyUp", "value": key})
            if pause_ms:
                actions.append({"type": "pause", "duration": pause_ms})
        actions += [{"type": "keyUp", "value": key} for key in hold]
        self.call(
            "POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]}
        )

    def screenshot(self, path: Path) -> None:
        """Write what the page looks like."""
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def close(self) -> None:
        """End this Chromium."""
        self.call("DELETE", "")
