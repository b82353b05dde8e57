"""What stands around the suite: the echo echoes, and the page says what the last run said."""

import asyncio
import json
from pathlib import Path
from typing import Literal

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from crdtsync.config import Config

from .endpoint import echo_server
from .summary import PAGE, RESULTS, Summary, kept, rendered

TIMEOUT_S = 30.0
MESSAGES: list[str | bytes] = ["", "x", "ä" * 70_000, b"", b"\x00\x01\xff", bytes(300_000)]
TRANSPORTS = pytest.mark.parametrize("transport", ["native", "asgi"])


def index(folder: Path, **cases: tuple[str, str]) -> Path:
    """Write an index as the suite does."""
    found = {
        name.removeprefix("case").replace("_", "."): {
            "behavior": behavior,
            "behaviorClose": close,
            "duration": 1500,
        }
        for name, (behavior, close) in cases.items()
    }
    path = folder / "index.json"
    path.write_text(json.dumps({"crdtsync": found}), "utf-8")
    return path


@TRANSPORTS
def test_the_echo(transport: Literal["native", "asgi"]) -> None:
    """Each transport sends back what it got: text as text, binary as binary, in order."""

    async def run() -> None:
        config = Config(host="127.0.0.1", port=0, transport=transport)
        async with asyncio.timeout(TIMEOUT_S), echo_server(config) as listening:
            assert listening.transport == transport
            url = listening.urls[0].replace("http", "ws", 1) + "/echo"
            async with connect(url, compression=None) as client:
                for message in MESSAGES:
                    await client.send(message)
                for message in MESSAGES:
                    assert await client.recv() == message
                await client.send([b"in", b"", b"parts"])
                assert await client.recv() == b"inparts"

    asyncio.run(run())


@TRANSPORTS
def test_text_that_is_none(transport: Literal["native", "asgi"]) -> None:
    """Text that is not UTF-8 is not echoed but ends the connection."""

    async def run() -> None:
        config = Config(host="127.0.0.1", port=0, transport=transport)
        async with asyncio.timeout(TIMEOUT_S), echo_server(config) as listening:
            url = listening.urls[0].replace("http", "ws", 1) + "/echo"
            async with connect(url, compression=None) as client:
                await client.send(b"\xce\xba\xed\xa0\x80", text=True)
                with pytest.raises(ConnectionClosedError) as ended:
                    await client.recv()
                if transport == "native":
                    assert ended.value.rcvd is not None
                    assert ended.value.rcvd.code == 1007

    asyncio.run(run())


def test_what_counts_as_failed(tmp_path: Path) -> None:
    """A wrong close fails a case as wrong messages do; a case that isn't implemented doesn't."""
    path = index(
        tmp_path,
        case1_1=("OK", "OK"),
        case1_2=("FAILED", "OK"),
        case1_10=("OK", "UNCLEAN"),
        case2_1=("NON-STRICT", "WRONG CODE"),
        case2_2=("NON-STRICT", "OK"),
        case7_1=("INFORMATIONAL", "INFORMATIONAL"),
        case12_1=("UNIMPLEMENTED", "FAILED"),
    )
    summary = Summary.of(path, server={}, command="", date="")
    assert summary.others == {
        "failed": {"1": ["1.2", "1.10"], "2": ["2.1"]},
        "non-strict": {"2": ["2.2"]},
        "informational": {"7": ["7.1"]},
        "unimplemented": {"12": ["12.1"]},
    }
    assert [summary.total(column) for column in ("passed", "failed")] == [1, 3]
    assert summary.rows()[-1] == ("all", "1", "1", "1", "1", "3", "10.5")


def test_the_page_is_up_to_date() -> None:
    """docs/conformance.md has the tables of the kept runs.

    If this fails: python -m tests.conformance --keep
    """
    page = PAGE.read_text("utf-8")
    assert rendered(page) == page
    assert {"native", "asgi"} <= kept().keys()


def test_the_kept_runs_are_whole_and_clean() -> None:
    """No kept run has a failed case, and each has every case of its groups."""
    for name, summary in kept().items():
        assert summary.total("failed") == 0, name
        cases = sum(sum(counts.values()) for counts in summary.groups.values())
        assert cases == (216 if name.endswith("compression") else 301), name
        assert (RESULTS / f"{name}.md").read_text("utf-8") == summary.markdown() + "\n"
