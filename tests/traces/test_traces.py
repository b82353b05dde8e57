"""Real editing histories go through a running server and come out exactly as they ended."""

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.traces.histories import Author, friends, history, paper
from tests.traces.peers import Peer, Reader, Server

PATIENCE_S = 600.0
"""Many times what it takes on a machine that does nothing else."""
BURST = 64
"""Edits between two looks at what has come: what two authors do in it arrives in any order."""

Replay = Callable[[Server, str, dict[str, Any]], Coroutine[Any, Any, None]]


async def _paper(server: Server, document: str, trace: dict[str, Any]) -> None:
    author = Author(1)
    writer = Peer(author.doc, author.doc.apply_update)
    reader = Reader()
    await writer.open(server, document)
    await reader.peer.open(server, document)
    edits = paper(trace, author)
    while burst := list(islice(edits, BURST)):
        await writer.send(burst)
    await reader.read(trace["endContent"])
    writer.close()
    reader.peer.close()


async def _friends(server: Server, document: str, trace: dict[str, Any]) -> None:
    # The ids decide who stands first where both typed at one place: as in the recording.
    authors = [Author(1), Author(2)]
    # What they see is what their next transaction's parents say; what has come waits till the end.
    heard: list[deque[bytes]] = [deque() for _ in authors]
    peers = [Peer(author.doc, own.append) for author, own in zip(authors, heard, strict=True)]
    reader = Reader()
    for peer in (*peers, reader.peer):
        await peer.open(server, document)
    edits = friends(trace, authors)
    while burst := list(islice(edits, BURST)):
        for agent, peer in enumerate(peers):
            await peer.send([sent.update for sent in burst if sent.agent == agent])
    await reader.read(trace["endContent"])
    for agent, peer in enumerate(peers):
        await peer.until(lambda agent=agent: _ends(authors[agent], heard[agent], trace))
    for peer in (*peers, reader.peer):
        peer.close()


def _ends(author: Author, heard: deque[bytes], trace: dict[str, Any]) -> bool:
    while heard:
        author.doc.apply_update(heard.popleft())
    return str(author.text) == str(trace["endContent"])


async def _read(server: Server, document: str, wanted: str) -> None:
    reader = Reader()
    await reader.peer.open(server, document)
    await reader.read(wanted)
    reader.peer.close()


@pytest.mark.parametrize(
    ("name", "replay", "ends"),
    [
        pytest.param("automerge-paper", _paper, (signal.SIGTERM, signal.SIGKILL), id="paper"),
        pytest.param("friendsforever", _friends, (signal.SIGKILL, signal.SIGTERM), id="friends"),
    ],
)
def test_a_history_ends_as_it_did(
    tmp_path: Path, name: str, replay: Replay, ends: tuple[signal.Signals, signal.Signals]
) -> None:
    """Readers get exactly the recorded text, live and from a server ended either way."""
    trace = history(name)
    with Server.running(tmp_path) as server:
        asyncio.run(asyncio.wait_for(replay(server, name, trace), PATIENCE_S))
        for how in ends:
            server.restart(how)
            reading = _read(server, name, trace["endContent"])
            asyncio.run(asyncio.wait_for(reading, PATIENCE_S))
