"""Fixtures: the server and Node.js clients; a failing browser test leaves screenshots."""

import itertools
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.needs import require

from .harness import (
    HERE,
    NODE_MODULES,
    VERSIONS,
    Client,
    Clients,
    Driver,
    Server,
    run_node,
    running_driver,
)
from .webdriver import Browser
from .webdriver import Driver as ChromeDriver
from .webdriver import running as running_chromedriver


@pytest.fixture(scope="session")
def javascript() -> None:
    """Make sure of Node.js and the npm packages."""
    require(shutil.which("node"), "Node.js is not installed")
    require(
        (NODE_MODULES / "yjs").is_dir(),
        "the JavaScript clients are not installed: run `npm ci` in tests/interop",
    )


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that neither stop it nor look at its store."""
    with Server(tmp_path_factory.mktemp("shared-server")) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, to stop, kill and restart."""
    with Server(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(javascript: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with tokens and a gate (guarded_server.py)."""
    folder = tmp_path_factory.mktemp("guarded")
    with Server(folder, script=HERE / "guarded_server.py") as server:
        yield server


@pytest.fixture(scope="session")
def chromedriver(javascript: None) -> Iterator[ChromeDriver]:
    """One ChromeDriver for the browsers of all tests."""
    with running_chromedriver() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(
    chromedriver: ChromeDriver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """A browser with an empty profile."""
    browser = chromedriver.open(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def driver(javascript: None) -> Iterator[Driver]:
    """One Node.js process for the clients of all tests."""
    with running_driver() as driver:
        yield driver


@pytest.fixture(scope="session")
def idlers(javascript: None, shared_server: Server) -> Iterator[tuple[list[Client], float]]:
    """Clients of all versions that have nothing to do, with and without presence, and since when.

    They start with the first test that has clients and idle beside all of them, in a process
    of their own, until test_timeouts.py looks at them.
    """
    with running_driver() as driver:
        idle = Clients(driver)
        opened = [
            idle.open(version, shared_server.url, f"idle/{version}/{name}", state=state)
            for version in VERSIONS
            for name, state in (("present", {"name": "idler"}), ("absent", None))
        ]
        for client in opened:
            client.wait(synced=True)
        yield opened, time.monotonic()


@pytest.fixture
def clients(driver: Driver, idlers: object) -> Iterator[Clients]:
    """Opens clients that live as long as the test."""
    clients = Clients(driver)
    yield clients
    clients.close()


_rooms = itertools.count(1)


@pytest.fixture
def room() -> str:
    """A document name that no other test uses."""
    return f"room-{next(_rooms)}"


@pytest.fixture(scope="session")
def node(javascript: None) -> Callable[..., str]:
    """Runs a Node.js script to its end and returns its output."""
    return run_node


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failed browser test's report where its screenshots are."""
    report = yield
    people = getattr(item, "funcargs", {}).get("people", ())
    if report.when == "call" and report.failed:
        for person in people:
            path = item.config.rootpath / ".pytest_cache" / f"{item.name}-{person.name}.png"
            path.parent.mkdir(exist_ok=True)
            try:
                person.browser.screenshot(path)
            except Exception as error:  # noqa: BLE001 - the test's own failure matters more
                report.sections.append((f"{person.name}'s screen", f"no screenshot: {error}"))
            else:
                report.sections.append((f"{person.name}'s screen", str(path)))
    return report
