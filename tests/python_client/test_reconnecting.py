"""Connections that are cut, servers that go and come: nothing is lost, everything converges."""

import random
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdtsync.client import Backoff, Document, Status, connect
from tests.interop.harness import Server as Process
from tests.native.kit import Server

from .cutting import Cutter
from .kit import OPTIONS, TIMEOUT_S, address, text_of, until, until_text

pytestmark = pytest.mark.anyio


async def test_edits_made_offline_are_brought(server: Server) -> None:
    """What is written while there is no connection reaches the server with the next one."""
    with Cutter(server.port) as cutter:
        url = f"ws://127.0.0.1:{cutter.port}/doc"
        async with connect(url, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.synced()
                cutter.open = False
                cutter.cut()
                await until(lambda: document.status is Status.OFFLINE)
                text = text_of(document)
                text += "written offline"
                assert document.unsaved
                cutter.open = True
                await document.saved()
            assert server.text() == "written offline"


async def test_what_was_committed_unheard_is_confirmed(server: Server) -> None:
    """An edit whose confirmation was lost with its connection is saved with the next one."""
    with Cutter(server.port) as cutter:
        url = f"ws://127.0.0.1:{cutter.port}/doc"
        async with connect(url, options=OPTIONS) as document:
            with anyio.fail_after(TIMEOUT_S):
                await document.synced()
                cutter.deaf = True
                text = text_of(document)
                text += "abc"
                await until(lambda: server.text() == "abc")
                assert document.unsaved
                cutter.deaf = False
                cutter.cut()
                await document.saved()


CUTS = st.lists(st.integers(0, 3000), max_size=6)
EDITS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 1 << 30)), max_size=40
)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=CUTS, edits=EDITS, seed=st.integers(0, 1 << 30))
async def test_random_cuts(
    anyio_backend: str, cuts: list[int], edits: list[tuple[int, int, int]], seed: int
) -> None:
    """Two clients edit at random over connections that break anywhere: they end up the same."""
    with Server() as server, Cutter(server.port, cuts) as cutter:
        url = f"ws://127.0.0.1:{cutter.port}/doc"
        randomly = random.Random(seed)
        async with connect(url, options=OPTIONS) as ann, connect(url, options=OPTIONS) as bob:
            for who, kind, place in edits:
                _edit((ann, bob)[who], kind, place)
                if randomly.random() < 0.5:
                    await anyio.lowlevel.checkpoint()
                if randomly.random() < 0.1:
                    await anyio.sleep(0.01)
            with anyio.fail_after(TIMEOUT_S):
                await ann.saved()
                await bob.saved()
                await until_text(bob, server.text())
                await until_text(ann, server.text())
            assert str(text_of(ann)) == str(text_of(bob)) == server.text()


def _edit(document: Document, kind: int, place: int) -> None:
    text = text_of(document)
    size = len(str(text))
    if kind == 0 or not size:
        text.insert(place % (size + 1), f"{place % 100} ")
    elif kind == 1:
        start = place % size
        del text[start : min(size, start + 3)]
    else:
        text.format(place % size, size, {"bold": bool(place % 2)})


async def test_a_killed_server_loses_nothing_confirmed(tmp_path: Path, anyio_backend: str) -> None:
    """Through kills and restarts while somebody types, what was confirmed stays, all arrives."""
    process = Process(tmp_path)
    with process:
        url = f"{process.url}/doc"
        confirmed: list[str] = []
        async with connect(url, options=OPTIONS) as document:

            async def type_on() -> None:
                text = text_of(document)
                for number in range(200):
                    text += f"{number},"
                    if number % 10 == 0:
                        await document.saved()
                        confirmed.append(str(text))
                    await anyio.sleep(0.005)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(type_on)
                for _ in range(3):
                    await anyio.sleep(0.3)
                    await anyio.to_thread.run_sync(process.kill)
                    async with connect(url, options=OPTIONS) as other:
                        await anyio.to_thread.run_sync(process.start)
                        seen = len(confirmed)
                        with anyio.fail_after(TIMEOUT_S):
                            await other.synced()
                        if seen:
                            assert str(text_of(other)).startswith(confirmed[seen - 1])
            with anyio.fail_after(TIMEOUT_S):
                await document.saved()
            final = str(text_of(document))
        await anyio.to_thread.run_sync(process.kill)
        await anyio.to_thread.run_sync(process.start)
        async with connect(url, options=OPTIONS, wait=True) as other:
            assert str(text_of(other)) == final


def test_waits_grow_and_are_jittered() -> None:
    """Each wait is anywhere below a bound that doubles up to the most; 1012 and 1013 are quick."""
    most = Backoff(first_s=1, max_s=10, quick_s=0.25, random=lambda: 1.0)
    assert [most.wait_s(failures) for failures in (1, 2, 3, 4, 5, 6)] == [1, 2, 4, 8, 10, 10]
    assert most.wait_s(1, quick=True) == 0.25
    assert most.wait_s(3, quick=True) == 4
    assert Backoff(first_s=1, random=lambda: 0.25).wait_s(2) == 0.5
    waits = {Backoff().wait_s(5) for _ in range(20)}
    assert len(waits) == 20


async def test_large_documents_go_in_pieces(server: Server) -> None:
    """A document of many megabytes arrives whole, in frames that the server takes."""
    async with connect(address(server), options=OPTIONS) as document:
        text: Any = text_of(document)
        for number in range(60):
            text += f"{number:06}" * 10_000
            if number == 30:
                with anyio.fail_after(TIMEOUT_S):
                    await document.saved()
        with anyio.fail_after(TIMEOUT_S):
            await document.saved()
        async with connect(address(server), options=OPTIONS, wait=True) as other:
            assert str(text_of(other)) == str(text)
